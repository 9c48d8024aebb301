//! A folder of Flickr8K, in Karpathy's form or as it was first published.

use std::path::{Path, PathBuf};

use super::collection::Builder;
use super::options::Options;
use super::photos::Photos;
use super::protocol::Protocol;
use super::tokens::{self, Lines};
use super::{Collection, Split, fine_grained, karpathy};
use crate::DataError;

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

/// Reads a folder: `dataset_flickr8k.json` if it is there, else the token file and the split files.
pub(super) fn open(options: &Options) -> Result<Collection, DataError> {
    let folder = &options.path;
    let photos = Photos::below(folder, &IMAGE_FOLDERS, &options.images);
    let nothing = |expected| DataError::NotFound { path: folder.clone(), expected };
    if photos.is_empty() {
        return Err(nothing(format!("a folder with {JSON} or {TOKENS}")));
    }
    let protocol = Protocol::read(options, fine_grained::flickr, &photos)?;
    let builder = match (find(folder, JSON), find(folder, TOKENS)) {
        (Some(json), _) => karpathy::open(&json, &photos, protocol)?,
        (None, Some(tokens)) => open_tokens(folder, &tokens, &photos, protocol)?,
        (None, None) => return Err(nothing(format!("{JSON} or {TOKENS}"))),
    };
    builder.finish()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    TEXT_FOLDERS.iter().map(|text| folder.join(text).join(name)).find(|path| path.is_file())
}

fn open_tokens(
    folder: &Path,
    tokens: &Path,
    photos: &Photos,
    protocol: Protocol,
) -> Result<Builder, DataError> {
    let mut lists = Vec::new();
    for (split, name) in SPLITS {
        let Some(path) = find(folder, name) else {
            return Err(DataError::NotFound { path: folder.to_owned(), expected: name.into() });
        };
        lists.push((split, path));
    }
    let lists = lists.iter().map(|(split, path)| (*split, path.as_path()));
    let splits = tokens::read_splits(lists, str::to_owned)?;
    let mut builder = Builder::new(tokens, "flickr8k").under(protocol);
    let expected = "NAME.jpg#NUMBER, a tab and a caption";
    let lines = Lines { path: tokens, parse: tokens::token, expected, header: false };
    lines.add_to(&mut builder, photos, Some(&splits))?;
    Ok(builder)
}
