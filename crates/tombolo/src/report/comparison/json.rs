//! `results.json`.

use serde_json::{Value, json};

use super::Comparison;
use crate::evaluation::{Column, Evaluation};

/// The documents of `tombolo eval --json`, their means over folds, the tests between models, and the matrices of models × data sets.
pub fn document(comparison: &Comparison) -> Value {
    let protocol = &comparison.protocol;
    let evaluations = comparison.results.iter().flat_map(|result| {
        let documents = result.evaluations.iter();
        documents.map(|evaluation| evaluation.document(result.dataset.as_ref(), protocol))
    });
    let mut comparisons = Vec::new();
    for (result, columns) in comparison.datasets() {
        let each =
            columns.iter().map(|column| tests(result.dataset.name(), &result.evaluations, column));
        comparisons.extend(each.filter(|_| result.evaluations.len() > 1));
    }
    json!({
        "split": protocol.split.to_string(),
        "seed": protocol.seed,
        "evaluations": evaluations.collect::<Vec<_>>(),
        "means": comparison.means().map(|(_, mean)| mean).collect::<Vec<_>>(),
        "comparisons": comparisons,
        "transfer": transfer(comparison),
    })
}

fn tests(dataset: &str, evaluations: &[Evaluation], column: &Column) -> Value {
    let others = column.tests.iter().zip(evaluations).filter_map(|(test, evaluation)| {
        let test = test.as_ref()?;
        Some(json!({
            "model": evaluation.model,
            "difference": test.comparison.difference,
            "difference_ci95": test.comparison.ci95,
            "p": test.comparison.p,
            "p_holm": test.p_holm,
        }))
    });
    json!({
        "dataset": dataset,
        "direction": column.direction.name(),
        "metric": column.measure.to_string(),
        "best": evaluations[column.best].model,
        "others": others.collect::<Vec<_>>(),
    })
}

/// A row a model, a column a data set.
fn transfer(comparison: &Comparison) -> Value {
    let matrix = |of: &dyn Fn(&Evaluation) -> f64| {
        let row = |model: usize| {
            let datasets = comparison.results.iter();
            datasets.map(|result| of(&result.evaluations[model])).collect::<Vec<_>>()
        };
        (0..comparison.names.len()).map(row).collect::<Vec<_>>()
    };
    json!({
        "models": comparison.results.first().map(|result| {
            result.evaluations.iter().map(|evaluation| evaluation.model.as_str()).collect::<Vec<_>>()
        }),
        "datasets": comparison.results.iter().map(|r| r.dataset.name()).collect::<Vec<_>>(),
        "image_to_text_recall@1": matrix(&|e| e.measured.retrieval.image_to_text.recall_at_1),
        "text_to_image_recall@1": matrix(&|e| e.measured.retrieval.text_to_image.recall_at_1),
        "rsum": matrix(&|e| e.measured.retrieval.rsum),
    })
}
