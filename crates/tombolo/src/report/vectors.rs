//! Vectors of a gallery, through the features that training has cached.

use anyhow::{Context, ensure};
use tombolo_data::dataset::ImageSource;
use tombolo_data::image::{Loader, LoaderConfig};
use tombolo_models::backbones::{Backbones, WORDS};
use tombolo_models::features::{FeatureKey, FeatureStore, image_features, text_features};
use tombolo_models::model::{Model, TowerFile};
use tombolo_models::tower::Tower;
use tombolo_train::views::{FeatureViews, ViewOf, Views};
use tombolo_vectors::EmbeddingMatrix;

/// Inputs encoded at a time.
const BATCH: usize = 128;

/// The image tower's vectors of the images that can be read, and which they are.
///
/// # Errors
/// If the tower cannot be loaded, or its backbone fails.
pub fn image_vectors(
    model: &Model,
    backbones: &Backbones,
    sources: &[ImageSource],
) -> anyhow::Result<(EmbeddingMatrix, Vec<usize>)> {
    let part = model.file().image.as_ref().context("the run has no image tower")?;
    if part.backbone.starts_with("patches:") {
        return bare_image_vectors(model, backbones, sources);
    }
    let (backbone, fingerprint) =
        backbones.image(&part.backbone, part.tower.trained_blocks(), &mut |_| ())?;
    check(part, &fingerprint)?;
    let dir = backbones.features_dir(&part.backbone, &fingerprint, &backbone.reading());
    let mut store = FeatureStore::open(&dir, backbone.dim())?;
    let extraction = image_features(sources, &backbone, &mut store, &mut |_| ())?;
    let keyed = extraction.keys.into_iter().enumerate();
    let (read, keys) = keyed.filter_map(|(index, key)| Some((index, key?))).unzip();
    Ok((from_features(&model.tower("image", &backbones.device)?, store, keys, backbones)?, read))
}

/// Bare patches cost no more than reading a cache would.
fn bare_image_vectors(
    model: &Model,
    backbones: &Backbones,
    sources: &[ImageSource],
) -> anyhow::Result<(EmbeddingMatrix, Vec<usize>)> {
    let tower = model.image_tower(backbones, &mut |_| ())?;
    let preprocessing = tower.preprocessing().clone();
    let loader = Loader::new(sources.to_vec(), LoaderConfig::default(), move |decoded| {
        preprocessing.apply(&decoded.pixels)
    });
    let (mut vectors, mut read) = (EmbeddingMatrix::new(tower.dim())?, Vec::new());
    let mut pictures = loader.filter_map(|(index, picture)| Some((index, picture.ok()?)));
    loop {
        let (indices, batch): (Vec<_>, Vec<_>) = pictures.by_ref().take(BATCH).unzip();
        if batch.is_empty() {
            return Ok((vectors, read));
        }
        vectors.extend(&tower.embed(&batch)?)?;
        read.extend(indices);
    }
}

/// The text tower's vectors of all texts.
///
/// # Errors
/// If the tower cannot be loaded, or its backbone fails.
pub fn text_vectors(
    model: &Model,
    backbones: &Backbones,
    texts: &[&str],
) -> anyhow::Result<EmbeddingMatrix> {
    let part = model.file().text.as_ref().context("the run has no text tower")?;
    if part.backbone == WORDS {
        return Ok(model.text_tower(backbones, &mut |_| ())?.embed(texts)?);
    }
    let (backbone, fingerprint) =
        backbones.text(&part.backbone, part.tower.trained_blocks(), &mut |_| ())?;
    check(part, &fingerprint)?;
    let dir = backbones.features_dir(&part.backbone, &fingerprint, &backbone.cached_as());
    let mut store = FeatureStore::open(&dir, backbone.dim())?;
    let extraction = text_features(texts, &backbone, &mut store, &mut |_| ())?;
    let keys = extraction.keys.into_iter().flatten().collect();
    from_features(&model.tower("text", &backbones.device)?, store, keys, backbones)
}

fn check(part: &TowerFile, found: &str) -> anyhow::Result<()> {
    let (name, expected) = (&part.backbone, &part.backbone_fingerprint);
    ensure!(expected == found, "{name}: expected fingerprint {expected}, found {found} installed");
    Ok(())
}

fn from_features(
    tower: &Tower,
    mut store: FeatureStore,
    keys: Vec<FeatureKey>,
    backbones: &Backbones,
) -> anyhow::Result<EmbeddingMatrix> {
    store.map()?;
    let (positions, dim) = (tower.config().positions, tower.config().dim());
    let views = FeatureViews::new(store, keys, positions, ViewOf::Share(1.0), &backbones.device);
    let mut values = Vec::with_capacity(views.len() * dim);
    for start in (0..views.len()).step_by(BATCH) {
        let batch: Vec<usize> = (start..views.len().min(start + BATCH)).collect();
        let vectors = tower.forward(&views.whole(&batch)?)?;
        values.extend(vectors.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(EmbeddingMatrix::from_rows(dim, values)?)
}
