//! Backbones against golden files from the reference implementations: see `parity/*/make.py` for how they
//! were made, by which versions and with which seed. Tolerance: relative error 1e-4.

#![allow(clippy::unwrap_used)]

#[path = "parity/gru.rs"]
mod gru;
#[path = "parity/pooling.rs"]
mod pooling;
#[path = "parity/zoo.rs"]
mod zoo;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use tombolo_models::backbones::Backbones;
use tombolo_models::checkpoint::{HostTensor, Tensors, safetensors};
use tombolo_models::image::Vit;
use tombolo_models::pull::Store;
use tombolo_models::text::Bert;
use tombolo_models::tower::{
    EncoderKind, Pooling, Readout, Sequences, TailConfig, Tower, TowerConfig, TowerInput,
};
use tombolo_models::weights::Weights;

const TOLERANCE: f32 = 1e-4;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity").join(path)
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(f, e)| f - e));
    let relative = difference / norm(&mut expected.iter().copied());
    assert!(relative < TOLERANCE, "relative error {relative}");
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn check_bert(dir: &str) {
    let dir = golden(dir);
    check_bert_of(&dir, &dir);
}

/// That the network in `model` gives what the golden files in `dir` expect.
fn check_bert_of(model: &Path, dir: &Path) {
    let bert = Bert::load(model, &Device::Cpu).unwrap();
    let inputs = std::fs::read_to_string(dir.join("inputs.json")).unwrap();
    let inputs: serde_json::Value = serde_json::from_str(&inputs).unwrap();
    let ids: Vec<Vec<u32>> = serde_json::from_value(inputs["sequences"].clone()).unwrap();
    let expected =
        &safetensors::read(&dir.join("expected.safetensors")).unwrap()["last_hidden_state"];
    let found = flat(&bert.forward(&ids).unwrap());
    let [_, longest, hidden] = expected.shape[..] else { panic!("{:?}", expected.shape) };
    let mut row = 0;
    for (text, ids) in ids.iter().enumerate() {
        let expected = &expected.data[text * longest * hidden..][..ids.len() * hidden];
        assert_near(&found[row * hidden..(row + ids.len()) * hidden], expected);
        row += ids.len();
    }
}

#[test]
fn bert_matches_transformers() {
    check_bert("bert/tiny");
}

#[test]
fn roberta_matches_transformers() {
    check_bert("bert/roberta");
}

#[test]
fn the_norms_of_the_first_checkpoints_are_read_under_their_old_names() {
    let (folder, dir) = (tempfile::tempdir().unwrap(), golden("bert/tiny"));
    std::fs::copy(dir.join("config.json"), folder.path().join("config.json")).unwrap();
    let tensors = safetensors::read(&dir.join("model.safetensors")).unwrap().into_iter();
    let old = |name: String| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
        format!("bert.{}", name.replace("LayerNorm.bias", "LayerNorm.beta"))
    };
    let tensors: Tensors = tensors.map(|(name, tensor)| (old(name), tensor)).collect();
    write_model(folder.path(), &tensors);
    check_bert_of(folder.path(), &dir);
}

#[test]
fn a_network_with_a_head_and_one_of_pytorch_are_read() {
    let (folder, dir) = (tempfile::tempdir().unwrap(), golden("bert/roberta"));
    std::fs::copy(dir.join("config.json"), folder.path().join("config.json")).unwrap();
    let tensors = safetensors::read(&dir.join("model.safetensors")).unwrap().into_iter();
    let mut tensors: Tensors =
        tensors.map(|(name, tensor)| (format!("roberta.{name}"), tensor)).collect();
    tensors.insert("lm_head.bias".into(), HostTensor { shape: vec![1], data: vec![0.0] });
    write_model(folder.path(), &tensors);
    check_bert_of(folder.path(), &dir);
    // As transformers writes a network in several files.
    let (whole, part) = ("model.safetensors", "model-00001-of-00001.safetensors");
    std::fs::rename(folder.path().join(whole), folder.path().join(part)).unwrap();
    let map: serde_json::Map<_, _> = tensors.keys().map(|n| (n.clone(), part.into())).collect();
    let index = serde_json::json!({ "weight_map": map }).to_string();
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    check_bert_of(folder.path(), &dir);
}

#[test]
fn bert_gives_a_text_in_a_batch_the_vectors_that_it_has_alone() {
    let bert = Bert::load(&golden("bert/tiny"), &Device::Cpu).unwrap();
    let (short, long) = (vec![3u32, 5], vec![7u32, 9, 11, 13, 2]);
    let both = flat(&bert.forward(&[long, short.clone()]).unwrap());
    let alone = flat(&bert.forward(&[short]).unwrap());
    assert_near(&both[both.len() - alone.len()..], &alone);
}

#[test]
fn trained_layers_go_on_where_the_frozen_ones_end() {
    let dir = golden("bert/tiny");
    let ids = vec![vec![3u32, 5], vec![7, 9, 11, 13, 2]];
    let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
    let load = || Bert::load(&dir, &Device::Cpu).unwrap();
    for read in [vec![2], vec![0, 2], vec![2, 1]] {
        let whole = load().reading(&read).unwrap();
        let below = load().reading(&read).unwrap().below(1).unwrap();
        let (tail, weights) = Bert::tail(&dir, Some(&read), 1).unwrap();
        let pooled = |values, dim, tail, weights| {
            let config = TowerConfig {
                input: TowerInput::Vectors(dim),
                encoder: EncoderKind::Transformer,
                width: 0,
                layers: 0,
                heads: 0,
                positions: 0,
                output: 0,
                segments: Vec::new(),
                tail,
                pooling: Pooling::Largest,
                readout: Readout::Pooled(2),
            };
            let weights = Weights::fixed(weights, &Device::Cpu).unwrap();
            let tower = Tower::new(config, &weights.root()).unwrap();
            flat(&tower.forward(&Sequences { values, lengths: lengths.clone() }).unwrap())
        };
        let expected = pooled(whole.forward(&ids).unwrap(), whole.dim(), None, Tensors::new());
        let tail = Some(TailConfig::Layers(tail));
        let found = pooled(below.forward(&ids).unwrap(), below.dim(), tail, weights);
        assert_near(&found, &expected);
    }
    assert!(load().below(2).is_err() && Bert::tail(&dir, None, 2).is_err());
}

#[test]
fn more_tokens_than_positions_are_refused() {
    let bert = Bert::load(&golden("bert/tiny"), &Device::Cpu).unwrap();
    assert!(bert.forward(&[vec![1; 1_000]]).is_err());
}

/// Pictures `[batch, 3, height, width]` as ours, `[height, width, 3]` each.
fn channels_last(pixels: &HostTensor) -> (Vec<Vec<f32>>, (usize, usize)) {
    let [batch, channels, height, width] = pixels.shape[..] else { panic!("{:?}", pixels.shape) };
    let area = height * width;
    let picture = |b: usize| {
        let at = move |place: usize, c: usize| pixels.data[(b * channels + c) * area + place];
        (0..area).flat_map(move |place| (0..channels).map(move |c| at(place, c))).collect()
    };
    ((0..batch).map(picture).collect(), (height, width))
}

fn check_vit(dir: &Path) {
    let vit = Vit::load(dir, &Device::Cpu).unwrap();
    let expected: Tensors = safetensors::read(&dir.join("expected.safetensors")).unwrap();
    for size in ["", "_other"] {
        let (pictures, sides) = channels_last(&expected[&format!("pixel_values{size}")]);
        let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
        let found = vit.forward(&pictures, sides).unwrap();
        let expected = &expected[&format!("last_hidden_state{size}")];
        assert_eq!(found.dims(), expected.shape);
        assert_near(&flat(&found), &expected.data);
    }
}

#[test]
fn vit_matches_transformers_at_two_sizes() {
    check_vit(&golden("vit/vit"));
}

#[test]
fn dinov2_matches_transformers_at_two_sizes() {
    check_vit(&golden("vit/dinov2"));
}

#[test]
#[ignore = "networks of their real sizes are not in the repository; parity/real_networks.sh makes and tests them"]
fn networks_of_real_size_match_transformers() {
    let folder = PathBuf::from(std::env::var("TOMBOLO_REAL").unwrap());
    ["vit", "dinov2"].iter().for_each(|name| check_vit(&folder.join(name)));
    for name in ["tiny", "roberta"].map(|name| folder.join(name)) {
        check_bert_of(&name, &name);
    }
}

#[test]
fn what_is_left_from_training_is_no_tensor_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let dir = golden("bert/tiny");
    std::fs::copy(dir.join("config.json"), folder.path().join("config.json")).unwrap();
    let mut tensors = safetensors::read(&dir.join("model.safetensors")).unwrap();
    for name in ["pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"] {
        tensors.insert(name.into(), HostTensor { shape: vec![1], data: vec![0.0] });
    }
    write_model(folder.path(), &tensors);
    Bert::load(folder.path(), &Device::Cpu).unwrap();
}

fn write_model(dir: &Path, tensors: &Tensors) {
    let entries: Vec<_> =
        tensors.iter().map(|(name, t)| (name.as_str(), &t.shape[..], &t.data[..])).collect();
    safetensors::write(&dir.join("model.safetensors"), &entries, &Default::default()).unwrap();
}

/// What loading a copy of a golden model says where a field of its settings has another value.
fn with_field(
    dir: &str,
    field: &str,
    value: impl Into<serde_json::Value> + Display,
    load: impl Fn(&Path) -> Option<String>,
) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(golden(dir).join("model.safetensors"), folder.path().join("model.safetensors"))
        .unwrap();
    let config = std::fs::read(golden(dir).join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let what = format!("{dir} with {field} {value}");
    config[field] = value.into();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    load(folder.path()).unwrap_or_else(|| panic!("{what} is no network"))
}

#[test]
fn backbones_that_are_no_network_or_half_of_one_are_refused_by_name() {
    let vit = |dir: &Path| Vit::load(dir, &Device::Cpu).err().map(|error| error.to_string());
    let bert = |dir: &Path| Bert::load(dir, &Device::Cpu).err().map(|error| error.to_string());
    for dir in ["vit/vit", "vit/dinov2"] {
        for (field, value) in [("patch_size", 0), ("patch_size", 64), ("num_attention_heads", 5)] {
            let said = with_field(dir, field, value, vit);
            assert!(said.contains(field), "{said}");
        }
        let said = with_field(dir, "num_hidden_layers", 1, vit);
        assert!(said.contains("encoder.layer.1"), "{said}");
    }
    assert!(
        with_field("bert/tiny", "num_attention_heads", 0, bert).contains("num_attention_heads")
    );
    assert!(with_field("bert/tiny", "num_hidden_layers", 1, bert).contains("encoder.layer.1"));
    let said = with_field("bert/tiny", "hidden_act", "relu", bert);
    assert!(said.contains("hidden_act") && said.contains("`relu`"), "{said}");
    let said = with_field("bert/tiny", "is_decoder", true, bert);
    assert!(said.contains("is_decoder"), "{said}");
    let said = with_field("bert/roberta", "pad_token_id", 41, bert);
    assert!(said.contains("pad_token_id"), "{said}");
    let said = with_field("bert/tiny", "model_type", "mpnet", bert);
    assert!(said.contains("one of bert, roberta") && said.contains("`mpnet`"), "{said}");
}

#[test]
fn fields_of_a_backbone_that_nothing_knows_are_told() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::new(home.path().to_path_buf());
    let backbones = Backbones { store, offline: true, device: Device::Cpu };
    for (dir, text) in
        [("bert/tiny", true), ("bert/roberta", true), ("vit/vit", false), ("vit/dinov2", false)]
    {
        let told = |dir: &Path| {
            let name = format!("dir:{}", dir.display());
            match text {
                true => backbones.text_warnings(&name, &mut |_| ()).unwrap(),
                false => backbones
                    .image_warnings(&format!("efficientnet-lite0+{name}"), &mut |_| ())
                    .unwrap(),
            }
        };
        assert!(told(&golden(dir)).is_empty(), "{:?}", told(&golden(dir)));
        let said = with_field(dir, "registers", 4, |dir| Some(told(dir).join("\n")));
        assert!(said.contains("`registers`"), "{said}");
    }
}
