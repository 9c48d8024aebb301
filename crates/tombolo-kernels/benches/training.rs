//! The operations of training on the sizes of the default map (1,500 pairs, 512 wide, 1,024 inside), of
//! the default text tower (256 queries, 4,352 keys) and of VSE++ (128 captions, a state of 1,024), on all cores:
//! `cargo bench -p tombolo-kernels`.

use candle_core::{Device, Tensor, Var};
use divan::Bencher;
use tombolo_kernels::{
    Activation, AdamWStep, Direction, Dropout, Standardised, Term, adamw, bias_gelu_dropout, blend,
    gru, gru_composed, infonce, linear, linear_composed, masked_softmax, masked_softmax_composed,
    residual_layer_norm, residual_layer_norm_composed, supcon, supcon_composed,
};

fn main() {
    divan::main();
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7919 % 1013) as f32 / 506.5 - 1.0).collect()
}

fn tensor(dims: &[usize]) -> Tensor {
    let count = dims.iter().product();
    Tensor::from_vec(values(count), dims, &Device::Cpu).expect("as many values as the shape has")
}

#[divan::bench]
fn infonce_1500(bencher: Bencher) {
    bencher.with_inputs(|| values(1500 * 1500)).bench_local_refs(|logits| infonce(logits, 1500));
}

#[divan::bench]
fn adamw_3_million(bencher: Bencher) {
    let (mut x, mut m, mut s) = (values(3 << 20), values(3 << 20), vec![1.0; 3 << 20]);
    let gradient = values(3 << 20);
    let step = AdamWStep {
        learning_rate: 1e-3,
        decay: 0.1,
        clip: 1.0,
        betas: (0.9, 0.98),
        epsilon: 1e-8,
        corrections: (0.5, 0.5),
    };
    bencher.bench_local(|| adamw(&mut x, &gradient, &mut m, &mut s, step));
}

#[divan::bench]
fn mlp_inside_1500_1024(bencher: Bencher) {
    let (mut x, bias, mut inner) = (values(1500 * 1024), values(1024), values(1500 * 1024));
    let dropout = Dropout::new(1, 0.5);
    bencher.bench_local(|| bias_gelu_dropout(&mut x, &bias, dropout, &mut inner));
}

#[divan::bench]
fn blend_1500_2816(bencher: Bencher) {
    let (source, mean, scale) = (values(6000 * 2816), values(2816), values(2816));
    let standardised = Standardised { values: &source, mean: &mean, scale: &scale };
    let term = |i: u32| Term { row: i.wrapping_mul(2_654_435_761) % 6000, share: 0.5 };
    let terms: Vec<Term> = (0..3000).map(term).collect();
    let mut out = vec![0.0; 1500 * 2816];
    bencher.bench_local(|| blend(standardised, &terms, Dropout::new(1, 0.3), &mut out));
}

type Loss = fn(&Tensor, &Tensor, &Tensor, f64) -> candle_core::Result<Tensor>;

#[divan::bench(args = ["fused", "composed"])]
fn supcon_256_4352(bencher: Bencher, form: &str) {
    let loss: Loss = if form == "fused" { supcon } else { supcon_composed };
    let queries = Var::from_tensor(&tensor(&[256, 256])).expect("a copy");
    let (keys, positives) = (tensor(&[4352, 256]), tensor(&[256, 4352]).abs().expect("f32"));
    bencher.bench_local(|| {
        let loss = loss(&queries, &keys, &positives, 1.0).expect("shapes agree");
        loss.backward().expect("a scalar")
    });
}

type Layer = fn(&Tensor, &Tensor, &Tensor, Activation) -> candle_core::Result<Tensor>;

#[divan::bench(args = ["fused", "composed"])]
fn linear_3500_256_1024(bencher: Bencher, form: &str) {
    let layer: Layer = if form == "fused" { linear } else { linear_composed };
    let x = tensor(&[3500, 256]);
    let weight = Var::from_tensor(&tensor(&[1024, 256])).expect("a copy");
    let bias = tensor(&[1024]);
    bencher.bench_local(|| {
        let y = layer(&x, &weight, &bias, Activation::Gelu).expect("shapes agree");
        y.backward().expect("a graph")
    });
}

type Residual = fn(&Tensor, &Tensor, &Tensor, &Tensor, f32) -> candle_core::Result<Tensor>;

#[divan::bench(args = ["fused", "composed"])]
fn residual_layer_norm_3500_384(bencher: Bencher, form: &str) {
    let norm: Residual =
        if form == "fused" { residual_layer_norm } else { residual_layer_norm_composed };
    let x = Var::from_tensor(&tensor(&[3500, 384])).expect("a copy");
    let residual = Var::from_tensor(&tensor(&[3500, 384])).expect("a copy");
    let (weight, bias) = (tensor(&[384]), tensor(&[384]));
    bencher.bench_local(|| {
        let y = norm(&x, &residual, &weight, &bias, 1e-5).expect("shapes agree");
        y.sum_all().expect("f32").backward().expect("a scalar")
    });
}

type Softmax = fn(&Tensor, &[usize]) -> candle_core::Result<Tensor>;

#[divan::bench(args = ["fused", "composed"])]
fn masked_softmax_3500_81(bencher: Bencher, form: &str) {
    let softmax: Softmax = if form == "fused" { masked_softmax } else { masked_softmax_composed };
    let scores = Var::from_tensor(&tensor(&[3500, 81])).expect("a copy");
    let lengths: Vec<usize> = (0..3500).map(|row| 1 + row % 81).collect();
    bencher.bench_local(|| {
        let weights = softmax(&scores, &lengths).expect("shapes agree");
        weights.sum_all().expect("f32").backward().expect("a scalar")
    });
}

#[divan::bench(args = ["fused", "composed"], sample_count = 10)]
fn gru_128_captions_1024(bencher: Bencher, form: &str) {
    let unit = if form == "fused" { gru } else { gru_composed };
    let lengths: Vec<usize> = (0..128).map(|caption| 7 + caption * 5 % 12).collect();
    let rows = lengths.iter().sum();
    let gates = Var::from_tensor(&tensor(&[rows, 3072])).expect("a copy");
    let weight = (tensor(&[3072, 1024]) * 0.03).expect("f32");
    let weight = Var::from_tensor(&weight).expect("a copy");
    let bias = tensor(&[3072]);
    bencher.bench_local(|| {
        let states = unit(&gates, &weight, &bias, &lengths, Direction::Forward);
        states.and_then(|states| states.sqr()?.backward()).expect("shapes agree")
    });
}
