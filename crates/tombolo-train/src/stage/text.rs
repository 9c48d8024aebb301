//! Stage text: the text tower alone, from texts that mean the same (§3.1 of the paper).

use std::path::Path;

use tombolo_data::dataset::Dataset;
use tombolo_models::backbones::{Backbones, WORDS};
use tombolo_models::checkpoint::Tensors;
use tombolo_models::features::{FeatureStore, text_features};
use tombolo_models::text::Tokenizer;
use tombolo_models::tower::{Readout, TowerConfig, TowerInput};

use crate::error::{Result, TrainError};
use crate::positives::Positives;
use crate::run::{Event, Logger};
use crate::settings::{self, StageSettings};
use crate::views::{FeatureViews, ViewOf, Views, WordViews};

/// Texts as the tower reads them, and what the tower is to be.
pub struct TextInputs {
    /// The texts, in the order that they were asked for.
    pub views: Box<dyn Views>,
    /// The tower's sizes.
    pub config: TowerConfig,
    /// The weights that a new tower does not start at random: those of the backbone's trained layers.
    pub initial: Tensors,
    /// Fingerprint of the backbone.
    pub fingerprint: String,
}

/// Perturbed copies of texts. A text that a perturbation leaves as it was has no copy under it.
#[derive(Default)]
pub struct Copies {
    /// The copies.
    pub texts: Vec<String>,
    /// Which text each is of.
    pub copied: Vec<usize>,
}

/// Copies each text under each perturbation.
///
/// # Errors
/// [`TrainError::InvalidSetting`] if a name is no perturbation of texts.
pub fn copies(texts: &[&str], perturbations: &[String], seed: u64) -> Result<Copies> {
    let mut copies = Copies::default();
    for perturbation in settings::perturbations(perturbations)? {
        for (index, text) in texts.iter().enumerate() {
            let copy = perturbation.apply(text, seed, index);
            if copy != *text {
                copies.texts.push(copy);
                copies.copied.push(index);
            }
        }
    }
    Ok(copies)
}

/// Where the words of a tower over bare words come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// From so many texts, the first: a new tower learns those.
    OfFirst(usize),
    /// From `tokenizer.json` of the run: the tower is trained.
    AsTrained,
}

/// Prepares texts: runs the backbone over those that the cache lacks, or reads them as words, by a
/// tokenizer that lies in `dir` or is made and left there.
///
/// # Errors
/// If the backbone cannot be had, or a text or file cannot be read or written.
pub fn prepare(
    texts: &[&str],
    words: Words,
    settings: &StageSettings,
    backbones: &Backbones,
    dir: &Path,
    logger: &mut Logger,
) -> Result<TextInputs> {
    let device = &backbones.device;
    if settings.backbone == WORDS {
        let path = dir.join("tokenizer.json");
        let tokenizer = match words {
            Words::AsTrained => Tokenizer::load(&path, settings.positions)?,
            Words::OfFirst(count) => {
                let texts = texts[..count].iter().copied();
                let tokenizer = Tokenizer::from_words(texts, settings.positions)?;
                tokenizer.save(&path)?;
                tokenizer
            }
        };
        let ids = texts.iter().map(|text| tokenizer.ids(text)).collect::<Result<_, _>>()?;
        let config = config(settings, TowerInput::Tokens(tokenizer.vocabulary()));
        let views = Box::new(WordViews::new(ids, settings.drop, device));
        let (initial, fingerprint) = (Tensors::new(), WORDS.to_owned());
        return Ok(TextInputs { views, config, initial, fingerprint });
    }
    let trained = settings.trained_blocks;
    let (backbone, fingerprint) =
        backbones.text(&settings.backbone, trained, &mut |p| logger.pull(p))?;
    let (tail, initial) = match trained {
        0 => None,
        _ => Some(backbones.text_tail(&settings.backbone, trained, &mut |p| logger.pull(p))?),
    }
    .unzip();
    let features = backbones.features_dir(&settings.backbone, &fingerprint, &backbone.cached_as());
    let mut store = FeatureStore::open(&features, backbone.dim())?;
    let total = Some(texts.len() as u64);
    logger.event(Event::Begin { what: format!("texts through {}", settings.backbone), total });
    let mut cached = 0;
    let extraction = text_features(texts, &backbone, &mut store, &mut |progress| {
        cached = progress.cached;
        logger.event(Event::Advance { done: progress.done as u64, loss: None });
    })?;
    store.map()?;
    logger.event(Event::End { summary: format!("{} texts, {cached} from the cache", texts.len()) });
    let keys = extraction.keys.into_iter().flatten().collect();
    let config = TowerConfig { tail, ..config(settings, TowerInput::Vectors(backbone.dim())) };
    let initial = initial.unwrap_or_default();
    let views = FeatureViews::new(
        store,
        keys,
        settings.positions,
        ViewOf::Share(1.0 - settings.drop),
        device,
    );
    Ok(TextInputs { views: Box::new(views), config, initial, fingerprint })
}

/// The texts of one image mean the same.
///
/// # Errors
/// [`TrainError::TooLittle`] if there are fewer than two texts.
pub fn positives(dataset: &dyn Dataset, texts: &[usize]) -> Result<Positives> {
    if texts.len() < 2 {
        let (expected, found) = ("at least two training texts", texts.len());
        return Err(TrainError::TooLittle { stage: "text", expected, found });
    }
    let groups = texts.iter().map(|&text| dataset.texts()[text].image).enumerate();
    Ok(Positives::from_groups(texts.len(), groups))
}

/// The tower that settings ask for.
pub(crate) fn config(settings: &StageSettings, input: TowerInput) -> TowerConfig {
    TowerConfig {
        input,
        encoder: settings.encoder,
        width: settings.width,
        layers: settings.layers,
        heads: settings.heads,
        positions: settings.positions,
        output: settings.output,
        segments: Vec::new(),
        tail: None,
        pooling: settings.pooling,
        readout: match (settings.output, settings.pool_top) {
            (0, top) => Readout::Pooled(top),
            (_, 0) => Readout::Class,
            (_, top) => Readout::ClassAndPooled(top),
        },
    }
}

#[cfg(test)]
mod tests {
    use tombolo_data::dataset::{Split, open};

    use super::*;

    #[test]
    fn copies_are_of_the_texts_that_a_perturbation_changes() {
        let texts = ["a dog runs on grass", "a b"];
        let names = ["char_swap".to_owned(), "distraction_true".to_owned()];
        let copies = copies(&texts, &names, 3).unwrap();
        assert_eq!(copies.copied, [0, 0, 1]);
        assert_ne!(copies.texts[0], texts[0]);
        assert_eq!(copies.texts[2], "a b and true is true.");
    }

    #[test]
    fn translations_of_a_caption_are_its_positives() {
        let dir = tempfile::tempdir().unwrap();
        let captions = [
            ("dog.jpg", "a dog runs on grass", "ein Hund rennt über Gras", "草の上を走る犬"),
            ("cat.jpg", "a cat sleeps", "eine Katze schläft", "眠っている猫"),
        ];
        let mut lines = vec!["image,caption,split".to_owned()];
        for (photo, english, german, japanese) in captions {
            std::fs::write(dir.path().join(photo), "").unwrap();
            let texts = [english, german, japanese].into_iter();
            lines.extend(texts.map(|text| format!("{photo},{text},train")));
        }
        let csv = dir.path().join("captions.csv");
        std::fs::write(&csv, lines.join("\n")).unwrap();
        let dataset = open(&format!("csv:{}", csv.display())).unwrap();
        let texts = dataset.text_indices(Split::Train);
        let positives = positives(dataset.as_ref(), &texts).unwrap();
        for (text, other) in [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5)] {
            assert!(positives.contains(text, other) && positives.contains(other, text));
        }
        assert!((0..3).all(|text| (3..6).all(|other| !positives.contains(text, other))));
    }
}
