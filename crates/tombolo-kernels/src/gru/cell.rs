//! One step of a gated recurrent unit, and one back.

use crate::simd::{exp, multiversioned};

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

multiversioned! {
    /// Moves `state` by one row, and keeps r, z, n and h_n of it.
    ///
    /// `gates` and `recurrent`: `[3 · hidden]`, the shares of input and state; `state`: `[hidden]`; `kept`: `[4 · hidden]`.
    pub(super) fn advance(gates: &[f32], recurrent: &[f32], state: &mut [f32], kept: &mut [f32]) {
        let dim = state.len();
        let (x_rz, x_n) = gates.split_at(2 * dim);
        let (h_rz, h_n) = recurrent.split_at(2 * dim);
        let (rz, rest) = kept.split_at_mut(2 * dim);
        let (n, kept_h_n) = rest.split_at_mut(dim);
        for ((rz, x), h) in rz.iter_mut().zip(x_rz).zip(h_rz) {
            *rz = sigmoid(x + h);
        }
        let (r, z) = rz.split_at(dim);
        for (((n, r), x), h) in n.iter_mut().zip(r).zip(x_n).zip(h_n) {
            *n = tanh(x + r * h);
        }
        for ((state, z), n) in state.iter_mut().zip(z).zip(&*n) {
            *state = n + z * (*state - n);
        }
        kept_h_n.copy_from_slice(h_n);
    }
}

multiversioned! {
    /// From the gradient of a row's state to those of its gates and of the state's share in them, and, in the place of
    /// `grad`, to what reaches the state before it through z alone.
    ///
    /// `kept` as [`advance`] left it; `previous` and `grad`: `[hidden]`; `gates` and `recurrent`: `[3 · hidden]`.
    pub(super) fn retreat(
        kept: &[f32],
        previous: &[f32],
        grad: &mut [f32],
        gates: &mut [f32],
        recurrent: &mut [f32],
    ) {
        let dim = grad.len();
        let (r, rest) = kept.split_at(dim);
        let (z, rest) = rest.split_at(dim);
        let (n, h_n) = rest.split_at(dim);
        let (to_r, rest) = gates.split_at_mut(dim);
        let (to_z, to_n) = rest.split_at_mut(dim);
        for ((((to, grad), h), z), n) in to_z.iter_mut().zip(&*grad).zip(previous).zip(z).zip(n) {
            *to = grad * (h - n) * z * (1.0 - z);
        }
        for (((to, grad), z), n) in to_n.iter_mut().zip(&*grad).zip(z).zip(n) {
            *to = grad * (1.0 - z) * (1.0 - n * n);
        }
        for (((to, to_n), h), r) in to_r.iter_mut().zip(&*to_n).zip(h_n).zip(r) {
            *to = to_n * h * r * (1.0 - r);
        }
        let (shared, of_n) = recurrent.split_at_mut(2 * dim);
        shared.copy_from_slice(&gates[..2 * dim]);
        for ((of_n, to_n), r) in of_n.iter_mut().zip(&gates[2 * dim..]).zip(r) {
            *of_n = to_n * r;
        }
        for (grad, z) in grad.iter_mut().zip(z) {
            *grad *= z;
        }
    }
}
