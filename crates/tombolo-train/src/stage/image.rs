//! Stage image: the image tower alone, from images of the same type (§3.2 of the paper).

use tombolo_data::dataset::{Dataset, ImageSource};
use tombolo_data::image::{Loader, LoaderConfig, Pixels};
use tombolo_models::backbones::Backbones;
use tombolo_models::checkpoint::Tensors;
use tombolo_models::features::{FeatureStore, image_features};
use tombolo_models::image::ImageBackbone;
use tombolo_models::tower::{TowerConfig, TowerInput};

use crate::error::{Result, TrainError};
use crate::positives::Positives;
use crate::run::{Event, Logger};
use crate::settings::StageSettings;
use crate::stage::text::config;
use crate::views::{FeatureViews, PictureViews, ViewOf, Views};

/// Images as the tower reads them, and what the tower is to be.
pub struct ImageInputs {
    /// The images that could be read.
    pub views: Box<dyn Views>,
    /// Which of the images asked for they are.
    pub read: Vec<usize>,
    /// How many could not be read.
    pub skipped: usize,
    /// The tower's sizes.
    pub config: TowerConfig,
    /// The weights that a new tower does not start at random: those of the backbone's trained blocks.
    pub initial: Tensors,
    /// Fingerprint of the backbone.
    pub fingerprint: String,
}

/// Prepares images: runs the backbone over those that the cache lacks, or decodes them for a tower over
/// bare patches. An image that cannot be read is reported and left out.
///
/// # Errors
/// If the backbone cannot be had, or the cache cannot be written.
pub fn prepare(
    sources: &[ImageSource],
    settings: &StageSettings,
    backbones: &Backbones,
    logger: &mut Logger,
) -> Result<ImageInputs> {
    let trained = settings.trained_blocks;
    let (backbone, fingerprint) =
        backbones.image(&settings.backbone, trained, &mut |p| logger.pull(p))?;
    let (tail, initial) = match trained {
        0 => None,
        _ => Some(backbones.tail(&settings.backbone, trained, &mut |p| logger.pull(p))?),
    }
    .unzip();
    // Blocks of a network read whole feature maps.
    let (view, positions) = match &tail {
        Some(tail) => (ViewOf::Part(tail.cells()), backbone.cells()),
        None => (ViewOf::Share(1.0 - settings.drop), backbone.cells().min(settings.positions)),
    };
    let input = config(settings, TowerInput::Vectors(backbone.dim()));
    let segments = if backbone.segments().len() > 1 { backbone.segments() } else { Vec::new() };
    let config = TowerConfig { positions, segments, tail, ..input };
    let initial = initial.unwrap_or_default();
    let patch = settings.backbone.strip_prefix("patches:").and_then(|p| p.split_once('/'));
    let total = Some(sources.len() as u64);
    logger.event(Event::Begin { what: format!("images through {}", settings.backbone), total });
    let (views, read): (Box<dyn Views>, Vec<usize>) = match patch {
        Some((_, patch)) => {
            let patch = patch.parse().expect("checked when the backbone was opened");
            let (pictures, read) = decode(sources, &backbone, logger);
            let size = backbone.preprocessing().size();
            (Box::new(PictureViews::new(pictures, size, patch, &backbones.device)), read)
        }
        None => {
            let dir = backbones.features_dir(&settings.backbone, &fingerprint, &backbone.reading());
            let mut store = FeatureStore::open(&dir, backbone.dim())?;
            let extraction = image_features(sources, &backbone, &mut store, &mut |progress| {
                logger.event(Event::Advance { done: progress.done as u64, loss: None });
            })?;
            store.map()?;
            for skipped in extraction.skipped {
                logger.event(Event::Skipped { reason: skipped.reason });
            }
            let keyed = extraction.keys.into_iter().enumerate();
            let (read, keys) = keyed.filter_map(|(i, key)| Some((i, key?))).unzip();
            let device = &backbones.device;
            (Box::new(FeatureViews::new(store, keys, positions, view, device)), read)
        }
    };
    logger.event(Event::End { summary: format!("{} images", read.len()) });
    let skipped = sources.len() - read.len();
    Ok(ImageInputs { views, read, skipped, config, initial, fingerprint })
}

fn decode(
    sources: &[ImageSource],
    backbone: &ImageBackbone,
    logger: &mut Logger,
) -> (Vec<Pixels>, Vec<usize>) {
    let preprocessing = backbone.preprocessing().clone();
    let loader = Loader::new(sources.to_vec(), LoaderConfig::default(), move |decoded| {
        preprocessing.square(&decoded.pixels)
    });
    let (mut pictures, mut read) = (Vec::new(), Vec::new());
    for (index, picture) in loader {
        match picture {
            Ok(picture) => {
                pictures.push(picture);
                read.push(index);
            }
            Err(error) => logger.event(Event::Skipped { reason: error.to_string() }),
        }
        logger.event(Event::Advance { done: index as u64 + 1, loss: None });
    }
    (pictures, read)
}

/// Images that share a label are of the same type.
///
/// # Errors
/// [`TrainError::TooLittle`] if there are fewer than two images.
pub fn positives(dataset: &dyn Dataset, images: &[usize]) -> Result<Positives> {
    if images.len() < 2 {
        let (expected, found) = ("at least two training images", images.len());
        return Err(TrainError::TooLittle { stage: "image", expected, found });
    }
    let labelled = images.iter().enumerate().flat_map(|(item, &image)| {
        dataset.images()[image].labels.iter().map(move |label| (item, label))
    });
    Ok(Positives::from_groups(images.len(), labelled))
}

/// Images whose captions lie together are of the same type: mutual nearest neighbours by the mean of
/// their captions' vectors. Images without a caption are of a type of their own.
///
/// `texts`: `[texts, dim]`; `captions`: for each image, its rows in `texts`.
pub fn positives_by_captions(
    texts: &[f32],
    dim: usize,
    captions: &[Vec<usize>],
    neighbours: usize,
) -> Positives {
    let mut means = vec![0.0; captions.len() * dim];
    for (mean, rows) in means.chunks_exact_mut(dim).zip(captions) {
        for &row in rows {
            mean.iter_mut().zip(&texts[row * dim..]).for_each(|(m, x)| *m += x);
        }
        let norm = mean.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
        mean.iter_mut().for_each(|m| *m /= norm);
    }
    Positives::from_neighbours(&means, dim, neighbours)
}
