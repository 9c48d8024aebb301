//! The works, one file each: what is loaded before, and what is timed.

mod encode;
mod photos;
pub mod search;
mod train;

use anyhow::bail;

use crate::Inputs;
use crate::npy::Array;

/// Does the work once and returns its result, which is compared with the peers'.
pub type Work = Box<dyn FnMut() -> anyhow::Result<Array>>;

/// Loads what the named work needs.
pub fn load(name: &str, inputs: &Inputs) -> anyhow::Result<Work> {
    match name {
        "minilm_captions" => encode::minilm_captions(inputs),
        "efficientnet_lite0" => encode::efficientnet_lite0(inputs).map(encode::timed),
        "vit_s16" => encode::vit_s16(inputs).map(encode::timed),
        "photos_end_to_end" => photos::end_to_end(inputs),
        "photos_encode_only" => photos::encode_only(inputs),
        "train_map" => train::train_map(inputs),
        "train_tower" => train::train_tower(inputs),
        "search_1m_single" => search::search_1m_single(inputs),
        "search_1m_int8" => search::search_1m_int8(inputs),
        "search_1m_int8_recall" => search::search_1m_int8_recall(inputs),
        "search_1m_batch" => search::search_1m_batch(inputs),
        _ if name.starts_with("grow_map:") => train::grow_map(&name["grow_map:".len()..]),
        _ => bail!("unknown work `{name}`"),
    }
}

/// Loads what is compared with the peers' instead of the result of the named work, where that result is
/// random, or copying it is not part of the work.
pub fn load_check(name: &str, inputs: &Inputs) -> anyhow::Result<Option<Work>> {
    match name {
        "efficientnet_lite0" => encode::efficientnet_lite0(inputs).map(encode::compared).map(Some),
        "vit_s16" => encode::vit_s16(inputs).map(encode::compared).map(Some),
        "train_map" => train::train_map_check(inputs).map(Some),
        "train_tower" => train::train_tower_check(inputs).map(Some),
        _ => Ok(None),
    }
}
