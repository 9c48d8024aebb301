//! The map that joins the two spaces: closed forms in seconds, or a head trained by a stage.

mod closed;
mod head;
mod hubness;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Deserializer, Serialize};
use tombolo_vectors::EmbeddingMatrix;

pub use closed::{Moments, Pairs};
pub use head::{Head, HeadConfig, Standardise};
pub use hubness::{BANKS, Hubness, Restraint};

use crate::checkpoint::safetensors::Precision;
use crate::checkpoint::{self, HostTensor};
use crate::error::{ModelError, Result};
use crate::weights::Weights;

/// The entry of the metadata that says how hubs are held back.
const HUBNESS: &str = "hubness";

/// Rows mapped at a time.
const ROWS: usize = 4096;

/// Takes text vectors and image vectors into the space where they are compared.
///
/// A library keeps raw image vectors, so that another map needs no encoding. A map of several members, or of one with
/// others beside it, compares by the mean of their cosines: what they give lies side by side. Each of those beside counts by its
/// weight, where a member counts 1.
#[derive(Clone)]
pub struct Map {
    members: Vec<Member>,
    beside: Vec<(Member, f64)>,
    hubness: Option<Hubness>,
}

/// A head for each side.
#[derive(Clone)]
struct Member {
    text: Head,
    image: Head,
}

/// Sizes of a map's two heads, as `map.safetensors` records them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapConfig {
    /// The text side.
    pub text: HeadConfig,
    /// The image side.
    pub image: HeadConfig,
    /// How many maps of these sizes there are, side by side.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub members: usize,
    /// The sizes of those of other forms beside them.
    #[serde(default, deserialize_with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<BesideConfig>,
}

/// Sizes of the two heads of one beside a map's members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BesideConfig {
    /// The text side.
    pub text: HeadConfig,
    /// The image side.
    pub image: HeadConfig,
    /// How much it counts, where a member counts 1.
    #[serde(default = "once")]
    pub weight: f64,
}

impl MapConfig {
    /// Width of what all heads of a side give.
    fn output(&self) -> usize {
        let members = self.members.saturating_mul(self.text.output());
        self.beside.iter().fold(members, |sum, beside| sum.saturating_add(beside.text.output()))
    }

    /// What is wrong with these sizes, if nothing can be mapped by them.
    fn fault(&self) -> Option<String> {
        if self.members == 0 {
            return Some("members: expected at least 1, found 0".to_owned());
        }
        let weights = self.beside.iter().map(|beside| beside.weight);
        if let Some(found) = weights.into_iter().find(|w| !w.is_finite() || *w <= 0.0) {
            return Some(format!("beside: expected a weight above 0, found {found}"));
        }
        let beside = self.beside.iter().map(|beside| (&beside.text, &beside.image));
        let sides = std::iter::once((&self.text, &self.image)).chain(beside);
        let mut widths = sides.map(|(text, image)| (text.output(), image.output()));
        let (text, image) = widths.find(|(text, image)| text != image)?;
        Some(format!("expected heads of one width, found {text} of texts and {image} of images"))
    }
}

fn one() -> usize {
    1
}

fn is_one(members: &usize) -> bool {
    *members == 1
}

fn once() -> f64 {
    1.0
}

/// The first maps that had another beside them had one, and recorded it as such.
fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<BesideConfig>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Beside {
        One(BesideConfig),
        Several(Vec<BesideConfig>),
    }
    Ok(match Beside::deserialize(from)? {
        Beside::One(one) => vec![one],
        Beside::Several(several) => several,
    })
}

impl Map {
    /// Joins two heads.
    pub fn new(text: Head, image: Head) -> Self {
        Self::of(vec![Member { text, image }])
    }

    fn of(members: Vec<Member>) -> Self {
        Self { members, beside: Vec::new(), hubness: None }
    }

    /// The map that leaves unit vectors of this width as they are.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub fn identity(dim: usize, device: &Device) -> Result<Self> {
        let as_it_is = Standardise { mean: vec![0.0; dim], scale: vec![1.0; dim] };
        let head = || Head::closed(&as_it_is, None, device);
        Ok(Self::new(head()?, head()?))
    }

    /// Maps of the same sizes side by side, at least one.
    ///
    /// # Panics
    /// If there is none.
    pub fn side_by_side(maps: Vec<Self>) -> Self {
        assert!(!maps.is_empty(), "no map");
        Self::of(maps.into_iter().flat_map(|map| map.members).collect())
    }

    /// What this map is made of, and beside it what the other is made of, which counts as `weight` members do. Neither holds hubs
    /// back any more.
    #[must_use]
    pub fn with_beside(self, other: &Self, weight: f64) -> Self {
        let members = other.members.iter().map(|member| (member, 1.0));
        let parts = members.chain(other.beside.iter().map(|(member, weight)| (member, *weight)));
        let whole: f64 = parts.clone().map(|(_, weight)| weight).sum();
        let added = parts.map(|(member, share)| (member.clone(), weight * share / whole));
        let beside = self.beside.into_iter().chain(added).collect();
        Self { beside, ..Self::of(self.members) }
    }

    /// The same map with hubs held back, or as they are.
    #[must_use]
    pub fn with_hubness(self, hubness: Option<Hubness>) -> Self {
        Self { hubness, ..self }
    }

    /// What holds hubs back, if anything does.
    pub fn hubness(&self) -> Option<&Hubness> {
        self.hubness.as_ref()
    }

    /// Reads or creates all heads.
    ///
    /// # Errors
    /// If the weights lack a tensor or hold one of another shape.
    pub fn from_weights(config: &MapConfig, weights: &Weights) -> Result<Self> {
        let member = |text, image, prefix: &str| {
            let head =
                |side, config| Head::new(config, &weights.root().at(format!("{prefix}{side}")));
            Result::<Member>::Ok(Member { text: head("text", text)?, image: head("image", image)? })
        };
        let members = (0..config.members).map(|i| member(&config.text, &config.image, &prefix(i)));
        let members = members.collect::<Result<_>>()?;
        let beside = config.beside.iter().enumerate().map(|(place, sizes)| {
            Ok((member(&sizes.text, &sizes.image, &prefix_beside(place))?, sizes.weight))
        });
        Ok(Self { beside: beside.collect::<Result<_>>()?, ..Self::of(members) })
    }

    /// Sizes of both sides.
    pub fn config(&self) -> MapConfig {
        let (text, image) = self.members[0].sizes();
        let beside = self.beside.iter().map(|(member, weight)| {
            let (text, image) = member.sizes();
            BesideConfig { text, image, weight: *weight }
        });
        MapConfig { text, image, members: self.members.len(), beside: beside.collect() }
    }

    /// The text side, of the first member.
    pub fn text(&self) -> &Head {
        &self.members[0].text
    }

    /// The image side, of the first member.
    pub fn image(&self) -> &Head {
        &self.members[0].image
    }

    /// Width of the space where texts and images are compared.
    pub fn dim(&self) -> usize {
        self.config().output() + if self.hubness.is_some() { hubness::COMPONENTS } else { 0 }
    }

    /// Text vectors, mapped and scaled to unit norm.
    ///
    /// # Errors
    /// If their width is not that of the text side.
    pub fn map_texts(&self, vectors: &EmbeddingMatrix) -> Result<EmbeddingMatrix> {
        let mapped = self.apply(|member| &member.text, vectors)?;
        match &self.hubness {
            Some(hubness) => hubness.texts(&mapped),
            None => Ok(mapped),
        }
    }

    /// Image vectors, mapped and scaled to unit norm.
    ///
    /// # Errors
    /// If their width is not that of the image side.
    pub fn map_images(&self, vectors: &EmbeddingMatrix) -> Result<EmbeddingMatrix> {
        let mapped = self.apply(|member| &member.image, vectors)?;
        match &self.hubness {
            Some(hubness) => hubness.images(&mapped),
            None => Ok(mapped),
        }
    }

    /// What finds the photos that are like a mapped photo, or like a sum of mapped vectors: hubs are held back as for a text.
    pub fn as_query(&self, vector: Vec<f32>) -> Vec<f32> {
        match self.hubness {
            Some(_) => Hubness::as_query(vector),
            None => vector,
        }
    }

    /// Writes `map.safetensors`; `towers` are the fingerprints of the text and image towers it joins.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, towers: [&str; 2], precision: Precision) -> Result<()> {
        let mut tensors = BTreeMap::new();
        for (place, member) in self.members.iter().enumerate() {
            member.export(&prefix(place), &mut tensors)?;
        }
        for (place, (member, _)) in self.beside.iter().enumerate() {
            member.export(&prefix_beside(place), &mut tensors)?;
        }
        let config = serde_json::to_string(&self.config()).expect("sizes are always JSON");
        let mut metadata = BTreeMap::from([
            ("config".to_owned(), config),
            ("text".to_owned(), towers[0].to_owned()),
            ("image".to_owned(), towers[1].to_owned()),
        ]);
        if let Some(hubness) = &self.hubness {
            let recorded = hubness.export(&mut tensors)?;
            let recorded = serde_json::to_string(&recorded).expect("numbers are always JSON");
            metadata.insert(HUBNESS.to_owned(), recorded);
        }
        let entries: Vec<_> = tensors
            .iter()
            .map(|(name, t)| (name.as_str(), t.shape.as_slice(), t.data.as_slice()))
            .collect();
        Ok(checkpoint::safetensors::write_as(path, &entries, &metadata, precision)?)
    }

    /// Reads `map.safetensors`. Returns the map and the fingerprints of the towers that it joins.
    ///
    /// # Errors
    /// If the file cannot be read or is not a map.
    pub fn load(path: &Path, device: &Device) -> Result<(Self, [String; 2])> {
        let metadata = checkpoint::safetensors::read_metadata(path)?;
        let malformed = |reason: String| ModelError::Settings { path: path.to_path_buf(), reason };
        let field = |name: &str| {
            metadata
                .get(name)
                .cloned()
                .ok_or_else(|| malformed(format!("no `{name}` in its metadata")))
        };
        let config: MapConfig =
            serde_json::from_str(&field("config")?).map_err(|e| malformed(e.to_string()))?;
        if let Some(fault) = config.fault() {
            return Err(malformed(fault));
        }
        let mut tensors = checkpoint::safetensors::read(path)?;
        let hubness = match metadata.get(HUBNESS) {
            Some(recorded) => {
                let recorded =
                    serde_json::from_str(recorded).map_err(|e| malformed(e.to_string()))?;
                let banks = Hubness::take(&mut tensors, &recorded, config.output());
                Some(banks.map_err(malformed)?)
            }
            None => None,
        };
        let map = Self::from_weights(&config, &Weights::fixed(tensors, device)?)?;
        Ok((map.with_hubness(hubness), [field("text")?, field("image")?]))
    }

    /// What the vectors of each head are multiplied by, so that the product of those of two sides is the mean of the heads' cosines.
    fn shares(&self) -> Vec<f64> {
        let weights = self.members.iter().map(|_| 1.0);
        let weights = weights.chain(self.beside.iter().map(|(_, weight)| *weight));
        let whole: f64 = weights.clone().sum();
        weights.map(|weight| (weight / whole).sqrt()).collect()
    }

    fn apply(
        &self,
        side: impl Fn(&Member) -> &Head,
        vectors: &EmbeddingMatrix,
    ) -> Result<EmbeddingMatrix> {
        let beside = self.beside.iter().map(|(member, _)| member);
        let heads: Vec<&Head> = self.members.iter().chain(beside).map(side).collect();
        let shares = self.shares();
        let dim = self.config().output();
        let mut out = Vec::with_capacity(vectors.len() * dim);
        for rows in vectors.as_slice().chunks(ROWS * vectors.dim()) {
            let shape = (rows.len() / vectors.dim(), vectors.dim());
            let rows = Tensor::from_slice(rows, shape, heads[0].device())?;
            let mapped = match heads[..] {
                [head] => head.forward(&rows)?,
                _ => {
                    let mapped = heads.iter().zip(&shares);
                    let mapped = mapped.map(|(head, share)| Ok((head.forward(&rows)? * *share)?));
                    Tensor::cat(&mapped.collect::<Result<Vec<_>>>()?, 1)?
                }
            };
            out.extend(mapped.flatten_all()?.to_vec1::<f32>()?);
        }
        EmbeddingMatrix::from_rows(dim, out).map_err(ModelError::from)
    }
}

impl Member {
    fn sizes(&self) -> (HeadConfig, HeadConfig) {
        (self.text.config().clone(), self.image.config().clone())
    }

    fn export(&self, prefix: &str, out: &mut BTreeMap<String, HostTensor>) -> Result<()> {
        self.text.export(&format!("{prefix}text"), out)?;
        self.image.export(&format!("{prefix}image"), out)
    }
}

/// What the names of a member's tensors begin with.
fn prefix(member: usize) -> String {
    match member {
        0 => String::new(),
        _ => format!("{member}."),
    }
}

/// And those of one beside the members.
fn prefix_beside(place: usize) -> String {
    match place {
        0 => "beside.".to_owned(),
        _ => format!("beside.{place}."),
    }
}

/// A tensor's values in the host's memory.
pub(crate) fn host(tensor: &Tensor) -> Result<HostTensor> {
    Ok(HostTensor { shape: tensor.dims().to_vec(), data: tensor.flatten_all()?.to_vec1()? })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const DIM: usize = 6;

    fn map(seed: u64) -> Map {
        let head = HeadConfig { input: DIM, linear: Some(4), hidden: Some(8) };
        let config = MapConfig { text: head.clone(), image: head, members: 1, beside: Vec::new() };
        Map::from_weights(&config, &Weights::trainable(seed, &Device::Cpu)).unwrap()
    }

    #[test]
    fn members_are_compared_by_the_mean_of_their_cosines() {
        let value = |i: usize| ((i * 37) % 17) as f32 / 8.0 - 1.0;
        let vectors = EmbeddingMatrix::from_rows(DIM, (0..2 * DIM).map(value).collect()).unwrap();
        let cosine = |map: &Map| -> f32 {
            let (text, image) =
                (map.map_texts(&vectors).unwrap(), map.map_images(&vectors).unwrap());
            text.row(0).iter().zip(image.row(1)).map(|(t, i)| t * i).sum()
        };
        let mean = (cosine(&map(1)) + cosine(&map(2))) / 2.0;
        let both = Map::side_by_side(vec![map(1), map(2)]);
        assert!((cosine(&both) - mean).abs() < 1e-6);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.safetensors");
        both.save(&path, ["t", "i"], Precision::F32).unwrap();
        let (read, _) = Map::load(&path, &Device::Cpu).unwrap();
        assert_eq!((read.config().members, read.dim()), (2, 8));
        assert!((cosine(&read) - mean).abs() < 1e-6);

        let own = Map::identity(DIM, &Device::Cpu).unwrap();
        let with_two = map(1).with_beside(&map(2), 1.0).with_beside(&own, 3.0);
        let mean = (cosine(&map(1)) + cosine(&map(2)) + 3.0 * cosine(&own)) / 5.0;
        with_two.save(&path, ["t", "i"], Precision::F32).unwrap();
        let (read, _) = Map::load(&path, &Device::Cpu).unwrap();
        assert_eq!(read.dim(), 4 + 4 + DIM);
        assert!((cosine(&read) - mean).abs() < 1e-6);

        let other = map(3).with_beside(&read, 0.5);
        let mean = (cosine(&map(3)) + 0.5 * mean) / 1.5;
        assert!((cosine(&other) - mean).abs() < 1e-6, "all of a map counts so much");
    }

    #[test]
    fn a_map_that_records_one_beside_it_and_no_weight_is_read() {
        let config = map(1).with_beside(&map(2), 1.0).config();
        let mut recorded = serde_json::to_value(&config).unwrap();
        recorded["beside"] = recorded["beside"][0].clone();
        recorded["beside"].as_object_mut().unwrap().remove("weight");
        assert_eq!(serde_json::from_value::<MapConfig>(recorded).unwrap(), config);
    }

    #[test]
    fn what_holds_hubs_back_is_kept_and_checked() {
        let bank = |seed: usize| {
            let value = |i: usize| ((i * 7919 + seed * 104_729) % 1013) as f32 / 506.5 - 1.0;
            EmbeddingMatrix::from_rows(4, (0..12 * 4).map(value).collect()).unwrap()
        };
        let restraint = Restraint { temperature: 0.05, weight: 0.5 };
        let hubness = Hubness::new(restraint, &bank(1), &bank(2)).unwrap();
        let restrained = map(1).with_hubness(Some(hubness));
        let vectors = EmbeddingMatrix::from_rows(DIM, vec![0.5; DIM]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.safetensors");
        restrained.save(&path, ["t", "i"], Precision::F32).unwrap();
        let (read, _) = Map::load(&path, &Device::Cpu).unwrap();
        assert_eq!(read.dim(), 6);
        assert_eq!(read.map_texts(&vectors).unwrap(), restrained.map_texts(&vectors).unwrap());
        assert_eq!(read.map_images(&vectors).unwrap(), restrained.map_images(&vectors).unwrap());

        let mut tensors = checkpoint::safetensors::read(&path).unwrap();
        let mut metadata = checkpoint::safetensors::read_metadata(&path).unwrap();
        let fault = |tensors: &checkpoint::Tensors, metadata: &BTreeMap<String, String>| {
            let entries: Vec<_> = tensors
                .iter()
                .map(|(name, t)| (name.as_str(), t.shape.as_slice(), t.data.as_slice()))
                .collect();
            checkpoint::safetensors::write(&path, &entries, metadata).unwrap();
            Map::load(&path, &Device::Cpu).err().unwrap().to_string()
        };
        let recorded = metadata["hubness"].clone();
        metadata.insert("hubness".into(), recorded.replace("0.05", "1e-50"));
        let error = fault(&tensors, &metadata);
        assert!(error.contains("finite"), "{error}");
        metadata.insert("hubness".into(), recorded);
        tensors.get_mut("hubness.text").unwrap().shape = vec![6, 8];
        let error = fault(&tensors, &metadata);
        assert!(error.contains("hubness.text") && error.contains("[6, 8]"), "{error}");
        assert!(
            restrained.map_texts(&EmbeddingMatrix::from_rows(3, vec![0.5; 6]).unwrap()).is_err()
        );
    }
}
