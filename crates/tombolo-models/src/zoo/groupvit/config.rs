//! `vision_config` of GroupViT: its stages and their groups.

use serde::Deserialize;
use tombolo_kernels::Mask;

use super::assign::Groups;
use super::stage::StageShape;
use crate::encoder::{NormPlace, Shape};
use crate::error::Result;
use crate::zoo::{Files, activation};

/// The settings, as far as the network needs them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct VisionConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub depths: Vec<usize>,
    pub num_group_tokens: Vec<usize>,
    pub num_output_groups: Vec<usize>,
    pub num_attention_heads: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub num_channels: usize,
    pub hidden_act: String,
    pub layer_norm_eps: f32,
    pub assign_eps: f32,
    pub assign_mlp_ratio: [f64; 2],
}

impl VisionConfig {
    /// Cells of a side.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    /// Sizes of the layers.
    ///
    /// # Errors
    /// If the settings make no network.
    pub fn shape(&self, files: &Files) -> Result<Shape> {
        let checked = self.check_sizes().and_then(|()| self.check_groups());
        checked.map_err(|reason| files.settings.refused(format!("vision_config.{reason}")))?;
        Ok(Shape {
            hidden: self.hidden_size,
            mlp: self.intermediate_size,
            heads: self.num_attention_heads,
            eps: self.layer_norm_eps,
            norms: NormPlace::Before,
            activation: activation(files, &self.hidden_act)?,
            mask: Mask::None,
        })
    }

    /// Sizes of a stage.
    pub fn stage(&self, stage: usize) -> StageShape {
        let tokens = self.num_group_tokens[stage];
        let groups = (tokens > 0).then(|| Groups {
            tokens,
            outputs: self.num_output_groups[stage],
            inner: self.assign_mlp_ratio.map(|ratio| (ratio * self.hidden_size as f64) as usize),
            eps: self.assign_eps,
        });
        let previous = if stage > 0 { self.num_output_groups[stage - 1] } else { 0 };
        StageShape { layers: self.depths[stage], groups, previous }
    }

    fn check_sizes(&self) -> Result<(), String> {
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        if heads == 0 || hidden == 0 || hidden % heads != 0 {
            return Err(format!(
                "num_attention_heads: expected a divisor of {hidden}, found {heads}"
            ));
        }
        if self.side() == 0 || self.num_channels != 3 {
            return Err(format!(
                "patch_size, num_channels: expected a patch within the picture and 3, found {} of {} and {}",
                self.patch_size, self.image_size, self.num_channels
            ));
        }
        Ok(())
    }

    fn check_groups(&self) -> Result<(), String> {
        let (tokens, groups) = (&self.num_group_tokens, &self.num_output_groups);
        let stages = self.depths.len();
        for (name, list) in [("num_group_tokens", tokens), ("num_output_groups", groups)] {
            if list.len() != stages {
                let found = list.len();
                return Err(format!("{name}: expected {stages}, one a stage, found {found}"));
            }
        }
        if tokens.first().is_none_or(|&count| count == 0) {
            return Err(format!(
                "num_group_tokens: expected some in the first stage, found {tokens:?}"
            ));
        }
        for stage in 0..stages {
            if tokens[stage] > 0 && groups[stage] == 0 {
                return Err(format!("num_output_groups: expected some in stage {stage}, found 0"));
            }
            // A stage hands on its tokens, and the one after it expects as many as there are groups.
            if stage > 0 && tokens[stage] > 0 && tokens[stage - 1] != groups[stage - 1] {
                let (expected, found) = (tokens[stage - 1], groups[stage - 1]);
                return Err(format!(
                    "num_output_groups: expected {expected} as tokens, found {found}"
                ));
            }
        }
        Ok(())
    }
}
