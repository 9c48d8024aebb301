use candle_core::Device;

use super::*;
use crate::zoo::golden::*;
use crate::zoo::{Grid, ImageHalf, TextHalf};

fn halves() -> (Box<dyn TextHalf>, Box<dyn ImageHalf>) {
    let files = open(&folder("align"));
    ((ALIGN.text)(&files, &Device::Cpu).unwrap(), (ALIGN.image)(&files, &Device::Cpu).unwrap())
}

#[test]
fn both_halves_match_transformers() {
    let (expected, ids) = expected(&folder("align"));
    let (text, image) = halves();
    let pictures = channels_last(&expected["pixel_values"]);
    let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    // Channels come last with us.
    let states = channels_last(&expected["image_states"]).concat();
    assert_eq!(image.grid(), Grid { class: 0, side: 5 });
    assert_near(&flat(&image.cells(&pictures).unwrap()), &states);
    let (images, texts) = (image.embed(&pictures).unwrap(), text.embed(&ids).unwrap());
    assert_tensor(&images, &expected["image_embeds"]);
    assert_tensor(&texts, &expected["text_embeds"]);
    assert_tensor(&images.matmul(&texts.t().unwrap()).unwrap(), &expected["scores"]);
}

#[test]
fn a_picture_gives_among_others_what_it_gives_alone() {
    let (expected, _) = expected(&folder("align"));
    let (_, image) = halves();
    let pictures = channels_last(&expected["pixel_values"]);
    let all: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    let all = flat(&image.embed(&all).unwrap());
    assert_eq!(all[16..32], flat(&image.embed(&[&pictures[1]]).unwrap()));
}

#[test]
fn located_cells_are_the_cells_at_unit_length() {
    let (expected, _) = expected(&folder("align"));
    let (_, image) = halves();
    let pictures = channels_last(&expected["pixel_values"]);
    let located = flat(&image.located(&[&pictures[0]]).unwrap());
    let cells = flat(&image.cells(&[&pictures[0]]).unwrap());
    for (located, cell) in located.chunks(16).zip(cells.chunks(16)) {
        let norm = cell.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scaled: Vec<f32> = cell.iter().map(|x| x / norm).collect();
        assert_near(located, &scaled);
    }
}

#[test]
fn every_tensor_is_needed_and_checked() {
    let unread = |name: &str| name.starts_with("text_model.pooler") || name == "temperature";
    assert_every_tensor_is_checked(&folder("align"), unread, |files| {
        (ALIGN.text)(files, &Device::Cpu)?;
        (ALIGN.image)(files, &Device::Cpu).map(|_| ())
    });
}

#[test]
fn settings_and_sizes_that_make_no_network_are_refused() {
    let mut files = open(&folder("align"));
    files.settings.config["vision_config"]["hidden_act"] = "relu".into();
    let message = (ALIGN.image)(&files, &Device::Cpu).err().unwrap().to_string();
    assert!(message.contains("vision_config.hidden_act: expected swish, found relu"), "{message}");
    let mut files = open(&folder("align"));
    let dir = tempfile::tempdir().unwrap();
    files.settings.dir = dir.path().into();
    let size = r#"{"crop_size": {"height": 1, "width": 1}}"#;
    let both = format!(r#"{{"image_processor": {size}}}"#);
    for (name, text) in
        [("processor_config.json", both.as_str()), ("preprocessor_config.json", size)]
    {
        std::fs::write(dir.path().join(name), text).unwrap();
        let message = (ALIGN.image)(&files, &Device::Cpu).err().unwrap().to_string();
        assert!(message.contains("expected larger pictures, found 1 pixels a side"), "{message}");
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
}

#[test]
fn all_fields_that_transformers_writes_are_known() {
    assert_eq!(open(&folder("align")).settings.unknown(), [""; 0]);
}
