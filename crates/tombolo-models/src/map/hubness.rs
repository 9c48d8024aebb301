//! What holds hubs back: vectors that are near to everything of the other side, whatever is asked.
//!
//! Where vectors have many components, some photos are among the nearest of very many texts, and some texts of very many photos
//! (Radovanović et al. 2010). So each vector x is held against a **bank** of mapped training vectors b of the other side, and
//! what it has in common with all of them is taken off its scores:
//!
//! ```text
//! h(x) = T · ln mean exp(⟨x, b⟩ / T)        the nearest b left out, less the mean of h over the own side's bank
//! score(t, p) = ⟨t, p⟩ − w · h(t) − w · h(p)
//! ```
//!
//! That is querybank normalisation (Bogolin et al. 2022) with the inverted softmax (Smith et al. 2017) and a weight. What else is
//! searched for, or in, plays no part. The nearest b does not count, since a training photo is nearest to its own text.
//!
//! The score stays a cosine, so that nothing that compares vectors has to know: texts become [t, s, −w·h(t)/s] and photos
//! [p, −w·h(p)/s, s]. Scaling them to unit norm divides the score by √(1 + s² + (w·h/s)²) of each, between 1.04 and 1.16 for the
//! default on Flickr8K. A photo, or a sum of vectors, that other photos are sought by is [p, s, 0]: see [`Hubness::as_query`].

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tombolo_vectors::{EmbeddingMatrix, norm, normalize};

use crate::checkpoint::{HostTensor, Tensors};
use crate::error::Result;
use crate::map::host;

/// The component that carries what the other side's vector takes off: s above.
///
/// The smaller, the more the scaling to unit norm distorts; the larger, the less of a vector is what it means.
const CARRIER: f32 = 0.3;

/// Components that it adds to a mapped vector.
pub(super) const COMPONENTS: usize = 2;

/// What the names of the banks' tensors begin with, in a map's file: they were taken, not trained.
pub const BANKS: &str = "hubness.";

/// The banks: what texts, and what photos, are held against.
const TEXTS: &str = "hubness.text";
const IMAGES: &str = "hubness.image";

/// Vectors that are held against the bank at a time.
const ROWS: usize = 1024;

/// How strongly hubs are held back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restraint {
    /// T: how much nearer neighbours count more than far ones.
    pub temperature: f64,
    /// w: the share that is taken off.
    pub weight: f64,
}

/// Holds hubs back among texts and among photos.
#[derive(Clone)]
pub struct Hubness {
    restraint: Restraint,
    /// What texts are held against: photos.
    texts: Bank,
    /// What photos are held against: texts.
    images: Bank,
}

/// Mapped training vectors of one side, and the mean of h over those of the other.
#[derive(Clone)]
struct Bank {
    vectors: Tensor,
    mean: f32,
}

/// What is recorded beside the banks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Recorded {
    #[serde(flatten)]
    restraint: Restraint,
    text_mean: f32,
    image_mean: f32,
}

impl Hubness {
    /// From mapped vectors of some training texts and photos, two of each at least; pairs are of no use here.
    ///
    /// # Errors
    /// If their widths differ.
    pub fn new(
        restraint: Restraint,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Self> {
        let temperature = restraint.temperature;
        let (of_texts, of_images) =
            (Bank::new(texts, images, temperature)?, Bank::new(images, texts, temperature)?);
        Ok(Self { restraint, texts: of_texts, images: of_images })
    }

    /// How strongly it holds back.
    pub fn restraint(&self) -> Restraint {
        self.restraint
    }

    /// The same banks with another share taken off.
    #[must_use]
    pub fn with_weight(&self, weight: f64) -> Self {
        Self { restraint: Restraint { weight, ..self.restraint }, ..self.clone() }
    }

    /// Mapped texts, with two components more: `[rows, dim + 2]`.
    ///
    /// # Errors
    /// If their width is not that of the bank.
    pub fn texts(&self, mapped: &EmbeddingMatrix) -> Result<EmbeddingMatrix> {
        self.extended(mapped, &self.texts, |taken| [CARRIER, taken])
    }

    /// Mapped photos, with two components more: `[rows, dim + 2]`.
    ///
    /// # Errors
    /// If their width is not that of the bank.
    pub fn images(&self, mapped: &EmbeddingMatrix) -> Result<EmbeddingMatrix> {
        self.extended(mapped, &self.images, |taken| [taken, CARRIER])
    }

    /// The query that a mapped photo, or a sum of mapped vectors, is: what it means, and what takes off from photos as a text does.
    pub(super) fn as_query(mut vector: Vec<f32>) -> Vec<f32> {
        let meaning = vector.len() - COMPONENTS;
        let norm = norm(&vector[..meaning]);
        vector[meaning] = CARRIER * norm;
        vector[meaning + 1] = 0.0;
        normalize(&mut vector);
        vector
    }

    fn extended(
        &self,
        mapped: &EmbeddingMatrix,
        bank: &Bank,
        more: impl Fn(f32) -> [f32; COMPONENTS],
    ) -> Result<EmbeddingMatrix> {
        let nearness = bank.nearness(mapped, self.restraint.temperature)?;
        let mut out = EmbeddingMatrix::new(mapped.dim() + COMPONENTS)?;
        for (vector, nearness) in mapped.iter().zip(nearness) {
            let taken = -(self.restraint.weight as f32) * (nearness - bank.mean) / CARRIER;
            let mut row = [vector, &more(taken)].concat();
            normalize(&mut row);
            out.push(&row)?;
        }
        Ok(out)
    }

    /// Adds the banks to `out`.
    pub(super) fn export(&self, out: &mut BTreeMap<String, HostTensor>) -> Result<Recorded> {
        out.insert(TEXTS.to_owned(), host(&self.texts.vectors)?);
        out.insert(IMAGES.to_owned(), host(&self.images.vectors)?);
        let (text_mean, image_mean) = (self.texts.mean, self.images.mean);
        Ok(Recorded { restraint: self.restraint, text_mean, image_mean })
    }

    /// Takes the banks out of a map's tensors, or says what is wrong with them.
    pub(super) fn take(
        tensors: &mut Tensors,
        recorded: &Recorded,
        dim: usize,
    ) -> std::result::Result<Self, String> {
        let Restraint { temperature, weight } = recorded.restraint;
        let temperature = temperature as f32;
        let numbers = [temperature, weight as f32, recorded.text_mean, recorded.image_mean];
        if temperature <= 0.0 || numbers.iter().any(|number| !number.is_finite()) {
            return Err(format!(
                "hubness: expected finite numbers, and a temperature above 0, found {recorded:?}"
            ));
        }
        let mut bank = |name: &str, mean: f32| {
            let tensor = tensors.remove(name).ok_or_else(|| format!("no tensor `{name}`"))?;
            let rows = tensor.data.len() / dim.max(1);
            if tensor.shape != [rows, dim] || rows < 2 {
                let found = tensor.shape;
                return Err(format!(
                    "`{name}`: expected two rows of {dim} at least, found {found:?}"
                ));
            }
            let vectors = Tensor::from_vec(tensor.data, (rows, dim), &Device::Cpu);
            Ok(Bank { vectors: vectors.map_err(|e| e.to_string())?, mean })
        };
        Ok(Self {
            restraint: recorded.restraint,
            texts: bank(TEXTS, recorded.text_mean)?,
            images: bank(IMAGES, recorded.image_mean)?,
        })
    }
}

impl Bank {
    /// What one side, of which these are some, is held against: some of the other.
    fn new(own: &EmbeddingMatrix, other: &EmbeddingMatrix, temperature: f64) -> Result<Self> {
        let shape = (other.len(), other.dim());
        let vectors = Tensor::from_slice(other.as_slice(), shape, &Device::Cpu)?;
        let bank = Self { vectors, mean: 0.0 };
        let nearness = bank.nearness(own, temperature)?;
        let mean = nearness.iter().sum::<f32>() / nearness.len() as f32;
        Ok(Self { mean, ..bank })
    }

    /// h of each row, its mean not taken off.
    fn nearness(&self, rows: &EmbeddingMatrix, temperature: f64) -> Result<Vec<f32>> {
        let bank = self.vectors.t()?;
        let mut out = Vec::with_capacity(rows.len());
        let dim = rows.dim();
        for rows in rows.as_slice().chunks(ROWS * dim) {
            let shape = (rows.len() / dim, dim);
            let rows = Tensor::from_slice(rows, shape, self.vectors.device())?;
            let mut scores = rows.matmul(&bank)?.flatten_all()?.to_vec1::<f32>()?;
            let scores = scores.par_chunks_mut(self.vectors.dim(0)?);
            let nearness: Vec<f32> =
                scores.map(|scores| soft_mean(scores, temperature as f32)).collect();
            out.extend(nearness);
        }
        Ok(out)
    }
}

/// T · ln mean exp(score / T) of all scores but the largest.
fn soft_mean(scores: &mut [f32], temperature: f32) -> f32 {
    let (rest, _, _) = scores.select_nth_unstable_by(scores.len() - 1, f32::total_cmp);
    let largest = rest.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = rest.iter().map(|score| ((score - largest) / temperature).exp()).sum();
    largest + temperature * (sum / rest.len() as f32).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIM: usize = 8;

    fn unit_rows(rows: usize, seed: usize) -> EmbeddingMatrix {
        let value = |i: usize| ((i * 7919 + seed * 104_729) % 1013) as f32 / 506.5 - 1.0;
        let mut matrix =
            EmbeddingMatrix::from_rows(DIM, (0..rows * DIM).map(value).collect()).unwrap();
        matrix.normalize_rows();
        matrix
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    }

    /// h as the module's equation has it.
    fn h(x: &[f32], bank: &EmbeddingMatrix, temperature: f64) -> f64 {
        let mut scores: Vec<f64> = bank.iter().map(|b| dot(x, b)).collect();
        scores.sort_by(f64::total_cmp);
        scores.pop();
        let sum: f64 = scores.iter().map(|score| (score / temperature).exp()).sum();
        temperature * (sum / scores.len() as f64).ln()
    }

    #[test]
    fn the_score_is_that_of_the_equation_but_for_scaling() {
        let (bank_texts, bank_images) = (unit_rows(30, 1), unit_rows(20, 2));
        let (texts, images) = (unit_rows(4, 3), unit_rows(6, 4));
        let restraint = Restraint { temperature: 0.1, weight: 0.7 };
        let hubness = Hubness::new(restraint, &bank_texts, &bank_images).unwrap();
        let (found_texts, found_images) =
            (hubness.texts(&texts).unwrap(), hubness.images(&images).unwrap());
        let taken = |x: &[f32], own: &EmbeddingMatrix, bank: &EmbeddingMatrix| {
            let mean = own.iter().map(|x| h(x, bank, 0.1)).sum::<f64>() / own.len() as f64;
            0.7 * (h(x, bank, 0.1) - mean)
        };
        let carrier = f64::from(CARRIER);
        for (t, found_text) in texts.iter().zip(found_texts.iter()) {
            let of_text = taken(t, &bank_texts, &bank_images);
            for (p, found_image) in images.iter().zip(found_images.iter()) {
                let of_image = taken(p, &bank_images, &bank_texts);
                let norm = |taken: f64| (1.0 + carrier.powi(2) + (taken / carrier).powi(2)).sqrt();
                let expected = (dot(t, p) - of_text - of_image) / norm(of_text) / norm(of_image);
                assert!((dot(found_text, found_image) - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_photo_is_sought_by_as_a_text_is() {
        let (bank, photos) = (unit_rows(30, 1), unit_rows(3, 4));
        let restraint = Restraint { temperature: 0.1, weight: 0.7 };
        let hubness = Hubness::new(restraint, &bank, &unit_rows(20, 2)).unwrap();
        let mapped = hubness.images(&photos).unwrap();
        let query = Hubness::as_query(mapped.row(0).to_vec());
        let share = (1.0 + CARRIER * CARRIER).sqrt();
        for (found, expected) in query.iter().zip([photos.row(0), &[CARRIER, 0.0]].concat()) {
            assert!((found - expected / share).abs() < 1e-6);
        }
        // What is subtracted takes away what it means and not what holds hubs back.
        let apart = mapped.row(0).iter().zip(mapped.row(1)).map(|(x, y)| x - y).collect();
        let apart = Hubness::as_query(apart);
        assert!((apart[DIM] - CARRIER / share).abs() < 1e-6 && apart[DIM + 1] == 0.0);
    }

    #[test]
    fn the_nearest_does_not_count() {
        let mut scores = [0.1, 0.9, 0.1, 0.1];
        assert!((soft_mean(&mut scores, 0.05) - 0.1).abs() < 1e-6);
        // Exponents of any size.
        assert!((soft_mean(&mut [-30.0, 30.0, -30.0], 1e-3) + 30.0).abs() < 1e-6);
    }

    /// Texts that all lean to one photo: it hides those that they are of.
    #[test]
    fn a_hub_hides_fewer_of_the_others() {
        let mut hub = vec![0.0; DIM];
        hub[0] = 1.0;
        let leaning = |rows: usize, seed: usize| {
            let own = unit_rows(rows, seed).into_vec();
            let leant = own.iter().enumerate().map(|(i, x)| x + hub[i % DIM]).collect();
            let mut texts = EmbeddingMatrix::from_rows(DIM, leant).unwrap();
            texts.normalize_rows();
            texts
        };
        let texts = leaning(40, 1);
        let mut images = EmbeddingMatrix::from_rows(DIM, hub.clone()).unwrap();
        images.extend(&unit_rows(40, 1).select(&(1..40).collect::<Vec<_>>())).unwrap();
        let found = |texts: &EmbeddingMatrix, images: &EmbeddingMatrix| {
            let best = texts.iter().map(|text| {
                let scores: Vec<f64> = images.iter().map(|image| dot(text, image)).collect();
                (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
            });
            best.enumerate().filter(|(text, image)| text == image).count()
        };
        let restraint = Restraint { temperature: 0.1, weight: 1.0 };
        let hubness = Hubness::new(restraint, &leaning(60, 3), &unit_rows(60, 3)).unwrap();
        let before = found(&texts, &images);
        assert!(before > 0);
        let after = found(&hubness.texts(&texts).unwrap(), &hubness.images(&images).unwrap());
        assert!(after > 2 * before, "{before}, then {after}");
    }
}
