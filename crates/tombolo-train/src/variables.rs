//! Variables in training, copied to and from checkpoints.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use tombolo_models::checkpoint::{HostTensor, Tensors};

use crate::error::Result;

/// The values of variables, by name.
pub(crate) fn host(variables: &BTreeMap<String, Var>) -> Result<Tensors> {
    variables
        .iter()
        .map(|(name, variable)| {
            let (shape, data) = (variable.dims().to_vec(), variable.flatten_all()?.to_vec1()?);
            Ok((name.clone(), HostTensor { shape, data }))
        })
        .collect()
}

/// Adds the values of variables to a checkpoint, their names below `prefix`.
pub(crate) fn export(
    prefix: &str,
    variables: &BTreeMap<String, Var>,
    out: &mut Tensors,
) -> Result<()> {
    let named = host(variables)?.into_iter();
    out.extend(named.map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)));
    Ok(())
}

/// Sets variables to what a checkpoint holds below `prefix`. What it lacks stays.
pub(crate) fn import(
    prefix: &str,
    variables: &BTreeMap<String, Var>,
    tensors: &Tensors,
) -> Result<()> {
    for (name, variable) in variables {
        if let Some(HostTensor { data, .. }) = tensors.get(&format!("{prefix}.{name}")) {
            variable.set(&Tensor::from_slice(data, variable.shape(), variable.device())?)?;
        }
    }
    Ok(())
}
