//! Tables and the report of a run.

mod chart;
pub mod comparison;
mod curves;
mod examples;
mod groups;
mod markup;
mod page;
mod parts;
mod samples;
mod table;
pub mod thumbnail;
mod vectors;

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use tombolo_data::dataset::{Dataset, Split};
use tombolo_models::backbones::Backbones;
use tombolo_models::checkpoint::write_atomically;
use tombolo_models::model::{Model, ModelFile};
use tombolo_train::run::PlanFile;

pub use markup::counted;
use page::{Page, Recalls};
pub use table::{category_table, perturbation_table, table};

/// How the model does on each group of the curriculum, as a table for the terminal; none if it was trained without.
pub fn group_table(file: &ModelFile) -> Option<String> {
    let groups = groups::measured(&file.metrics);
    (!groups.is_empty()).then(|| groups::table(&groups))
}

/// Writes `report.html` into a run directory: what was trained, how it went, what it finds. Without a map
/// there is nothing that it could find, and only parts and curves are told.
///
/// # Errors
/// If the run cannot be read, a backbone fails, or the page cannot be written.
pub fn write(dir: &Path, dataset: &dyn Dataset, backbones: &Backbones) -> anyhow::Result<()> {
    let model = Model::open(dir)?;
    let plan: Option<PlanFile> = model.file().training.clone().try_into().ok();
    let metrics = dir.join("metrics.jsonl");
    let curves = curves::read(&metrics).with_context(|| metrics.display().to_string())?;
    let joined = dir.join("map.safetensors").exists();
    let page = Page {
        name: dataset.name().to_owned(),
        summary: summary(dataset, plan.as_ref()),
        parts: parts::describe(&model, plan.as_ref())?,
        curves,
        recalls: joined.then(|| Recalls::of("val", &model.file().metrics)).flatten(),
        groups: groups::measured(&model.file().metrics),
        samples: if joined { samples::draw(&model, dataset, backbones)? } else { None },
        notes: crate::model::caveats(model.file()).map(str::to_owned).collect(),
        credits: credits(dataset),
    };
    let path = dir.join("report.html");
    write_atomically(&path, |file| file.write_all(page.html().as_bytes()))
        .with_context(|| path.display().to_string())
}

fn summary(dataset: &dyn Dataset, plan: Option<&PlanFile>) -> String {
    let counts = [
        (Split::Train, "to train on"),
        (Split::Val, "to validate on"),
        (Split::Test, "to test on"),
    ];
    let counts = counts.into_iter().filter_map(|(split, purpose)| {
        let count = dataset.count(split);
        let (images, texts) = (counted(count.images, "image"), counted(count.texts, "text"));
        let images = if dataset.has_pictures() { format!("{images} and ") } else { String::new() };
        (count.images > 0).then(|| format!("{images}{texts} {purpose}"))
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    match plan {
        Some(PlanFile { dataset, stages, settings, .. }) => {
            let (stages, seed) = (stages.join(", "), settings.seed);
            format!("{counts}. Trained on {dataset}, stages: {stages}; seed\u{a0}{seed}.")
        }
        None => format!("{counts}."),
    }
}

fn credits(dataset: &dyn Dataset) -> Vec<String> {
    let credits = dataset.facts().iter().filter(|fact| fact.name == "credit");
    credits.map(|fact| fact.value.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_data::dataset::emoji;

    #[test]
    fn emoji_are_credited_and_counted() {
        let dataset = emoji::open([]).unwrap();
        assert_eq!(credits(&dataset), [emoji::CREDIT]);
        let summary = summary(&dataset, None);
        assert!(summary.contains(" images and ") && summary.ends_with("to test on."), "{summary}");
    }
}
