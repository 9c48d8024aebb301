//! Whole files in, data sets and pixels out.
#![allow(clippy::unwrap_used)] // The lint spares test functions, not their helpers.

#[path = "data/decoding.rs"]
mod decoding;
#[path = "data/emoji.rs"]
mod emoji;
#[path = "data/loading.rs"]
mod loading;
#[path = "data/perturbations.rs"]
mod perturbations;
#[path = "data/readers.rs"]
mod readers;

/// The golden pictures; `make.py` beside them says how they were made.
fn pillow(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/pillow").join(name)
}
