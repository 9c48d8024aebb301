//! `results.csv`: a line for each metric of each direction, with its interval.

use serde_json::Value;
use tombolo_eval::Retrieval;

use super::Comparison;
use crate::evaluation::{DIRECTIONS, Direction};

const HEADER: [&str; 11] = [
    "dataset",
    "split",
    "model",
    "perturbation",
    "changed",
    "of",
    "direction",
    "metric",
    "value",
    "ci95_low",
    "ci95_high",
];

/// What the lines of one retrieval begin with.
type Key = [String; 6];

/// The table, fractions between 0 and 1. The perturbation is empty for inputs as they are.
pub fn table(comparison: &Comparison) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for result in &comparison.results {
        for evaluation in &result.evaluations {
            let key = |perturbation: String, counts: [String; 2]| {
                let [changed, of] = counts;
                let split = comparison.protocol.split.to_string();
                let dataset = result.dataset.name().to_owned();
                [dataset, split, evaluation.model.clone(), perturbation, changed, of]
            };
            let clean = key(String::new(), Default::default());
            lines(&mut writer, &clean, "", &evaluation.measured.retrieval)?;
            if let Some(category) = &evaluation.category {
                lines(&mut writer, &clean, "category.", &category.retrieval)?;
            }
            for perturbed in &evaluation.perturbations {
                let counts = [perturbed.changed, perturbed.of].map(|count| count.to_string());
                let key = key(perturbed.perturbation.to_string(), counts);
                lines(&mut writer, &key, "", &perturbed.retrieval)?;
            }
        }
    }
    for (model, mean) in comparison.means() {
        let text = |name: &str| mean[name].as_str().unwrap_or(model).to_owned();
        let key = |perturbation: &str, counts: [String; 2]| {
            let [changed, of] = counts;
            let split = comparison.protocol.split.to_string();
            [text("dataset"), split, text("model"), perturbation.to_owned(), changed, of]
        };
        mean_lines(&mut writer, &key("", Default::default()), mean)?;
        for (name, perturbed) in mean["perturbations"].as_object().into_iter().flatten() {
            let counts = ["changed", "of"].map(|count| perturbed[count].to_string());
            mean_lines(&mut writer, &key(name, counts), perturbed)?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8(bytes)?)
}

/// The lines of one retrieval; what is `before` each metric's name says of which.
fn lines(
    writer: &mut csv::Writer<Vec<u8>>,
    key: &Key,
    before: &str,
    retrieval: &Retrieval,
) -> anyhow::Result<()> {
    let sides =
        [("image_to_text", &retrieval.image_to_text), ("text_to_image", &retrieval.text_to_image)];
    for (direction, metrics) in sides {
        for (metric, value, interval) in metrics_of(&serde_json::to_value(metrics)?) {
            let [low, high] = interval.map_or_else(Default::default, |i| i.map(|v| v.to_string()));
            let metric = format!("{before}{metric}");
            let rest = [direction.to_owned(), metric, value.to_string(), low, high];
            writer.write_record(key.iter().chain(&rest))?;
        }
    }
    let [low, high] = retrieval.rsum_ci95.map(|value| value.to_string());
    let rest = ["both".to_owned(), format!("{before}rsum"), retrieval.rsum.to_string(), low, high];
    writer.write_record(key.iter().chain(&rest))?;
    Ok(())
}

/// Those of a mean over folds, which has no intervals.
fn mean_lines(writer: &mut csv::Writer<Vec<u8>>, key: &Key, mean: &Value) -> anyhow::Result<()> {
    for direction in DIRECTIONS.map(Direction::name) {
        for (metric, value, _) in metrics_of(&mean[direction]) {
            writer.write_record(key.iter().map(String::as_str).chain([
                direction,
                &metric,
                &value.to_string(),
                "",
                "",
            ]))?;
        }
    }
    let rsum = mean["rsum"].to_string();
    writer.write_record(key.iter().map(String::as_str).chain(["both", "rsum", &rsum, "", ""]))?;
    Ok(())
}

/// A metric's name, value and interval.
type Cell = (String, f64, Option<[f64; 2]>);

/// All metrics, as the JSON has them.
fn metrics_of(metrics: &Value) -> Vec<Cell> {
    let Value::Object(fields) = metrics else { return Vec::new() };
    let interval = |name: &str| {
        let bounds = fields.get(&format!("{name}_ci95"))?.as_array()?;
        Some([bounds.first()?.as_f64()?, bounds.get(1)?.as_f64()?])
    };
    let numbers = fields.iter().filter_map(|(name, value)| Some((name, value.as_f64()?)));
    numbers.map(|(name, value)| (name.clone(), value, interval(name))).collect()
}
