//! Stage scan in a training run: it needs neither towers nor a map.

use tombolo_data::dataset::{ImageSource, Split};
use tombolo_models::scan::{SCAN_TOKENIZER, ScanConfig, ScanFile};
use tombolo_models::text::Tokenizer;
use tombolo_models::tower::TowerInput;

use super::Session;
use crate::error::{Result, TrainError};
use crate::joined::{Joined, Used};
use crate::settings::StageSettings;
use crate::stage::image::{self, ImageInputs};
use crate::stage::scan::{self, ScanPairs};
use crate::train::Stage;
use crate::views::WordViews;

impl Session<'_> {
    /// Trains the network that sees a text and a photo together, and saves it. Returns how many images could not be read.
    pub(super) fn scan(&mut self) -> Result<usize> {
        let dataset = self.plan.dataset;
        let texts = Used::new(dataset.text_indices(Split::Train), Vec::new());
        let images = Used::new(dataset.image_indices(Split::Train), Vec::new());
        let inputs = self.cells(&images)?;
        let (words, vocabulary) = self.words(&texts)?;
        let joined = Joined::new(dataset, &texts, &images, &inputs.read);
        let pairs = ScanPairs {
            texts: &words,
            images: inputs.views.as_ref(),
            training_texts: &joined.training_texts,
            image_of_text: &joined.training_image_of_text,
        };
        if pairs.training_texts.is_empty() {
            let (stage, expected, found) = (Stage::Scan.as_str(), "at least one pair", 0);
            return Err(TrainError::TooLittle { stage, expected, found });
        }
        let settings = self.settings.scan.clone();
        let TowerInput::Vectors(cell) = inputs.config.input else {
            unreachable!("the cells of a picture are vectors")
        };
        let config = ScanConfig {
            words: vocabulary,
            embedding: settings.embedding,
            cell,
            dim: settings.dim,
            positions: settings.positions,
            sharpness: settings.sharpness,
        };
        let steps = pairs.steps(&settings, self.settings.seed);
        self.begin(format!("stage scan: {} pairs", pairs.training_texts.len()), steps);
        let device = &self.backbones.device;
        let trained = scan::train(&pairs, &config, &settings, device, &mut self.context())?;
        let backbone = (settings.backbone.as_str(), inputs.fingerprint.as_str());
        let file = ScanFile::save(self.run.dir(), &trained, &config, backbone, self.precision())?;
        self.model.scan = Some(file);
        self.done(Stage::Scan)?;
        self.end("stage scan: trained".to_owned());
        Ok(inputs.skipped)
    }

    /// Photos as the cells of its backbone.
    fn cells(&mut self, used: &Used) -> Result<ImageInputs> {
        let images = self.plan.dataset.images();
        let sources: Vec<ImageSource> =
            used.items.iter().map(|&i| images[i].source.clone()).collect();
        let settings = StageSettings {
            backbone: self.settings.scan.backbone.clone(),
            trained_blocks: 0,
            positions: usize::MAX,
            views: Vec::new(),
            drop: 0.0,
            ..self.settings.image.clone()
        };
        image::prepare((&sources, used.training), &settings, self.backbones, &mut self.logger)
    }

    /// Texts as words, whose tokenizer is left in the run, and the number of words.
    fn words(&self, used: &Used) -> Result<(WordViews, usize)> {
        let texts = self.texts(used);
        let longest = self.settings.scan.positions;
        let tokenizer = Tokenizer::from_words(texts.iter().copied(), longest)?;
        tokenizer.save(&self.run.dir().join(SCAN_TOKENIZER))?;
        let ids = texts.iter().map(|text| tokenizer.ids(text)).collect::<Result<Vec<_>, _>>()?;
        Ok((WordViews::new(ids, 0.0, &self.backbones.device), tokenizer.vocabulary()))
    }
}
