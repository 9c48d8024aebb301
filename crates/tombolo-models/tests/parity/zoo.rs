//! Jointly trained models against golden files: CLIP, SigLIP, AltCLIP, and open_clip's layout of CLIP.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use serde_json::{Value, json};
use tempfile::TempDir;
use tombolo_data::image::{Limits, decode};
use tombolo_models::backbones::Backbones;
use tombolo_models::checkpoint::{Tensors, safetensors};
use tombolo_models::model::Model;
use tombolo_models::pull::Store;
use tombolo_models::text::Tokenizer;
use tombolo_models::zoo::{Joint, JointTexts};
use tombolo_vectors::dot;

use super::{assert_near, channels_last, flat, golden};

/// A directory and the files that say what its vectors should be.
struct Golden {
    joint: Joint,
    expected: Tensors,
    texts: Vec<(String, Vec<u32>)>,
}

impl Golden {
    fn open(dir: &Path) -> Self {
        let expected = safetensors::read(&dir.join("expected.safetensors")).unwrap();
        let texts = std::fs::read_to_string(dir.join("texts.json")).unwrap();
        let texts: Vec<Value> = serde_json::from_str(&texts).unwrap();
        let texts = texts.iter().map(|text| {
            let ids = serde_json::from_value(text["ids"].clone()).unwrap();
            (text["text"].as_str().unwrap().to_owned(), ids)
        });
        Self { joint: Joint::open(dir).unwrap(), expected, texts: texts.collect() }
    }

    fn words(&self) -> Vec<&str> {
        self.texts.iter().map(|(text, _)| text.as_str()).collect()
    }

    /// Token ids, vectors of texts and pictures, and scores.
    fn check(&self, logits: impl Fn(f32) -> f32) {
        let texts = self.joint.texts(&Device::Cpu).unwrap();
        for ((text, expected), found) in self.texts.iter().zip(texts.ids(&self.words()).unwrap()) {
            assert_eq!(&found, expected, "token ids of {text:?}");
        }
        let text_vectors = texts.embed(&self.words()).unwrap();
        assert_near(text_vectors.as_slice(), &self.expected["text_embeds"].data);
        let images = self.joint.images(&Device::Cpu).unwrap();
        let (pictures, _) = channels_last(&self.expected["pixel_values"]);
        let image_vectors = images.embed(&pictures).unwrap();
        assert_near(image_vectors.as_slice(), &self.expected["image_embeds"].data);
        assert_eq!((text_vectors.dim(), image_vectors.dim()), (self.joint.dim(), self.joint.dim()));
        let scores = text_vectors
            .iter()
            .flat_map(|text| image_vectors.iter().map(|image| logits(dot(text, image))));
        assert_near(&scores.collect::<Vec<f32>>(), &self.expected["logits_per_text"].data);
        // Alone as among others.
        let alone = texts.embed(&self.words()[4..5]).unwrap();
        assert_near(alone.as_slice(), text_vectors.row(4));
        let alone = images.embed(&pictures[1..]).unwrap();
        assert_near(alone.as_slice(), image_vectors.row(1));
    }

    /// What is made of a picture is what the reference makes, but for one level of a byte where rounding differs.
    /// `deviations`: what each channel is divided by.
    fn check_processing(&self, deviations: [f32; 3]) {
        let bytes = std::fs::read(golden("pillow/rgb.png")).unwrap();
        let pixels = decode(&bytes, &Limits::default()).unwrap().pixels;
        let images = self.joint.images(&Device::Cpu).unwrap();
        let found = images.preprocessing().apply(&pixels);
        let expected = &self.expected["processed"];
        let area = expected.shape[1] * expected.shape[2];
        assert_eq!(found.len(), expected.data.len());
        for (index, found) in found.iter().enumerate() {
            let expected = expected.data[index % 3 * area + index / 3];
            let levels = (found - expected).abs() * 255.0 * deviations[index % 3];
            assert!(levels < 1.01, "value {index}: expected {expected}, found {found}");
        }
    }

    /// Cells of a picture and states of a text's tokens, as backbones give them.
    fn check_backbones(&self, dir: &Path) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_path_buf());
        let backbones = Backbones { store, offline: true, device: Device::Cpu };
        let name = format!("dir:{}", dir.display());
        let (image, print) = backbones.image(&name, 0, &mut |_| ()).unwrap();
        assert_eq!(print, self.joint.fingerprint().unwrap());
        let (pictures, _) = channels_last(&self.expected["pixel_values"]);
        if let Some(cells) = self.expected.get("cells") {
            assert_near(&flat(&image.forward(&pictures).unwrap()), &cells.data);
            assert_eq!((image.cells(), image.dim()), (cells.shape[1], cells.shape[2]));
        }
        let (text, _) = backbones.text(&name, 0, &mut |_| ()).unwrap();
        let (states, lengths) = text.forward(&self.words()[..1]).unwrap();
        assert_eq!(lengths, [self.texts[0].1.len()]);
        if let Some(expected) = self.expected.get("states") {
            assert_near(&flat(&states), &expected.data);
        }
        assert!(backbones.text(&format!("{name}@0,1"), 0, &mut |_| ()).is_err());
        self.check_shared(&backbones, &format!("{name}@shared"));
    }

    /// The vectors in the shared space, as backbones give them.
    fn check_shared(&self, backbones: &Backbones, name: &str) {
        let (image, image_print) = backbones.image(name, 0, &mut |_| ()).unwrap();
        let (pictures, _) = channels_last(&self.expected["pixel_values"]);
        let vectors = image.forward(&pictures).unwrap();
        assert_eq!(vectors.dims(), [pictures.len(), 1, self.joint.dim()]);
        assert_near(&flat(&vectors), &self.expected["image_embeds"].data);
        let (text, text_print) = backbones.text(name, 0, &mut |_| ()).unwrap();
        let (vectors, lengths) = text.forward(&self.words()).unwrap();
        assert_eq!(lengths, vec![1; self.texts.len()]);
        assert_near(&flat(&vectors), &self.expected["text_embeds"].data);
        assert_ne!(image_print, self.joint.fingerprint().unwrap(), "other features than its cells");
        assert_eq!(image_print, text_print);
        assert!(backbones.text(name, 1, &mut |_| ()).is_err(), "none of its layers are a tower's");
    }
}

/// The scale that CLIP's logits have when training begins; the golden files leave it so.
fn scale(cosine: f32) -> f32 {
    cosine * 2.6592_f32.exp()
}

#[test]
fn clip_matches_transformers() {
    let dir = golden("clip/tiny");
    let golden = Golden::open(&dir);
    golden.check(scale);
    golden.check_processing([0.268_629_54, 0.261_302_6, 0.275_777_1]);
    golden.check_backbones(&dir);
    assert!(golden.joint.sigmoid().unwrap().is_none());
    assert_eq!(golden.joint.warnings(), Vec::<String>::new());
}

#[test]
fn siglip_matches_transformers_and_knows_probabilities() {
    let dir = golden("siglip/tiny");
    let golden = Golden::open(&dir);
    let (slope, bias) = golden.joint.sigmoid().unwrap().unwrap();
    assert!((slope - 2.0_f64.exp()).abs() < 1e-3 && (bias + 3.0).abs() < 1e-6, "{slope} {bias}");
    golden.check(|cosine| cosine * slope as f32 + bias as f32);
    golden.check_processing([0.5; 3]);
    golden.check_backbones(&dir);
}

#[test]
fn altclip_matches_transformers() {
    let dir = golden("altclip/tiny");
    let golden = Golden::open(&dir);
    golden.check(scale);
    golden.check_backbones(&dir);
}

/// A directory in open_clip's layout, with the tokenizer of `clip/tiny`.
fn open_clip(name: &str) -> TempDir {
    let folder = copied(&golden(name));
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(golden("clip/tiny").join(file), folder.path().join(file)).unwrap();
    }
    folder
}

#[test]
fn open_clips_layout_is_read() {
    let folder = open_clip("clip/open_clip");
    let golden = Golden::open(folder.path());
    golden.check(|cosine| cosine / 0.07);
    golden.check_processing([0.2, 0.3, 0.4]);
    golden.check_backbones(folder.path());
}

#[test]
fn a_resnet_from_a_file_of_pytorch_is_read() {
    let folder = open_clip("clip/resnet");
    let golden = Golden::open(folder.path());
    golden.check(|cosine| cosine / 0.07);
    golden.check_processing([0.2, 0.3, 0.4]);
    golden.check_backbones(folder.path());
}

#[test]
fn clips_tokenizer_is_made_of_its_vocabulary_and_merges() {
    let dir = golden("clip/tiny");
    let longest = 24;
    let made = Tokenizer::clip(&dir.join("vocab.json"), &dir.join("merges.txt"), longest).unwrap();
    for (text, ids) in Golden::open(&dir).texts {
        assert_eq!(made.ids(&text).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn every_part_of_a_picture_has_a_vector() {
    for name in ["clip/tiny", "siglip/tiny"] {
        let golden = Golden::open(&golden(name));
        let images = golden.joint.images(&Device::Cpu).unwrap();
        let (pictures, _) = channels_last(&golden.expected["pixel_values"]);
        let windows = images.windows(&pictures[0]).unwrap();
        assert_eq!(
            (windows.len(), windows.dim()),
            (4 * 4, golden.joint.dim()),
            "four cells a side"
        );
        assert!(dot(windows.row(0), windows.row(15)) < 0.999, "{name}");
    }
}

#[test]
fn a_joint_model_is_a_model_with_a_map_that_changes_nothing() {
    let model = Model::open(&golden("clip/tiny")).unwrap();
    let map = model.map(&Device::Cpu).unwrap();
    let texts = model.joint().unwrap().texts(&Device::Cpu).unwrap();
    let vectors = texts.embed(&["a dog", "snow"]).unwrap();
    assert_near(map.map_texts(&vectors).unwrap().as_slice(), vectors.as_slice());
    assert_near(map.map_images(&vectors).unwrap().as_slice(), vectors.as_slice());
    assert_eq!(model.image_fingerprint().unwrap().len(), 16);
}

fn copied(dir: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

/// Changes the tensors of a copy of `clip/tiny`, and returns what loading both halves says.
fn spoilt(change: impl FnOnce(&mut Tensors)) -> [Option<String>; 2] {
    let folder = copied(&golden("clip/tiny"));
    let path = folder.path().join("model.safetensors");
    let mut tensors = safetensors::read(&path).unwrap();
    change(&mut tensors);
    let entries: Vec<_> =
        tensors.iter().map(|(n, t)| (n.as_str(), &t.shape[..], &t.data[..])).collect();
    safetensors::write(&path, &entries, &BTreeMap::new()).unwrap();
    let joint = Joint::open(folder.path()).unwrap();
    let said = |error: Option<tombolo_models::ModelError>| error.map(|error| error.to_string());
    [said(joint.texts(&Device::Cpu).err()), said(joint.images(&Device::Cpu).err())]
}

#[test]
fn tensors_that_are_missing_left_over_or_of_another_shape_are_refused_by_name() {
    let name = "text_model.encoder.layers.1.mlp.fc2.weight";
    let [text, image] = spoilt(|tensors| drop(tensors.remove(name)));
    assert!(text.unwrap().contains(name));
    assert_eq!(image, None, "the other half does not need it");
    let name = "vision_model.encoder.layers.2.mlp.fc1.bias";
    let [text, image] = spoilt(|tensors| {
        let bias = tensors["vision_model.encoder.layers.1.mlp.fc1.bias"].clone();
        tensors.insert(name.into(), bias);
    });
    assert_eq!(text, None);
    assert!(image.unwrap().contains(name));
    let name = "adapter.lora_A.weight";
    let halves = spoilt(|tensors| {
        let bias = tensors["vision_model.encoder.layers.1.mlp.fc1.bias"].clone();
        tensors.insert(name.into(), bias);
    });
    assert!(halves.iter().all(|half| half.as_ref().unwrap().contains(name)), "{halves:?}");
    let name = "vision_model.embeddings.patch_embedding.weight";
    let [_, image] = spoilt(|tensors| tensors.get_mut(name).unwrap().shape = vec![32, 8, 8, 3]);
    assert!(image.unwrap().contains("[32, 3, 8, 8]"));
    let name = "visual_projection.weight";
    let [_, image] = spoilt(|tensors| {
        let tensor = tensors.get_mut(name).unwrap();
        tensor.shape = vec![32, 24];
    });
    let image = image.unwrap();
    assert!(
        image.contains(name) && image.contains("[24, 32]") && image.contains("[32, 24]"),
        "{image}"
    );
}

#[test]
fn settings_that_cannot_be_followed_are_refused_and_fields_that_are_not_known_are_told() {
    let folder = copied(&golden("clip/tiny"));
    let path = folder.path().join("config.json");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let change = |section: &str, field: &str, value: Value| {
        let mut changed = config.clone();
        match section {
            "" => changed[field] = value,
            section => changed[section][field] = value,
        }
        std::fs::write(&path, changed.to_string()).unwrap();
        Joint::open(folder.path())
    };
    let joint = change("vision_config", "registers", json!(4)).unwrap();
    assert!(joint.warnings()[0].contains("vision_config.registers"), "{:?}", joint.warnings());
    let error = change("", "model_type", json!("llama")).err().unwrap().to_string();
    assert!(error.contains("`llama`") && error.contains("siglip"), "{error}");
    for (field, value) in [("hidden_act", json!("mish")), ("num_attention_heads", json!(5))] {
        let joint = change("text_config", field, value).unwrap();
        let error = joint.texts(&Device::Cpu).err().unwrap().to_string();
        assert!(error.contains("config.json"), "{error}");
    }
    let joint = change("text_config", "num_hidden_layers", json!(1)).unwrap();
    let error = joint.texts(&Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("text_model.encoder.layers.1"), "{error}");
}

#[test]
fn pictures_of_another_size_than_the_network_reads_are_refused() {
    let folder = copied(&golden("clip/tiny"));
    let path = folder.path().join("preprocessor_config.json");
    std::fs::write(&path, r#"{"size": {"shortest_edge": 64}, "crop_size": 64}"#).unwrap();
    let joint = Joint::open(folder.path()).unwrap();
    let error = joint.images(&Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("image_size") && error.contains("64"), "{error}");
}

#[test]
fn a_directory_without_tokenizer_or_weights_says_what_it_lacks() {
    let folder = copied(&golden("altclip/tiny"));
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let joint = Joint::open(folder.path()).unwrap();
    let error = joint.texts(&Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("tokenizer.json") && error.hint().is_some(), "{error}");
    joint.images(&Device::Cpu).unwrap();
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let error = Joint::open(folder.path()).unwrap().images(&Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
    assert!(Model::open(folder.path().parent().unwrap()).is_err());
}

#[test]
fn weights_in_several_files_are_as_good_as_in_one() {
    let folder = copied(&golden("clip/tiny"));
    let path = folder.path().join("model.safetensors");
    let tensors = safetensors::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut map = serde_json::Map::new();
    for shard in 0..2 {
        let file = format!("model-0000{}-of-00002.safetensors", shard + 1);
        let part = tensors.iter().enumerate().filter(|(index, _)| index % 2 == shard);
        let entries: Vec<_> =
            part.map(|(_, (n, t))| (n.as_str(), &t.shape[..], &t.data[..])).collect();
        map.extend(entries.iter().map(|(name, ..)| ((*name).to_owned(), json!(file))));
        safetensors::write(&folder.path().join(&file), &entries, &BTreeMap::new()).unwrap();
    }
    let index = folder.path().join("model.safetensors.index.json");
    std::fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    Golden::open(folder.path()).check(scale);
    map.insert("lost".into(), json!("model-00001-of-00002.safetensors"));
    std::fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    let error = Joint::open(folder.path()).unwrap().images(&Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("`lost`"), "{error}");
}

#[test]
fn a_text_of_clip_ends_at_its_first_end_or_at_its_highest_token() {
    let expected = Golden::open(&golden("clip/tiny")).expected["text_embeds"].data.clone();
    let folder = copied(&golden("clip/tiny"));
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let end = config["text_config"]["eos_token_id"].clone();
    config["text_config"]["eos_token_id"] = json!(2);
    std::fs::write(&path, config.to_string()).unwrap();
    assert_ne!(end, json!(2));
    let golden = Golden::open(folder.path());
    let texts: JointTexts = golden.joint.texts(&Device::Cpu).unwrap();
    assert_near(texts.embed(&golden.words()).unwrap().as_slice(), &expected);
}
