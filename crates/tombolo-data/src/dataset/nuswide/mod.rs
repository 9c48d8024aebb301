//! A folder of NUS-WIDE in its official layout: lists of images, concepts and tags.
//!
//! ```text
//! ImageList/Imagelist.txt  TrainImagelist.txt  TestImagelist.txt    a photo a line, as in actor\0001_2124494179.jpg
//! ConceptsList/Concepts81.txt                                       a concept a line
//! Groundtruth/AllLabels/Labels_CONCEPT.txt                          0 or 1 a line, in the order of Imagelist.txt
//! NUS_WID_Tags/All_Tags.txt                                         a photo's number and its tags a line
//! Flickr/actor/0001_2124494179.jpg                                  the photos, or in one folder
//! ```
//!
//! The text of a photo is its tags, with spaces between; its labels are its concepts. Without `All_Tags.txt` the 1,000
//! tags of `TagList1k.txt` and `AllTags1k.txt` are read. The official lists have no val split. `nuswide:DIR,10k` is
//! NUS-WIDE-10K, see [`selection`].

mod lists;
mod selection;
mod tags;

use std::path::{Path, PathBuf};

use super::collection::{Builder, FoundImage};
use super::options::Options;
use super::photos::Photos;
use super::protocol::Protocol;
use super::{Collection, ImageSource, Split, fine_grained};
use crate::{DataError, Place};
use lists::Lists;

const IMAGE_FOLDERS: [&str; 6] = ["Flickr", "images", "Images", "ImageData", "image", ""];

/// A photo of the lists.
struct Photo {
    /// Its path with `/`, as in `actor/0001_2124494179.jpg`.
    id: String,
    split: Option<Split>,
    /// Indices of its concepts.
    concepts: Vec<usize>,
    /// Its tags with spaces between.
    tags: String,
}

/// Reads a folder.
pub(super) fn open(options: &Options) -> Result<Collection, DataError> {
    let photos = Photos::below(&options.path, &IMAGE_FOLDERS, &options.images);
    let protocol = Protocol::read(options, fine_grained::whole, &photos)?;
    let mut lists = lists::read(&options.path)?;
    let name = if options.ten_thousand { "nuswide-10k" } else { "nuswide" };
    let mut builder = Builder::new(&lists.path, name).under(protocol);
    if options.ten_thousand {
        selection::select(&mut lists, &mut builder)?;
    }
    add(lists, &photos, &mut builder)?;
    builder.finish()
}

fn add(lists: Lists, photos: &Photos, builder: &mut Builder) -> Result<(), DataError> {
    let (mut outside, mut untagged) = (0, 0);
    for (line, photo) in (1..).zip(lists.photos) {
        let Some(split) = photo.split else {
            outside += 1;
            continue;
        };
        let (below, name) = photo.id.rsplit_once('/').unwrap_or(("", &photo.id));
        let source = ImageSource::File(builder.locate(photos, below, name));
        let labels =
            photo.concepts.iter().map(|&concept| lists.concepts[concept].clone()).collect();
        let place = Place::Line(line);
        let slot = builder.add_image(place, FoundImage { id: photo.id, source, split, labels })?;
        if photo.tags.is_empty() {
            untagged += usize::from(slot.is_some());
        } else {
            builder.add_text(place, slot, &photo.tags);
        }
    }
    builder.fact("concepts", lists.concepts.len().to_string());
    if outside > 0 {
        builder.fact("in no split", format!("{outside} photos"));
    }
    if untagged > 0 {
        builder.fact("without tags", format!("{untagged} photos, which have no text"));
    }
    Ok(())
}

/// A file in one of the folders that copies keep it in.
fn find(root: &Path, folder: &str, name: &str) -> Option<PathBuf> {
    let bases = [root.to_owned(), root.join("NUS-WIDE")];
    let mut places = bases.iter().flat_map(|base| [base.join(folder).join(name), base.join(name)]);
    places.find(|path| path.is_file())
}

/// Like [`find`], for a file that must be there.
fn need(root: &Path, folder: &str, name: &str) -> Result<PathBuf, DataError> {
    find(root, folder, name).ok_or_else(|| DataError::NotFound {
        path: root.to_owned(),
        expected: format!("{folder}/{name}"),
    })
}
