//! The queries on which two models differ most, and what each of them finds.

use tombolo_data::dataset::Dataset;
use tombolo_eval::Rankings;
use tombolo_vectors::EmbeddingMatrix;

use crate::evaluation::{Direction, Evaluation};
use crate::report::samples::{ImageHit, TextHit, best_first, scores};
use crate::report::thumbnail::thumbnail;

/// Queries shown that one model answers better than the other.
const QUERIES: usize = 3;
/// Answers shown of each model.
const ANSWERS: usize = 5;

/// A query and what two models find for it.
pub struct Difference<Hit> {
    /// The text, or the image's id.
    pub query: String,
    /// The picture, if the query is one and can be read.
    pub thumbnail: Option<String>,
    /// Of each model: the rank of the first right answer.
    pub ranks: [usize; 2],
    /// Of each model: the best answers.
    pub hits: [Vec<Hit>; 2],
}

/// Where two models differ.
pub struct Differences {
    /// Texts that find images: first those that the first model answers better, then the others.
    pub by_text: Vec<Difference<ImageHit>>,
    /// Images that find texts.
    pub by_image: Vec<Difference<TextHit>>,
}

/// Finds them. Both models have ranked the same gallery.
pub fn between(dataset: &dyn Dataset, models: [&Evaluation; 2]) -> Differences {
    let queries =
        |direction: Direction| widest(models.map(|model| direction.of(&model.rankings)), QUERIES);
    Differences {
        by_text: queries(Direction::TextToImage)
            .into_iter()
            .map(|query| by_text(dataset, models, query))
            .collect(),
        by_image: queries(Direction::ImageToText)
            .into_iter()
            .map(|query| by_image(dataset, models, query))
            .collect(),
    }
}

/// Queries whose first right answers are furthest apart by the ratio of their ranks: at most `count` that the first model
/// answers better, then as many that the second does.
fn widest(rankings: [&Rankings; 2], count: usize) -> Vec<usize> {
    let [first, second] = rankings;
    let ratio = |query: usize| {
        let [a, b] = [first.of(query), second.of(query)].map(|ranks| ranks.first().copied());
        Some((b? as f64 / a? as f64).ln())
    };
    let ratios =
        (0..first.len().min(second.len())).filter_map(|query| Some((query, ratio(query)?)));
    let mut ratios: Vec<(usize, f64)> = ratios.collect();
    ratios.sort_by(|a, b| b.1.total_cmp(&a.1));
    let better = ratios.iter().take(count).filter(|(_, ratio)| *ratio > 0.0);
    let worse = ratios.iter().rev().take(count).filter(|(_, ratio)| *ratio < 0.0);
    better.chain(worse).map(|&(query, _)| query).collect()
}

fn by_text(dataset: &dyn Dataset, models: [&Evaluation; 2], query: usize) -> Difference<ImageHit> {
    let row = models[0].vectors.query_texts[query];
    let text = &dataset.texts()[models[0].vectors.text_indices[row]];
    let hits = models.map(|model| {
        let vectors = &model.vectors;
        let found = best(vectors.texts.row(row), &vectors.images);
        let hit = |(row, score): (usize, f32)| {
            let index = vectors.image_indices[row];
            let image = &dataset.images()[index];
            let (id, thumbnail) = (image.id.clone(), thumbnail(&image.source));
            ImageHit { score, right: index == text.image, id, thumbnail }
        };
        found.into_iter().map(hit).collect()
    });
    let ranks = models.map(|model| model.rankings.text_to_image.of(query)[0]);
    Difference { query: text.text.clone(), thumbnail: None, ranks, hits }
}

fn by_image(dataset: &dyn Dataset, models: [&Evaluation; 2], query: usize) -> Difference<TextHit> {
    let row = models[0].vectors.query_images[query];
    let index = models[0].vectors.image_indices[row];
    let image = &dataset.images()[index];
    let hits = models.map(|model| {
        let vectors = &model.vectors;
        let found = best(vectors.images.row(row), &vectors.texts);
        let hit = |(row, score): (usize, f32)| {
            let text = &dataset.texts()[vectors.text_indices[row]];
            TextHit { score, right: text.image == index, text: text.text.clone() }
        };
        found.into_iter().map(hit).collect()
    });
    let ranks = models.map(|model| model.rankings.image_to_text.of(query)[0]);
    Difference { query: image.id.clone(), thumbnail: thumbnail(&image.source), ranks, hits }
}

/// The best rows and their scores.
fn best(query: &[f32], gallery: &EmbeddingMatrix) -> Vec<(usize, f32)> {
    let scores = scores(query, gallery);
    best_first(&scores).into_iter().take(ANSWERS).map(|row| (row, scores[row])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_ratios_come_first_and_ties_are_left_out() {
        let rankings = |firsts: &[usize]| Rankings::from_lists(firsts.iter().map(|&r| vec![r]));
        let (a, b) = (rankings(&[1, 1, 5, 2, 9]), rankings(&[4, 100, 5, 1, 1]));
        assert_eq!(widest([&a, &b], 2), [1, 0, 4, 3]);
        assert_eq!(widest([&a, &b], 3), [1, 0, 4, 3]);
        assert!(widest([&a, &a], 2).is_empty());
        let unanswerable = Rankings::from_lists([vec![], vec![1]]);
        let other = Rankings::from_lists([vec![], vec![2]]);
        assert_eq!(widest([&unanswerable, &other], 2), [1]);
    }
}
