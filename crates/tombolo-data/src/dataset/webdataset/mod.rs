//! Shards of WebDataset: tar files whose members belong together by the name before the first dot.
//!
//! A sample has a picture (`KEY.jpg`, `.png`, `.webp` …) and may have captions: `KEY.txt`, one a line, or field `caption`,
//! `captions` or `text` of `KEY.json` where there is no `.txt`. `KEY.cls` is its label, and so is `label` or `labels` of
//! the JSON. Other members are passed over. Shards are read through once, for names, texts and offsets; pictures stay in
//! them and are read by offset when they are wanted.
//!
//! A sample's split is that of its JSON's field `split`, else one that the shard's name or folder names
//! (`test/00000.tar`, `coco-val-00000.tar`), else [`Split::by_hash`] of its id, `SHARD/KEY`, the
//! shard being told by its path below the folder that holds all of them.

mod pattern;
mod sample;
mod shard;

use std::path::{Path, PathBuf};

use super::collection::Builder;
use super::{Collection, Split};
use crate::DataError;

/// Reads all shards that `text` names: a path with `*`, `?`, `[…]`, `{0000..0009}` and `{a,b}`.
pub(super) fn open(text: &str) -> Result<Collection, DataError> {
    let Found { shards, absent } = find(text)?;
    let Some(first) = shards.first() else {
        return Err(DataError::NotFound { path: text.into(), expected: "tar shards".into() });
    };
    let name = first.parent().and_then(Path::file_name).unwrap_or(first.as_os_str());
    let mut builder = Builder::new(Path::new(text), name.to_string_lossy());
    for path in absent {
        let reason = format!("no such file: {}", path.display());
        builder.skip_in(Path::new(text), "a shard".into(), reason);
    }
    let mut ignored = 0;
    for (path, name) in shards.iter().zip(names(&shards)) {
        ignored += shard::read((path, &name), split_of(path), &mut builder)?;
    }
    builder.fact("shards", shards.len().to_string());
    if ignored > 0 {
        builder.fact("other members", format!("{ignored} passed over"));
    }
    let collection = builder.finish()?;
    if collection.is_empty() {
        let expected = "samples with a picture (KEY.jpg, KEY.png, KEY.webp …)".into();
        return Err(DataError::NotFound { path: text.into(), expected });
    }
    Ok(collection)
}

struct Found {
    shards: Vec<PathBuf>,
    /// Named without a wildcard, and not there.
    absent: Vec<PathBuf>,
}

/// Shards in the order of the pattern, those of a wildcard by name. One that is named twice is read once.
fn find(text: &str) -> Result<Found, DataError> {
    let invalid = |reason| DataError::InvalidPattern { pattern: text.to_owned(), reason };
    let mut found = Found { shards: Vec::new(), absent: Vec::new() };
    let mut known = std::collections::HashSet::new();
    for pattern in pattern::expand(text).map_err(invalid)? {
        if Path::new(&pattern).is_file() || !pattern.contains(['*', '?', '[']) {
            let path = PathBuf::from(&pattern);
            let place = if path.is_file() { &mut found.shards } else { &mut found.absent };
            place.extend(known.insert(path.clone()).then_some(path));
            continue;
        }
        let paths = glob::glob(&pattern).map_err(|error| invalid(error.to_string()))?;
        for path in paths {
            let path = path.map_err(|error| DataError::Read {
                path: error.path().to_owned(),
                source: error.into(),
            })?;
            found.shards.extend((path.is_file() && known.insert(path.clone())).then_some(path));
        }
    }
    Ok(found)
}

/// What tells shards apart: their paths below the folder that holds them all, without the ending.
fn names(shards: &[PathBuf]) -> Vec<String> {
    let holds = |folder: &&Path| shards.iter().all(|shard| shard.starts_with(folder));
    let folders = shards.first().into_iter().flat_map(|first| first.ancestors().skip(1));
    let common = folders.into_iter().find(holds).unwrap_or(Path::new(""));
    let name = |shard: &PathBuf| {
        let below = shard.strip_prefix(common).unwrap_or(shard).with_extension("");
        below.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
    };
    shards.iter().map(name).collect()
}

/// The split that a shard's name or else its folder's name names, if it is one alone.
fn split_of(shard: &Path) -> Option<Split> {
    let named = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy().to_lowercase();
        let words = name.split(|c: char| !c.is_ascii_alphabetic());
        let splits: Vec<Split> = words.filter_map(|word| word.parse().ok()).collect();
        (splits.windows(2).all(|pair| pair[0] == pair[1])).then(|| splits.first().copied())?
    };
    let stem = shard.file_stem().and_then(named);
    stem.or_else(|| shard.parent()?.file_name().and_then(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_of_one_name_in_several_folders_are_told_apart() {
        let found = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(found(&["d/00000.tar", "d/00001.tar"]), ["00000", "00001"]);
        assert_eq!(found(&["d/train/0.tar", "d/test/0.tar"]), ["train/0", "test/0"]);
        assert_eq!(found(&["0.tar"]), ["0"]);
    }

    #[test]
    fn names_of_shards_and_folders_say_the_split() {
        let split = |path: &str| split_of(Path::new(path));
        assert_eq!(split("d/test/00000.tar"), Some(Split::Test));
        assert_eq!(split("d/coco-val-00000.tar"), Some(Split::Val));
        assert_eq!(split("test/flickr30k-train-{0}.tar"), Some(Split::Train));
        assert_eq!(split("d/00000.tar"), None);
        assert_eq!(split("d/train-test.tar"), None);
        assert_eq!(split("constraint/latest.tar"), None);
    }
}
