//! The losses, one file each: equation, source, shapes, a naive form and a gradient check in the tests.

mod infonce;
mod paper;
mod paper_signed;
mod score_triplet;
mod siglip;
mod supcon;
mod triplet_hardest;
mod triplet_sum;

pub use infonce::{infonce, infonce_one_way, score_infonce};
pub use paper::paper;
pub use paper_signed::paper_signed;
pub use score_triplet::score_triplet;
pub use siglip::siglip;
pub use supcon::supcon;
pub use triplet_hardest::triplet_hardest;
pub use triplet_sum::triplet_sum;

use candle_core::{D, DType, Result, Tensor};
use serde::{Deserialize, Serialize};

/// Which loss a stage is trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The paper's equations as they are printed: [`paper()`].
    Paper,
    /// What the paper's text says of them: [`paper_signed()`].
    PaperSigned,
    /// [`infonce()`], in stages text and image [`infonce_one_way()`].
    #[serde(rename = "infonce")]
    InfoNce,
    /// [`supcon()`].
    #[serde(rename = "supcon")]
    SupCon,
    /// [`siglip()`].
    #[serde(rename = "siglip")]
    SigLip,
    /// [`triplet_sum()`].
    TripletSum,
    /// [`triplet_hardest()`], in the first epoch [`triplet_sum()`], as VSE++ has it.
    TripletHardest,
}

/// The bias that the sigmoid loss starts from (Zhai et al. 2023, §3.3).
pub const SIGLIP_BIAS: f64 = -10.0;

/// Queries, and keys that they should find.
pub struct Batch<'a> {
    /// `[batch, dim]`, rows of unit norm.
    pub queries: &'a Tensor,
    /// `[keys, dim]`, rows of unit norm. The first keys belong to the queries, in their order; more may
    /// follow.
    pub keys: &'a Tensor,
    /// `[batch, keys]`, 1 where a key means the same as the query and 0 elsewhere. A query's own key does;
    /// the others that do are never negatives.
    pub positives: &'a Tensor,
}

impl Batch<'_> {
    /// Cosines of queries and keys, `[batch, keys]`.
    fn cosines(&self) -> Result<Tensor> {
        self.queries.matmul(&self.keys.t()?)
    }

    /// 1 where a key is the query's own, `[batch, keys]`.
    fn own(&self) -> Result<Tensor> {
        let (batch, keys) = (self.queries.dim(0)?, self.keys.dim(0)?);
        let eye = Tensor::eye(batch, DType::F32, self.queries.device())?;
        match keys - batch {
            0 => Ok(eye),
            rest => {
                Tensor::cat(&[&eye, &Tensor::zeros((batch, rest), DType::F32, eye.device())?], 1)
            }
        }
    }

    /// max(0, `margin` − own cosine + cosine) of each negative, 0 for positives, `[batch, keys]`.
    fn hinges(&self, margin: f64) -> Result<Tensor> {
        let cosines = self.cosines()?;
        let own = (&cosines * self.own()?)?.sum_keepdim(D::Minus1)?;
        (cosines.broadcast_sub(&own)? + margin)?.relu()? * self.negatives()?
    }

    /// 1 where a key does not mean the same as the query, `[batch, keys]`.
    fn negatives(&self) -> Result<Tensor> {
        self.positives.affine(-1.0, 1.0)
    }
}

/// What is fixed or learned beside the vectors.
pub struct Terms {
    /// The scalar s = 1/τ that cosines are multiplied by.
    pub scale: Tensor,
    /// The scalar that the sigmoid loss adds.
    pub bias: Tensor,
    /// The margin of triplet losses and of `paper-signed`.
    pub margin: f64,
}

impl Loss {
    /// The loss that is used in an epoch, counted from 0.
    pub fn in_epoch(self, epoch: usize) -> Self {
        match (self, epoch) {
            (Self::TripletHardest, 0) => Self::TripletSum,
            _ => self,
        }
    }

    /// The loss of queries against keys. Returns a scalar.
    ///
    /// # Errors
    /// If the shapes do not agree.
    pub fn one_way(self, batch: &Batch<'_>, terms: &Terms) -> Result<Tensor> {
        match self {
            Self::Paper => paper(batch.queries, &batch.keys.narrow(0, 0, batch.queries.dim(0)?)?),
            Self::PaperSigned => paper_signed(batch, terms.margin),
            Self::InfoNce => infonce_one_way(batch, &terms.scale),
            Self::SupCon => {
                let temperature = 1.0 / f64::from(terms.scale.to_scalar::<f32>()?);
                supcon(batch.queries, batch.keys, batch.positives, temperature)
            }
            Self::SigLip => siglip(batch, &terms.scale, &terms.bias),
            Self::TripletSum => triplet_sum(batch, terms.margin),
            Self::TripletHardest => triplet_hardest(batch, terms.margin),
        }
    }

    /// The loss of pairs, row i of one side belonging to row i of the other and to no other row; of both
    /// directions where they differ. Returns a scalar.
    ///
    /// With one positive a row, `supcon` is `infonce`.
    ///
    /// # Shapes
    /// `image`, `text`: `[batch, dim]`, rows of unit norm.
    /// # Errors
    /// If the shapes do not agree.
    pub fn both_ways(self, image: &Tensor, text: &Tensor, terms: &Terms) -> Result<Tensor> {
        let positives = Tensor::eye(image.dim(0)?, DType::F32, image.device())?;
        let one_way =
            |queries, keys| self.one_way(&Batch { queries, keys, positives: &positives }, terms);
        match self {
            Self::InfoNce | Self::SupCon => infonce(image, text, &terms.scale),
            Self::Paper | Self::PaperSigned | Self::SigLip => one_way(image, text),
            Self::TripletSum | Self::TripletHardest => {
                one_way(image, text)? + one_way(text, image)?
            }
        }
    }
}

/// Logarithm of the softmax over the last dimension.
fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod checks {
    use super::Batch;
    use candle_core::{Device, Result, Tensor, Var};

    /// Width of the vectors of [`with_batch`].
    pub const DIM: usize = 5;

    /// Which of five keys mean the same as each of three queries; key i is query i's own.
    pub const POSITIVES: [f32; 15] = [1., 0., 1., 0., 0., 0., 1., 0., 0., 1., 0., 0., 1., 0., 0.];

    /// Deterministic rows of unit norm.
    pub fn unit_rows(rows: usize, dim: usize, seed: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7919 + seed * 104_729) % 1013) as f32 / 506.5 - 1.0;
        let mut values: Vec<f32> = (0..rows * dim).map(value).collect();
        for row in values.chunks_exact_mut(dim) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|x| *x /= norm);
        }
        values
    }

    pub fn tensor(values: &[f32], dim: usize) -> Tensor {
        Tensor::from_slice(values, (values.len() / dim, dim), &Device::Cpu).unwrap()
    }

    pub fn scalar(value: f32) -> Tensor {
        Tensor::new(value, &Device::Cpu).unwrap()
    }

    /// The cosine of query `i` and key `j` of [`check`].
    pub fn cosine(i: usize, j: usize) -> f32 {
        let (queries, keys) = (unit_rows(3, DIM, 1), unit_rows(5, DIM, 2));
        let pairs = queries[i * DIM..(i + 1) * DIM].iter().zip(&keys[j * DIM..]);
        pairs.map(|(x, y)| x * y).sum()
    }

    /// Whether key `j` means the same as query `i` in [`check`].
    pub fn same(i: usize, j: usize) -> bool {
        POSITIVES[i * 5 + j] > 0.0
    }

    /// Checks a loss of three queries and five keys against its value by a naive form, and its gradients
    /// against differences.
    pub fn check(expected: f32, loss: impl Fn(&Batch<'_>) -> Result<Tensor>) {
        let positives = tensor(&POSITIVES, 5);
        let of =
            |queries: &Tensor, keys: &Tensor| loss(&Batch { queries, keys, positives: &positives });
        let (queries, keys) = (unit_rows(3, DIM, 1), unit_rows(5, DIM, 2));
        let found = of(&tensor(&queries, DIM), &tensor(&keys, DIM)).unwrap();
        let found = found.to_scalar::<f32>().unwrap();
        assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{found}, {expected}");
        check_gradient(&queries, DIM, |queries| of(queries, &tensor(&keys, DIM)));
        check_gradient(&keys, DIM, |keys| of(&tensor(&queries, DIM), keys));
    }

    /// The gradient by backward against central differences.
    pub fn check_gradient(values: &[f32], dim: usize, loss: impl Fn(&Tensor) -> Result<Tensor>) {
        let shape = (values.len() / dim, dim);
        let tensor = |v: &[f32]| Tensor::from_slice(v, shape, &Device::Cpu).unwrap();
        let var = Var::from_tensor(&tensor(values)).unwrap();
        let gradients = loss(&var).unwrap().backward().unwrap();
        let gradient =
            gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for i in 0..values.len() {
            let moved = |delta: f32| {
                let mut moved = values.to_vec();
                moved[i] += delta;
                loss(&tensor(&moved)).unwrap().to_scalar::<f32>().unwrap()
            };
            let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let difference = (numeric - gradient[i]).abs();
            assert!(difference < 1e-2 * (1.0 + numeric.abs()), "{i}: {numeric}, {}", gradient[i]);
        }
    }
}
