//! The grouping block (Xu et al. 2022, §3.2): every place of a stage goes to the group that wants it most, and a group
//! becomes the sum of what it was and of the mean of its places.

use tombolo_kernels::{Activation, Matrix, attend_over, product};

use super::mlp::Mlp;
use crate::checkpoint::{CheckpointError, MappedTensors};
use crate::encoder::{FrozenLinear, Norm, Shape};

/// Sizes of a grouping block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    /// Tokens that learn what the groups are.
    pub tokens: usize,
    /// Groups that come out.
    pub outputs: usize,
    /// Width inside the layers over tokens, and inside those over channels.
    pub inner: [usize; 2],
    /// Added to the number of a group's places before it divides their sum.
    pub eps: f32,
}

pub(super) struct Assign {
    shape: Shape,
    groups: Groups,
    norm_tokens: Norm,
    mix: Mlp,
    norm_mixed: Norm,
    norm_places: Norm,
    look: Look,
    query: FrozenLinear,
    key: FrozenLinear,
    value: FrozenLinear,
    output: FrozenLinear,
    norm_groups: Norm,
    mlp: Mlp,
}

/// What a stage's places become.
pub(super) struct Assigned {
    /// `[groups, hidden]`.
    pub groups: Vec<f32>,
    /// How much of each place is in each group, `[groups, places]`; 1 in sum over the groups.
    pub shares: Vec<f32>,
}

impl Assign {
    /// The block called `name`.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn read(
        tensors: &MappedTensors,
        name: &str,
        shape: Shape,
        groups: Groups,
    ) -> Result<Self, CheckpointError> {
        let (hidden, activation) = (shape.hidden, shape.activation);
        let norm = |part: &str| Norm::read(tensors, &format!("{name}.{part}"), hidden, shape.eps);
        let linear = |part: &str| {
            FrozenLinear::read(tensors, &[format!("{name}.assign.{part}")], hidden, hidden)
        };
        let mlp =
            |part: &str, widths| Mlp::read(tensors, &format!("{name}.{part}"), widths, activation);
        let [over_tokens, over_channels] = groups.inner;
        Ok(Self {
            shape,
            groups,
            norm_tokens: norm("norm_tokens")?,
            mix: mlp("mlp_inter", [groups.tokens, over_tokens, groups.outputs])?,
            norm_mixed: norm("norm_post_tokens")?,
            norm_places: norm("norm_x")?,
            look: Look::read(tensors, &format!("{name}.pre_assign_attn"), shape)?,
            query: linear("q_proj")?,
            key: linear("k_proj")?,
            value: linear("v_proj")?,
            output: linear("proj")?,
            norm_groups: norm("norm_new_x")?,
            mlp: mlp("mlp_channels", [hidden, over_channels, hidden])?,
        })
    }

    /// Groups the places of one picture.
    ///
    /// # Shapes
    /// `places`: `[places, hidden]`, `tokens`: `[tokens, hidden]`.
    pub fn forward(&self, mut places: Vec<f32>, mut tokens: Vec<f32>) -> Assigned {
        self.norm_tokens.apply(&mut tokens);
        self.norm_places.apply(&mut places);
        let mut wanted = self.mix.mix(&tokens);
        self.norm_mixed.apply(&mut wanted);
        self.look.forward(&mut wanted, &places);
        let mut shares = self.scores(&wanted, &places);
        let mut groups = wanted;
        let means = self.means(&shares, &places);
        self.output.forward(&means, Activation::Identity, true, &mut groups);
        let mut inner = groups.clone();
        self.norm_groups.apply(&mut inner);
        add(&mut groups, &self.mlp.forward(&inner));
        softmax_over_groups(&mut shares, self.groups.outputs);
        Assigned { groups, shares }
    }

    /// How much each group wants each place, `[groups, places]`.
    fn scores(&self, wanted: &[f32], places: &[f32]) -> Vec<f32> {
        let hidden = self.shape.hidden;
        let (query, key) = (linear(&self.query, wanted), linear(&self.key, places));
        let mut scores = vec![0.0; self.groups.outputs * places.len() / hidden];
        let scale = (hidden as f32).powf(-0.5);
        let (query, key) = (Matrix::new(&query, hidden), Matrix::new(&key, hidden));
        product(query, key.transposed(), scale, 0.0, &mut scores);
        scores
    }

    /// The sum of the values of each group's places over their number and a little more, `[groups, hidden]`. Of equal
    /// wishes the first counts.
    fn means(&self, scores: &[f32], places: &[f32]) -> Vec<f32> {
        let hidden = self.shape.hidden;
        let count = places.len() / hidden;
        let values = linear(&self.value, places);
        let mut means = vec![0.0; self.groups.outputs * hidden];
        let mut counts = vec![0.0; self.groups.outputs];
        for (place, value) in values.chunks_exact(hidden).enumerate() {
            let wish = |group: &usize| scores[group * count + place];
            let wins =
                |best: usize, group: usize| if wish(&group) > wish(&best) { group } else { best };
            let group = (0..self.groups.outputs).reduce(wins).unwrap_or(0);
            counts[group] += 1.0;
            add(&mut means[group * hidden..][..hidden], value);
        }
        for (mean, count) in means.chunks_exact_mut(hidden).zip(counts) {
            mean.iter_mut().for_each(|x| *x /= count + self.groups.eps);
        }
        means
    }
}

/// What the groups see of the places before they choose: cross-attention and an MLP.
struct Look {
    heads: usize,
    query: FrozenLinear,
    memory: FrozenLinear,
    output: FrozenLinear,
    norm: Norm,
    mlp: Mlp,
    norm_after: Norm,
}

impl Look {
    fn read(tensors: &MappedTensors, name: &str, shape: Shape) -> Result<Self, CheckpointError> {
        let hidden = shape.hidden;
        let linear = |parts: &[&str]| {
            let names: Vec<_> = parts.iter().map(|part| format!("{name}.attn.{part}")).collect();
            FrozenLinear::read(tensors, &names, hidden, hidden)
        };
        let norm = |part: &str| Norm::read(tensors, &format!("{name}.{part}"), hidden, shape.eps);
        let widths = [hidden, shape.mlp, hidden];
        Ok(Self {
            heads: shape.heads,
            query: linear(&["q_proj"])?,
            memory: linear(&["k_proj", "v_proj"])?,
            output: linear(&["out_proj"])?,
            norm: norm("norm2")?,
            mlp: Mlp::read(tensors, &format!("{name}.mlp"), widths, shape.activation)?,
            norm_after: norm("norm_post")?,
        })
    }

    fn forward(&self, x: &mut [f32], places: &[f32]) {
        let (query, memory) = (linear(&self.query, x), linear(&self.memory, places));
        let mut attended = vec![0.0; x.len()];
        attend_over(&query, &memory, self.query.outputs(), self.heads, &mut attended);
        self.output.forward(&attended, Activation::Identity, true, x);
        let mut inner = x.to_vec();
        self.norm.apply(&mut inner);
        add(x, &self.mlp.forward(&inner));
        self.norm_after.apply(x);
    }
}

fn linear(layer: &FrozenLinear, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / layer.inputs() * layer.outputs()];
    layer.forward(x, Activation::Identity, false, &mut out);
    out
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Scores `[groups, places]` as shares of each place.
fn softmax_over_groups(scores: &mut [f32], groups: usize) {
    let places = scores.len() / groups;
    for place in 0..places {
        let column = move || (0..groups).map(move |group| group * places + place);
        let most = column().map(|at| scores[at]).fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = column().map(|at| (scores[at] - most).exp()).sum();
        column().for_each(|at| scores[at] = (scores[at] - most).exp() / total);
    }
}
