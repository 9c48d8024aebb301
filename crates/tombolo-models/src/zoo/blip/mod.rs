//! BLIP (Li et al. 2022) for retrieval: two encoders that share a space, and one that looks at the picture while it
//! reads the text.

mod config;
mod image;
mod matching;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use image::BlipImage;
pub use matching::{BlipMatching, Seen};
pub(crate) use text::BlipText;
