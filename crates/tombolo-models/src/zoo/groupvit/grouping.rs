//! The groups that a picture falls into.

/// A picture's groups after the last stage, and how much of each cell is in each.
pub(super) struct Grouped {
    /// The groups' states after the last norm, `[groups, hidden]`.
    pub states: Vec<f32>,
    /// `[groups, cells]`; 1 in sum over the groups.
    pub shares: Vec<f32>,
    pub hidden: usize,
}

impl Grouped {
    /// The mean of the groups, `[hidden]`.
    pub fn mean(&self) -> Vec<f32> {
        let groups = self.states.len() / self.hidden;
        let mut mean = vec![0.0; self.hidden];
        for state in self.states.chunks_exact(self.hidden) {
            mean.iter_mut().zip(state).for_each(|(m, x)| *m += x / groups as f32);
        }
        mean
    }

    /// The state of each cell: those of the groups, each by how much of the cell is in it. `[cells, hidden]`.
    pub fn cells(&self) -> Vec<f32> {
        let groups = self.states.len() / self.hidden;
        let cells = self.shares.len() / groups;
        let mut out = vec![0.0; cells * self.hidden];
        for (state, shares) in
            self.states.chunks_exact(self.hidden).zip(self.shares.chunks_exact(cells))
        {
            for (out, share) in out.chunks_exact_mut(self.hidden).zip(shares) {
                out.iter_mut().zip(state).for_each(|(out, x)| *out += share * x);
            }
        }
        out
    }
}

/// What of each cell is in each group of a later stage: `first`: `[groups, cells]`, `then`: `[later groups, groups]`.
/// Returns `[later groups, cells]`.
pub(super) fn composed(first: &[f32], then: &[f32], groups: usize) -> Vec<f32> {
    let cells = first.len() / groups;
    let mut out = vec![0.0; then.len() / groups * cells];
    for (out, weights) in out.chunks_exact_mut(cells).zip(then.chunks_exact(groups)) {
        for (shares, weight) in first.chunks_exact(cells).zip(weights) {
            out.iter_mut().zip(shares).for_each(|(out, share)| *out += weight * share);
        }
    }
    out
}
