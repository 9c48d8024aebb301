//! The layers that every network here is built of.

mod recurrent;

use candle_core::{DType, Device, Tensor};
use tombolo_kernels::{Activation, attention, layer_norm, linear};

pub use tombolo_kernels::unit_norm;

pub use self::recurrent::Gru;

use crate::error::Result;
use crate::weights::{Init, Scope};

/// y = activation(x·Wᵀ + b).
#[derive(Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Reads or creates `weight` `[output, input]` and `bias` `[output]` at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks them or has other shapes.
    pub fn new(input: usize, output: usize, scope: &Scope<'_>) -> Result<Self> {
        let weight = scope.get("weight", &[output, input], Init::Glorot)?;
        let bias = scope.get("bias", &[output], Init::Constant(0.0))?;
        Ok(Self { weight, bias })
    }

    /// As [`Linear::new`], but a created layer gives zero until it is trained.
    ///
    /// # Errors
    /// If the checkpoint lacks them or has other shapes.
    pub fn zero(input: usize, output: usize, scope: &Scope<'_>) -> Result<Self> {
        let weight = scope.get("weight", &[output, input], Init::Constant(0.0))?;
        let bias = scope.get("bias", &[output], Init::Constant(0.0))?;
        Ok(Self { weight, bias })
    }

    /// A fixed layer without bias from a matrix `[input, output]`, row-major.
    ///
    /// # Errors
    /// If the number of values is not `input` · `output`.
    pub fn from_columns(
        values: &[f32],
        input: usize,
        output: usize,
        device: &Device,
    ) -> Result<Self> {
        let weight = Tensor::from_slice(values, (input, output), device)?.t()?.contiguous()?;
        let bias = Tensor::zeros(output, DType::F32, device)?;
        Ok(Self { weight, bias })
    }

    /// `[output, input]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `[output]`.
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// `x`: `[rows, input]`. Returns `[rows, output]`.
    ///
    /// # Errors
    /// If the last dimension is not `input`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_activated(x, Activation::Identity)
    }

    /// As [`Linear::forward`], with an activation in the same pass as the bias.
    ///
    /// # Errors
    /// If the last dimension is not `input`.
    pub fn forward_activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        Ok(linear(x, &self.weight, &self.bias, activation)?)
    }
}

/// Layer normalisation with learned scale and shift.
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl LayerNorm {
    /// Reads or creates `weight` and `bias`, both `[dim]`, at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks them or has other shapes.
    pub fn new(dim: usize, eps: f32, scope: &Scope<'_>) -> Result<Self> {
        let weight = scope.get("weight", &[dim], Init::Constant(1.0))?;
        let bias = scope.get("bias", &[dim], Init::Constant(0.0))?;
        Ok(Self { weight, bias, eps })
    }

    /// `x`: `[…, dim]`. Returns the same shape.
    ///
    /// # Errors
    /// If the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(layer_norm(x, &self.weight, &self.bias, self.eps)?)
    }
}

/// One layer of the standard Transformer encoder, normalised before each branch.
///
/// x ← x + attention(norm(x)); x ← x + MLP(norm(x)), with GELU inside the MLP.
pub struct EncoderLayer {
    norm_attention: LayerNorm,
    qkv: Linear,
    output: Linear,
    norm_mlp: LayerNorm,
    expand: Linear,
    contract: Linear,
    heads: usize,
}

impl EncoderLayer {
    /// Reads or creates a layer of this width, number of heads and width of the MLP at `scope`.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or has another shape.
    pub fn new(width: usize, heads: usize, mlp: usize, scope: &Scope<'_>) -> Result<Self> {
        Ok(Self {
            norm_attention: LayerNorm::new(width, 1e-5, &scope.at("norm_attention"))?,
            qkv: Linear::new(width, 3 * width, &scope.at("qkv"))?,
            output: Linear::new(width, width, &scope.at("output"))?,
            norm_mlp: LayerNorm::new(width, 1e-5, &scope.at("norm_mlp"))?,
            expand: Linear::new(width, mlp, &scope.at("expand"))?,
            contract: Linear::new(mlp, width, &scope.at("contract"))?,
            heads,
        })
    }

    /// `x`: `[rows, width]`, sequences one after the other; `lengths`: the rows of each.
    ///
    /// # Errors
    /// If the shapes do not agree.
    pub fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let attended = self.attend(x, lengths)?;
        self.finish(x, &attended)
    }

    /// As [`EncoderLayer::forward`], but only the rows at `places` are computed to the end: for a last
    /// layer of which no other row is read.
    ///
    /// `places`: `[kept]`, u32. Returns `[kept, width]`.
    ///
    /// # Errors
    /// If the shapes do not agree.
    pub fn forward_at(&self, x: &Tensor, lengths: &[usize], places: &Tensor) -> Result<Tensor> {
        let attended = self.attend(x, lengths)?.index_select(places, 0)?;
        self.finish(&x.index_select(places, 0)?, &attended)
    }

    fn attend(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let qkv = self.qkv.forward(&self.norm_attention.forward(x)?)?;
        Ok(attention(&qkv, self.heads, lengths)?)
    }

    fn finish(&self, x: &Tensor, attended: &Tensor) -> Result<Tensor> {
        let x = (x + self.output.forward(attended)?)?;
        let inner = self.expand.forward_activated(&self.norm_mlp.forward(&x)?, Activation::Gelu)?;
        Ok((&x + self.contract.forward(&inner)?)?)
    }
}

/// The place of each row within its sequence, counted from `first`: `0, 1, 2, 0, 1` for lengths 3 and 2.
pub(crate) fn running_places(lengths: &[usize], first: u32) -> Vec<u32> {
    lengths.iter().flat_map(|&length| first..first + length as u32).collect()
}
