//! Stage scan in a training run: it is trained without towers and map, and weighed beside those that are there.

use tombolo_data::dataset::{ImageSource, Split};
use tombolo_models::backbones::WORDS;
use tombolo_models::checkpoint::Tensors;
use tombolo_models::scan::{SCAN_TOKENIZER, ScanConfig, ScanFile, words_fingerprint};
use tombolo_models::text::Tokenizer;
use tombolo_models::tower::TowerInput;

use super::Session;
use super::beside::{JUDGED, Sides};
use crate::error::{Result, TrainError};
use crate::joined::{Joined, Used};
use crate::settings::{ScanSettings, ScanWeight, StageSettings};
use crate::stage::image::{self, ImageInputs};
use crate::stage::scan::{self, ScanPairs};
use crate::stage::text::{self, Words};
use crate::train::Stage;
use crate::views::{Views, WordViews};

/// Texts as the network reads them.
struct Reading {
    views: Box<dyn Views>,
    word: TowerInput,
    fingerprint: String,
}

impl Session<'_> {
    /// Trains the network that sees a text and a photo together, and saves it. Returns how many images could not be read.
    pub(super) fn scan(&mut self) -> Result<usize> {
        self.model.metrics.remove(JUDGED);
        // Before this stage opens caches of features that the towers may share.
        let first = match self.settings.scan.weight {
            ScanWeight::Auto(_) => self.first_ranking()?,
            ScanWeight::Fixed(_) => None,
        };
        let dataset = self.plan.dataset;
        let texts = Used::new(dataset.text_indices(Split::Train), dataset.text_indices(Split::Val));
        let images =
            Used::new(dataset.image_indices(Split::Train), dataset.image_indices(Split::Val));
        let inputs = self.cells(&images)?;
        let reading = self.words(&texts)?;
        let joined = Joined::new(dataset, &texts, &images, &inputs.read);
        let pairs = ScanPairs {
            texts: reading.views.as_ref(),
            images: inputs.views.as_ref(),
            training_texts: &joined.training_texts,
            image_of_text: &joined.training_image_of_text,
        };
        let trained = self.trained_scan(&pairs, reading.word, inputs.config.input)?;
        self.save_scan(&trained, [&inputs.fingerprint, &reading.fingerprint])?;
        if let Some(first) = first {
            let sides = Sides::new(&pairs, (&texts, &images, &inputs.read));
            self.weigh(&first, &sides)?;
        }
        self.done(Stage::Scan)?;
        Ok(inputs.skipped)
    }

    /// The network's sizes and weights.
    fn trained_scan(
        &mut self,
        pairs: &ScanPairs<'_>,
        word: TowerInput,
        cell: TowerInput,
    ) -> Result<(ScanConfig, Tensors)> {
        if pairs.training_texts.is_empty() {
            let (stage, expected, found) = (Stage::Scan.as_str(), "at least one pair", 0);
            return Err(TrainError::TooLittle { stage, expected, found });
        }
        let TowerInput::Vectors(cell) = cell else {
            unreachable!("the cells of a picture are vectors")
        };
        let settings = self.settings.scan.clone();
        let ScanSettings { embedding, dim, positions, sharpness, .. } = settings;
        let config = ScanConfig { word, embedding, cell, dim, positions, sharpness };
        let steps = pairs.steps(&settings, self.settings.seed);
        self.begin(format!("stage scan: {} pairs", pairs.training_texts.len()), steps);
        let device = &self.backbones.device;
        let trained = scan::train(pairs, &config, &settings, device, &mut self.context())?;
        self.end("stage scan: trained".to_owned());
        Ok((config, trained))
    }

    /// Saves it with the weight that the settings ask for. `on`: the fingerprints of what it reads images and texts with.
    fn save_scan(&mut self, trained: &(ScanConfig, Tensors), on: [&str; 2]) -> Result<()> {
        let (config, tensors) = trained;
        let settings = &self.settings.scan;
        let backbones = [(settings.backbone.as_str(), on[0]), (settings.text.as_str(), on[1])];
        let file = ScanFile::save(self.run.dir(), tensors, config, backbones, self.precision())?;
        self.model.scan = Some(ScanFile { weight: settings.weight.or_usual(), ..file });
        Ok(())
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
            drop: self.settings.scan.drop,
            ..self.settings.image.clone()
        };
        image::prepare((&sources, used.training), &settings, self.backbones, &mut self.logger)
    }

    /// Texts as the states of its text backbone; or as words, whose tokenizer is left in the run.
    fn words(&mut self, used: &Used) -> Result<Reading> {
        let texts = self.texts(used);
        let (dir, device) = (self.run.dir(), &self.backbones.device);
        let path = dir.join(SCAN_TOKENIZER);
        if self.settings.scan.text != WORDS {
            let settings = StageSettings {
                backbone: self.settings.scan.text.clone(),
                trained_blocks: 0,
                positions: usize::MAX,
                drop: 0.0,
                ..self.settings.text.clone()
            };
            let logger = &mut self.logger;
            let words = Words::AsTrained;
            let inputs = text::prepare(&texts, words, &settings, self.backbones, dir, logger)?;
            let (word, fingerprint) = (inputs.config.input, inputs.fingerprint);
            // That of an earlier scan.
            let _ = std::fs::remove_file(path);
            return Ok(Reading { views: inputs.views, word, fingerprint });
        }
        let training = texts[..used.training].iter().copied();
        let tokenizer = Tokenizer::from_words(training, self.settings.scan.positions)?;
        tokenizer.save(&path)?;
        let ids = texts.iter().map(|text| tokenizer.ids(text)).collect::<Result<Vec<_>, _>>()?;
        let views = Box::new(WordViews::new(ids, 0.0, device));
        let word = TowerInput::Tokens(tokenizer.vocabulary());
        Ok(Reading { views, word, fingerprint: words_fingerprint(dir)? })
    }
}
