//! How strongly a map holds hubs back, chosen on the validation split.

use tombolo_eval::OwnedGallery;
use tombolo_models::map::{Hubness, Map, Restraint};
use tombolo_vectors::EmbeddingMatrix;

use super::Session;
use crate::error::Result;
use crate::joined::{Joined, Ranked};
use crate::run::Event;

/// Texts of the validation split, at least; with fewer the choice would be chance.
pub(super) const FEWEST: usize = 50;

/// Temperatures that are tried.
const TEMPERATURES: [f64; 3] = [0.02, 0.05, 0.1];

/// Shares that are tried of what is taken off; nothing is tried as well.
const WEIGHTS: [f64; 3] = [0.5, 0.75, 1.0];

impl Session<'_> {
    /// The map with hubs held back as serves the validation split best; as it is where that is best, and where there is too little to
    /// hold vectors against. Where that split is too small to choose by, as strongly as `restraint` says, or not at all.
    pub(super) fn with_hubs_held_back(
        &mut self,
        (map, restraint): (Map, Option<Restraint>),
        joined: &Joined,
        texts: &EmbeddingMatrix,
        images: &EmbeddingMatrix,
    ) -> Result<Map> {
        let (bank_texts, bank_images) = joined.bank(self.settings.map.querybank);
        if bank_texts.len().min(bank_images.len()) < 2 {
            return Ok(map);
        }
        let ranked = match joined.validation_texts() < FEWEST {
            true => None,
            false => joined.ranked(&map, texts, images)?,
        };
        let bank_texts = map.map_texts(&texts.select(&bank_texts))?;
        let bank_images = map.map_images(&images.select(&bank_images))?;
        let Some(Ranked { gallery, .. }) = ranked else {
            let hubness = restraint.map(|known| Hubness::new(known, &bank_texts, &bank_images));
            return Ok(map.with_hubness(hubness.transpose()?));
        };
        self.begin("hubs".to_owned(), TEMPERATURES.len());
        let mut best = (gallery.as_gallery().rankings()?.rsum(), None);
        for (done, temperature) in (1..).zip(TEMPERATURES) {
            let restraint = Restraint { temperature, weight: 1.0 };
            let hubness = Hubness::new(restraint, &bank_texts, &bank_images)?;
            for hubness in WEIGHTS.map(|weight| hubness.with_weight(weight)) {
                let recalls = recalls(&gallery, &hubness)?;
                if recalls > best.0 {
                    best = (recalls, Some(hubness));
                }
            }
            self.logger.event(Event::Advance { done, loss: None });
        }
        let chosen = best.1.as_ref().map(Hubness::restraint);
        self.end(match chosen {
            Some(Restraint { temperature, weight }) => {
                format!("hubs: held back, weight {weight} at temperature {temperature}")
            }
            None => "hubs: left as they are".to_owned(),
        });
        Ok(map.with_hubness(best.1))
    }
}

/// The sum of recalls in a gallery of vectors that were mapped without holding hubs back.
fn recalls(gallery: &OwnedGallery, hubness: &Hubness) -> Result<f64> {
    let held_back = OwnedGallery {
        images: hubness.images(&gallery.images)?,
        texts: hubness.texts(&gallery.texts)?,
        image_of_text: gallery.image_of_text.clone(),
        query_images: gallery.query_images.clone(),
        query_texts: gallery.query_texts.clone(),
    };
    Ok(held_back.as_gallery().rankings()?.rsum())
}
