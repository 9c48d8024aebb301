//! Many images in order, decoded on other threads while the caller encodes.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{Decoded, ImageError, Limits, decode};
use crate::dataset::ImageSource;

/// Reads and decodes one image.
///
/// # Errors
/// [`ImageError`], which names the image.
pub fn load(source: &ImageSource, limits: &Limits) -> Result<Decoded, ImageError> {
    decode(&source.read()?, limits)
        .map_err(|error| ImageError::Decode { image: source.describe(), source: error })
}

/// How a [`Loader`] works.
#[derive(Clone, Copy, Debug)]
pub struct LoaderConfig {
    /// Threads that decode; at least 1 is used.
    pub threads: usize,
    /// How many images may be decoded or in work beyond the one that is asked for; bounds memory.
    pub ahead: usize,
    /// What each image may cost.
    pub limits: Limits,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { threads, ahead: 4 * threads, limits: Limits::default() }
    }
}

type Loaded<T> = Result<T, ImageError>;

struct Job<T> {
    source: ImageSource,
    reply: Sender<Loaded<T>>,
}

/// Loads images on its own threads and yields them in the order of the sources, each with its index.
///
/// An image that cannot be loaded yields its error and the rest go on. At most
/// [`ahead`](LoaderConfig::ahead) + 1 images are in memory, however slow the caller is. Dropping it stops the
/// threads after the images that they are at.
///
/// ```
/// use tombolo_data::dataset::{Dataset, emoji};
/// use tombolo_data::image::{Loader, LoaderConfig};
///
/// let data = emoji::open([])?;
/// let sources = data.images()[..20].iter().map(|image| image.source.clone()).collect();
/// let loader = Loader::new(sources, LoaderConfig::default(), |decoded| decoded.pixels.width);
/// for (index, width) in loader {
///     assert_eq!(width?, 72, "{}", data.images()[index].id);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Loader<T> {
    sources: std::iter::Enumerate<std::vec::IntoIter<ImageSource>>,
    /// Replies that were asked for and not yet yielded, in order.
    window: VecDeque<(usize, String, Receiver<Loaded<T>>)>,
    ahead: usize,
    jobs: Option<Sender<Job<T>>>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Loader<T> {
    /// Starts the threads. `prepare` runs on them, after decoding: resample there.
    pub fn new(
        sources: Vec<ImageSource>,
        config: LoaderConfig,
        prepare: impl Fn(Decoded) -> T + Send + Sync + 'static,
    ) -> Self {
        let (jobs, queue) = channel::<Job<T>>();
        let queue = Arc::new(Mutex::new(queue));
        let prepare = Arc::new(prepare);
        let stop = Arc::new(AtomicBool::new(false));
        let work = || {
            let worker = Worker {
                queue: Arc::clone(&queue),
                prepare: Arc::clone(&prepare),
                stop: Arc::clone(&stop),
                limits: config.limits,
            };
            std::thread::spawn(move || worker.run())
        };
        let workers = (0..config.threads.max(1)).map(|_| work()).collect();
        let mut loader = Self {
            sources: sources.into_iter().enumerate(),
            window: VecDeque::with_capacity(config.ahead + 1),
            ahead: config.ahead,
            jobs: Some(jobs),
            stop,
            workers,
        };
        loader.fill();
        loader
    }
}

impl<T> Loader<T> {
    /// Asks for images until as many are under way as may be.
    fn fill(&mut self) {
        let Some(jobs) = &self.jobs else { return };
        while self.window.len() <= self.ahead {
            let Some((index, source)) = self.sources.next() else { return };
            let (reply, receiver) = channel();
            self.window.push_back((index, source.describe(), receiver));
            // Without workers the receiver reports a panic, which is then what happened.
            let _ = jobs.send(Job { source, reply });
        }
    }
}

struct Worker<T, F> {
    queue: Arc<Mutex<Receiver<Job<T>>>>,
    prepare: Arc<F>,
    stop: Arc<AtomicBool>,
    limits: Limits,
}

impl<T, F: Fn(Decoded) -> T> Worker<T, F> {
    fn run(&self) {
        loop {
            let job = self.queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Job { source, reply }) = job else { return };
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let attempt = AssertUnwindSafe(|| load(&source, &self.limits).map(&*self.prepare));
            let loaded = catch_unwind(attempt)
                .unwrap_or_else(|_| Err(ImageError::Panicked { image: source.describe() }));
            // The caller may have lost interest.
            let _ = reply.send(loaded);
        }
    }
}

impl<T> Iterator for Loader<T> {
    type Item = (usize, Loaded<T>);

    fn next(&mut self) -> Option<Self::Item> {
        self.fill();
        let (index, image, reply) = self.window.pop_front()?;
        let loaded = reply.recv().unwrap_or(Err(ImageError::Panicked { image }));
        Some((index, loaded))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.window.len() + self.sources.len();
        (left, Some(left))
    }
}

impl<T> ExactSizeIterator for Loader<T> {}

impl<T> Drop for Loader<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // A worker catches panics, so there is nothing to learn from it.
            let _ = worker.join();
        }
    }
}
