//! A folder of COCO: Karpathy's split if its file is there, else the official one.
//!
//! The official test images have no captions, so without `dataset_coco.json` there is no test split: `val2014` (40,504
//! images) or `val2017` (5,000) is val. Where `instances_*.json` is there, labels are the names of the categories seen.

mod captions;
mod instances;

use std::path::{Path, PathBuf};

use super::collection::Builder;
use super::options::Options;
use super::photos::Photos;
use super::protocol::Protocol;
use super::{Collection, Split, fine_grained, karpathy};
use crate::DataError;
use instances::Instances;

const JSON: &str = "dataset_coco.json";
const TEXT_FOLDERS: [&str; 5] =
    ["", "annotations", "caption_datasets", "karpathy", "annotations/annotations"];
/// The releases, with the names of their splits.
const RELEASES: [(u16, [(Split, &str); 2]); 2] = [
    (2014, [(Split::Train, "train2014"), (Split::Val, "val2014")]),
    (2017, [(Split::Train, "train2017"), (Split::Val, "val2017")]),
];
/// The first two hold folders by split; the others are for lists of pools, which name files alone.
const IMAGE_FOLDERS: [&str; 18] = [
    "images",
    "",
    "train2014",
    "val2014",
    "test2014",
    "test2015",
    "train2017",
    "val2017",
    "test2017",
    "unlabeled2017",
    "images/train2014",
    "images/val2014",
    "images/test2014",
    "images/test2015",
    "images/train2017",
    "images/val2017",
    "images/test2017",
    "images/unlabeled2017",
];

/// Reads a folder; `year` asks for the official split of a release.
pub(super) fn open(options: &Options) -> Result<Collection, DataError> {
    let folder = &options.path;
    let photos = Photos::below(folder, &IMAGE_FOLDERS, &options.images);
    let photos = photos.or_named(name_of_2017);
    let protocol = Protocol::read(options, fine_grained::coco, &photos)?;
    let mut builder = match (find(folder, JSON), options.year) {
        (Some(json), None) => karpathy::open(&json, &photos, protocol)?,
        _ => open_official(options, &photos, protocol)?,
    };
    let mut instances = Instances::default();
    for split in RELEASES.iter().flat_map(|(_, splits)| splits) {
        if let Some(path) = find(folder, &format!("instances_{}.json", split.1)) {
            instances.read(&path)?;
        }
    }
    instances.describe(&mut builder);
    builder.finish()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    TEXT_FOLDERS.iter().map(|text| folder.join(text).join(name)).find(|path| path.is_file())
}

fn open_official(
    options: &Options,
    photos: &Photos,
    protocol: Protocol,
) -> Result<Builder, DataError> {
    let folder = &options.path;
    let wanted = |year: u16| options.year.is_none_or(|asked| asked == year);
    for (year, splits) in RELEASES.into_iter().filter(|(year, _)| wanted(*year)) {
        let files: Vec<_> = splits
            .iter()
            .filter_map(|&(split, name)| {
                Some((split, name, find(folder, &format!("captions_{name}.json"))?))
            })
            .collect();
        if files.is_empty() {
            continue;
        }
        let mut builder = Builder::new(folder, format!("coco{year}")).under(protocol);
        for (split, name, path) in files {
            captions::read(&path, (split, name), photos, &mut builder)?;
        }
        return Ok(builder);
    }
    let expected = match options.year {
        Some(year) => format!("annotations/captions_train{year}.json or captions_val{year}.json"),
        None => format!("{JSON} or annotations/captions_val2014.json or captions_val2017.json"),
    };
    Err(DataError::NotFound { path: folder.clone(), expected })
}

/// The number of a photo in its file name, `COCO_val2014_000000391895.jpg` or `000000391895.jpg`.
fn number(file_name: &str) -> Option<u64> {
    let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem);
    stem.rsplit(['_', '/']).next()?.parse().ok()
}

/// What a photo of 2014 is called since 2017.
fn name_of_2017(file_name: &str) -> Option<&str> {
    file_name.starts_with("COCO_").then(|| file_name.rsplit('_').next())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_known_by_number() {
        assert_eq!(number("COCO_val2014_000000391895.jpg"), Some(391_895));
        assert_eq!(number("000000000009.jpg"), Some(9));
        assert_eq!(number("dog.jpg"), None);
        assert_eq!(name_of_2017("COCO_val2014_000000391895.jpg"), Some("000000391895.jpg"));
        assert_eq!(name_of_2017("000000391895.jpg"), None);
    }
}
