//! Defaults by the kind of data.

use tombolo_models::tower::{EncoderKind, Pooling};

use super::{
    Auto, Beside, CurriculumSettings, JointSettings, MapKind, MapSettings, Regularisation,
    ScanSettings, Settings, StageSettings,
};
use crate::loss::Loss;

impl Settings {
    /// Defaults for photos with captions, on frozen backbones.
    pub fn photos() -> Self {
        let text = StageSettings {
            backbone: "all-minilm-l6-v2@0,2,4,6".into(),
            trained_blocks: 0,
            trained_rate: 0.1,
            encoder: EncoderKind::Transformer,
            width: 256,
            layers: 2,
            heads: 4,
            output: 256,
            positions: 64,
            pool_top: 1,
            pooling: Pooling::Largest,
            epochs: 1,
            batch: 256,
            learning_rate: 5e-4,
            weight_decay: 0.05,
            loss: Loss::SupCon,
            temperature: 0.05,
            margin: 0.2,
            reference: true,
            queue: 4096,
            momentum: 0.99,
            drop: 0.1,
            neighbours: 0,
            copies: Vec::new(),
            views: Vec::new(),
        };
        let image = StageSettings {
            backbone: "efficientnet-lite0@288+efficientnet-lite2@352+middle+mirror".into(),
            positions: 1024,
            pool_top: 5,
            epochs: 1,
            layers: 1,
            batch: 128,
            drop: 0.5,
            neighbours: 5,
            ..text.clone()
        };
        let map = MapSettings {
            kind: MapKind::Mlp,
            dim: 768,
            hidden: 1536,
            members: 1,
            classes: false,
            pairs: 0,
            regularisation: Regularisation::Chosen(Auto::Auto),
            epochs: 60,
            batch: 1500,
            learning_rate: 1e-3,
            weight_decay: 0.15,
            loss: Loss::InfoNce,
            temperature: 0.05,
            margin: 0.2,
            input_dropout: 0.4,
            dropout: 0.6,
            mixup: 0.5,
            two_texts: 0.33,
            average: 0.99,
            beside: Beside::Cca,
            beside_dim: 256,
            previous: false,
            querybank: 4_000,
        };
        let joint =
            JointSettings { epochs: 5, batch: 256, learning_rate: 2e-4, weight_decay: 0.15 };
        let (scan, curriculum) = (ScanSettings::default(), CurriculumSettings::default());
        Self { seed: 0, half: false, text, image, map, joint, scan, curriculum }
    }

    /// Defaults for the embedded emoji set, from scratch.
    pub fn emoji() -> Self {
        let photos = Self::photos();
        let text = StageSettings {
            backbone: "words".into(),
            width: 128,
            layers: 2,
            heads: 4,
            output: 128,
            positions: 24,
            pool_top: 0,
            epochs: 15,
            batch: 256,
            learning_rate: 1e-3,
            temperature: 0.1,
            queue: 1024,
            momentum: 0.9,
            drop: 0.1,
            ..photos.text
        };
        let image = StageSettings {
            backbone: "patches:48/8".into(),
            layers: 3,
            positions: 36,
            epochs: 5,
            batch: 128,
            drop: 0.0,
            neighbours: 0,
            ..text.clone()
        };
        let map = MapSettings {
            dim: 128,
            hidden: 256,
            epochs: 120,
            batch: 512,
            learning_rate: 2e-3,
            weight_decay: 0.01,
            input_dropout: 0.0,
            dropout: 0.0,
            mixup: 0.0,
            two_texts: 0.0,
            average: 0.95,
            // All emoji are ranked, and a bank of those that were trained on would hold them back more than those that are asked for.
            beside: Beside::None,
            querybank: 0,
            ..photos.map
        };
        Self { text, image, map, ..photos }
    }
}
