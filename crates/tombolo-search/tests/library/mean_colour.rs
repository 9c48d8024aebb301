//! A tiny encoder, photos for it, and what the tests share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tombolo_data::image::Decoded;
use tombolo_search::{
    BoxError, ImageEncoder, IndexOptions, IndexSummary, Library, LibraryWriter, SearchError,
};
use tombolo_vectors::{EmbeddingMatrix, normalize};

/// The unit vector of a photo's mean colour, `[3]`.
pub struct MeanColour {
    pub fingerprint: &'static str,
    pub pause: Duration,
    pub encoded: AtomicUsize,
}

impl Default for MeanColour {
    fn default() -> Self {
        Self { fingerprint: "mean-colour", pause: Duration::ZERO, encoded: AtomicUsize::new(0) }
    }
}

impl ImageEncoder for MeanColour {
    type Input = [f32; 3];

    fn fingerprint(&self) -> &str {
        self.fingerprint
    }

    fn dim(&self) -> usize {
        3
    }

    fn batch_size(&self) -> usize {
        4
    }

    fn prepare(&self, photo: Decoded) -> [f32; 3] {
        let pixels = photo.pixels.rgb.as_chunks::<3>().0;
        [0, 1, 2].map(|channel| {
            let sum: f32 = pixels.iter().map(|pixel| f32::from(pixel[channel])).sum();
            sum / pixels.len() as f32
        })
    }

    fn encode(&self, batch: &[[f32; 3]]) -> Result<EmbeddingMatrix, BoxError> {
        self.encoded.fetch_add(batch.len(), Ordering::Relaxed);
        std::thread::sleep(self.pause);
        let mut vectors = EmbeddingMatrix::new(3)?;
        for colour in batch {
            let mut vector = *colour;
            normalize(&mut vector);
            vectors.push(&vector)?;
        }
        Ok(vectors)
    }
}

/// A photo of one colour.
pub fn paint(path: &Path, colour: [u8; 3]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(8, 6, image::Rgb(colour)).save(path).unwrap();
}

/// What the encoder gives for that photo, to the precision of f16.
pub fn vector_of(colour: [u8; 3]) -> [f32; 3] {
    let mut vector = colour.map(f32::from);
    normalize(&mut vector);
    vector.map(|value| half::f16::from_f32(value).to_f32())
}

/// A folder of photos and a library beside it.
pub struct Desk {
    dir: TempDir,
    pub encoder: MeanColour,
}

/// What a library does that nobody else writes to. A process that another test starts has all our files, the lock among them,
/// until it is another program.
pub fn when_free<T>(act: impl Fn() -> Result<T, SearchError>) -> Result<T, SearchError> {
    for _ in 0..200 {
        match act() {
            Err(SearchError::Busy { .. }) => std::thread::sleep(Duration::from_millis(5)),
            done => return done,
        }
    }
    act()
}

impl Desk {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), encoder: MeanColour::default() }
    }

    /// A desk with red, green and blue photos in `photos/`.
    pub fn with_three() -> Self {
        let desk = Self::new();
        desk.paint("photos/red.png", [255, 0, 0]);
        desk.paint("photos/green.png", [0, 255, 0]);
        desk.paint("photos/sub/blue.png", [0, 0, 255]);
        desk.index(&["photos"]);
        desk.encoder.encoded.store(0, Ordering::Relaxed);
        desk
    }

    /// Absolute, as the library has it.
    pub fn path(&self, name: &str) -> PathBuf {
        let root = self.dir.path().canonicalize().unwrap();
        let plain = root.to_str().unwrap().trim_start_matches(r"\\?\").to_owned();
        name.split('/').fold(PathBuf::from(plain), |path, part| path.join(part))
    }

    pub fn library_dir(&self) -> PathBuf {
        self.path("library")
    }

    pub fn paint(&self, name: &str, colour: [u8; 3]) {
        paint(&self.path(name), colour);
    }

    pub fn writer(&self) -> LibraryWriter {
        let (dir, fingerprint) = (self.library_dir(), self.encoder.fingerprint);
        let open = || LibraryWriter::open_or_create_with_segments(&dir, fingerprint, 3, 2);
        when_free(open).unwrap()
    }

    pub fn index(&self, names: &[&str]) -> IndexSummary {
        self.index_with(names, &IndexOptions::default())
    }

    pub fn index_with(&self, names: &[&str], options: &IndexOptions) -> IndexSummary {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        self.writer().index(&paths, &self.encoder, options, &mut |_| {}).unwrap()
    }

    pub fn library(&self) -> Library {
        Library::open(&self.library_dir()).unwrap()
    }

    pub fn encoded(&self) -> usize {
        self.encoder.encoded.load(Ordering::Relaxed)
    }

    /// File names of all photos in the library, by path.
    pub fn names(&self) -> Vec<String> {
        let items = self.library().items_after("", 1_000).unwrap();
        let name = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
        items.iter().map(|item| name(&item.path)).collect()
    }
}
