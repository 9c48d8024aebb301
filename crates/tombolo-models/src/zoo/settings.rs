//! `config.json` of a jointly trained model: its sections, over the defaults that public files leave out.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{ARCHITECTURES, Architecture};
use crate::config::Fields;
use crate::error::{ModelError, Result};
use crate::settings::read_json;

/// The settings of a model's directory.
pub(crate) struct Settings {
    /// The directory.
    pub dir: PathBuf,
    /// What the settings were read from.
    pub path: PathBuf,
    /// `config.json`, or what open_clip's settings would be in its words.
    pub config: Value,
    /// What reads the model.
    pub architecture: &'static Architecture,
}

impl Settings {
    /// Reads `config.json` of a directory.
    ///
    /// # Errors
    /// If the file is malformed, or of an architecture that is not known.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        Self::new(dir, &path, read_json(&path)?)
    }

    /// Settings that came from another file than `config.json`.
    ///
    /// # Errors
    /// If they are of an architecture that is not known.
    pub fn new(dir: &Path, path: &Path, config: Value) -> Result<Self> {
        let found = config["model_type"].as_str().unwrap_or("none");
        let architecture = ARCHITECTURES.iter().find(|a| a.model_type == found);
        let architecture = architecture.ok_or_else(|| ModelError::Architecture {
            path: path.into(),
            known: ARCHITECTURES.iter().map(|a| a.model_type).collect::<Vec<_>>().join(", "),
            found: found.into(),
        })?;
        Ok(Self { dir: dir.into(), path: path.into(), config, architecture })
    }

    /// A section, `""` being the top, over the architecture's defaults.
    ///
    /// # Errors
    /// If a field is not what `T` expects; the message names it.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.fields(name).values().map_err(|error| {
            let place = if name.is_empty() { String::new() } else { format!("{name}: ") };
            self.refused(format!("{place}{error}"))
        })
    }

    /// That the settings cannot be used, and why.
    pub fn refused(&self, reason: String) -> ModelError {
        ModelError::Settings { path: self.path.clone(), reason }
    }

    /// Refuses a network that reads pictures of another side than the preprocessing makes.
    ///
    /// # Errors
    /// [`ModelError::Settings`].
    pub fn expect_size(&self, network: Option<usize>, preprocessed: usize) -> Result<()> {
        match network.filter(|&side| side != preprocessed) {
            None => Ok(()),
            Some(side) => Err(self.refused(format!(
                "image_size: expected what the preprocessing makes, pictures of {preprocessed}, found {side}"
            ))),
        }
    }

    /// Fields that nothing here knows: what they ask for is not done.
    pub fn unknown(&self) -> Vec<String> {
        let mut unknown = Vec::new();
        for (name, _) in self.architecture.sections {
            let dot = if name.is_empty() { "" } else { "." };
            let fields = self.fields(name);
            unknown.extend(fields.unknown().map(|field| format!("{name}{dot}{field}")));
        }
        unknown
    }

    /// A section with its defaults.
    fn fields(&self, name: &str) -> Fields {
        let section = self.architecture.sections.iter().find(|(section, _)| *section == name);
        Fields::new(section.map_or("{}", |(_, defaults)| *defaults), self.written(name))
    }

    /// What the file says of a section; `NAME_dict`, which some old files have, comes over `NAME`.
    fn written(&self, name: &str) -> Map<String, Value> {
        if name.is_empty() {
            return self.config.as_object().cloned().unwrap_or_default();
        }
        let mut fields = Map::new();
        for name in [name.to_owned(), format!("{name}_dict")] {
            fields.extend(self.config[&name].as_object().cloned().unwrap_or_default());
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(config: Value) -> Settings {
        Settings::new(Path::new("x"), Path::new("x/config.json"), config).unwrap()
    }

    #[test]
    fn defaults_are_objects() {
        for architecture in ARCHITECTURES {
            for (name, _) in architecture.sections {
                settings(json!({ "model_type": architecture.model_type })).fields(name);
            }
        }
    }

    #[test]
    fn a_file_speaks_over_defaults_and_its_old_form_over_both() {
        let settings = settings(json!({
            "model_type": "clip",
            "text_config": { "hidden_size": 64, "vocab_size": null },
            "text_config_dict": { "hidden_size": 32 },
        }));
        let section: Value = settings.section("text_config").unwrap();
        assert_eq!(
            (section["hidden_size"].as_u64(), section["vocab_size"].as_u64()),
            (Some(32), Some(49408))
        );
    }

    #[test]
    fn fields_that_nothing_knows_are_listed_by_section() {
        let settings = settings(json!({
            "model_type": "clip",
            "torch_dtype": "float32",
            "rotary": true,
            "vision_config": { "hidden_size": 64, "registers": 4 },
        }));
        assert_eq!(settings.unknown(), ["rotary", "vision_config.registers"]);
    }

    #[test]
    fn an_unknown_architecture_is_named_with_those_that_are_known() {
        let config = json!({ "model_type": "llama" });
        let error = Settings::new(Path::new("x"), Path::new("x/config.json"), config);
        let message = error.err().unwrap().to_string();
        assert!(message.contains("`llama`") && message.contains("clip, "), "{message}");
    }
}
