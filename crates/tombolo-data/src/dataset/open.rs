//! From what the user writes to a data set.

use std::path::Path;

use super::{Dataset, csv, emoji, flickr8k, folder, jsonl, karpathy};
use crate::DataError;

/// How data sets are written, and what each is.
pub const KINDS: [(&str, &str); 6] = [
    ("emoji[:LANG,…]", "the embedded emoji set"),
    ("flickr8k:DIR", "Flickr8K, in Karpathy's form or as first published"),
    ("karpathy:FILE.json[,images=DIR]", "Karpathy's JSON: Flickr8K, Flickr30K, COCO, or your own"),
    ("csv:FILE", "a header with `image` and `caption`, a row per caption"),
    ("jsonl:FILE", "an object per line with `image` and `caption` or `captions`"),
    ("folder:DIR", "photos, each with a .txt of the same stem, a caption per line"),
];

const NAMES: &[&str] = &["emoji", "flickr8k", "karpathy", "csv", "jsonl", "folder"];

/// Opens a data set as it is written on the command line; see [`KINDS`].
///
/// # Errors
/// [`DataError`], with the file, the place within it and a hint.
pub fn open(spec: &str) -> Result<Box<dyn Dataset + Send + Sync>, DataError> {
    let (kind, rest) = spec.split_once(':').unwrap_or((spec, ""));
    Ok(Box::new(match kind {
        "emoji" => emoji::open(rest.split(',').map(str::trim).filter(|lang| !lang.is_empty()))?,
        "flickr8k" => flickr8k::open(path("flickr8k", rest, "flickr8k:DIR")?)?,
        "karpathy" => {
            let (file, images) = match rest.rsplit_once(",images=") {
                Some((file, images)) => (file, Some(Path::new(images))),
                None => (rest, None),
            };
            karpathy::open(path("karpathy", file, "karpathy:FILE.json[,images=DIR]")?, images)?
        }
        "csv" => csv::open(path("csv", rest, "csv:FILE")?)?,
        "jsonl" => jsonl::open(path("jsonl", rest, "jsonl:FILE")?)?,
        "folder" => folder::open(path("folder", rest, "folder:DIR")?)?,
        _ => {
            let hint = hint(spec, kind);
            return Err(DataError::UnknownKind { kind: kind.to_owned(), known: NAMES, hint });
        }
    }))
}

fn path<'a>(
    kind: &'static str,
    path: &'a str,
    expected: &'static str,
) -> Result<&'a Path, DataError> {
    if path.is_empty() {
        return Err(DataError::MissingPath { kind, expected });
    }
    Ok(Path::new(path))
}

fn hint(spec: &str, kind: &str) -> String {
    if Path::new(spec).is_dir() {
        return format!("for a folder of photos write `folder:{spec}`");
    }
    let extension = Path::new(spec).extension().and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("csv" | "tsv") => return format!("write `csv:{spec}`"),
        Some("jsonl" | "ndjson") => return format!("write `jsonl:{spec}`"),
        Some("json") => return format!("write `karpathy:{spec}`"),
        _ => {}
    }
    let nearest = NAMES.iter().max_by(|a, b| {
        let (a, b) = (strsim::jaro_winkler(a, kind), strsim::jaro_winkler(b, kind));
        a.total_cmp(&b)
    });
    match nearest.filter(|name| strsim::jaro_winkler(name, kind) > 0.7) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("written as {}", KINDS.map(|(form, _)| form).join(", ")),
    }
}
