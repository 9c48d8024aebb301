//! Settings of stage scan.

use serde::{Deserialize, Serialize};

/// Settings of stage scan: a network that sees a text and a photo together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanSettings {
    /// Name of the frozen image backbone, whose cells are the regions.
    pub backbone: String,
    /// Width of a word before it is read.
    pub embedding: usize,
    /// Width in which words and regions are compared.
    pub dim: usize,
    /// The most words of a text.
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
    /// By how much a pair should score above the others.
    pub margin: f64,
}

impl Default for ScanSettings {
    fn default() -> Self {
        Self {
            backbone: "efficientnet-lite0".into(),
            embedding: 300,
            dim: 512,
            positions: 64,
            sharpness: 9.0,
            epochs: 15,
            batch: 64,
            learning_rate: 5e-4,
            weight_decay: 0.0,
            margin: 0.2,
        }
    }
}
