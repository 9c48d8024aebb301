//! What the networks are given, against golden files: token ids of odd texts, and pictures.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tombolo_data::image::{Limits, Preprocess, decode};

use super::reading::Reader;
use super::{Layout, Settings};
use crate::checkpoint::safetensors;
use crate::image::{Preprocessing, processor};
use crate::settings::read_json;

fn parity(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity").join(name)
}

/// That a picture becomes what the reference makes of it, but for one level of a byte.
fn assert_picture(dir: &Path, preprocess: Preprocess) {
    let bytes = std::fs::read(parity("pillow/rgb.png")).unwrap();
    let pixels = decode(&bytes, &Limits::default()).unwrap().pixels;
    let found = Preprocessing::alone(preprocess).apply(&pixels);
    let expected = &safetensors::read(&dir.join("expected.safetensors")).unwrap()["processed"];
    let area = expected.shape[1] * expected.shape[2];
    assert_eq!(found.len(), expected.data.len(), "{}", dir.display());
    for (index, found) in found.iter().enumerate() {
        let expected = expected.data[index % 3 * area + index / 3];
        let levels = (found - expected).abs() * 255.0 * preprocess.std[index % 3];
        assert!(levels < 1.01, "{}: value {index}: {expected}, found {found}", dir.display());
    }
}

#[test]
fn pictures_of_every_model_are_what_its_processor_makes() {
    for name in ["align", "altclip", "blip", "groupvit"] {
        let dir = parity("reading").join(name);
        let settings = Settings::read(&dir).unwrap();
        assert_picture(&dir, (settings.architecture.preprocess)(&settings).unwrap());
    }
    for name in ["vit", "dinov2"] {
        let dir = parity("reading").join(name);
        assert_picture(&dir, processor::read(&dir, processor::imagenet(32)).unwrap());
    }
}

#[test]
fn token_ids_of_odd_texts_are_the_reference_s() {
    for name in ["align", "blip", "groupvit"] {
        let dir = parity("reading").join(name);
        let settings = Settings::read(&dir).unwrap();
        let context = (settings.architecture.context)(&settings).unwrap();
        let reader = Reader::load(Layout::HuggingFace, &dir, context).unwrap();
        let texts: Vec<Value> = read_json(&dir.join("texts.json")).unwrap();
        assert!(texts.len() > 10);
        for text in texts {
            let expected: Vec<u32> = serde_json::from_value(text["ids"].clone()).unwrap();
            let words = text["text"].as_str().unwrap();
            assert_eq!(reader.ids(words).unwrap(), expected, "{name}: {words:?}");
        }
    }
}
