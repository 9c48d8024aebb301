//! The last layer that a frozen network was trained with: which of ImageNet's thousand classes a photo shows.

use std::path::Path;

use crate::checkpoint::pth;
use crate::error::{ModelError, Result};

/// The names of ImageNet's classes (Russakovsky et al. 2015), in the order of the layer's outputs, as torchvision has them.
const NAMES: &str = include_str!("classes.txt");

/// The layer's weights; its bias says how frequent classes are, which is of no concern here.
pub struct Classifier {
    /// `[classes, width of the last feature map]`, class by class.
    pub weights: Vec<f32>,
    /// Width of the last feature map.
    pub width: usize,
}

impl Classifier {
    /// Reads it from a `.pth` file of the PyTorch port.
    ///
    /// # Errors
    /// If the file cannot be read, or has no such layer.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let name = "_fc.weight";
        let mut tensors = pth::read(path)?;
        let layer = tensors.remove(name);
        let layer = layer.ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
        match layer.shape[..] {
            [classes, width] if classes == class_names().count() => {
                Ok(Self { weights: layer.data, width })
            }
            _ => {
                let (expected, found) = (vec![class_names().count(), 0], layer.shape);
                Err(ModelError::Shape { name: name.to_owned(), expected, found })
            }
        }
    }
}

/// What the classes are called.
pub fn class_names() -> impl Iterator<Item = &'static str> {
    NAMES.lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_classes_have_names_in_their_order() {
        let names: Vec<&str> = class_names().collect();
        assert_eq!(names.len(), 1_000);
        assert_eq!((names[0], names[281], names[967]), ("tench", "tabby", "espresso"));
    }
}
