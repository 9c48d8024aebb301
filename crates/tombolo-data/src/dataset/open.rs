//! From what the user writes to a data set.

use std::path::Path;

use super::options::Options;
use super::photos::Photos;
use super::protocol::Protocol;
use super::{
    Collection, Dataset, coco, csv, emoji, fine_grained, flickr8k, flickr30k, folder, jsonl,
    karpathy, nuswide, texts, webdataset,
};
use crate::{DataError, nearest};

/// How data sets are written, and what each is.
pub const KINDS: [(&str, &str); 11] = [
    ("emoji[:LANG,…]", "the embedded emoji set"),
    ("flickr8k:DIR", "Flickr8K, in Karpathy's form or as first published"),
    ("flickr30k:DIR", "Flickr30K, in Karpathy's form or as first published"),
    ("coco:DIR", "COCO captions, by Karpathy's split if its file is there, else the official one"),
    ("nuswide:DIR[,10k]", "NUS-WIDE: tags as texts, concepts as labels; 10k is NUS-WIDE-10K"),
    ("karpathy:FILE.json", "Karpathy's JSON: Flickr8K, Flickr30K, COCO, or your own"),
    ("csv:FILE", "a header with `image` and `caption`, a row per caption"),
    ("jsonl:FILE", "an object per line with `image` and `caption` or `captions`"),
    ("folder:DIR", "photos, each with a .txt of the same stem, a caption per line"),
    ("webdataset:GLOB", "tar shards, as in DIR/{0000..0009}.tar or DIR/*.tar"),
    (
        "texts:FILE",
        "texts without photos, to train stage text alone: those of a line mean the same, with tabs between them",
    ),
];

/// How a data set is written, in a line: every form of [`KINDS`].
pub const FORMS: &str = "emoji[:LANG,…], flickr8k:DIR, flickr30k:DIR, coco:DIR, nuswide:DIR[,10k], karpathy:FILE.json, \
                         csv:FILE, jsonl:FILE, folder:DIR, webdataset:GLOB or texts:FILE";

/// [`FORMS`] and what may follow a path, for the help of commands that take a data set.
pub const HELP: &str = "\
emoji[:LANG,…], flickr8k:DIR, flickr30k:DIR, coco:DIR, nuswide:DIR[,10k], karpathy:FILE.json, csv:FILE, jsonl:FILE, \
folder:DIR, webdataset:GLOB or texts:FILE

texts:FILE has no photos, and trains stage text alone.

After the path of flickr8k, flickr30k, coco and karpathy may follow:
  ,images=DIR   where the photos are (nuswide too)
  ,fg=FILE      captions of MS-COCO-FG or Flickr30K-FG in place of the data set's; photos without any are left out
  ,pool=FILE    names of photos, one a line, that join the gallery without captions
  ,fold=N       the N-th thousand of the test split, as in COCO's five folds
  ,year=2017    of coco, the official split of that release instead of Karpathy's";

const NAMES: &[&str] = &[
    "emoji",
    "flickr8k",
    "flickr30k",
    "coco",
    "nuswide",
    "karpathy",
    "csv",
    "jsonl",
    "folder",
    "webdataset",
    "texts",
];

/// What the sets of photos with captions may be asked for.
const PHOTO_OPTIONS: &[&str] = &["images", "fg", "pool", "fold"];
const COCO_OPTIONS: &[&str] = &["images", "fg", "pool", "fold", "year"];
const NUSWIDE_OPTIONS: &[&str] = &["images", "10k"];

/// Opens a data set as it is written on the command line; see [`KINDS`] and [`HELP`].
///
/// # Errors
/// [`DataError`], with the file, the place within it and a hint.
pub fn open(spec: &str) -> Result<Box<dyn Dataset + Send + Sync>, DataError> {
    let (kind, rest) = spec.split_once(':').unwrap_or((spec, ""));
    Ok(Box::new(match kind {
        "emoji" => emoji::open(rest.split(',').map(str::trim).filter(|lang| !lang.is_empty()))?,
        "flickr8k" => flickr8k::open(&options("flickr8k", rest, PHOTO_OPTIONS, "flickr8k:DIR")?)?,
        "flickr30k" => {
            flickr30k::open(&options("flickr30k", rest, PHOTO_OPTIONS, "flickr30k:DIR")?)?
        }
        "coco" => coco::open(&options("coco", rest, COCO_OPTIONS, "coco:DIR")?)?,
        "nuswide" => nuswide::open(&options("nuswide", rest, NUSWIDE_OPTIONS, "nuswide:DIR")?)?,
        "karpathy" => {
            open_karpathy(&options("karpathy", rest, PHOTO_OPTIONS, "karpathy:FILE.json")?)?
        }
        "csv" => csv::open(path("csv", rest, "csv:FILE")?)?,
        "jsonl" => jsonl::open(path("jsonl", rest, "jsonl:FILE")?)?,
        "folder" => folder::open(path("folder", rest, "folder:DIR")?)?,
        "texts" => texts::open(path("texts", rest, "texts:FILE")?)?,
        "webdataset" => {
            path("webdataset", rest, "webdataset:GLOB")?;
            webdataset::open(rest)?
        }
        _ => {
            let hint = hint(spec, kind);
            return Err(DataError::UnknownKind { kind: kind.to_owned(), known: NAMES, hint });
        }
    }))
}

fn open_karpathy(options: &Options) -> Result<Collection, DataError> {
    let photos = match options.images.is_empty() {
        true => Photos::of(vec![karpathy::default_folder(&options.path)]),
        false => Photos::of(options.images.clone()),
    };
    let protocol = Protocol::read(options, fine_grained::whole, &photos)?;
    karpathy::open(&options.path, &photos, protocol)?.finish()
}

fn options(
    kind: &'static str,
    text: &str,
    known: &'static [&'static str],
    expected: &'static str,
) -> Result<Options, DataError> {
    let options = Options::parse(kind, text, known)?;
    if options.path.as_os_str().is_empty() {
        return Err(DataError::MissingPath { kind, expected });
    }
    Ok(options)
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
    let near = nearest(kind, NAMES.iter().copied(), 0.7);
    if let (Some(name), Some((_, rest))) = (near, spec.split_once(':')) {
        return format!("did you mean `{name}:{rest}`?");
    }
    let extension = Path::new(spec).extension().and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("csv" | "tsv") => return format!("write `csv:{spec}`"),
        Some("jsonl" | "ndjson") => return format!("write `jsonl:{spec}`"),
        Some("json") => return format!("write `karpathy:{spec}`"),
        Some("tar") => return format!("write `webdataset:{spec}`"),
        _ => {}
    }
    match near {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("written as {}", KINDS.map(|(form, _)| form).join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_and_list_of_names_have_every_form() {
        assert!(HELP.starts_with(FORMS));
        for ((form, _), name) in KINDS.iter().zip(NAMES) {
            assert!(FORMS.contains(form), "{form}");
            assert_eq!(form.split([':', '[']).next(), Some(*name));
        }
        for option in COCO_OPTIONS {
            assert!(HELP.contains(&format!(",{option}=")), "{option}");
        }
    }
}
