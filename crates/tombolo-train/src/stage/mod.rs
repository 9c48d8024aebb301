//! The three stages: each modality's own space from unpaired data, then the map that joins them.

mod contrast;
pub mod image;
pub mod joint;
mod lessons;
pub mod map;
pub mod scan;
pub mod text;

pub use contrast::Contrast;
pub(crate) use contrast::{embed, epoch_rng, epochs};
pub use lessons::Course;

use crate::run::{Checkpoints, Logger};

/// What a stage needs beside its data and settings.
pub struct Context<'a> {
    /// Where it leaves what `--resume` continues from.
    pub checkpoints: &'a Checkpoints,
    /// Where it says how far it is.
    pub logger: &'a mut Logger,
    /// Seed of everything that it draws at random.
    pub seed: u64,
}
