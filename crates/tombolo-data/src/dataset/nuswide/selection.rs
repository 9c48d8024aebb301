//! NUS-WIDE-10K: 1,000 photos of each of ten large concepts that show no other.
//!
//! Feng, Wang and Li 2014, "Cross-modal Retrieval with Correspondence Autoencoder": image–text pairs that belong to
//! exactly one concept, of animal, clouds, flowers, food, grass, person, sky, toy, water and window, 1,000 of each; 8,000
//! for training, 1,000 for validation and 1,000 for testing. Which ones they drew was not published. Ours: of each
//! concept the tagged photos with this one label among all concepts, in the order of a hash of their names (BLAKE3, first
//! eight bytes, little-endian); the first 800 train, 100 val, 100 test. So the draw is the same on every machine, and does
//! not depend on which photos a copy still has.

use super::lists::Lists;
use crate::DataError;
use crate::dataset::Split;
use crate::dataset::collection::Builder;
use crate::dataset::split::hash;

/// The ten concepts.
const CONCEPTS: [&str; 10] =
    ["animal", "clouds", "flowers", "food", "grass", "person", "sky", "toy", "water", "window"];
/// Photos of each.
const EACH: usize = 1_000;
/// Of ten photos, how many are for training and for validation.
const TRAIN: usize = 8;
const VAL: usize = 1;

/// Gives the photos of the selection their splits, and all others none.
pub(super) fn select(lists: &mut Lists, builder: &mut Builder) -> Result<(), DataError> {
    let is_listed: Vec<bool> =
        lists.photos.iter_mut().map(|photo| photo.split.take().is_some()).collect();
    for name in CONCEPTS {
        let Some(concept) = lists.concepts.iter().position(|concept| concept == name) else {
            return Err(DataError::InvalidOption {
                option: "10k",
                expected: format!("a concept `{name}` in Concepts81.txt"),
                found: lists.concepts.join(", "),
            });
        };
        let alone = |index: &usize| {
            let photo = &lists.photos[*index];
            is_listed[*index] && photo.concepts == [concept] && !photo.tags.is_empty()
        };
        let mut drawn: Vec<usize> = (0..lists.photos.len()).filter(alone).collect();
        drawn.sort_by_cached_key(|&index| {
            let id = &lists.photos[index].id;
            (hash(id), id.clone())
        });
        drawn.truncate(EACH);
        if drawn.len() < EACH {
            let reason = format!("{} photos have it alone, {EACH} are drawn", drawn.len());
            builder.notice(format!("concept {name}"), reason);
        }
        for (rank, &index) in drawn.iter().enumerate() {
            lists.photos[index].split = Some(split_of(rank, drawn.len()));
        }
    }
    Ok(())
}

fn split_of(rank: usize, drawn: usize) -> Split {
    match rank * 10 {
        part if part < TRAIN * drawn => Split::Train,
        part if part < (TRAIN + VAL) * drawn => Split::Val,
        _ => Split::Test,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::nuswide::Photo;

    /// Every concept has `photos` photos alone, all of them tagged, and as many with two concepts or without tags.
    fn lists(photos: usize) -> Lists {
        let concepts: Vec<String> =
            CONCEPTS.iter().copied().chain(["zebra"]).map(str::to_owned).collect();
        let photo = |id: String, concepts: Vec<usize>, tags: &str| Photo {
            id,
            split: Some(Split::Train),
            concepts,
            tags: tags.to_owned(),
        };
        let photos = (0..concepts.len()).flat_map(|concept| {
            (0..photos).flat_map(move |n| {
                [
                    photo(format!("{concept}/{n}.jpg"), vec![concept], "a tag"),
                    photo(format!("{concept}/two{n}.jpg"), vec![0, concept.max(1)], "a tag"),
                    photo(format!("{concept}/none{n}.jpg"), vec![concept], ""),
                ]
            })
        });
        Lists { path: "Imagelist.txt".into(), photos: photos.collect(), concepts }
    }

    #[test]
    fn a_thousand_of_each_concept_are_drawn_whatever_the_order() {
        let mut lists = lists(1_003);
        let mut reversed = self::lists(1_003);
        reversed.photos.reverse();
        let mut builder = Builder::new(&lists.path.clone(), "nuswide-10k");
        select(&mut lists, &mut builder).unwrap();
        select(&mut reversed, &mut builder).unwrap();
        let count = |split| lists.photos.iter().filter(|p| p.split == Some(split)).count();
        assert_eq!([8_000, 1_000, 1_000], Split::ALL.map(count));
        let drawn = |lists: &Lists| lists.photos.iter().filter(|p| p.split.is_some()).count();
        assert_eq!(drawn(&lists), 10_000);
        let mut chosen = lists.photos.iter().filter(|photo| photo.split.is_some());
        assert!(chosen.all(|photo| photo.concepts.len() == 1 && photo.concepts[0] < 10));
        let ids = |lists: &Lists| {
            let mut ids: Vec<_> = lists.photos.iter().map(|p| (p.id.clone(), p.split)).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&lists), ids(&reversed));
    }

    #[test]
    fn fewer_photos_keep_the_proportions() {
        assert_eq!([0, 7, 8, 9].map(|rank| split_of(rank, 10)), {
            use Split::{Test, Train, Val};
            [Train, Train, Val, Test]
        });
    }
}
