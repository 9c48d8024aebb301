use candle_core::Device;

use super::image::GroupVitImage;
use super::*;
use crate::checkpoint::Tensors;
use crate::zoo::golden::*;
use crate::zoo::{Grid, ImageHalf};

fn image() -> (GroupVitImage, Tensors, Vec<Vec<f32>>) {
    let dir = folder("groupvit");
    let (expected, _) = expected(&dir);
    let pictures = channels_last(&expected["pixel_values"]);
    (GroupVitImage::load(&open(&dir), &Device::Cpu).unwrap(), expected, pictures)
}

#[test]
fn both_halves_match_transformers() {
    let dir = folder("groupvit");
    let (image, expected, pictures) = image();
    let (_, ids) = crate::zoo::golden::expected(&dir);
    let text = (GROUPVIT.text)(&open(&dir), &Device::Cpu).unwrap();
    let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    let (images, texts) = (image.embed(&pictures).unwrap(), text.embed(&ids).unwrap());
    assert_tensor(&images, &expected["image_embeds"]);
    assert_tensor(&texts, &expected["text_embeds"]);
    assert_tensor(&images.matmul(&texts.t().unwrap()).unwrap(), &expected["scores"]);
}

/// Groupings of both stages, composed as transformers composes them; the states of the groups.
#[test]
fn groups_match_transformers() {
    let (image, expected, pictures) = image();
    let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    let grouped = image.groups(&pictures).unwrap();
    let states: Vec<f32> = grouped.iter().flat_map(|g| g.states.clone()).collect();
    assert_near(&states, &expected["group_states"].data);
    let [first, then] = ["groupings.0", "groupings.1"].map(|name| &expected[name]);
    assert_eq!((&first.shape[..], &then.shape[..]), (&[3, 6, 16][..], &[3, 4, 6][..]));
    let of_picture = |picture: usize| {
        let (first, then) = (&first.data[picture * 96..][..96], &then.data[picture * 24..][..24]);
        let share = move |group: usize, cell: usize| {
            (0..6).map(|middle| then[group * 6 + middle] * first[middle * 16 + cell]).sum::<f32>()
        };
        (0..4).flat_map(move |group| (0..16).map(move |cell| share(group, cell)))
    };
    let shares: Vec<f32> = (0..3).flat_map(of_picture).collect();
    let found: Vec<f32> = grouped.iter().flat_map(|g| g.shares.clone()).collect();
    assert_near(&found, &shares);
}

/// PyTorch's bilinear interpolation of a map `[4, 4]` to `[32, 32]`, without aligned corners.
fn enlarged(map: &[f32]) -> Vec<f32> {
    let taps = |at: usize| {
        let centre = ((at as f32 + 0.5) / 8.0 - 0.5).max(0.0);
        let low = centre as usize;
        [(low, 1.0 - centre.fract()), ((low + 1).min(3), centre.fract())]
    };
    let pixel = |y: usize, x: usize| {
        let rows = taps(y).into_iter();
        rows.flat_map(|(row, a)| taps(x).map(|(column, b)| a * b * map[row * 4 + column]))
            .sum::<f32>()
    };
    (0..32).flat_map(|y| (0..32).map(move |x| (y, x))).map(|(y, x)| pixel(y, x)).collect()
}

#[test]
fn the_segmentation_of_transformers_follows_from_the_groups() {
    let (image, expected, pictures) = image();
    let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    let texts = &expected["text_embeds"].data;
    let scale = open(&folder("groupvit")).tensors.scalar("logit_scale").unwrap().exp();
    let mut logits = Vec::new();
    for grouped in image.groups(&pictures).unwrap() {
        let vectors = flat(&image.projection.forward(&grouped.states).unwrap());
        let maps: Vec<Vec<f32>> = grouped.shares.chunks(16).map(enlarged).collect();
        for text in texts.chunks(16) {
            let mut sum = vec![0.0; 32 * 32];
            for (vector, map) in vectors.chunks(16).zip(&maps) {
                let cosine: f32 = vector.iter().zip(text).map(|(a, b)| a * b).sum();
                sum.iter_mut().zip(map).for_each(|(s, share)| *s += scale * scale * cosine * share);
            }
            logits.extend(sum);
        }
    }
    assert_near(&logits, &expected["segmentation"].data);
}

#[test]
fn cells_in_a_group_are_as_the_group_is() {
    let (image, _, pictures) = image();
    let grouped = &image.groups(&[&pictures[0]]).unwrap()[0];
    let cells = flat(&image.cells(&[&pictures[0]]).unwrap());
    assert_eq!(image.grid(), Grid { class: 0, side: 4 });
    for (cell, state) in cells.chunks(24).enumerate() {
        let shares: Vec<f32> = (0..4).map(|group| grouped.shares[group * 16 + cell]).collect();
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let expected: Vec<f32> = (0..24)
            .map(|c| (0..4).map(|group| shares[group] * grouped.states[group * 24 + c]).sum())
            .collect();
        assert_near(state, &expected);
    }
    assert_eq!(image.located(&[&pictures[0]]).unwrap().dims(), [1, 16, 16]);
}

#[test]
fn every_tensor_is_needed_and_checked() {
    let unread = |name: &str| name == "logit_scale";
    assert_every_tensor_is_checked(&folder("groupvit"), unread, |files| {
        (GROUPVIT.text)(files, &Device::Cpu)?;
        (GROUPVIT.image)(files, &Device::Cpu).map(|_| ())
    });
}

#[test]
fn settings_that_make_no_network_are_refused_by_name() {
    let refused = |field: &str, value: serde_json::Value| {
        let mut files = open(&folder("groupvit"));
        files.settings.config["vision_config"][field] = value;
        GroupVitImage::load(&files, &Device::Cpu).err().unwrap().to_string()
    };
    let message = refused("num_output_groups", serde_json::json!([5, 4, 0]));
    assert!(message.contains("num_output_groups: expected 6 as tokens, found 5"), "{message}");
    let message = refused("num_attention_heads", serde_json::json!(5));
    assert!(
        message.contains("num_attention_heads: expected a divisor of 24, found 5"),
        "{message}"
    );
    let message = refused("num_group_tokens", serde_json::json!([6]));
    assert!(message.contains("num_group_tokens: expected 3, one a stage, found 1"), "{message}");
}

#[test]
fn all_fields_that_transformers_writes_are_known() {
    assert_eq!(open(&folder("groupvit")).settings.unknown(), [""; 0]);
}
