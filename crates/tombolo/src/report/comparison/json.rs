//! `results.json`.

use serde_json::{Value, json};

use super::Comparison;
use crate::evaluation::{Column, Compared, Evaluation};

/// The documents of `tombolo eval --json`, their means over folds, the tests between models, and the matrices of models × data sets.
pub fn document(comparison: &Comparison) -> Value {
    let protocol = &comparison.protocol;
    let evaluations = comparison.results.iter().flat_map(|result| {
        let documents = result.evaluations.iter();
        documents.map(|evaluation| evaluation.document(result.dataset.as_ref(), protocol))
    });
    let mut comparisons = Vec::new();
    for (result, compared) in comparison.datasets().filter(|(on, _)| on.evaluations.len() > 1) {
        let tests = |(before, column): (&str, &Column)| {
            let mut tests = tests(&result.evaluations, column);
            tests["dataset"] = result.dataset.name().into();
            tests["metric"] = format!("{before}{}", column.measure).into();
            tests
        };
        comparisons.extend(columns(compared).map(tests));
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

/// All columns, each with what stands before its metric's name.
fn columns(compared: &Compared) -> impl Iterator<Item = (&'static str, &Column)> {
    let instances = compared.instances.iter().map(|table| ("", table));
    let tables = instances.chain(compared.categories.iter().map(|table| ("category.", table)));
    tables.flat_map(|(before, table)| table.columns.iter().map(move |column| (before, column)))
}

fn tests(evaluations: &[Evaluation], column: &Column) -> Value {
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
        "direction": column.direction.name(),
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
