//! A folder of Flickr30K, in Karpathy's form or as it was first published.
//!
//! Captions as first published (`results_20130124.token`, or `results.csv` with columns divided by `|`) come without
//! splits: `train.txt`, `val.txt` and `test.txt` name them if they are there, with or without `.jpg`.

use std::path::{Path, PathBuf};

use super::collection::Builder;
use super::options::Options;
use super::photos::Photos;
use super::protocol::Protocol;
use super::tokens::{self, Lines, Splits};
use super::{Collection, Split, fine_grained, karpathy};
use crate::DataError;

const JSON: &str = "dataset_flickr30k.json";
const TOKENS: &str = "results_20130124.token";
const CSV: &str = "results.csv";
const SPLITS: [(Split, &str); 3] =
    [(Split::Train, "train.txt"), (Split::Val, "val.txt"), (Split::Test, "test.txt")];
const TEXT_FOLDERS: [&str; 7] =
    ["", "annotations", "flickr30k", "flickr30k_images", "flickr30k_entities", "splits", "text"];
const IMAGE_FOLDERS: [&str; 7] = [
    "flickr30k-images",
    "flickr30k_images/flickr30k_images",
    "flickr30k_images",
    "images",
    "Images",
    "flickr30k/flickr30k-images",
    "",
];

/// Reads a folder: `dataset_flickr30k.json` if it is there, else the captions as first published.
pub(super) fn open(options: &Options) -> Result<Collection, DataError> {
    let folder = &options.path;
    let photos = Photos::below(folder, &IMAGE_FOLDERS, &options.images);
    let protocol = Protocol::read(options, fine_grained::flickr, &photos)?;
    if let Some(json) = find(folder, JSON) {
        return karpathy::open(&json, &photos, protocol)?.finish();
    }
    let tokens = find(folder, TOKENS);
    let Some(captions) = tokens.clone().or_else(|| find(folder, CSV)) else {
        let expected = format!("{JSON}, {TOKENS} or {CSV}");
        return Err(DataError::NotFound { path: folder.clone(), expected });
    };
    let lines = match tokens {
        Some(_) => Lines {
            path: &captions,
            parse: tokens::token,
            expected: "NAME.jpg#NUMBER, a tab and a caption",
            header: false,
        },
        None => Lines {
            path: &captions,
            parse: piped,
            expected: "NAME.jpg| NUMBER| CAPTION",
            header: true,
        },
    };
    let splits = read_splits(folder)?;
    let mut builder = Builder::new(&captions, "flickr30k").under(protocol);
    lines.add_to(&mut builder, &photos, splits.as_ref())?;
    if splits.is_none() {
        let reason = format!(
            "neither {JSON} nor train.txt, val.txt and test.txt is there: photos are divided by their names, so figures \
             cannot be compared with published ones"
        );
        builder.notice("splits".into(), reason);
    }
    builder.finish()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    TEXT_FOLDERS.iter().map(|text| folder.join(text).join(name)).find(|path| path.is_file())
}

/// A line of `results.csv`. One of those published lacks the bar after the number.
fn piped(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once('|')?;
    let caption = match rest.split_once('|') {
        Some((_, caption)) => caption,
        None => {
            let caption = rest.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
            caption.strip_prefix(char::is_whitespace)?
        }
    };
    Some((name.trim(), caption))
}

fn read_splits(folder: &Path) -> Result<Option<Splits>, DataError> {
    let found = SPLITS.map(|(split, name)| (split, find(folder, name)));
    if found.iter().all(|(_, path)| path.is_none()) {
        return Ok(None);
    }
    let mut lists = Vec::new();
    for ((split, name), (_, path)) in SPLITS.into_iter().zip(&found) {
        let Some(path) = path else {
            return Err(DataError::NotFound { path: folder.to_owned(), expected: name.into() });
        };
        lists.push((split, path.as_path()));
    }
    tokens::read_splits(lists, with_extension).map(Some)
}

fn with_extension(name: &str) -> String {
    if name.ends_with(".jpg") { name.to_owned() } else { format!("{name}.jpg") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_results_csv() {
        let line = "1000092795.jpg| 0| Two young guys with shaggy hair .";
        assert_eq!(piped(line), Some(("1000092795.jpg", " Two young guys with shaggy hair .")));
        assert_eq!(
            piped("2199200615.jpg| 4   A dog runs across the grass ."),
            Some(("2199200615.jpg", "  A dog runs across the grass ."))
        );
        assert_eq!(piped("2199200615.jpg| 4"), None);
        assert_eq!(piped("a caption alone"), None);
    }
}
