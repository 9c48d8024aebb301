//! Time of `evaluate`: both directions, five texts per image, 512 components, random unit rows,
//! all threads of the global rayon pool (`RAYON_NUM_THREADS`). The best of three runs.
//!
//! `cargo bench -p tombolo-eval`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use rand::{Rng, SeedableRng};
use tombolo_vectors::EmbeddingMatrix;

const DIM: usize = 512;

fn random_rows(rows: usize, seed: u64) -> EmbeddingMatrix {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let values = (0..rows * DIM).map(|_| rng.random_range(-1.0_f32..1.0)).collect();
    let mut matrix = EmbeddingMatrix::from_rows(DIM, values).unwrap();
    matrix.normalize_rows();
    matrix
}

fn main() {
    for images in [1_000, 5_000] {
        let (image_rows, text_rows) = (random_rows(images, 1), random_rows(images * 5, 2));
        let image_of_text: Vec<usize> = (0..images * 5).map(|text| text / 5).collect();
        let best = (0..3)
            .map(|_| {
                let start = Instant::now();
                tombolo_eval::evaluate(&image_rows, &text_rows, &image_of_text).unwrap();
                start.elapsed()
            })
            .min()
            .unwrap();
        let threads = rayon::current_num_threads();
        println!("{images} images, {} texts, {threads} threads: {best:.2?}", images * 5);
    }
}
