//! Stage image: the image tower alone, from images of the same type (§3.2 of the paper).

use tombolo_data::dataset::{Dataset, ImageSource};
use tombolo_data::image::{Decoded, Loader, LoaderConfig, Pixels};
use tombolo_models::backbones::Backbones;
use tombolo_models::checkpoint::Tensors;
use tombolo_models::features::{
    FeatureKey, FeatureStore, PhotoView, Progress, image_features, view_features,
};
use tombolo_models::image::ImageBackbone;
use tombolo_models::tower::{TailConfig, TowerConfig, TowerInput};

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
    /// What each further view is of, by its place among `read`: they follow the images.
    pub copied: Vec<usize>,
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
/// bare patches. An image that cannot be read is reported and left out. Of the first `training` images, other
/// views follow, as the settings ask.
///
/// # Errors
/// If the backbone cannot be had, or the cache cannot be written.
pub fn prepare(
    (sources, training): (&[ImageSource], usize),
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
    let (view, positions) = match tail.as_ref().and_then(TailConfig::cells) {
        Some(cells) => (ViewOf::Part(cells), backbone.cells()),
        None => (ViewOf::Share(1.0 - settings.drop), backbone.cells().min(settings.positions)),
    };
    let input = config(settings, TowerInput::Vectors(backbone.dim()));
    let segments = if backbone.segments().len() > 1 { backbone.segments() } else { Vec::new() };
    let config = TowerConfig { positions, segments, tail, ..input };
    let initial = initial.unwrap_or_default();
    let patch = settings.backbone.strip_prefix("patches:").and_then(|p| p.split_once('/'));
    let total = Some(sources.len() as u64);
    logger.event(Event::Begin { what: format!("images through {}", settings.backbone), total });
    let features = backbones.features_dir(&settings.backbone, &fingerprint, &backbone.reading());
    let cache = match patch {
        Some(_) => None,
        None => Some((FeatureStore::open(&features, backbone.dim())?, Vec::new())),
    };
    let mut reader =
        Reader { backbone: &backbone, cache, pictures: Vec::new(), logger: &mut *logger };
    let read = reader.read(sources, None)?;
    let first = read.iter().take_while(|&&place| place < training).count();
    let photos: Vec<ImageSource> = read[..first].iter().map(|&i| sources[i].clone()).collect();
    let mut copied = Vec::new();
    for &view in &settings.views {
        copied.extend(reader.read(&photos, Some(view))?);
    }
    let (cache, pictures) = (reader.cache, reader.pictures);
    let device = &backbones.device;
    let views: Box<dyn Views> = match (cache, patch) {
        (Some((mut store, keys)), _) => {
            store.map()?;
            Box::new(FeatureViews::new(store, keys, positions, view, device))
        }
        (None, patch) => {
            let patch = patch.and_then(|(_, patch)| patch.parse().ok());
            let patch = patch.expect("checked when the backbone was opened");
            let size = backbone.preprocessing().size();
            Box::new(PictureViews::new(pictures, (size, patch), positions, device))
        }
    };
    let further =
        if copied.is_empty() { String::new() } else { format!(", {} views of them", copied.len()) };
    logger.event(Event::End { summary: format!("{} images{further}", read.len()) });
    let skipped = sources.len() - read.len();
    Ok(ImageInputs { views, read, copied, skipped, config, initial, fingerprint })
}

/// Reads images into what views are made of: the keys of cached features, or pictures.
struct Reader<'a> {
    backbone: &'a ImageBackbone,
    cache: Option<(FeatureStore, Vec<FeatureKey>)>,
    pictures: Vec<Pixels>,
    logger: &'a mut Logger,
}

impl Reader<'_> {
    /// Adds the images, or a view of each. Returns which of them could be read.
    fn read(&mut self, sources: &[ImageSource], view: Option<PhotoView>) -> Result<Vec<usize>> {
        let Some((store, keys)) = &mut self.cache else { return Ok(self.decode(sources, view)) };
        let logger = &mut *self.logger;
        let progress = &mut |progress: Progress| {
            logger.event(Event::Advance { done: progress.done as u64, loss: None });
        };
        let extraction = match view {
            None => image_features(sources, self.backbone, store, progress)?,
            Some(view) => view_features(sources, view, self.backbone, store, progress)?,
        };
        for skipped in extraction.skipped {
            self.logger.event(Event::Skipped { reason: skipped.reason });
        }
        let keyed = extraction.keys.into_iter().enumerate();
        let (read, new): (_, Vec<_>) = keyed.filter_map(|(i, key)| Some((i, key?))).unzip();
        keys.extend(new);
        Ok(read)
    }

    fn decode(&mut self, sources: &[ImageSource], view: Option<PhotoView>) -> Vec<usize> {
        let preprocessing = self.backbone.preprocessing().clone();
        let prepare = move |decoded: Decoded| match view {
            None => preprocessing.square(&decoded.pixels),
            Some(view) => preprocessing.square(&view.apply(&decoded.pixels)),
        };
        let loader = Loader::new(sources.to_vec(), LoaderConfig::default(), prepare);
        let mut read = Vec::new();
        for (index, picture) in loader {
            match picture {
                Ok(picture) => {
                    self.pictures.push(picture);
                    read.push(index);
                }
                Err(error) => self.logger.event(Event::Skipped { reason: error.to_string() }),
            }
            self.logger.event(Event::Advance { done: index as u64 + 1, loss: None });
        }
        read
    }
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
