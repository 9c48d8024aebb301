//! What open_clip does to a picture.

use serde::Deserialize;
use serde_json::Value;
use tombolo_data::image::{Filter, Fit, Preprocess};

use super::CONFIG;
use crate::error::Result;
use crate::image::processor;
use crate::zoo::Settings;

/// `preprocess_cfg`, as open_clip's transform reads it.
#[derive(Default, Deserialize)]
struct Transform {
    size: Option<Value>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
    mode: Option<String>,
}

/// The fields above, and one that is for a way of resizing that is not here.
const KNOWN: [&str; 7] =
    ["size", "mean", "std", "interpolation", "resize_mode", "mode", "fill_color"];

/// The names of fields that nothing here knows.
pub(super) fn unknown(given: Option<&Value>) -> Vec<String> {
    let fields = given.and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name);
    let unknown = fields.filter(|name| !KNOWN.contains(&name.as_str()));
    unknown.map(|name| format!("preprocess_cfg.{name}")).collect()
}

/// What open_clip's transform does to a picture of this size.
///
/// # Errors
/// If the settings ask for what is not supported.
pub(crate) fn preprocess(settings: &Settings, size: usize) -> Result<Option<Preprocess>> {
    let given = &settings.config["preprocess_cfg"];
    if settings.path.file_name().is_none_or(|name| name != CONFIG) {
        return Ok(None);
    }
    let transform: Option<Transform> = serde_json::from_value(given.clone())
        .map_err(|error| settings.refused(format!("preprocess_cfg: {error}")))?;
    let transform = transform.unwrap_or_default();
    let side = transform.size.as_ref().map_or(Some(size), side);
    let size =
        side.ok_or_else(|| settings.refused("preprocess_cfg.size: expected a square".into()))?;
    let fit = match transform.resize_mode.as_deref() {
        None | Some("shortest") => Fit::CropCenter { resize_shortest: size },
        Some("squash") => Fit::Squash,
        Some(found) => {
            let reason = "preprocess_cfg.resize_mode: expected shortest or squash, found";
            return Err(settings.refused(format!("{reason} {found}")));
        }
    };
    let filter = match transform.interpolation.as_deref() {
        None | Some("bicubic") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some(found) => {
            let reason = "preprocess_cfg.interpolation: expected bicubic or bilinear, found";
            return Err(settings.refused(format!("{reason} {found}")));
        }
    };
    if let Some(found) = transform.mode.filter(|mode| mode != "RGB") {
        return Err(settings.refused(format!("preprocess_cfg.mode: expected RGB, found {found}")));
    }
    let default = processor::clip(size);
    let (mean, std) =
        (transform.mean.unwrap_or(default.mean), transform.std.unwrap_or(default.std));
    Ok(Some(Preprocess { size, fit, filter, mean, std }))
}

fn side(size: &Value) -> Option<usize> {
    let side = match size.as_array() {
        Some(sides) if sides.iter().all(|side| *side == sides[0]) => sides.first()?.as_u64(),
        Some(_) => None,
        None => size.as_u64(),
    };
    side.map(|side| side as usize)
}
