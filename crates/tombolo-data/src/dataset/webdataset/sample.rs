//! What the members of one sample say together.

use std::path::Path;

use serde::Deserialize;

use crate::dataset::collection::{Builder, FoundImage};
use crate::dataset::{ImageSource, Split};
use crate::{DataError, Place};

const SHAPE: &str =
    "{\"caption\":…} or {\"captions\":[…]}, and \"label\", \"labels\" or \"split\" if known";

/// A sample while it is gathered.
#[derive(Default)]
pub(super) struct Sample {
    /// Where its first member begins, in bytes.
    pub place: Option<u64>,
    /// Its picture.
    pub image: Option<ImageSource>,
    /// Of its text file.
    pub captions: Option<Vec<String>>,
    /// Of its class file.
    pub label: Option<String>,
    json: Json,
}

#[derive(Default, Deserialize)]
struct Json {
    caption: Option<Texts>,
    captions: Option<Texts>,
    text: Option<Texts>,
    label: Option<Texts>,
    labels: Option<Texts>,
    split: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
enum Texts {
    One(String),
    Many(Vec<String>),
    /// Classes are often numbers.
    Number(i64),
}

impl Texts {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
            Self::Number(number) => vec![number.to_string()],
        }
    }
}

impl Sample {
    /// Reads what a JSON member says; fields of other names are passed over.
    pub fn read_json(&mut self, path: &Path, text: &str) -> Result<(), DataError> {
        self.json = serde_json::from_str(text).map_err(|source| DataError::Json {
            path: path.to_owned(),
            source,
            shape: SHAPE,
        })?;
        Ok(())
    }

    /// Adds it to the data set; one without a picture is left out with a warning.
    pub fn add_to(
        self,
        builder: &mut Builder,
        (shard, name): (&Path, &str),
        key: &str,
        split: Option<Split>,
    ) -> Result<(), DataError> {
        let id = format!("{name}/{key}");
        let Some(source) = self.image else {
            builder.skip_in(shard, format!("sample {key}"), "it has no picture".into());
            return Ok(());
        };
        let Json { caption, captions, text, label, labels, split: named } = self.json;
        let place = Place::Byte(self.place.unwrap_or_default());
        let named = named.map(|name| {
            name.parse::<Split>().map_err(|_| DataError::InvalidField {
                path: shard.to_owned(),
                place,
                field: "split",
                expected: "train, val or test".into(),
                found: name,
            })
        });
        let split = named.transpose()?.or(split).unwrap_or_else(|| Split::by_hash(&id));
        let of_json = [label, labels].into_iter().flatten().flat_map(Texts::into_vec);
        let labels = self.label.into_iter().chain(of_json).map(|label| label.trim().to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let slot = builder.add_image(place, FoundImage { id, source, split, labels })?;
        let of_json = || {
            let texts = [caption, captions, text].into_iter().flatten();
            texts.flat_map(Texts::into_vec).collect()
        };
        for caption in self.captions.unwrap_or_else(of_json) {
            builder.add_text(place, slot, &caption);
        }
        Ok(())
    }
}
