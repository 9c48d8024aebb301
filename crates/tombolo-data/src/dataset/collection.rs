//! The data set in memory that every reader builds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::files::Listings;
use super::photos::Photos;
use super::protocol::Protocol;
use super::warning::standard_counts;
use super::{
    Dataset, Fact, Gallery, ImageEntry, ImageSource, Split, StandardCount, TextEntry, Warning,
    WarningKind,
};
use crate::{DataError, Place};

/// A data set in memory.
#[derive(Clone, Debug)]
pub struct Collection {
    name: String,
    images: Vec<ImageEntry>,
    texts: Vec<TextEntry>,
    /// Texts of image i are `texts[bounds[i]..bounds[i + 1]]`.
    bounds: Vec<usize>,
    warnings: Vec<Warning>,
    standard_counts: &'static [StandardCount],
    facts: Vec<Fact>,
    gallery: Gallery,
    /// Objects on the images where they were counted.
    objects: HashMap<usize, usize>,
}

impl Dataset for Collection {
    fn name(&self) -> &str {
        &self.name
    }
    fn images(&self) -> &[ImageEntry] {
        &self.images
    }
    fn texts(&self) -> &[TextEntry] {
        &self.texts
    }
    fn texts_of(&self, image: usize) -> Range<usize> {
        self.bounds[image]..self.bounds[image + 1]
    }
    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
    fn standard_counts(&self) -> &[StandardCount] {
        self.standard_counts
    }
    fn facts(&self) -> &[Fact] {
        &self.facts
    }
    fn gallery(&self) -> Gallery {
        self.gallery
    }
    fn objects(&self, image: usize) -> Option<usize> {
        self.objects.get(&image).copied()
    }
}

impl Collection {
    /// Whether it has no images.
    pub(super) fn is_empty(&self) -> bool {
        self.images.is_empty()
    }
}

/// An image that a reader found, before it is known to be there.
pub(super) struct FoundImage {
    pub id: String,
    pub source: ImageSource,
    pub split: Split,
    pub labels: Vec<String>,
}

/// An image of the builder; `None` when it was named but is not there.
pub(super) type Slot = Option<usize>;

struct Known {
    place: Place,
    slot: Slot,
}

/// Checks what readers find: ids that repeat, images that are not there, captions without words.
pub(super) struct Builder {
    path: PathBuf,
    name: String,
    images: Vec<ImageEntry>,
    /// Captions of each image, in the order found.
    captions: Vec<Vec<String>>,
    known: HashMap<String, Known>,
    listings: Listings,
    first_absent: Option<PathBuf>,
    /// Images that were named and are not there.
    absent: usize,
    protocol: Protocol,
    warnings: Vec<Warning>,
    facts: Vec<Fact>,
    gallery: Gallery,
    objects: HashMap<usize, usize>,
}

impl Builder {
    /// `path` is the file or folder that messages name.
    pub fn new(path: &Path, name: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            name: name.into(),
            images: Vec::new(),
            captions: Vec::new(),
            known: HashMap::new(),
            listings: Listings::default(),
            first_absent: None,
            absent: 0,
            protocol: Protocol::default(),
            warnings: Vec::new(),
            facts: Vec::new(),
            gallery: Gallery::default(),
            objects: HashMap::new(),
        }
    }

    /// Takes what a protocol wants of the data set.
    pub fn under(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// Adds an image that must be new. `None` if the protocol does not want it, or, with a warning, if its file is not
    /// there.
    pub fn add_image(&mut self, place: Place, image: FoundImage) -> Result<Slot, DataError> {
        let slot = match self.known.entry(image.id.clone()) {
            Entry::Occupied(known) => {
                return Err(DataError::DuplicateImage {
                    path: self.path.clone(),
                    place,
                    first: known.get().place,
                    id: image.id,
                });
            }
            Entry::Vacant(unknown) => {
                let wanted = self.protocol.wants(&image.id, image.split);
                let here = match &image.source {
                    ImageSource::File(path) => wanted && self.listings.contains(path),
                    ImageSource::Embedded { .. }
                    | ImageSource::Member { .. }
                    | ImageSource::Nowhere => wanted,
                };
                let slot = here.then_some(self.images.len());
                unknown.insert(Known { place, slot });
                if wanted && !here {
                    self.warn_absent(place, image);
                    return Ok(None);
                }
                slot
            }
        };
        if slot.is_some() {
            let FoundImage { id, source, split, labels } = image;
            let captions = self.protocol.captions.as_ref().and_then(|captions| captions.of(&id));
            self.captions.push(captions.unwrap_or_default().to_vec());
            self.images.push(ImageEntry { id, source, split, labels });
        }
        Ok(slot)
    }

    fn warn_absent(&mut self, place: Place, image: FoundImage) {
        let reason = format!("no such file: {}", image.source.describe());
        if let (ImageSource::File(path), None) = (image.source, &self.first_absent) {
            self.first_absent = Some(path);
        }
        self.absent += 1;
        self.skip(place, format!("image {}", image.id), reason);
    }

    /// Whether a file is there.
    pub fn is_there(&mut self, path: &Path) -> bool {
        self.listings.contains(path)
    }

    /// Where a photo is, or where it was expected.
    pub fn locate(&mut self, photos: &Photos, below: &str, name: &str) -> PathBuf {
        photos.locate(below, name, &mut self.listings)
    }

    /// An image that was added before, for formats where it may be named on several lines.
    pub fn find_image(&self, id: &str) -> Option<Slot> {
        self.known.get(id).map(|known| known.slot)
    }

    /// The image in a slot.
    pub fn image_mut(&mut self, index: usize) -> &mut ImageEntry {
        &mut self.images[index]
    }

    /// The images so far.
    pub fn images(&self) -> &[ImageEntry] {
        &self.images
    }

    /// Gives all images their labels, by their ids.
    pub fn label(&mut self, labels_of: impl Fn(&str) -> Vec<String>) {
        for image in &mut self.images {
            image.labels = labels_of(&image.id);
        }
    }

    /// Adds a caption, trimmed; one without words is left out with a warning. Captions of an image
    /// that is not there are passed over: its own warning speaks for them.
    /// Where a protocol brings its own captions, those of the data set are passed over too.
    pub fn add_text(&mut self, place: Place, slot: Slot, caption: &str) {
        let Some(index) = slot.filter(|_| self.protocol.captions.is_none()) else { return };
        let caption = caption.trim();
        if caption.is_empty() {
            let what = format!("a caption of image {}", self.images[index].id);
            self.skip(place, what, "it is empty".into());
        } else {
            self.captions[index].push(caption.to_owned());
        }
    }

    /// Notes how many objects are on an image. Returns what was noted before, if anything was.
    pub fn count_objects(&mut self, index: usize, objects: usize) -> Option<usize> {
        self.objects.insert(index, objects)
    }

    /// Notes something that was left out.
    pub fn skip(&mut self, place: Place, what: String, reason: String) {
        let place = format!("{}, {place}", self.path.display());
        self.warnings.push(Warning { kind: WarningKind::Skipped, place, what, reason });
    }

    /// Notes something of another file that was left out.
    pub fn skip_in(&mut self, path: &Path, what: String, reason: String) {
        let place = path.display().to_string();
        self.warnings.push(Warning { kind: WarningKind::Skipped, place, what, reason });
    }

    /// Notes something unusual.
    pub fn notice(&mut self, what: String, reason: String) {
        let place = self.path.display().to_string();
        self.warnings.push(Warning { kind: WarningKind::Notice, place, what, reason });
    }

    /// Adds a line to what `tombolo data` says.
    pub fn fact(&mut self, name: &'static str, value: String) {
        self.facts.push(Fact { name, value });
    }

    /// Ranks held-out queries against all images and texts.
    pub fn rank_against_everything(&mut self) {
        self.gallery = Gallery::Everything;
    }

    /// The data set, if any of its images is there.
    pub fn finish(mut self) -> Result<Collection, DataError> {
        self.protocol.check_fold()?;
        if self.images.is_empty() {
            self.check_any()?;
        }
        self.compare_with_standard();
        self.compare_with_captions();
        self.join_pool();
        let standard_counts = self.standard_counts();
        let mut texts = Vec::with_capacity(self.captions.iter().map(Vec::len).sum());
        let mut bounds = Vec::with_capacity(self.images.len() + 1);
        bounds.push(0);
        for (image, captions) in self.captions.into_iter().enumerate() {
            let id = &self.images[image].id;
            let entries = captions.into_iter().enumerate();
            texts.extend(entries.map(|(n, text)| TextEntry {
                id: format!("{id}#{n}"),
                text,
                image,
            }));
            bounds.push(texts.len());
        }
        Ok(Collection {
            standard_counts,
            name: self.name + &self.protocol.suffix(),
            images: self.images,
            texts,
            bounds,
            warnings: self.warnings,
            facts: self.facts,
            gallery: self.gallery,
            objects: self.objects,
        })
    }

    /// That images were named and none of them is there, or none of them has captions of the protocol.
    fn check_any(&self) -> Result<(), DataError> {
        if let Some(absent) = &self.first_absent {
            return Err(DataError::NoImages {
                path: self.path.clone(),
                named: self.absent,
                looked_in: absent.parent().unwrap_or(Path::new(".")).to_owned(),
            });
        }
        match &self.protocol.captions {
            Some(captions) => Err(DataError::NotFound {
                path: captions.path.clone(),
                expected: format!("names of images of {}", self.path.display()),
            }),
            None => Ok(()),
        }
    }

    fn standard_counts(&self) -> &'static [StandardCount] {
        if self.protocol.narrows() { &[] } else { standard_counts(&self.name) }
    }

    fn compare_with_standard(&mut self) {
        for standard in self.standard_counts() {
            let found = self.images.iter().filter(|image| image.split == standard.split).count();
            if found != standard.images {
                let reason = format!(
                    "{found} images found, {} in the standard split of {}",
                    standard.images, self.name
                );
                self.notice(format!("split {}", standard.split), reason);
            }
        }
        if self.absent > 0 {
            let (absent, named) = (self.absent, self.absent + self.images.len());
            self.notice("images".into(), format!("{absent} of {named} are not there"));
        }
    }

    fn compare_with_captions(&mut self) {
        let Some(captions) = &self.protocol.captions else { return };
        let (found, named) = (self.images.len(), captions.len());
        self.fact("captions", format!("those of {}", captions.path.display()));
        if found != named {
            self.notice(
                "captions".into(),
                format!("of the {named} images that have some, {found} are in the data set"),
            );
        }
    }

    /// Adds the photos of the pool to the split that has queries.
    fn join_pool(&mut self) {
        let Some(pool) = self.protocol.pool.take() else { return };
        let split = self.split_with_queries();
        let mut joined = 0;
        for (place, name) in &pool.names {
            let file = self.locate(&pool.photos, "", name);
            let id = file.file_name().map(|name| name.to_string_lossy().into_owned());
            let id = id.unwrap_or_else(|| name.clone());
            if self.known.get(&id).is_some_and(|known| known.slot.is_some()) {
                continue;
            }
            let source = ImageSource::File(file);
            if let ImageSource::File(file) = &source
                && !self.listings.contains(file)
            {
                let reason = format!("{place}: no such file: {}", source.describe());
                self.skip_in(&pool.path, format!("image {id}"), reason);
                continue;
            }
            self.known.insert(id.clone(), Known { place: *place, slot: Some(self.images.len()) });
            self.images.push(ImageEntry { id, source, split, labels: Vec::new() });
            self.captions.push(Vec::new());
            joined += 1;
        }
        self.fact("pool", format!("{joined} images without captions, in the gallery of {split}"));
        self.protocol.pool = Some(pool);
    }

    /// The test split if any image of it has captions, else val, else train.
    fn split_with_queries(&self) -> Split {
        let with_captions = |split: &Split| {
            let mut images = self.images.iter().zip(&self.captions);
            images.any(|(image, captions)| image.split == *split && !captions.is_empty())
        };
        [Split::Test, Split::Val].into_iter().find(with_captions).unwrap_or(Split::Train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn embedded(id: &str, split: Split) -> FoundImage {
        let source = ImageSource::Embedded { name: id.to_owned(), bytes: b"" };
        FoundImage { id: id.to_owned(), source, split, labels: vec![] }
    }

    #[test]
    fn an_id_that_repeats_is_refused_with_both_places() {
        let mut builder = Builder::new(Path::new("d.json"), "d");
        builder.add_image(Place::Entry(0), embedded("a", Split::Train)).unwrap();
        let error = builder.add_image(Place::Entry(3), embedded("a", Split::Val)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "d.json, images[3]: image `a` was already named at images[0]"
        );
    }

    #[test]
    fn an_absent_image_is_skipped_and_its_captions_with_it() {
        let mut builder = Builder::new(Path::new("d.json"), "d");
        let here = builder.add_image(Place::Entry(0), embedded("here", Split::Train)).unwrap();
        let mut gone = embedded("gone", Split::Train);
        gone.source = ImageSource::File("nowhere/gone.jpg".into());
        let gone = builder.add_image(Place::Entry(1), gone).unwrap();
        assert_eq!(gone, None);
        builder.add_text(Place::Entry(0), here, " a dog\n");
        builder.add_text(Place::Entry(0), here, " \t");
        builder.add_text(Place::Entry(1), gone, "a cat");
        let data = builder.finish().unwrap();
        assert_eq!(data.texts().len(), 1);
        assert_eq!(data.texts()[0].text, "a dog");
        let warnings: Vec<_> = data.warnings().iter().map(Warning::to_string).collect();
        assert_eq!(
            warnings,
            [
                "d.json, images[1]: skipped image gone: no such file: nowhere/gone.jpg",
                "d.json, images[0]: skipped a caption of image here: it is empty",
                "d.json: images: 1 of 2 are not there"
            ]
        );
    }

    proptest! {
        #[test]
        fn texts_lie_beside_those_of_the_same_image(images in prop::collection::vec(0_usize..7, 1..80)) {
            let mut builder = Builder::new(Path::new("d"), "d");
            for (line, image) in images.iter().enumerate() {
                let (place, id) = (Place::Line(line as u64), image.to_string());
                let slot = match builder.find_image(&id) {
                    Some(slot) => slot,
                    None => builder.add_image(place, embedded(&id, Split::by_hash(&id))).unwrap(),
                };
                builder.add_text(place, slot, &format!("{image}/{line}"));
            }
            let data = builder.finish().unwrap();
            prop_assert_eq!(data.texts().len(), images.len());
            for (index, image) in data.images().iter().enumerate() {
                for text in &data.texts()[data.texts_of(index)] {
                    prop_assert_eq!(text.image, index);
                    let prefix = format!("{}/", image.id);
                    prop_assert!(text.text.starts_with(&prefix));
                }
            }
            let counted: usize = Split::ALL.map(|split| data.count(split).texts).iter().sum();
            prop_assert_eq!(counted, images.len());
        }
    }
}
