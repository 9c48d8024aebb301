//! A library searched and filled with a trained model.

use std::path::{Path, PathBuf};

use tombolo_data::dataset::{ImageSource, emoji};
use tombolo_data::image::Decoded;
use tombolo_models::image::Preprocessing;
use tombolo_models::map::Map;
use tombolo_models::model::ImageTower;
use tombolo_models::pull::Store;
#[cfg(feature = "milvus")]
use tombolo_search::{Access, Tls};
use tombolo_search::{
    BoxError, GalleryMap, ImageEncoder, Item, Library, LibraryWriter, Retriever, SearchError,
};
use tombolo_vectors::EmbeddingMatrix;

use crate::cli::{Misuse, Terminal};
use crate::model::{Encoder, PHOTOS};
use crate::starter;

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
        let fingerprint = encoder.model().image_fingerprint()?;
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

/// A path as libraries have it, without links and dots on the way; one that is not there is made absolute.
pub fn known_path(path: &Path) -> std::io::Result<PathBuf> {
    tombolo_search::absolute(path).or_else(|_| std::path::absolute(path))
}

/// Where the photo of a record is: a file, or an emoji of the embedded set.
pub fn source_of(item: &Item) -> ImageSource {
    source_at(&item.path)
}

fn source_at(path: &str) -> ImageSource {
    let emoji = path.strip_prefix("emoji:").and_then(emoji::source);
    emoji.unwrap_or_else(|| ImageSource::File(path.into()))
}

/// Records in a library which model it is indexed with, so that a search needs not name it.
pub fn remember_model(library: &Path, model: &Path) -> anyhow::Result<()> {
    let absolute = std::path::absolute(model)?;
    let text = absolute.to_str().ok_or_else(|| {
        Misuse::new(format!("{} is not UTF-8", absolute.display()), "move the model elsewhere")
    })?;
    let path = library.join(MODEL_FILE);
    let write = tombolo_models::checkpoint::write_atomically(&path, |file| {
        std::io::Write::write_all(file, text.as_bytes())
    });
    Ok(write.map_err(|source| SearchError::Io { path, source })?)
}

/// Removes a library with what it remembers, and nothing else that lies in its folder.
pub fn remove(library: &Path) -> anyhow::Result<()> {
    // First: without the rest, the folder would be one of a user's own files.
    match std::fs::remove_file(library.join(MODEL_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(LibraryWriter::remove(library)?)
}

/// A library that is there to search, and the model that it was last filled with.
pub struct Opened {
    /// Where photos are found.
    pub photos: Box<dyn Retriever>,
    /// As the user named it.
    name: PathBuf,
    model: Option<PathBuf>,
}

impl Opened {
    /// Opens a folder, or a cluster's collection by its address.
    pub fn open(name: &Path) -> anyhow::Result<Self> {
        if is_cluster(name) {
            return cluster(name);
        }
        if !name.join("library.toml").exists() {
            let what = format!("{}: there is no library here", name.display());
            return Err(Misuse::new(what, "`tombolo index FOLDER` makes one").into());
        }
        let photos = Box::new(Library::open(name)?);
        Ok(Self { photos, name: name.to_owned(), model: remembered(name) })
    }

    /// Refuses another model than the one whose image tower made the vectors, by the names that users know.
    pub fn require(&self, model: &Path, image_tower: &str, map: &str) -> anyhow::Result<()> {
        match (self.photos.require(image_tower, map), &self.model) {
            (Err(SearchError::OtherModel { .. }), Some(own))
                if std::path::absolute(model).is_ok_and(|model| model != *own) =>
            {
                let (library, own, other) = (self.name.display(), called(own), called(model));
                let own = if own == other { format!("an older {own}") } else { own };
                let what = format!(
                    "{library} was indexed with {own}, and {other} looks at photos in another way"
                );
                let hint = "leave out --model (and TOMBOLO_MODEL), or index the photos into a new --library with it";
                Err(Misuse::new(what, hint).into())
            }
            (required, _) => Ok(required?),
        }
    }

    /// The model that the user named, or the one that the library was last filled with.
    pub fn model(&self, named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
        let unknown = || {
            let what =
                format!("{}: it is not known which model this library is of", self.name.display());
            Misuse::new(what, "name it with --model RUN").into()
        };
        named.or_else(|| self.model.clone()).ok_or_else(unknown)
    }
}

/// What a model is called: a starter by its name, another by its path.
fn called(model: &Path) -> String {
    starter::name_of(model).map_or_else(|| model.display().to_string(), str::to_owned)
}

#[cfg(feature = "milvus")]
fn cluster(name: &Path) -> anyhow::Result<Opened> {
    let cluster = tombolo_search::Cluster::open(&name.to_string_lossy(), &access()?)?;
    let model = cluster.model().map(Path::to_owned);
    Ok(Opened { photos: Box::new(cluster), name: name.to_owned(), model })
}

/// What is shown to a cluster: secrets belong into no command line, so all of it comes from the environment.
///
/// # Errors
/// If `TOMBOLO_MILVUS_TLS` is neither true nor false.
#[cfg(feature = "milvus")]
pub fn access() -> anyhow::Result<Access> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let tls = match (variable("TOMBOLO_MILVUS_CA"), variable("TOMBOLO_MILVUS_TLS").as_deref()) {
        (Some(file), None | Some("true")) => Tls::Authority(file.into()),
        (None, Some("true")) => Tls::System,
        (_, None | Some("false")) => Tls::Off,
        (_, Some(other)) => {
            let what = format!("TOMBOLO_MILVUS_TLS: expected true or false, found {other}");
            return Err(Misuse::new(what, "TOMBOLO_MILVUS_CA alone asks for TLS too").into());
        }
    };
    Ok(Access { token: variable("TOMBOLO_MILVUS_TOKEN"), tls })
}

#[cfg(not(feature = "milvus"))]
fn cluster(name: &Path) -> anyhow::Result<Opened> {
    Err(without_clusters(&name.to_string_lossy()).into())
}

/// That this program cannot do what was asked.
#[cfg(not(feature = "milvus"))]
pub fn without_clusters(address: &str) -> Misuse {
    let what = format!("{address}: this program was built without clusters");
    Misuse::new(what, "build it with `cargo build --release --features milvus`")
}

/// Whether a library is the address of a cluster's collection, and not a folder.
pub fn is_cluster(name: &Path) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("milvus://"))
}

/// The model that a library was last indexed with, if it says so.
pub fn remembered(library: &Path) -> Option<PathBuf> {
    std::fs::read_to_string(library.join(MODEL_FILE)).ok().map(PathBuf::from)
}

/// The library that the user named, or the user's own: `library` in the folder of models.
pub fn library_name(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match named {
        Some(library) => Ok(library),
        None => Ok(Store::from_env()?.home().join("library")),
    }
}

/// The same, where only a folder will do.
pub fn library_dir(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let library = library_name(named)?;
    if is_cluster(&library) {
        let what = format!("{}: expected a folder, found a cluster", library.display());
        let hint = "name the folder that `tombolo library copy` brought there";
        return Err(Misuse::new(what, hint).into());
    }
    Ok(library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_no_file() {
        assert!(matches!(source_at("emoji:1f98b"), ImageSource::Embedded { .. }));
        assert!(matches!(source_at("/photos/emoji.jpg"), ImageSource::File(_)));
    }
}
