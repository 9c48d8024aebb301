//! `tombolo index`: photos into a library.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::json;
#[cfg(feature = "hnsw")]
use tombolo_search::LinkOptions;
use tombolo_search::{
    ImageEncoder, IndexOptions, IndexSummary, LibraryWriter, Progress, SearchError, Shard,
};

use super::cluster::{copy, reach, staging};
use super::terminal::Terminal;
use super::watch::Watch;
use super::{Global, Misuse, Outcome};
use crate::library::{
    TowerEncoder, is_cluster, known_path, library_name, remember_model, remembered,
};
use crate::model::Encoder;
use crate::starter;

/// Index photos: add what is new, encode again what changed, forget what is gone
#[derive(Args)]
pub struct Arguments {
    /// Folders, which are searched through, and photos
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The library's directory, made if it is not there; by default your own, beside the installed models. Or
    /// milvus://HOST:PORT/COLLECTION: the library is then kept beside the models, and the collection brought up to date
    #[arg(long, env = "TOMBOLO_LIBRARY", value_name = "DIR")]
    library: Option<PathBuf>,
    /// The model: a run directory, a name that `tombolo models` lists, or hf:OWNER/NAME; by default the one that the
    /// library was last indexed with, for a new library photo-starter
    #[arg(long, env = "TOMBOLO_MODEL")]
    model: Option<PathBuf>,
    /// A CSV file with the columns `image` and `tags` (separated by semicolons): the tags of these photos, to filter by
    #[arg(long, env = "TOMBOLO_TAGS", value_name = "FILE")]
    tags: Option<PathBuf>,
    /// Index the I-th of N equal parts alone, I from 0, where N machines share a collection
    #[arg(long, env = "TOMBOLO_SHARD", value_name = "I/N")]
    shard: Option<Shard>,
    /// Forget the photos of a given folder that is empty now; without it they are kept, as a disk may not be mounted
    #[arg(long, env = "TOMBOLO_FORGET_ALL", value_parser = FalseyValueParser::new())]
    forget_all: bool,
    /// Go on: index again whenever something changes, until stopped
    #[arg(long, env = "TOMBOLO_WATCH", value_parser = FalseyValueParser::new())]
    watch: bool,
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    require_one(&arguments.paths)?;
    let (library, cluster) = place(arguments.library, arguments.shard)?;
    let tags = arguments.tags.as_deref().map(|file| tags(file, terminal)).transpose()?;
    let model = arguments.model.or_else(|| remembered(&library));
    let model = model.unwrap_or_else(|| starter::DEFAULT.into());
    let encoder = Encoder::open(&model, global, terminal)?;
    let tower = TowerEncoder::new(&encoder, terminal)?;
    if encoder.model().joint().is_some() && !library.exists() {
        // Searches read the other half of its file: better told now than after hours.
        encoder.require_texts()?;
    }
    let (shard, forget_all) = (arguments.shard, arguments.forget_all);
    let options = IndexOptions { shard, forget_all, ..Default::default() };
    let paths = arguments.paths;
    let encoder = &encoder;
    let indexing = Indexing { library, cluster, paths, options, encoder, tower, global, terminal };
    let mut writer = indexing.writer()?;
    // Before the first look, so that nothing is missed between them; and once the library is there, whose name is known only then.
    let watch =
        arguments.watch.then(|| Watch::start(&indexing.paths, &indexing.library)).transpose()?;
    remember_model(&indexing.library, encoder.model().dir())?;
    if let Some(tags) = tags {
        writer.set_tags(&tags)?;
    }
    let summary = indexing.run(writer)?;
    indexing.tell(&summary)?;
    indexing.publish()?;
    if let Some(watch) = watch {
        return indexing.go_on(&watch, summary);
    }
    Ok(if summary.skipped.is_empty() { Outcome::Done } else { Outcome::Skipped })
}

/// Refuses paths of which none is there, before a library is made.
fn require_one(paths: &[PathBuf]) -> anyhow::Result<()> {
    match paths {
        [first, ..] if !paths.iter().any(|path| path.exists()) => {
            let what = format!("{}: there is no such file or folder", first.display());
            Err(Misuse::new(what, "check the path").into())
        }
        _ => Ok(()),
    }
}

/// The library to write into, and the collection that is to hold the same, if one is named.
fn place(
    named: Option<PathBuf>,
    shard: Option<Shard>,
) -> anyhow::Result<(PathBuf, Option<String>)> {
    let named = library_name(named)?;
    match named.to_str().filter(|_| is_cluster(&named)) {
        Some(address) => {
            reach(address)?;
            Ok((staging(address, shard)?, Some(address.to_owned())))
        }
        None => Ok((named, None)),
    }
}

/// The photos of a file of tags, by absolute path, with the tags of each.
fn tags(file: &Path, terminal: &Terminal) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let tags = tombolo_data::dataset::read_tags(file)?;
    let mut absent = tags.iter().map(|(path, _)| path).filter(|path| !path.exists());
    if let Some(first) = absent.next() {
        let (file, first, count) = (file.display(), first.display(), 1 + absent.count());
        let what = format!("{file}: {count} of the photos that it names are not there: {first}");
        terminal.warning(&if count == 1 { what } else { what + " and others" });
    }
    let known =
        |(path, tags): (PathBuf, _)| Ok((known_path(&path)?.to_string_lossy().into_owned(), tags));
    tags.into_iter().map(known).collect()
}

/// What is indexed, and with what.
struct Indexing<'a> {
    library: PathBuf,
    /// The collection that is to hold the same.
    cluster: Option<String>,
    paths: Vec<PathBuf>,
    options: IndexOptions,
    encoder: &'a Encoder,
    tower: TowerEncoder<'a>,
    global: &'a Global,
    terminal: &'a Terminal,
}

impl Indexing<'_> {
    fn writer(&self) -> Result<LibraryWriter, SearchError> {
        LibraryWriter::open_or_create(&self.library, self.tower.fingerprint(), self.tower.dim())
    }

    fn run(&self, mut writer: LibraryWriter) -> anyhow::Result<IndexSummary> {
        let terminal = self.terminal;
        terminal.begin("photos", None);
        let mut total = None;
        let mut show = |progress: &Progress| {
            if total != Some(progress.total) {
                total = Some(progress.total);
                terminal.begin("photos", Some(progress.total as u64));
            }
            terminal.advance(progress.done as u64, None);
        };
        let summary = writer.index(&self.paths, &self.tower, &self.options, &mut show)?;
        terminal.end_bar();
        #[cfg(feature = "hnsw")]
        link(&mut writer, self.encoder, terminal)?;
        Ok(summary)
    }

    fn tell(&self, summary: &IndexSummary) -> anyhow::Result<()> {
        for skipped in &summary.skipped {
            self.terminal.skipped(&format!("{}: {}", skipped.path, skipped.reason));
        }
        if self.terminal.json() {
            let skipped =
                summary.skipped.iter().map(|s| json!({ "path": s.path, "reason": s.reason }));
            return self.terminal.document(&json!({
                "library": self.library, "found": summary.found, "unchanged": summary.unchanged,
                "added": summary.added, "updated": summary.updated, "encoded": summary.encoded,
                "reused": summary.reused, "forgotten": summary.forgotten,
                "skipped": skipped.collect::<Vec<_>>(),
            }));
        }
        if summary.found == 0 && summary.skipped.is_empty() && self.options.shard.is_none() {
            let endings = tombolo_data::image::EXTENSIONS.join(", ");
            self.terminal.warning(&format!("there is no photo there; photos end in {endings}"));
        }
        self.terminal.result(&format!(
            "{} {}: {} added, {} updated, {} unchanged, {} forgotten, {} skipped; {} encoded",
            summary.found,
            if summary.found == 1 { "photo" } else { "photos" },
            summary.added,
            summary.updated,
            summary.unchanged,
            summary.forgotten,
            summary.skipped.len(),
            summary.encoded
        ))
    }

    /// Brings the collection up to date, where there is one.
    fn publish(&self) -> anyhow::Result<()> {
        let Some(address) = &self.cluster else { return Ok(()) };
        let model = Some(self.encoder.model().dir().to_path_buf());
        let shard = self.options.shard;
        copy((&self.library, address), model, shard, self.global, self.terminal)
    }

    /// Tells of a failure that is not the end: a disk that is full now may have room when something changes again.
    fn not_now(&self, error: &anyhow::Error) {
        self.terminal.end_bar();
        self.terminal.warning(&format!("{error:#}"));
    }

    /// Indexes again after every change, and tells what it came to.
    fn go_on(&self, watch: &Watch, mut last: IndexSummary) -> anyhow::Result<Outcome> {
        self.terminal.note("watching (stop with Ctrl-C)");
        let mut behind = false;
        while watch.wait() {
            let writer = match self.writer() {
                Ok(writer) => writer,
                Err(error @ SearchError::Busy { .. }) => {
                    self.terminal.note(&error.to_string());
                    watch.again();
                    continue;
                }
                Err(error) => {
                    self.not_now(&error.into());
                    continue;
                }
            };
            let summary = match self.run(writer) {
                Ok(summary) => summary,
                Err(error) => {
                    self.not_now(&error);
                    continue;
                }
            };
            let changed = summary.added + summary.updated + summary.forgotten > 0;
            if changed || summary.skipped != last.skipped {
                self.tell(&summary)?;
            }
            if changed || behind {
                // A cluster that does not answer may do so the next time.
                let published = self.publish();
                behind = published.is_err();
                published.unwrap_or_else(|error| self.terminal.warning(&format!("{error:#}")));
            }
            last = summary;
        }
        Ok(Outcome::Done)
    }
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
