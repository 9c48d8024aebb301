//! MS-COCO-FG and Flickr30K-FG: captions that tell a photo from those like it.
//!
//! Chen et al. 2023, "Rethinking Benchmarks for Cross-modal Image-text Retrieval", wrote new captions for the test photos
//! of both. The file is a JSON object from a photo's base name without extension to its captions.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::entries;
use crate::DataError;

const SHAPE: &str = "{\"1007129816\":[\"a man in an orange hat\",…],…}, names without extension";

/// From a photo's name without extension to what captions are found by.
pub(super) type Key = fn(&str) -> &str;

/// Captions that replace those of a data set.
#[derive(Debug)]
pub(super) struct FineGrained {
    pub path: PathBuf,
    captions: HashMap<String, Vec<String>>,
    key: Key,
}

struct Document(HashMap<String, Vec<String>>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Captions;
        impl<'de> Visitor<'de> for Captions {
            type Value = Document;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from names to arrays of captions")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut captions = HashMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let texts = map
                        .next_value::<Vec<String>>()
                        .map_err(|error| A::Error::custom(format!("field `{name}`: {error}")))?;
                    if captions.insert(name.clone(), texts).is_some() {
                        return Err(A::Error::custom(format!("field `{name}` is there twice")));
                    }
                }
                Ok(Document(captions))
            }
        }
        deserializer.deserialize_map(Captions)
    }
}

impl FineGrained {
    /// Reads a file; `key` says which photo a name means.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Json`] with the name, [`DataError::NotFound`] if it is empty.
    pub fn read(path: &Path, key: Key) -> Result<Self, DataError> {
        let Document(named) = entries::read(path, SHAPE)?;
        if named.is_empty() {
            let expected = "captions by the names of photos".into();
            return Err(DataError::NotFound { path: path.to_owned(), expected });
        }
        let mut captions = HashMap::with_capacity(named.len());
        for (name, texts) in named {
            if captions.insert(key(&name).to_owned(), texts).is_some() {
                let source =
                    serde_json::Error::custom(format!("field `{name}`: its photo is there twice"));
                return Err(DataError::Json { path: path.to_owned(), source, shape: SHAPE });
            }
        }
        Ok(Self { path: path.to_owned(), captions, key })
    }

    /// How many photos it names.
    pub fn len(&self) -> usize {
        self.captions.len()
    }

    /// The captions of a photo by its file name.
    pub fn of(&self, file_name: &str) -> Option<&[String]> {
        let stem = Path::new(file_name).file_stem()?.to_str()?;
        self.captions.get((self.key)(stem)).map(Vec::as_slice)
    }
}

/// Names as they are.
pub(super) fn whole(stem: &str) -> &str {
    stem
}

/// Flickr's number of a photo: a name of Flickr8K is that of Flickr30K, an underscore and more.
pub(super) fn flickr(stem: &str) -> &str {
    stem.split('_').next().unwrap_or(stem)
}

/// COCO's number of a photo: `COCO_val2014_000000391895` and `000000391895` are one.
pub(super) fn coco(stem: &str) -> &str {
    stem.rsplit('_').next().unwrap_or(stem).trim_start_matches('0')
}
