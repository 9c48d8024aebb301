//! Backbones by name: fetched when missing, opened for a device.

use std::path::PathBuf;

use candle_core::Device;

use crate::catalogue::Entry;
use crate::error::{ModelError, Result};
use crate::image::{ImageBackbone, Variant};
use crate::pull::{OnProgress, Store};
use crate::text::TextBackbone;

/// The name of no text backbone: a tower over the words themselves.
pub const WORDS: &str = "words";

/// At the end of an image backbone's name: its networks look at the mirror image as well.
const MIRROR: &str = "+mirror";

/// Sides of pictures that a network may be asked to look at, in pixels.
const SIDES: std::ops::RangeInclusive<usize> = 32..=1024;

/// Opens backbones from a store, pulling what is missing unless told to stay offline.
pub struct Backbones {
    /// Where installed models live.
    pub store: Store,
    /// Whether the network must not be used.
    pub offline: bool,
    /// Where networks run.
    pub device: Device,
}

impl Backbones {
    /// Opens an image backbone: `patches:SIZE/PATCH`, or names of models with `+` between them, of which
    /// EfficientNets may have `@SIZE` after theirs, for pictures of another size than they were trained on. `+mirror`
    /// at the end: the mirror image as well. Returns its fingerprint too.
    ///
    /// # Errors
    /// If a name is unknown, or a model cannot be fetched or read.
    pub fn image(&self, name: &str, progress: OnProgress<'_>) -> Result<(ImageBackbone, String)> {
        if let Some(sizes) = name.strip_prefix("patches:") {
            let sizes = sizes.split_once('/').and_then(|(size, patch)| {
                Some((size.parse().ok()?, patch.parse::<usize>().ok().filter(|&p| p > 0)?))
            });
            let (size, patch) = sizes.filter(|(size, patch)| size >= patch).ok_or_else(|| {
                ModelError::UnknownModel { name: name.into(), nearest: Some("patches:48/8".into()) }
            })?;
            return Ok((ImageBackbone::patches(size, patch, &self.device), name.to_owned()));
        }
        let (names, mirrored) = match name.strip_suffix(MIRROR) {
            Some(names) => (names, true),
            None => (name, false),
        };
        let mut parts = names.split('+');
        let (mut backbone, mut fingerprint) =
            self.network(parts.next().unwrap_or_default(), progress)?;
        for part in parts {
            let (other, print) = self.network(part, progress)?;
            backbone = backbone.beside(other)?;
            fingerprint = format!("{fingerprint}+{print}");
        }
        Ok((if mirrored { backbone.mirrored() } else { backbone }, fingerprint))
    }

    fn network(&self, name: &str, progress: OnProgress<'_>) -> Result<(ImageBackbone, String)> {
        let (base, size) = sized(name);
        let variant = match base {
            "efficientnet-lite0" => Some(Variant::LITE0),
            "efficientnet-lite1" => Some(Variant::LITE1),
            "efficientnet-lite2" => Some(Variant::LITE2),
            _ => None,
        };
        let installed = self.installed(if variant.is_some() { base } else { name }, progress)?;
        let backbone = match variant {
            Some(variant) => {
                let variant = Variant { size: size.unwrap_or(variant.size), ..variant };
                ImageBackbone::efficientnet(&installed.weights()?, variant, &self.device)?
            }
            None => ImageBackbone::vit(&installed.dir, &self.device)?,
        };
        Ok((backbone, installed.fingerprint().to_owned()))
    }

    /// Opens a text backbone by the name of a model. Returns its fingerprint too.
    ///
    /// # Errors
    /// If the name is unknown, or the model cannot be fetched or read.
    pub fn text(&self, name: &str, progress: OnProgress<'_>) -> Result<(TextBackbone, String)> {
        let installed = self.installed(name, progress)?;
        let backbone = TextBackbone::bert(&installed.dir, &self.device)?;
        Ok((backbone, installed.fingerprint().to_owned()))
    }

    /// The directory of cached features of a backbone under one preprocessing.
    pub fn features_dir(&self, name: &str, fingerprint: &str, preprocess: &str) -> PathBuf {
        let name = name.replace([':', '/', '@', '+'], "--");
        let key = blake3::hash(format!("{fingerprint} {preprocess}").as_bytes()).to_hex();
        self.store.home().join("features").join(format!("{name}-{}", &key[..16]))
    }

    fn installed(&self, name: &str, progress: OnProgress<'_>) -> Result<crate::pull::Installed> {
        if Entry::parse(name).is_err() {
            return Err(ModelError::UnknownModel { name: name.into(), nearest: nearest(name) });
        }
        Ok(self.store.ensure(name, self.offline, progress)?)
    }
}

/// `NAME@SIZE`, taken apart.
fn sized(name: &str) -> (&str, Option<usize>) {
    let parts = name.rsplit_once('@');
    let parts = parts.and_then(|(base, size)| Some((base, size.parse().ok()?)));
    match parts.filter(|(_, size)| SIDES.contains(size)) {
        Some((base, size)) => (base, Some(size)),
        None => (name, None),
    }
}

fn nearest(name: &str) -> Option<String> {
    let known = crate::catalogue::ENTRIES.iter().map(|entry| entry.name.as_ref());
    let scored = known.chain([WORDS]).map(|known| (strsim::jaro_winkler(name, known), known));
    let (score, known) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.8).then(|| known.to_owned())
}
