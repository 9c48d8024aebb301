//! Names and shapes of open_clip's tensors, as Hugging Face has them.

use std::path::Path;

use crate::checkpoint::{CheckpointError, MappedTensors, Named, Values};

/// The tensors by Hugging Face's names.
///
/// # Errors
/// If a tensor has another number of dimensions than its name asks for.
pub(crate) fn translated(tensors: MappedTensors) -> Result<MappedTensors, CheckpointError> {
    let path = tensors.path().to_owned();
    let resnet = tensors.has_prefix("visual.layer1.");
    tensors.translated(|name, shape, values| {
        // With `custom_text`, the text half is a module of its own.
        let name = name.strip_prefix("text.").unwrap_or(name);
        let name = name.strip_prefix("module.").unwrap_or(name);
        if resnet && name.starts_with("visual.") {
            return Ok(vec![(name.to_owned(), shape, values)]);
        }
        if name == "text_projection" || name == "visual.proj" {
            let to = if name == "visual.proj" { "visual_projection" } else { name };
            return transposed(&path, name, &format!("{to}.weight"), &shape, &values);
        }
        let part = [
            ("visual.transformer.resblocks.", "vision_model"),
            ("transformer.resblocks.", "text_model"),
        ];
        for (prefix, half) in part {
            if let Some(rest) = name.strip_prefix(prefix) {
                let (layer, rest) = rest.split_once('.').unwrap_or((rest, ""));
                return block(&format!("{half}.encoder.layers.{layer}"), rest, &shape, &values);
            }
        }
        let to = ALONE
            .iter()
            .find_map(|(from, to)| name.strip_prefix(from).map(|rest| format!("{to}{rest}")));
        Ok(vec![(to.unwrap_or_else(|| name.to_owned()), shape, values)])
    })
}

/// Beginnings of names outside of the layers.
const ALONE: [(&str, &str); 8] = [
    ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
    ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
    ("visual.ln_pre", "vision_model.pre_layrnorm"),
    ("visual.ln_post", "vision_model.post_layernorm"),
    ("token_embedding", "text_model.embeddings.token_embedding"),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("ln_final", "text_model.final_layer_norm"),
];

/// Parts of a layer.
const PARTS: [(&str, &str); 5] = [
    ("attn.out_proj", "self_attn.out_proj"),
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
];

/// A tensor of a layer; queries, keys and values lie in one.
fn block(
    layer: &str,
    part: &str,
    shape: &[usize],
    values: &Values,
) -> Result<Vec<Named>, CheckpointError> {
    if let Some(kind) = part.strip_prefix("attn.in_proj_") {
        let third = values.len() / 3;
        let mut shape = shape.to_vec();
        if let Some(rows) = shape.first_mut() {
            *rows /= 3;
        }
        let each = ["q", "k", "v"].into_iter().enumerate().map(|(index, letter)| {
            let part = values.part(index * third..(index + 1) * third);
            (format!("{layer}.self_attn.{letter}_proj.{kind}"), shape.clone(), part)
        });
        return Ok(each.collect());
    }
    let to = PARTS
        .iter()
        .find_map(|(from, to)| part.strip_prefix(from).map(|rest| format!("{to}{rest}")));
    let to = to.unwrap_or_else(|| part.to_owned());
    Ok(vec![(format!("{layer}.{to}"), shape.to_vec(), values.clone())])
}

/// A matrix `[inputs, outputs]` as the weight of a linear layer, `[outputs, inputs]`.
fn transposed(
    path: &Path,
    name: &str,
    to: &str,
    shape: &[usize],
    values: &Values,
) -> Result<Vec<Named>, CheckpointError> {
    let &[inputs, outputs] = shape else {
        return Err(CheckpointError::Tensor {
            path: path.to_owned(),
            name: name.to_owned(),
            expected: "a matrix".into(),
            found: format!("shape {shape:?}"),
        });
    };
    let columns = (0..outputs).flat_map(|o| (0..inputs).map(move |i| values[i * outputs + o]));
    let columns: Vec<f32> = columns.collect();
    Ok(vec![(to.to_owned(), vec![outputs, inputs], columns.into())])
}
