//! Tokenizers: a model's own, or one of plain words for a tower from scratch.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::{Tokenizer as Inner, TruncationParams};

use super::clip;
use crate::error::{ModelError, Result};

/// The token that stands for words which training never saw.
const UNKNOWN: &str = "[UNK]";

/// Turns texts into token ids.
pub struct Tokenizer {
    inner: Inner,
    /// The id of [`UNKNOWN`] where words are tokens.
    unknown: Option<u32>,
    longest: usize,
}

pub(super) fn failed(error: impl std::fmt::Display) -> ModelError {
    ModelError::Tokenizer { reason: error.to_string() }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; texts are cut to `longest` tokens, special ones included.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn load(path: &Path, longest: usize) -> Result<Self> {
        Self::new(Inner::from_file(path).map_err(failed)?, longest)
    }

    /// CLIP's tokenizer, a byte-level BPE, from `vocab.json` and `merges.txt`; texts are cut to `longest` tokens, special
    /// ones included.
    ///
    /// # Errors
    /// If a file cannot be read, or has no tokens for the start and the end of a text.
    pub fn clip(vocabulary: &Path, merges: &Path, longest: usize) -> Result<Self> {
        Self::new(clip::read(vocabulary, merges)?, longest)
    }

    /// The same, for which special tokens that are written out in a text are letters like all others.
    pub fn without_special_words(mut self) -> Self {
        self.inner.set_encode_special_tokens(true);
        self
    }

    /// The most tokens of a text, special ones included.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The id of a token, special ones included.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A tokenizer of the words that occur in `texts`: lower case, without punctuation.
    ///
    /// # Errors
    /// If the tokenizer cannot be built.
    pub fn from_words<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        longest: usize,
    ) -> Result<Self> {
        let splitter = word_level(Map::from_iter([(UNKNOWN.into(), 0.into())]))?;
        let mut words = BTreeSet::new();
        for text in texts {
            for token in splitter.encode_char_offsets(text, false).map_err(failed)?.get_offsets() {
                let word = text.chars().skip(token.0).take(token.1 - token.0);
                // Letter by letter, as the tokenizer does: a final sigma is no other letter to it.
                words.insert(word.flat_map(char::to_lowercase).collect::<String>());
            }
        }
        let words = std::iter::once(UNKNOWN.to_owned()).chain(words);
        let vocabulary = words.zip(0..).map(|(word, id)| (word, Value::from(id))).collect();
        Self::new(word_level(vocabulary)?, longest)
    }

    fn new(mut inner: Inner, longest: usize) -> Result<Self> {
        let truncation = TruncationParams { max_length: longest, ..TruncationParams::default() };
        inner.with_truncation(Some(truncation)).map_err(failed)?;
        inner.with_padding(None);
        let unknown = match inner.get_model() {
            tokenizers::ModelWrapper::WordLevel(_) => inner.token_to_id(UNKNOWN),
            _ => None,
        };
        Ok(Self { inner, unknown, longest })
    }

    /// Writes `tokenizer.json`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.inner.save(path, false).map_err(failed)
    }

    /// Number of ids.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The ids of a text; at least one. Where words are tokens, words that training never saw are left
    /// out, unless there is no other.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.inner.encode_fast(text, true).map_err(failed)?.get_ids().to_vec();
        if let Some(unknown) = self.unknown {
            ids.retain(|&id| id != unknown);
            if ids.is_empty() {
                ids.push(unknown);
            }
        }
        Ok(ids)
    }
}

/// A tokenizer whose tokens are the runs of letters, marks and digits that `vocabulary` knows.
fn word_level(vocabulary: Map<String, Value>) -> Result<Inner> {
    let description = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": {
            "type": "Split",
            "pattern": { "Regex": r"[\p{L}\p{M}\p{N}]+" },
            "behavior": "Removed",
            "invert": true,
        },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": UNKNOWN },
    });
    Inner::from_bytes(description.to_string()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::from_words(["A red Heart", "woman: deep skin-tone", "café 日本"], 6).unwrap()
    }

    #[test]
    fn words_are_split_at_punctuation_and_lower_cased() {
        let tokenizer = tokenizer();
        assert_eq!(tokenizer.vocabulary(), 1 + 9);
        assert_eq!(tokenizer.ids("RED, heart!").unwrap(), tokenizer.ids("red heart").unwrap());
        assert_eq!(tokenizer.ids("skin tone 日本 café").unwrap().len(), 4);
        let greek = Tokenizer::from_words(["ΣΚΥΛΟΣ", "ΓΑΤΟΣ"], 6).unwrap();
        assert_ne!(greek.ids("ΣΚΥΛΟΣ").unwrap(), greek.ids("ΓΑΤΟΣ").unwrap());
    }

    #[test]
    fn unknown_words_are_left_out_but_a_text_is_never_empty() {
        let tokenizer = tokenizer();
        assert_eq!(tokenizer.ids("red zebra heart").unwrap(), tokenizer.ids("red heart").unwrap());
        assert_eq!(tokenizer.ids("zebra").unwrap().len(), 1);
        assert_eq!(tokenizer.ids("").unwrap().len(), 1);
    }

    #[test]
    fn long_texts_are_cut_and_files_read_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        let tokenizer = tokenizer();
        tokenizer.save(&path).unwrap();
        let read = Tokenizer::load(&path, 6).unwrap();
        let long = "red heart ".repeat(5_000);
        assert_eq!(read.ids(&long).unwrap().len(), 6);
        assert_eq!(read.ids("deep café").unwrap(), tokenizer.ids("deep café").unwrap());
    }
}
