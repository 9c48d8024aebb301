//! A gallery of which only a part are queries, such as held-out items among all.

use std::collections::HashMap;

use tombolo_vectors::EmbeddingMatrix;

use crate::{DirectionMetrics, EvalError, Relevance, Retrieval, rank};

/// Mapped vectors of a gallery, and which of them are queries.
pub struct Gallery<'a> {
    /// `[images, dim]`.
    pub images: &'a EmbeddingMatrix,
    /// `[texts, dim]`.
    pub texts: &'a EmbeddingMatrix,
    /// The image of each text.
    pub image_of_text: &'a [usize],
    /// The images that are queries, each with at least one text.
    pub query_images: &'a [usize],
    /// The texts that are queries.
    pub query_texts: &'a [usize],
}

/// A gallery that holds its queries and nothing else.
pub struct QueriesOnly {
    images: EmbeddingMatrix,
    texts: EmbeddingMatrix,
    image_of_text: Vec<usize>,
    query_images: Vec<usize>,
    query_texts: Vec<usize>,
}

impl QueriesOnly {
    /// All of it, each item a query.
    pub fn as_gallery(&self) -> Gallery<'_> {
        Gallery {
            images: &self.images,
            texts: &self.texts,
            image_of_text: &self.image_of_text,
            query_images: &self.query_images,
            query_texts: &self.query_texts,
        }
    }
}

impl Gallery<'_> {
    /// Only the queries, ranked against each other, as the literature does within a split.
    ///
    /// # Panics
    /// If the image of a query text is not a query itself.
    pub fn queries_only(&self) -> QueriesOnly {
        let place: HashMap<usize, usize> =
            self.query_images.iter().enumerate().map(|(place, &image)| (image, place)).collect();
        QueriesOnly {
            images: self.images.select(self.query_images),
            texts: self.texts.select(self.query_texts),
            image_of_text: self
                .query_texts
                .iter()
                .map(|&t| place[&self.image_of_text[t]])
                .collect(),
            query_images: (0..self.query_images.len()).collect(),
            query_texts: (0..self.query_texts.len()).collect(),
        }
    }

    /// Ranks the whole gallery for each query.
    ///
    /// # Errors
    /// If a side is empty, has non-finite vectors, or the widths differ.
    pub fn retrieval(&self) -> Result<Retrieval, EvalError> {
        let mut texts_of_image = vec![Vec::new(); self.images.len()];
        for (text, &image) in self.image_of_text.iter().enumerate() {
            texts_of_image[image].push(text);
        }
        let texts = self.texts.len();
        let answers = self.query_images.iter().map(|&i| texts_of_image[i].iter().copied());
        let image_to_text = Relevance::from_lists(texts, answers)?;
        let answers = self.query_texts.iter().map(|&text| [self.image_of_text[text]]);
        let text_to_image = Relevance::from_lists(self.images.len(), answers)?;
        let (images, texts) =
            (self.images.select(self.query_images), self.texts.select(self.query_texts));
        let image_to_text = DirectionMetrics::new(&rank(&images, self.texts, &image_to_text)?)?;
        let text_to_image = DirectionMetrics::new(&rank(&texts, self.images, &text_to_image)?)?;
        let rsum = 100.0 * (image_to_text.recall_sum() + text_to_image.recall_sum());
        Ok(Retrieval { image_to_text, text_to_image, rsum })
    }
}
