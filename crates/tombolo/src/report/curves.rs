//! What `metrics.jsonl` says of each stage, as lines to draw.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

/// Most points of a drawn line.
const POINTS: usize = 400;

/// A point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The step.
    pub x: f64,
    /// The value there.
    pub y: f64,
}

/// How a stage went.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The stage.
    pub stage: String,
    /// Steps taken.
    pub steps: usize,
    /// Epochs begun.
    pub epochs: usize,
    /// The loss of each step.
    pub loss: Vec<Point>,
    /// The learning rate of each step.
    pub rate: Vec<Point>,
}

#[derive(Deserialize)]
struct Line {
    stage: String,
    step: usize,
    epoch: usize,
    loss: f64,
    rate: f64,
}

/// The curves of the stages that the file tells of, in its order; none where there is no file.
///
/// # Errors
/// If the file is there but cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Curve>> {
    match fs::read(path) {
        Ok(bytes) => Ok(parse(&String::from_utf8_lossy(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Lines that are not steps (metrics, or what a kill left half-written) are passed over.
fn parse(text: &str) -> Vec<Curve> {
    let mut curves = Vec::<Curve>::new();
    for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        let index = curves.iter().position(|curve| curve.stage == line.stage);
        let curve = match index {
            Some(index) => &mut curves[index],
            None => {
                let (loss, rate) = (Vec::new(), Vec::new());
                curves.push(Curve { stage: line.stage, steps: 0, epochs: 0, loss, rate });
                curves.last_mut().expect("just pushed")
            }
        };
        let x = line.step as f64;
        curve.steps = curve.steps.max(line.step + 1);
        curve.epochs = curve.epochs.max(line.epoch + 1);
        curve.loss.push(Point { x, y: line.loss });
        curve.rate.push(Point { x, y: line.rate });
    }
    curves
}

/// The mean of each point's neighbourhood, a 25th of the line. It is narrower at the start, so that the
/// steep fall is not flattened, and one-sided at the end, so that the last value is more than noise.
pub fn smooth(line: &[Point]) -> Vec<Point> {
    let reach = line.len() / 50;
    let mut sums = vec![0.0];
    sums.extend(line.iter().scan(0.0, |sum, point| {
        *sum += point.y;
        Some(*sum)
    }));
    let mean = |(index, point): (usize, &Point)| {
        let reach = reach.min(index);
        let (start, end) = (index - reach, line.len().min(index + reach + 1));
        Point { x: point.x, y: (sums[end] - sums[start]) / (end - start) as f64 }
    };
    line.iter().enumerate().map(mean).collect()
}

/// At most [`POINTS`] of a line's points: the lowest and the highest of each stretch, so that no spike is
/// lost.
pub fn thin(line: &[Point]) -> Vec<Point> {
    if line.len() <= POINTS {
        return line.to_vec();
    }
    let stretches = POINTS / 2;
    let bounds = |stretch: usize| stretch * line.len() / stretches;
    let mut kept = Vec::with_capacity(POINTS);
    for stretch in 0..stretches {
        let points = &line[bounds(stretch)..bounds(stretch + 1)];
        let mut ends = [points[0]; 2];
        for &point in points {
            if point.y < ends[0].y {
                ends[0] = point;
            }
            if point.y > ends[1].y {
                ends[1] = point;
            }
        }
        ends.sort_by(|a, b| a.x.total_cmp(&b.x));
        kept.extend(ends);
    }
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        values.into_iter().enumerate().map(|(x, y)| Point { x: x as f64, y }).collect()
    }

    #[test]
    fn steps_are_read_by_stage_and_all_else_is_passed_over() {
        let text = r#"{"stage":"text","step":0,"steps":2,"epoch":0,"loss":3.5,"rate":0.1,"items":9}
{"stage":"map","step":0,"steps":1,"epoch":0,"loss":2.5,"rate":0.3,"items":9,"seconds":1.0}
{"stage":"text","step":1,"steps":2,"epoch":1,"loss":3.0,"rate":0.2,"items":9}
{"stage":"map","epoch":1,"metrics":{"val.rsum":12.0}}
{"stage":"text","step":2,"los"#;
        let curves = parse(text);
        assert_eq!(curves.len(), 2);
        assert_eq!((curves[0].steps, curves[0].epochs), (2, 2));
        assert_eq!(curves[0].loss, line([3.5, 3.0]));
        assert_eq!((curves[1].stage.as_str(), &curves[1].rate), ("map", &line([0.3])));
    }

    #[test]
    fn thinning_keeps_spikes_and_order() {
        let wave = line((0..10_000).map(|i| if i == 7_777 { 99.0 } else { f64::from(i % 10) }));
        let thinned = thin(&wave);
        assert!(thinned.len() <= POINTS);
        assert!(thinned.contains(&Point { x: 7_777.0, y: 99.0 }));
        assert!(thinned.windows(2).all(|pair| pair[0].x < pair[1].x));
        assert_eq!(thin(&wave[..POINTS]), wave[..POINTS]);
    }

    #[test]
    fn smoothing_keeps_a_straight_line_and_flattens_a_wave() {
        let straight = line((0..300).map(|i| f64::from(i) * 0.5));
        for (smoothed, point) in smooth(&straight).iter().zip(&straight).take(294) {
            assert!((smoothed.y - point.y).abs() < 1e-9);
        }
        assert!((smooth(&straight)[299].y - (293..300).sum::<i32>() as f64 / 14.0).abs() < 1e-9);
        let wave = line((0..1000).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }));
        assert!(smooth(&wave)[100..900].iter().all(|point| point.y.abs() < 0.05));
        assert!(smooth(&[]).is_empty());
    }
}
