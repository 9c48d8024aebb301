//! A library searched and filled with a trained model.

use std::path::{Path, PathBuf};

use tombolo_data::image::Decoded;
use tombolo_models::image::Preprocessing;
use tombolo_models::map::Map;
use tombolo_models::model::ImageTower;
use tombolo_models::pull::Store;
use tombolo_search::{
    BoxError, GalleryMap, ImageEncoder, Library, Order, Page, PageOptions, SearchOptions, Wanted,
};
use tombolo_vectors::EmbeddingMatrix;

use crate::cli::{Misuse, Terminal};
use crate::model::{Encoder, PHOTOS};

/// The file in a library that says which model it was last indexed with.
const MODEL_FILE: &str = "model.path";

/// An image tower as a library asks for it.
pub struct TowerEncoder<'a> {
    tower: &'a ImageTower,
    preprocessing: Preprocessing,
    fingerprint: String,
}

impl<'a> TowerEncoder<'a> {
    /// The image tower of a model.
    pub fn new(encoder: &'a Encoder, terminal: &Terminal) -> anyhow::Result<Self> {
        let tower = encoder.image_tower(terminal)?;
        let file = encoder.model().file().image.as_ref();
        let fingerprint = file.map(|file| file.fingerprint.clone()).unwrap_or_default();
        Ok(Self { tower, preprocessing: tower.preprocessing().clone(), fingerprint })
    }
}

impl ImageEncoder for TowerEncoder<'_> {
    type Input = Vec<f32>;

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn dim(&self) -> usize {
        self.tower.dim()
    }

    fn batch_size(&self) -> usize {
        PHOTOS
    }

    fn prepare(&self, photo: Decoded) -> Self::Input {
        self.preprocessing.apply(&photo.pixels)
    }

    fn encode(&self, batch: &[Self::Input]) -> Result<EmbeddingMatrix, BoxError> {
        Ok(self.tower.embed(batch)?)
    }
}

/// The image side of a map, as a library asks for it.
pub struct ImageSide<'a> {
    map: &'a Map,
    fingerprint: &'a str,
}

impl<'a> ImageSide<'a> {
    /// The map of a model.
    pub fn new(encoder: &'a Encoder) -> anyhow::Result<Self> {
        Ok(Self { map: encoder.map()?, fingerprint: encoder.map_fingerprint()? })
    }
}

impl GalleryMap for ImageSide<'_> {
    fn fingerprint(&self) -> &str {
        self.fingerprint
    }

    fn dim(&self) -> usize {
        self.map.dim()
    }

    fn apply(&self, vectors: &EmbeddingMatrix) -> Result<EmbeddingMatrix, BoxError> {
        Ok(self.map.map_images(vectors)?)
    }
}

/// Records in a library which model it is indexed with, so that a search needs not name it.
pub fn remember_model(library: &Path, model: &Path) -> anyhow::Result<()> {
    let absolute = std::path::absolute(model)?;
    let text = absolute.to_str().ok_or_else(|| {
        Misuse::new(format!("{} is not UTF-8", absolute.display()), "move the model elsewhere")
    })?;
    Ok(tombolo_models::checkpoint::write_atomically(&library.join(MODEL_FILE), |file| {
        std::io::Write::write_all(file, text.as_bytes())
    })?)
}

/// The model that the user named, or the one that the library was last indexed with.
pub fn model_of(library: &Path, named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(model) = named.or_else(|| remembered(library)) {
        return Ok(model);
    }
    if !library.join("library.toml").exists() {
        let what = format!("{}: there is no library here", library.display());
        return Err(Misuse::new(what, "`tombolo index FOLDER` makes one").into());
    }
    let what = format!("{}: it is not known which model this library is of", library.display());
    Err(Misuse::new(what, "name it with --model RUN").into())
}

/// The model that a library was last indexed with, if it says so.
pub fn remembered(library: &Path) -> Option<PathBuf> {
    std::fs::read_to_string(library.join(MODEL_FILE)).ok().map(PathBuf::from)
}

/// The library that the user named, or the user's own: `library` in the folder of models.
pub fn library_dir(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match named {
        Some(library) => Ok(library),
        None => Ok(Store::from_env()?.home().join("library")),
    }
}

/// A page; through the graph of a large library where the first hits of one vector are asked for.
pub fn page(
    library: &Library,
    wanted: &Wanted,
    options: &SearchOptions<'_>,
    which: &PageOptions,
) -> anyhow::Result<Page> {
    let plain = which.filter.is_empty() && which.order == Order::Match && which.after.is_none();
    match wanted {
        Wanted::Near(query) if plain => {
            let mut hits = library.search(query, options)?;
            let full = hits.len() == options.top;
            let least = which.least.unwrap_or(f64::NEG_INFINITY);
            hits.retain(|hit| f64::from(hit.score) >= least);
            let whole = full && hits.len() == options.top;
            let next = hits.last().filter(|_| whole).map(|hit| hit.cursor(which.order));
            Ok(Page { hits, next })
        }
        _ => Ok(library.page(wanted, options, which)?),
    }
}
