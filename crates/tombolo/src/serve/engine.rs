//! A model at work for many clients: texts that wait together are encoded together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;
use tombolo_data::image::Pixels;
use tombolo_eval::Calibration;
use tombolo_vectors::EmbeddingMatrix;

use super::error::ApiError;
use super::metrics::Metrics;
use crate::cli::{Global, Terminal};
use crate::library::ImageSide;
use crate::model::Encoder;

/// Texts encoded at a time.
const BATCH: usize = 64;

/// How long it is believed that the model on disk is the one that is loaded.
const FRESH: Duration = Duration::from_secs(1);

/// A model, loaded.
pub struct Engine {
    encoder: Encoder,
    calibration: Option<Calibration>,
    /// When its map was written.
    written: Option<SystemTime>,
    terminal: Terminal,
}

impl Engine {
    fn load(model: &std::path::Path, global: &Global) -> anyhow::Result<Self> {
        let terminal = Terminal::new(false, true);
        let encoder = Encoder::open(model, global, &terminal)?;
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

    /// When its map was written, in seconds since 1970.
    pub fn created(&self) -> u64 {
        let since = self.written.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_secs())
    }

    /// The image side of the map, as a library asks for it.
    pub fn image_side(&self) -> anyhow::Result<ImageSide<'_>> {
        ImageSide::new(&self.encoder)
    }

    /// Mapped unit vectors of photos, `[photos, dim]`.
    pub fn photos(&self, photos: &[Pixels]) -> anyhow::Result<EmbeddingMatrix> {
        self.encoder.photo_vectors(photos, &self.terminal)
    }

    /// How much each part of a photo is like a mapped unit vector: cosines, [`tombolo_models::model::WINDOWS`] a row.
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

fn written(encoder: &Encoder) -> Option<SystemTime> {
    let map = encoder.model().dir().join("map.safetensors");
    map.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// The engine of the moment. When the model on disk is trained anew, it follows.
pub struct Engines {
    model: PathBuf,
    global: Global,
    current: RwLock<Option<Arc<Engine>>>,
    looked: Mutex<Instant>,
    queue: Mutex<Sender<Waiting>>,
}

/// Texts of one request.
struct Waiting {
    texts: Vec<String>,
    engine: Arc<Engine>,
    answer: oneshot::Sender<anyhow::Result<Vec<Vec<f32>>>>,
}

impl Engines {
    /// Nothing loaded yet; the thread that encodes texts is started.
    pub fn new(model: PathBuf, global: Global, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let (sender, receiver) = channel();
        std::thread::Builder::new()
            .name("texts".into())
            .spawn(move || encode_texts(&receiver, &metrics))?;
        let (current, looked) = (RwLock::new(None), Mutex::new(Instant::now()));
        Ok(Self { model, global, current, looked, queue: Mutex::new(sender) })
    }

    /// Loads the model, however long that takes.
    pub fn load(&self) -> anyhow::Result<Arc<Engine>> {
        let engine = Arc::new(Engine::load(&self.model, &self.global)?);
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
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() < FRESH {
            return Ok(engine);
        }
        *looked = Instant::now();
        if written(&engine.encoder) == engine.written {
            return Ok(engine);
        }
        // A run that is being written anew may not be whole: then the old one still answers.
        Ok(self
            .load()
            .inspect_err(|error| tracing::warn!(%error, "the new model cannot be loaded"))
            .unwrap_or(engine))
    }

    /// Mapped unit vectors of texts, encoded together with those of other requests.
    pub async fn texts(
        &self,
        engine: &Arc<Engine>,
        texts: Vec<String>,
    ) -> Result<HashMap<String, Vec<f32>>, ApiError> {
        if texts.is_empty() {
            return Ok(HashMap::new());
        }
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { texts: texts.clone(), engine: Arc::clone(engine), answer };
        let sent = self.queue.lock().unwrap_or_else(PoisonError::into_inner).send(waiting);
        let lost = || ApiError::ours(&anyhow::anyhow!("the thread that encodes texts is gone"));
        sent.map_err(|_| lost())?;
        let vectors = answered.await.map_err(|_| lost())??;
        Ok(texts.into_iter().zip(vectors).collect())
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
        metrics.text_batch(size);
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
