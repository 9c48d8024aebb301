//! What tests of the zoo share: golden files, and checkpoints with a defect.

use std::path::{Path, PathBuf};

use candle_core::Tensor;

use super::Files;
use super::files::Layout;
use crate::checkpoint::{HostTensor, MappedTensors, Tensors, safetensors};
use crate::error::Result;
use crate::settings::read_json;

const TOLERANCE: f32 = 1e-4;

pub(super) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity").join(name).join("tiny")
}

pub(super) fn open(dir: &Path) -> Files {
    let layout = Layout::HuggingFace;
    Files::open(layout, layout.settings(dir).unwrap()).unwrap()
}

/// The tensors that the reference made, and the token ids that it made them of.
pub(super) fn expected(dir: &Path) -> (Tensors, Vec<Vec<u32>>) {
    let inputs: serde_json::Value = read_json(&dir.join("inputs.json")).unwrap();
    let ids = serde_json::from_value(inputs["sequences"].clone()).unwrap();
    (safetensors::read(&dir.join("expected.safetensors")).unwrap(), ids)
}

/// Pictures `[batch, 3, height, width]` as ours, `[height, width, 3]` each.
pub(super) fn channels_last(pixels: &HostTensor) -> Vec<Vec<f32>> {
    let [batch, channels, height, width] = pixels.shape[..] else { panic!("{:?}", pixels.shape) };
    let area = height * width;
    let picture = |b: usize| {
        let at = move |place: usize, c: usize| pixels.data[(b * channels + c) * area + place];
        (0..area).flat_map(move |place| (0..channels).map(move |c| at(place, c))).collect()
    };
    (0..batch).map(picture).collect()
}

/// Whether the norm of the difference is small beside the norm of what is expected.
pub(super) fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(f, e)| f - e));
    let relative = difference / norm(&mut expected.iter().copied());
    assert!(relative < TOLERANCE, "relative error {relative}");
}

pub(super) fn assert_tensor(found: &Tensor, expected: &HostTensor) {
    assert_eq!(found.dims(), expected.shape);
    assert_near(&flat(found), &expected.data);
}

pub(super) fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Takes each tensor out of a checkpoint in turn, makes it longer, and gives its elements another shape: `load` must refuse
/// all three, by name, whatever tensor it is, but for those that are `unread`.
pub(super) fn assert_every_tensor_is_checked(
    dir: &Path,
    unread: impl Fn(&str) -> bool,
    load: impl Fn(&Files) -> Result<()>,
) {
    let path = dir.join("model.safetensors");
    let whole = safetensors::read(&path).unwrap();
    let load = |tensors: &Tensors| {
        let tensors = MappedTensors::from_tensors(&path, tensors.clone());
        load(&Files { settings: Layout::HuggingFace.settings(dir).unwrap(), tensors })
    };
    load(&whole).unwrap();
    // PyTorch counts the batches that a batch norm saw; nothing reads that.
    let counts = |name: &str| name.ends_with("num_batches_tracked");
    let names = whole.keys().filter(|name| !counts(name) && !unread(name));
    for name in names {
        let mut without = whole.clone();
        let tensor = without.remove(name).unwrap();
        let message = load(&without).expect_err(name).to_string();
        assert!(message.contains(&format!("expected a tensor `{name}`")), "{message}");
        let longer = [&tensor.data[..], &[0.0]].concat();
        let turned: Vec<usize> = tensor.shape.iter().rev().copied().chain([1]).collect();
        for (shape, data) in [(vec![longer.len()], longer), (turned, tensor.data)] {
            without.insert(name.clone(), HostTensor { shape, data });
            let message = load(&without).expect_err(name).to_string();
            assert!(message.contains(&format!("tensor `{name}`: expected shape")), "{message}");
        }
    }
}
