//! Pairs of the map that are no photos' and captions', but the classes that the image backbone knows.

use tombolo_models::ModelError;
use tombolo_models::model::Model;
use tombolo_vectors::EmbeddingMatrix;

use super::Session;
use crate::error::{Result, TrainError};
use crate::joined::Joined;
use crate::stage::map::TrainingPairs;
use crate::stage::map::classes::{TEXTS, prototypes, texts};

/// Pairs with classes among them.
pub(super) struct Paired {
    texts: EmbeddingMatrix,
    images: EmbeddingMatrix,
    image_of_text: Vec<usize>,
}

impl Paired {
    /// As a map is trained on them: in no groups.
    pub(super) fn pairs(&self) -> TrainingPairs<'_> {
        let Self { texts, images, image_of_text } = self;
        TrainingPairs { texts, images, training_images: images.len(), image_of_text, course: None }
    }
}

impl Session<'_> {
    /// The pairs, and the classes of the image backbone after them. What photos of a class would be is found from the
    /// training photos among the images.
    pub(super) fn with_classes(
        &mut self,
        pairs: &TrainingPairs<'_>,
        joined: &Joined,
    ) -> Result<Paired> {
        let (backbone, logger) = (&self.settings.image.backbone, &mut self.logger);
        let classifiers = self.backbones.classifiers(backbone, &mut |p| logger.pull(p))?;
        let Some(tower) = &self.model.image else {
            let (stage, needs, path) = ("map", "image", self.run.dir().to_path_buf());
            return Err(TrainError::MissingStage { stage, needs, path });
        };
        let mut rows = joined.training_image_of_text.clone();
        rows.sort_unstable();
        rows.dedup();
        if rows.is_empty() {
            let (expected, found) = ("at least one pair", 0);
            return Err(TrainError::TooLittle { stage: "map", expected, found });
        }
        let found = prototypes(pairs.images, &rows, &classifiers, &tower.tower)?;
        let model = Model::open(self.run.dir())?;
        let tower = model.text_tower(self.backbones, &mut |p| logger.pull(p))?;
        let texts = texts();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let first = pairs.training_images;
        let mut image_of_text = pairs.image_of_text.to_vec();
        image_of_text.extend((0..texts.len()).map(|text| first + text / TEXTS));
        let texts = with(pairs.texts, &tower.embed(&texts)?)?;
        let seen = pairs.images.select(&(0..first).collect::<Vec<_>>());
        Ok(Paired { texts, images: with(&seen, &found)?, image_of_text })
    }
}

/// The rows of one matrix, and those of another after them.
fn with(first: &EmbeddingMatrix, second: &EmbeddingMatrix) -> Result<EmbeddingMatrix> {
    let mut both = first.clone();
    both.extend(second).map_err(ModelError::from)?;
    Ok(both)
}
