//! The reference model: a slowly moving copy of the tower in training, and a queue of its keys.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use candle_core::{Device, Tensor, Var};
use tombolo_kernels::{HostValues, move_towards};
use tombolo_models::checkpoint::{HostTensor, Tensors};

use crate::error::Result;
use crate::optimizer::change;

/// Moves each variable of `reference` towards its namesake: r ← m·r + (1 − m)·t (He et al. 2020, equation 2).
///
/// # Errors
/// If a variable cannot be read or written.
pub fn follow(
    reference: &BTreeMap<String, Var>,
    tower: &BTreeMap<String, Var>,
    momentum: f64,
) -> Result<()> {
    for (name, slow) in reference {
        let fast = tower[name].to_device(&Device::Cpu)?.contiguous()?;
        let fast = HostValues::of(&fast)?;
        change(slow, |slow| move_towards(slow, &fast, momentum as f32))?;
    }
    Ok(())
}

/// The last keys of the reference model, with the items that they belong to: more negatives than a batch.
pub struct Queue {
    capacity: usize,
    keys: VecDeque<(u32, Vec<f32>)>,
}

impl Queue {
    /// An empty queue for so many keys.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, keys: VecDeque::with_capacity(capacity) }
    }

    /// Adds the keys of a batch, dropping the oldest beyond the capacity.
    ///
    /// # Shapes
    /// `keys`: `[items, dim]`.
    /// # Errors
    /// If the keys cannot be read.
    pub fn push(&mut self, items: &[usize], keys: &Tensor) -> Result<()> {
        if self.capacity == 0 {
            return Ok(());
        }
        for (&item, key) in items.iter().zip(keys.to_vec2::<f32>()?) {
            if self.keys.len() == self.capacity {
                self.keys.pop_front();
            }
            self.keys.push_back((item as u32, key));
        }
        Ok(())
    }

    /// The items of the keys, oldest first.
    pub fn items(&self) -> impl Iterator<Item = usize> + '_ {
        self.keys.iter().map(|&(item, _)| item as usize)
    }

    /// The keys, oldest first, `[keys, dim]`; none while the queue is empty.
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn keys(&self, device: &Device) -> Result<Option<Tensor>> {
        let Some((_, first)) = self.keys.front() else { return Ok(None) };
        let shape = (self.keys.len(), first.len());
        let values: Vec<f32> = self.keys.iter().flat_map(|(_, key)| key).copied().collect();
        Ok(Some(Tensor::from_vec(values, shape, device)?))
    }

    /// Adds the queue to a checkpoint.
    pub fn export(&self, out: &mut Tensors) {
        let items: Vec<f32> = self.keys.iter().map(|&(item, _)| f32::from_bits(item)).collect();
        let dim = self.keys.front().map_or(0, |(_, key)| key.len());
        let keys = self.keys.iter().flat_map(|(_, key)| key).copied().collect();
        let count = items.len();
        out.insert("queue.items".into(), HostTensor { shape: vec![count], data: items });
        out.insert("queue.keys".into(), HostTensor { shape: vec![count, dim], data: keys });
    }

    /// Takes the queue from a checkpoint that [`Queue::export`] wrote.
    pub fn import(&mut self, tensors: &Tensors) {
        let (Some(items), Some(keys)) = (tensors.get("queue.items"), tensors.get("queue.keys"))
        else {
            return;
        };
        let dim = keys.shape[1].max(1);
        let rows = keys.data.chunks_exact(dim).map(<[f32]>::to_vec);
        self.keys = items.data.iter().map(|item| item.to_bits()).zip(rows).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_keeps_the_newest_and_survives_a_checkpoint() {
        let mut queue = Queue::new(3);
        let keys = Tensor::new(&[[1f32, 2.], [3., 4.]], &Device::Cpu).unwrap();
        queue.push(&[7, 70_000_000], &keys).unwrap();
        queue.push(&[9, 10], &keys).unwrap();
        let mut state = Tensors::new();
        queue.export(&mut state);
        let mut read = Queue::new(3);
        read.import(&state);
        assert_eq!(read.items().collect::<Vec<_>>(), [70_000_000, 9, 10]);
        let keys = read.keys(&Device::Cpu).unwrap().unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(keys, [[3., 4.], [1., 2.], [3., 4.]]);
    }

    #[test]
    fn the_reference_moves_by_its_momentum() {
        let var = |x: f32| Var::from_tensor(&Tensor::new(&[x], &Device::Cpu).unwrap()).unwrap();
        let (slow, fast) = (var(1.0), var(3.0));
        let named = |v: &Var| BTreeMap::from([("w".to_owned(), v.clone())]);
        follow(&named(&slow), &named(&fast), 0.75).unwrap();
        assert_eq!(slow.to_vec1::<f32>().unwrap(), [1.5]);
    }
}
