//! Line charts as SVG. Colours come from the page's style sheet, so that they follow light and dark.

use std::fmt::Write;

use super::curves::Point;
use super::markup::{escape, grouped};

/// Width of every chart, in the units of its view box; about as many pixels on the page.
const WIDTH: f64 = 320.0;
/// Room for the labels of the upright axis.
const LEFT: f64 = 38.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 8.0;
/// Room for the labels of the lying axis.
const BOTTOM: f64 = 22.0;

/// A chart of one or two lines over the steps of a stage.
pub struct Chart<'a> {
    /// What it shows, for those who cannot see it.
    pub label: &'a str,
    /// Height in the units of the view box.
    pub height: f64,
    /// Steps of the whole stage.
    pub steps: usize,
    /// A faint line behind the other.
    pub faint: &'a [Point],
    /// The line; it has at least one point.
    pub line: &'a [Point],
}

/// The values that an axis spans, and those that it names.
#[derive(Debug, PartialEq)]
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    step: f64,
}

impl Chart<'_> {
    /// The chart as an `<svg>` element.
    pub fn svg(&self) -> String {
        let values = || self.faint.iter().chain(self.line).map(|point| point.y);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let y = Axis::around(low, high, if self.height > 120.0 { 4 } else { 2 });
        let x = Axis::within(0.0, (self.steps.max(2) - 1) as f64, 4);
        let frame = Frame { x: &x, y: &y, bottom: self.height - BOTTOM };
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
            self.height,
            escape(self.label)
        );
        frame.draw_axes(&mut svg);
        for (class, line) in [("faint", self.faint), ("line", self.line)] {
            if !line.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(svg, "<path class=\"{class}\" d=\"{}\"/>", frame.path(line));
            }
        }
        svg.push_str("</svg>");
        svg
    }
}

/// Where axes and lines lie on the picture.
struct Frame<'a> {
    x: &'a Axis,
    y: &'a Axis,
    bottom: f64,
}

impl Frame<'_> {
    fn left_of(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn top_of(&self, value: f64) -> f64 {
        self.bottom - self.y.share(value) * (self.bottom - TOP)
    }

    fn path(&self, line: &[Point]) -> String {
        let mut path = String::new();
        for (index, point) in line.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let (x, y) = (self.left_of(point.x), self.top_of(point.y));
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        if let [point] = line {
            // A path without length is not drawn.
            let _ = write!(path, "H{:.1}", self.left_of(point.x) + 1.0);
        }
        path
    }

    fn draw_axes(&self, svg: &mut String) {
        let (right, label_left, label_top) = (WIDTH - RIGHT, LEFT - 6.0, self.bottom + 15.0);
        for &tick in &self.y.ticks {
            let (top, label) = (self.top_of(tick), self.y.label(tick));
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {top:.1}H{right}\"/>\
                 <text class=\"y\" x=\"{label_left}\" y=\"{:.1}\">{label}</text>",
                top + 3.5
            );
        }
        for &tick in &self.x.ticks {
            let (left, label) = (self.left_of(tick), self.x.label(tick));
            let _ =
                write!(svg, "<text class=\"x\" x=\"{left:.1}\" y=\"{label_top}\">{label}</text>");
        }
    }
}

impl Axis {
    /// An axis that ends at ticks beyond both values.
    fn around(low: f64, high: f64, about: usize) -> Self {
        let (low, high) = match high - low {
            // Nothing varies: the line runs through the middle.
            span if span <= 1e-9 * high.abs() => {
                let reach = if high == 0.0 { 1.0 } else { 0.5 * high.abs() };
                (low - reach, high + reach)
            }
            _ => (low, high),
        };
        let step = nice((high - low) / about as f64);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks = multiples(first, last, step);
        Self { low: first * step, high: last * step, ticks, step }
    }

    /// An axis that ends at the values themselves, with the ticks between them.
    fn within(low: f64, high: f64, about: usize) -> Self {
        let step = nice((high - low) / about as f64).max(1.0);
        let ticks = multiples((low / step).ceil(), (high / step).floor(), step);
        Self { low, high, ticks, step }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// A tick's value, with as many decimals as the distance of ticks asks for.
    fn label(&self, tick: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        let digits = -self.step.log10().floor();
        match tick {
            0.0 => "0".to_owned(),
            _ if largest < 0.01 => format!("{}", Scientific(tick)),
            _ if digits <= 0.0 && tick > 0.0 => grouped(tick.round() as u64),
            _ => format!("{tick:.*}", digits.max(0.0) as usize).replace('-', "−"),
        }
    }
}

/// A small number as `2.5e-4`, without the noise of its last bits.
struct Scientific(f64);

impl std::fmt::Display for Scientific {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let written = format!("{:.1e}", self.0).replace(".0e", "e");
        f.write_str(&written.replace('-', "−"))
    }
}

/// The smallest of 1, 2, 5 and 10 times a power of ten that is not below `step`.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

fn multiples(first: f64, last: f64, step: f64) -> Vec<f64> {
    let count = (last - first).max(0.0) as usize + 1;
    (0..count).map(|index| (first + index as f64) * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|&tick| axis.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let axis = Axis::around(1.87, 5.64, 4);
        assert_eq!(labels(&axis), ["1", "2", "3", "4", "5", "6"]);
        assert_eq!((axis.low, axis.high), (1.0, 6.0));
        assert_eq!(labels(&Axis::around(0.0, 0.0005, 2)), ["0", "5e−4"]);
        assert_eq!(labels(&Axis::around(0.31, 0.52, 4)), ["0.3", "0.4", "0.5", "0.6"]);
        assert_eq!(labels(&Axis::around(-0.4, 1.2, 4)), ["−0.5", "0", "0.5", "1.0", "1.5"]);
    }

    #[test]
    fn ticks_of_steps_stay_within_and_are_grouped() {
        assert_eq!(labels(&Axis::within(0.0, 4_799.0, 4)), ["0", "2,000", "4,000"]);
        assert_eq!(labels(&Axis::within(0.0, 99.0, 4)), ["0", "50"]);
        assert_eq!(labels(&Axis::within(0.0, 1.0, 4)), ["0", "1"]);
    }

    #[test]
    fn a_line_that_does_not_vary_runs_through_the_middle() {
        for value in [0.0, 3.0, -2.0] {
            let axis = Axis::around(value, value, 4);
            assert!(axis.low < value && value < axis.high, "{axis:?}");
            assert!(axis.ticks.len() < 12, "{axis:?}");
        }
    }

    #[test]
    fn a_path_runs_from_corner_to_corner() {
        let line = [Point { x: 0.0, y: 4.0 }, Point { x: 10.0, y: 0.0 }];
        let chart = Chart { label: "loss", height: 130.0, steps: 11, faint: &[], line: &line };
        let svg = chart.svg();
        let (right, bottom) = (WIDTH - RIGHT, 130.0 - BOTTOM);
        let expected =
            format!("<path class=\"line\" d=\"M{LEFT:.1} {TOP:.1}L{right:.1} {bottom:.1}\"/>");
        assert!(svg.contains(&expected), "{svg}");
        assert!(!svg.contains("faint") && !svg.contains("NaN"));
    }

    #[test]
    fn one_step_is_drawn_too() {
        let line = [Point { x: 0.0, y: 2.0 }];
        let svg = Chart { label: "a<b", height: 80.0, steps: 1, faint: &line, line: &line }.svg();
        assert!(svg.contains("H39.0") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.contains("aria-label=\"a&lt;b\""));
    }
}
