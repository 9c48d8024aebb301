//! `tombolo data`: what a data set holds.

use clap::Args;
use serde_json::json;
use tombolo_data::dataset::{self, Dataset, Split};

use super::terminal::Terminal;
use super::{Global, Outcome};

/// Samples shown.
const SAMPLES: usize = 5;

/// Show what a data set holds: counts, splits, warnings, samples
#[derive(Args)]
pub struct Arguments {
    #[arg(value_name = "DATASET", help = dataset::FORMS, long_help = dataset::HELP)]
    dataset: String,
}

pub fn run(arguments: Arguments, _: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let dataset = dataset::open(&arguments.dataset)?;
    let skipped = warn(dataset.as_ref(), terminal);
    if terminal.json() {
        terminal.document(&document(dataset.as_ref()))?;
    } else {
        terminal.result(&page(dataset.as_ref()))?;
    }
    Ok(if skipped > 0 { Outcome::Skipped } else { Outcome::Done })
}

/// Names what the data set left out, and what is unusual about it. Returns how many inputs it left out.
pub fn warn(dataset: &dyn Dataset, terminal: &Terminal) -> usize {
    let mut skipped = 0;
    for warning in dataset.warnings() {
        if warning.is_skip() {
            skipped += 1;
            terminal.skipped(&warning.to_string());
        } else {
            terminal.warning(&warning.to_string());
        }
    }
    skipped
}

fn standard(dataset: &dyn Dataset, split: Split) -> Option<usize> {
    let mut counts = dataset.standard_counts().iter();
    counts.find(|count| count.split == split).map(|count| count.images)
}

/// How many of so many images there are to see: texts may belong together without one.
fn pictures(dataset: &dyn Dataset, images: usize) -> usize {
    if dataset.has_pictures() { images } else { 0 }
}

fn samples(dataset: &dyn Dataset) -> impl Iterator<Item = usize> {
    let images = dataset.images().len();
    let step = (images / SAMPLES).max(1);
    (0..images).step_by(step).take(SAMPLES)
}

fn document(dataset: &dyn Dataset) -> serde_json::Value {
    let splits = Split::ALL.map(|split| {
        let (count, standard) = (dataset.count(split), standard(dataset, split));
        let images = pictures(dataset, count.images);
        let counts = json!({ "images": images, "texts": count.texts, "standard_images": standard });
        (split.to_string(), counts)
    });
    let samples = samples(dataset).map(|image| {
        let entry = &dataset.images()[image];
        let texts: Vec<&str> =
            dataset.texts_of(image).map(|text| dataset.texts()[text].text.as_str()).collect();
        json!({ "id": entry.id, "split": entry.split.to_string(), "labels": entry.labels, "texts": texts })
    });
    let facts =
        dataset.facts().iter().map(|fact| (fact.name.to_owned(), fact.value.clone().into()));
    json!({
        "dataset": dataset.name(),
        "images": pictures(dataset, dataset.images().len()),
        "texts": dataset.texts().len(),
        "splits": serde_json::Map::from_iter(splits),
        "facts": serde_json::Map::from_iter(facts),
        "warnings": dataset.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "samples": samples.collect::<Vec<_>>(),
    })
}

fn page(dataset: &dyn Dataset) -> String {
    let mut lines = vec![format!("{}\n", dataset.name())];
    lines.push(format!("  {:8} {:>8} {:>8}  {}", "split", "images", "texts", "standard"));
    for split in Split::ALL {
        let count = dataset.count(split);
        let (images, texts) = (pictures(dataset, count.images), count.texts);
        let standard = standard(dataset, split).map_or(String::new(), |n| format!("{n} images"));
        let line = format!("  {:8} {images:>8} {texts:>8}  {standard}", split.as_str());
        lines.push(line.trim_end().to_owned());
    }
    let (images, texts) = (pictures(dataset, dataset.images().len()), dataset.texts().len());
    lines.push(format!("  {:8} {images:>8} {texts:>8}\n", "all"));
    for fact in dataset.facts() {
        lines.push(format!("  {}: {}", fact.name, fact.value));
    }
    for image in samples(dataset) {
        let entry = &dataset.images()[image];
        lines.push(format!("\n  {} ({})", entry.id, entry.split));
        for text in dataset.texts_of(image) {
            lines.push(format!("    {}", dataset.texts()[text].text));
        }
    }
    lines.join("\n")
}
