//! Which items mean the same: the positives of stages text and image.

use std::collections::HashMap;

use rand::Rng;
use rand::seq::IndexedRandom;

/// For each item, the other items that are its positives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positives {
    others: Vec<Vec<u32>>,
}

impl Positives {
    /// Items that share a group are each other's positives; an item may be of several groups.
    pub fn from_groups<G: std::hash::Hash + Eq>(
        items: usize,
        groups: impl IntoIterator<Item = (usize, G)>,
    ) -> Self {
        let mut members: HashMap<G, Vec<u32>> = HashMap::new();
        for (item, group) in groups {
            members.entry(group).or_default().push(item as u32);
        }
        let mut others = vec![Vec::new(); items];
        for group in members.values() {
            for &item in group {
                others[item as usize].extend(group.iter().filter(|&&other| other != item));
            }
        }
        Self::new(others)
    }

    /// Items that are among each other's `count` nearest, by the dot product of `vectors`, `dim` wide.
    ///
    /// Mutual neighbours only: an item that is near to everything is nobody's type.
    pub fn from_neighbours(vectors: &[f32], dim: usize, count: usize) -> Self {
        use rayon::prelude::*;
        let items = vectors.len() / dim;
        let nearest: Vec<Vec<u32>> = (0..items)
            .into_par_iter()
            .map(|item| {
                let query = &vectors[item * dim..(item + 1) * dim];
                let score = |other: usize| {
                    let other = &vectors[other * dim..(other + 1) * dim];
                    query.iter().zip(other).map(|(x, y)| x * y).sum::<f32>()
                };
                let mut scored: Vec<(f32, u32)> = (0..items)
                    .filter(|&other| other != item)
                    .map(|other| (score(other), other as u32))
                    .collect();
                let count = count.min(scored.len());
                let best = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
                if count < scored.len() {
                    scored.select_nth_unstable_by(count, best);
                }
                scored[..count].iter().map(|&(_, other)| other).collect()
            })
            .collect();
        let mutual = |item: usize, other: u32| nearest[other as usize].contains(&(item as u32));
        let others = nearest.iter().enumerate().map(|(item, near)| {
            near.iter().copied().filter(|&other| mutual(item, other)).collect()
        });
        Self::new(others.collect())
    }

    /// Adds copies, which mean what the item that each was made of does, and what its positives do. They are drawn as
    /// positives, and steps do not go over them: [`Positives::len`] stays. `first`: the first copy's number.
    pub fn with_copies(mut self, first: usize, copied: &[usize]) -> Self {
        let mut copies = vec![Vec::new(); self.others.len()];
        for (copy, &item) in (first as u32..).zip(copied) {
            copies[item].push(copy);
            for &other in &self.others[item] {
                copies[other as usize].push(copy);
            }
        }
        self.others.iter_mut().zip(copies).for_each(|(others, copies)| others.extend(copies));
        Self::new(self.others)
    }

    fn new(mut others: Vec<Vec<u32>>) -> Self {
        for list in &mut others {
            list.sort_unstable();
            list.dedup();
        }
        Self { others }
    }

    /// Number of items, copies not counted.
    pub fn len(&self) -> usize {
        self.others.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.others.is_empty()
    }

    /// Number of items that have a positive other than themselves.
    pub fn paired(&self) -> usize {
        self.others.iter().filter(|others| !others.is_empty()).count()
    }

    /// Whether two items mean the same; an item means the same as itself.
    pub fn contains(&self, item: usize, other: usize) -> bool {
        item == other || self.others[item].binary_search(&(other as u32)).is_ok()
    }

    /// A positive of the item drawn at random; the item itself, of which another view will be taken, where
    /// there is no other, and with `chance` where there is.
    pub fn draw(&self, item: usize, chance: f64, rng: &mut impl Rng) -> usize {
        match self.others[item].choose(rng) {
            Some(&other) if rng.random::<f64>() >= chance => other as usize,
            _ => item,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn members_of_a_group_are_each_others_positives() {
        let positives = Positives::from_groups(4, [(0, "a"), (2, "a"), (2, "b"), (3, "b")]);
        assert!(positives.contains(0, 2) && positives.contains(2, 3) && positives.contains(1, 1));
        assert!(!positives.contains(0, 3) && !positives.contains(0, 1));
        assert_eq!(positives.paired(), 3);
    }

    #[test]
    fn copies_mean_what_the_item_and_its_positives_do() {
        // Items 0 and 1 are positives, 2 is alone; copies of 0, 2 and 2 follow four further items.
        let positives = Positives::from_groups(3, [(0, "a"), (1, "a")]).with_copies(7, &[0, 2, 2]);
        assert_eq!((positives.len(), positives.paired()), (3, 3));
        assert!(positives.contains(0, 7) && positives.contains(1, 7) && positives.contains(2, 9));
        assert!(
            !positives.contains(2, 7) && !positives.contains(0, 8) && !positives.contains(0, 4)
        );
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let drawn: Vec<usize> = (0..99).map(|_| positives.draw(2, 0.0, &mut rng)).collect();
        assert!(
            drawn.contains(&8) && drawn.contains(&9) && drawn.iter().all(|i| [8, 9].contains(i))
        );
    }

    #[test]
    fn neighbours_are_mutual() {
        let angles = [0.0f32, 0.1, 0.3, 2.0];
        let vectors: Vec<f32> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
        let positives = Positives::from_neighbours(&vectors, 2, 1);
        assert!(positives.contains(0, 1) && positives.contains(1, 0));
        assert!(!positives.contains(2, 1) && !positives.contains(3, 2));
    }
}
