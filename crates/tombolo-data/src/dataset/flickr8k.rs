//! A folder of Flickr8K, in Karpathy's form or as it was first published.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::collection::{Builder, FoundImage};
use super::files;
use super::{Collection, ImageSource, Split, karpathy};
use crate::{DataError, Place};

const JSON: &str = "dataset_flickr8k.json";
const TOKENS: &str = "Flickr8k.token.txt";
const SPLITS: [(Split, &str); 3] = [
    (Split::Train, "Flickr_8k.trainImages.txt"),
    (Split::Val, "Flickr_8k.devImages.txt"),
    (Split::Test, "Flickr_8k.testImages.txt"),
];
const TEXT_FOLDERS: [&str; 3] = ["", "Flickr8k_text", "text"];
const IMAGE_FOLDERS: [&str; 6] = [
    "images",
    "Images",
    "Flicker8k_Dataset",
    "Flickr8k_Dataset/Flicker8k_Dataset",
    "Flickr8k_Dataset",
    "",
];

/// Reads `folder`: `dataset_flickr8k.json` if it is there, else the token file and the split files.
pub(super) fn open(folder: &Path) -> Result<Collection, DataError> {
    let images = IMAGE_FOLDERS.map(|name| folder.join(name)).into_iter().find(|path| path.is_dir());
    let Some(images) = images else {
        return Err(DataError::NotFound {
            path: folder.to_owned(),
            expected: format!("a folder with {JSON} or {TOKENS}"),
        });
    };
    match (find(folder, JSON), find(folder, TOKENS)) {
        (Some(json), _) => karpathy::open(&json, Some(&images)),
        (None, Some(tokens)) => open_tokens(folder, &tokens, &images),
        (None, None) => Err(DataError::NotFound {
            path: folder.to_owned(),
            expected: format!("{JSON} or {TOKENS}"),
        }),
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    TEXT_FOLDERS.iter().map(|text| folder.join(text).join(name)).find(|path| path.is_file())
}

fn open_tokens(folder: &Path, tokens: &Path, images: &Path) -> Result<Collection, DataError> {
    let splits = read_splits(folder)?;
    let mut builder = Builder::new(tokens, "flickr8k");
    let mut outside = HashSet::new();
    for (number, line) in (1..).zip(files::read_text(tokens)?.lines()) {
        let place = Place::Line(number);
        if line.trim().is_empty() {
            continue;
        }
        let (name, caption) = parse_token(line).ok_or_else(|| DataError::InvalidField {
            path: tokens.to_owned(),
            place,
            field: "name",
            expected: "NAME.jpg#NUMBER, a tab and a caption".into(),
            found: line.chars().take(60).collect(),
        })?;
        let slot = match builder.find_image(name) {
            Some(slot) => slot,
            None => match splits.iter().find(|(_, names)| names.contains(name)) {
                Some(&(split, _)) => {
                    let source = ImageSource::File(images.join(name));
                    let labels = Vec::new();
                    builder
                        .add_image(place, FoundImage { id: name.into(), source, split, labels })?
                }
                None => {
                    outside.insert(name.to_owned());
                    continue;
                }
            },
        };
        builder.add_text(place, slot, caption);
    }
    // As published, 91 of the 8,091 photos with captions are in none of the splits.
    if !outside.is_empty() {
        builder.fact("in no split", format!("{} photos with captions", outside.len()));
    }
    builder.finish()
}

fn parse_token(line: &str) -> Option<(&str, &str)> {
    let (key, caption) = line.split_once('\t')?;
    let (name, _) = key.split_once('#')?;
    Some((name, caption))
}

fn read_splits(folder: &Path) -> Result<Vec<(Split, HashSet<String>)>, DataError> {
    let mut splits = Vec::new();
    for (split, name) in SPLITS {
        let Some(path) = find(folder, name) else {
            return Err(DataError::NotFound { path: folder.to_owned(), expected: name.into() });
        };
        let text = files::read_text(&path)?;
        splits.push((split, text.lines().map(|line| line.trim().to_owned()).collect()));
    }
    Ok(splits)
}
