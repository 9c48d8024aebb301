//! Settings files: read with the path in every error, written whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checkpoint::write_atomically;
use crate::error::{ModelError, Result};

/// Reads a JSON file.
///
/// # Errors
/// If the file cannot be read, or is not what `T` expects; the path and place are in the message.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(ModelError::io(path))?;
    serde_json::from_str(&text)
        .map_err(|e| ModelError::Settings { path: path.into(), reason: e.to_string() })
}

/// Reads a TOML file.
///
/// # Errors
/// If the file cannot be read, or is not what `T` expects; the path and place are in the message.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(ModelError::io(path))?;
    toml::from_str(&text)
        .map_err(|e| ModelError::Settings { path: path.into(), reason: e.to_string() })
}

/// Writes a TOML file, replacing the old one at once.
///
/// # Errors
/// If the value cannot be expressed, or the file cannot be written.
pub fn write_toml<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = toml::to_string_pretty(value)
        .map_err(|e| ModelError::Settings { path: path.into(), reason: e.to_string() })?;
    write_atomically(path, |file| file.write_all(text.as_bytes())).map_err(ModelError::io(path))
}
