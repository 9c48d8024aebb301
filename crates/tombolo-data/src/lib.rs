//! Data sets of photos and texts, and the way from a file to normalised pixels.
//!
//! * [`dataset`]: one trait, one file per format, and the embedded emoji set. [`dataset::open`]
//!   turns `flickr8k:DIR`, `csv:FILE`, `emoji:de,fr` … into a [`dataset::Dataset`].
//! * [`image`]: decoding within limits, resampling like Pillow's, preprocessing, and a loader that
//!   decodes on its own threads while the caller encodes.
//! * [`perturbation`]: captions with typos, synonyms or words in another order, photos blurred, cut or turned.
//!
//! No tensors and no models here, so this crate builds and tests in seconds.

pub mod dataset;
mod error;
pub mod image;
mod names;
pub mod perturbation;

pub use error::{DataError, Place};
pub use names::nearest;
