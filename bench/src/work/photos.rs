//! JPEG files to vectors with EfficientNet-Lite0: the mean of the last feature map's cells.

use candle_core::Device;
use tombolo_data::dataset::ImageSource;
use tombolo_data::image::{Loader, LoaderConfig};
use tombolo_models::image::{ImageBackbone, Variant};

use super::Work;
use crate::Inputs;
use crate::npy::Array;

/// Photos encoded at a time, as in `tombolo index`.
const BATCH: usize = 16;

fn backbone(inputs: &Inputs) -> anyhow::Result<ImageBackbone> {
    let weights = inputs.models.join("efficientnet-lite0/model.pth");
    Ok(ImageBackbone::efficientnet(&weights, Variant::LITE0, 0, &Device::Cpu)?)
}

fn sources(inputs: &Inputs) -> anyhow::Result<Vec<ImageSource>> {
    let mut paths = std::fs::read_dir(inputs.cache.join("photos"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths.into_iter().map(ImageSource::File).collect())
}

fn load(
    inputs: &Inputs,
    backbone: &ImageBackbone,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Vec<f32>>>> {
    let preprocessing = backbone.preprocessing().clone();
    let config = LoaderConfig { ahead: 2 * BATCH, ..LoaderConfig::default() };
    let loader = Loader::new(sources(inputs)?, config, move |d| preprocessing.apply(&d.pixels));
    Ok(loader.map(|(_, picture)| Ok(picture?)))
}

/// Appends the vectors of a batch.
fn encode(
    backbone: &ImageBackbone,
    batch: &[Vec<f32>],
    vectors: &mut Vec<f32>,
) -> anyhow::Result<()> {
    vectors.extend(backbone.forward(batch)?.mean(1)?.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

/// From the files: reading, decoding, resizing and encoding at the same time.
pub fn end_to_end(inputs: &Inputs) -> anyhow::Result<Work> {
    let inputs = Inputs { cache: inputs.cache.clone(), models: inputs.models.clone() };
    let backbone = backbone(&inputs)?;
    Ok(Box::new(move || {
        let (mut vectors, mut batch) = (Vec::new(), Vec::new());
        for picture in load(&inputs, &backbone)? {
            batch.push(picture?);
            if batch.len() == BATCH {
                encode(&backbone, &batch, &mut vectors)?;
                batch.clear();
            }
        }
        if !batch.is_empty() {
            encode(&backbone, &batch, &mut vectors)?;
        }
        let dim = backbone.dim();
        Ok(Array { shape: vec![vectors.len() / dim, dim], values: vectors })
    }))
}

/// The same photos, decoded before: what end to end is compared with.
pub fn encode_only(inputs: &Inputs) -> anyhow::Result<Work> {
    let backbone = backbone(inputs)?;
    let pictures = load(inputs, &backbone)?.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Box::new(move || {
        let mut vectors = Vec::new();
        for batch in pictures.chunks(BATCH) {
            encode(&backbone, batch, &mut vectors)?;
        }
        let dim = backbone.dim();
        Ok(Array { shape: vec![vectors.len() / dim, dim], values: vectors })
    }))
}
