//! A SCAN that was trained here, as a re-ranker.

use std::path::Path;

use candle_core::{DType, Tensor};

use crate::backbones::{Backbones, WORDS};
use crate::error::{ModelError, Result};
use crate::image::{ImageBackbone, Preprocessing};
use crate::model::{Model, TextReader};
use crate::pull::OnProgress;
use crate::scan::{SCAN_TOKENIZER, Scan, combined};
use crate::text::Tokenizer;

/// Texts read at a time.
const TEXTS: usize = 64;

/// The network with its backbones.
pub struct ScanReranker {
    images: ImageBackbone,
    texts: TextReader,
    scan: Scan,
    /// How much its score counts beside the first score, which counts 1.
    weight: f64,
}

impl ScanReranker {
    /// Opens a run whose stage scan was trained.
    ///
    /// # Errors
    /// [`ModelError::NoScan`] if it was not; if a file is missing, malformed or of another network, or the backbone is
    /// another than it was trained on.
    pub(super) fn open(
        dir: &Path,
        backbones: &Backbones,
        progress: OnProgress<'_>,
    ) -> Result<Self> {
        let model = Model::open(dir)?;
        let no_scan = || ModelError::NoScan { path: dir.join("model.toml") };
        let file = model.file().scan.as_ref().ok_or_else(no_scan)?;
        let (images, found) = backbones.image(&file.backbone, 0, progress)?;
        model.check_backbone("scan", (&file.backbone, &file.backbone_fingerprint), &found)?;
        let texts = match file.text_backbone == WORDS {
            true => {
                file.check_words(dir)?;
                let path = dir.join(SCAN_TOKENIZER);
                TextReader::Words(Box::new(Tokenizer::load(&path, file.sizes.positions)?))
            }
            false => {
                let (backbone, found) = backbones.text(&file.text_backbone, 0, progress)?;
                let expected = (file.text_backbone.as_str(), file.text_fingerprint.as_str());
                model.check_backbone("scan.text", expected, &found)?;
                TextReader::Backbone(Box::new(backbone))
            }
        };
        let scan = file.load(dir, &backbones.device)?;
        Ok(Self { images, texts, scan, weight: file.weight })
    }

    pub(super) fn preprocessing(&self) -> &Preprocessing {
        self.images.preprocessing()
    }

    pub(super) fn combined(&self, first: f32, score: f32) -> f32 {
        combined(first, (score, self.weight))
    }

    /// The words of each text, `[words, dim]`. Texts are read in the order of their length.
    pub(super) fn read(&self, texts: &[&str]) -> Result<Vec<Tensor>> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&text| texts[text].len());
        let mut read = vec![None; texts.len()];
        for batch in order.chunks(TEXTS) {
            let chunk: Vec<&str> = batch.iter().map(|&text| texts[text]).collect();
            let sequences = self.texts.sequences(&chunk, self.scan.device())?;
            for (&text, words) in batch.iter().zip(self.scan.words_of_each(&sequences)?) {
                read[text] = Some(words);
            }
        }
        Ok(read.into_iter().flatten().collect())
    }

    /// The score of each picture's texts.
    pub(super) fn score(&self, pictures: &[(&[f32], Vec<&Tensor>)]) -> Result<Vec<Vec<f32>>> {
        pictures.iter().map(|(picture, texts)| self.score_one(picture, texts)).collect()
    }

    fn score_one(&self, picture: &[f32], texts: &[&Tensor]) -> Result<Vec<f32>> {
        let cells = self.images.forward(&[picture.to_vec()])?.flatten(0, 1)?;
        // As features are that it was trained on.
        self.scan.scores_of_picture(&cells.to_dtype(DType::F16)?.to_dtype(DType::F32)?, texts)
    }
}
