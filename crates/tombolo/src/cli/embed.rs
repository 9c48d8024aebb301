//! `tombolo embed`: vectors of texts and photos, for other programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tombolo_data::dataset::ImageSource;
use tombolo_models::checkpoint;
use tombolo_search::Shard;
use tombolo_vectors::{EmbeddingMatrix, npy};

use super::failure::Misuse;
use super::terminal::Terminal;
use super::{Global, Outcome};
use crate::model::{Encoder, require_words};

/// Write the vectors of texts and photos, mapped into the common space, one unit row each
#[derive(Args)]
pub struct Arguments {
    /// Texts, photos, and .txt files with one text a line; one row each, in this order
    #[arg(required = true, value_name = "TEXT|FILE")]
    inputs: Vec<String>,
    /// The model: a run directory, a name that `tombolo models` lists, or hf:OWNER/NAME
    #[arg(long, env = "TOMBOLO_MODEL")]
    model: PathBuf,
    /// The file to write: .npy (rows) or .safetensors (a tensor `vectors`)
    #[arg(long, env = "TOMBOLO_OUT", value_name = "FILE")]
    out: PathBuf,
    /// Embed the I-th of N parts of the inputs alone, I from 0: every N-th, from the I-th on
    #[arg(long, env = "TOMBOLO_SHARD", value_name = "I/N")]
    shard: Option<Shard>,
}

/// A row to be.
enum Input {
    Text(String),
    Photo(PathBuf),
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let format = Format::of(&arguments.out)?;
    let mut inputs = Vec::new();
    for input in &arguments.inputs {
        inputs.extend(read(input)?);
    }
    if let Some(shard) = arguments.shard {
        inputs = inputs.into_iter().skip(shard.index()).step_by(shard.count()).collect();
    }
    let encoder = Encoder::open(&arguments.model, global, terminal)?;
    let dim = encoder.map()?.dim();
    let mut rows: Vec<Option<Vec<f32>>> = vec![None; inputs.len()];
    let (mut texts, mut photos) = (Vec::new(), Vec::new());
    for (row, input) in inputs.iter().enumerate() {
        match input {
            Input::Text(text) => texts.push((row, text.as_str())),
            Input::Photo(path) => photos.push((row, ImageSource::File(path.clone()))),
        }
    }
    if !texts.is_empty() {
        let words: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
        for ((row, _), vector) in texts.iter().zip(encoder.texts(&words, terminal)?.iter()) {
            rows[*row] = Some(vector.to_vec());
        }
    }
    let mut skipped = 0;
    if !photos.is_empty() {
        let sources = photos.iter().map(|(_, source)| source.clone()).collect();
        let encoded = encoder.images(sources, terminal)?;
        skipped = encoded.skipped;
        for (&place, vector) in encoded.read.iter().zip(encoded.vectors.iter()) {
            rows[photos[place].0] = Some(vector.to_vec());
        }
    }
    let missing: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].is_none()).collect();
    let values: Vec<f32> = rows.into_iter().flatten().flatten().collect();
    let matrix = EmbeddingMatrix::from_rows(dim, values)?;
    format.write(&arguments.out, &matrix)?;
    if terminal.json() {
        terminal.document(&json!({
            "out": arguments.out, "rows": matrix.len(), "dim": dim, "inputs_without_row": missing,
        }))?;
    } else {
        terminal.note(&format!("{}: {} × {dim}", arguments.out.display(), matrix.len()));
    }
    Ok(if skipped > 0 { Outcome::Skipped } else { Outcome::Done })
}

/// The rows that an argument stands for.
fn read(input: &str) -> anyhow::Result<Vec<Input>> {
    let path = Path::new(input);
    let list = path.extension().is_some_and(|extension| extension == "txt");
    if !path.is_file() {
        require_words(input)?;
        require_text(input, list)?;
        return Ok(vec![Input::Text(input.to_owned())]);
    }
    if list {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Misuse::new(format!("{input}: {error}"), "give a file in UTF-8 with one text a line")
        })?;
        return Ok(text.lines().map(|line| Input::Text(line.to_owned())).collect());
    }
    Ok(vec![Input::Photo(path.to_path_buf())])
}

/// Refuses what is no file, but is called like a file of texts, or is a folder and no word.
fn require_text(input: &str, list: bool) -> anyhow::Result<()> {
    let found = if list && !input.contains(char::is_whitespace) {
        "no such file"
    } else if input.contains(std::path::is_separator) && Path::new(input).is_dir() {
        "a folder"
    } else {
        return Ok(());
    };
    let what = format!("{input}: expected a text, a photo or a file of texts, found {found}");
    Err(Misuse::new(what, "name photos one by one, as in DIR/*.jpg").into())
}

enum Format {
    Npy,
    Safetensors,
}

impl Format {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let message = format!("{}: there is no folder {}", path.display(), folder.display());
            return Err(Misuse::new(message, "make it first, or choose another --out").into());
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => {
                let message = format!("{}: expected .npy or .safetensors", path.display());
                Err(Misuse::new(message, "the ending of --out says the format").into())
            }
        }
    }

    fn write(&self, path: &Path, matrix: &EmbeddingMatrix) -> anyhow::Result<()> {
        match self {
            Self::Npy => Ok(npy::write(path, matrix)?),
            Self::Safetensors => {
                let shape = [matrix.len(), matrix.dim()];
                let entry = ("vectors", &shape[..], matrix.as_slice());
                Ok(checkpoint::safetensors::write(path, &[entry], &BTreeMap::new())?)
            }
        }
    }
}
