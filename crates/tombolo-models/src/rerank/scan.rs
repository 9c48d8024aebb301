//! A SCAN that was trained here, as a re-ranker.

use std::path::Path;

use candle_core::{DType, Tensor};

use crate::backbones::Backbones;
use crate::error::{ModelError, Result};
use crate::image::{ImageBackbone, Preprocessing};
use crate::model::{Model, id_sequences};
use crate::pull::OnProgress;
use crate::scan::{SCAN_TOKENIZER, Scan};
use crate::text::Tokenizer;

/// Texts read at a time.
const TEXTS: usize = 64;

/// The network with its image backbone and its words.
pub struct ScanReranker {
    backbone: ImageBackbone,
    scan: Scan,
    tokenizer: Tokenizer,
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
        let (backbone, found) = backbones.image(&file.backbone, 0, progress)?;
        model.check_backbone("scan", (&file.backbone, &file.backbone_fingerprint), &found)?;
        let scan = file.load(dir, &backbones.device)?;
        let tokenizer = Tokenizer::load(&dir.join(SCAN_TOKENIZER), file.sizes.positions)?;
        Ok(Self { backbone, scan, tokenizer })
    }

    pub(super) fn preprocessing(&self) -> &Preprocessing {
        self.backbone.preprocessing()
    }

    /// The words of each text, `[words, dim]`. Texts are read in the order of their length.
    pub(super) fn read(&self, texts: &[&str]) -> Result<Vec<Tensor>> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&text| texts[text].len());
        let mut read = vec![None; texts.len()];
        for batch in order.chunks(TEXTS) {
            let ids = batch.iter().map(|&text| self.tokenizer.ids(texts[text]));
            let ids = ids.collect::<Result<Vec<_>>>()?;
            let words = self.scan.words(&id_sequences(&ids, self.scan.device())?)?;
            let mut first = 0;
            for (&text, ids) in batch.iter().zip(&ids) {
                read[text] = Some(words.narrow(0, first, ids.len())?);
                first += ids.len();
            }
        }
        Ok(read.into_iter().flatten().collect())
    }

    /// The score of each picture's texts.
    pub(super) fn score(&self, pictures: &[(&[f32], Vec<&Tensor>)]) -> Result<Vec<Vec<f32>>> {
        pictures.iter().map(|(picture, texts)| self.score_one(picture, texts)).collect()
    }

    fn score_one(&self, picture: &[f32], texts: &[&Tensor]) -> Result<Vec<f32>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let cells = self.backbone.forward(&[picture.to_vec()])?.flatten(0, 1)?;
        // As features are that it was trained on.
        let cells = cells.to_dtype(DType::F16)?.to_dtype(DType::F32)?;
        let regions = self.scan.regions(&cells)?;
        let lengths = texts.iter().map(|words| Ok(words.dim(0)?)).collect::<Result<Vec<_>>>()?;
        let words = Tensor::cat(texts, 0)?;
        let scores = self.scan.scores((&regions, 1), (&words, &lengths))?;
        Ok(scores.flatten_all()?.to_vec1()?)
    }
}
