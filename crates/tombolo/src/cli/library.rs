//! `tombolo library`: what keeps a library sound, and takes what it holds elsewhere.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use tombolo_search::{Item, Library, LibraryWriter, SearchError, Shard};

use super::cluster::copy;
use super::failure::Misuse;
use super::terminal::Terminal;
use super::{Global, Outcome};
use crate::library::library_dir;
use crate::report::counted;

/// Records read at a time.
const PAGE: usize = 1_000;

/// Check a library, mend it, make it smaller, or take what it holds elsewhere
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    work: Work,
    /// The library's directory; by default your own, beside the installed models
    #[arg(long, global = true, env = "TOMBOLO_LIBRARY", value_name = "DIR")]
    library: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Work {
    /// Read everything and look for damage
    Check,
    /// Mend damage: what is lost is forgotten, and encoded again by the next `index`
    Repair,
    /// Give back the room of photos that are gone
    Compact,
    /// Make a collection of a Milvus cluster hold what a library does; a copy that was cut off goes on where it was
    Copy {
        /// The library's directory
        #[arg(value_name = "DIR")]
        from: PathBuf,
        /// The collection, made if it is not there: milvus://HOST:PORT/COLLECTION
        #[arg(value_name = "ADDRESS")]
        to: String,
        /// The model whose map vectors go through: a run directory or a starter; by default the one that the library was
        /// last indexed with
        #[arg(long, env = "TOMBOLO_MODEL")]
        model: Option<PathBuf>,
        /// The library is the I-th of N parts (`index --shard`) that share the collection: what is of the others stays
        #[arg(long, env = "TOMBOLO_SHARD", value_name = "I/N")]
        shard: Option<Shard>,
    },
    /// Write records as JSON Lines (items.jsonl), and for each line the vector of the image tower, before any map, in
    /// little-endian f16 (vectors.f16); shape.json says how many and how wide
    Export {
        /// The directory to write into, which must not be there yet
        #[arg(long, env = "TOMBOLO_OUT", value_name = "DIR")]
        out: PathBuf,
    },
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let dir = || library_dir(arguments.library);
    match arguments.work {
        Work::Check => check(&dir()?, terminal)?,
        Work::Repair => {
            let repaired = LibraryWriter::open(&dir()?)?.repair()?;
            let (forgotten, segments) = (repaired.forgotten, repaired.segments);
            let text = format!("{forgotten} photos forgotten, {segments} segments mended");
            say(terminal, &json!({ "forgotten": forgotten, "segments": segments }), &text)?;
            if forgotten > 0 {
                terminal.note("`tombolo index` encodes them again");
            }
        }
        Work::Compact => {
            let rows = LibraryWriter::open(&dir()?)?.compact()?;
            say(terminal, &json!({ "rows": rows }), &format!("{rows} vectors given back"))?;
        }
        Work::Copy { from, to, model, shard } => {
            copy((&from, &to), model, shard, global, terminal)?;
        }
        Work::Export { out } => {
            let library = Library::open(&dir()?)?;
            let photos = export(&library, &out, terminal)?;
            let text = format!("{photos} photos in {}", out.display());
            let dim = library.dim();
            say(terminal, &json!({ "out": out, "photos": photos, "dim": dim }), &text)?;
        }
    }
    Ok(Outcome::Done)
}

pub fn say(terminal: &Terminal, document: &serde_json::Value, text: &str) -> anyhow::Result<()> {
    if terminal.json() { terminal.document(document) } else { terminal.result(text) }
}

fn check(dir: &Path, terminal: &Terminal) -> anyhow::Result<()> {
    let health = Library::open(dir)?.check()?;
    let document = json!({
        "photos": health.photos, "broken": health.broken, "vectors": health.rows,
        "unused": health.unused, "problems": health.problems,
    });
    let mut text = format!(
        "{} photos, {} that cannot be decoded; {} vectors, {} of them of photos that are gone",
        health.photos, health.broken, health.rows, health.unused
    );
    for problem in &health.problems {
        text.push_str(&format!("\n  {problem}"));
    }
    say(terminal, &document, &text)?;
    if health.problems.is_empty() {
        return Ok(());
    }
    let what = format!("{}: {}", dir.display(), counted(health.problems.len(), "problem"));
    Err(Misuse::new(what, "`tombolo library repair` mends what can be mended").into())
}

/// Writes `items.jsonl`, a record a line, and `vectors.f16`, the raw vector of each in the same order. Returns how many.
fn export(library: &Library, out: &Path, terminal: &Terminal) -> anyhow::Result<usize> {
    let cannot = || format!("{}: cannot be written", out.display());
    std::fs::create_dir(out).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let what = format!("{}: is there already", out.display());
            Misuse::new(what, "name a folder that is not, so that nothing is overwritten").into()
        }
        _ => anyhow::Error::new(error).context(cannot()),
    })?;
    let mut records = BufWriter::new(File::create(out.join("items.jsonl")).with_context(cannot)?);
    let mut vectors = BufWriter::new(File::create(out.join("vectors.f16")).with_context(cannot)?);
    let (mut last, mut photos) = (String::new(), 0);
    terminal.begin("photos", Some(library.len()? as u64));
    loop {
        let items = library.items_after(&last, PAGE)?;
        let Some(end) = items.last() else { break };
        last.clone_from(&end.path);
        for item in &items {
            let vector = match library.vector_of(item) {
                // Forgotten, or encoded anew, since it was listed.
                Err(SearchError::Changed { .. }) => continue,
                vector => vector?,
            };
            let tags = library.tags(item)?;
            writeln!(records, "{}", record(item, &tags)).with_context(cannot)?;
            for x in vector {
                vectors.write_all(&half::f16::from_f32(x).to_le_bytes()).with_context(cannot)?;
            }
            photos += 1;
        }
        terminal.advance(photos as u64, None);
    }
    terminal.end_bar();
    let shape = json!({ "rows": photos, "dim": library.dim(), "type": "f16, little-endian", "image_tower": library.fingerprint() });
    std::fs::write(out.join("shape.json"), format!("{shape:#}\n")).with_context(cannot)?;
    for file in [records, vectors] {
        file.into_inner()
            .map_err(|error| error.into_error())
            .and_then(|f| f.sync_all())
            .with_context(cannot)?;
    }
    Ok(photos)
}

fn record(item: &Item, tags: &[String]) -> serde_json::Value {
    json!({
        "id": item.id, "path": item.path, "size": item.size, "modified_ns": item.modified_ns,
        "blake3": item.blake3, "width": item.width, "height": item.height,
        "taken_at": item.taken_at, "camera": item.camera, "caption": item.caption, "tags": tags,
    })
}
