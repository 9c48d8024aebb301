//! Named parameters of a network: read from a checkpoint, or created for training.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::checkpoint::HostTensor;
use crate::error::{ModelError, Result};

/// How a parameter starts when it is created.
#[derive(Clone, Copy, Debug)]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// Uniform in ±√(6 / (fan in + fan out)) for a `[out, in]` weight (Glorot and Bengio 2010).
    Glorot,
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform between this value and its negative.
    Uniform(f32),
}

/// A set of named f32 tensors.
///
/// The same constructors of layers serve for a checkpoint, whose tensors are fixed and checked for their
/// shape, and for training, where tensors are variables that start from a seeded generator.
pub struct Weights {
    device: Device,
    source: Source,
}

enum Source {
    Fixed(BTreeMap<String, Tensor>),
    Trainable(Box<RefCell<Created>>),
}

struct Created {
    variables: BTreeMap<String, Var>,
    rng: ChaCha8Rng,
}

impl Weights {
    /// The tensors of a checkpoint, moved to `device`.
    ///
    /// # Errors
    /// If a tensor cannot be moved to the device.
    pub fn fixed(tensors: BTreeMap<String, HostTensor>, device: &Device) -> Result<Self> {
        let tensors = tensors
            .into_iter()
            .map(|(name, t)| Ok((name, Tensor::from_vec(t.data, t.shape, device)?)))
            .collect::<Result<_>>()?;
        Ok(Self { device: device.clone(), source: Source::Fixed(tensors) })
    }

    /// No tensors yet: those that layers ask for are created, from a generator with this seed.
    pub fn trainable(seed: u64, device: &Device) -> Self {
        let created = Created { variables: BTreeMap::new(), rng: ChaCha8Rng::seed_from_u64(seed) };
        Self { device: device.clone(), source: Source::Trainable(Box::new(RefCell::new(created))) }
    }

    /// The names directly at the root of these weights.
    pub fn root(&self) -> Scope<'_> {
        Scope { weights: self, prefix: String::new() }
    }

    /// The device that the tensors live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The variables created so far, by name. Empty for a checkpoint.
    pub fn variables(&self) -> BTreeMap<String, Var> {
        match &self.source {
            Source::Fixed(_) => BTreeMap::new(),
            Source::Trainable(created) => created.borrow().variables.clone(),
        }
    }

    fn get(&self, name: String, shape: &[usize], init: Init) -> Result<Tensor> {
        let tensor = match &self.source {
            Source::Fixed(tensors) => match tensors.get(&name) {
                Some(tensor) => tensor.clone(),
                None => return Err(ModelError::MissingTensor { name }),
            },
            Source::Trainable(created) => {
                created.borrow_mut().get(&name, shape, init, &self.device)?
            }
        };
        if tensor.dims() != shape {
            let found = tensor.dims().to_vec();
            return Err(ModelError::Shape { name, expected: shape.to_vec(), found });
        }
        Ok(tensor)
    }
}

impl Created {
    fn get(&mut self, name: &str, shape: &[usize], init: Init, device: &Device) -> Result<Tensor> {
        if let Some(variable) = self.variables.get(name) {
            return Ok(variable.as_tensor().clone());
        }
        let values = initial_values(shape, init, &mut self.rng);
        let variable = Var::from_tensor(&Tensor::from_vec(values, shape, device)?)?;
        let tensor = variable.as_tensor().clone();
        self.variables.insert(name.to_owned(), variable);
        Ok(tensor)
    }
}

fn initial_values(shape: &[usize], init: Init, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let count = shape.iter().product();
    match init {
        Init::Constant(value) => vec![value; count],
        Init::Glorot => {
            let bound = (6.0 / shape.iter().sum::<usize>() as f32).sqrt();
            (0..count).map(|_| rng.random_range(-bound..bound)).collect()
        }
        Init::Uniform(bound) => (0..count).map(|_| rng.random_range(-bound..bound)).collect(),
        Init::Normal(deviation) => (0..count).map(|_| deviation * normal(rng)).collect(),
    }
}

/// A standard normal value (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f32, f32) = (rng.random_range(f32::EPSILON..1.0), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

/// A place in the tree of names, as `encoder.layer.0`.
#[derive(Clone)]
pub struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl Scope<'_> {
    /// The place `name` below this one.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Self { weights: self.weights, prefix: self.full(&name.to_string()) }
    }

    /// The tensor `name` at this place.
    ///
    /// # Errors
    /// If a checkpoint lacks it, or holds it with another shape.
    pub fn get(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        self.weights.get(self.full(name), shape, init)
    }

    /// Whether a checkpoint holds the tensor `name` at this place.
    pub fn has(&self, name: &str) -> bool {
        match &self.weights.source {
            Source::Fixed(tensors) => tensors.contains_key(&self.full(name)),
            Source::Trainable(_) => true,
        }
    }

    /// The device that the tensors live on.
    pub fn device(&self) -> &Device {
        &self.weights.device
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}
