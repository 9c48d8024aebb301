//! The best of both directions, judged again by something that sees an image and a text together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::scores::score;
use crate::{BothRankings, EvalError, Gallery, candidates, reranked};

/// The best rows of a gallery for each query: texts for the images that are queries, images for the texts that are.
pub struct Candidates([Vec<Vec<usize>>; 2]);

impl Gallery<'_> {
    /// The best `top` rows for each query, the best first.
    ///
    /// # Errors
    /// If a side is empty, or the widths differ.
    pub fn candidates(&self, top: usize) -> Result<Candidates, EvalError> {
        let (images, texts) =
            (self.images.select(self.query_images), self.texts.select(self.query_texts));
        Ok(Candidates([
            candidates(&images, self.texts, top)?,
            candidates(&texts, self.images, top)?,
        ]))
    }

    /// The texts that each image is to be judged with, in either direction: an image is looked at once for all of them.
    pub fn pairs(&self, candidates: &Candidates) -> BTreeMap<usize, BTreeSet<usize>> {
        let Candidates([texts, images]) = candidates;
        let mut pairs: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (&image, texts) in self.query_images.iter().zip(texts) {
            pairs.entry(image).or_default().extend(texts);
        }
        for (&text, images) in self.query_texts.iter().zip(images) {
            for &image in images {
                pairs.entry(image).or_default().insert(text);
            }
        }
        pairs
    }

    /// The rankings with the candidates of each query ordered anew, and all else as it was: [`reranked`] both ways.
    ///
    /// `scores`: what the judge gives the [`pairs`](Self::pairs) of an image and a text; `combined`: what orders, of the
    /// first score and the judge's.
    ///
    /// # Errors
    /// If the rankings are not of these queries and this gallery.
    /// # Panics
    /// If a pair has no score.
    pub fn judged(
        &self,
        first: &BothRankings,
        candidates: &Candidates,
        scores: &HashMap<(usize, usize), f32>,
        combined: &dyn Fn(f32, f32) -> f32,
    ) -> Result<BothRankings, EvalError> {
        let of = |image: usize, text: usize| {
            let first = score(self.images.row(image), self.texts.row(text)) as f32;
            combined(first, scores[&(image, text)])
        };
        let Candidates([texts, images]) = candidates;
        let texts = self.query_images.iter().zip(texts);
        let texts: Vec<Vec<(usize, f32)>> = texts
            .map(|(&image, texts)| texts.iter().map(|&text| (text, of(image, text))).collect())
            .collect();
        let images = self.query_texts.iter().zip(images);
        let images: Vec<Vec<(usize, f32)>> = images
            .map(|(&text, images)| images.iter().map(|&image| (image, of(image, text))).collect())
            .collect();
        let [image_to_text, text_to_image] = self.answers()?;
        Ok(BothRankings {
            image_to_text: reranked(&first.image_to_text, &image_to_text, &texts)?,
            text_to_image: reranked(&first.text_to_image, &text_to_image, &images)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use tombolo_vectors::EmbeddingMatrix;

    use super::*;

    /// Three images on a line, a text each; a judge who knows no image but its own text, and is heard or not.
    #[test]
    fn what_orders_is_the_first_score_and_the_judges_together() {
        let texts = EmbeddingMatrix::from_rows(2, vec![0.8, 0.6, 1.0, 0.0, 0.0, 1.0]).unwrap();
        let images = EmbeddingMatrix::from_rows(2, vec![1.0, 0.0, 0.8, 0.6, 0.0, 1.0]).unwrap();
        let all = [0, 1, 2];
        let gallery = Gallery {
            images: &images,
            texts: &texts,
            image_of_text: &all,
            query_images: &all,
            query_texts: &all,
        };
        let first = gallery.rankings().unwrap();
        let candidates = gallery.candidates(2).unwrap();
        let pairs = gallery.pairs(&candidates);
        assert_eq!(pairs[&0], BTreeSet::from([0, 1]));
        let known = pairs.iter().flat_map(|(&image, texts)| {
            texts.iter().map(move |&text| ((image, text), f32::from(u8::from(image == text))))
        });
        let scores = known.collect();
        let rsum = |weight: f32| {
            let combined = |first: f32, score: f32| first + weight * score;
            let judged = gallery.judged(&first, &candidates, &scores, &combined).unwrap();
            judged.retrieval().unwrap().rsum
        };
        assert_eq!(rsum(0.0), first.retrieval().unwrap().rsum);
        assert_eq!(rsum(1.0), 600.0);
        assert!(rsum(0.1) < 600.0);
    }
}
