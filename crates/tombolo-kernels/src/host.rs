//! Reading candle tensors that live in the CPU's memory as plain slices.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The values of a contiguous f32 operand of a custom operation.
pub(crate) fn operand<'a>(
    storage: &'a CpuStorage,
    layout: &Layout,
    operation: &'static str,
) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("{operation}: expected a contiguous operand, found strides {layout:?}"),
    }
}

/// Calls `read` with the values of an f32 tensor on the CPU, made contiguous if it is not.
pub(crate) fn with_values<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => Ok(read(operand(cpu, layout, "with_values")?)),
        _ => bail!("expected a tensor on the CPU, found one on {:?}", tensor.device()),
    }
}
