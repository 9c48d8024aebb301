//! CLIP's tokenizer from the two files that older repositories have.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::tokenizer::failed;
use crate::error::{ModelError, Result};
use crate::settings::read_json;

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// What becomes words: the special tokens, English endings, runs of letters, single digits, and runs of anything else.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Reads `vocab.json`, ids by token, and `merges.txt`, a pair a line.
///
/// # Errors
/// If a file cannot be read, or has no tokens for the start and the end of a text.
pub(super) fn read(vocabulary: &Path, merges: &Path) -> Result<Tokenizer> {
    let vocab: Value = read_json(vocabulary)?;
    let id = |token: &str| {
        vocab[token].as_u64().ok_or_else(|| ModelError::Settings {
            path: vocabulary.into(),
            reason: format!("expected a token {token}, found none"),
        })
    };
    let (start, end) = (id(START)?, id(END)?);
    let text = std::fs::read_to_string(merges).map_err(ModelError::io(merges))?;
    let pairs = text.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let pairs: Vec<&str> = pairs.collect();
    let special = |id: u64, content: &str| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    let description = json!({
        "version": "1.0",
        "added_tokens": [special(start, START), special(end, END)],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "NFC" },
            { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
            { "type": "Lowercase" },
        ] },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": WORDS }, "behavior": "Removed", "invert": true },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        ] },
        "post_processor": {
            "type": "RobertaProcessing", "sep": [END, end], "cls": [START, start],
            "trim_offsets": false, "add_prefix_space": false,
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "vocab": vocab, "merges": pairs,
        },
    });
    Tokenizer::from_bytes(description.to_string()).map_err(failed)
}
