//! Sizes of a map, as `map.safetensors` records them.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::HeadConfig;

/// Sizes of a map's two heads, as `map.safetensors` records them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapConfig {
    /// The text side.
    pub text: HeadConfig,
    /// The image side.
    pub image: HeadConfig,
    /// How many maps of these sizes there are, side by side.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub members: usize,
    /// The sizes of those of other forms beside them.
    #[serde(default, deserialize_with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<BesideConfig>,
}

/// Sizes of the two heads of one beside a map's members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BesideConfig {
    /// The text side.
    pub text: HeadConfig,
    /// The image side.
    pub image: HeadConfig,
    /// How much it counts, where a member counts 1.
    #[serde(default = "once")]
    pub weight: f64,
}

impl MapConfig {
    /// Width of what all heads of a side give.
    pub(super) fn output(&self) -> usize {
        let members = self.members.saturating_mul(self.text.output());
        self.beside.iter().fold(members, |sum, beside| sum.saturating_add(beside.text.output()))
    }

    /// What is wrong with these sizes, if nothing can be mapped by them.
    pub(super) fn fault(&self) -> Option<String> {
        if self.members == 0 {
            return Some("members: expected at least 1, found 0".to_owned());
        }
        let weights = self.beside.iter().map(|beside| beside.weight);
        if let Some(found) = weights.into_iter().find(|w| !w.is_finite() || *w <= 0.0) {
            return Some(format!("beside: expected a weight above 0, found {found}"));
        }
        let inputs = |text: &HeadConfig, image: &HeadConfig| (text.input, image.input);
        let own = inputs(&self.text, &self.image);
        let beside = self.beside.iter().map(|beside| inputs(&beside.text, &beside.image));
        if let Some(found) = beside.into_iter().find(|found| *found != own) {
            return Some(format!(
                "beside: expected heads that read {own:?} components, found {found:?}"
            ));
        }
        let beside = self.beside.iter().map(|beside| (&beside.text, &beside.image));
        let sides = std::iter::once((&self.text, &self.image)).chain(beside);
        let mut widths = sides.map(|(text, image)| (text.output(), image.output()));
        let (text, image) = widths.find(|(text, image)| text != image)?;
        Some(format!("expected heads of one width, found {text} of texts and {image} of images"))
    }
}

fn one() -> usize {
    1
}

fn is_one(members: &usize) -> bool {
    *members == 1
}

fn once() -> f64 {
    1.0
}

/// The first maps that had another beside them had one, and recorded it as such.
fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<BesideConfig>, D::Error> {
    let beside = match serde_json::Value::deserialize(from)? {
        one @ serde_json::Value::Object(_) => vec![one],
        several => serde_json::from_value(several).map_err(D::Error::custom)?,
    };
    let read = |one| serde_json::from_value(one).map_err(D::Error::custom);
    beside.into_iter().map(read).collect()
}
