//! What each perturbation costs each model, as a plot: a row a perturbation, a dot a model.

use std::fmt::Write;

use super::{Comparison, OnDataset};
use crate::report::markup::escape;

const WIDTH: f64 = 900.0;
/// Room for the names of perturbations.
const LEFT: f64 = 260.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 10.0;
const ROW: f64 = 24.0;
/// Room for the labels of the axis.
const BOTTOM: f64 = 26.0;
/// How many colours the style sheet has; more models take them in turn, with other shapes.
const COLOURS: usize = 6;

/// The plot and its legend.
pub fn plot(comparison: &Comparison, on: &OnDataset) -> String {
    let rows = on.evaluations.first().map_or(0, |evaluation| evaluation.perturbations.len());
    let drops: Vec<Vec<f64>> = on
        .evaluations
        .iter()
        .map(|evaluation| {
            let clean = &evaluation.measured.retrieval;
            let perturbed = evaluation.perturbations.iter();
            perturbed.map(|perturbed| 100.0 * perturbed.relative_drop(clean)).collect()
        })
        .collect();
    let axis = Axis::over(drops.iter().flatten().copied());
    let height = TOP + ROW * rows as f64 + BOTTOM;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"share of rsum that each model loses by \
         each perturbation; the table below has the numbers\">"
    );
    axis.draw(&mut svg, height - BOTTOM);
    for row in 0..rows {
        let middle = TOP + ROW * (row as f64 + 0.5);
        let name = escape(&on.evaluations[0].perturbations[row].perturbation.to_string());
        let values = drops.iter().map(|drops| drops[row]);
        let (low, high) = values
            .clone()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<text class=\"y\" x=\"{}\" y=\"{:.1}\">{name}</text>\
             <path class=\"span\" d=\"M{:.1} {middle:.1}H{:.1}\"/>",
            LEFT - 14.0,
            middle + 4.0,
            axis.left_of(low),
            axis.left_of(high)
        );
        for (model, drop) in values.enumerate() {
            let title = format!("{}: {drop:.1} %", escape(&comparison.names[model]));
            svg.push_str(&mark(model, axis.left_of(drop), middle, &title));
        }
    }
    svg.push_str("</svg>");
    format!("<figure class=\"drops\">{}{svg}</figure>", legend(comparison))
}

fn legend(comparison: &Comparison) -> String {
    let names = comparison.names.iter().enumerate().map(|(model, name)| {
        let mark = mark(model, 7.0, 7.0, "");
        format!("<span><svg viewBox=\"0 0 14 14\">{mark}</svg>{}</span>", escape(name))
    });
    format!("<figcaption class=\"legend\">{}</figcaption>", names.collect::<String>())
}

/// A circle for the first models, a square for those that take the colours again.
fn mark(model: usize, x: f64, y: f64, title: &str) -> String {
    let class = format!("m{}", model % COLOURS);
    let title = if title.is_empty() { String::new() } else { format!("<title>{title}</title>") };
    if model < COLOURS {
        return format!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\">{title}</circle>"
        );
    }
    format!(
        "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\">{title}</rect>",
        x - 4.5,
        y - 4.5
    )
}

/// From percent to places, ends and ticks at multiples of the step.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) =
            values.fold((0.0_f64, 1.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
        let step = steps.into_iter().find(|step| (high - low) / step <= 8.0).unwrap_or(1_000.0);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn left_of(&self, value: f64) -> f64 {
        LEFT + (value - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)
    }

    fn draw(&self, svg: &mut String, bottom: f64) {
        let count = ((self.high - self.low) / self.step).round() as usize;
        for tick in 0..=count {
            let value = self.low + tick as f64 * self.step;
            let left = self.left_of(value);
            let class = if value == 0.0 { "zero" } else { "grid" };
            let label = format!("{value:.0} %").replace('-', "−");
            let _ = write!(
                svg,
                "<path class=\"{class}\" d=\"M{left:.1} {TOP}V{bottom:.1}\"/>\
                 <text class=\"x\" x=\"{left:.1}\" y=\"{:.1}\">{label}</text>",
                bottom + 18.0
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_holds_all_values_and_nought() {
        let axis = Axis::over([3.2, 61.0, -4.0].into_iter());
        assert_eq!((axis.low, axis.high, axis.step), (-10.0, 70.0, 10.0));
        assert_eq!(axis.left_of(axis.high), WIDTH - RIGHT);
        let none = Axis::over(std::iter::empty());
        assert!(none.low < none.high);
    }

    #[test]
    fn more_models_than_colours_have_another_shape() {
        assert!(mark(1, 0.0, 0.0, "x").starts_with("<circle class=\"m1\""));
        assert!(mark(COLOURS + 1, 0.0, 0.0, "x").starts_with("<rect class=\"m1\""));
    }
}
