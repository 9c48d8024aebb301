//! Retrieval metrics as a table for the terminal.

use tombolo_eval::DirectionMetrics;
use tombolo_eval::Retrieval;

use super::markup::grouped;
use crate::evaluation::Evaluation;

/// Titles of the columns; the first column names the direction.
const TITLES: [&str; 11] = [
    "",
    "R@1",
    "R@5",
    "R@10",
    "true R@5",
    "P@5",
    "mAP@50",
    "mAP@all",
    "median",
    "mean",
    "95% of R@1",
];

/// A table of both directions, at most 100 columns wide. Fractions are in percent; `median` and `mean`
/// are of the rank of the first right answer.
pub fn table(retrieval: &Retrieval) -> String {
    let rows = [
        TITLES.map(str::to_owned),
        cells("image→text", &retrieval.image_to_text),
        cells("text→image", &retrieval.text_to_image),
    ];
    format!("{}\n{}", aligned(&rows), summary(retrieval))
}

/// The same where all that shares a label is an answer.
pub fn category_table(retrieval: &Retrieval) -> String {
    format!("where whatever shares a label is an answer:\n{}", table(retrieval))
}

/// A table of what each perturbation left of the recalls, at most 100 columns wide, in percent.
pub fn perturbation_table(evaluation: &Evaluation) -> String {
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let clean = &evaluation.measured.retrieval;
    let titles = ["perturbed", "changed", "i→t R@1", "t→i R@1", "rsum", "rsum lost"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(evaluation.perturbations.iter().map(|perturbed| {
        let retrieval = &perturbed.retrieval;
        [
            perturbed.perturbation.to_string(),
            format!("{} of {}", grouped(perturbed.changed as u64), grouped(perturbed.of as u64)),
            percent(retrieval.image_to_text.recall_at_1),
            percent(retrieval.text_to_image.recall_at_1),
            format!("{:.1}", retrieval.rsum),
            percent(perturbed.relative_drop(clean)),
        ]
    }));
    aligned(&rows)
}

fn cells(direction: &str, metrics: &DirectionMetrics) -> [String; TITLES.len()] {
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let [low, high] = metrics.recall_at_1_ci95.map(percent);
    [
        direction.to_owned(),
        percent(metrics.recall_at_1),
        percent(metrics.recall_at_5),
        percent(metrics.recall_at_10),
        percent(metrics.true_recall_at_5),
        percent(metrics.precision_at_5),
        percent(metrics.map_at_50),
        percent(metrics.map_at_all),
        // A median of whole numbers is whole or half.
        metrics.median_rank.to_string(),
        format!("{:.1}", metrics.mean_rank),
        format!("{low}–{high}"),
    ]
}

/// Columns as wide as their widest cell: the first flush left, the rest flush right.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let lines = rows.iter().map(|row| {
        let cells =
            row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
        cells.collect::<Vec<_>>().join("  ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn summary(retrieval: &Retrieval) -> String {
    let sides = [&retrieval.image_to_text, &retrieval.text_to_image];
    let [images, texts] = sides.map(|metrics| grouped(metrics.queries as u64));
    let excluded: usize = sides.iter().map(|metrics| metrics.excluded).sum();
    let left_out = match excluded {
        0 => String::new(),
        count => format!("\nleft out, with nothing to find: {} queries", grouped(count as u64)),
    };
    format!(
        "rsum {:.1} · queries: {images} images, {texts} texts · in percent, but for ranks{left_out}",
        retrieval.rsum
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(share: f64, rank: f64) -> DirectionMetrics {
        DirectionMetrics {
            recall_at_1: share,
            recall_at_5: share,
            recall_at_10: share,
            true_recall_at_1: share,
            true_recall_at_5: share,
            true_recall_at_10: share,
            precision_at_1: share,
            precision_at_5: share,
            precision_at_10: share,
            map_at_50: share,
            map_at_all: share,
            median_rank: rank,
            mean_rank: rank,
            recall_at_1_ci95: [share, share],
            ndcg_at_10: share,
            map_cut_at_50: share,
            intervals: Default::default(),
            queries: 1000,
            excluded: 3,
        }
    }

    fn retrieval(first: DirectionMetrics, second: DirectionMetrics) -> Retrieval {
        Retrieval {
            image_to_text: first,
            text_to_image: second,
            rsum: 600.0,
            rsum_ci95: [600.0; 2],
        }
    }

    #[test]
    fn even_the_widest_numbers_fit_100_columns() {
        let table = table(&retrieval(metrics(1.0, 1_000_000.5), metrics(1.0, 1_000_000.5)));
        let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&width| width <= 100), "{widths:?}\n{table}");
    }

    #[test]
    fn rows_line_up_under_their_titles() {
        let table = table(&retrieval(metrics(0.2734, 5.0), metrics(0.0, 12.5)));
        let lines: Vec<Vec<char>> = table.lines().map(|line| line.chars().collect()).collect();
        assert_eq!(lines.len(), 5);
        let width = lines[0].len();
        assert!(lines[..3].iter().all(|line| line.len() == width), "{table}");
        let end = lines[0].windows(3).position(|title| title == ['R', '@', '1']).unwrap() + 3;
        let cells = [1, 2].map(|row| lines[row][end - 4..end].iter().collect::<String>());
        assert_eq!(cells, ["27.3", " 0.0"]);
        assert!(table.ends_with(
            "rsum 600.0 · queries: 1,000 images, 1,000 texts · in percent, but for ranks\n\
             left out, with nothing to find: 6 queries"
        ));
    }
}
