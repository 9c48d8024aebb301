//! The groups of the curriculum, told apart once the text tower is trained.

use tombolo_models::tower::Tower;
use tombolo_vectors::EmbeddingMatrix;

use super::Session;
use crate::curriculum::Groups;
use crate::error::Result;
use crate::joined::{Joined, Used};
use crate::settings::{Group, Order};
use crate::stage::image::ImageInputs;
use crate::stage::text::{self, TextInputs, Words};

/// The texts as stages map and joint read them.
pub(super) struct Reading {
    pub(super) inputs: TextInputs,
    pub(super) vectors: EmbeddingMatrix,
}

impl Session<'_> {
    /// Tells the groups apart that the settings ask for, and adds their incomplete sentences to the texts.
    pub(super) fn grouped(
        &mut self,
        (joined, reading): (&mut Joined, Reading),
        (texts, tower): (&Used, &Tower),
        (images, image_inputs): (&Used, &ImageInputs),
    ) -> Result<Reading> {
        let curriculum = self.settings.curriculum.clone();
        if curriculum.order == Order::None {
            return Ok(reading);
        }
        let dataset = self.plan.dataset;
        let objects = image_inputs.read.iter().map(|&place| dataset.objects(images.items[place]));
        let objects: Vec<Option<usize>> = objects.collect();
        let Reading { inputs, mut vectors } = reading;
        let mut groups = Groups::new(joined, &vectors, &objects);
        let texts = self.texts(texts);
        let sentences = groups.cut(&texts, curriculum.groups.contains(&Group::Incomplete));
        // Closes the cache of features, which is opened again.
        drop(inputs);
        let both: Vec<&str> =
            texts.iter().copied().chain(sentences.iter().map(String::as_str)).collect();
        let (settings, dir) = (self.settings.text.clone(), self.run.dir());
        let inputs = text::prepare(
            &both,
            Words::AsTrained,
            &settings,
            self.backbones,
            dir,
            &mut self.logger,
        )?;
        let views = inputs.views.as_ref();
        let new = self.vectors("incomplete sentences", tower, views, texts.len()..both.len())?;
        vectors.extend(&new).map_err(tombolo_models::ModelError::from)?;
        joined.groups = Some(groups);
        Ok(Reading { inputs, vectors })
    }
}
