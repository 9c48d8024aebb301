//! Settings of stage scan.

use serde::{Deserialize, Serialize};

use super::Auto;
use crate::loss::Loss;

/// Settings of stage scan: a network that sees a text and a photo together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanSettings {
    /// Name of the frozen image backbone, whose cells are the regions.
    pub backbone: String,
    /// Name of the frozen text backbone, whose states are the words; `words`: learned words, read by a GRU.
    pub text: String,
    /// Width of a learned word before it is read.
    pub embedding: usize,
    /// Width in which words and regions are compared.
    pub dim: usize,
    /// The most learned words of a text.
    pub positions: usize,
    /// λ: how sharply a word attends.
    pub sharpness: f64,
    /// Passes over the training images, one text each.
    pub epochs: usize,
    /// Pairs a step: each image is seen with each text.
    pub batch: usize,
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// The loss over the scores of a batch: infonce, triplet-sum or triplet-hardest.
    pub loss: Loss,
    /// Of the loss infonce.
    pub temperature: f64,
    /// By how much a pair should score above the others, with a triplet loss.
    pub margin: f64,
    /// Share of the cells that are left out, and of the values of cells and of a text network's words that are set to 0. Bare
    /// patches are moved and lit otherwise instead of being left out.
    pub drop: f64,
    /// How much its score counts beside the first score, which counts 1; by default chosen on the validation split, for the
    /// model that it is put beside.
    pub weight: ScanWeight,
}

/// How much the score of a SCAN counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ScanWeight {
    /// This much.
    Fixed(f64),
    /// What is best on the validation split.
    Auto(Auto),
}

impl ScanWeight {
    /// Where there is no validation split, or no model beside.
    const UNKNOWN: f64 = 0.5;

    /// The weight, or one for a model that is not known.
    pub(crate) fn or_usual(self) -> f64 {
        match self {
            Self::Fixed(weight) => weight,
            Self::Auto(_) => Self::UNKNOWN,
        }
    }
}

impl Default for ScanSettings {
    fn default() -> Self {
        Self {
            backbone: "efficientnet-lite2+middle".into(),
            text: "all-minilm-l6-v2@0,6".into(),
            embedding: 300,
            dim: 256,
            positions: 64,
            sharpness: 9.0,
            epochs: 12,
            batch: 96,
            learning_rate: 1e-3,
            weight_decay: 0.1,
            loss: Loss::InfoNce,
            temperature: 0.05,
            margin: 0.2,
            drop: 0.2,
            weight: ScanWeight::Auto(Auto::Auto),
        }
    }
}
