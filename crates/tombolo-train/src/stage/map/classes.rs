//! Pairs that nobody took: the classes that a frozen network was trained to tell apart, as texts and as vectors of photos that
//! were never seen.
//!
//! A network that knows a thousand classes knows what cats look like even where no training photo shows one. How it knows is
//! its last layer: the more a photo looks like a class, the larger their product. Over the training photos, without their
//! captions, we see how a photo's whole vector moves as that product grows: under a Gaussian model with one covariance for all
//! (linear discriminant analysis) the mean of the class lies that way from the mean photo. No photo is its class's mean, so
//! what else a photo shows is taken from a training photo, and the whole is as far from the mean photo as photos are.

use tombolo_kernels::{Matrix, product};
use tombolo_models::ModelError;
use tombolo_models::image::{Classifier, class_names};
use tombolo_models::tower::{Readout, TowerConfig, TowerInput};
use tombolo_vectors::EmbeddingMatrix;

use crate::error::Result;

/// Ways to say what a photo shows.
const WAYS: [&str; 3] = ["%", "a photo of %", "there is % in the picture"];

/// How much of the way from the mean photo is the class's own.
const OWN: f32 = 0.8;

/// From one class's training photo to the next one's: a prime, so that all have their turn.
const STRIDE: usize = 7_919;

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
/// If the vectors are not finite.
///
/// # Panics
/// If there are no training photos.
pub fn prototypes(
    images: &EmbeddingMatrix,
    rows: &[usize],
    classifiers: &[Classifier],
    config: &TowerConfig,
) -> Result<EmbeddingMatrix> {
    let dim = images.dim();
    let mut photos = images.select(rows).into_vec();
    let mean = column_means(&photos, dim);
    for photo in photos.chunks_exact_mut(dim) {
        photo.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean);
    }
    let mut classes = ways(&photos, dim, classifiers, config);
    let far = (photos.iter().map(|x| x * x).sum::<f32>() / rows.len() as f32).sqrt();
    for (number, class) in classes.chunks_exact_mut(dim).enumerate() {
        let photo = &photos[number * STRIDE % rows.len() * dim..][..dim];
        let (own, rest) = (OWN * far / norm(class), (1.0 - OWN * OWN).sqrt());
        let of_photo = mean.iter().zip(photo).map(|(mean, x)| mean + rest * x);
        class.iter_mut().zip(of_photo).for_each(|(x, rest)| *x = own * *x + rest);
        let norm = norm(class);
        class.iter_mut().for_each(|x| *x /= norm);
    }
    Ok(EmbeddingMatrix::from_rows(dim, classes).map_err(ModelError::from)?)
}

/// The way that photos move as they look more like each class: covariances with what the classifiers say, `[classes, dim]`.
fn ways(photos: &[f32], dim: usize, classifiers: &[Classifier], config: &TowerConfig) -> Vec<f32> {
    let classes = class_names().count();
    let mut logits = vec![0.0; photos.len() / dim * classes];
    for (network, Classifier { weights, width }) in classifiers.iter().enumerate() {
        let seen = columns(photos, dim, place(config, network), *width);
        let weights = Matrix::new(weights, *width).transposed();
        product(Matrix::new(&seen, *width), weights, 1.0, 1.0, &mut logits);
    }
    let mut ways = vec![0.0; classes * dim];
    let logits = Matrix::new(&logits, classes).transposed();
    product(logits, Matrix::new(photos, dim), 1.0, 0.0, &mut ways);
    ways
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
    class + network * config.pooled_of_each() * width
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
        // Both have taken the same photo; the one lies one way from it, the other the other way.
        let (first, other) = (found.row(0), found.row(35));
        assert!(first[0] > other[0] + 0.1, "{first:?} {other:?}");
        for row in found.iter() {
            assert!((row[2] - 0.5 * row[0]).abs() < 1e-5 && row[3] > 0.5, "{row:?}");
            assert!((norm(row) - 1.0).abs() < 1e-5);
        }
    }
}
