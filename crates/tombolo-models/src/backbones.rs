//! Backbones by name: fetched when missing, opened for a device.

use std::path::PathBuf;

use candle_core::Device;

use crate::catalogue::Entry;
use crate::checkpoint::Tensors;
use crate::config::Config;
use crate::error::{ModelError, Result};
use crate::image::{self, Classifier, EfficientNet, ImageBackbone, Variant, processor};
use crate::pull::{OnProgress, Store};
use crate::text::{self, Bert, TextBackbone};
use crate::tower::TailConfig;
use crate::zoo::{Joint, Layout, fingerprint};

/// The name of no text backbone: a tower over the words themselves.
pub const WORDS: &str = "words";

/// Before the sizes of the image backbone that is no network.
const PATCHES: &str = "patches:";

/// The largest side of pictures that are cut into patches.
const LARGEST_PICTURE: usize = 4096;

/// At the end of an image backbone's name: its networks look at the mirror image as well.
const MIRROR: &str = "+mirror";

/// At the end of an image backbone's name: feature maps in the middle of each network are read as well.
const MIDDLE: &str = "+middle";

/// At the end of the name of a jointly trained model: of a text or a photo its one vector in the space that they share, not what the
/// last layer says of its parts.
pub const SHARED: &str = "@shared";

/// Before a backbone that is a directory.
const DIR: &str = "dir:";

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
    /// EfficientNets may have `@SIZE` after theirs, for pictures of another size than they were trained on. At the
    /// end `+middle`: what maps in the middle of each EfficientNet hold, beside its last; `+mirror`: the mirror image as
    /// well. A name may be `dir:PATH`, a directory in Hugging Face's layout, and what it holds may be a whole jointly
    /// trained model, of which the picture half is taken; with `@shared` after it, its vectors in the shared space. The last `trained` blocks are left out: they are the tower's, see
    /// [`Backbones::tail`]. Returns its fingerprint too.
    ///
    /// # Errors
    /// If a name is unknown, a model cannot be fetched or read, or has no blocks that can be trained.
    pub fn image(
        &self,
        name: &str,
        trained: usize,
        progress: OnProgress<'_>,
    ) -> Result<(ImageBackbone, String)> {
        if trained > 0 {
            trainable(name, trained)?;
        }
        if let Some(sizes) = name.strip_prefix(PATCHES) {
            let sizes = sizes.split_once('/').and_then(|(size, patch)| {
                Some((size.parse().ok()?, patch.parse::<usize>().ok().filter(|&p| p > 0)?))
            });
            let fits = |&(size, patch): &(usize, usize)| size >= patch && size <= LARGEST_PICTURE;
            let (size, patch) = sizes.filter(fits).ok_or_else(|| ModelError::UnknownModel {
                name: name.into(),
                nearest: Some("patches:48/8".into()),
            })?;
            return Ok((ImageBackbone::patches(size, patch, &self.device), name.to_owned()));
        }
        let (names, mirrored) = without(name, MIRROR);
        let (names, middle) = without(names, MIDDLE);
        let reading = if middle { Reading::WithMiddle } else { Reading::Below(trained) };
        let mut parts = names.split('+');
        let (mut backbone, mut fingerprint) =
            self.network(parts.next().unwrap_or_default(), reading, progress)?;
        for part in parts {
            let (other, print) = self.network(part, reading, progress)?;
            backbone = backbone.beside(other);
            fingerprint = format!("{fingerprint}+{print}");
        }
        Ok((if mirrored { backbone.mirrored() } else { backbone }, fingerprint))
    }

    /// What the user should be told of the networks of an image backbone: fields of their settings that nothing here knows.
    ///
    /// # Errors
    /// If a network cannot be fetched, or its settings cannot be read.
    pub fn image_warnings(&self, name: &str, progress: OnProgress<'_>) -> Result<Vec<String>> {
        let of_files = |name: &&str| !name.starts_with(PATCHES) && variant(name).is_none();
        let mut told = Vec::new();
        for network in networks(name).filter(of_files) {
            told.extend(self.warnings(without(network, SHARED).0, progress)?);
        }
        Ok(told)
    }

    /// The same of a text backbone.
    ///
    /// # Errors
    /// As [`Backbones::image_warnings`].
    pub fn text_warnings(&self, name: &str, progress: OnProgress<'_>) -> Result<Vec<String>> {
        self.warnings(text_model(name), progress)
    }

    fn warnings(&self, network: &str, progress: OnProgress<'_>) -> Result<Vec<String>> {
        let dir = self.dir(network, progress)?;
        if let Some(joint) = Joint::find(&dir)? {
            return Ok(joint.warnings());
        }
        let kinds = [&text::KINDS[..], &image::KINDS[..]].concat();
        let mut told = Config::read(&dir, &kinds)?.warnings();
        told.extend(processor::warnings(&dir)?);
        Ok(told)
    }

    /// The last blocks of an image backbone, and what follows them: their sizes, and their weights by their names
    /// in a tower.
    ///
    /// # Errors
    /// As [`Backbones::image`].
    pub fn tail(
        &self,
        name: &str,
        trained: usize,
        progress: OnProgress<'_>,
    ) -> Result<(TailConfig, Tensors)> {
        let (base, variant) = trainable(name, trained)?;
        let installed = self.installed(base, progress)?;
        let (config, weights) = EfficientNet::tail(&installed.weights()?, variant, trained)?;
        Ok((TailConfig::Blocks(config), weights))
    }

    /// The layers that the networks of an image backbone were trained to tell classes with, network by network.
    ///
    /// # Errors
    /// As [`Backbones::image`]; [`ModelError::UnknownModel`] for a network that knows none, see [`knows_classes`].
    pub fn classifiers(&self, name: &str, progress: OnProgress<'_>) -> Result<Vec<Classifier>> {
        let classifiers = networks(name).map(|network| {
            let (base, _) = variant(network).ok_or_else(|| {
                let nearest = Some("efficientnet-lite2".to_owned());
                ModelError::UnknownModel { name: network.to_owned(), nearest }
            })?;
            Classifier::load(&self.installed(base, progress)?.weights()?)
        });
        classifiers.collect()
    }

    /// The last layers of a text backbone: their sizes, and their weights by their names in a tower.
    ///
    /// # Errors
    /// As [`Backbones::text`].
    pub fn text_tail(
        &self,
        name: &str,
        trained: usize,
        progress: OnProgress<'_>,
    ) -> Result<(TailConfig, Tensors)> {
        let (base, read) = layered(name);
        let (dir, _) = self.place(base, progress)?;
        let (config, weights) = Bert::tail(&dir, read.as_deref(), trained)?;
        Ok((TailConfig::Layers(config), weights))
    }

    fn network(
        &self,
        name: &str,
        reading: Reading,
        progress: OnProgress<'_>,
    ) -> Result<(ImageBackbone, String)> {
        let device = &self.device;
        if let Some((base, variant)) = variant(name) {
            let installed = self.installed(base, progress)?;
            let weights = installed.weights()?;
            let backbone = match reading {
                Reading::Below(trained) => {
                    ImageBackbone::efficientnet(&weights, variant, trained, device)?
                }
                Reading::WithMiddle => {
                    ImageBackbone::efficientnet_with_middle(&weights, variant, device)?
                }
            };
            return Ok((backbone, installed.fingerprint().to_owned()));
        }
        if let Reading::WithMiddle = reading {
            return Err(ModelError::NoMiddle { name: name.to_owned() });
        }
        if let Some(name) = name.strip_suffix(SHARED) {
            let (joint, fingerprint) = self.shared(name, progress)?;
            return Ok((ImageBackbone::shared(&joint, device)?, fingerprint));
        }
        let (dir, fingerprint) = self.place(name, progress)?;
        let backbone = match Joint::find(&dir)? {
            Some(joint) => ImageBackbone::joint(&joint, device)?,
            None => ImageBackbone::vit(&dir, device)?,
        };
        Ok((backbone, fingerprint))
    }

    /// Opens a text backbone by the name of a model or `dir:PATH`, `@0,2,4,6` after it: a token's vector is the outputs of these
    /// layers side by side, 0 being the embeddings; or by the name of a jointly trained model, `@shared` after it: a text's one vector
    /// in the shared space. The last `trained` layers are left out: they are the tower's, see
    /// [`Backbones::text_tail`]. Returns its fingerprint too.
    ///
    /// # Errors
    /// If the name is unknown, the model cannot be fetched or read, or has no such layers.
    pub fn text(
        &self,
        name: &str,
        trained: usize,
        progress: OnProgress<'_>,
    ) -> Result<(TextBackbone, String)> {
        if let Some(name) = name.strip_suffix(SHARED) {
            let (joint, fingerprint) = self.shared(name, progress)?;
            return Ok((TextBackbone::shared(&joint, &self.device)?.below(trained)?, fingerprint));
        }
        let (base, layers) = layered(name);
        let (dir, fingerprint) = self.place(base, progress)?;
        let mut backbone = match Joint::find(&dir)? {
            Some(joint) => TextBackbone::joint(&joint, &self.device)?,
            None => TextBackbone::bert(&dir, &self.device)?,
        };
        if let Some(layers) = layers {
            backbone = backbone.reading(&layers)?;
        }
        Ok((backbone.below(trained)?, fingerprint))
    }

    /// The jointly trained model of a name, and the fingerprint of its vectors.
    fn shared(&self, name: &str, progress: OnProgress<'_>) -> Result<(Joint, String)> {
        let dir = self.dir(name, progress)?;
        let joint = match Layout::of(&dir) {
            Some(_) => Joint::find(&dir)?,
            None => None,
        };
        let joint = joint.ok_or_else(|| ModelError::NotShared { name: name.to_owned() })?;
        let fingerprint = format!("{}{SHARED}", joint.fingerprint()?);
        Ok((joint, fingerprint))
    }

    /// Where the model of a name is.
    fn dir(&self, name: &str, progress: OnProgress<'_>) -> Result<PathBuf> {
        match name.strip_prefix(DIR) {
            Some(dir) => Ok(dir.into()),
            None => Ok(self.installed(name, progress)?.dir),
        }
    }

    /// The same, and its fingerprint.
    fn place(&self, name: &str, progress: OnProgress<'_>) -> Result<(PathBuf, String)> {
        let Some(dir) = name.strip_prefix(DIR).map(PathBuf::from) else {
            let installed = self.installed(name, progress)?;
            let fingerprint = installed.fingerprint().to_owned();
            return Ok((installed.dir, fingerprint));
        };
        let layout = Layout::of(&dir).ok_or_else(|| ModelError::NotAModel { path: dir.clone() })?;
        let fingerprint = fingerprint(layout, &dir)?;
        Ok((dir, fingerprint))
    }

    /// The directory of cached features of a backbone under one preprocessing.
    pub fn features_dir(&self, name: &str, fingerprint: &str, preprocess: &str) -> PathBuf {
        let name = name.replace([':', '/', '\\', '@', '+'], "--");
        // File systems allow names of 255 bytes.
        let name: String = name.chars().skip(name.chars().count().saturating_sub(60)).collect();
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

/// What of an EfficientNet is read.
#[derive(Clone, Copy)]
enum Reading {
    /// The map below so many of the last blocks; the last map if they are none.
    Below(usize),
    /// The last map and those in the middle.
    WithMiddle,
}

/// Whether all networks of an image backbone were trained to tell classes apart: they are EfficientNet-Lite.
pub fn knows_classes(name: &str) -> bool {
    networks(name).all(|network| variant(network).is_some())
}

/// The names of the networks of an image backbone.
fn networks(name: &str) -> impl Iterator<Item = &str> {
    without(without(name, MIRROR).0, MIDDLE).0.split('+')
}

/// A name without this ending, and whether it had it.
fn without<'a>(name: &'a str, ending: &str) -> (&'a str, bool) {
    match name.strip_suffix(ending) {
        Some(name) => (name, true),
        None => (name, false),
    }
}

/// The EfficientNet-Lite that a name, perhaps with a size, speaks of.
fn variant(name: &str) -> Option<(&str, Variant)> {
    let (base, size) = sized(name);
    let variant = match base {
        "efficientnet-lite0" => Variant::LITE0,
        "efficientnet-lite1" => Variant::LITE1,
        "efficientnet-lite2" => Variant::LITE2,
        _ => return None,
    };
    Some((base, Variant { size: size.unwrap_or(variant.size), ..variant }))
}

/// The one EfficientNet-Lite of an image backbone.
fn trainable(name: &str, found: usize) -> Result<(&str, Variant)> {
    variant(name.strip_suffix(MIRROR).unwrap_or(name)).ok_or_else(|| ModelError::Untrainable {
        name: name.to_owned(),
        found,
        reason: "expected one EfficientNet-Lite, with or without +mirror".to_owned(),
    })
}

/// The model that a text backbone's name, perhaps with what is read of it, speaks of.
pub fn text_model(name: &str) -> &str {
    name.strip_suffix(SHARED).unwrap_or_else(|| layered(name).0)
}

/// `NAME@LAYER,…`, taken apart.
fn layered(name: &str) -> (&str, Option<Vec<usize>>) {
    let parts = name.rsplit_once('@').and_then(|(base, layers)| {
        Some((base, layers.split(',').map(|layer| layer.parse().ok()).collect::<Option<_>>()?))
    });
    match parts {
        Some((base, layers)) => (base, Some(layers)),
        None => (name, None),
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
    tombolo_data::nearest(name, known.chain([WORDS]), 0.8).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_sizes_and_layers() {
        let (base, variant) = variant("efficientnet-lite0@320").unwrap();
        assert_eq!((base, variant.size), ("efficientnet-lite0", 320));
        assert_eq!(layered("all-minilm-l6-v2@0,6"), ("all-minilm-l6-v2", Some(vec![0, 6])));
        assert_eq!(layered("hf:a/b@main"), ("hf:a/b@main", None));
        assert_eq!(text_model("hf:a/b@2024@shared"), "hf:a/b@2024");
        assert_eq!(text_model("words"), "words");
    }

    #[test]
    fn classes_are_known_where_all_networks_know_them() {
        assert!(knows_classes("efficientnet-lite0@256+efficientnet-lite2+middle+mirror"));
        assert!(
            !knows_classes("efficientnet-lite0+dinov2-small") && !knows_classes("patches:48/8")
        );
    }

    #[test]
    fn blocks_of_one_efficientnet_can_be_trained() {
        for name in ["efficientnet-lite2+mirror", "efficientnet-lite0", "efficientnet-lite1@300"] {
            assert!(trainable(name, 3).is_ok(), "{name}");
        }
        for name in ["efficientnet-lite0+efficientnet-lite2", "dinov2-small", "patches:48/8"] {
            assert!(trainable(name, 3).is_err(), "{name}");
        }
    }
}
