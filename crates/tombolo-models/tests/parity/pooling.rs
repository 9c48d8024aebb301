//! Learned pooling against the equations of its paper: `parity/pooling/make.py`.

use candle_core::{Device, Tensor};
use tombolo_models::checkpoint::safetensors;
use tombolo_models::tower::{
    EncoderKind, Pooling, Readout, Sequences, Tower, TowerConfig, TowerInput,
};
use tombolo_models::weights::Weights;

use crate::{assert_near, flat, golden};

#[test]
fn learned_pooling_matches_its_equations() {
    let mut tensors = safetensors::read(&golden("pooling/pooling.safetensors")).unwrap();
    let (values, expected) =
        (tensors.remove("values").unwrap(), tensors.remove("expected").unwrap());
    let config = TowerConfig {
        input: TowerInput::Vectors(6),
        encoder: EncoderKind::Transformer,
        width: 0,
        layers: 0,
        heads: 0,
        positions: 9,
        output: 0,
        segments: Vec::new(),
        tail: None,
        pooling: Pooling::Learned,
        readout: Readout::Pooled(1),
    };
    let weights = Weights::fixed(tensors, &Device::Cpu).unwrap();
    let tower = Tower::new(config, &weights.root()).unwrap();
    let values = Tensor::from_vec(values.data, values.shape, &Device::Cpu).unwrap();
    let sequences = Sequences { values, lengths: vec![5, 1, 9] };
    assert_near(&flat(&tower.forward(&sequences).unwrap()), &expected.data);
}
