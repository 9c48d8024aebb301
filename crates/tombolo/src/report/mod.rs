//! Tables and the report of a run.

mod chart;
pub mod comparison;
mod curves;
mod examples;
mod markup;
mod page;
mod parts;
mod samples;
mod table;
pub mod thumbnail;
mod vectors;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use tombolo_data::dataset::{Dataset, Split};
use tombolo_models::backbones::Backbones;
use tombolo_models::checkpoint::write_atomically;
use tombolo_models::model::Model;
use tombolo_train::run::PlanFile;

pub use markup::counted;
use page::{Page, Recalls};
pub use table::{category_table, perturbation_table, table};

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
        recalls: joined.then(|| recalls(&model.file().metrics)).flatten(),
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
        (count.images > 0).then(|| format!("{images} and {texts} {purpose}"))
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

fn recalls(metrics: &BTreeMap<String, f64>) -> Option<Recalls> {
    let side = |side: &str| {
        let [one, five, ten] =
            [1, 5, 10].map(|k| metrics.get(&format!("val.{side}.recall@{k}")).copied());
        Some([one?, five?, ten?])
    };
    Some(Recalls { image_to_text: side("image_to_text")?, text_to_image: side("text_to_image")? })
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
    fn the_names_of_recalls_are_those_that_training_records() {
        let names = ["image_to_text", "text_to_image"];
        let mut metrics: BTreeMap<String, f64> = names
            .iter()
            .flat_map(|side| [1, 5, 10].map(|k| (format!("val.{side}.recall@{k}"), f64::from(k))))
            .collect();
        assert_eq!(recalls(&metrics).unwrap().text_to_image, [1.0, 5.0, 10.0]);
        metrics.remove("val.text_to_image.recall@5");
        assert!(recalls(&metrics).is_none());
    }

    #[test]
    fn emoji_are_credited_and_counted() {
        let dataset = emoji::open([]).unwrap();
        assert_eq!(credits(&dataset), [emoji::CREDIT]);
        let summary = summary(&dataset, None);
        assert!(summary.contains(" images and ") && summary.ends_with("to test on."), "{summary}");
    }
}
