//! Which vectors of texts and images belong together, and how well a map joins them.

use std::collections::HashMap;

use tombolo_data::dataset::Dataset;
use tombolo_eval::{BothRankings, Gallery, Retrieval};
use tombolo_models::map::Map;
use tombolo_vectors::EmbeddingMatrix;

use crate::calibration::CalibrationFile;
use crate::error::Result;

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
    pub(crate) training_images: usize,
    texts: Vec<usize>,
    image_of_text: Vec<usize>,
    query_images: Vec<usize>,
    query_texts: Vec<usize>,
    everything: bool,
}

impl Joined {
    pub(crate) fn new(dataset: &dyn Dataset, texts: &Used, images: &Used, read: &[usize]) -> Self {
        let row_of_image: HashMap<usize, usize> =
            read.iter().enumerate().map(|(row, &place)| (images.items[place], row)).collect();
        let mut joined = Self {
            training_texts: Vec::new(),
            training_image_of_text: Vec::new(),
            training_images: read.iter().filter(|&&place| place < images.training).count(),
            texts: Vec::new(),
            image_of_text: Vec::new(),
            query_images: Vec::new(),
            query_texts: Vec::new(),
            everything: dataset.gallery() == tombolo_data::dataset::Gallery::Everything,
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
        let rankings = self.rankings(map, texts, images)?;
        Ok(rankings.map(|rankings| rankings.retrieval()).transpose()?)
    }

    /// The ranks that [`validate`](Self::validate) makes metrics of.
    pub(crate) fn rankings(
        &self,
        map: &Map,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Option<BothRankings>> {
        if self.query_texts.is_empty() {
            return Ok(None);
        }
        let texts = map.map_texts(&texts.select(&self.texts))?;
        let images = map.map_images(images)?;
        let gallery = Gallery {
            images: &images,
            texts: &texts,
            image_of_text: &self.image_of_text,
            query_images: &self.query_images,
            query_texts: &self.query_texts,
        };
        let restricted = if self.everything { None } else { Some(gallery.queries_only()) };
        Ok(Some(match &restricted {
            Some(restricted) => restricted.as_gallery().rankings()?,
            None => gallery.rankings()?,
        }))
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
