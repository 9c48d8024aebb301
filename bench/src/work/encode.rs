//! Frozen backbones: captions to sentence vectors, pictures to feature maps.

use candle_core::{Device, Tensor};
use tombolo_models::image::{EfficientNet, Variant, Vit};
use tombolo_models::text::TextBackbone;

use super::Work;
use crate::Inputs;
use crate::npy::{self, Array};

/// Texts encoded at a time, as in training and indexing.
const TEXTS: usize = 512;

/// The mean of each caption's token vectors, at unit length, as all-MiniLM-L6-v2 has it.
pub fn minilm_captions(inputs: &Inputs) -> anyhow::Result<Work> {
    let backbone = TextBackbone::bert(&inputs.models.join("all-minilm-l6-v2"), &Device::Cpu)?;
    let captions: Vec<String> =
        serde_json::from_slice(&std::fs::read(inputs.cache.join("captions.json"))?)?;
    let dim = backbone.dim();
    Ok(Box::new(move || {
        let mut order: Vec<usize> = (0..captions.len()).collect();
        order.sort_by_key(|&i| captions[i].len());
        let mut values = vec![0.0; captions.len() * dim];
        for chosen in order.chunks(TEXTS) {
            let texts: Vec<&str> = chosen.iter().map(|&i| captions[i].as_str()).collect();
            let (tokens, lengths) = backbone.forward(&texts)?;
            let tokens = tokens.flatten_all()?.to_vec1::<f32>()?;
            let mut rest = tokens.as_slice();
            for (&i, length) in chosen.iter().zip(lengths) {
                let (rows, after) = rest.split_at(length * dim);
                rest = after;
                let out = &mut values[i * dim..(i + 1) * dim];
                for row in rows.chunks_exact(dim) {
                    out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
                tombolo_vectors::normalize(out);
            }
        }
        Ok(Array { shape: vec![captions.len(), dim], values })
    }))
}

/// The pictures that `prepare.py` made, as many as a batch has.
fn pictures(inputs: &Inputs, count: usize) -> anyhow::Result<Vec<Vec<f32>>> {
    let array = npy::read(&inputs.cache.join("pictures.npy"))?;
    let size: usize = array.shape[1..].iter().product();
    Ok(array.values.chunks_exact(size).take(count).map(<[f32]>::to_vec).collect())
}

fn slices(pictures: &[Vec<f32>]) -> Vec<&[f32]> {
    pictures.iter().map(Vec::as_slice).collect()
}

/// A forward pass; what it gives stays a tensor while it is timed.
pub type Forward = Box<dyn FnMut() -> anyhow::Result<Tensor>>;

/// The last feature map of 16 pictures.
pub fn efficientnet_lite0(inputs: &Inputs) -> anyhow::Result<Forward> {
    let pictures = pictures(inputs, 16)?;
    let weights = inputs.models.join("efficientnet-lite0/model.pth");
    let network = EfficientNet::load(&weights, Variant::LITE0)?;
    Ok(Box::new(move || Ok(network.forward(&slices(&pictures), &Device::Cpu)?)))
}

/// The last layer of 8 pictures, class token and patches.
pub fn vit_s16(inputs: &Inputs) -> anyhow::Result<Forward> {
    let pictures = pictures(inputs, 8)?;
    let network = Vit::load(&inputs.cache.join("vit"), &Device::Cpu)?;
    Ok(Box::new(move || Ok(network.forward(&slices(&pictures), (224, 224))?)))
}

/// The pass alone, to be timed.
pub fn timed(mut forward: Forward) -> Work {
    Box::new(move || forward().map(|_| Array { shape: Vec::new(), values: Vec::new() }))
}

/// The pass and its result, to be compared.
pub fn compared(mut forward: Forward) -> Work {
    Box::new(move || {
        let tensor = forward()?;
        Ok(Array { shape: tensor.dims().to_vec(), values: tensor.flatten_all()?.to_vec1()? })
    })
}
