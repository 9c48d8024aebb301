//! The paper's three groups of training data (§5): precise texts with images of one object, incomplete sentences
//! with images of one object, ambiguous texts with images of several objects.
//!
//! Where a data set counts the objects of its images, images of one object are those with a count of one. Else
//! the captions of an image tell: they agree where there is one thing to be said, so the half of a split's images
//! whose captions are closest to each other in the text tower's space is taken for precise, the other for
//! ambiguous. Incomplete sentences are the first half of the words of precise captions.

use std::collections::{BTreeMap, HashMap};

use rand::seq::SliceRandom;
use tombolo_eval::Retrieval;
use tombolo_models::map::Map;
use tombolo_vectors::EmbeddingMatrix;

use crate::error::{Result, TrainError};
use crate::joined::{Joined, Role};
use crate::settings::{Group, Order};
use crate::stage::{Course, epoch_rng};

/// The rows of a text's vector and of its image's.
pub(crate) type Pair = (usize, usize);

/// The groups that the pairs of a data set fall into.
pub(crate) struct Groups {
    /// By the row of an image, whether its captions are precise; those of both splits that have captions.
    precise: HashMap<usize, bool>,
    training: Vec<Pair>,
    validation: Vec<Pair>,
    /// The row of each incomplete sentence, by that of the caption that it was cut from.
    sentences: BTreeMap<usize, usize>,
}

/// Pairs to train on.
#[derive(Default)]
pub(crate) struct Lesson {
    pub(crate) texts: Vec<usize>,
    pub(crate) image_of_text: Vec<usize>,
    /// Of each text; empty without a curriculum.
    pub(crate) groups: Vec<Group>,
}

impl Lesson {
    /// So many of the pairs, drawn at random; all of them for 0.
    ///
    /// # Errors
    /// [`TrainError::EmptyGroup`] if none of a group is among them.
    pub(crate) fn few(self, pairs: usize, seed: u64) -> Result<Self> {
        if !(1..self.texts.len()).contains(&pairs) {
            return Ok(self);
        }
        let chosen = few(&self.image_of_text, pairs, seed);
        let of = |values: &[usize]| chosen.iter().map(|&place| values[place]).collect();
        let lesson = Self {
            texts: of(&self.texts),
            image_of_text: of(&self.image_of_text),
            groups: chosen.iter().filter_map(|&place| self.groups.get(place).copied()).collect(),
        };
        match self.groups.iter().find(|group| !lesson.groups.contains(group)) {
            Some(&group) => Err(TrainError::EmptyGroup { group: group.into() }),
            None => Ok(lesson),
        }
    }

    /// The course through the groups, where there are any.
    pub(crate) fn course(&self, order: Order) -> Option<Course<'_>> {
        (!self.groups.is_empty()).then_some(Course { order, group_of_text: &self.groups })
    }
}

impl Groups {
    /// Tells the groups of both splits apart. `objects`: the count of each image, by its row.
    pub(crate) fn new(joined: &Joined, texts: &EmbeddingMatrix, objects: &[Option<usize>]) -> Self {
        let (training, validation) = (joined.training_pairs(), joined.validation_pairs());
        let mut precise = HashMap::new();
        for pairs in [&training, &validation] {
            match objects.iter().any(Option::is_some) {
                true => precise.extend(pairs.iter().map(|&(_, i)| (i, objects[i] == Some(1)))),
                false => precise.extend(by_agreement(pairs, texts)),
            }
        }
        Self { precise, training, validation, sentences: BTreeMap::new() }
    }

    /// Cuts the precise captions of the validation split, and with `training` of that too, to incomplete sentences.
    /// `texts` by row; the rows of the sentences follow, in the order in which they are returned.
    pub(crate) fn cut(&mut self, texts: &[&str], training: bool) -> Vec<String> {
        let training = if training { &self.training[..] } else { &[] };
        let pairs = training.iter().chain(&self.validation);
        let precise = pairs.filter(|(_, image)| self.precise[image]);
        let cut = precise.filter_map(|&(text, _)| Some((text, incomplete(texts[text])?)));
        let (rows, sentences): (Vec<usize>, Vec<String>) = cut.unzip();
        self.sentences = rows.into_iter().zip(texts.len()..).collect();
        sentences
    }

    /// The training pairs of some groups.
    ///
    /// # Errors
    /// [`TrainError::EmptyGroup`] if there are none of one of them.
    pub(crate) fn lesson(&self, groups: &[Group]) -> Result<Lesson> {
        let mut lesson = Lesson::default();
        for &group in groups {
            let before = lesson.texts.len();
            for &(text, image) in &self.training {
                let Some(text) = self.text_of(text, image, group) else { continue };
                lesson.texts.push(text);
                lesson.image_of_text.push(image);
                lesson.groups.push(group);
            }
            if lesson.texts.len() == before {
                return Err(TrainError::EmptyGroup { group: group.into() });
            }
        }
        Ok(lesson)
    }

    /// The row of the text that an image has in a group in place of a caption.
    fn text_of(&self, text: usize, image: usize, group: Group) -> Option<usize> {
        match (group, self.precise[&image]) {
            (Group::Precise, true) | (Group::Ambiguous, false) => Some(text),
            (Group::Incomplete, true) => self.sentences.get(&text).copied(),
            _ => None,
        }
    }

    /// Retrieval of each group of the validation split, ranked against all of the split: for incomplete sentences
    /// they stand in the gallery in the place of the captions that they were cut from. Groups without any are left
    /// out.
    pub(crate) fn validate(
        &self,
        joined: &Joined,
        map: &Map,
        (texts, images): (&EmbeddingMatrix, &EmbeddingMatrix),
    ) -> Result<Vec<(Group, Retrieval)>> {
        let mut found = Vec::new();
        for group in Group::ALL {
            let role = |text, image| match (self.text_of(text, image, group), group) {
                (Some(row), _) => Role::Query(row),
                (None, Group::Incomplete) if self.precise[&image] => Role::Absent,
                (None, _) => Role::Gallery(text),
            };
            let retrieval = joined.validate_roles(map, (texts, images), &role)?;
            found.extend(retrieval.map(|retrieval| (group, retrieval)));
        }
        Ok(found)
    }
}

/// Whether each image is in the half whose captions agree the most; those with a single caption are not.
fn by_agreement(pairs: &[Pair], texts: &EmbeddingMatrix) -> Vec<(usize, bool)> {
    let mut captions = BTreeMap::<usize, Vec<usize>>::new();
    for &(text, image) in pairs {
        captions.entry(image).or_default().push(text);
    }
    let agreed = captions.iter().map(|(&image, rows)| (image, agreement(texts, rows)));
    let mut agreed: Vec<(usize, Option<f32>)> = agreed.collect();
    let order = |x: Option<f32>| x.unwrap_or(f32::NEG_INFINITY);
    agreed.sort_by(|a, b| order(b.1).total_cmp(&order(a.1)).then(a.0.cmp(&b.0)));
    let half = agreed.len().div_ceil(2);
    let places = agreed.into_iter().enumerate();
    places.map(|(place, (image, agreed))| (image, place < half && agreed.is_some())).collect()
}

/// Mean cosine of two of the rows, from the norm of their sum: |Σx|² = n + Σ_{i≠j} cos(i, j). None for a single row.
fn agreement(texts: &EmbeddingMatrix, rows: &[usize]) -> Option<f32> {
    let mut sum = vec![0.0; texts.dim()];
    for &row in rows {
        sum.iter_mut().zip(texts.row(row)).for_each(|(sum, x)| *sum += x);
    }
    let count = rows.len() as f32;
    let square: f32 = sum.iter().map(|x| x * x).sum();
    (rows.len() > 1).then(|| (square - count) / (count * (count - 1.0)))
}

/// The first half of a text's words; none of a text that has not two.
fn incomplete(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    (words.len() > 1).then(|| words[..words.len() / 2].join(" "))
}

/// `count` of the texts, drawn at random; no image gets another text before every image has as many.
fn few(image_of_text: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..image_of_text.len()).collect();
    order.shuffle(&mut epoch_rng(seed, "pairs", 0));
    let mut seen = std::collections::HashMap::new();
    let mut ranked: Vec<(usize, usize)> = order
        .into_iter()
        .map(|text| {
            let rank = seen.entry(image_of_text[text]).or_insert(0);
            *rank += 1;
            (*rank, text)
        })
        .collect();
    ranked.sort_by_key(|&(rank, _)| rank);
    ranked.into_iter().take(count).map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_pairs_for_all_groups_are_refused() {
        let lesson = || Lesson {
            texts: (0..9).collect(),
            image_of_text: (0..9).map(|text| text / 3).collect(),
            groups: (0..9).map(|text| Group::ALL[text / 3]).collect(),
        };
        assert!(lesson().few(2, 0).is_err());
        let few = lesson().few(3, 0).unwrap();
        assert_eq!((few.texts.len(), few.image_of_text.len(), few.groups.len()), (3, 3, 3));
        assert_eq!(lesson().few(0, 0).unwrap().texts.len(), 9);
    }

    #[test]
    fn few_pairs_spread_over_the_images() {
        let image_of_text = [0, 0, 0, 1, 1, 1, 2, 2, 2];
        let chosen = few(&image_of_text, 3, 7);
        let mut images: Vec<usize> = chosen.iter().map(|&text| image_of_text[text]).collect();
        images.sort_unstable();
        assert_eq!(images, [0, 1, 2]);
        assert_eq!(few(&image_of_text, 9, 7).len(), 9);
        assert_ne!(few(&image_of_text, 3, 8), chosen);
    }

    /// Three texts an image, closer to each other the higher the image's number.
    fn texts(images: usize) -> (EmbeddingMatrix, Vec<Pair>) {
        let angle = |image: usize, text: usize| text as f32 * 0.9 / (1.0 + image as f32);
        let pairs: Vec<Pair> = (0..3 * images).map(|text| (text, text / 3)).collect();
        let rows = pairs.iter().map(|&(text, image)| angle(image, text % 3));
        let rows: Vec<f32> = rows.flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        (EmbeddingMatrix::from_rows(2, rows).unwrap(), pairs)
    }

    #[test]
    fn agreement_is_the_mean_cosine_of_two_captions() {
        let (texts, _) = texts(2);
        let expected = (2.0 * 0.9f32.cos() + 1.8f32.cos()) / 3.0;
        assert!((agreement(&texts, &[0, 1, 2]).unwrap() - expected).abs() < 1e-5);
        assert_eq!(agreement(&texts, &[0]), None);
    }

    #[test]
    fn the_half_that_agrees_more_is_precise_and_a_single_caption_never_is() {
        let (texts, mut pairs) = texts(5);
        pairs.retain(|&(text, image)| image != 4 || text % 3 == 0);
        let mut split = by_agreement(&pairs, &texts);
        split.sort_unstable();
        let precise: Vec<bool> = split.into_iter().map(|(_, precise)| precise).collect();
        assert_eq!(precise, [false, true, true, true, false]);
    }

    #[test]
    fn incomplete_sentences_are_the_first_half_of_the_words() {
        assert_eq!(incomplete("A dog  runs on grass .").as_deref(), Some("A dog runs"));
        assert_eq!(incomplete("two words").as_deref(), Some("two"));
        assert_eq!(incomplete("one"), None);
    }
}
