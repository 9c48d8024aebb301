//! Collections of a Milvus cluster, filled from libraries on disk.

use std::path::{Path, PathBuf};

#[cfg(feature = "milvus")]
use serde_json::json;
use tombolo_models::pull::Store;
use tombolo_search::Shard;
#[cfg(feature = "milvus")]
use tombolo_search::{Cluster, Copied, GalleryMap, Origin, SearchError};

use super::Global;
#[cfg(feature = "milvus")]
use super::library::say;
use super::terminal::Terminal;
#[cfg(feature = "milvus")]
use crate::{
    library::{ImageSide, Opened, access},
    model::Encoder,
};
#[cfg(feature = "milvus")]
use tombolo_search::Library;

/// The library from which a collection is brought up to date where photos are indexed straight into one: beside the
/// models, one for each address and part.
pub fn staging(address: &str, shard: Option<Shard>) -> anyhow::Result<PathBuf> {
    let part =
        shard.map_or(String::new(), |shard| format!("{} of {}", shard.index(), shard.count()));
    let hash = blake3::hash(format!("{address} {part}").as_bytes()).to_hex();
    let plain =
        address.trim_start_matches("milvus://").replace(|c: char| !c.is_alphanumeric(), "-");
    Ok(Store::from_env()?.home().join("clusters").join(format!("{plain}-{}", &hash[..8])))
}

/// Makes sure that a cluster answers, before hours are spent on what it is to hold.
#[cfg(feature = "milvus")]
pub fn reach(address: &str) -> anyhow::Result<()> {
    match Cluster::open(address, &access()?) {
        Ok(_) | Err(SearchError::NoCollection { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// That this program cannot.
#[cfg(not(feature = "milvus"))]
pub fn reach(address: &str) -> anyhow::Result<()> {
    Err(crate::library::without_clusters(address).into())
}

/// Makes a collection hold what a library does, and tells what it came to.
#[cfg(feature = "milvus")]
pub fn copy(
    (from, to): (&Path, &str),
    model: Option<PathBuf>,
    shard: Option<Shard>,
    global: &Global,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let library = Library::open(from)?;
    let encoder = Encoder::open(&Opened::open(from)?.model(model)?, global, terminal)?;
    library.require_model(&encoder.model().image_fingerprint()?)?;
    let map = ImageSide::new(&encoder)?;
    let origin = Origin {
        image_tower: library.fingerprint().to_owned(),
        map: map.fingerprint().to_owned(),
        dim: map.dim(),
        model: Some(std::path::absolute(encoder.model().dir())?),
    };
    let cluster = Cluster::open_or_create(to, &origin, &access()?)?;
    terminal.begin("photos", Some(library.len()? as u64));
    let progress = &mut |done: usize, _| terminal.advance(done as u64, None);
    let copied = cluster.copy(&library, &map, shard, progress)?;
    terminal.end_bar();
    let Copied { photos, sent, removed } = copied;
    let text = format!("{photos} photos in {to}: {sent} sent, {removed} removed");
    let document = json!({ "to": to, "photos": photos, "sent": sent, "removed": removed });
    say(terminal, &document, &text)
}

/// That this program cannot.
#[cfg(not(feature = "milvus"))]
pub fn copy(
    (_, to): (&Path, &str),
    _: Option<PathBuf>,
    _: Option<Shard>,
    _: &Global,
    _: &Terminal,
) -> anyhow::Result<()> {
    Err(crate::library::without_clusters(to).into())
}
