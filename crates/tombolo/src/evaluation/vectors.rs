//! Vectors of what a split's queries are ranked against.

use std::collections::HashMap;
use std::time::Instant;

use tombolo_data::dataset::{Dataset, Gallery as Ranked, Split};
use tombolo_eval::Gallery;
use tombolo_vectors::EmbeddingMatrix;

use crate::cli::Terminal;
use crate::model::Encoder;

/// The vectors of a gallery and which of them are queries.
pub struct Vectors {
    /// One row an image that could be read.
    pub images: EmbeddingMatrix,
    /// One row a text.
    pub texts: EmbeddingMatrix,
    /// The row of each text's image.
    pub image_of_text: Vec<usize>,
    /// Rows of the images that are queries.
    pub query_images: Vec<usize>,
    /// Rows of the texts that are queries.
    pub query_texts: Vec<usize>,
    /// The image of the data set that each row is.
    pub image_indices: Vec<usize>,
    /// The text of the data set that each row is.
    pub text_indices: Vec<usize>,
    /// Images that could not be read.
    pub skipped: usize,
    /// Seconds to encode images and texts.
    pub seconds: [f64; 2],
}

impl Vectors {
    /// Encodes what the queries of a split are ranked against, as the data set says.
    pub fn encode(
        dataset: &dyn Dataset,
        split: Split,
        encoder: &Encoder,
        terminal: &Terminal,
    ) -> anyhow::Result<Self> {
        dataset.require(split)?;
        let images: Vec<usize> = match dataset.gallery() {
            Ranked::SameSplit => dataset.image_indices(split),
            Ranked::Everything => (0..dataset.images().len()).collect(),
        };
        let sources = images.iter().map(|&image| dataset.images()[image].source.clone()).collect();
        let started = Instant::now();
        let encoded = encoder.images(sources, terminal)?;
        let image_seconds = started.elapsed().as_secs_f64();
        let images: Vec<usize> = encoded.read.iter().map(|&place| images[place]).collect();
        let texts: Vec<usize> = images.iter().flat_map(|&image| dataset.texts_of(image)).collect();
        let words: Vec<&str> =
            texts.iter().map(|&text| dataset.texts()[text].text.as_str()).collect();
        let started = Instant::now();
        let text_vectors = encoder.texts(&words, terminal)?;
        let text_seconds = started.elapsed().as_secs_f64();
        let rows = Rows::of(dataset, split, &images, &texts);
        Ok(Self {
            images: encoded.vectors,
            texts: text_vectors,
            image_of_text: rows.image_of_text,
            query_images: rows.query_images,
            query_texts: rows.query_texts,
            image_indices: images,
            text_indices: texts,
            skipped: encoded.skipped,
            seconds: [image_seconds, text_seconds],
        })
    }

    /// All of it, to be ranked.
    pub fn gallery(&self) -> Gallery<'_> {
        self.gallery_of(&self.images, &self.texts)
    }

    /// The same with other vectors in the place of its own, as many of each.
    pub fn gallery_of<'a>(
        &'a self,
        images: &'a EmbeddingMatrix,
        texts: &'a EmbeddingMatrix,
    ) -> Gallery<'a> {
        Gallery {
            images,
            texts,
            image_of_text: &self.image_of_text,
            query_images: &self.query_images,
            query_texts: &self.query_texts,
        }
    }

    /// The numbers of each image's labels; none where no image that is a query has one.
    pub fn labels(&self, dataset: &dyn Dataset) -> Option<Vec<Vec<usize>>> {
        let mut numbers = HashMap::new();
        let labels: Vec<Vec<usize>> = self
            .image_indices
            .iter()
            .map(|&image| {
                let names = dataset.images()[image].labels.iter();
                names
                    .map(|name| {
                        let next = numbers.len();
                        *numbers.entry(name.as_str()).or_insert(next)
                    })
                    .collect()
            })
            .collect();
        self.query_images.iter().any(|&row| !labels[row].is_empty()).then_some(labels)
    }
}

/// Which rows belong together, and which are queries.
struct Rows {
    image_of_text: Vec<usize>,
    query_images: Vec<usize>,
    query_texts: Vec<usize>,
}

impl Rows {
    fn of(dataset: &dyn Dataset, split: Split, images: &[usize], texts: &[usize]) -> Self {
        let row_of: HashMap<usize, usize> =
            images.iter().enumerate().map(|(row, &image)| (image, row)).collect();
        let image_of_text: Vec<usize> =
            texts.iter().map(|&text| row_of[&dataset.texts()[text].image]).collect();
        let in_split = |row: &usize| {
            let image = dataset.texts()[texts[*row]].image;
            dataset.images()[image].split == split
        };
        let query_texts: Vec<usize> = (0..texts.len()).filter(in_split).collect();
        let mut query_images: Vec<usize> =
            query_texts.iter().map(|&row| image_of_text[row]).collect();
        query_images.dedup();
        Self { image_of_text, query_images, query_texts }
    }
}
