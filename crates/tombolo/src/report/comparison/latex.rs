//! `results.tex`: tables for a paper, with `booktabs`.

use std::fmt::Write;

use super::{Comparison, OnDataset, category as by_category};
use crate::evaluation::{COLUMNS, Column, DIRECTIONS, recalls};

/// A table a data set; of the perturbations, if there are any; of models × data sets, if there are several; of the means over folds.
pub fn tables(comparison: &Comparison) -> String {
    let mut text = "% Written by tombolo eval. Needs \\usepackage{booktabs}.\n".to_owned();
    for (result, columns) in comparison.datasets() {
        text.push_str(&metrics(comparison, result, columns));
        if by_category::is_known(result) {
            text.push_str(&category(comparison, result));
        }
        if result.evaluations.iter().any(|evaluation| !evaluation.perturbations.is_empty()) {
            text.push_str(&drops(comparison, result));
        }
    }
    if comparison.results.len() > 1 {
        text.push_str(&transfer(comparison));
    }
    if comparison.means().next().is_some() {
        text.push_str(&means(comparison));
    }
    text
}

fn metrics(comparison: &Comparison, result: &OnDataset, columns: &[Column]) -> String {
    let titles: Vec<String> = DIRECTIONS
        .iter()
        .flat_map(|_| COLUMNS.map(|measure| escape(&title(&measure.to_string()))))
        .collect();
    let count = COLUMNS.len();
    let mut body = format!(
        " & \\multicolumn{{{count}}}{{c}}{{image $\\to$ text}} & \\multicolumn{{{count}}}{{c}}{{text $\\to$ image}} & \\\\\n\
         Model & {} & rsum \\\\\n\\midrule\n",
        titles.join(" & ")
    );
    for (model, name) in comparison.names.iter().enumerate() {
        let cells = columns.iter().map(|column| {
            let value = format!("{:.1}", 100.0 * column.values[model]);
            match (column.is_best(model), column.is_worse(model)) {
                (true, _) => format!("\\textbf{{{value}}}"),
                (_, true) => format!("{value}$^*$"),
                _ => value,
            }
        });
        let cells = cells.collect::<Vec<_>>().join(" & ");
        let retrieval = &result.evaluations[model].measured.retrieval;
        // Writing to a string cannot fail.
        let _ = writeln!(body, "{} & {cells} & {:.1} \\\\", escape(name), retrieval.rsum);
        let intervals = columns.iter().map(|column| {
            let interval = column.direction.measured(retrieval).interval(column.measure);
            small(interval.map(|bounds| bounds.map(|bound| 100.0 * bound)))
        });
        let intervals = intervals.collect::<Vec<_>>().join(" & ");
        let _ = writeln!(body, " & {intervals} & {} \\\\", small(Some(retrieval.rsum_ci95)));
    }
    let caption = format!(
        "{}, split {}, in percent; below, 95\\,\\% bootstrap intervals. $^*$: worse than the best (bold), p $<$ 0.05 after Holm's correction.",
        escape(result.dataset.name()),
        comparison.protocol.split
    );
    table(&format!("l{}r", "r".repeat(2 * count)), &body, &caption)
}

fn category(comparison: &Comparison, result: &OnDataset) -> String {
    let titles = DIRECTIONS.iter().flat_map(|_| by_category::METRICS.map(|(name, _)| name));
    let count = by_category::METRICS.len();
    let mut body = format!(
        " & \\multicolumn{{{count}}}{{c}}{{image $\\to$ text}} & \\multicolumn{{{count}}}{{c}}{{text $\\to$ image}} \\\\\n\
         Model & {} \\\\\n\\midrule\n",
        titles.collect::<Vec<_>>().join(" & ")
    );
    for (name, cells) in by_category::rows(comparison, result) {
        let _ = writeln!(body, "{} & {} \\\\", escape(name), cells.join(" & "));
    }
    let caption = format!(
        "{}, split {}, in percent: whatever shares a label with a query is an answer.",
        escape(result.dataset.name()),
        comparison.protocol.split
    );
    table(&format!("l{}", "r".repeat(2 * count)), &body, &caption)
}

fn drops(comparison: &Comparison, result: &OnDataset) -> String {
    let names: Vec<String> = comparison.names.iter().map(|name| escape(name)).collect();
    let mut body = format!("Perturbation & changed & {} \\\\\n\\midrule\n", names.join(" & "));
    for (place, perturbed) in result.evaluations[0].perturbations.iter().enumerate() {
        let drops = result.evaluations.iter().map(|evaluation| {
            let clean = &evaluation.measured.retrieval;
            let drop = 100.0 * evaluation.perturbations[place].relative_drop(clean);
            format!("{drop:.1}").replace('-', "$-$")
        });
        let drops = drops.collect::<Vec<_>>().join(" & ");
        let name = escape(&perturbed.perturbation.to_string());
        let share = 100.0 * perturbed.changed as f64 / perturbed.of.max(1) as f64;
        let _ = writeln!(body, "{name} & {share:.0}\\% & {drops} \\\\");
    }
    let caption = format!(
        "{}: share of rsum lost, in percent, with inputs perturbed.",
        escape(result.dataset.name())
    );
    table(&format!("lr{}", "r".repeat(names.len())), &body, &caption)
}

fn transfer(comparison: &Comparison) -> String {
    let datasets = comparison.results.iter().map(|result| escape(result.dataset.name()));
    let datasets: Vec<String> = datasets.collect();
    let mut body = format!("Model & {} \\\\\n\\midrule\n", datasets.join(" & "));
    for (model, name) in comparison.names.iter().enumerate() {
        let cells = comparison.results.iter().map(|result| {
            let retrieval = &result.evaluations[model].measured.retrieval;
            let [image, text] = [&retrieval.image_to_text, &retrieval.text_to_image]
                .map(|metrics| 100.0 * metrics.recall_at_1);
            format!("{image:.1} / {text:.1}")
        });
        let _ = writeln!(body, "{} & {} \\\\", escape(name), cells.collect::<Vec<_>>().join(" & "));
    }
    let caption = "recall@1 in percent, image $\\to$ text / text $\\to$ image, of each model on each data set.";
    table(&format!("l{}", "r".repeat(datasets.len())), &body, caption)
}

fn means(comparison: &Comparison) -> String {
    let titles = ["R@1 & R@5 & R@10"; 2].join(" & ");
    let mut body = format!(
        " & & \\multicolumn{{3}}{{c}}{{image $\\to$ text}} & \\multicolumn{{3}}{{c}}{{text $\\to$ image}} & \\\\\n\
         Data set & Model & {titles} & rsum \\\\\n\\midrule\n"
    );
    for (model, mean) in comparison.means() {
        let dataset = escape(mean["dataset"].as_str().unwrap_or_default());
        let cells = DIRECTIONS.map(|direction| {
            recalls(mean, direction.name()).map(|recall| format!("{recall:.1}")).join(" & ")
        });
        let rsum = mean["rsum"].as_f64().unwrap_or(f64::NAN);
        let model = escape(model);
        let _ = writeln!(body, "{dataset} & {model} & {} & {rsum:.1} \\\\", cells.join(" & "));
    }
    table("llrrrrrrr", &body, "Means over folds, in percent.")
}

fn table(columns: &str, body: &str, caption: &str) -> String {
    format!(
        "\n\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{body}\
         \\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )
}

/// An interval, in small type.
fn small(interval: Option<[f64; 2]>) -> String {
    let Some([low, high]) = interval else { return String::new() };
    format!("{{\\tiny {low:.1}--{high:.1}}}")
}

/// As the literature writes it: `R@1` for `recall@1`.
pub(super) fn title(measure: &str) -> String {
    measure.replace("recall@", "R@").replace("map@", "mAP@").replace("ndcg@", "nDCG@")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_be_commands() {
        assert_eq!(
            escape("a_b & 5% \\x{y}^~"),
            "a\\_b \\& 5\\% \\textbackslash{}x\\{y\\}\\textasciicircum{}\\textasciitilde{}"
        );
        assert_eq!(title("map@all"), "mAP@all");
    }
}
