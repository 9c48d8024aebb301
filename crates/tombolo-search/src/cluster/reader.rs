use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use half::f16;
use half::slice::HalfFloatSliceExt;
use tombolo_vectors::{F16Rows, VectorError};

use super::access::Access;
use super::address::Address;
use super::connection::{Connection, Query};
use super::passing::{one_of, quoted};
use super::schema::{self, Photo, RECORD, VECTOR};
use crate::library::{Facets, Item, Page, PageOptions, SearchOptions, Wanted};
use crate::{GalleryMap, Retriever, SearchError};

/// Bytes of vectors in one message; a client takes 4 MiB at most.
const MESSAGE: usize = 2 << 20;

/// Most rows of a message, whatever their vectors.
const MAX_ROWS: usize = 1_000;

/// Photos that typical scores are measured on.
const SAMPLE: usize = 2_000;

/// What a collection remembers of where its vectors come from.
const FORMAT: &str = "tombolo.format";
const IMAGE_TOWER: &str = "tombolo.image_tower";
const MAP: &str = "tombolo.map";
const MODEL: &str = "tombolo.model";

/// The layout of the fields that this program writes.
const THIS_FORMAT: &str = "1";

/// Where the vectors of a collection come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Fingerprint of the image tower.
    pub image_tower: String,
    /// Fingerprint of the map.
    pub map: String,
    /// Components of a mapped vector.
    pub dim: usize,
    /// Where the model was, so that a search need not name it.
    pub model: Option<PathBuf>,
}

/// A collection of a Milvus cluster, opened. Threads may share it.
pub struct Cluster {
    pub(super) connection: Connection,
    origin: Origin,
    /// Vectors of some photos, and of how many.
    sample: Mutex<Option<(usize, Arc<F16Rows>)>>,
}

impl Cluster {
    /// Opens the collection at `milvus://HOST:PORT/COLLECTION`.
    ///
    /// # Errors
    /// [`SearchError::Address`]; [`SearchError::NoCollection`], also for one that is not ours; [`SearchError::Cluster`].
    pub fn open(address: &str, access: &Access) -> Result<Self, SearchError> {
        let connection = Connection::open(address.parse()?, access)?;
        let origin = origin(&connection)?;
        connection.load()?;
        Ok(Self { connection, origin, sample: Mutex::new(None) })
    }

    /// Opens the collection for vectors of this origin, and makes it if it is not there.
    ///
    /// # Errors
    /// As [`Cluster::open`]; [`SearchError::OtherModel`] or [`SearchError::OtherMap`] if it holds others.
    pub fn open_or_create(
        address: &str,
        origin: &Origin,
        access: &Access,
    ) -> Result<Self, SearchError> {
        let address: Address = address.parse()?;
        let connection = Connection::open(address, access)?;
        let found = match self::origin(&connection) {
            Err(SearchError::NoCollection { .. }) => {
                connection.create(origin.dim, properties(origin))?;
                connection.index()?;
                self::origin(&connection)?
            }
            found => found?,
        };
        let cluster = Self { connection, origin: found, sample: Mutex::new(None) };
        cluster.require(&origin.image_tower, &origin.map)?;
        // Whoever made it may have been stopped before the index was there.
        cluster.connection.load().or_else(|_| {
            cluster.connection.index()?;
            cluster.connection.load()
        })?;
        Ok(cluster)
    }

    /// `milvus://HOST:PORT/COLLECTION`
    pub fn address(&self) -> String {
        self.connection.address().to_string()
    }

    /// The model that its vectors come from, if it is known.
    pub fn model(&self) -> Option<&Path> {
        self.origin.model.as_deref()
    }

    /// Components of its vectors.
    pub fn dim(&self) -> usize {
        self.origin.dim
    }

    /// Photos whose vectors fit one message.
    pub(super) fn rows_of_a_message(&self) -> usize {
        (MESSAGE / (self.dim().max(1) * size_of::<f32>())).clamp(1, MAX_ROWS)
    }

    /// Adds photos, or replaces those of the same id.
    pub(super) fn upsert(&self, photos: &[Photo]) -> Result<(), SearchError> {
        photos
            .chunks(self.rows_of_a_message())
            .try_for_each(|photos| self.connection.upsert(photos))
    }

    /// Forgets photos by their ids; those that are not there are no error.
    ///
    /// # Errors
    /// [`SearchError::Cluster`].
    pub fn delete(&self, ids: &[String]) -> Result<(), SearchError> {
        ids.chunks(MAX_ROWS).try_for_each(|ids| self.connection.delete(&one_of("id", ids)?))
    }

    /// The records of these ids, in their order; without those that are gone.
    pub(super) fn items(&self, ids: &[String]) -> Result<Vec<Item>, SearchError> {
        let mut items = HashMap::new();
        for ids in ids.chunks(MAX_ROWS) {
            let found = self.connection.query(Query {
                expression: &one_of("id", ids)?,
                fields: &RECORD,
                offset: None,
                read: &mut schema::item,
            })?;
            items.extend(found.into_iter().map(|item| (item.id.clone(), item)));
        }
        Ok(ids.iter().filter_map(|id| items.remove(id)).collect())
    }

    /// The vectors of these ids, as far as they are there.
    pub(super) fn vectors(&self, ids: &[String]) -> Result<HashMap<String, Vec<f32>>, SearchError> {
        let mut vectors = HashMap::new();
        for ids in ids.chunks(self.rows_of_a_message()) {
            vectors.extend(self.connection.query(Query {
                expression: &one_of("id", ids)?,
                fields: &["id", VECTOR],
                offset: None,
                read: &mut |row| {
                    Ok((row.get_str("id")?.to_owned(), row.get_float_vector(VECTOR)?.to_vec()))
                },
            })?);
        }
        Ok(vectors)
    }

    /// Vectors as a library on disk compares them: they were rounded to halves before they were sent.
    pub(super) fn halves<'a>(
        &self,
        vectors: impl Iterator<Item = &'a Vec<f32>>,
    ) -> Result<F16Rows, SearchError> {
        let mut values = Vec::new();
        for vector in vectors {
            let start = values.len();
            values.resize(start + vector.len(), f16::ZERO);
            values[start..].convert_from_f32_slice(vector);
        }
        F16Rows::from_vec(self.dim(), values).map_err(|source| self.damaged(source))
    }

    pub(super) fn damaged(&self, source: VectorError) -> SearchError {
        let path = self.address().into();
        match source {
            VectorError::Dim { expected, found } => {
                SearchError::Dim { path, what: "a query", expected, found }
            }
            source => SearchError::Vectors { path, source },
        }
    }

    /// Vectors of about 2,000 photos, or of all if there are fewer, each content once. Ids are hashes of paths, so those
    /// below a bound are as good as drawn.
    pub(super) fn sample(&self) -> Result<Arc<F16Rows>, SearchError> {
        let count = self.len()?;
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rows)) = sample.as_ref().filter(|(of, _)| *of == count) {
            return Ok(Arc::clone(rows));
        }
        let expression = below(SAMPLE, count);
        // In the order of the library that was copied, so that sums come out as they do there.
        let mut vectors = BTreeMap::new();
        let limit = self.rows_of_a_message();
        for offset in (0..).step_by(limit) {
            let some = self.connection.query(Query {
                expression: &expression,
                fields: &["row", VECTOR],
                offset: Some((offset, limit)),
                read: &mut |row| Ok((row.get_i64("row")?, row.get_float_vector(VECTOR)?.to_vec())),
            })?;
            let last = some.len() < limit;
            vectors.extend(some);
            if last {
                break;
            }
        }
        let rows = Arc::new(self.halves(vectors.values())?);
        *sample = Some((count, Arc::clone(&rows)));
        Ok(rows)
    }
}

/// What about `wanted` of `count` ids pass, which are 16 digits of a hash; empty for all.
pub(super) fn below(wanted: usize, count: usize) -> String {
    if count <= wanted {
        return String::new();
    }
    let bound = (u128::from(u64::MAX) * wanted as u128 / count as u128) as u64;
    format!("id < \"{bound:016x}\"")
}

fn properties(origin: &Origin) -> Vec<(String, String)> {
    let model = origin.model.as_ref().and_then(|model| model.to_str()).unwrap_or_default();
    [(FORMAT, THIS_FORMAT), (IMAGE_TOWER, &origin.image_tower), (MAP, &origin.map), (MODEL, model)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
}

fn origin(connection: &Connection) -> Result<Origin, SearchError> {
    let (properties, dim) = connection.describe()?;
    let of = |key: &str| properties.get(key).cloned().unwrap_or_default();
    let found = of(FORMAT);
    if found != THIS_FORMAT {
        let address = connection.address().to_string();
        return Err(SearchError::ForeignCollection { address, found });
    }
    let model = Some(of(MODEL)).filter(|model| !model.is_empty()).map(PathBuf::from);
    Ok(Origin { image_tower: of(IMAGE_TOWER), map: of(MAP), dim, model })
}

impl Retriever for Cluster {
    fn require(&self, image_tower: &str, map: &str) -> Result<(), SearchError> {
        let path = || PathBuf::from(self.address());
        if self.origin.image_tower != image_tower {
            let (expected, found) = (self.origin.image_tower.clone(), image_tower.to_owned());
            return Err(SearchError::OtherModel { path: path(), expected, found });
        }
        if self.origin.map != map {
            let (expected, found) = (self.origin.map.clone(), map.to_owned());
            return Err(SearchError::OtherMap { path: path(), expected, found });
        }
        Ok(())
    }

    fn len(&self) -> Result<usize, SearchError> {
        self.connection.count("")
    }

    fn item(&self, id: &str) -> Result<Option<Item>, SearchError> {
        Ok(self.items(&[id.to_owned()])?.into_iter().next())
    }

    fn tags(&self, item: &Item) -> Result<Vec<String>, SearchError> {
        let tags = self.connection.query(Query {
            expression: &format!("id == {}", quoted("id", &item.id)?),
            fields: &["tags"],
            offset: None,
            read: &mut schema::tags,
        })?;
        Ok(tags.into_iter().next().unwrap_or_default())
    }

    fn mapped_vector_of(&self, item: &Item, map: &dyn GalleryMap) -> Result<Vec<f32>, SearchError> {
        self.require(&self.origin.image_tower, map.fingerprint())?;
        let vectors = self.vectors(std::slice::from_ref(&item.id))?;
        let gone = || self.damaged(VectorError::Len { expected: 1, found: 0 });
        vectors.into_values().next().ok_or_else(gone)
    }

    fn facets(&self) -> Result<Facets, SearchError> {
        super::facets::facets(self)
    }

    fn find(
        &self,
        wanted: &Wanted,
        options: &SearchOptions<'_>,
        which: &PageOptions,
    ) -> Result<Page, SearchError> {
        let map = options.map.map_or("", |map| map.fingerprint());
        self.require(&self.origin.image_tower, map)?;
        super::page::page(self, wanted, options.top, which)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_ids_passes() {
        assert_eq!(below(10, 10), "");
        assert_eq!(below(1, 4), "id < \"3fffffffffffffff\"");
    }
}
