//! Whole files in, data sets and pixels out.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // The lints spare test functions, not their helpers.

#[path = "data/coco.rs"]
mod coco;
#[path = "data/decoding.rs"]
mod decoding;
#[path = "data/emoji.rs"]
mod emoji;
#[path = "data/fine_grained.rs"]
mod fine_grained;
#[path = "data/flickr30k.rs"]
mod flickr30k;
#[path = "data/heif.rs"]
mod heif;
#[path = "data/layout.rs"]
mod layout;
#[path = "data/loading.rs"]
mod loading;
#[path = "data/nuswide.rs"]
mod nuswide;
#[path = "data/perturbations.rs"]
mod perturbations;
#[path = "data/readers.rs"]
mod readers;
#[path = "data/webdataset.rs"]
mod webdataset;

/// The golden pictures; `make.py` beside them says how they were made.
fn pillow(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/pillow").join(name)
}
