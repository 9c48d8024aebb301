//! A gallery of which only a part are queries, such as held-out items among all.

use std::collections::HashMap;

use rayon::prelude::*;
use tombolo_vectors::EmbeddingMatrix;

use crate::{BothRankings, EvalError, Relevance, Retrieval, Worth, rank};

/// Queries that a core ranks at a time at the level of categories.
const QUERIES: usize = 128;

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

/// A gallery that holds what it is made of.
pub struct OwnedGallery {
    /// `[images, dim]`.
    pub images: EmbeddingMatrix,
    /// `[texts, dim]`.
    pub texts: EmbeddingMatrix,
    /// The image of each text.
    pub image_of_text: Vec<usize>,
    /// The images that are queries, each with at least one text.
    pub query_images: Vec<usize>,
    /// The texts that are queries.
    pub query_texts: Vec<usize>,
}

impl OwnedGallery {
    /// All of it, to be ranked.
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
    /// The metrics of the whole gallery, ranked for each query.
    ///
    /// # Errors
    /// If a side is empty, has non-finite vectors, or the widths differ.
    pub fn retrieval(&self) -> Result<Retrieval, EvalError> {
        self.rankings()?.retrieval()
    }

    /// Ranks the whole gallery for each query: a text's answer is its image, an image's are its texts.
    ///
    /// # Errors
    /// If a side is empty, has non-finite vectors, or the widths differ.
    pub fn rankings(&self) -> Result<BothRankings, EvalError> {
        let [image_to_text, text_to_image] = self.answers()?;
        self.ranked(&image_to_text, &text_to_image)
    }

    /// The texts of each image that is a query, and the image of each text.
    pub(crate) fn answers(&self) -> Result<[Relevance; 2], EvalError> {
        let texts_of_image = self.texts_of_image();
        let answers = self.query_images.iter().map(|&i| texts_of_image[i].iter().copied());
        let image_to_text = Relevance::from_lists(self.texts.len(), answers)?;
        let answers = self.query_texts.iter().map(|&text| [self.image_of_text[text]]);
        let text_to_image = Relevance::from_lists(self.images.len(), answers)?;
        Ok([image_to_text, text_to_image])
    }

    /// What each query is worth at the level of categories, images first, then texts: what answers it is whatever shares a
    /// label with it, as with NUS-WIDE. A text has the labels of its image.
    ///
    /// # Shapes
    /// `labels`: `[images]`, the numbers of each image's labels; an image without any answers nothing.
    /// # Errors
    /// As [`retrieval`](Self::retrieval).
    pub fn category(&self, labels: &[Vec<usize>]) -> Result<[Worth; 2], EvalError> {
        let texts_of_image = self.texts_of_image();
        let mut images_of_label: HashMap<usize, Vec<usize>> = HashMap::new();
        for (image, labels) in labels.iter().enumerate() {
            labels.iter().for_each(|&label| images_of_label.entry(label).or_default().push(image));
        }
        // An image that shares two labels is named twice; relevance counts it once.
        let alike = |image: usize| labels[image].iter().flat_map(|label| &images_of_label[label]);
        let texts_alike = |&image: &usize| -> Vec<usize> {
            alike(image).flat_map(|&image| texts_of_image[image].iter().copied()).collect()
        };
        let images_alike =
            |&text: &usize| alike(self.image_of_text[text]).copied().collect::<Vec<usize>>();
        Ok([
            worth((self.images, self.query_images), self.texts, texts_alike)?,
            worth((self.texts, self.query_texts), self.images, images_alike)?,
        ])
    }

    fn ranked(
        &self,
        image_to_text: &Relevance,
        text_to_image: &Relevance,
    ) -> Result<BothRankings, EvalError> {
        let (images, texts) =
            (self.images.select(self.query_images), self.texts.select(self.query_texts));
        Ok(BothRankings {
            image_to_text: rank(&images, self.texts, image_to_text)?,
            text_to_image: rank(&texts, self.images, text_to_image)?,
        })
    }

    fn texts_of_image(&self) -> Vec<Vec<usize>> {
        let mut texts_of_image = vec![Vec::new(); self.images.len()];
        for (text, &image) in self.image_of_text.iter().enumerate() {
            texts_of_image[image].push(text);
        }
        texts_of_image
    }
}

/// Ranks the gallery for some queries after the others: all pairs that share a label at once would be too many to hold.
fn worth(
    (rows, queries): (&EmbeddingMatrix, &[usize]),
    gallery: &EmbeddingMatrix,
    answers: impl Fn(&usize) -> Vec<usize> + Sync,
) -> Result<Worth, EvalError> {
    let some = queries.par_chunks(QUERIES).map(|queries| {
        let relevance = Relevance::from_lists(gallery.len(), queries.iter().map(&answers))?;
        Ok(Worth::from(&rank(&rows.select(queries), gallery, &relevance)?))
    });
    let mut worth = Worth::default();
    some.collect::<Result<Vec<_>, EvalError>>()?.into_iter().for_each(|some| worth.extend(some));
    Ok(worth)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four images on a line, a text each; the first two share a label, the third has none, the last one of its own.
    #[test]
    fn what_shares_a_label_answers() {
        let values = vec![1.0, 0.0, 0.8, 0.6, 0.6, 0.8, 0.0, 1.0];
        let (images, texts) = (
            EmbeddingMatrix::from_rows(2, values.clone()).unwrap(),
            EmbeddingMatrix::from_rows(2, values).unwrap(),
        );
        let all = [0, 1, 2, 3];
        let gallery = Gallery {
            images: &images,
            texts: &texts,
            image_of_text: &all,
            query_images: &all,
            query_texts: &all,
        };
        let labels = [vec![7, 9], vec![9, 7], vec![], vec![3]];
        let [images, texts] = gallery.category(&labels).unwrap();
        let found = Retrieval::of(&images, &texts).unwrap();
        // By text: ranks 1 and 2, 1 and 3, none, 1.
        assert_eq!(found.text_to_image.map_at_all, (1.0 + (1.0 + 2.0 / 3.0) / 2.0 + 1.0) / 3.0);
        assert_eq!(found.text_to_image.true_recall_at_5, 1.0);
        assert_eq!((found.text_to_image.queries, found.text_to_image.excluded), (3, 1));
        assert_eq!(found.image_to_text, found.text_to_image);
        assert_eq!(found.rsum, 600.0);
    }

    #[test]
    fn queries_ranked_some_after_the_others_are_worth_what_they_are_together() {
        let count = 2 * QUERIES + 3;
        let values = (0..2 * count).map(|i| ((i * 7919) % 1013) as f32 - 506.0).collect();
        let rows = EmbeddingMatrix::from_rows(2, values).unwrap();
        let queries: Vec<usize> = (0..count).collect();
        let answers = |&query: &usize| vec![query, (query + 1) % count];
        let some = worth((&rows, &queries), &rows, answers).unwrap();
        let relevance = Relevance::from_lists(count, queries.iter().map(answers)).unwrap();
        let all = crate::DirectionMetrics::new(&rank(&rows, &rows, &relevance).unwrap()).unwrap();
        assert_eq!(crate::DirectionMetrics::of(&some).unwrap(), all);
    }
}
