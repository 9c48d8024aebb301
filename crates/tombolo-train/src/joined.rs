//! Which vectors of texts and images belong together, and how well a map joins them.

use std::collections::{HashMap, HashSet};

use tombolo_data::dataset::Dataset;
use tombolo_eval::{BothRankings, OwnedGallery, Retrieval};
use tombolo_models::map::Map;
use tombolo_vectors::EmbeddingMatrix;

use crate::calibration::CalibrationFile;
use crate::curriculum::{Groups, Lesson, Pair};
use crate::error::Result;
use crate::settings::Group;

/// Indices of the data set's items that training reads: those of the training split first.
pub(crate) struct Used {
    pub(crate) items: Vec<usize>,
    pub(crate) training: usize,
}

impl Used {
    pub(crate) fn new(training: Vec<usize>, validation: Vec<usize>) -> Self {
        let count = training.len();
        Self { items: [training, validation].concat(), training: count }
    }
}

/// Which rows of text and image vectors belong together, without the images that could not be read.
pub(crate) struct Joined {
    pub(crate) training_texts: Vec<usize>,
    pub(crate) training_image_of_text: Vec<usize>,
    texts: Vec<usize>,
    image_of_text: Vec<usize>,
    query_images: Vec<usize>,
    query_texts: Vec<usize>,
    everything: bool,
    /// How many of the images that could be read are of the training split; they come first.
    pub(crate) training_images: usize,
    /// The groups of the curriculum, where there is one.
    pub(crate) groups: Option<Groups>,
}

/// What a text of the validation split is when a part of it is validated, and the row of its vector.
pub(crate) enum Role {
    /// A query, as its image is.
    Query(usize),
    /// Only ranked.
    Gallery(usize),
    /// Left out.
    Absent,
}

/// Mapped vectors that are ranked, and the rows of texts and images that each is of.
pub(crate) struct Ranked {
    pub(crate) gallery: OwnedGallery,
    pub(crate) image_rows: Vec<usize>,
    pub(crate) text_rows: Vec<usize>,
}

impl Joined {
    pub(crate) fn new(dataset: &dyn Dataset, texts: &Used, images: &Used, read: &[usize]) -> Self {
        let row_of_image: HashMap<usize, usize> =
            read.iter().enumerate().map(|(row, &place)| (images.items[place], row)).collect();
        let mut joined = Self {
            training_texts: Vec::new(),
            training_image_of_text: Vec::new(),
            texts: Vec::new(),
            image_of_text: Vec::new(),
            query_images: Vec::new(),
            query_texts: Vec::new(),
            everything: dataset.gallery() == tombolo_data::dataset::Gallery::Everything,
            training_images: read.iter().filter(|&&place| place < images.training).count(),
            groups: None,
        };
        for (row, &text) in texts.items.iter().enumerate() {
            let Some(&image) = row_of_image.get(&dataset.texts()[text].image) else { continue };
            if row < texts.training {
                joined.training_texts.push(row);
                joined.training_image_of_text.push(image);
            } else {
                joined.query_texts.push(joined.texts.len());
                joined.query_images.push(image);
            }
            joined.texts.push(row);
            joined.image_of_text.push(image);
        }
        joined.query_images.dedup();
        joined
    }

    /// Retrieval on the validation split, ranked against what the data set says queries are ranked against.
    pub(crate) fn validate(
        &self,
        map: &Map,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Option<Retrieval>> {
        self.validate_roles(map, (texts, images), &|row, _| Role::Query(row))
    }

    /// The pairs to train on: all of them, or those of the curriculum's groups.
    pub(crate) fn lesson(&self, groups: &[Group]) -> Result<Lesson> {
        match &self.groups {
            Some(curriculum) => curriculum.lesson(groups),
            None => Ok(Lesson {
                texts: self.training_texts.clone(),
                image_of_text: self.training_image_of_text.clone(),
                groups: Vec::new(),
            }),
        }
    }

    /// The training split's pairs of rows.
    pub(crate) fn training_pairs(&self) -> Vec<Pair> {
        let texts = self.training_texts.iter().copied();
        texts.zip(self.training_image_of_text.iter().copied()).collect()
    }

    /// Rows of so many texts and images of the training split, spread over it, or of all it has; of each image one text at most.
    pub(crate) fn bank(&self, size: usize) -> (Vec<usize>, Vec<usize>) {
        let places = |count: usize| {
            let taken = size.min(count);
            (0..taken).map(move |place| place * count / taken)
        };
        let mut images = self.training_image_of_text.clone();
        images.sort_unstable();
        images.dedup();
        let mut seen = HashSet::new();
        let texts = places(self.training_texts.len())
            .filter(|&text| seen.insert(self.training_image_of_text[text]))
            .map(|text| self.training_texts[text]);
        (texts.collect(), places(images.len()).map(|place| images[place]).collect())
    }

    /// Texts of the validation split.
    pub(crate) fn validation_texts(&self) -> usize {
        self.query_texts.len()
    }

    /// The validation split's pairs of rows.
    pub(crate) fn validation_pairs(&self) -> Vec<Pair> {
        self.query_texts.iter().map(|&text| (self.texts[text], self.image_of_text[text])).collect()
    }

    /// The ranks that [`Joined::validate`] makes metrics of.
    pub(crate) fn rankings(
        &self,
        map: &Map,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Option<BothRankings>> {
        let ranked = self.ranked(map, texts, images)?;
        Ok(ranked.map(|ranked| ranked.gallery.as_gallery().rankings()).transpose()?)
    }

    /// Retrieval of a part of the validation split, ranked against all that the split is ranked against. `role`: of
    /// a text and its image, by their rows. None if there are no queries.
    pub(crate) fn validate_roles(
        &self,
        map: &Map,
        vectors: (&EmbeddingMatrix, &EmbeddingMatrix),
        role: &dyn Fn(usize, usize) -> Role,
    ) -> Result<Option<Retrieval>> {
        let ranked = self.ranked_by_role(map, vectors, role)?;
        Ok(ranked.map(|ranked| ranked.gallery.as_gallery().retrieval()).transpose()?)
    }

    /// What the validation split is ranked against, mapped; none if there are no queries.
    pub(crate) fn ranked(
        &self,
        map: &Map,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Option<Ranked>> {
        self.ranked_by_role(map, (texts, images), &|row, _| Role::Query(row))
    }

    fn ranked_by_role(
        &self,
        map: &Map,
        (texts, images): (&EmbeddingMatrix, &EmbeddingMatrix),
        role: &dyn Fn(usize, usize) -> Role,
    ) -> Result<Option<Ranked>> {
        let gallery_images: Vec<usize> = match self.everything {
            true => (0..images.len()).collect(),
            false => self.query_images.clone(),
        };
        let places = gallery_images.iter().enumerate().map(|(place, &image)| (image, place));
        let places: HashMap<usize, usize> = places.collect();
        let first = self.query_texts.first().copied().unwrap_or(self.texts.len());
        let (mut rows, mut image_of_text) = (Vec::new(), Vec::new());
        let (mut query_texts, mut query_images) = (Vec::new(), Vec::new());
        let all = self.texts.iter().zip(&self.image_of_text).enumerate();
        for (text, (&row, &image)) in all.skip(if self.everything { 0 } else { first }) {
            let role = if text < first { Role::Gallery(row) } else { role(row, image) };
            let (Role::Query(row) | Role::Gallery(row)) = role else { continue };
            if matches!(role, Role::Query(_)) {
                query_texts.push(rows.len());
                query_images.push(places[&image]);
            }
            rows.push(row);
            image_of_text.push(places[&image]);
        }
        query_images.dedup();
        if query_texts.is_empty() {
            return Ok(None);
        }
        let gallery = OwnedGallery {
            images: map.map_images(&images.select(&gallery_images))?,
            texts: map.map_texts(&texts.select(&rows))?,
            image_of_text,
            query_images,
            query_texts,
        };
        Ok(Some(Ranked { gallery, image_rows: gallery_images, text_rows: rows }))
    }

    /// The probability of a match by score, fitted on the even images of the validation split and their
    /// texts, checked on the odd ones. None where a half is too small to say anything.
    pub(crate) fn calibrate(
        &self,
        map: &Map,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Option<CalibrationFile>> {
        let queries: Vec<usize> = self.query_texts.iter().map(|&text| self.texts[text]).collect();
        let texts = map.map_texts(&texts.select(&queries))?;
        let gallery = map.map_images(&images.select(&self.query_images))?;
        let place: HashMap<usize, usize> =
            self.query_images.iter().enumerate().map(|(place, &image)| (image, place)).collect();
        let image_of_text: Vec<usize> =
            self.query_texts.iter().map(|&text| place[&self.image_of_text[text]]).collect();
        Ok(CalibrationFile::fit(&texts, &gallery, &image_of_text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_has_one_text_of_an_image() {
        let joined = Joined {
            training_texts: (10..30).collect(),
            // Four texts each.
            training_image_of_text: (0..20).map(|text| 2 * (text / 4)).collect(),
            texts: Vec::new(),
            image_of_text: Vec::new(),
            query_images: Vec::new(),
            query_texts: Vec::new(),
            everything: false,
            training_images: 5,
            groups: None,
        };
        assert_eq!(joined.bank(100), (vec![10, 14, 18, 22, 26], vec![0, 2, 4, 6, 8]));
        assert_eq!(joined.bank(2), (vec![10, 20], vec![0, 4]));
        assert_eq!(joined.bank(0), (vec![], vec![]));
    }
}
