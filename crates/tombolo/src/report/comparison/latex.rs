//! `results.tex`: tables for a paper, with `booktabs`.

use std::fmt::Write;

use tombolo_eval::Measure;

use super::{Comparison, OnDataset};
use crate::evaluation::{Compared, DIRECTIONS, Table, recalls};

/// Tables of each data set; of the perturbations, if there are any; of models × data sets, if there are several; of the means over folds.
pub fn tables(comparison: &Comparison) -> String {
    let mut text = "% Written by tombolo eval. Needs \\usepackage{booktabs}.\n".to_owned();
    for (result, compared) in comparison.datasets() {
        text.push_str(&metrics(comparison, result, compared));
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

fn metrics(comparison: &Comparison, result: &OnDataset, compared: &Compared) -> String {
    let [usual, further] = &compared.instances;
    let caption = |of: &str| {
        format!(
            "{}, split {}, in percent{of}; below, 95\\,\\% bootstrap intervals. $^*$: worse than the best (bold), p $<$ 0.05 after Holm's correction.",
            escape(result.dataset.name()),
            comparison.protocol.split
        )
    };
    let rsum = |model: usize| {
        let retrieval = &result.evaluations[model].measured.retrieval;
        [format!("{:.1}", retrieval.rsum), small(Some(retrieval.rsum_ci95))]
    };
    let mut text = of_directions(comparison, usual, Some(&rsum), &caption(""));
    let of = ". tR@K is the share of min(K, right answers) that is found among the first K";
    text.push_str(&of_directions(comparison, further, None, &caption(of)));
    if let Some(table) = &compared.categories {
        let of = ": whatever shares a label with a query is an answer";
        text.push_str(&of_directions(comparison, table, None, &caption(of)));
    }
    text
}

/// Of each model a line of values, and below it one of intervals; `rsum` makes the last cells of both.
fn of_directions(
    comparison: &Comparison,
    metrics: &Table,
    rsum: Option<&dyn Fn(usize) -> [String; 2]>,
    caption: &str,
) -> String {
    let titles = metrics.columns.iter().map(|column| escape(&title(column.measure)));
    let count = metrics.measures.len();
    let last = if rsum.is_some() {
        ["", "rsum"].map(|title| format!(" & {title}"))
    } else {
        Default::default()
    };
    let mut body = format!(
        " & \\multicolumn{{{count}}}{{c}}{{image $\\to$ text}} & \\multicolumn{{{count}}}{{c}}{{text $\\to$ image}}{} \\\\\n\
         Model & {}{} \\\\\n\\midrule\n",
        last[0],
        titles.collect::<Vec<_>>().join(" & "),
        last[1]
    );
    for (model, name) in comparison.names.iter().enumerate() {
        let values = metrics.columns.iter().map(|column| {
            let value = format!("{:.1}", 100.0 * column.values[model]);
            match (column.is_best(model), column.is_worse(model)) {
                (true, _) => format!("\\textbf{{{value}}}"),
                (_, true) => format!("{value}$^*$"),
                _ => value,
            }
        });
        let intervals = metrics.columns.iter().map(|column| {
            small(column.intervals[model].map(|bounds| bounds.map(|bound| 100.0 * bound)))
        });
        let [value, interval] = rsum.map(|of| of(model).map(Some)).unwrap_or_default();
        let values = values.chain(value).collect::<Vec<_>>().join(" & ");
        let intervals = intervals.chain(interval).collect::<Vec<_>>().join(" & ");
        // Writing to a string cannot fail.
        let _ = writeln!(body, "{} & {values} \\\\\n & {intervals} \\\\", escape(name));
    }
    let last = if rsum.is_some() { "r" } else { "" };
    table(&format!("l{}{last}", "r".repeat(2 * count)), &body, caption)
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
pub(super) fn title(measure: Measure) -> String {
    let short = [
        ("true_recall@", "tR@"),
        ("recall@", "R@"),
        ("precision@", "P@"),
        ("map@", "mAP@"),
        ("ndcg@", "nDCG@"),
    ];
    short.iter().fold(measure.to_string(), |name, (long, short)| name.replace(long, short))
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
        assert_eq!(title(Measure::MapOfAll), "mAP@all");
        assert_eq!(title(Measure::TrueRecall(5)), "tR@5");
    }
}
