//! Tables of the page.

use std::fmt::Write;

use super::latex::title;
use super::{Comparison, OnDataset};
use crate::evaluation::{Column, Compared, DIRECTIONS, Direction, Table, recalls};
use crate::report::markup::{counted, escape, grouped};

/// The metrics by the answers of each query, a table a direction and kind.
pub fn metrics(comparison: &Comparison, compared: &Compared, on: &OnDataset) -> String {
    let [usual, further] = &compared.instances;
    let medians = |direction: Direction, model: usize| {
        direction.measured(&on.evaluations[model].measured.retrieval).median_rank
    };
    let usual = by_direction(comparison, usual, Some(&medians));
    format!(
        "{usual}<details><summary>How many of the right answers are found</summary><p class=\"note\">tR@K is the share of \
         min(K, right answers) that is among the first K, P@K that of the first K that are right, mAP@50 the mean \
         precision at each hit among the first 50.</p>{}</details>",
        by_direction(comparison, further, None)
    )
}

/// What is told of each direction where whatever shares a label is an answer.
pub fn category(comparison: &Comparison, table: &Table) -> String {
    by_direction(comparison, table, None)
}

/// A table a direction: a row a model, with intervals, the best in bold, marks of what is worse, and perhaps median ranks.
fn by_direction(
    comparison: &Comparison,
    table: &Table,
    medians: Option<&dyn Fn(Direction, usize) -> f64>,
) -> String {
    let sides = table.columns.chunks(table.measures.len());
    DIRECTIONS
        .into_iter()
        .zip(sides)
        .map(|(d, side)| one_direction(comparison, d, side, medians))
        .collect()
}

fn one_direction(
    comparison: &Comparison,
    direction: Direction,
    columns: &[Column],
    medians: Option<&dyn Fn(Direction, usize) -> f64>,
) -> String {
    let titles = columns.iter().map(|column| title(column.measure));
    let last = medians.map(|_| "median rank".to_owned());
    let mut rows = head(direction.title(), titles.chain(last));
    for (model, name) in comparison.names.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(rows, "<tr><th scope=\"row\">{}</th>", escape(name));
        for column in columns {
            let (best, worse) = (column.is_best(model), column.is_worse(model));
            rows.push_str(&cell(column.values[model], column.intervals[model], best, worse));
        }
        if let Some(medians) = medians {
            let _ = write!(rows, "<td>{}</td>", medians(direction, model));
        }
        rows.push_str("</tr>");
    }
    table(&rows)
}

fn cell(value: f64, interval: Option<[f64; 2]>, best: bool, worse: bool) -> String {
    let value = format!("{:.1}", 100.0 * value);
    let mark = if worse { "<sup title=\"worse than the best, p &lt; 0.05\">*</sup>" } else { "" };
    let value = if best { format!("<b>{value}</b>") } else { value };
    let interval = interval.map_or_else(String::new, |[low, high]| {
        format!("<small>{:.1}–{:.1}</small>", 100.0 * low, 100.0 * high)
    });
    format!("<td>{value}{mark}{interval}</td>")
}

/// What each model was measured on, in a sentence.
pub fn counts(on: &OnDataset) -> String {
    let Some(evaluation) = on.evaluations.first() else { return String::new() };
    let ([images, texts], gallery) = (evaluation.measured.queries, evaluation.measured.gallery);
    format!(
        "{} and {} are queries, ranked against {} and {}.",
        counted(images, "image"),
        counted(texts, "text"),
        counted(gallery[1], "text"),
        counted(gallery[0], "image")
    )
}

/// Recall@1 in both directions and rsum of each model on each data set, the best of each data set in bold.
pub fn transfer(comparison: &Comparison) -> String {
    let titles = comparison.results.iter().map(|on| escape(on.dataset.name()));
    let mut rows = head("", titles);
    let rsum = |on: &OnDataset, model: usize| on.evaluations[model].measured.retrieval.rsum;
    for (model, name) in comparison.names.iter().enumerate() {
        let _ = write!(rows, "<tr><th scope=\"row\">{}</th>", escape(name));
        for on in &comparison.results {
            let retrieval = &on.evaluations[model].measured.retrieval;
            let [image, text] = [&retrieval.image_to_text, &retrieval.text_to_image]
                .map(|metrics| 100.0 * metrics.recall_at_1);
            let all = 0..comparison.names.len();
            let is_best = all.into_iter().all(|other| rsum(on, other) <= retrieval.rsum);
            let recalls = format!("{image:.1} / {text:.1}");
            let recalls = if is_best { format!("<b>{recalls}</b>") } else { recalls };
            let _ = write!(rows, "<td>{recalls}<small>rsum {:.1}</small></td>", retrieval.rsum);
        }
        rows.push_str("</tr>");
    }
    table(&rows)
}

/// Recalls in both directions and rsum, as means over the folds of a data set.
pub fn means(comparison: &Comparison) -> String {
    let recalls_of = DIRECTIONS.iter().flat_map(|direction| {
        [1, 5, 10].map(|k| format!("{}<small>R@{k}</small>", escape(direction.title())))
    });
    let titles = ["data set".to_owned(), "folds".to_owned()].into_iter().chain(recalls_of);
    let mut rows = head("", titles.chain(["rsum".to_owned()]));
    for (model, mean) in comparison.means() {
        let dataset = escape(mean["dataset"].as_str().unwrap_or_default());
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}</th><td>{dataset}</td><td>{}</td>",
            escape(model),
            mean["folds"]
        );
        for recall in DIRECTIONS.iter().flat_map(|direction| recalls(mean, direction.name())) {
            let _ = write!(rows, "<td>{recall:.1}</td>");
        }
        let _ = write!(rows, "<td>{:.1}</td></tr>", mean["rsum"].as_f64().unwrap_or(f64::NAN));
    }
    table(&rows)
}

/// What each perturbation changed, and the share of rsum that each model lost with it.
pub fn drops(comparison: &Comparison, on: &OnDataset) -> String {
    let names = comparison.names.iter().map(|name| escape(name));
    let mut rows = head("", ["changed".to_owned()].into_iter().chain(names));
    let Some(first) = on.evaluations.first() else { return String::new() };
    for (place, perturbed) in first.perturbations.iter().enumerate() {
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}</th><td>{}<small>of {}</small></td>",
            perturbed.perturbation,
            grouped(perturbed.changed as u64),
            grouped(perturbed.of as u64)
        );
        for evaluation in &on.evaluations {
            let perturbed = &evaluation.perturbations[place];
            let drop = 100.0 * perturbed.relative_drop(&evaluation.measured.retrieval);
            let rsum = perturbed.retrieval.rsum;
            let drop = format!("{drop:.1}").replace('-', "−");
            let _ = write!(rows, "<td>{drop}<small>rsum {rsum:.1}</small></td>");
        }
        rows.push_str("</tr>");
    }
    table(&rows)
}

/// The row of titles; they are markup.
fn head(corner: &str, titles: impl Iterator<Item = String>) -> String {
    let titles: String = titles.map(|title| format!("<th scope=\"col\">{title}</th>")).collect();
    format!("<tr><td>{corner}</td>{titles}</tr>")
}

fn table(rows: &str) -> String {
    format!("<div class=\"wide\"><table class=\"metrics\">{rows}</table></div>")
}
