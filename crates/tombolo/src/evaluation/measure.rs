//! Metrics of a model on a split, and of its perturbations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use tombolo_data::dataset::{Dataset, Split};
use tombolo_data::perturbation::Perturbation;
use tombolo_eval::{BothRankings, EvalError, Retrieval, Worth};

use super::Vectors;
use super::perturb::{Perturbed, Subject};
use super::rerank::Shown;
use crate::cli::Terminal;
use crate::model::{self, Encoder};
use crate::rerank::Judge;

/// What is measured.
#[derive(Clone)]
pub struct Protocol {
    /// Whose images and texts are the queries.
    pub split: Split,
    /// What is done to texts or images beside leaving them as they are.
    pub perturbations: Vec<Perturbation>,
    /// Of the perturbations, and of the tests between models.
    pub seed: u64,
    /// What the best of each query are judged again by, if they are.
    pub judge: Option<Arc<Judge>>,
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

/// What was found where whatever shares a label with a query is an answer.
pub struct ByCategory {
    /// The metrics.
    pub retrieval: Retrieval,
    /// What they are means of: images, then texts.
    pub worth: [Worth; 2],
}

/// All that was found of a model on a data set.
pub struct Evaluation {
    /// The model as it was asked for.
    pub model: String,
    /// The metrics of its inputs as they are.
    pub measured: Measured,
    /// The same where all that shares a label is an answer; none for data without labels.
    pub category: Option<ByCategory>,
    /// What each perturbation made of it.
    pub perturbations: Vec<Perturbed>,
    /// The vectors.
    pub vectors: Vectors,
    /// The ranks of the answers of each query.
    pub rankings: BothRankings,
    /// What whoever reads the numbers should know.
    pub caveats: Vec<String>,
}

/// Measures a model on a split, against what the data set says its queries are ranked against.
pub fn measure(
    dataset: &dyn Dataset,
    split: Split,
    encoder: &Encoder,
    terminal: &Terminal,
) -> anyhow::Result<Measured> {
    let vectors = Vectors::encode(dataset, split, encoder, terminal)?;
    Ok(ranked(&vectors)?.0)
}

/// Measures a model on a split, its perturbations and, where there are labels, its categories.
pub fn evaluate(
    model: &str,
    dataset: &dyn Dataset,
    protocol: &Protocol,
    encoder: &Encoder,
    terminal: &Terminal,
) -> anyhow::Result<Evaluation> {
    let vectors = Vectors::encode(dataset, protocol.split, encoder, terminal)?;
    let (mut measured, mut rankings) = ranked(&vectors)?;
    if let Some(judge) = &protocol.judge {
        let started = Instant::now();
        let shown = Shown::new(dataset, &vectors);
        rankings = shown.reranked(&vectors.gallery(), (&rankings, judge), terminal)?;
        measured.retrieval = rankings.retrieval()?;
        measured.seconds[2] += started.elapsed().as_secs_f64();
    }
    // The first judge alone ranks by categories: it would not be the same model.
    let category = match vectors.labels(dataset).filter(|_| protocol.judge.is_none()) {
        Some(labels) => Some(ByCategory::new(vectors.gallery().category(&labels)?)?),
        None => None,
    };
    let judge = protocol.judge.as_deref();
    let subject = Subject { dataset, vectors: &vectors, encoder, judge, terminal };
    let perturbations = protocol
        .perturbations
        .iter()
        .map(|&perturbation| subject.perturbed(perturbation, protocol.seed))
        .collect::<anyhow::Result<_>>()?;
    let of_judge = protocol.judge.iter().flat_map(|judge| judge.caveats().iter().copied());
    let caveats: BTreeSet<&str> = model::caveats(encoder.model().file()).chain(of_judge).collect();
    let caveats = caveats.into_iter().map(str::to_owned).collect();
    let model = model.to_owned();
    Ok(Evaluation { model, measured, category, perturbations, vectors, rankings, caveats })
}

fn ranked(vectors: &Vectors) -> anyhow::Result<(Measured, BothRankings)> {
    let started = Instant::now();
    let rankings = vectors.gallery().rankings()?;
    let retrieval = rankings.retrieval()?;
    let [images, texts] = vectors.seconds;
    let measured = Measured {
        retrieval,
        queries: [vectors.query_images.len(), vectors.query_texts.len()],
        gallery: [vectors.images.len(), vectors.texts.len()],
        skipped: vectors.skipped,
        seconds: [images, texts, started.elapsed().as_secs_f64()],
    };
    Ok((measured, rankings))
}

impl ByCategory {
    fn new(worth: [Worth; 2]) -> Result<Self, EvalError> {
        Ok(Self { retrieval: Retrieval::of(&worth[0], &worth[1])?, worth })
    }
}

impl Evaluation {
    /// The document of `tombolo eval --json`.
    pub fn document(&self, dataset: &dyn Dataset, protocol: &Protocol) -> Value {
        let Measured { retrieval, queries, gallery, seconds, .. } = &self.measured;
        let mut document = json!({
            "dataset": dataset.name(),
            "split": protocol.split.to_string(),
            "model": self.model,
            "images": queries[0],
            "texts": queries[1],
            "gallery": { "images": gallery[0], "texts": gallery[1] },
            "image_to_text": retrieval.image_to_text,
            "text_to_image": retrieval.text_to_image,
            "rsum": retrieval.rsum,
            "rsum_ci95": retrieval.rsum_ci95,
            "seconds": {
                "encode_images": seconds[0], "encode_texts": seconds[1], "rank": seconds[2],
            },
        });
        if let Some(judge) = &protocol.judge {
            document["rerank"] = json!({ "model": judge.model(), "top": judge.top() });
        }
        if let Some(category) = &self.category {
            document["category"] = json!({
                "image_to_text": category.retrieval.image_to_text,
                "text_to_image": category.retrieval.text_to_image,
            });
        }
        if !self.perturbations.is_empty() {
            document["seed"] = protocol.seed.into();
            document["perturbations"] = Value::Object(self.perturbation_documents());
        }
        document["caveats"] = self.caveats.clone().into();
        document
    }

    fn perturbation_documents(&self) -> Map<String, Value> {
        let documents = self.perturbations.iter().map(|perturbed| {
            let Perturbed { perturbation, retrieval, changed, of } = perturbed;
            let document = json!({
                "image_to_text": retrieval.image_to_text,
                "text_to_image": retrieval.text_to_image,
                "rsum": retrieval.rsum,
                "changed": changed,
                "of": of,
                "relative_drop": perturbed.relative_drop(&self.measured.retrieval),
            });
            (perturbation.to_string(), document)
        });
        documents.collect()
    }
}
