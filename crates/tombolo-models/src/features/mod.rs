//! What a frozen backbone says of each photo and text, computed once and kept on disk.

mod extract;
mod store;
mod view;

pub use extract::{Extraction, Progress, Skipped, image_features, text_features, view_features};
pub use store::{FeatureKey, FeatureStore};
pub use view::PhotoView;
