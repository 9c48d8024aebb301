//! The image processor of ALIGN: EfficientNet's, which first squashes and then crops, and may
//! bring bytes to the range from −1 to 1 instead of that from 0 to 1.

use serde::Deserialize;
use tombolo_data::image::{Filter, Fit, Preprocess};

use crate::error::{ModelError, Result};
use crate::image::processor;
use crate::zoo::Settings;

/// What a picture is brought to.
///
/// # Errors
/// If the file is malformed or asks for what is not supported.
pub(crate) fn read(settings: &Settings) -> Result<Preprocess> {
    let (path, processor) = match processor::find::<Processor>(&settings.dir)? {
        Some(found) => found,
        None => (settings.path.clone(), Processor::default()),
    };
    processor.preprocess().map_err(|reason| ModelError::Settings { path, reason })
}

/// Fields, and what they are where the file does not say: those of Kakao Brain's checkpoint.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Processor {
    do_resize: bool,
    size: Square,
    resample: u8,
    do_center_crop: bool,
    crop_size: Square,
    do_rescale: bool,
    rescale_factor: f64,
    rescale_offset: bool,
    do_normalize: bool,
    image_mean: [f32; 3],
    image_std: [f32; 3],
    include_top: bool,
}

impl Default for Processor {
    fn default() -> Self {
        Self {
            do_resize: true,
            size: Square { height: 346, width: 346 },
            resample: 2,
            do_center_crop: true,
            crop_size: Square { height: 289, width: 289 },
            do_rescale: true,
            rescale_factor: 1.0 / 127.5,
            rescale_offset: true,
            do_normalize: false,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
            include_top: false,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Square {
    height: usize,
    width: usize,
}

impl Square {
    fn side(self, field: &str) -> Result<usize, String> {
        match self {
            Self { height, width } if height == width && height > 0 => Ok(height),
            Self { height, width } => {
                Err(format!("{field}: expected a square, found {height} × {width}"))
            }
        }
    }
}

impl Processor {
    fn preprocess(&self) -> Result<Preprocess, String> {
        if !self.do_resize || !self.do_rescale {
            return Err("do_resize, do_rescale: expected true, found false".into());
        }
        let resized = self.size.side("size")?;
        let (size, fit) = match self.do_center_crop {
            true => {
                let size = self.crop_size.side("crop_size")?;
                if size > resized {
                    return Err(format!("crop_size: expected at most {resized}, found {size}"));
                }
                (size, Fit::SquashAndCrop { resized })
            }
            false => (resized, Fit::Squash),
        };
        let filter = match self.resample {
            1 => Filter::Lanczos3,
            2 => Filter::Bilinear,
            3 => Filter::Bicubic,
            found => return Err(format!("resample: expected 1, 2 or 3, found {found}")),
        };
        let (mean, std) = self.statistics();
        Ok(Preprocess { size, fit, filter, mean, std })
    }

    /// Mean and deviation that do to byte ÷ 255 what the processor does to a byte: it scales, may take 1 away, may
    /// normalise, and may divide by the deviation once more.
    fn statistics(&self) -> ([f32; 3], [f32; 3]) {
        let scale = 255.0 * self.rescale_factor;
        let offset = if self.rescale_offset { 1.0 } else { 0.0 };
        let (mut mean, mut std) = ([0.0; 3], [0.0; 3]);
        for c in 0..3 {
            let (own_mean, own_std) = match self.do_normalize {
                true => (f64::from(self.image_mean[c]), f64::from(self.image_std[c])),
                false => (0.0, 1.0),
            };
            let again = if self.include_top { f64::from(self.image_std[c]) } else { 1.0 };
            mean[c] = ((offset + own_mean) / scale) as f32;
            std[c] = (own_std * again / scale) as f32;
        }
        (mean, std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<Preprocess, String> {
        serde_json::from_str::<Processor>(json).unwrap().preprocess()
    }

    #[test]
    fn bytes_come_to_the_range_from_minus_one_to_one() {
        let found = parsed("{}").unwrap();
        assert_eq!((found.size, found.fit), (289, Fit::SquashAndCrop { resized: 346 }));
        assert_eq!(found.filter, Filter::Bilinear);
        for (byte, expected) in [(0.0, -1.0), (255.0, 1.0)] {
            let value = (byte / 255.0 - found.mean[0]) / found.std[0];
            assert!((value - expected).abs() < 1e-6, "{value}");
        }
    }

    #[test]
    fn statistics_follow_the_processor() {
        let json = r#"{"rescale_factor": 0.003921568627450980, "rescale_offset": false, "do_normalize": true,
            "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.4, 0.2], "include_top": true, "do_center_crop": false}"#;
        let found = parsed(json).unwrap();
        assert_eq!((found.size, found.fit), (346, Fit::Squash));
        let value = (0.7 - found.mean[1]) / found.std[1];
        assert!((value - (0.7 - 0.2) / 0.4 / 0.4).abs() < 1e-5, "{value}");
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (json, field) in [
            (r#"{"resample": 0}"#, "resample"),
            (r#"{"do_resize": false}"#, "do_resize"),
            (r#"{"size": {"height": 3, "width": 4}}"#, "size: expected a square, found 3 × 4"),
            (r#"{"size": {"height": 3, "width": 3}}"#, "crop_size: expected at most 3, found 289"),
        ] {
            let message = parsed(json).unwrap_err();
            assert!(message.contains(field), "{message}");
        }
    }
}
