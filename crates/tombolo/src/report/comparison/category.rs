//! What is told where whatever shares a label with a query is an answer, as with NUS-WIDE.

use tombolo_eval::DirectionMetrics;

use super::{Comparison, OnDataset};

/// A metric's name and value.
type Metric = (&'static str, fn(&DirectionMetrics) -> f64);

/// What is told of each direction.
pub const METRICS: [Metric; 3] = [
    ("P@10", |metrics| metrics.precision_at_10),
    ("mAP@50", |metrics| metrics.map_at_50),
    ("mAP@all", |metrics| metrics.map_at_all),
];

/// Whether a data set has labels, and was measured by them.
pub fn is_known(on: &OnDataset) -> bool {
    on.evaluations.iter().any(|evaluation| evaluation.category.is_some())
}

/// Each model's name, and its metrics of both directions in percent.
pub fn rows<'a>(
    comparison: &'a Comparison,
    on: &'a OnDataset,
) -> impl Iterator<Item = (&'a str, Vec<String>)> {
    let names = comparison.names.iter().map(String::as_str);
    names.zip(&on.evaluations).filter_map(|(name, evaluation)| {
        let category = evaluation.category.as_ref()?;
        let sides = [&category.image_to_text, &category.text_to_image];
        let cells = sides.iter().flat_map(|side| METRICS.map(|(_, of)| 100.0 * of(side)));
        Some((name, cells.map(|value| format!("{value:.1}")).collect()))
    })
}
