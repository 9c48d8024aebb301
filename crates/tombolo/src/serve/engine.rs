//! A model at work for many clients: texts that wait together are encoded together.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;
use tombolo_data::image::Pixels;
use tombolo_eval::Calibration;
use tombolo_models::map::Map;
use tombolo_search::Retriever;
use tombolo_vectors::EmbeddingMatrix;

use super::error::ApiError;
use super::metrics::Metrics;
use crate::cli::{Global, Terminal};
use crate::library::ImageSide;
use crate::model::{Encoder, PHOTOS};

/// Texts encoded at a time. A request with more of them gives way to others after so many.
const BATCH: usize = 64;

/// Requests whose texts wait; more are told to come again.
const WAITING: usize = 1_024;

/// How long it is believed that the model on disk is the one that is loaded.
const FRESH: Duration = Duration::from_secs(1);

/// A model, loaded.
pub struct Engine {
    encoder: Encoder,
    calibration: Option<Calibration>,
    /// When its map, and what the run says of its parts, were written.
    written: [Option<SystemTime>; 2],
    terminal: Terminal,
}

impl Engine {
    fn load(model: &Path, map: Option<&Path>, global: &Global) -> anyhow::Result<Self> {
        let terminal = Terminal::new(false, true);
        let encoder = Encoder::open_with_map(model, map, global, &terminal)?;
        let written = written(&encoder);
        encoder.text_tower(&terminal)?;
        encoder.image_tower(&terminal)?;
        encoder.map()?;
        let calibration = encoder.calibration()?;
        Ok(Self { encoder, calibration, written, terminal })
    }

    /// The model.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The probability of a match by the score of a text and a photo, if the model is calibrated.
    pub fn calibration(&self) -> Option<Calibration> {
        self.calibration
    }

    /// What makes vectors of texts and photos comparable.
    pub fn map(&self) -> anyhow::Result<&Map> {
        self.encoder.map()
    }

    /// When its map was written, in seconds since 1970.
    pub fn created(&self) -> u64 {
        let since =
            self.written[0].and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_secs())
    }

    /// The image side of the map, as a library asks for it.
    pub fn image_side(&self) -> anyhow::Result<ImageSide<'_>> {
        ImageSide::new(&self.encoder)
    }

    /// Mapped unit vectors of photos, `[photos, dim]`. They are taken one by one, since a photo that is decoded may be
    /// a hundred times as large as one that is prepared.
    pub fn photos(
        &self,
        mut photos: impl Iterator<Item = Result<Pixels, ApiError>>,
    ) -> Result<EmbeddingMatrix, ApiError> {
        let tower = self.encoder.image_tower(&self.terminal)?;
        let mut prepared = std::iter::from_fn(|| {
            let photo = photos.next()?;
            Some(photo.map(|photo| tower.preprocessing().apply(&photo)))
        });
        let (dim, mut vectors) = (self.encoder.map()?.dim(), Vec::new());
        loop {
            let pictures = prepared.by_ref().take(PHOTOS).collect::<Result<Vec<_>, _>>()?;
            if pictures.is_empty() {
                let vectors = EmbeddingMatrix::from_rows(dim, vectors);
                return Ok(vectors.map_err(anyhow::Error::from)?);
            }
            let found = self.encoder.picture_vectors(&pictures, &self.terminal)?;
            vectors.extend_from_slice(found.as_slice());
        }
    }

    /// How much each part of a photo is like a mapped unit vector: cosines, row by row, as many rows as columns.
    pub fn windows(&self, photo: &Pixels, query: &[f32]) -> anyhow::Result<Vec<f32>> {
        let tower = self.encoder.image_tower(&self.terminal)?;
        let windows = tower.windows(tower.preprocessing().apply(photo))?;
        let mapped = self.encoder.map()?.map_images(&windows)?;
        Ok(mapped.iter().map(|window| tombolo_vectors::dot(window, query)).collect())
    }

    fn texts(&self, texts: &[&str]) -> anyhow::Result<EmbeddingMatrix> {
        self.encoder.text_vectors(texts, &self.terminal)
    }
}

fn written(encoder: &Encoder) -> [Option<SystemTime>; 2] {
    let model = encoder.model();
    [model.map_dir().join("map.safetensors"), model.dir().join("model.toml")]
        .map(|file| file.metadata().and_then(|metadata| metadata.modified()).ok())
}

/// The engine of the moment. When the model on disk is trained anew, it follows, as long as the library is of that model.
pub struct Engines {
    model: PathBuf,
    /// The run whose map takes the place of the model's.
    map: Option<PathBuf>,
    global: Global,
    library: Arc<dyn Retriever>,
    current: RwLock<Option<Arc<Engine>>>,
    /// Locked by the one who looks.
    look: Mutex<Look>,
    queue: SyncSender<Waiting>,
}

/// What was seen when the model on disk was looked at.
struct Look {
    /// When to look again.
    next: Instant,
    /// When the files of the last model that was not used were written.
    refused: Option<[Option<SystemTime>; 2]>,
}

/// Texts of one request.
struct Waiting {
    texts: Vec<String>,
    engine: Arc<Engine>,
    answer: oneshot::Sender<anyhow::Result<Vec<Vec<f32>>>>,
}

impl Engines {
    /// Nothing loaded yet; the thread that encodes texts is started.
    pub fn new(
        (model, map): (PathBuf, Option<PathBuf>),
        global: Global,
        library: Arc<dyn Retriever>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let (queue, receiver) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("texts".into())
            .spawn(move || encode_texts(&receiver, &metrics))?;
        let look = Mutex::new(Look { next: Instant::now(), refused: None });
        Ok(Self { model, map, global, library, current: RwLock::new(None), look, queue })
    }

    /// Loads the model, however long that takes.
    pub fn load(&self) -> anyhow::Result<Arc<Engine>> {
        let engine = Arc::new(Engine::load(&self.model, self.map.as_deref(), &self.global)?);
        let towers = engine.encoder.model().image_fingerprint()?;
        self.library.require(&towers, engine.encoder.map_fingerprint()?)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&engine));
        Ok(engine)
    }

    /// The engine, or 503 while it is being loaded. May load a new map: not for an async thread.
    pub fn get(&self) -> Result<Arc<Engine>, ApiError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(engine) = current else {
            return Err(ApiError::unavailable(
                "loading",
                "the model is being loaded: try again in a second",
            ));
        };
        // While somebody looks, the others go on with what they have.
        let mut look = match self.look.try_lock() {
            Ok(look) => look,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(engine),
        };
        if Instant::now() < look.next {
            return Ok(engine);
        }
        let written = written(&engine.encoder);
        let found = match written == engine.written || look.refused == Some(written) {
            true => engine,
            false => self.load().unwrap_or_else(|error| {
                // A run that is being written anew may not be whole, and one of other towers is not the library's.
                let error = format!("{error:#}");
                tracing::warn!(error, "the new model is not used, the old one still answers");
                look.refused = Some(written);
                engine
            }),
        };
        look.next = Instant::now() + FRESH;
        Ok(found)
    }

    /// Mapped unit vectors of texts, encoded together with those of other requests.
    pub async fn texts(
        &self,
        engine: &Arc<Engine>,
        texts: Vec<String>,
    ) -> Result<HashMap<String, Vec<f32>>, ApiError> {
        let lost = || ApiError::ours(&anyhow::anyhow!("the thread that encodes texts is gone"));
        let mut vectors = HashMap::with_capacity(texts.len());
        for texts in texts.chunks(BATCH) {
            let (answer, answered) = oneshot::channel();
            let engine = Arc::clone(engine);
            let waiting = Waiting { texts: texts.to_vec(), engine, answer };
            self.queue.try_send(waiting).map_err(|error| match error {
                TrySendError::Full(_) => ApiError::overloaded(),
                TrySendError::Disconnected(_) => lost(),
            })?;
            let found = answered.await.map_err(|_| lost())??;
            vectors.extend(texts.iter().cloned().zip(found));
        }
        Ok(vectors)
    }
}

/// Encodes what waits, all at once, until nobody can ask any more.
fn encode_texts(receiver: &Receiver<Waiting>, metrics: &Metrics) {
    while let Ok(first) = receiver.recv() {
        let mut batch = vec![first];
        let mut size = batch[0].texts.len();
        while size < BATCH
            && let Ok(next) = receiver.try_recv()
        {
            size += next.texts.len();
            batch.push(next);
        }
        // Whoever asked may be gone.
        batch.retain(|waiting| !waiting.answer.is_closed());
        metrics.text_batch(batch.iter().map(|waiting| waiting.texts.len()).sum());
        while !batch.is_empty() {
            // A new model may have come between two requests.
            let engine = Arc::clone(&batch[0].engine);
            let same = |waiting: &Waiting| Arc::ptr_eq(&waiting.engine, &engine);
            let (alike, other) = batch.into_iter().partition(same);
            answer(&engine, alike);
            batch = other;
        }
    }
}

fn answer(engine: &Engine, batch: Vec<Waiting>) {
    let texts: Vec<&str> = batch.iter().flat_map(|w| &w.texts).map(String::as_str).collect();
    let vectors = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.texts(&texts)))
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the text tower panicked")));
    let mut first = 0;
    for waiting in batch {
        let count = waiting.texts.len();
        let result = match &vectors {
            Ok(all) => Ok((first..first + count).map(|row| all.row(row).to_vec()).collect()),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        first += count;
        // Whoever asked may be gone.
        let _ = waiting.answer.send(result);
    }
}
