//! `tombolo index`: photos into a library.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tombolo_search::{IndexOptions, LibraryWriter};
#[cfg(feature = "hnsw")]
use tombolo_search::{LinkOptions, SearchError};

use super::terminal::Terminal;
use super::{Global, Outcome};
use crate::library::{TowerEncoder, library_dir, remember_model, remembered};
use crate::model::Encoder;
use crate::starter;

/// Index photos: add what is new, encode again what changed, forget what is gone
#[derive(Args)]
pub struct Arguments {
    /// Folders, which are searched through, and photos
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The library's directory, made if it is not there; by default your own, beside the installed models
    #[arg(long, env = "TOMBOLO_LIBRARY", value_name = "DIR")]
    library: Option<PathBuf>,
    /// The model: a run directory or a starter; by default the one that the library was last indexed with,
    /// for a new library photo-starter
    #[arg(long, env = "TOMBOLO_MODEL")]
    model: Option<PathBuf>,
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let library = library_dir(arguments.library)?;
    let model = arguments.model.or_else(|| remembered(&library));
    let encoder = Encoder::open(&model.unwrap_or_else(|| starter::DEFAULT.into()), global)?;
    let tower = TowerEncoder::new(&encoder, terminal)?;
    let mut writer = LibraryWriter::open_or_create(
        &library,
        tombolo_search::ImageEncoder::fingerprint(&tower),
        tombolo_search::ImageEncoder::dim(&tower),
    )?;
    remember_model(&library, encoder.model().dir())?;
    terminal.begin("photos", None);
    let mut total = None;
    let summary =
        writer.index(&arguments.paths, &tower, &IndexOptions::default(), &mut |progress| {
            if total != Some(progress.total) {
                total = Some(progress.total);
                terminal.begin("photos", Some(progress.total as u64));
            }
            terminal.advance(progress.done as u64, None);
        })?;
    terminal.end_bar();
    #[cfg(feature = "hnsw")]
    link(&mut writer, &encoder, terminal)?;
    for skipped in &summary.skipped {
        terminal.skipped(&format!("{}: {}", skipped.path, skipped.reason));
    }
    if terminal.json() {
        let skipped = summary.skipped.iter().map(|s| json!({ "path": s.path, "reason": s.reason }));
        terminal.document(&json!({
            "library": library, "found": summary.found, "unchanged": summary.unchanged,
            "added": summary.added, "updated": summary.updated, "encoded": summary.encoded,
            "reused": summary.reused, "forgotten": summary.forgotten,
            "skipped": skipped.collect::<Vec<_>>(),
        }))?;
    } else {
        terminal.result(&format!(
            "{} photos: {} added, {} updated, {} unchanged, {} forgotten, {} skipped; {} encoded",
            summary.found,
            summary.added,
            summary.updated,
            summary.unchanged,
            summary.forgotten,
            summary.skipped.len(),
            summary.encoded
        ))?;
    }
    Ok(if summary.skipped.is_empty() { Outcome::Done } else { Outcome::Skipped })
}

/// The graph of a large library, which searches go through. What was indexed is found without it, so a
/// graph that cannot be written is no failure.
#[cfg(feature = "hnsw")]
fn link(writer: &mut LibraryWriter, encoder: &Encoder, terminal: &Terminal) -> anyhow::Result<()> {
    let Ok(map) = crate::library::ImageSide::new(encoder) else { return Ok(()) };
    let mut total = None;
    let linked = writer.link(&map, &LinkOptions::default(), &mut |done, all| {
        if total != Some(all) {
            total = Some(all);
            terminal.begin("photos linked for search", Some(all as u64));
        }
        terminal.advance(done as u64, None);
    });
    terminal.end_bar();
    match linked {
        Err(error @ SearchError::Graph { .. }) => {
            terminal.note(&error.to_string());
            Ok(())
        }
        other => Ok(other.map(drop)?),
    }
}
