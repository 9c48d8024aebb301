//! What all requests share.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use lru::LruCache;
use tokio::sync::Semaphore;
use tombolo_search::{Item, Retriever};

use super::engine::Engines;
use super::error::ApiError;
use super::metrics::Metrics;

/// Thumbnails kept in memory: about 60 MB.
const THUMBNAILS: NonZeroUsize = NonZeroUsize::new(2_000).expect("not zero");

/// MiB of bodies held at once: one for each connection, or sixteen of the largest.
const BODIES: usize = 512;

/// What all requests share.
pub struct State {
    /// The library.
    pub library: Arc<dyn Retriever>,
    /// The model.
    pub engines: Engines,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What clients call the model.
    pub model_name: String,
    /// Hash of the token that clients must show, if they must.
    pub token: Option<blake3::Hash>,
    /// Requests that may be answered at once.
    pub slots: Semaphore,
    /// Of those, how many may compute.
    pub workers: Arc<Semaphore>,
    /// MiB of bodies that may be held at once.
    pub bodies: Semaphore,
    thumbnails: Mutex<LruCache<String, Bytes>>,
}

pub type Shared = Arc<State>;

impl State {
    /// Nothing is computed yet.
    pub fn new(
        library: Arc<dyn Retriever>,
        engines: Engines,
        metrics: Arc<Metrics>,
        model_name: String,
        token: Option<blake3::Hash>,
        slots: usize,
    ) -> Self {
        // One more than cores, so that a core need not wait for a disk.
        let workers = Arc::new(Semaphore::new(rayon::current_num_threads() + 1));
        let thumbnails = Mutex::new(LruCache::new(THUMBNAILS));
        let (slots, bodies) = (Semaphore::new(slots), Semaphore::new(BODIES));
        Self { library, engines, metrics, model_name, token, slots, workers, bodies, thumbnails }
    }

    /// The photo of this id.
    pub fn item(&self, id: &str) -> Result<Item, ApiError> {
        let item = self.library.item(id)?;
        item.ok_or_else(|| ApiError::not_found("no photo of this id is in the library"))
    }

    /// A thumbnail that was made before.
    pub fn kept_thumbnail(&self, content: &str) -> Option<Bytes> {
        self.thumbnails.lock().unwrap_or_else(PoisonError::into_inner).get(content).cloned()
    }

    /// Keeps a thumbnail.
    pub fn keep_thumbnail(&self, content: String, jpeg: Bytes) {
        self.thumbnails.lock().unwrap_or_else(PoisonError::into_inner).put(content, jpeg);
    }
}

/// Does what takes a processor, on a thread of its own, when there is room. A panic is an answer of 500.
pub async fn compute<T: Send + 'static>(
    state: &Shared,
    work: impl FnOnce(&State) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let worker = Arc::clone(&state.workers).acquire_owned().await;
    let state = Arc::clone(state);
    let done = tokio::task::spawn_blocking(move || {
        // Held until the work is done, even if nobody waits for it any more.
        let _worker = worker;
        work(&state)
    });
    done.await.unwrap_or_else(|panic| Err(ApiError::ours(&anyhow::anyhow!("{panic}"))))
}
