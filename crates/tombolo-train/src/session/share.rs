//! How much the map that was there before counts beside a new one.

use tombolo_eval::OwnedGallery;
use tombolo_models::ModelError;
use tombolo_models::map::Map;
use tombolo_vectors::EmbeddingMatrix;

use super::Session;
use super::hubs::FEWEST;
use crate::error::Result;
use crate::joined::Ranked;
use crate::run::Event;

/// The part of a score that is the map's of before where there is too little to choose by: pairs are few there.
const UNCHOSEN: f64 = 0.8;

/// What is tried of it: of those that do as well the first.
const SHARES: [f64; 11] = [0.5, 0.35, 0.65, 0.2, 0.8, 0.1, 0.9, 0.05, 0.95, 0.0, 1.0];

impl Session<'_> {
    /// The share that serves the validation split best; [`UNCHOSEN`] where that is too small to choose by. `ranked`: what a map ranks there.
    pub(super) fn share(
        &mut self,
        map: &Map,
        previous: &Map,
        ranked: &dyn Fn(&Map) -> Result<Option<Ranked>>,
    ) -> Result<f64> {
        let galleries = ranked(map)?.zip(ranked(previous)?);
        let Some((new, old)) = galleries.filter(|(new, _)| new.gallery.query_texts.len() >= FEWEST)
        else {
            let percent = 100.0 * UNCHOSEN;
            self.end(format!(
                "the map before: {percent:.0}% of a score; {FEWEST} validation texts would let it be chosen"
            ));
            return Ok(UNCHOSEN);
        };
        self.begin("the map before".to_owned(), SHARES.len());
        let mut best = (f64::NEG_INFINITY, UNCHOSEN);
        for (done, share) in (1..).zip(SHARES) {
            let recalls = recalls(&new.gallery, &old.gallery, share)?;
            if recalls > best.0 {
                best = (recalls, share);
            }
            self.logger.event(Event::Advance { done, loss: None });
        }
        self.end(format!("the map before: {:.0}% of a score", 100.0 * best.1));
        Ok(best.1)
    }
}

/// The map in which a score is for this share that of `previous`.
pub(super) fn joined_by(map: Map, previous: &Map, share: f64) -> Map {
    match share {
        0.0 => map,
        1.0 => previous.clone(),
        _ => {
            let weight = map.weight() * share / (1.0 - share);
            map.with_beside(previous, weight)
        }
    }
}

/// The sum of recalls where a score is for this share that of the old vectors.
fn recalls(new: &OwnedGallery, old: &OwnedGallery, share: f64) -> Result<f64> {
    let factors = [1.0 - share, share].map(|share| share.sqrt() as f32);
    let both = |new: &EmbeddingMatrix, old: &EmbeddingMatrix| {
        let mut rows = EmbeddingMatrix::new(new.dim() + old.dim())?;
        for (new, old) in new.iter().zip(old.iter()) {
            let new = new.iter().map(|x| x * factors[0]);
            let row: Vec<f32> = new.chain(old.iter().map(|x| x * factors[1])).collect();
            rows.push(&row)?;
        }
        Ok::<_, ModelError>(rows)
    };
    let both = OwnedGallery {
        images: both(&new.images, &old.images)?,
        texts: both(&new.texts, &old.texts)?,
        image_of_text: new.image_of_text.clone(),
        query_images: new.query_images.clone(),
        query_texts: new.query_texts.clone(),
    };
    Ok(both.as_gallery().rankings()?.rsum())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Each text beside its image in the first components, if it is found by them.
    fn gallery(found: bool) -> OwnedGallery {
        let count = 6;
        let rows = |turn: usize| {
            let row =
                |i: usize| (0..count).map(move |c| f32::from(u8::from(c == (i + turn) % count)));
            EmbeddingMatrix::from_rows(count, (0..count).flat_map(row).collect()).unwrap()
        };
        OwnedGallery {
            images: rows(0),
            texts: rows(usize::from(!found)),
            image_of_text: (0..count).collect(),
            query_images: (0..count).collect(),
            query_texts: (0..count).collect(),
        }
    }

    #[test]
    fn a_share_weighs_old_vectors_against_new_ones() {
        let (good, bad) = (gallery(true), gallery(false));
        let at_1 = |share| recalls(&good, &bad, share).unwrap();
        assert!(at_1(0.35) > at_1(0.65), "{} {}", at_1(0.35), at_1(0.65));
        assert_eq!(recalls(&good, &bad, 1.0).unwrap(), recalls(&bad, &good, 0.0).unwrap());
    }

    #[test]
    fn a_map_joined_by_a_share_scores_by_it() {
        let device = Device::Cpu;
        let map = Map::identity(4, &device).unwrap();
        let both = joined_by(map.clone(), &map, 0.2);
        assert!((both.config().beside[0].weight - 0.25).abs() < 1e-9);
        let again = joined_by(both, &map, 0.5);
        assert!((again.config().beside[1].weight - 1.25).abs() < 1e-9);
        assert!(joined_by(map.clone(), &map, 0.0).config().beside.is_empty());
        assert!(joined_by(map.clone(), &map, 1.0).config().beside.is_empty());
    }
}
