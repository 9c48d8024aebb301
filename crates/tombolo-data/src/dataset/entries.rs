//! Arrays of JSON documents, whose errors say which element is wrong.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::marker::PhantomData;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, SeqAccess, Visitor};

use crate::DataError;

/// An element of an array that has a name.
pub(super) trait Entry {
    /// The field that holds the array.
    const ARRAY: &'static str;
}

/// The elements of an array.
pub(super) struct Entries<T>(pub Vec<T>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Entry + Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

struct Elements<T>(PhantomData<T>);

impl<'de, T: Entry + Deserialize<'de>> Visitor<'de> for Elements<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {}", T::ARRAY)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Entries<T>, A::Error> {
        let mut read = Vec::new();
        let named = |error, index| A::Error::custom(format!("{}[{index}]: {error}", T::ARRAY));
        while let Some(element) =
            elements.next_element().map_err(|error| named(error, read.len()))?
        {
            read.push(element);
        }
        Ok(Entries(read))
    }
}

/// Reads a JSON document piece by piece: only what `T` keeps is held. `shape` is what an error's hint shows.
///
/// # Errors
/// [`DataError::Read`] and [`DataError::Json`].
pub(super) fn read<T: DeserializeOwned>(path: &Path, shape: &'static str) -> Result<T, DataError> {
    let cannot_read = |source| DataError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(cannot_read)?;
    serde_json::from_reader(BufReader::with_capacity(1 << 16, file)).map_err(|source| {
        if source.is_io() {
            cannot_read(source.into())
        } else {
            DataError::Json { path: path.to_owned(), source, shape }
        }
    })
}

/// That a document lacks a field.
pub(super) fn lacks(path: &Path, field: &str, shape: &'static str) -> DataError {
    let source = serde_json::Error::custom(format!("field `{field}` is missing"));
    DataError::Json { path: path.to_owned(), source, shape }
}
