//! Pooling of runs of rows by rank: each component's values in a run, largest first, weighted by their places.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::host::{operand, with_values};

/// Weighted sums of each run's values, component by component, sorted from the largest to the smallest.
///
/// # Shapes
/// `x`: `[rows, dim]`, `weights`: `[rows]`, f32; `runs`: the rows of each run, `rows` in sum. The first of a run's weights is
/// that of its largest values, the next that of the second largest, and so on. Returns `[runs, dim]`; a run of no rows gives
/// zeros. Of equal values the one in the earlier row counts as the larger.
/// # Errors
/// If the runs or the weights do not add up to the rows.
pub fn ranked_pool(x: &Tensor, weights: &Tensor, runs: &[usize]) -> Result<Tensor> {
    let (rows, dim) = x.dims2()?;
    if runs.iter().sum::<usize>() != rows || weights.dims() != [rows] {
        let found = weights.dims();
        bail!(
            "ranked_pool: expected runs and weights of {rows} rows, found {runs:?} and {found:?}"
        );
    }
    let operation = RankedPool { runs: runs.to_vec(), dim };
    if !x.device().is_cpu() {
        let host = |tensor: &Tensor| tensor.to_device(&candle_core::Device::Cpu)?.contiguous();
        return host(x)?.apply_op2(&host(weights)?, operation)?.to_device(x.device());
    }
    x.contiguous()?.apply_op2(&weights.contiguous()?, operation)
}

struct RankedPool {
    runs: Vec<usize>,
    dim: usize,
}

impl RankedPool {
    /// The rows of each run.
    fn ranges(&self) -> Vec<Range<usize>> {
        let ends = self.runs.iter().scan(0, |end, &run| {
            let start = *end;
            *end += run;
            Some(start..*end)
        });
        ends.collect()
    }

    fn forward(&self, x: &[f32], weights: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.runs.len() * self.dim];
        out.par_chunks_exact_mut(self.dim).zip(self.ranges()).for_each_init(
            Vec::new,
            |ranking, (out, rows)| {
                let weights = &weights[rows.clone()];
                let x = &x[rows.start * self.dim..rows.end * self.dim];
                for (component, out) in out.iter_mut().enumerate() {
                    rank(x, self.dim, component, ranking);
                    *out = ranking.iter().zip(weights).map(|((x, _), weight)| weight * x).sum();
                }
            },
        );
        out
    }

    /// The gradients of `x` and of `weights`.
    fn backward(&self, x: &[f32], weights: &[f32], grad: &[f32]) -> [Vec<f32>; 2] {
        let (mut of_x, mut of_weights) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
        let (mut left_x, mut left_weights) = (of_x.as_mut_slice(), of_weights.as_mut_slice());
        let mut runs = Vec::with_capacity(self.runs.len());
        for (rows, grad) in self.ranges().into_iter().zip(grad.chunks_exact(self.dim)) {
            let values = rows.len() * self.dim;
            let of_x = left_x.split_off_mut(..values).expect("runs add up to the rows");
            let of_weights = left_weights.split_off_mut(..rows.len()).expect("as above");
            runs.push((rows, grad, of_x, of_weights));
        }
        runs.into_par_iter().for_each_init(Vec::new, |ranking, (rows, grad, of_x, of_weights)| {
            let weights = &weights[rows.clone()];
            let x = &x[rows.start * self.dim..rows.end * self.dim];
            for (component, grad) in grad.iter().enumerate() {
                rank(x, self.dim, component, ranking);
                for (place, (value, row)) in ranking.iter().enumerate() {
                    of_x[*row as usize * self.dim + component] = grad * weights[place];
                    of_weights[place] += grad * value;
                }
            }
        });
        [of_x, of_weights]
    }
}

/// The values of one component of a run and their rows, largest first.
fn rank(x: &[f32], dim: usize, component: usize, ranking: &mut Vec<(f32, u32)>) {
    ranking.clear();
    ranking.extend(x.iter().skip(component).step_by(dim).copied().zip(0..));
    ranking.sort_unstable_by(|(a, i), (b, j)| b.total_cmp(a).then(i.cmp(j)));
}

impl CustomOp2 for RankedPool {
    fn name(&self) -> &'static str {
        "ranked_pool"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = operand(x, x_layout, self.name())?;
        let weights = operand(weights, weights_layout, self.name())?;
        let out = self.forward(x, weights);
        Ok((CpuStorage::F32(out), (self.runs.len(), self.dim).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [of_x, of_weights] = with_values(x, |x| {
            with_values(weights, |weights| {
                with_values(grad, |grad| self.backward(x, weights, grad))
            })
        })???;
        let of_x = Tensor::from_vec(of_x, x.shape(), x.device())?;
        Ok((Some(of_x), Some(Tensor::from_vec(of_weights, weights.shape(), x.device())?)))
    }
}
