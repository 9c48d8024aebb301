//! `tombolo eval`: models on data sets, by the field's protocols.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use tombolo_data::dataset::{self, Dataset, Split};
use tombolo_data::perturbation::{Perturbation, UnknownPerturbation};

use super::terminal::Terminal;
use super::{Global, Misuse, Outcome};
use crate::evaluation::{Evaluation, Protocol, evaluate, means_of_folds, recalls};
use crate::model::Encoder;
use crate::report;
use crate::report::comparison::{Comparison, OnDataset};
use crate::rerank::RerankArguments;

/// Of the data sets, in the short help.
const SEVERAL: &str =
    "Data sets, in the forms that `tombolo eval --help` lists; each model is measured on each";

/// Measure models on data sets: recall, precision, average precision and ranks, both directions
#[derive(Args)]
pub struct Arguments {
    #[arg(value_name = "DATASET", required = true, help = SEVERAL, long_help = dataset::HELP)]
    datasets: Vec<String>,
    /// The model: a run directory, a name that `tombolo models` lists, or hf:OWNER/NAME; given again, the models are
    /// compared
    #[arg(long = "model", env = "TOMBOLO_MODEL", value_name = "MODEL", required = true)]
    models: Vec<PathBuf>,
    /// Whose images and texts are the queries: train, val or test
    #[arg(long, env = "TOMBOLO_SPLIT", default_value = "test", value_parser = Split::from_str)]
    split: Split,
    /// Measure again with inputs perturbed: all, texts, images (at strength 3), images@5, images@all, or names such as
    /// char_swap,blur@5 (strengths 1 to 5)
    #[arg(long, env = "TOMBOLO_PERTURB", value_name = "all|NAME,…")]
    perturb: Option<Perturbations>,
    /// Of the perturbations, and of the tests between models
    #[arg(long, env = "TOMBOLO_SEED", default_value_t = 0, value_name = "N")]
    seed: u64,
    /// FILE.json: the JSON document, of one model on one data set; DIR/: results as JSON, CSV, LaTeX and a web page
    #[arg(long, env = "TOMBOLO_OUT", value_name = "FILE.json|DIR/")]
    out: Option<PathBuf>,
    #[command(flatten)]
    rerank: RerankArguments,
}

/// What `--perturb` names.
#[derive(Clone)]
struct Perturbations(Vec<Perturbation>);

impl FromStr for Perturbations {
    type Err = UnknownPerturbation;

    fn from_str(names: &str) -> Result<Self, Self::Err> {
        Perturbation::parse_list(names).map(Self)
    }
}

/// Where results go beside standard output.
enum Out {
    Nowhere,
    File(PathBuf),
    Folder(PathBuf),
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let out = out(&arguments)?;
    let judge = arguments.rerank.open(global, terminal)?.map(Arc::new);
    let Arguments { split, perturb, seed, .. } = arguments;
    let perturbations = perturb.map_or_else(Vec::new, |names| names.0);
    let protocol = Protocol { split, perturbations, seed, judge };
    let mut skipped = 0;
    let mut results = Vec::new();
    for name in &arguments.datasets {
        let dataset = dataset::open(name)?;
        if !dataset.has_pictures() {
            let hint = "name a data set with photos and texts; `tombolo data` shows what it holds";
            return Err(Misuse::new(format!("{name} has no photos to find"), hint).into());
        }
        skipped += super::data::warn(dataset.as_ref(), terminal);
        results.push(OnDataset { dataset, evaluations: Vec::new() });
    }
    let single = arguments.models.len() == 1 && results.len() == 1;
    for model in &arguments.models {
        let encoder = Encoder::open(model, global, terminal)?;
        let name = model.display().to_string();
        let mut documents = Vec::with_capacity(results.len());
        for OnDataset { dataset, evaluations } in &mut results {
            let dataset = dataset.as_ref();
            let evaluation = evaluate(&name, dataset, &protocol, &encoder, terminal)?;
            skipped += evaluation.measured.skipped;
            print(&evaluation, dataset, &protocol, single, terminal)?;
            documents.push(evaluation.document(dataset, &protocol));
            evaluations.push(evaluation);
        }
        means_of_folds(&documents).iter().try_for_each(|mean| print_mean(mean, terminal))?;
    }
    match out {
        Out::Nowhere => {}
        Out::File(path) => {
            let OnDataset { dataset, evaluations } = &results[0];
            let document = evaluations[0].document(dataset.as_ref(), &protocol);
            let text = serde_json::to_string_pretty(&document)?;
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Out::Folder(dir) => {
            Comparison::new(&arguments.models, results, protocol)?.write(&dir)?;
            terminal.note(&format!("report: {}", dir.join("report.html").display()));
        }
    }
    Ok(if skipped > 0 { Outcome::Skipped } else { Outcome::Done })
}

/// A document, or a table, with its model and data set above it unless there is one alone.
fn print(
    evaluation: &Evaluation,
    dataset: &dyn Dataset,
    protocol: &Protocol,
    single: bool,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    if terminal.json() {
        return terminal.document(&evaluation.document(dataset, protocol));
    }
    if !single {
        terminal.result(&format!("\n{} · {}", evaluation.model, dataset.name()))?;
    }
    terminal.result(&report::table(&evaluation.measured.retrieval))?;
    if let Some(category) = &evaluation.category {
        terminal.result(&format!("\n{}", report::category_table(&category.retrieval)))?;
    }
    if !evaluation.perturbations.is_empty() {
        terminal.result(&format!("\n{}", report::perturbation_table(evaluation)))?;
    }
    evaluation.caveats.iter().for_each(|caveat| terminal.note(caveat));
    Ok(())
}

/// The mean over folds: the document, or the recalls.
fn print_mean(mean: &Value, terminal: &Terminal) -> anyhow::Result<()> {
    if terminal.json() {
        return terminal.document(mean);
    }
    let recalls =
        |direction: &str| recalls(mean, direction).map(|recall| format!("{recall:.1}")).join(" / ");
    let (model, dataset) = (&mean["model"], &mean["dataset"]);
    let [model, dataset] = [model, dataset].map(|name| name.as_str().unwrap_or_default());
    terminal.result(&format!(
        "\n{model} · {dataset}, mean of {} folds: recall@1/5/10 {} image → text, {} text → image, rsum {:.1}",
        mean["folds"],
        recalls("image_to_text"),
        recalls("text_to_image"),
        mean["rsum"].as_f64().unwrap_or(f64::NAN)
    ))
}

/// A folder if there is more than one document, or if it is one or its name ends like one; else a file.
fn out(arguments: &Arguments) -> anyhow::Result<Out> {
    let Some(path) = arguments.out.clone() else { return Ok(Out::Nowhere) };
    let several = arguments.models.len() > 1 || arguments.datasets.len() > 1;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    if several && is_json && !path.is_dir() {
        let message = format!("{} is a file, but there is more than one result", path.display());
        return Err(Misuse::new(message, "name a folder, such as --out results/").into());
    }
    if several || path.is_dir() || ends_with_separator(&path) {
        return Ok(Out::Folder(path));
    }
    if !is_json {
        let message = format!("{}: expected FILE.json or a folder", path.display());
        return Err(Misuse::new(message, "a folder's name ends in /, as in --out results/").into());
    }
    Ok(Out::File(path))
}

fn ends_with_separator(path: &Path) -> bool {
    path.to_string_lossy().ends_with(std::path::is_separator)
}
