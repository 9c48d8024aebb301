//! Sample retrievals: what the trained model finds for a few texts and images that it did not learn from.

use std::collections::HashSet;

use tombolo_data::dataset::{Dataset, Gallery, Split};
use tombolo_models::backbones::Backbones;
use tombolo_models::model::Model;
use tombolo_vectors::{EmbeddingMatrix, dot};

use super::thumbnail::thumbnail;
use super::vectors::{image_vectors, text_vectors};

/// Queries of each kind.
const QUERIES: usize = 6;
/// Answers shown for each.
const ANSWERS: usize = 5;

/// Sample retrievals in both directions.
pub struct Samples {
    /// The split that the queries are from.
    pub split: &'static str,
    /// Images that are ranked.
    pub images: usize,
    /// Texts that are ranked.
    pub texts: usize,
    /// Texts as queries.
    pub by_text: Vec<TextQuery>,
    /// Images as queries.
    pub by_image: Vec<ImageQuery>,
}

/// A text and the images found for it.
pub struct TextQuery {
    /// The text.
    pub text: String,
    /// Rank of the first right image, from 1.
    pub rank: Option<usize>,
    /// The best images, best first.
    pub hits: Vec<ImageHit>,
}

/// An image found for a text.
pub struct ImageHit {
    /// Cosine of its vector with the text's.
    pub score: f32,
    /// Whether the text belongs to it.
    pub right: bool,
    /// Its id.
    pub id: String,
    /// The picture, as a data URI.
    pub thumbnail: Option<String>,
}

/// An image and the texts found for it.
pub struct ImageQuery {
    /// Its id.
    pub id: String,
    /// The picture, as a data URI.
    pub thumbnail: Option<String>,
    /// Rank of the first right text, from 1.
    pub rank: Option<usize>,
    /// The best texts, best first.
    pub hits: Vec<TextHit>,
}

/// A text found for an image.
pub struct TextHit {
    /// Cosine of its vector with the image's.
    pub score: f32,
    /// Whether it belongs to the image.
    pub right: bool,
    /// The text.
    pub text: String,
}

/// Draws samples from the validation split, or from test or train where that is empty. The same run and
/// data set give the same samples.
///
/// # Errors
/// If a part of the model cannot be loaded, or a backbone fails.
pub fn draw(
    model: &Model,
    dataset: &dyn Dataset,
    backbones: &Backbones,
) -> anyhow::Result<Option<Samples>> {
    let order = [Split::Val, Split::Test, Split::Train];
    let Some(split) = order.into_iter().find(|&split| dataset.count(split).texts > 0) else {
        return Ok(None);
    };
    let (most_images, most_texts) = match (dataset.gallery(), split) {
        (Gallery::Everything, _) => (4_000, 10_000),
        // Training has cached what the backbone says of the other splits; this one costs its time here.
        (Gallery::SameSplit, Split::Test) => (200, 1_000),
        (Gallery::SameSplit, _) => (1_000, 5_000),
    };
    let images = gallery_images(dataset, split, most_images);
    let sources: Vec<_> = images.iter().map(|&i| dataset.images()[i].source.clone()).collect();
    let (image_rows, read) = image_vectors(model, backbones, &sources)?;
    let images: Vec<usize> = read.into_iter().map(|place| images[place]).collect();
    let texts = gallery_texts(dataset, &images, most_texts);
    let strings: Vec<&str> = texts.iter().map(|&i| dataset.texts()[i].text.as_str()).collect();
    if images.is_empty() || texts.is_empty() {
        return Ok(None);
    }
    let map = model.map(&backbones.device)?;
    let ranked = Ranked {
        image_vectors: map.map_images(&image_rows)?,
        text_vectors: map.map_texts(&text_vectors(model, backbones, &strings)?)?,
        dataset,
        images,
        texts,
    };
    Ok(Some(ranked.samples(split)))
}

/// The split's images that have texts, spread evenly where there are too many, and the others behind them
/// where the data set ranks against everything.
fn gallery_images(dataset: &dyn Dataset, split: Split, most: usize) -> Vec<usize> {
    let with_texts = |split| {
        let images = dataset.image_indices(split).into_iter();
        images.filter(|&image| !dataset.texts_of(image).is_empty()).collect::<Vec<_>>()
    };
    let own = with_texts(split);
    let mut images: Vec<usize> = spread(most, own.len()).map(|place| own[place]).collect();
    if dataset.gallery() == Gallery::Everything {
        let others = Split::ALL.into_iter().filter(|&other| other != split);
        let others: Vec<usize> = others.flat_map(with_texts).collect();
        images.extend(spread(most - images.len(), others.len()).map(|place| others[place]));
    }
    images
}

/// As many texts of each image as the limit allows all of them.
fn gallery_texts(dataset: &dyn Dataset, images: &[usize], most: usize) -> Vec<usize> {
    let all: usize = images.iter().map(|&image| dataset.texts_of(image).len()).sum();
    let each = if all <= most { usize::MAX } else { (most / images.len()).max(1) };
    images.iter().flat_map(|&image| dataset.texts_of(image).take(each)).collect()
}

/// At most `count` places of `0..of`, ascending, evenly spread.
fn spread(count: usize, of: usize) -> impl Iterator<Item = usize> {
    let count = count.min(of);
    (0..count).map(move |index| (2 * index + 1) * of / (2 * count))
}

/// A gallery in the space where texts and images are compared.
struct Ranked<'a> {
    dataset: &'a dyn Dataset,
    images: Vec<usize>,
    texts: Vec<usize>,
    image_vectors: EmbeddingMatrix,
    text_vectors: EmbeddingMatrix,
}

impl Ranked<'_> {
    fn samples(&self, split: Split) -> Samples {
        let all = 0..self.images.len();
        let own: Vec<usize> =
            all.filter(|&row| self.dataset.images()[self.images[row]].split == split).collect();
        let queries: Vec<usize> = spread(2 * QUERIES, own.len()).map(|place| own[place]).collect();
        Samples {
            split: split.as_str(),
            images: self.images.len(),
            texts: self.texts.len(),
            by_text: queries.iter().step_by(2).filter_map(|&row| self.by_text(row)).collect(),
            by_image: queries.iter().skip(1).step_by(2).map(|&row| self.by_image(row)).collect(),
        }
    }

    /// What is found for the first text of an image. Every image that has the same text is right.
    fn by_text(&self, row: usize) -> Option<TextQuery> {
        let (place, &text) = self
            .texts
            .iter()
            .enumerate()
            .find(|&(_, &text)| self.image_of(text) == self.images[row])?;
        let text = self.dataset.texts()[text].text.as_str();
        let scores = scores(self.text_vectors.row(place), &self.image_vectors);
        let right = |row: usize| self.texts_of(self.images[row]).contains(text);
        let hits = best_first(&scores).into_iter().take(ANSWERS).map(|row| {
            let image = &self.dataset.images()[self.images[row]];
            ImageHit {
                score: scores[row],
                right: right(row),
                id: image.id.clone(),
                thumbnail: thumbnail(&image.source),
            }
        });
        let hits = hits.collect();
        Some(TextQuery { text: text.to_owned(), rank: first_right(&scores, right), hits })
    }

    /// What is found for an image. A text that several images have is listed once.
    fn by_image(&self, row: usize) -> ImageQuery {
        let image = &self.dataset.images()[self.images[row]];
        let right_texts = self.texts_of(self.images[row]);
        let scores = scores(self.image_vectors.row(row), &self.text_vectors);
        let text = |row: usize| self.dataset.texts()[self.texts[row]].text.as_str();
        let right = |row: usize| right_texts.contains(text(row));
        let mut listed = HashSet::new();
        let new = best_first(&scores).into_iter().filter(|&row| listed.insert(text(row)));
        let hits = new.take(ANSWERS).map(|row| TextHit {
            score: scores[row],
            right: right(row),
            text: text(row).to_owned(),
        });
        ImageQuery {
            hits: hits.collect(),
            id: image.id.clone(),
            thumbnail: thumbnail(&image.source),
            rank: first_right(&scores, right),
        }
    }

    fn image_of(&self, text: usize) -> usize {
        self.dataset.texts()[text].image
    }

    fn texts_of(&self, image: usize) -> HashSet<&str> {
        let texts = self.dataset.texts_of(image);
        texts.map(|text| self.dataset.texts()[text].text.as_str()).collect()
    }
}

/// The cosine of each row with a query, both of unit norm.
pub(super) fn scores(query: &[f32], rows: &EmbeddingMatrix) -> Vec<f32> {
    rows.iter().map(|row| dot(query, row)).collect()
}

/// Rows by their scores, best first.
pub(super) fn best_first(scores: &[f32]) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..scores.len()).collect();
    rows.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    rows
}

/// The rank of the best right row; an equal score counts as ranked before it.
fn first_right(scores: &[f32], right: impl Fn(usize) -> bool) -> Option<usize> {
    let (right, wrong): (Vec<usize>, Vec<usize>) = (0..scores.len()).partition(|&row| right(row));
    let best = right.into_iter().map(|row| scores[row]).max_by(f32::total_cmp)?;
    Some(1 + wrong.into_iter().filter(|&row| scores[row] >= best).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_data::dataset::emoji;

    #[test]
    fn places_are_spread_evenly() {
        assert_eq!(spread(3, 12).collect::<Vec<_>>(), [2, 6, 10]);
        assert_eq!(spread(9, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(4, 0).count(), 0);
    }

    #[test]
    fn ties_rank_before_the_right_one() {
        let scores = [0.5, 0.9, 0.5, 0.1];
        assert_eq!(first_right(&scores, |row| row == 2), Some(3));
        assert_eq!(first_right(&scores, |row| row == 0 || row == 1), Some(1));
        assert_eq!(first_right(&scores, |_| false), None);
        assert_eq!(best_first(&scores), [1, 0, 2, 3]);
    }

    #[test]
    fn a_gallery_begins_with_the_split_and_keeps_to_its_limits() {
        let dataset = emoji::open([]).unwrap();
        let own = dataset.image_indices(Split::Val);
        let images = gallery_images(&dataset, Split::Val, 500);
        assert_eq!(images.len(), 500);
        assert!(own.len() < 500 && images.starts_with(&own));
        let texts = gallery_texts(&dataset, &images, 600);
        assert!(texts.len() <= 600 && texts.len() >= images.len());
    }

    /// One vector an image, which its texts share: everything is found first.
    #[test]
    fn a_perfect_model_finds_the_right_ones_first() {
        let dataset = emoji::open([]).unwrap();
        let images = gallery_images(&dataset, Split::Val, 200);
        let texts = gallery_texts(&dataset, &images, 10_000);
        let unit = |hot: usize| (0..images.len()).map(move |i| f32::from(u8::from(i == hot)));
        let row = |image| images.iter().position(|&i| i == image).unwrap();
        let image_rows = (0..images.len()).flat_map(unit).collect();
        let text_rows = texts.iter().flat_map(|&t| unit(row(dataset.texts()[t].image))).collect();
        let ranked = Ranked {
            dataset: &dataset,
            image_vectors: EmbeddingMatrix::from_rows(images.len(), image_rows).unwrap(),
            text_vectors: EmbeddingMatrix::from_rows(images.len(), text_rows).unwrap(),
            images: images.clone(),
            texts,
        };
        let samples = ranked.samples(Split::Val);
        assert_eq!((samples.by_text.len(), samples.by_image.len()), (QUERIES, QUERIES));
        assert!(samples.by_text.iter().all(|query| query.rank == Some(1) && query.hits[0].right));
        assert!(samples.by_image.iter().all(|query| query.rank == Some(1) && query.hits[0].right));
        assert!(samples.by_text[0].hits[0].thumbnail.is_some());
    }
}
