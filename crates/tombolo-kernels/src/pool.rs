//! Pooling of runs of rows: their mean beside the mean of each component's largest values.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::host::{operand, with_values};

/// Mean of each run of rows, and mean of each component's `top` largest values in it.
///
/// # Shapes
/// `x`: `[rows, dim]`, f32; `runs`: the rows of each run, `rows` in sum. Returns `[runs, 2 · dim]`; a run of no rows
/// gives zeros, and one of fewer than `top` the mean twice.
/// # Errors
/// If the runs do not add up, or `top` is zero.
pub fn pool(x: &Tensor, runs: &[usize], top: usize) -> Result<Tensor> {
    let (rows, dim) = x.dims2()?;
    if runs.iter().sum::<usize>() != rows || top == 0 {
        bail!("pool: expected runs that add up to {rows} rows, found {runs:?} (top {top})");
    }
    let operation = Pool { runs: runs.to_vec(), top, dim };
    if !x.device().is_cpu() {
        let pooled = x.to_device(&candle_core::Device::Cpu)?.contiguous()?.apply_op1(operation)?;
        return pooled.to_device(x.device());
    }
    x.contiguous()?.apply_op1(operation)
}

struct Pool {
    runs: Vec<usize>,
    top: usize,
    dim: usize,
}

impl Pool {
    /// Where each run's rows lie.
    fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.runs.iter().scan(0, |end, &run| {
            let start = *end;
            *end += run * self.dim;
            Some(start..*end)
        })
    }
}

impl CustomOp1 for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = operand(x, layout, self.name())?;
        let mut out = vec![0.0; self.runs.len() * 2 * self.dim];
        let runs: Vec<&[f32]> = self.ranges().map(|range| &x[range]).collect();
        out.par_chunks_exact_mut(2 * self.dim).zip(runs).for_each_init(
            Largest::default,
            |largest, (out, rows)| {
                if !rows.is_empty() {
                    let (mean, top) = out.split_at_mut(self.dim);
                    pool_run(rows, self.top, largest, mean, top);
                }
            },
        );
        Ok((CpuStorage::F32(out), (self.runs.len(), 2 * self.dim).into()))
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut out = vec![0.0; x.elem_count()];
        let mut rest = out.as_mut_slice();
        let parts: Vec<&mut [f32]> = self
            .ranges()
            .map(|range| rest.split_off_mut(..range.len()).expect("ranges add up to the rows"))
            .collect();
        with_values(x, |x| {
            with_values(grad, |grad| {
                let runs: Vec<&[f32]> = self.ranges().map(|range| &x[range]).collect();
                let grad = grad.par_chunks_exact(2 * self.dim);
                parts.into_par_iter().zip(runs).zip(grad).for_each_init(
                    Largest::default,
                    |largest, ((out, rows), grad)| {
                        if !rows.is_empty() {
                            let (mean, top) = grad.split_at(self.dim);
                            spread(rows, self.top, largest, (mean, top), out);
                        }
                    },
                );
            })
        })??;
        Tensor::from_vec(out, x.shape(), x.device()).map(Some)
    }
}

/// The largest values of each component of a run, and the rows that they are in, `[top, dim]`, largest first.
#[derive(Default)]
struct Largest {
    values: Vec<f32>,
    rows: Vec<u32>,
}

impl Largest {
    fn find(&mut self, rows: &[f32], dim: usize, top: usize) {
        self.values.clear();
        self.values.resize(top * dim, f32::NEG_INFINITY);
        self.rows.clear();
        self.rows.resize(top * dim, 0);
        for (number, row) in rows.chunks_exact(dim).enumerate() {
            let smallest = (top - 1) * dim;
            for (component, &value) in row.iter().enumerate() {
                if value > self.values[smallest + component] {
                    self.insert(component, dim, value, number as u32);
                }
            }
        }
    }

    fn insert(&mut self, component: usize, dim: usize, mut value: f32, mut row: u32) {
        for slot in (component..self.values.len()).step_by(dim) {
            if value > self.values[slot] {
                std::mem::swap(&mut self.values[slot], &mut value);
                std::mem::swap(&mut self.rows[slot], &mut row);
            }
        }
    }
}

fn pool_run(rows: &[f32], top: usize, largest: &mut Largest, mean: &mut [f32], out: &mut [f32]) {
    let dim = mean.len();
    let count = rows.len() / dim;
    let top = top.min(count);
    for row in rows.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(m, x)| *m += x);
    }
    mean.iter_mut().for_each(|m| *m /= count as f32);
    largest.find(rows, dim, top);
    for row in largest.values.chunks_exact(dim).rev() {
        out.iter_mut().zip(row).for_each(|(o, x)| *o += x / top as f32);
    }
}

/// Adds the gradients of the two means to the rows that made them.
fn spread(
    rows: &[f32],
    top: usize,
    largest: &mut Largest,
    (of_mean, of_top): (&[f32], &[f32]),
    out: &mut [f32],
) {
    let dim = of_mean.len();
    let count = rows.len() / dim;
    let top = top.min(count);
    for out in out.chunks_exact_mut(dim) {
        out.iter_mut().zip(of_mean).for_each(|(o, g)| *o += g / count as f32);
    }
    largest.find(rows, dim, top);
    for (slot, &row) in largest.rows.iter().enumerate() {
        let component = slot % dim;
        out[row as usize * dim + component] += of_top[component] / top as f32;
    }
}
