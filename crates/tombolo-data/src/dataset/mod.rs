//! Data sets: images, the texts that belong to them, and splits.
//!
//! Every reader builds a [`Collection`] and hands it out as a [`Dataset`]. Invariants, whatever the
//! format:
//!
//! * ids of images are unique; those of texts are the image's id, `#` and a number from 0;
//! * every text belongs to one image, the texts of an image lie side by side, and no text is empty;
//! * the split of an image is the split of its texts;
//! * each image was there when the data set was opened; one that is [`ImageSource::Nowhere`] stands for texts that belong
//!   together and have none.

mod coco;
mod collection;
mod csv;
pub mod emoji;
mod entries;
mod files;
mod fine_grained;
mod flickr30k;
mod flickr8k;
mod folder;
mod jsonl;
mod karpathy;
mod nuswide;
mod open;
mod options;
mod photos;
mod pool;
mod protocol;
mod source;
mod split;
mod table;
mod texts;
mod tokens;
mod warning;
mod webdataset;

use std::ops::Range;

pub use collection::Collection;
pub use csv::read_tags;
pub use open::{FORMS, HELP, KINDS, open};
pub use source::ImageSource;
pub use split::{Split, UnknownSplit};
pub use warning::{StandardCount, Warning, WarningKind};

use crate::DataError;

/// An image of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Unique within the data set: a file name, a relative path with `/`, or an emoji's code points.
    pub id: String,
    /// Where its bytes are.
    pub source: ImageSource,
    /// What it is used for, and its texts with it.
    pub split: Split,
    /// Names of types; two images that share one are of the same type, and stage image draws
    /// them together.
    pub labels: Vec<String>,
}

/// A text of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEntry {
    /// Unique within the data set.
    pub id: String,
    /// The text, trimmed and not empty; any script, any length.
    pub text: String,
    /// Index of its image in [`Dataset::images`].
    pub image: usize,
}

/// What held-out queries are ranked against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gallery {
    /// The images and texts of the same split, as the literature does.
    #[default]
    SameSplit,
    /// All images and texts of the data set, whatever their split.
    Everything,
}

/// A line of what `tombolo data` says beside the counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// What there is to say.
    pub value: String,
}

/// Images and texts of one split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplitCount {
    /// Its images.
    pub images: usize,
    /// Its texts.
    pub texts: usize,
}

/// Images and their texts, in a fixed order.
pub trait Dataset {
    /// What the data set calls itself, or the file's or folder's name.
    fn name(&self) -> &str;
    /// All images, in the order of the file.
    fn images(&self) -> &[ImageEntry];
    /// All texts, in the order of their images.
    fn texts(&self) -> &[TextEntry];
    /// The texts of one image, as indices into [`texts`](Self::texts).
    ///
    /// # Panics
    /// If there is no such image.
    fn texts_of(&self, image: usize) -> Range<usize>;
    /// What was left out or looks unusual.
    fn warnings(&self) -> &[Warning];
    /// The counts that the literature gives for a data set of this name, if any.
    fn standard_counts(&self) -> &[StandardCount];
    /// What else is worth saying.
    fn facts(&self) -> &[Fact] {
        &[]
    }
    /// What held-out queries are ranked against.
    fn gallery(&self) -> Gallery {
        Gallery::SameSplit
    }
    /// Whether there is any picture; without, there are texts to learn a language from, and nothing to search.
    fn has_pictures(&self) -> bool {
        self.images().iter().any(|image| image.source != ImageSource::Nowhere)
    }
    /// How many objects annotators counted on an image; none where nobody did.
    fn objects(&self, _image: usize) -> Option<usize> {
        None
    }

    /// Images and texts of a split.
    fn count(&self, split: Split) -> SplitCount {
        let images = self.image_indices(split);
        SplitCount {
            images: images.len(),
            texts: images.iter().map(|&image| self.texts_of(image).len()).sum(),
        }
    }

    /// Indices of a split's images, ascending.
    fn image_indices(&self, split: Split) -> Vec<usize> {
        let images = self.images().iter().enumerate();
        images.filter(|(_, image)| image.split == split).map(|(index, _)| index).collect()
    }

    /// Indices of a split's texts, ascending.
    fn text_indices(&self, split: Split) -> Vec<usize> {
        self.image_indices(split).into_iter().flat_map(|image| self.texts_of(image)).collect()
    }

    /// Like [`image_indices`](Self::image_indices), for a caller that cannot go on without any.
    ///
    /// # Errors
    /// [`DataError::EmptySplit`].
    fn require(&self, split: Split) -> Result<Vec<usize>, DataError> {
        let indices = self.image_indices(split);
        if !indices.is_empty() {
            return Ok(indices);
        }
        let sizes = Split::ALL.map(|split| format!("{split} {}", self.count(split).images));
        Err(DataError::EmptySplit {
            dataset: self.name().to_owned(),
            split,
            found: sizes.join(", "),
        })
    }
}
