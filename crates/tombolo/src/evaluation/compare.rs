//! Which of several models is best by a metric, and which of the others that holds against.

use tombolo_eval::{
    BothRankings, DirectionMetrics, EvalError, Measure, PairedComparison, Rankings, Retrieval, holm,
};

use super::Evaluation;

/// The metrics that models are compared by.
pub const COLUMNS: [Measure; 5] = [
    Measure::Recall(1),
    Measure::Recall(5),
    Measure::Recall(10),
    Measure::MapOfAll,
    Measure::Ndcg(10),
];

/// Two-sided level below which a difference is taken for real, after Holm's correction.
const LEVEL: f64 = 0.05;

/// What the queries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ImageToText,
    TextToImage,
}

/// Both, in the order of all tables.
pub const DIRECTIONS: [Direction; 2] = [Direction::ImageToText, Direction::TextToImage];

impl Direction {
    /// As it is in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageToText => "image_to_text",
            Self::TextToImage => "text_to_image",
        }
    }

    /// As people read it.
    pub fn title(self) -> &'static str {
        match self {
            Self::ImageToText => "image → text",
            Self::TextToImage => "text → image",
        }
    }

    /// What was measured of it.
    pub fn measured(self, retrieval: &Retrieval) -> &DirectionMetrics {
        match self {
            Self::ImageToText => &retrieval.image_to_text,
            Self::TextToImage => &retrieval.text_to_image,
        }
    }

    /// Its rankings.
    pub fn of(self, rankings: &BothRankings) -> &Rankings {
        match self {
            Self::ImageToText => &rankings.image_to_text,
            Self::TextToImage => &rankings.text_to_image,
        }
    }
}

/// A metric of one direction over several models.
pub struct Column {
    /// What the queries are.
    pub direction: Direction,
    /// The metric.
    pub measure: Measure,
    /// Its value of each model.
    pub values: Vec<f64>,
    /// The model that is best, the first of equals.
    pub best: usize,
    /// The best model less each other one; none for itself.
    pub tests: Vec<Option<Test>>,
}

/// How a model differs from the best.
pub struct Test {
    /// The best less this one.
    pub comparison: PairedComparison,
    /// p after Holm's correction over the other models.
    pub p_holm: f64,
}

impl Column {
    /// Whether no other model is better; of one model alone there is no best.
    pub fn is_best(&self, model: usize) -> bool {
        self.values.len() > 1 && self.values[model] == self.values[self.best]
    }

    /// Whether a model is worse than the best by more than chance explains.
    pub fn is_worse(&self, model: usize) -> bool {
        self.tests[model].as_ref().is_some_and(|test| test.p_holm < LEVEL)
    }

    fn new(
        evaluations: &[Evaluation],
        direction: Direction,
        measure: Measure,
        seed: u64,
    ) -> Result<Self, EvalError> {
        let rankings: Vec<&Rankings> =
            evaluations.iter().map(|evaluation| direction.of(&evaluation.rankings)).collect();
        let values: Vec<f64> = rankings.iter().map(|rankings| rankings.mean(measure)).collect();
        let best = (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b]));
        let best = best.unwrap_or(0);
        let mut tests = Vec::with_capacity(values.len());
        for (model, other) in rankings.iter().enumerate() {
            let test = || PairedComparison::new(rankings[best], other, measure, seed);
            tests.push(if model == best { None } else { Some(test()?) });
        }
        let p: Vec<f64> = tests.iter().flatten().map(|test| test.p).collect();
        let mut corrected = holm(&p).into_iter();
        let tests = tests.into_iter().map(|test| {
            let comparison = test?;
            Some(Test { comparison, p_holm: corrected.next()? })
        });
        Ok(Self { direction, measure, values, best, tests: tests.collect() })
    }
}

/// All columns of several models on the same data set: [`COLUMNS`] of image → text, then those of text → image.
///
/// # Errors
/// [`EvalError::Unpaired`] if the models have not ranked the same queries.
pub fn columns(evaluations: &[Evaluation], seed: u64) -> Result<Vec<Column>, EvalError> {
    let each = DIRECTIONS.into_iter().flat_map(|direction| COLUMNS.map(|m| (direction, m)));
    each.map(|(direction, measure)| Column::new(evaluations, direction, measure, seed)).collect()
}
