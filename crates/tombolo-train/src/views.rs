//! Training items as a tower reads them, with a fresh view of each at every draw.

use candle_core::{Device, Tensor};
use half::slice::HalfFloatSliceExt;
use rand::Rng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use tombolo_data::image::Pixels;
use tombolo_models::features::{FeatureKey, FeatureStore};
use tombolo_models::model::id_sequences;
use tombolo_models::tower::Sequences;

use crate::error::Result;

/// Items that a tower can read.
pub trait Views: Sync {
    /// Number of items.
    fn len(&self) -> usize;

    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items whole, as they will be read when the tower is in use.
    ///
    /// # Errors
    /// If an item cannot be read.
    fn whole(&self, items: &[usize]) -> Result<Sequences>;

    /// A random view of each item: parts left out, pictures moved and lit otherwise.
    ///
    /// # Errors
    /// If an item cannot be read.
    fn view(&self, items: &[usize], rng: &mut ChaCha8Rng) -> Result<Sequences>;
}

/// `count` sorted places of `0..length`, at least one, about the share `1 − drop` of them.
fn kept_places(length: usize, drop: f64, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let count = ((length as f64 * (1.0 - drop)).round() as usize).clamp(1, length);
    let mut places = index::sample(rng, length, count).into_vec();
    places.sort_unstable();
    places
}

/// What a random view of cached features is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ViewOf {
    /// About this share of the rows.
    Share(f64),
    /// One of the parts of so many rows that the features consist of: one picture of several.
    Part(usize),
}

impl ViewOf {
    /// Places of one view of an item of so many rows.
    fn draw(self, rows: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        match self {
            Self::Share(share) => kept_places(rows, 1.0 - share, rng),
            Self::Part(part) => {
                let first = rng.random_range(0..(rows / part).max(1)) * part;
                (first..(first + part).min(rows)).collect()
            }
        }
    }
}

/// The cached outputs of a backbone.
pub struct FeatureViews {
    store: FeatureStore,
    keys: Vec<FeatureKey>,
    positions: usize,
    view: ViewOf,
    device: Device,
}

impl FeatureViews {
    /// Items by their keys in a mapped store. `positions`: rows beyond are cut.
    pub fn new(
        store: FeatureStore,
        keys: Vec<FeatureKey>,
        positions: usize,
        view: ViewOf,
        device: &Device,
    ) -> Self {
        Self { store, keys, positions, view, device: device.clone() }
    }

    fn sequences(&self, items: &[usize], places: &[Vec<usize>]) -> Result<Sequences> {
        let dim = self.store.dim();
        let lengths: Vec<usize> = places.iter().map(Vec::len).collect();
        let rows = lengths.iter().sum::<usize>();
        let mut values = vec![0.0; rows * dim];
        let mut rest = values.as_mut_slice();
        let mut tasks = Vec::with_capacity(items.len());
        for ((&item, places), length) in items.iter().zip(places).zip(&lengths) {
            let (out, after) = rest.split_at_mut(length * dim);
            tasks.push((self.store.get(&self.keys[item])?, places, out));
            rest = after;
        }
        tasks.into_par_iter().for_each(|(rows, places, out)| {
            for (out, &place) in out.chunks_exact_mut(dim).zip(places) {
                rows[place * dim..(place + 1) * dim].convert_to_f32_slice(out);
            }
        });
        let values = Tensor::from_vec(values, (rows, dim), &self.device)?;
        Ok(Sequences { values, lengths })
    }

    fn rows(&self, item: usize) -> usize {
        self.store.rows_of(&self.keys[item]).unwrap_or(1).min(self.positions)
    }
}

impl Views for FeatureViews {
    fn len(&self) -> usize {
        self.keys.len()
    }

    fn whole(&self, items: &[usize]) -> Result<Sequences> {
        let places: Vec<Vec<usize>> = items.iter().map(|&i| (0..self.rows(i)).collect()).collect();
        self.sequences(items, &places)
    }

    fn view(&self, items: &[usize], rng: &mut ChaCha8Rng) -> Result<Sequences> {
        let places: Vec<Vec<usize>> =
            items.iter().map(|&i| self.view.draw(self.rows(i), rng)).collect();
        self.sequences(items, &places)
    }
}

/// Texts as the ids of their words.
pub struct WordViews {
    ids: Vec<Vec<u32>>,
    drop: f64,
    device: Device,
}

impl WordViews {
    /// Items by their token ids, none empty. `drop`: share of the words left out of a view.
    pub fn new(ids: Vec<Vec<u32>>, drop: f64, device: &Device) -> Self {
        Self { ids, drop, device: device.clone() }
    }
}

impl Views for WordViews {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn whole(&self, items: &[usize]) -> Result<Sequences> {
        let ids: Vec<Vec<u32>> = items.iter().map(|&i| self.ids[i].clone()).collect();
        Ok(id_sequences(&ids, &self.device)?)
    }

    fn view(&self, items: &[usize], rng: &mut ChaCha8Rng) -> Result<Sequences> {
        let ids: Vec<Vec<u32>> = items
            .iter()
            .map(|&item| {
                let ids = &self.ids[item];
                let kept = kept_places(ids.len(), self.drop, rng);
                kept.into_iter().map(|place| ids[place]).collect()
            })
            .collect();
        Ok(id_sequences(&ids, &self.device)?)
    }
}

/// Pictures whose patches a tower from scratch reads: moved by up to an eighth of the side, and lit
/// otherwise by up to a fifth, in each view.
pub struct PictureViews {
    pictures: Vec<Pixels>,
    size: usize,
    patch: usize,
    positions: usize,
    device: Device,
}

impl PictureViews {
    /// Items by their pixels, `size` × `size` each, cut into patches of side `patch`, of which the first `positions` are read.
    pub fn new(
        pictures: Vec<Pixels>,
        (size, patch): (usize, usize),
        positions: usize,
        device: &Device,
    ) -> Self {
        Self { pictures, size, patch, positions, device: device.clone() }
    }

    fn sequences(&self, items: &[usize], changes: &[Change]) -> Result<Sequences> {
        let cells = (self.size / self.patch).pow(2).min(self.positions);
        let dim = 3 * self.patch * self.patch;
        let mut values = vec![0.0; items.len() * cells * dim];
        values
            .par_chunks_mut(cells * dim)
            .zip(items)
            .zip(changes)
            .for_each(|((out, &item), change)| self.patches(&self.pictures[item], *change, out));
        let values = Tensor::from_vec(values, (items.len() * cells, dim), &self.device)?;
        Ok(Sequences { values, lengths: vec![cells; items.len()] })
    }

    /// Writes the patches of a changed picture; what moves in from outside is white.
    fn patches(&self, picture: &Pixels, change: Change, out: &mut [f32]) {
        let grid = self.size / self.patch;
        let side = self.size as isize;
        let mut values = out.iter_mut();
        for cell in 0..(grid * grid).min(self.positions) {
            let (top, left) = (cell / grid * self.patch, cell % grid * self.patch);
            for y in top..top + self.patch {
                for x in left..left + self.patch {
                    let (y, x) = (y as isize + change.down, x as isize + change.right);
                    let inside = (0..side).contains(&y) && (0..side).contains(&x);
                    let pixel = match inside {
                        true => picture.at(x as usize, y as usize),
                        false => [255; 3],
                    };
                    for channel in pixel {
                        let value = f32::from(channel) / 127.5 - 1.0;
                        *values.next().expect("one value a channel") = value * change.light;
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Change {
    right: isize,
    down: isize,
    light: f32,
}

impl Views for PictureViews {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn whole(&self, items: &[usize]) -> Result<Sequences> {
        let same = Change { right: 0, down: 0, light: 1.0 };
        self.sequences(items, &vec![same; items.len()])
    }

    fn view(&self, items: &[usize], rng: &mut ChaCha8Rng) -> Result<Sequences> {
        let most = (self.size / 8) as i32;
        let changes: Vec<Change> = items
            .iter()
            .map(|_| Change {
                right: rng.random_range(-most..=most) as isize,
                down: rng.random_range(-most..=most) as isize,
                light: rng.random_range(0.8..1.2),
            })
            .collect();
        self.sequences(items, &changes)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_view_is_a_share_of_the_rows_or_one_whole_part() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let share = ViewOf::Share(0.5).draw(8, &mut rng);
        assert_eq!(share.len(), 4);
        assert!(share.is_sorted());
        let parts: Vec<Vec<usize>> = (0..20).map(|_| ViewOf::Part(3).draw(6, &mut rng)).collect();
        assert!(parts.iter().all(|part| *part == [0, 1, 2] || *part == [3, 4, 5]));
        assert!(parts.iter().any(|part| *part != parts[0]));
    }
}
