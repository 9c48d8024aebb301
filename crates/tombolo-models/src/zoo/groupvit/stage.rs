//! A stage: layers over the places and the tokens of its groups together, and a grouping block behind them.

use candle_core::Device;
use rayon::prelude::*;

use super::assign::{Assign, Assigned, Groups};
use super::mlp::Mlp;
use crate::checkpoint::{MappedTensors, Values};
use crate::encoder::{Encoder, Layer, Norm, Shape};
use crate::error::Result;
use crate::zoo::vision::{NAMES, host};

/// Sizes of a stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct StageShape {
    pub layers: usize,
    /// None: the stage groups nothing, as the last one.
    pub groups: Option<Groups>,
    /// Tokens of the stage before, which make those of this one; 0 in the first.
    pub previous: usize,
}

pub(super) struct Stage {
    encoder: Encoder,
    hidden: usize,
    grouping: Option<Grouping>,
}

struct Grouping {
    tokens: Values,
    count: usize,
    /// How the tokens of the stage before bear on those of this one.
    from_previous: Option<(Norm, Mlp)>,
    assign: Assign,
}

/// The places of some pictures: `[pictures, places, hidden]`, and what the tokens of the last stage that had any know:
/// `[pictures, tokens, hidden]`.
pub(super) struct Scene {
    pub places: Vec<f32>,
    pub tokens: Vec<f32>,
    pub pictures: usize,
}

impl Stage {
    /// The stage called `name`.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn read(
        tensors: &MappedTensors,
        name: &str,
        (shape, stage): (Shape, StageShape),
        device: &Device,
    ) -> Result<Self> {
        let layer = |i| Ok(Layer::read(tensors, &format!("{name}.layers.{i}"), &NAMES, shape)?);
        let layers = (0..stage.layers).map(layer).collect::<Result<_>>()?;
        let grouping = stage
            .groups
            .map(|groups| Grouping::read(tensors, name, shape, (groups, stage.previous)));
        let encoder = Encoder::new(shape, layers, device)?;
        Ok(Self { encoder, hidden: shape.hidden, grouping: grouping.transpose()? })
    }

    /// Takes pictures through the stage. Returns them and, for each, how much of each place is in each group,
    /// `[groups, places]`; nothing where nothing is grouped.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn forward(&self, scene: Scene) -> Result<(Scene, Vec<Vec<f32>>)> {
        let pictures = scene.pictures;
        let places = scene.places.len() / pictures / self.hidden;
        let Some(grouping) = &self.grouping else {
            let places = self.encode(scene.places, pictures, places)?;
            return Ok((Scene { places, ..scene }, Vec::new()));
        };
        let rows = places + grouping.count;
        let x = self.encode(grouping.joined(&scene, self.hidden), pictures, rows)?;
        let assigned: Vec<(Assigned, Vec<f32>)> = x
            .par_chunks(rows * self.hidden)
            .map(|x| {
                let (places, tokens) = x.split_at(places * self.hidden);
                (grouping.assign.forward(places.to_vec(), tokens.to_vec()), tokens.to_vec())
            })
            .collect();
        let mut scene = Scene { places: Vec::new(), tokens: Vec::new(), pictures };
        let mut shares = Vec::with_capacity(pictures);
        for (assigned, tokens) in assigned {
            scene.places.extend(assigned.groups);
            scene.tokens.extend(tokens);
            shares.push(assigned.shares);
        }
        Ok((scene, shares))
    }

    fn encode(&self, x: Vec<f32>, pictures: usize, rows: usize) -> Result<Vec<f32>> {
        host(&self.encoder.forward(x, &vec![rows; pictures], &[self.encoder.layers()])?)
    }
}

impl Grouping {
    fn read(
        tensors: &MappedTensors,
        name: &str,
        shape: Shape,
        (groups, previous): (Groups, usize),
    ) -> Result<Self> {
        let (hidden, count) = (shape.hidden, groups.tokens);
        let token_name = format!("{name}.group_token");
        let projector = format!("{name}.group_projector");
        let from_previous = match previous {
            0 => None,
            _ => {
                let widths = [previous, hidden / 2, count];
                let norm = Norm::read(tensors, &format!("{projector}.0"), hidden, shape.eps)?;
                let name = format!("{projector}.1");
                Some((norm, Mlp::read(tensors, &name, widths, shape.activation)?))
            }
        };
        Ok(Self {
            tokens: tensors.get(&token_name, &[1, count, hidden])?,
            count,
            from_previous,
            assign: Assign::read(tensors, &format!("{name}.downsample"), shape, groups)?,
        })
    }

    /// The places of each picture, and the tokens of the stage after them.
    fn joined(&self, scene: &Scene, hidden: usize) -> Vec<f32> {
        let places = scene.places.len() / scene.pictures;
        let known = scene.tokens.len() / scene.pictures;
        let mut joined =
            Vec::with_capacity(scene.places.len() + scene.pictures * self.tokens.len());
        for picture in 0..scene.pictures {
            joined.extend_from_slice(&scene.places[picture * places..][..places]);
            let start = joined.len();
            joined.extend_from_slice(&self.tokens);
            if let Some((norm, mlp)) = &self.from_previous {
                let mut tokens = scene.tokens[picture * known..][..known].to_vec();
                norm.apply(&mut tokens);
                let tokens = mlp.mix(&tokens);
                debug_assert_eq!(tokens.len(), self.count * hidden);
                joined[start..].iter_mut().zip(tokens).for_each(|(x, y)| *x += y);
            }
        }
        joined
    }
}
