//! Time of one exact search over rows of 512 components in memory, top 10, all threads of the global
//! rayon pool (`RAYON_NUM_THREADS`). Medians of 21, and the bytes of the rows over them.
//!
//! `cargo bench -p tombolo-vectors`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use half::f16;
use tombolo_vectors::{F16Rows, top_k};

const DIM: usize = 512;

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

fn pseudo_random(len: usize) -> impl Iterator<Item = f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0)
}

fn main() {
    let query: Vec<f32> = pseudo_random(DIM).collect();
    for len in [10_000, 100_000, 1_000_000] {
        let values = pseudo_random(len * DIM).map(f16::from_f32).collect();
        let rows = F16Rows::from_vec(DIM, values).unwrap();
        let f16 = median(21, || assert_eq!(top_k(&query, &rows, 10, |_| true).unwrap().len(), 10));
        let rate = (len * DIM * 2) as f64 / f16.as_secs_f64() / 1e9;
        println!("{len} rows: f16 {f16:.2?}, {rate:.1} GB/s");
    }
}
