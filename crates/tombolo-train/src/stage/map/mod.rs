//! Stage map: joins the two spaces from pairs, in closed form or by training (§3.3 of the paper).

pub mod classes;
mod closed;
pub(super) mod draw;
mod fused;
pub(super) mod graph;
pub(super) mod training;

use candle_core::Device;
use tombolo_models::map::Map;
use tombolo_vectors::EmbeddingMatrix;

use crate::error::{Result, TrainError};
use crate::settings::{MapKind, MapSettings};
use crate::stage::lessons::Lessons;
use crate::stage::{Context, Course};

const STAGE: &str = "map";

/// Texts and images of the training split that belong together.
#[derive(Clone, Copy)]
pub struct TrainingPairs<'a> {
    /// The text tower's vectors.
    pub texts: &'a EmbeddingMatrix,
    /// The image tower's vectors, those of the training split first.
    pub images: &'a EmbeddingMatrix,
    /// How many of these are of the training split: a map may know of no others.
    pub training_images: usize,
    /// The image of each text.
    pub image_of_text: &'a [usize],
    /// The groups that trained forms go through, if they do.
    pub course: Option<Course<'a>>,
}

impl TrainingPairs<'_> {
    /// Vectors of the training split's images, `[training_images, dim]`.
    pub(super) fn image_rows(&self) -> &[f32] {
        &self.images.as_slice()[..self.training_images * self.images.dim()]
    }

    /// Steps of one member of a trained form; the maps that are tried of a closed one.
    pub fn steps(&self, settings: &MapSettings, seed: u64) -> usize {
        if !settings.kind.is_trained() {
            return closed::tries(settings);
        }
        let lessons = Lessons::new(self.image_of_text, self.course, settings.epochs, seed);
        lessons.steps(settings.epochs, settings.batch)
    }
}

/// What a map is to be found from.
pub struct Task<'a> {
    /// The pairs.
    pub pairs: TrainingPairs<'a>,
    /// How.
    pub settings: &'a MapSettings,
    /// Where.
    pub device: &'a Device,
    /// How well a map does on the validation split, the sum of its recalls; none without such a split.
    pub validate: &'a dyn Fn(&Map) -> Result<Option<f64>>,
}

/// A map, and what was chosen on the way.
pub struct Found {
    /// The map.
    pub map: Map,
    /// The regularisation of a closed form that has one.
    pub regularisation: Option<f64>,
}

/// A way to find a map.
trait Form {
    /// Finds the map of a task.
    fn find(&self, task: &Task<'_>, context: &mut Context<'_>) -> Result<Found>;
}

/// Finds the map that the settings ask for.
///
/// # Errors
/// [`TrainError::TooLittle`] without pairs, [`TrainError::Diverged`], or if a closed form has no solution.
pub fn train(task: &Task<'_>, context: &mut Context<'_>) -> Result<Found> {
    let pairs = task.pairs;
    if pairs.texts.len() < 2 {
        let (expected, found) = ("at least two training pairs", pairs.texts.len());
        return Err(TrainError::TooLittle { stage: STAGE, expected, found });
    }
    let form: &dyn Form = match task.settings.kind {
        MapKind::Ridge => &closed::Ridge,
        MapKind::Procrustes => &closed::Procrustes,
        MapKind::Cca => &closed::Cca,
        MapKind::Linear | MapKind::Mlp => &training::Trained,
    };
    form.find(task, context)
}
