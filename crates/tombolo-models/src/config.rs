//! Hugging Face's `config.json`: its fields over the defaults that public files leave out, and those that nothing here knows.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{ModelError, Result};
use crate::settings::read_json;

/// What Hugging Face's configurations carry whatever the model is, and what has no bearing on vectors.
const WITHOUT_BEARING: &[&str] = &[
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "add_cross_attention",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dropout",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "is_composition",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "length_penalty",
    "logit_scale_init_value",
    "max_length",
    "min_length",
    "model_type",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "position_embedding_type",
    "prefix",
    "problem_type",
    "projection_dim",
    "pruned_heads",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "text_config",
    "text_config_dict",
    "text_model_name",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
    "vision_config",
    "vision_config_dict",
    "vision_model_name",
];

/// A kind of network as `model_type` names it, and its defaults as a JSON object: what a file has beyond its fields is told to the user.
pub(crate) type Kind = (&'static str, &'static str);

/// Fields of a configuration, or of a section of one.
pub(crate) struct Fields {
    defaults: Map<String, Value>,
    given: Map<String, Value>,
}

impl Fields {
    /// # Panics
    /// If `defaults` is no JSON object.
    pub fn new(defaults: &str, given: Map<String, Value>) -> Self {
        let defaults = serde_json::from_str(defaults).expect("defaults are a JSON object");
        Self { defaults, given }
    }

    /// What a file says, over the defaults.
    ///
    /// # Errors
    /// If a field is not what `T` expects; the message names it.
    pub fn values<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        // A null stands for a default.
        let given = self.given.iter().filter(|(_, value)| !value.is_null());
        let mut merged = self.defaults.clone();
        merged.extend(given.map(|(name, value)| (name.clone(), value.clone())));
        serde_json::from_value(Value::Object(merged))
    }

    /// The same without these.
    fn without(mut self, names: &[String]) -> Self {
        names.iter().for_each(|name| drop(self.given.remove(name)));
        self
    }

    /// Names of fields that nothing here knows: what they ask for is not done.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        let names = self.given.keys().map(String::as_str);
        names.filter(|name| !self.defaults.contains_key(*name) && !WITHOUT_BEARING.contains(name))
    }
}

/// What the user is told of a field that nothing here knows.
pub(crate) fn not_followed(path: &Path, field: &str) -> String {
    format!("{}: `{field}` is not known and not followed", path.display())
}

/// `config.json` of a network by itself.
pub(crate) struct Config {
    path: PathBuf,
    kind: &'static str,
    fields: Fields,
    /// Names of fields that nothing here knows.
    unknown: Vec<String>,
}

impl Config {
    /// Reads `config.json` of a directory.
    ///
    /// # Errors
    /// If it cannot be read, or is of none of these kinds.
    pub fn read(dir: &Path, kinds: &[Kind]) -> Result<Self> {
        let path = dir.join("config.json");
        let given: Map<String, Value> = read_json(&path)?;
        let found = given.get("model_type").and_then(Value::as_str).unwrap_or("none");
        match kinds.iter().find(|(kind, _)| *kind == found) {
            Some((kind, defaults)) => {
                let fields = Fields::new(defaults, given);
                let unknown: Vec<String> = fields.unknown().map(str::to_owned).collect();
                let fields = fields.without(&unknown);
                Ok(Self { path, kind, fields, unknown })
            }
            None => {
                let known: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
                let known = known.join(", ");
                let reason = format!(
                    "model_type: expected one of {known}, or a jointly trained model, found `{found}`"
                );
                Err(ModelError::Settings { path, reason })
            }
        }
    }

    /// What kind of network it is.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its fields.
    ///
    /// # Errors
    /// If one is not what `T` expects; the message names it.
    pub fn values<T: DeserializeOwned>(&self) -> Result<T> {
        self.fields.values().map_err(|error| self.refused(error.to_string()))
    }

    /// That the settings cannot be used, and why.
    pub fn refused(&self, reason: String) -> ModelError {
        ModelError::Settings { path: self.path.clone(), reason }
    }

    /// What the user should be told: fields that nothing here knows.
    pub fn warnings(&self) -> Vec<String> {
        self.unknown.iter().map(|field| not_followed(&self.path, field)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(config: Value) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Config::read(folder.path(), &[("bert", r#"{"hidden_size": 768}"#), ("vit", "{}")])
    }

    #[test]
    fn a_file_speaks_over_the_defaults_and_a_null_does_not() {
        let size = |config: Value| {
            let values: Value = read(config).unwrap().values().unwrap();
            values["hidden_size"].as_u64()
        };
        assert_eq!(size(json!({ "model_type": "bert", "hidden_size": 64 })), Some(64));
        assert_eq!(size(json!({ "model_type": "bert", "hidden_size": null })), Some(768));
    }

    #[test]
    fn fields_that_nothing_knows_are_told() {
        let config = json!({ "model_type": "bert", "hidden_size": 64, "rotary": true, "torch_dtype": "float32" });
        let config = read(config).unwrap();
        let told = config.warnings();
        assert!(told.len() == 1 && told[0].contains("`rotary`"), "{told:?}");
        assert!(config.values::<Value>().unwrap()["rotary"].is_null(), "nor followed");
    }

    #[test]
    fn another_kind_of_network_is_refused_with_those_that_are_known() {
        for (config, found) in
            [(json!({ "model_type": "mpnet" }), "`mpnet`"), (json!({}), "`none`")]
        {
            let message = read(config).err().unwrap().to_string();
            assert!(message.contains("one of bert, vit") && message.contains(found), "{message}");
        }
    }
}
