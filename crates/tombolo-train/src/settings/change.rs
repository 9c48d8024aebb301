//! Settings changed by file and by `--set`.

use std::path::Path;

use toml::Value;

use super::Settings;
use crate::error::{Result, TrainError};

impl Settings {
    /// These settings with those of a TOML file in their place.
    ///
    /// # Errors
    /// If the file cannot be read or parsed, or a key or value is not one of ours.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
        let table: toml::Table = toml::from_str(&text).map_err(|e| TrainError::InvalidSetting {
            key: path.display().to_string(),
            reason: e.to_string(),
        })?;
        let mut settings = self;
        for (key, value) in leaves("", &Value::Table(table)) {
            settings = settings.with(&key, value)?;
        }
        Ok(settings)
    }

    /// These settings with one changed: `assignment` is `key=value`, as `map.dim=256`.
    ///
    /// # Errors
    /// If there is no such key (the nearest is named), or the value is of the wrong kind.
    pub fn with_assignment(self, assignment: &str) -> Result<Self> {
        let invalid = |reason: &str| TrainError::InvalidSetting {
            key: assignment.to_owned(),
            reason: reason.to_owned(),
        };
        let (key, text) =
            assignment.split_once('=').ok_or_else(|| invalid("expected key=value"))?;
        let value = toml::from_str::<toml::Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(text.to_owned()));
        self.with(key.trim(), value)
    }

    fn with(self, key: &str, value: Value) -> Result<Self> {
        let mut root = Value::try_from(&self).expect("settings are always TOML");
        let unknown =
            TrainError::UnknownSetting { key: key.to_owned(), nearest: nearest(key, &root) };
        let mut place = &mut root;
        for part in key.split('.') {
            match place.get_mut(part) {
                Some(next) => place = next,
                None => return Err(unknown),
            }
        }
        if place.is_table() {
            return Err(unknown);
        }
        *place = match (&*place, value) {
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        root.try_into().map_err(|e: toml::de::Error| TrainError::InvalidSetting {
            key: key.to_owned(),
            reason: e.message().to_owned(),
        })
    }
}

fn nearest(key: &str, root: &Value) -> Option<String> {
    let known = leaves("", root).into_iter().map(|(known, _)| known);
    let scored = known.map(|known| (strsim::damerau_levenshtein(key, &known), known));
    let (distance, known) = scored.min()?;
    (distance <= 1 + known.len() / 3).then_some(known)
}

/// Every value below `value` that is not a table, with its dotted key.
fn leaves(prefix: &str, value: &Value) -> Vec<(String, Value)> {
    let Value::Table(table) = value else { return vec![(prefix.to_owned(), value.clone())] };
    let join =
        |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    table.iter().flat_map(|(key, value)| leaves(&join(key), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Group, MapKind, Order, Regularisation};
    use super::*;

    #[test]
    fn assignments_change_one_setting() {
        let changed = Settings::photos().with_assignment("map.kind=cca").unwrap();
        assert_eq!(changed.map.kind, MapKind::Cca);
        let changed = changed.with_assignment("image.backbone=hf:facebook/dinov2-small").unwrap();
        assert_eq!(changed.image.backbone, "hf:facebook/dinov2-small");
        let changed = changed.with_assignment("map.regularisation=2").unwrap();
        assert_eq!(changed.map.regularisation, Regularisation::Share(2.0));
        let changed = changed.with_assignment("text.drop=0").unwrap();
        assert_eq!(changed.text.drop, 0.0);
    }

    #[test]
    fn groups_of_the_curriculum_are_numbers() {
        let changed = Settings::photos().with_assignment("curriculum.groups=[3, 1]").unwrap();
        assert_eq!(changed.curriculum.groups, [Group::Ambiguous, Group::Precise]);
        let changed = changed.with_assignment("curriculum.order=reversed").unwrap();
        assert_eq!(changed.curriculum.order, Order::Reversed);
        let error = changed.with_assignment("curriculum.groups=[4]").unwrap_err().to_string();
        assert!(error.contains("expected group 1, 2 or 3, found 4"), "{error}");
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = Settings::photos().with_assignment("map.dims=3").unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `map.dim`?");
        let error = Settings::photos().with_assignment("image.epoch=3").unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `image.epochs`?");
        assert!(Settings::photos().with_assignment("map=3").is_err());
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused() {
        for wrong in [
            "map.dim=wide",
            "map.regularisation=some",
            "map.kind=best",
            "map.dim=-1",
            "map.dim",
            "seed=1.5",
        ] {
            assert!(Settings::photos().with_assignment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.toml");
        std::fs::write(&path, "seed = 7\n[map]\ndim = 64\n").unwrap();
        let changed = Settings::photos().with_file(&path).unwrap();
        assert_eq!((changed.seed, changed.map.dim, changed.map.hidden), (7, 64, 1536));
    }
}
