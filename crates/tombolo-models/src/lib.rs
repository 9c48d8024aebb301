//! Backbones, towers and the map that joins them; checkpoints, features, and where models come from.

pub mod backbones;
pub mod catalogue;
pub mod checkpoint;
mod config;
mod encoder;
mod error;
pub mod features;
pub mod image;
pub mod layers;
pub mod map;
pub mod model;
pub mod pull;
pub mod rerank;
pub mod scan;
pub mod settings;
pub mod text;
pub mod tower;
pub mod weights;
pub mod zoo;

pub use error::{ModelError, Result};
