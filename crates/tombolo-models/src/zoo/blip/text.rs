//! BLIP's text encoder: BERT without segments, read at its first token.

use candle_core::{Device, Tensor};
use tombolo_kernels::{Activation, unit_norm};

use super::config::BlipConfig;
use crate::encoder::FrozenLinear;
use crate::error::Result;
use crate::text::Bert;
use crate::zoo::{Files, TextHalf};

/// The half of BLIP that reads texts.
pub(crate) struct BlipText {
    bert: Bert,
    projection: FrozenLinear,
    device: Device,
}

impl BlipText {
    /// # Errors
    /// If the settings are not BLIP's, or a tensor is missing or has another shape.
    pub(crate) fn load(files: &Files, device: &Device) -> Result<Self> {
        let config = BlipConfig::read(files)?;
        let (width, dim) = (config.text_config.hidden_size, config.image_text_hidden_size);
        let projection = FrozenLinear::read(&files.tensors, &["text_proj".to_owned()], width, dim)?;
        let bert = Bert::read(&files.tensors, "text_encoder.", config.text_config.bert(), device)?;
        Ok(Self { bert, projection, device: device.clone() })
    }
}

impl TextHalf for BlipText {
    fn dim(&self) -> usize {
        self.projection.outputs()
    }

    fn width(&self) -> usize {
        self.bert.dim()
    }

    fn embed(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let firsts = first_states(&self.states(ids)?, ids)?;
        let mut out = vec![0.0; ids.len() * self.dim()];
        self.projection.forward(&firsts, Activation::Identity, false, &mut out);
        Ok(unit_norm(&Tensor::from_vec(out, (ids.len(), self.dim()), &self.device)?)?)
    }

    fn states(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        self.bert.forward(ids)
    }
}

/// The state of each text's first token, `[texts · width]`, of states `[rows, width]`.
pub(crate) fn first_states(states: &Tensor, ids: &[Vec<u32>]) -> Result<Vec<f32>> {
    let starts = ids.iter().scan(0u32, |next, ids| {
        let start = *next;
        *next += ids.len() as u32;
        Some(start)
    });
    let starts = Tensor::from_vec(starts.collect(), ids.len(), states.device())?;
    Ok(states.index_select(&starts, 0)?.flatten_all()?.to_vec1()?)
}
