//! The works, one file each: what is loaded before, and what is timed.

mod encode;
pub mod search;

use anyhow::bail;

use crate::Inputs;
use crate::npy::Array;

/// Does the work once and returns its result, which is compared with the peers'.
pub type Work = Box<dyn FnMut() -> anyhow::Result<Array>>;

/// Loads what the named work needs.
pub fn load(name: &str, inputs: &Inputs) -> anyhow::Result<Work> {
    match name {
        "minilm_captions" => encode::minilm_captions(inputs),
        "efficientnet_lite0" => encode::efficientnet_lite0(inputs),
        "vit_s16" => encode::vit_s16(inputs),
        "search_1m_single" => search::search_1m_single(inputs),
        "search_1m_int8" => search::search_1m_int8(inputs),
        "search_1m_int8_recall" => search::search_1m_int8_recall(inputs),
        "search_1m_batch" => search::search_1m_batch(inputs),
        _ => bail!("unknown work `{name}`"),
    }
}
