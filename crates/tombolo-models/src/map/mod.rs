//! The map that joins the two spaces: closed forms in seconds, or a head trained by a stage.

mod closed;
mod config;
mod head;
mod hubness;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use tombolo_vectors::EmbeddingMatrix;

pub use closed::{Moments, Pairs};
pub use config::{BesideConfig, MapConfig};
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

    /// What all that it is made of counts, where a member counts 1.
    pub fn weight(&self) -> f64 {
        self.parts().map(|(_, weight)| weight).sum()
    }

    /// What it is made of, and how much each counts.
    fn parts(&self) -> impl Iterator<Item = (&Member, f64)> {
        let members = self.members.iter().map(|member| (member, 1.0));
        members.chain(self.beside.iter().map(|(member, weight)| (member, *weight)))
    }

    /// What this map is made of, and beside it what the other is made of, which counts as `weight` members do. Neither holds hubs
    /// back any more.
    #[must_use]
    pub fn with_beside(self, other: &Self, weight: f64) -> Self {
        let whole = other.weight();
        let added = other.parts().map(|(part, share)| (part.clone(), weight * share / whole));
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
        // What nearly equal vectors are standardised by is beyond what halves hold.
        let stored = |name: &str| match name.ends_with(".mean") || name.ends_with(".scale") {
            true => Precision::F32,
            false => precision,
        };
        Ok(checkpoint::safetensors::write_each(path, &entries, &metadata, &stored)?)
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
        let whole = self.weight();
        self.parts().map(|(_, weight)| (weight / whole).sqrt()).collect()
    }

    fn apply(
        &self,
        side: impl Fn(&Member) -> &Head,
        vectors: &EmbeddingMatrix,
    ) -> Result<EmbeddingMatrix> {
        let heads: Vec<&Head> = self.parts().map(|(part, _)| side(part)).collect();
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
    fn a_map_of_nearly_equal_vectors_is_kept_in_halves() {
        let vectors = |scale: f32| -> Vec<f32> {
            (0..6 * DIM).map(|i| 0.3 + scale * ((i * 37) % 17) as f32).collect()
        };
        let (texts, images) = (vectors(0.1), vectors(1e-6));
        let pairs = Pairs {
            texts: &texts,
            text_dim: DIM,
            images: &images,
            image_dim: DIM,
            image_of_text: &[0, 1, 2, 3, 4, 5],
        };
        let map = Moments::of(pairs).procrustes(&Device::Cpu).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.safetensors");
        map.save(&path, ["t", "i"], Precision::F16).unwrap();
        let (read, _) = Map::load(&path, &Device::Cpu).unwrap();
        let images = EmbeddingMatrix::from_rows(DIM, images).unwrap();
        let (kept, whole) = (read.map_images(&images).unwrap(), map.map_images(&images).unwrap());
        for (kept, whole) in kept.as_slice().iter().zip(whole.as_slice()) {
            assert!((kept - whole).abs() < 2e-2, "{kept} {whole}");
        }
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
