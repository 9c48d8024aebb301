//! `tombolo caption`: the best of given texts for a photo.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tombolo_data::dataset::ImageSource;
use tombolo_vectors::top_k;

use super::failure::Misuse;
use super::terminal::Terminal;
use super::{Global, Outcome};
use crate::model::Encoder;

/// Find the best of the given texts for a photo
#[derive(Args)]
pub struct Arguments {
    /// The photo
    image: PathBuf,
    /// A file of texts, one a line
    #[arg(long, env = "TOMBOLO_TEXTS", value_name = "FILE")]
    texts: PathBuf,
    /// The model: a run directory, a name that `tombolo models` lists, or hf:OWNER/NAME
    #[arg(long, env = "TOMBOLO_MODEL")]
    model: PathBuf,
    /// How many texts
    #[arg(short = 't', long, env = "TOMBOLO_TOP", default_value_t = 5, value_name = "N")]
    top: usize,
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let file = std::fs::read_to_string(&arguments.texts).map_err(|error| {
        let message = format!("{}: {error}", arguments.texts.display());
        Misuse::new(message, "give a file with one text a line")
    })?;
    let texts: Vec<&str> = file.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if texts.is_empty() {
        let message = format!("{} holds no text", arguments.texts.display());
        return Err(Misuse::new(message, "give a file with one text a line").into());
    }
    let photo =
        tombolo_data::image::load(&ImageSource::File(arguments.image), &Default::default())?;
    let encoder = Encoder::open(&arguments.model, global, terminal)?;
    let tower = encoder.image_tower(terminal)?;
    let picture = tower.preprocessing().apply(&photo.pixels);
    let image = encoder.map()?.map_images(&tower.embed(&[picture])?)?;
    let vectors = encoder.texts(&texts, terminal)?;
    for (place, found) in top_k(image.row(0), &vectors, arguments.top, |_| true)?.iter().enumerate()
    {
        let (rank, text) = (place + 1, texts[found.row]);
        if terminal.json() {
            terminal.document(&json!({ "rank": rank, "score": found.score, "text": text }))?;
        } else {
            terminal.result(&format!("{rank:>3}  {:.3}  {text}", found.score))?;
        }
    }
    Ok(Outcome::Done)
}
