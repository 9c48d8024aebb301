//! Which pairs each epoch of stages map, joint and scan trains on.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::seq::SliceRandom;

use super::contrast::epoch_rng;
use super::map::draw::Captions;
use crate::settings::{Group, Order};

/// The groups of the texts to train on, and the order to go through them.
#[derive(Clone, Copy)]
pub struct Course<'a> {
    /// The order.
    pub order: Order,
    /// The group of each text.
    pub group_of_text: &'a [Group],
}

/// Examples, each an image with texts of one group, and those of each epoch: no image twice in one, for the texts
/// of an image are no negatives of each other.
pub(super) struct Lessons {
    pub(super) captions: Captions,
    epochs: Vec<Vec<usize>>,
}

impl Lessons {
    /// All pairs in every epoch, or what a course asks for.
    pub(super) fn new(
        image_of_text: &[usize],
        course: Option<Course<'_>>,
        epochs: usize,
        seed: u64,
    ) -> Self {
        let Some(course) = course.filter(|course| course.order != Order::None) else {
            let captions = Captions::of(image_of_text.iter().copied().enumerate());
            let epochs = vec![(0..captions.len()).collect(); epochs];
            return Self { captions, epochs };
        };
        let (captions, groups) = examples(image_of_text, course.group_of_text);
        let count = groups.len();
        let place = |epoch: usize| epoch * count / epochs;
        let epochs = match course.order {
            Order::Mixed => mixed(&captions, count, epochs, seed),
            Order::Reversed => {
                (0..epochs).map(|e| groups[count - 1 - place(e)].clone().collect()).collect()
            }
            Order::None | Order::Paper => {
                (0..epochs).map(|e| groups[place(e)].clone().collect()).collect()
            }
        };
        Self { captions, epochs }
    }

    /// The examples of an epoch, in a fixed order.
    pub(super) fn of(&self, epoch: usize) -> &[usize] {
        &self.epochs[epoch]
    }

    /// Steps of the first epochs, each step of `batch` examples at most.
    pub(super) fn steps(&self, epochs: usize, batch: usize) -> usize {
        self.epochs[..epochs].iter().map(|items| items.len().div_ceil(batch)).sum()
    }
}

/// Group after group, the images with the texts that they have in it; and where each group is.
fn examples(image_of_text: &[usize], group_of_text: &[Group]) -> (Captions, Vec<Range<usize>>) {
    let mut all = Captions::default();
    let mut groups = Vec::new();
    for group in Group::ALL {
        let texts = image_of_text.iter().copied().enumerate();
        let texts = texts.filter(|&(text, _)| group_of_text[text] == group);
        let first = all.len();
        all.extend(Captions::of(texts));
        if all.len() > first {
            groups.push(first..all.len());
        }
    }
    (all, groups)
}

/// As many epochs as there are groups see each example once, those of one image in different epochs, and as many
/// examples in each.
fn mixed(captions: &Captions, groups: usize, epochs: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut examples_of = BTreeMap::<u32, Vec<usize>>::new();
    for example in 0..captions.len() {
        examples_of.entry(captions.image(example)).or_default().push(example);
    }
    let mut images: Vec<Vec<usize>> = examples_of.into_values().collect();
    let mut all = Vec::new();
    for round in 0..epochs.div_ceil(groups) {
        let mut rng = epoch_rng(seed, "curriculum", round);
        let mut parts = vec![Vec::new(); groups];
        images.shuffle(&mut rng);
        // Images of as many examples are dealt out in turn, so that no part gets more of them.
        images.sort_by_key(Vec::len);
        for (turn, examples) in images.iter_mut().enumerate() {
            examples.shuffle(&mut rng);
            for (place, &example) in (turn..).zip(examples.iter()) {
                parts[place % groups].push(example);
            }
        }
        all.extend(parts);
    }
    all.truncate(epochs);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use Group::{Ambiguous, Incomplete, Precise};

    /// Forty images of two texts each; the first twenty have an incomplete one beside each.
    fn pairs() -> (Vec<usize>, Vec<Group>) {
        let whole = (0..80).map(|text| (text / 2, if text < 40 { Precise } else { Ambiguous }));
        whole.chain((0..40).map(|text| (text / 2, Incomplete))).unzip()
    }

    fn lessons(order: Order, epochs: usize, seed: u64) -> Lessons {
        let (image_of_text, groups) = pairs();
        let course = Course { order, group_of_text: &groups };
        Lessons::new(&image_of_text, Some(course), epochs, seed)
    }

    /// The groups that the texts drawn in an epoch are of.
    fn groups_of(lessons: &Lessons, epoch: usize) -> HashSet<Group> {
        let groups = pairs().1;
        let mut rng = epoch_rng(1, "test", 0);
        let texts = lessons.of(epoch).iter().map(|&item| lessons.captions.draw(item, &mut rng));
        texts.map(|text| groups[text as usize]).collect()
    }

    #[test]
    fn epochs_are_divided_over_the_groups_in_the_order_asked_for() {
        for (order, expected) in [
            (Order::Paper, [Precise, Precise, Incomplete, Incomplete, Ambiguous, Ambiguous]),
            (Order::Reversed, [Ambiguous, Ambiguous, Incomplete, Incomplete, Precise, Precise]),
        ] {
            let lessons = lessons(order, 6, 0);
            for (epoch, group) in expected.into_iter().enumerate() {
                assert_eq!(groups_of(&lessons, epoch), HashSet::from([group]));
                assert_eq!(lessons.of(epoch).len(), 20);
            }
        }
        assert_eq!(groups_of(&lessons(Order::Paper, 4, 0), 3), HashSet::from([Ambiguous]));
    }

    #[test]
    fn mixed_epochs_see_the_examples_of_the_paper_as_often_and_no_image_twice() {
        let (mixed, paper) = (lessons(Order::Mixed, 6, 5), lessons(Order::Paper, 6, 5));
        let seen = |lessons: &Lessons| {
            let mut seen: Vec<usize> = (0..6).flat_map(|e| lessons.of(e).to_vec()).collect();
            seen.sort_unstable();
            seen
        };
        assert_eq!(seen(&mixed), seen(&paper));
        for epoch in 0..6 {
            let images = mixed.of(epoch).iter().map(|&item| mixed.captions.image(item));
            assert_eq!(images.collect::<HashSet<_>>().len(), mixed.of(epoch).len());
            assert_eq!(groups_of(&mixed, epoch).len(), 3);
            assert!((19..=21).contains(&mixed.of(epoch).len()));
        }
        assert_ne!(mixed.of(0), lessons(Order::Mixed, 6, 6).of(0));
    }

    #[test]
    fn without_a_course_every_epoch_sees_every_image() {
        let lessons = Lessons::new(&pairs().0, None, 2, 0);
        assert_eq!((lessons.of(0).len(), lessons.of(1).len()), (40, 40));
        assert_eq!((lessons.steps(1, 15), lessons.steps(2, 15)), (3, 6));
    }
}
