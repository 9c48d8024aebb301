//! Running a frozen backbone over inputs that the cache does not hold yet.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use tombolo_data::dataset::ImageSource;
use tombolo_data::image::{Decoded, Loader, LoaderConfig};

use crate::error::Result;
use crate::features::{FeatureKey, FeatureStore, PhotoView};
use crate::image::ImageBackbone;
use crate::text::TextBackbone;

/// Photos encoded at a time: enough for all cores, few enough that a kill loses a second's work.
const PHOTOS: usize = 16;

/// Texts encoded at a time, all of about the same length.
const TEXTS: usize = 64;

/// Longest time between two writes of text features; every write waits for the disk.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// How far an extraction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Inputs done, those found in the cache included.
    pub done: usize,
    /// Inputs in all.
    pub total: usize,
    /// Inputs found in the cache.
    pub cached: usize,
}

/// An input that could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Index of the input.
    pub index: usize,
    /// What it is and why it was left out.
    pub reason: String,
}

/// What an extraction gave.
#[derive(Debug, Default)]
pub struct Extraction {
    /// Each input's key in the store; none where it was skipped.
    pub keys: Vec<Option<FeatureKey>>,
    /// The inputs left out.
    pub skipped: Vec<Skipped>,
}

/// Makes sure that `store` holds the cells of every photo that can be read.
///
/// Photos are decoded on other threads while the backbone encodes. A photo that cannot be read is skipped.
///
/// # Errors
/// If the backbone fails or the store cannot be written.
pub fn image_features(
    sources: &[ImageSource],
    backbone: &ImageBackbone,
    store: &mut FeatureStore,
    progress: &mut dyn FnMut(Progress),
) -> Result<Extraction> {
    features_of(sources, None, backbone, store, progress)
}

/// The same of another view of every photo.
///
/// # Errors
/// As [`image_features`].
pub fn view_features(
    sources: &[ImageSource],
    view: PhotoView,
    backbone: &ImageBackbone,
    store: &mut FeatureStore,
    progress: &mut dyn FnMut(Progress),
) -> Result<Extraction> {
    features_of(sources, Some(view), backbone, store, progress)
}

fn features_of(
    sources: &[ImageSource],
    view: Option<PhotoView>,
    backbone: &ImageBackbone,
    store: &mut FeatureStore,
    progress: &mut dyn FnMut(Progress),
) -> Result<Extraction> {
    let mut extraction = Extraction { keys: vec![None; sources.len()], skipped: Vec::new() };
    let mut missing = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        match source.read() {
            Ok(bytes) => {
                let key = match view {
                    None => *blake3::hash(&bytes).as_bytes(),
                    Some(view) => view.key(&bytes),
                };
                extraction.keys[index] = Some(key);
                if !store.contains(&key) {
                    missing.push(index);
                }
            }
            Err(error) => {
                extraction.skipped.push(Skipped { index, reason: error.to_string() });
            }
        }
    }
    encode_photos((sources, view), &missing, backbone, store, &mut extraction, progress)?;
    Ok(extraction)
}

fn encode_photos(
    (sources, view): (&[ImageSource], Option<PhotoView>),
    missing: &[usize],
    backbone: &ImageBackbone,
    store: &mut FeatureStore,
    extraction: &mut Extraction,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let (total, cached) = (sources.len(), sources.len() - missing.len());
    let mut report = |done| progress(Progress { done, total, cached });
    report(cached);
    let preprocessing = backbone.preprocessing().clone();
    let config = LoaderConfig { ahead: 2 * PHOTOS, ..LoaderConfig::default() };
    let queue = missing.iter().map(|&index| sources[index].clone()).collect();
    let prepare = move |decoded: Decoded| match view {
        None => preprocessing.apply(&decoded.pixels),
        Some(view) => preprocessing.apply(&view.apply(&decoded.pixels)),
    };
    let (mut keys, mut pictures) = (Vec::new(), Vec::new());
    let mut loader = Loader::new(queue, config, prepare).peekable();
    while let Some((place, picture)) = loader.next() {
        let index = missing[place];
        match picture {
            Ok(picture) => {
                keys.extend(extraction.keys[index]);
                pictures.push(picture);
            }
            Err(error) => {
                extraction.keys[index] = None;
                extraction.skipped.push(Skipped { index, reason: error.to_string() });
            }
        }
        if pictures.len() == PHOTOS || loader.peek().is_none() {
            if !pictures.is_empty() {
                let lengths = vec![backbone.cells(); pictures.len()];
                append(store, &keys, &backbone.forward(&pictures)?, &lengths)?;
            }
            keys.clear();
            pictures.clear();
            report(cached + place + 1);
        }
    }
    Ok(())
}

/// Makes sure that `store` holds the tokens of every text.
///
/// Texts are encoded in the order of their length, so that little padding is computed.
///
/// # Errors
/// If the backbone fails or the store cannot be written.
pub fn text_features(
    texts: &[&str],
    backbone: &TextBackbone,
    store: &mut FeatureStore,
    progress: &mut dyn FnMut(Progress),
) -> Result<Extraction> {
    let keys: Vec<FeatureKey> =
        texts.iter().map(|t| *blake3::hash(t.as_bytes()).as_bytes()).collect();
    let mut missing: Vec<usize> = (0..texts.len()).filter(|&i| !store.contains(&keys[i])).collect();
    missing.sort_by_key(|&i| (texts[i].len(), i));
    let (total, cached) = (texts.len(), texts.len() - missing.len());
    let mut report = |done| progress(Progress { done, total, cached });
    report(cached);
    let mut pending = Pending::default();
    for (batch, indices) in missing.chunks(TEXTS).enumerate() {
        let chunk: Vec<&str> = indices.iter().map(|&i| texts[i]).collect();
        let (tokens, lengths) = backbone.forward(&chunk)?;
        let batch_keys: Vec<FeatureKey> = indices.iter().map(|&i| keys[i]).collect();
        pending.add(store, batch_keys, tokens, lengths)?;
        report(cached + (batch * TEXTS + indices.len()));
    }
    pending.write(store)?;
    Ok(Extraction { keys: keys.into_iter().map(Some).collect(), skipped: Vec::new() })
}

/// Text batches take a tenth of a second each: they are written together, every few seconds.
struct Pending {
    batches: Vec<(Vec<FeatureKey>, Tensor, Vec<usize>)>,
    since: Instant,
}

impl Default for Pending {
    fn default() -> Self {
        Self { batches: Vec::new(), since: Instant::now() }
    }
}

impl Pending {
    fn add(
        &mut self,
        store: &mut FeatureStore,
        keys: Vec<FeatureKey>,
        rows: Tensor,
        lengths: Vec<usize>,
    ) -> Result<()> {
        self.batches.push((keys, rows, lengths));
        if self.since.elapsed() > WRITE_EVERY { self.write(store) } else { Ok(()) }
    }

    fn write(&mut self, store: &mut FeatureStore) -> Result<()> {
        for (keys, rows, lengths) in self.batches.drain(..) {
            append(store, &keys, &rows, &lengths)?;
        }
        self.since = Instant::now();
        Ok(())
    }
}

/// Stores a batch: `rows` is `[…, dim]`, the rows of one input after those of the other.
fn append(
    store: &mut FeatureStore,
    keys: &[FeatureKey],
    rows: &Tensor,
    lengths: &[usize],
) -> Result<()> {
    let dim = store.dim();
    let values = rows.flatten_all()?.to_vec1::<f32>()?;
    let mut rest = values.as_slice();
    let inputs = lengths.iter().map(|&length| {
        let (rows, after) = rest.split_at(length * dim);
        rest = after;
        rows
    });
    let inputs: Vec<&[f32]> = inputs.collect();
    store.append(keys.iter().copied().zip(inputs))
}
