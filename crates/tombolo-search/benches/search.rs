//! Time to open a library and answer a first query, and to answer more: 512 components, top 10, all
//! threads of the global rayon pool (`RAYON_NUM_THREADS`), files in the page cache. Medians.
//!
//! `cargo bench -p tombolo-search`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::Cursor;
use std::time::{Duration, Instant};

use tombolo_data::dataset::ImageSource;
use tombolo_data::image::Decoded;
use tombolo_search::{
    BoxError, ImageEncoder, IndexItem, IndexOptions, ItemList, Library, LibraryWriter,
};
use tombolo_vectors::{EmbeddingMatrix, normalize};

const DIM: usize = 512;

/// A pseudo-random unit vector from a pixel.
struct Scatter;

impl ImageEncoder for Scatter {
    type Input = u32;

    fn fingerprint(&self) -> &str {
        "scatter"
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn batch_size(&self) -> usize {
        512
    }

    fn prepare(&self, photo: Decoded) -> u32 {
        photo.pixels.rgb.iter().fold(1, |seed, &byte| seed << 8 | u32::from(byte))
    }

    fn encode(&self, batch: &[u32]) -> Result<EmbeddingMatrix, BoxError> {
        let mut vectors = EmbeddingMatrix::new(DIM)?;
        for seed in batch {
            vectors.push(&scattered(*seed))?;
        }
        Ok(vectors)
    }
}

fn scattered(mut seed: u32) -> Vec<f32> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut vector: Vec<f32> = (0..DIM).map(|_| next()).collect();
    normalize(&mut vector);
    vector
}

fn picture(number: usize) -> IndexItem {
    let pixel = image::Rgb([(number >> 16) as u8, (number >> 8) as u8, number as u8]);
    let mut png = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(1, 1, pixel).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let name = format!("bench:{number:06}");
    let bytes = png.into_inner().leak();
    IndexItem { path: name.clone(), source: ImageSource::Embedded { name, bytes }, caption: None }
}

fn median(runs: usize, mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..runs).map(time).collect();
    times.sort_unstable();
    times[runs / 2]
}

fn main() {
    for photos in [7_000, 100_000] {
        let dir = tempfile::tempdir().unwrap();
        let items = (0..photos).map(picture).collect();
        let start = Instant::now();
        LibraryWriter::open_or_create(dir.path(), "scatter", DIM)
            .unwrap()
            .index_items(
                ItemList { scope: None, items },
                &Scatter,
                &IndexOptions::default(),
                &mut |_| {},
            )
            .unwrap();
        let indexing = start.elapsed();
        let query = scattered(7);
        let cold = median(11, || {
            let library = Library::open(dir.path()).unwrap();
            assert_eq!(library.search(&query, &Default::default()).unwrap().len(), 10);
        });
        let library = Library::open(dir.path()).unwrap();
        let warm = median(21, || {
            assert_eq!(library.search(&query, &Default::default()).unwrap().len(), 10);
        });
        let threads = rayon::current_num_threads();
        println!(
            "{photos} photos, {threads} threads: open and search {cold:.2?}, search {warm:.2?}, \
             index one-pixel photos {indexing:.2?}"
        );
    }
}
