//! Candle tensors that live in the CPU's memory as plain slices, to read and to change.

use std::cell::RefCell;
use std::ops::Deref;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, StorageRef, Tensor, bail};

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

/// The values of a contiguous f32 tensor on the CPU, locked against writing while this lives.
pub struct HostValues<'a> {
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> HostValues<'a> {
    /// Locks the tensor for reading.
    ///
    /// # Errors
    /// If it is not f32, not contiguous or not on the CPU.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cpu(cpu) => operand(cpu, layout, "host-values")?,
            _ => bail!("expected a tensor on the CPU, found one on {:?}", tensor.device()),
        };
        Ok(Self { storage, layout })
    }
}

impl Deref for HostValues<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(cpu) => operand(cpu, self.layout, "host-values").unwrap_or(&[]),
            _ => &[],
        }
    }
}

/// Calls `change` with the values of a contiguous f32 tensor on the CPU, to be changed in place. All that
/// share its storage, as a variable and the layers that read it do, see the change.
///
/// # Errors
/// If it is not f32, not contiguous or not on the CPU.
pub fn with_values_mut(tensor: &Tensor, change: impl FnMut(&mut [f32])) -> Result<()> {
    if !tensor.device().is_cpu() {
        bail!("expected a tensor on the CPU, found one on {:?}", tensor.device());
    }
    tensor.inplace_op1(&Change(RefCell::new(change)))
}

struct Change<F>(RefCell<F>);

impl<F: FnMut(&mut [f32])> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("change: expected a contiguous tensor, found strides {layout:?}")
        };
        match storage {
            CpuStorage::F32(values) => (self.0.borrow_mut())(&mut values[start..end]),
            _ => bail!("change: expected a tensor of f32"),
        }
        Ok(())
    }
}
