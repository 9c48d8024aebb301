//! Texts as the text half of a jointly trained model takes them.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{Context, Layout, open_clip};
use crate::error::{ModelError, Result};
use crate::settings::read_json;
use crate::text::Tokenizer;

/// Above this, `model_max_length` is a number that stands for none.
const NO_LIMIT: u64 = 1 << 20;

/// What SigLIP's tokenizer takes out of a text before it looks for words.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// A tokenizer, and what is done before and after it.
pub(crate) struct Reader {
    tokenizer: Tokenizer,
    /// The length that texts are filled up to, and the token that fills them.
    padding: Option<(usize, u32)>,
    /// What is done to a text before it.
    before: Option<fn(&str) -> String>,
}

/// `tokenizer_config.json`, as far as it is needed.
#[derive(Default, Deserialize)]
struct TokenizerConfig {
    tokenizer_class: Option<String>,
    model_max_length: Option<serde_json::Number>,
    pad_token: Option<Value>,
}

impl Reader {
    /// The tokenizer of a directory: `tokenizer.json`, or CLIP's `vocab.json` and `merges.txt`.
    ///
    /// # Errors
    /// If there is neither, or a file is malformed.
    pub fn load(layout: Layout, dir: &Path, context: Context) -> Result<Self> {
        let path = dir.join("tokenizer_config.json");
        let config: TokenizerConfig = match path.exists() {
            true => read_json(&path)?,
            false => TokenizerConfig::default(),
        };
        let limit = config.model_max_length.as_ref().and_then(serde_json::Number::as_u64);
        let limit = limit.filter(|&most| most > 0 && most < NO_LIMIT);
        let longest = limit.map_or(context.longest, |most| context.longest.min(most as usize));
        let tokenizer = match layout {
            Layout::OpenClip => tokenizer(dir, longest)?.without_special_words(),
            Layout::HuggingFace => tokenizer(dir, longest)?,
        };
        let padding = context.padded.map(|default| {
            let named = config.pad_token.as_ref().and_then(token).and_then(|t| tokenizer.id(t));
            (longest, named.unwrap_or(default))
        });
        let class = config.tokenizer_class.unwrap_or_default();
        let before: Option<fn(&str) -> String> = match layout {
            Layout::OpenClip => Some(open_clip::cleaned),
            Layout::HuggingFace if class.starts_with("SiglipTokenizer") => Some(bare),
            Layout::HuggingFace => None,
        };
        Ok(Self { tokenizer, padding, before })
    }

    /// The most tokens of a text.
    pub fn longest(&self) -> usize {
        self.tokenizer.longest()
    }

    /// The token ids of a text, special ones and padding included.
    ///
    /// # Errors
    /// If the tokenizer refuses the text, or makes no token of it.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = match self.before {
            Some(before) => self.tokenizer.ids(&before(text))?,
            None => self.tokenizer.ids(text)?,
        };
        if let Some((length, filler)) = self.padding {
            ids.resize(length, filler);
        }
        if ids.is_empty() {
            let reason = "it adds no special tokens, and an empty text has no others".into();
            return Err(ModelError::Tokenizer { reason });
        }
        Ok(ids)
    }
}

fn tokenizer(dir: &Path, longest: usize) -> Result<Tokenizer> {
    let whole = dir.join("tokenizer.json");
    if whole.exists() {
        return Tokenizer::load(&whole, longest);
    }
    let (vocabulary, merges) = (dir.join("vocab.json"), dir.join("merges.txt"));
    if vocabulary.exists() && merges.exists() {
        return Tokenizer::clip(&vocabulary, &merges, longest);
    }
    Err(ModelError::NoTokenizer { path: dir.into() })
}

/// A special token, written as it is or as an object.
fn token(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

/// A text in lower case, without punctuation, its words one space apart, as SigLIP's tokenizer has it.
fn bare(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !PUNCTUATION.contains(*c)).collect();
    kept.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_texts_are_words() {
        assert_eq!(bare("  A dog's tail, un-\tleashed! "), "a dogs tail un leashed");
        assert_eq!(bare("?!"), "");
    }

    #[test]
    fn no_tokenizer_is_an_error_that_says_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { longest: 7, padded: None };
        let error = Reader::load(Layout::HuggingFace, folder.path(), context).err().unwrap();
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    }
}
