//! Closed-form maps: one solution, no learning rate, seconds.

use candle_core::Device;
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Accum, Mat, MatRef, Par, Side};

use crate::error::{ModelError, Result};
use crate::map::{Head, Map, Standardise};

/// Rows widened to f64 at a time: 200 MB at a width of 6,000, and as much once or twice more where they are multiplied.
const BLOCK: usize = 4_096;

/// Vectors of texts and images that belong together.
#[derive(Clone, Copy)]
pub struct Pairs<'a> {
    /// `[texts, text_dim]`, row by row.
    pub texts: &'a [f32],
    /// Width of a text vector.
    pub text_dim: usize,
    /// `[images, image_dim]`, row by row.
    pub images: &'a [f32],
    /// Width of an image vector.
    pub image_dim: usize,
    /// The image of each text.
    pub image_of_text: &'a [usize],
}

/// Second moments of standardised pairs, all that a closed form needs of them. Each text counts once, each
/// image once a text.
pub struct Moments {
    text_standard: Standardise,
    image_standard: Standardise,
    texts: Mat<f64>,
    images: Mat<f64>,
    cross: Mat<f64>,
}

impl Moments {
    /// Sums up the pairs.
    pub fn of(pairs: Pairs<'_>) -> Self {
        Self::in_blocks(pairs, BLOCK)
    }

    /// So many rows at a time are widened to f64.
    fn in_blocks(pairs: Pairs<'_>, block: usize) -> Self {
        let Pairs { text_dim, image_dim, .. } = pairs;
        let text_standard = Standardise::fit(pairs.texts, text_dim);
        let image_standard = Standardise::fit(pairs.images, image_dim);
        let mut sums = [(text_dim, text_dim), (image_dim, image_dim), (text_dim, image_dim)]
            .map(|(rows, columns)| Mat::zeros(rows, columns));
        let [texts, images, cross] = &mut sums;
        let share = 1.0 / pairs.image_of_text.len() as f64;
        for rows in pairs.texts.chunks(block * text_dim) {
            let read = standardised(rows, text_dim, &text_standard);
            add_product(texts, &read, &read, share);
        }
        let texts_of_image = texts_of_image(pairs);
        let blocks = pairs.images.chunks(block * image_dim).zip(texts_of_image.chunks(block));
        for (rows, texts_of_image) in blocks {
            let seen = standardised(rows, image_dim, &image_standard);
            let said = Mat::from_fn(seen.nrows(), text_dim, |i, j| {
                let texts = texts_of_image[i].iter();
                texts.map(|&text| text_standard.apply(pairs.texts[text * text_dim + j], j)).sum()
            });
            add_product(cross, &said, &seen, share);
            drop(said);
            let weighted = Mat::from_fn(seen.nrows(), image_dim, |i, j| {
                seen[(i, j)] * texts_of_image[i].len() as f64
            });
            add_product(images, &weighted, &seen, share);
        }
        let [texts, images, cross] = sums;
        Self { text_standard, image_standard, texts, images, cross }
    }

    /// Ridge regression of image vectors on text vectors.
    ///
    /// W = (C_tt + `regularisation`·v·I)⁻¹·C_ti over standardised vectors, v the mean variance of the texts
    /// (Hoerl and Kennard 1970). Texts go into the image space; images are only standardised.
    ///
    /// # Errors
    /// [`ModelError::Singular`] if the system has no solution.
    pub fn ridge(&self, regularisation: f64, device: &Device) -> Result<Map> {
        let mut weight = self.cross.clone();
        let texts = factor(&self.texts, regularisation, "the texts' covariance")?;
        solve_lower_triangular_in_place(texts.as_ref(), weight.as_mut(), threads());
        solve_upper_triangular_in_place(texts.transpose(), weight.as_mut(), threads());
        self.map(Some(weight), None, device)
    }

    /// The semi-orthogonal map of text vectors nearest to the image vectors.
    ///
    /// W = U·Vᵀ for the singular value decomposition U·S·Vᵀ of C_ti (Schönemann 1966).
    ///
    /// # Errors
    /// [`ModelError::Singular`] if the decomposition does not converge.
    pub fn procrustes(&self, device: &Device) -> Result<Map> {
        let svd = self.cross.thin_svd().map_err(|e| singular("the cross-covariance", e))?;
        let weight = svd.U() * svd.V().transpose();
        self.map(Some(weight), None, device)
    }

    /// Regularised canonical correlation analysis (Hotelling 1936, Vinod 1976).
    ///
    /// With C_tt + r·v·I = L·Lᵀ, likewise M for the images, and the singular value decomposition U·S·Vᵀ of
    /// L⁻¹·C_ti·M⁻ᵀ: texts are mapped by L⁻ᵀ·U·S and images by M⁻ᵀ·V·S, `dim` columns of each. Scaling by the
    /// canonical correlations S lets the directions that agree weigh most.
    ///
    /// # Errors
    /// [`ModelError::Singular`] if a covariance has no factor or the decomposition does not converge.
    pub fn cca(&self, dim: usize, regularisation: f64, device: &Device) -> Result<Map> {
        let texts = factor(&self.texts, regularisation, "the texts' covariance")?;
        let images = factor(&self.images, regularisation, "the images' covariance")?;
        let mut whitened = self.cross.clone();
        solve_lower_triangular_in_place(texts.as_ref(), whitened.as_mut(), threads());
        let mut whitened = whitened.transpose().to_owned();
        solve_lower_triangular_in_place(images.as_ref(), whitened.as_mut(), threads());
        // `whitened` is transposed: its left singular vectors are the images'.
        let (image, correlations, text) = leading_singular(whitened.as_ref(), dim)?;
        let side = |vectors: Mat<f64>, factor: &Mat<f64>| {
            let scaled = |i, j| vectors[(i, j)] * correlations[j];
            let mut weight = Mat::from_fn(vectors.nrows(), correlations.len(), scaled);
            solve_upper_triangular_in_place(factor.transpose(), weight.as_mut(), threads());
            weight
        };
        let (text, image) = (side(text, &texts), side(image, &images));
        self.map(Some(text), Some(image), device)
    }

    fn map(&self, text: Option<Mat<f64>>, image: Option<Mat<f64>>, device: &Device) -> Result<Map> {
        let text = Head::closed(&self.text_standard, text.map(row_major), device)?;
        let image = Head::closed(&self.image_standard, image.map(row_major), device)?;
        Ok(Map::new(text, image))
    }
}

/// The `count` largest singular values of a matrix, with the vectors on its left and on its right.
///
/// From the eigenvectors of the smaller of its two products with itself: small singular values lose digits, and the
/// largest are wanted, several times sooner than by a decomposition of the whole.
fn leading_singular(
    matrix: MatRef<'_, f64>,
    count: usize,
) -> Result<(Mat<f64>, Vec<f64>, Mat<f64>)> {
    if matrix.nrows() < matrix.ncols() {
        let (right, values, left) = leading_singular(matrix.transpose(), count)?;
        return Ok((left, values, right));
    }
    let product = matrix.transpose() * matrix;
    let eigen = product
        .self_adjoint_eigen(Side::Lower)
        .map_err(|e| singular("the whitened cross-covariance", e))?;
    // In ascending order.
    let last = matrix.ncols() - 1;
    let count = count.min(matrix.ncols());
    let values: Vec<f64> = (0..count).map(|j| eigen.S()[last - j].max(0.0).sqrt()).collect();
    let right = Mat::from_fn(matrix.ncols(), count, |i, j| eigen.U()[(i, last - j)]);
    let mut left = matrix * &right;
    for (j, value) in values.iter().enumerate() {
        for i in 0..left.nrows() {
            left[(i, j)] /= value.max(1e-12);
        }
    }
    Ok((left, values, right))
}

fn standardised(rows: &[f32], dim: usize, standard: &Standardise) -> Mat<f64> {
    Mat::from_fn(rows.len() / dim, dim, |i, j| standard.apply(rows[i * dim + j], j))
}

fn texts_of_image(pairs: Pairs<'_>) -> Vec<Vec<usize>> {
    let mut texts = vec![Vec::new(); pairs.images.len() / pairs.image_dim];
    for (text, &image) in pairs.image_of_text.iter().enumerate() {
        texts[image].push(text);
    }
    texts
}

/// Adds `share`·leftᵀ·right to a sum.
fn add_product(sum: &mut Mat<f64>, left: &Mat<f64>, right: &Mat<f64>, share: f64) {
    matmul(sum.as_mut(), Accum::Add, left.transpose(), right.as_ref(), share, threads());
}

fn row_major(weight: Mat<f64>) -> (Vec<f32>, usize) {
    let (rows, columns) = (weight.nrows(), weight.ncols());
    let values = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
    (values.map(|(i, j)| weight[(i, j)] as f32).collect(), columns)
}

/// The lower Cholesky factor of a covariance with `regularisation` times its mean variance added.
fn factor(covariance: &Mat<f64>, regularisation: f64, what: &str) -> Result<Mat<f64>> {
    let dim = covariance.nrows();
    let variance = (0..dim).map(|i| covariance[(i, i)]).sum::<f64>() / dim as f64;
    let mut shifted = covariance.clone();
    for i in 0..dim {
        shifted[(i, i)] += regularisation * variance + 1e-9;
    }
    let factor = shifted.llt(Side::Lower).map_err(|e| singular(what, e))?;
    Ok(factor.L().to_owned())
}

fn singular(what: &str, error: impl std::fmt::Debug) -> ModelError {
    ModelError::Singular { reason: format!("{what}: {error:?}") }
}

fn threads() -> Par {
    Par::rayon(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::safetensors::Precision;
    use tombolo_vectors::EmbeddingMatrix;

    /// Texts, and images that are a fixed rotation of them plus a little noise; two texts an image.
    fn rotated(noise: f32) -> (Vec<f32>, Vec<f32>, Vec<usize>) {
        let value = |i: usize| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 1.7;
        let (mut texts, mut images, mut of) = (Vec::new(), Vec::new(), Vec::new());
        for image in 0..60 {
            let (a, b, c) = (value(image), value(image + 100), value(image + 200));
            images.extend([b, -a, c]);
            for text in 0..2 {
                let jitter = |k: usize| noise * value(image * 6 + text * 3 + k + 300);
                texts.extend([a + jitter(0), b + jitter(1), c + jitter(2)]);
                of.push(image);
            }
        }
        (texts, images, of)
    }

    fn recall_at_1(map: &Map, texts: &[f32], images: &[f32], of: &[usize]) -> f32 {
        let texts = EmbeddingMatrix::from_rows(3, texts.to_vec()).unwrap();
        let images = EmbeddingMatrix::from_rows(3, images.to_vec()).unwrap();
        let (texts, images) = (map.map_texts(&texts).unwrap(), map.map_images(&images).unwrap());
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let found = texts.iter().zip(of).filter(|(text, image)| {
            let best = images.iter().map(|i| dot(text, i)).enumerate();
            best.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0 == **image
        });
        found.count() as f32 / of.len() as f32
    }

    #[test]
    fn every_closed_form_recovers_a_rotation() {
        let (texts, images, of) = rotated(0.001);
        let pairs =
            Pairs { texts: &texts, text_dim: 3, images: &images, image_dim: 3, image_of_text: &of };
        let (moments, device) = (Moments::of(pairs), Device::Cpu);
        let maps = [
            moments.ridge(1e-4, &device).unwrap(),
            moments.procrustes(&device).unwrap(),
            moments.cca(3, 1e-4, &device).unwrap(),
        ];
        for map in maps {
            assert!(recall_at_1(&map, &texts, &images, &of) > 0.97);
        }
    }

    #[test]
    fn leading_singular_vectors_are_those_of_the_whole_decomposition() {
        let value = |i: usize, j: usize| ((i * 31 + j * 17) * 7919 % 1009) as f64 / 504.5 - 1.0;
        for (rows, columns) in [(9, 5), (5, 9)] {
            let matrix = Mat::from_fn(rows, columns, value);
            let (left, values, right) = leading_singular(matrix.as_ref(), 3).unwrap();
            let svd = matrix.thin_svd().unwrap();
            for j in 0..3 {
                assert!((values[j] - svd.S()[j]).abs() < 1e-9);
                let dot = |a: &Mat<f64>, b: MatRef<'_, f64>| {
                    (0..a.nrows()).map(|i| a[(i, j)] * b[(i, j)]).sum::<f64>()
                };
                let (u, v) = (dot(&left, svd.U()), dot(&right, svd.V()));
                assert!((u.abs() - 1.0).abs() < 1e-9 && (u - v).abs() < 1e-9, "{u}, {v}");
            }
        }
    }

    #[test]
    fn blocks_come_to_the_same_moments() {
        let (texts, mut images, mut of) = rotated(0.3);
        // Images of no text, of one and of three.
        images.extend([9.0, -3.0, 1.0]);
        of[0] = 1;
        let pairs =
            Pairs { texts: &texts, text_dim: 3, images: &images, image_dim: 3, image_of_text: &of };
        let (whole, parts) = (Moments::in_blocks(pairs, 1_000), Moments::in_blocks(pairs, 7));
        let both = [
            (&whole.texts, &parts.texts),
            (&whole.images, &parts.images),
            (&whole.cross, &parts.cross),
        ];
        for (whole, parts) in both {
            assert!((whole - parts).norm_l2() < 1e-12);
        }
        let (text, image) = (&whole.text_standard, &whole.image_standard);
        let said = |row: usize| text.apply(texts[row * 3 + 1], 1);
        let seen = |row: usize, component| image.apply(images[of[row] * 3 + component], component);
        let mean = |product: &dyn Fn(usize) -> f64| {
            (0..of.len()).map(product).sum::<f64>() / of.len() as f64
        };
        for (found, by_hand) in [
            (whole.texts[(1, 1)], mean(&|row| said(row) * said(row))),
            (whole.images[(2, 1)], mean(&|row| seen(row, 2) * seen(row, 1))),
            (whole.cross[(1, 2)], mean(&|row| said(row) * seen(row, 2))),
        ] {
            assert!((found - by_hand).abs() < 1e-12, "{found} for {by_hand}");
        }
    }

    #[test]
    fn a_map_reads_back_the_same() {
        let (texts, images, of) = rotated(0.1);
        let pairs =
            Pairs { texts: &texts, text_dim: 3, images: &images, image_dim: 3, image_of_text: &of };
        let map = Moments::of(pairs).cca(2, 0.1, &Device::Cpu).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.safetensors");
        map.save(&path, ["t", "i"], Precision::F32).unwrap();
        let (read, towers) = Map::load(&path, &Device::Cpu).unwrap();
        assert_eq!(towers, ["t", "i"]);
        let texts = EmbeddingMatrix::from_rows(3, texts).unwrap();
        assert_eq!(
            map.map_texts(&texts).unwrap().as_slice(),
            read.map_texts(&texts).unwrap().as_slice()
        );
    }
}
