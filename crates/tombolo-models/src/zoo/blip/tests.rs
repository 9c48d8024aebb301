use candle_core::Device;

use super::matching::Seen;
use super::*;
use crate::zoo::golden::*;
use crate::zoo::{ImageHalf, TextHalf};

fn halves() -> (Box<dyn TextHalf>, Box<dyn ImageHalf>) {
    let files = open(&folder("blip"));
    ((BLIP.text)(&files, &Device::Cpu).unwrap(), (BLIP.image)(&files, &Device::Cpu).unwrap())
}

#[test]
fn both_halves_match_transformers() {
    let dir = folder("blip");
    let (expected, ids) = expected(&dir);
    let (text, image) = halves();
    let pictures = channels_last(&expected["pixel_values"]);
    let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    assert_tensor(&image.cells(&pictures).unwrap(), &expected["image_states"]);
    let (images, texts) = (image.embed(&pictures).unwrap(), text.embed(&ids).unwrap());
    assert_tensor(&images, &expected["image_embeds"]);
    assert_tensor(&texts, &expected["text_embeds"]);
    assert_tensor(&images.matmul(&texts.t().unwrap()).unwrap(), &expected["scores"]);
}

#[test]
fn the_matching_head_matches_transformers() {
    let dir = folder("blip");
    let (expected, ids) = expected(&dir);
    let matching = BlipMatching::load(&open(&dir), &Device::Cpu).unwrap();
    let pictures = channels_last(&expected["pixel_values"]);
    let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    let seen = matching.see(&pictures).unwrap();
    let pairs: Vec<(&Seen, &[u32])> =
        seen.iter().flat_map(|seen| ids.iter().map(move |ids| (seen, &ids[..]))).collect();
    let logits = matching.logits(&pairs).unwrap().concat();
    assert_near(&logits, &expected["matching"].data);
    let probability = |logits: &[f32]| logits[1].exp() / (logits[0].exp() + logits[1].exp());
    let probabilities: Vec<f32> = expected["matching"].data.chunks(2).map(probability).collect();
    assert_near(&matching.score(&pairs).unwrap(), &probabilities);
    // A pair by itself is what it is among others.
    assert_near(&matching.score(&pairs[5..6]).unwrap(), &probabilities[5..6]);
}

#[test]
fn a_located_cell_has_unit_length_and_its_own_direction() {
    let dir = folder("blip");
    let (expected, _) = expected(&dir);
    let (_, image) = halves();
    let pictures = channels_last(&expected["pixel_values"]);
    let located = image.located(&[&pictures[0]]).unwrap();
    assert_eq!(located.dims(), [1, 16, 24]);
    let located = flat(&located);
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cells: Vec<&[f32]> = located.chunks(24).collect();
    assert!(cells.iter().all(|cell| (cosine(cell, cell) - 1.0).abs() < 1e-5));
    assert!(cosine(cells[0], cells[15]) < 0.99);
}

#[test]
fn every_tensor_is_needed_and_checked() {
    assert_every_tensor_is_checked(
        &folder("blip"),
        |_| false,
        |files| {
            (BLIP.image)(files, &Device::Cpu)?;
            (BLIP.text)(files, &Device::Cpu)?;
            BlipMatching::load(files, &Device::Cpu).map(|_| ())
        },
    );
}

#[test]
fn settings_that_make_no_network_are_refused_by_name() {
    let mut files = open(&folder("blip"));
    files.settings.config["text_config"]["hidden_act"] = "relu".into();
    let message = (BLIP.text)(&files, &Device::Cpu).err().unwrap().to_string();
    assert!(message.contains("text_config.hidden_act: expected `gelu`, found `relu`"), "{message}");
    files.settings.config["text_config"] = serde_json::json!({ "num_attention_heads": 0 });
    let message = (BLIP.text)(&files, &Device::Cpu).err().unwrap().to_string();
    assert!(
        message.contains("num_attention_heads: expected a divisor of 768, found 0"),
        "{message}"
    );
}

#[test]
fn a_token_of_another_vocabulary_is_refused() {
    let files = open(&folder("blip"));
    let matching = BlipMatching::load(&files, &Device::Cpu).unwrap();
    let seen = matching.see(&[&vec![0.0; 32 * 32 * 3]]).unwrap();
    assert!(matching.score(&[(&seen[0], &[90])]).is_err());
    assert!(matching.score(&[(&seen[0], &[1; 21])]).is_err());
}

#[test]
fn all_fields_that_transformers_writes_are_known() {
    assert_eq!(open(&folder("blip")).settings.unknown(), [""; 0]);
}
