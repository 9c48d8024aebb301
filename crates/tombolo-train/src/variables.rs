//! Variables in training, copied to and from checkpoints.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use tombolo_models::checkpoint::{HostTensor, Tensors};

use crate::error::Result;
use crate::optimizer::AdamW;

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

/// Sets of variables that a checkpoint holds, each below its name.
pub(crate) type Sets<'a> = [(&'a str, BTreeMap<String, Var>); 2];

/// A checkpoint of variables and of what the optimizer remembers of them.
pub(crate) fn checkpoint(sets: &Sets<'_>, optimizer: &AdamW) -> Result<Tensors> {
    let mut state = Tensors::new();
    for (set, variables) in sets {
        let named = host(variables)?.into_iter();
        state.extend(named.map(|(name, tensor)| (format!("{set}.{name}"), tensor)));
    }
    optimizer.export(&mut state);
    Ok(state)
}

/// Sets variables and optimizer to what a checkpoint holds. What it lacks stays.
pub(crate) fn restore(sets: &Sets<'_>, optimizer: &mut AdamW, state: &Tensors) -> Result<()> {
    for (set, variables) in sets {
        assign(variables, |name| state.get(&format!("{set}.{name}")))?;
    }
    optimizer.import(state);
    Ok(())
}

/// Sets variables to the tensors of their names. What has none stays.
pub(crate) fn assign<'t>(
    variables: &BTreeMap<String, Var>,
    tensor: impl Fn(&str) -> Option<&'t HostTensor>,
) -> Result<()> {
    for (name, variable) in variables {
        if let Some(HostTensor { data, .. }) = tensor(name) {
            variable.set(&Tensor::from_slice(data, variable.shape(), variable.device())?)?;
        }
    }
    Ok(())
}
