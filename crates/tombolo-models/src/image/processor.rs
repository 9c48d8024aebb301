//! `preprocessor_config.json`: what Hugging Face's image processors do to a picture.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tombolo_data::image::{Filter, Fit, Preprocess};

use crate::config::not_followed;
use crate::error::{ModelError, Result};
use crate::settings;

/// What ViT and DINOv2 do where the file does not say otherwise: the statistics of ImageNet's training set.
pub(crate) fn imagenet(size: usize) -> Preprocess {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    Preprocess { size, fit: Fit::Squash, filter: Filter::Bicubic, mean, std }
}

/// What CLIP does where the file does not say otherwise.
pub(crate) fn clip(size: usize) -> Preprocess {
    let mean = [0.481_454_66, 0.457_827_5, 0.408_210_73];
    let std = [0.268_629_54, 0.261_302_6, 0.275_777_1];
    let fit = Fit::CropDown { resize_shortest: size };
    Preprocess { size, fit, filter: Filter::Bicubic, mean, std }
}

/// What BLIP does where the file does not say otherwise.
pub(crate) fn blip(size: usize) -> Preprocess {
    Preprocess { fit: Fit::Squash, ..clip(size) }
}

/// What SigLIP does where the file does not say otherwise.
pub(crate) fn siglip(size: usize) -> Preprocess {
    let (mean, std) = ([0.5; 3], [0.5; 3]);
    Preprocess { size, fit: Fit::Squash, filter: Filter::Bicubic, mean, std }
}

/// The settings of a directory: `preprocessor_config.json`, or the image processor in `processor_config.json`.
/// Without either, and for fields that are not there, `default`.
///
/// # Errors
/// If a file is malformed or asks for what is not supported.
pub(crate) fn read(dir: &Path, default: Preprocess) -> Result<Preprocess> {
    match find::<Processor>(dir)? {
        Some((path, processor)) => processor.preprocess(&path, default),
        None => Ok(default),
    }
}

/// What the user should be told of a directory's settings: fields that nothing here knows.
///
/// # Errors
/// If the file is malformed.
pub(crate) fn warnings(dir: &Path) -> Result<Vec<String>> {
    let Some((path, processor)) = find::<Processor>(dir)? else { return Ok(Vec::new()) };
    // A null or a false asks for nothing.
    let asked = processor.others.iter().filter(|(_, value)| !value.is_null() && **value != false);
    let unknown = asked.filter(|(name, _)| !WITHOUT_BEARING.contains(&name.as_str()));
    Ok(unknown.map(|(name, _)| not_followed(&path, name)).collect())
}

/// The settings of a directory's image processor, and their file.
///
/// # Errors
/// If the file is malformed.
pub(crate) fn find<P: DeserializeOwned>(dir: &Path) -> Result<Option<(PathBuf, P)>> {
    let path = dir.join("preprocessor_config.json");
    if path.exists() {
        return Ok(Some((path.clone(), settings::read_json(&path)?)));
    }
    let path = dir.join("processor_config.json");
    if !path.exists() {
        return Ok(None);
    }
    let both: Both<P> = settings::read_json(&path)?;
    Ok(both.image_processor.map(|processor| (path, processor)))
}

/// Fields with no bearing on pixels: names of classes, forms of output, what pictures in RGB have already, what the processor that
/// writes it does not use; and ALIGN's, which [`crate::zoo`] follows.
const WITHOUT_BEARING: [&str; 14] = [
    "_valid_processor_keys",
    "data_format",
    "default_to_square",
    "device",
    "disable_grouping",
    "do_convert_rgb",
    "feature_extractor_type",
    "image_processor_type",
    "include_top",
    "input_data_format",
    "processor_class",
    "rescale_offset",
    "return_tensors",
    "size_divisor",
];

/// `processor_config.json`: the processors of texts and of pictures.
#[derive(Deserialize)]
struct Both<P> {
    image_processor: Option<P>,
}

#[derive(Deserialize)]
struct Processor {
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    size: Option<Size>,
    crop_size: Option<Size>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    resample: Option<u8>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Size {
    Side(usize),
    Shortest { shortest_edge: usize },
    Sides { height: usize, width: usize },
}

impl Size {
    fn side(self) -> usize {
        match self {
            Self::Side(side) | Self::Shortest { shortest_edge: side } => side,
            Self::Sides { height, .. } => height,
        }
    }

    fn square(self) -> bool {
        !matches!(self, Self::Sides { height, width } if height != width)
    }
}

impl Processor {
    fn preprocess(&self, path: &Path, default: Preprocess) -> Result<Preprocess> {
        self.check(path)?;
        let crops = self.do_center_crop.unwrap_or(default.fit != Fit::Squash);
        let resized = self.size.map_or(default.size, Size::side);
        let (size, fit) = match crops {
            true => (self.crop_size.map_or(default.size, Size::side), self.cropped(resized)),
            false => (resized, Fit::Squash),
        };
        let (mean, std) = match self.do_normalize {
            Some(false) => ([0.0; 3], [1.0; 3]),
            _ => (self.image_mean.unwrap_or(default.mean), self.image_std.unwrap_or(default.std)),
        };
        // Pillow's numbers.
        let filter = match self.resample {
            Some(1) => Filter::Lanczos3,
            Some(2) => Filter::Bilinear,
            Some(3) => Filter::Bicubic,
            None => default.filter,
            Some(other) => return Err(refused(path, "resample", "1, 2 or 3", &other.to_string())),
        };
        Ok(Preprocess { size, fit, filter, mean, std })
    }

    /// How a picture is brought to the sides, or the shorter side, from whose middle the square is taken.
    fn cropped(&self, resized: usize) -> Fit {
        match self.size {
            Some(Size::Sides { .. }) => Fit::SquashAndCrop { resized },
            _ => Fit::CropDown { resize_shortest: resized },
        }
    }

    fn check(&self, path: &Path) -> Result<()> {
        let factor = self.rescale_factor.unwrap_or(1.0 / 255.0);
        if self.do_rescale == Some(false) || (factor * 255.0 - 1.0).abs() > 1e-4 {
            return Err(refused(path, "rescale_factor", "1/255", &factor.to_string()));
        }
        if self.do_resize == Some(false) {
            return Err(refused(path, "do_resize", "true", "false"));
        }
        if [self.size, self.crop_size].into_iter().flatten().any(|size| !size.square()) {
            return Err(refused(path, "size", "a square", "height and width that differ"));
        }
        Ok(())
    }
}

fn refused(path: &Path, field: &str, expected: &str, found: &str) -> ModelError {
    let path: PathBuf = path.into();
    ModelError::Settings { path, reason: format!("{field}: expected {expected}, found {found}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str, default: Preprocess) -> Result<Preprocess> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("preprocessor_config.json"), json).unwrap();
        read(folder.path(), default)
    }

    #[test]
    fn old_and_new_forms_of_sizes_are_read() {
        let old = r#"{"crop_size": 32, "do_center_crop": true, "size": 36, "resample": 2}"#;
        let new = r#"{"crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 36}, "resample": 2}"#;
        let expected = Preprocess {
            size: 32,
            fit: Fit::CropDown { resize_shortest: 36 },
            filter: Filter::Bilinear,
            ..clip(224)
        };
        assert_eq!(parsed(old, clip(224)).unwrap(), expected);
        assert_eq!(parsed(new, clip(224)).unwrap(), expected);
    }

    #[test]
    fn two_sides_are_reached_whatever_the_aspect_before_a_crop() {
        let json = r#"{"crop_size": 32, "size": {"height": 36, "width": 36}}"#;
        let expected =
            Preprocess { size: 32, fit: Fit::SquashAndCrop { resized: 36 }, ..clip(224) };
        assert_eq!(parsed(json, clip(224)).unwrap(), expected);
    }

    #[test]
    fn the_image_processor_inside_a_processor_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            r#"{"image_processor": {"size": {"height": 48, "width": 48}}, "processor_class": "X"}"#;
        std::fs::write(folder.path().join("processor_config.json"), text).unwrap();
        assert_eq!(read(folder.path(), siglip(224)).unwrap(), siglip(48));
        assert_eq!(read(Path::new("nowhere"), siglip(224)).unwrap(), siglip(224));
    }

    #[test]
    fn fields_that_nothing_knows_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("preprocessor_config.json");
        std::fs::write(
            &path,
            r#"{"size": 32, "do_convert_rgb": true, "do_pad": true, "pad_size": null}"#,
        )
        .unwrap();
        let told = warnings(folder.path()).unwrap();
        assert!(told.len() == 1 && told[0].contains("`do_pad`"), "{told:?}");
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (json, field) in [
            (r#"{"size": {"height": 4, "width": 5}}"#, "size"),
            (r#"{"rescale_factor": 1.0}"#, "rescale_factor"),
            (r#"{"do_resize": false}"#, "do_resize"),
            (r#"{"resample": 0}"#, "resample"),
        ] {
            assert!(parsed(json, clip(4)).unwrap_err().to_string().contains(field), "{json}");
        }
    }
}
