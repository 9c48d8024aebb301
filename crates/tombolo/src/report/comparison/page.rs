//! `report.html`: one page that needs nothing but itself.

use super::{Comparison, OnDataset, differences, drops, gallery, tables};
use crate::evaluation::{Compared, Evaluation};
use crate::report::markup::{counted, escape};

const STYLE: &str = include_str!("../page.css");
const OWN_STYLE: &str = include_str!("comparison.css");

/// Most models that the best one is shown beside, query by query.
const PAIRS: usize = 3;

/// The page.
pub fn html(comparison: &Comparison) -> String {
    let title = title(comparison);
    let mut body = header(comparison, &title);
    if comparison.results.len() > 1 {
        body.push_str(&format!(
            "<section><h2>Models on data sets</h2><p class=\"note\">recall@1 in percent, image → text / text → image. \
             The best rsum of each data set is in bold. Where a model was not trained on the data set, its figures \
             are zero-shot.</p>{}</section>",
            tables::transfer(comparison)
        ));
    }
    if comparison.means().next().is_some() {
        body.push_str(&format!(
            "<section><h2>Means over folds</h2><p class=\"note\">In percent.</p>{}</section>",
            tables::means(comparison)
        ));
    }
    for (on, compared) in comparison.datasets() {
        body.push_str(&dataset(comparison, on, compared));
    }
    body.push_str(&footer(comparison));
    let title = escape(&title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title} · Tombolo</title>\
         <style>{STYLE}{OWN_STYLE}</style></head>\n<body class=\"comparison\">{body}</body></html>\n"
    )
}

fn title(comparison: &Comparison) -> String {
    let datasets: Vec<&str> = comparison.results.iter().map(|on| on.dataset.name()).collect();
    format!("{} on {}", counted(comparison.names.len(), "model"), datasets.join(", "))
}

fn header(comparison: &Comparison, title: &str) -> String {
    let names = comparison.names.join(", ");
    let protocol = &comparison.protocol;
    format!(
        "<header><p class=\"over\">Tombolo · evaluation</p><h1>{}</h1><p>{}. Split {}, seed\u{a0}{}.</p></header>",
        escape(title),
        escape(&names),
        protocol.split,
        protocol.seed
    )
}

fn dataset(comparison: &Comparison, on: &OnDataset, compared: &Compared) -> String {
    let several = comparison.names.len() > 1;
    let marks = match several {
        true => {
            " The best is in bold; * is worse than it by more than chance explains (p &lt; 0.05 after Holm’s correction: \
                 McNemar’s exact test for recall, approximate randomisation for the others, on the same queries)."
        }
        false => "",
    };
    let mut html = format!(
        "<section><h2>{}</h2><p class=\"note\">{} In percent, with 95 % bootstrap intervals.{marks}</p>{}</section>",
        escape(on.dataset.name()),
        tables::counts(on),
        tables::metrics(comparison, compared, on)
    );
    if let Some(table) = &compared.categories {
        html.push_str(&format!(
            "<section><h2>At the level of categories</h2><p class=\"note\">Whatever shares a label with a query is an answer. \
             In percent, with 95 % bootstrap intervals.</p>{}</section>",
            tables::category(comparison, table)
        ));
    }
    if on.evaluations.iter().any(|evaluation| !evaluation.perturbations.is_empty()) {
        html.push_str(&format!(
            "<section><h2>What perturbations cost</h2><p class=\"note\">Share of rsum that is lost when all texts, or all \
             images, are perturbed; less is better. Inputs with nothing to change stay as they are.</p>{}\
             <details><summary>The numbers</summary>{}</details></section>",
            drops::plot(comparison, on),
            tables::drops(comparison, on)
        ));
    }
    for [best, other] in pairs(&on.evaluations) {
        let names = [best, other].map(|model| comparison.names[model].as_str());
        let models = [best, other].map(|model| &on.evaluations[model]);
        let found = differences::between(on.dataset.as_ref(), models);
        html.push_str(&gallery::section(names, &found));
    }
    html
}

/// The model with the largest rsum, beside each of those that come next.
fn pairs(evaluations: &[Evaluation]) -> Vec<[usize; 2]> {
    let mut order: Vec<usize> = (0..evaluations.len()).collect();
    let rsum = |model: &usize| evaluations[*model].measured.retrieval.rsum;
    order.sort_by(|a, b| rsum(b).total_cmp(&rsum(a)));
    let Some((&best, others)) = order.split_first() else { return Vec::new() };
    others.iter().take(PAIRS).map(|&other| [best, other]).collect()
}

fn footer(comparison: &Comparison) -> String {
    let mut lines: Vec<String> = Vec::new();
    let facts = comparison.results.iter().flat_map(|on| on.dataset.facts());
    let credits = facts.filter(|fact| fact.name == "credit").map(|fact| fact.value.clone());
    let evaluations = comparison.results.iter().flat_map(|on| &on.evaluations);
    let caveats = evaluations.flat_map(|evaluation| evaluation.caveats.clone());
    for line in caveats.chain(credits) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.push(format!("Written by Tombolo {}.", env!("CARGO_PKG_VERSION")));
    let lines: String = lines.iter().map(|line| format!("<p>{}</p>", escape(line))).collect();
    format!("<footer>{lines}</footer>")
}
