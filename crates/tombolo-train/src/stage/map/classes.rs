//! Pairs that nobody took: the classes that a frozen network was trained to tell apart, as texts and as vectors of photos that
//! were never seen.
//!
//! A network that knows a thousand classes knows what cats look like even where no training photo shows one. How it knows is
//! its last layer: the more a photo looks like a class, the larger their product. Over the training photos, without their
//! captions, we see how a photo's whole vector moves as that product grows, and go as far from the mean photo that way as
//! photos usually are. That is the mean of the class under a Gaussian model with one covariance for all (linear
//! discriminant analysis).

use tombolo_kernels::{Matrix, product};
use tombolo_models::ModelError;
use tombolo_models::image::{Classifier, class_names};
use tombolo_models::tower::{Readout, TowerConfig, TowerInput};
use tombolo_vectors::EmbeddingMatrix;

use crate::error::Result;

/// Ways to say what a photo shows.
const WAYS: [&str; 3] = ["%", "a photo of %", "there is % in the picture"];

/// Texts of each class.
pub const TEXTS: usize = WAYS.len();

/// The texts of all classes, [`TEXTS`] for one after the other.
pub fn texts() -> Vec<String> {
    let named = |name: &str| {
        let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        WAYS.map(|way| way.replace('%', &format!("{article} {name}")))
    };
    class_names().flat_map(named).collect()
}

/// Vectors of what photos of each class would be, of unit norm like those of photos.
///
/// # Shapes
/// `images`: vectors of the image tower `config`, of which `rows` are of training photos. Returns `[classes, dim]`.
/// # Errors
/// If there are no training photos.
pub fn prototypes(
    images: &EmbeddingMatrix,
    rows: &[usize],
    classifiers: &[Classifier],
    config: &TowerConfig,
) -> Result<EmbeddingMatrix> {
    let (dim, count) = (images.dim(), rows.len());
    let classes = class_names().count();
    let mut photos = images.select(rows).into_vec();
    let mean = column_means(&photos, dim);
    photos
        .chunks_exact_mut(dim)
        .for_each(|row| row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m));
    let mut logits = vec![0.0; count * classes];
    for (network, classifier) in classifiers.iter().enumerate() {
        let seen = columns(&photos, dim, place(config, network), classifier.width);
        let weights = Matrix::new(&classifier.weights, classifier.width);
        product(Matrix::new(&seen, classifier.width), weights.transposed(), 1.0, 1.0, &mut logits);
    }
    let mut moved = vec![0.0; classes * dim];
    product(
        Matrix::new(&logits, classes).transposed(),
        Matrix::new(&photos, dim),
        1.0,
        0.0,
        &mut moved,
    );
    let far = (photos.iter().map(|x| x * x).sum::<f32>() / count as f32).sqrt();
    for class in moved.chunks_exact_mut(dim) {
        let scale = far / norm(class);
        class.iter_mut().zip(&mean).for_each(|(x, m)| *x = m + scale * *x);
        let norm = norm(class);
        class.iter_mut().for_each(|x| *x /= norm);
    }
    Ok(EmbeddingMatrix::from_rows(dim, moved).map_err(ModelError::from)?)
}

/// Where the mean of a network's last feature map begins in the tower's vector.
fn place(config: &TowerConfig, network: usize) -> usize {
    let class = match config.readout {
        Readout::Pooled(_) => 0,
        _ => config.output,
    };
    let width = match config.encoded() {
        TowerInput::Vectors(width) => width,
        TowerInput::Tokens(_) => 0,
    };
    class + network * 2 * width
}

/// So many columns of rows that are `dim` wide.
fn columns(rows: &[f32], dim: usize, first: usize, width: usize) -> Vec<f32> {
    rows.chunks_exact(dim).flat_map(|row| &row[first..first + width]).copied().collect()
}

fn column_means(rows: &[f32], dim: usize) -> Vec<f32> {
    let mut means = vec![0.0; dim];
    for row in rows.chunks_exact(dim) {
        means.iter_mut().zip(row).for_each(|(m, x)| *m += x);
    }
    let count = (rows.len() / dim) as f32;
    means.iter_mut().for_each(|m| *m /= count);
    means
}

fn norm(values: &[f32]) -> f32 {
    values.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use tombolo_models::tower::{EncoderKind, Pooling};

    use super::*;

    #[test]
    fn every_class_is_said_in_each_way() {
        let texts = texts();
        assert_eq!(texts.len(), TEXTS * 1_000);
        assert_eq!(texts[TEXTS], "a goldfish");
        assert!(texts.contains(&"a photo of an espresso".to_owned()));
    }

    /// Photos whose first component is what a class looks at, and whose third goes with it.
    #[test]
    fn a_class_lies_where_what_goes_with_it_is_larger() {
        let photo = |i: usize| {
            let (seen, other) = ((i % 7) as f32 - 3.0, (i % 5) as f32 - 2.0);
            [seen, other, 0.5 * seen, 4.0]
        };
        let rows: Vec<f32> = (0..35).flat_map(photo).collect();
        let images = EmbeddingMatrix::from_rows(4, rows).unwrap();
        let weights = (0..1_000).flat_map(|class| [if class == 0 { 1.0 } else { -1.0 }, 0.0]);
        let classifier = Classifier { weights: weights.collect(), width: 2 };
        let config = TowerConfig {
            input: TowerInput::Vectors(2),
            encoder: EncoderKind::Transformer,
            width: 0,
            layers: 0,
            heads: 0,
            positions: 1,
            output: 0,
            segments: Vec::new(),
            tail: None,
            pooling: Pooling::Largest,
            readout: Readout::Pooled(1),
        };
        let rows: Vec<usize> = (0..35).collect();
        let found = prototypes(&images, &rows, &[classifier], &config).unwrap();
        let (first, second) = (found.row(0), found.row(1));
        assert!(first[0] > 0.1 && (first[2] - 0.5 * first[0]).abs() < 1e-5, "{first:?}");
        assert!(first[1].abs() < 1e-5 && first[3] > 0.5);
        assert!((second[0] + first[0]).abs() < 1e-5 && (second[3] - first[3]).abs() < 1e-5);
        assert!((norm(first) - 1.0).abs() < 1e-5);
    }
}
