//! What is random in one step of stage map, drawn before it is computed.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use tombolo_kernels::{Dropout, Term};

use crate::settings::MapSettings;

/// The texts of each image that has any, in the order of the images.
#[derive(Default)]
pub(in crate::stage) struct Captions(Vec<(u32, Vec<u32>)>);

impl Captions {
    /// Of texts and their images.
    pub(in crate::stage) fn of(texts: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut captions = BTreeMap::<u32, Vec<u32>>::new();
        for (text, image) in texts {
            captions.entry(image as u32).or_default().push(text as u32);
        }
        Self(captions.into_iter().collect())
    }

    /// Takes in others, after its own.
    pub(in crate::stage) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Number of images with texts.
    pub(in crate::stage) fn len(&self) -> usize {
        self.0.len()
    }

    /// An image by its place among those with texts.
    pub(in crate::stage) fn image(&self, item: usize) -> u32 {
        self.0[item].0
    }

    /// One of the image's texts.
    pub(in crate::stage) fn draw(&self, item: usize, rng: &mut ChaCha8Rng) -> u32 {
        *self.0[item].1.choose(rng).expect("only images with texts are trained on")
    }

    /// The images of some items, and of each one of its texts, out of `texts`.
    pub(in crate::stage) fn pairs(
        &self,
        items: &[usize],
        texts: &[usize],
        rng: &mut ChaCha8Rng,
    ) -> (Vec<usize>, Vec<usize>) {
        let pair =
            |&item: &usize| (self.image(item) as usize, texts[self.draw(item, rng) as usize]);
        items.iter().map(pair).unzip()
    }
}

/// One side of a batch.
pub(super) struct SideDraw {
    /// What each row is mixed of, `[rows, terms of a row]`.
    pub(super) terms: Vec<Term>,
    /// Which input components are dropped.
    pub(super) input: Dropout,
    /// Which components inside the MLP are dropped.
    pub(super) inner: Dropout,
}

/// A batch of pairs.
pub(super) struct Draw {
    pub(super) epoch: usize,
    pub(super) rows: usize,
    pub(super) image: SideDraw,
    pub(super) text: SideDraw,
}

impl Draw {
    /// Images and, for each, one of its texts or the mean of two; in some steps each row is mixed with
    /// another, both sides of a pair with the same share and partner, so that mixed pairs still match
    /// (FuseMix, Vouitsis et al. 2024).
    pub(super) fn new(
        items: &[usize],
        captions: &Captions,
        settings: &MapSettings,
        (epoch, rng): (usize, &mut ChaCha8Rng),
    ) -> Self {
        let texts = if rng.random::<f64>() < settings.two_texts { 2 } else { 1 };
        let share = 1.0 / texts as f32;
        let text = |item: usize, rng: &mut ChaCha8Rng| {
            (0..texts).map(|_| Term { row: captions.draw(item, rng), share }).collect()
        };
        let mut texts: Vec<Vec<Term>> = items.iter().map(|&item| text(item, rng)).collect();
        let image = |&item: &usize| vec![Term { row: captions.image(item), share: 1.0 }];
        let mut images: Vec<Vec<Term>> = items.iter().map(image).collect();
        if rng.random::<f64>() < settings.mixup {
            let mut partners: Vec<usize> = (0..items.len()).collect();
            partners.shuffle(rng);
            let share = rng.random::<f32>();
            (images, texts) = (mixed(&images, &partners, share), mixed(&texts, &partners, share));
        }
        let mut side = |terms: Vec<Vec<Term>>| SideDraw {
            terms: terms.concat(),
            input: Dropout::new(rng.random(), settings.input_dropout),
            inner: Dropout::new(rng.random(), settings.dropout),
        };
        Self { epoch, rows: items.len(), image: side(images), text: side(texts) }
    }
}

/// `share` of each row and the rest of its partner.
fn mixed(rows: &[Vec<Term>], partners: &[usize], share: f32) -> Vec<Vec<Term>> {
    let part = |terms: &[Term], of: f32| -> Vec<Term> {
        terms.iter().map(|term| Term { share: of * term.share, ..*term }).collect()
    };
    let pairs = rows.iter().zip(partners);
    pairs
        .map(|(row, &other)| [part(row, share), part(&rows[other], 1.0 - share)].concat())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use rand::SeedableRng;

    #[test]
    fn mixing_keeps_pairs_together_and_shares_add_up_to_one() {
        let captions = Captions::of([3, 3, 5, 5, 9, 9].into_iter().enumerate());
        let settings = MapSettings { mixup: 1.0, two_texts: 1.0, ..Settings::photos().map };
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        let draw = Draw::new(&[0, 1, 2], &captions, &settings, (0, rng));
        let image_of_text = |text: u32| [3, 3, 5, 5, 9, 9][text as usize];
        assert_eq!((draw.image.terms.len(), draw.text.terms.len()), (6, 12));
        for (images, texts) in draw.image.terms.chunks(2).zip(draw.text.terms.chunks(4)) {
            let total: f32 = texts.iter().map(|term| term.share).sum();
            assert!((total - 1.0).abs() < 1e-6);
            for (image, texts) in images.iter().zip(texts.chunks(2)) {
                assert!(texts.iter().all(|text| image_of_text(text.row) == image.row));
                let share: f32 = texts.iter().map(|text| text.share).sum();
                assert!((share - image.share).abs() < 1e-6);
            }
        }
    }
}
