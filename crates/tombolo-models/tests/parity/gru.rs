//! The gated recurrent unit against PyTorch's: `parity/gru/make.py`.

use candle_core::{Device, Tensor, Var};
use tombolo_models::checkpoint::{HostTensor, safetensors};
use tombolo_models::layers::Gru;
use tombolo_models::weights::Weights;

use crate::{assert_near, flat, golden};

const LENGTHS: [usize; 4] = [5, 1, 9, 3];

fn tensor(host: &HostTensor) -> Tensor {
    Tensor::from_slice(&host.data, &host.shape[..], &Device::Cpu).unwrap()
}

#[test]
fn states_and_gradients_match_torch() {
    let read = |name: &str| safetensors::read(&golden("gru").join(name)).unwrap();
    let (model, expected) = (read("model.safetensors"), read("expected.safetensors"));
    let weights = Weights::trainable(0, &Device::Cpu);
    let gru = Gru::both_ways(6, 8, &weights.root()).unwrap();
    assert!(weights.variables().keys().eq(model.keys()));
    for (name, variable) in weights.variables() {
        variable.set(&tensor(&model[&name])).unwrap();
    }
    let input = Var::from_tensor(&tensor(&expected["input"])).unwrap();
    let states = Tensor::cat(&gru.states(&input, &LENGTHS).unwrap(), 1).unwrap();
    assert_near(&flat(&states), &expected["states"].data);
    assert_near(&flat(&gru.last(&input, &LENGTHS).unwrap()), &expected["last"].data);
    let gradients = (states * tensor(&expected["upstream"])).unwrap().sum_all().unwrap();
    let gradients = gradients.backward().unwrap();
    let of_input = [("input".to_owned(), input)];
    for (name, variable) in weights.variables().into_iter().chain(of_input) {
        let expected = &expected[&format!("gradient.{name}")];
        assert_near(&flat(gradients.get(&variable).unwrap()), &expected.data);
    }
}
