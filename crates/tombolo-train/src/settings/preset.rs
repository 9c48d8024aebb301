//! Settings that belong together, by name.

use tombolo_models::backbones::SHARED;
use tombolo_models::tower::EncoderKind;

use super::{Beside, JointSettings, MapKind, MapSettings, Settings, StageSettings};
use crate::loss::Loss;
use crate::train::Stage;

/// Settings and stages that belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// The defaults for the kind of data, and the paper's three stages.
    #[default]
    Default,
    /// VSE++ (Faghri et al. 2018) over frozen photo features: [`Settings::vse_plus_plus`].
    VsePlusPlus,
    /// One network for photos, its last blocks trained with the map: [`Settings::fine_tuned`].
    FineTuned,
}

impl Preset {
    /// The settings for a data set.
    pub fn settings(self, dataset: &str) -> Settings {
        match self {
            Self::Default if dataset.starts_with("emoji") => Settings::emoji(),
            Self::Default => Settings::photos(),
            Self::VsePlusPlus => Settings::vse_plus_plus(),
            Self::FineTuned => Settings::fine_tuned(),
        }
    }

    /// The stages that are trained where none are named.
    pub fn stages(self) -> Vec<Stage> {
        match self {
            Self::Default => Stage::ALL.to_vec(),
            Self::VsePlusPlus | Self::FineTuned => {
                vec![Stage::Text, Stage::Image, Stage::Map, Stage::Joint]
            }
        }
    }
}

impl Settings {
    /// VSE++ (Faghri et al. 2018): words learned from scratch, read by a GRU, and photo features in a linear layer, trained
    /// together from pairs against the hardest negatives of a batch.
    ///
    /// Unlike there: the photo network is frozen and is one of ours, a photo's vector holds the mean of each component's
    /// largest values beside its mean, a text's vector passes a linear layer as well, the learning rate has one cycle, and
    /// what is kept is the average of the weights over the last steps.
    pub fn vse_plus_plus() -> Self {
        let photos = Self::photos();
        let text = StageSettings {
            backbone: "words".into(),
            encoder: EncoderKind::Gru,
            width: 300,
            layers: 1,
            output: 1024,
            pool_top: 0,
            epochs: 0,
            drop: 0.0,
            ..photos.text
        };
        let image = StageSettings { output: 0, epochs: 0, drop: 0.0, ..photos.image };
        let map = MapSettings {
            kind: MapKind::Linear,
            dim: 1024,
            epochs: 0,
            loss: Loss::TripletHardest,
            margin: 0.2,
            input_dropout: 0.0,
            dropout: 0.0,
            mixup: 0.0,
            two_texts: 0.0,
            beside: Beside::None,
            querybank: 0,
            ..photos.map
        };
        let joint =
            JointSettings { epochs: 30, batch: 128, learning_rate: 5e-4, weight_decay: 0.0 };
        Self { text, image, map, joint, ..photos }
    }

    /// A map of one's own on a jointly trained model, called as a backbone is: its halves stay as they are, and the space that they
    /// share stands beside the map.
    pub fn on_joint(model: &str, dataset: &str) -> Self {
        let (photos, of_data) = (Self::photos(), Preset::Default.settings(dataset));
        let half = |of: StageSettings| StageSettings {
            backbone: format!("{model}{SHARED}"),
            output: 0,
            pool_top: 0,
            epochs: 0,
            ..of
        };
        let map = MapSettings { previous: true, ..of_data.map };
        Self { text: half(photos.text), image: half(photos.image), map, ..photos }
    }

    /// One network for photos, in large pictures and their mirror images: a map on what it says, then its last six blocks
    /// trained with the map, from either image of a photo at a time. Neither tower has a class vector.
    pub fn fine_tuned() -> Self {
        let photos = Self::photos();
        let text = StageSettings { output: 0, ..photos.text };
        let image = StageSettings {
            backbone: "efficientnet-lite2@352+mirror".into(),
            output: 0,
            epochs: 0,
            trained_blocks: 6,
            trained_rate: 0.5,
            ..photos.image
        };
        let joint = JointSettings { epochs: 6, ..photos.joint };
        Self { text, image, joint, ..photos }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_on_a_jointly_trained_model_can_be_trained() {
        assert_eq!(Settings::on_joint("hf:a/b", "emoji").map.querybank, 0);
        let settings = Settings::on_joint("hf:a/b", "csv:captions.csv");
        settings.check(&Stage::ALL).unwrap();
        assert_eq!((&settings.text.backbone[..], settings.image.output), ("hf:a/b@shared", 0));
    }

    #[test]
    fn a_preset_can_be_trained_with() {
        for preset in [Preset::Default, Preset::VsePlusPlus, Preset::FineTuned] {
            for dataset in ["flickr8k:DIR", "emoji"] {
                preset.settings(dataset).check(&preset.stages()).unwrap();
            }
        }
    }
}
