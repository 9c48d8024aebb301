//! `tombolo eval`: a model on a data set, by the field's protocols.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use tombolo_data::dataset::{self, Dataset, Gallery as Ranked, Split};
use tombolo_eval::{Gallery, Retrieval};
use tombolo_vectors::EmbeddingMatrix;

use super::terminal::Terminal;
use super::{Global, Outcome};
use crate::model::{self, Encoder};
use crate::report;

/// Measure a model on a data set: recall, precision, average precision and ranks, both directions
#[derive(Args)]
pub struct Arguments {
    /// emoji[:LANG,…], flickr8k:DIR, karpathy:FILE.json[,images=DIR], csv:FILE, jsonl:FILE or folder:DIR
    #[arg(value_name = "DATASET")]
    dataset: String,
    /// The model: a run directory, a name that `tombolo models` lists, or hf:OWNER/NAME
    #[arg(long, env = "TOMBOLO_MODEL")]
    model: PathBuf,
    /// Whose images and texts are the queries: train, val or test
    #[arg(long, env = "TOMBOLO_SPLIT", default_value = "test", value_parser = Split::from_str)]
    split: Split,
    /// Write the JSON document here too
    #[arg(long, env = "TOMBOLO_OUT", value_name = "FILE.json")]
    out: Option<PathBuf>,
}

/// The vectors of a gallery and which of them are queries.
struct Vectors {
    images: EmbeddingMatrix,
    texts: EmbeddingMatrix,
    image_of_text: Vec<usize>,
    query_images: Vec<usize>,
    query_texts: Vec<usize>,
    skipped: usize,
    seconds: [f64; 2],
}

/// What a measurement found, and how long it took.
pub struct Measured {
    /// Retrieval in both directions.
    pub retrieval: Retrieval,
    /// Images and texts that are queries.
    pub queries: [usize; 2],
    /// Images and texts that they are ranked against.
    pub gallery: [usize; 2],
    /// Images that could not be read.
    pub skipped: usize,
    /// Seconds to encode images, to encode texts, and to rank.
    pub seconds: [f64; 3],
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let dataset = dataset::open(&arguments.dataset)?;
    let skipped = super::data::warn(dataset.as_ref(), terminal);
    let encoder = Encoder::open(&arguments.model, global, terminal)?;
    let measured = measure(dataset.as_ref(), arguments.split, &encoder, terminal)?;
    let mut document = document(&arguments, dataset.as_ref(), &measured);
    document["caveats"] = model::caveats(encoder.model().file()).collect();
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&document)?;
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    if terminal.json() {
        terminal.document(&document)?;
    } else {
        terminal.result(&report::table(&measured.retrieval))?;
        model::caveats(encoder.model().file()).for_each(|caveat| terminal.note(caveat));
    }
    Ok(if skipped + measured.skipped > 0 { Outcome::Skipped } else { Outcome::Done })
}

/// Measures a model on a split, against what the data set says its queries are ranked against.
pub fn measure(
    dataset: &dyn Dataset,
    split: Split,
    encoder: &Encoder,
    terminal: &Terminal,
) -> anyhow::Result<Measured> {
    dataset.require(split)?;
    let vectors = vectors(dataset, split, encoder, terminal)?;
    let started = Instant::now();
    let gallery = Gallery {
        images: &vectors.images,
        texts: &vectors.texts,
        image_of_text: &vectors.image_of_text,
        query_images: &vectors.query_images,
        query_texts: &vectors.query_texts,
    };
    let retrieval = gallery.retrieval()?;
    let [images, texts] = vectors.seconds;
    Ok(Measured {
        retrieval,
        queries: [vectors.query_images.len(), vectors.query_texts.len()],
        gallery: [vectors.images.len(), vectors.texts.len()],
        skipped: vectors.skipped,
        seconds: [images, texts, started.elapsed().as_secs_f64()],
    })
}

fn document(arguments: &Arguments, dataset: &dyn Dataset, measured: &Measured) -> Value {
    let [encode_images, encode_texts, rank] = measured.seconds;
    json!({
        "dataset": dataset.name(),
        "split": arguments.split.to_string(),
        "model": arguments.model,
        "images": measured.queries[0],
        "texts": measured.queries[1],
        "gallery": { "images": measured.gallery[0], "texts": measured.gallery[1] },
        "image_to_text": measured.retrieval.image_to_text,
        "text_to_image": measured.retrieval.text_to_image,
        "rsum": measured.retrieval.rsum,
        "seconds": { "encode_images": encode_images, "encode_texts": encode_texts, "rank": rank },
    })
}

/// Encodes what the queries of a split are ranked against, as the data set says.
fn vectors(
    dataset: &dyn Dataset,
    split: Split,
    encoder: &Encoder,
    terminal: &Terminal,
) -> anyhow::Result<Vectors> {
    let images: Vec<usize> = match dataset.gallery() {
        Ranked::SameSplit => dataset.image_indices(split),
        Ranked::Everything => (0..dataset.images().len()).collect(),
    };
    let sources = images.iter().map(|&image| dataset.images()[image].source.clone()).collect();
    let started = Instant::now();
    let encoded = encoder.images(sources, terminal)?;
    let image_seconds = started.elapsed().as_secs_f64();
    let row_of: HashMap<usize, usize> =
        encoded.read.iter().enumerate().map(|(row, &place)| (images[place], row)).collect();
    let texts: Vec<usize> = images
        .iter()
        .filter(|image| row_of.contains_key(image))
        .flat_map(|&image| dataset.texts_of(image))
        .collect();
    let words: Vec<&str> = texts.iter().map(|&text| dataset.texts()[text].text.as_str()).collect();
    let started = Instant::now();
    let text_vectors = encoder.texts(&words, terminal)?;
    let text_seconds = started.elapsed().as_secs_f64();
    let image_of_text: Vec<usize> =
        texts.iter().map(|&text| row_of[&dataset.texts()[text].image]).collect();
    let in_split = |image: usize| dataset.images()[image].split == split;
    let query_texts: Vec<usize> =
        (0..texts.len()).filter(|&row| in_split(dataset.texts()[texts[row]].image)).collect();
    let mut query_images: Vec<usize> = query_texts.iter().map(|&row| image_of_text[row]).collect();
    query_images.dedup();
    Ok(Vectors {
        images: encoded.vectors,
        texts: text_vectors,
        image_of_text,
        query_images,
        query_texts,
        skipped: encoded.skipped,
        seconds: [image_seconds, text_seconds],
    })
}
