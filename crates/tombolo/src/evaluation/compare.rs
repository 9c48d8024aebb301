//! Which of several models is best by a metric, and which of the others that holds against.

use tombolo_eval::{
    BothRankings, DirectionMetrics, EvalError, Measure, PairedComparison, Rankings, Retrieval,
    Worth, holm,
};

use super::Evaluation;

/// What retrieval is mostly judged by.
const USUAL: &[Measure] = &[
    Measure::Recall(1),
    Measure::Recall(5),
    Measure::Recall(10),
    Measure::MapOfAll,
    Measure::Ndcg(10),
];

/// What counts how many of the right answers are found; the first two are R@K by the paper's equation 5.
const OF_ALL_ANSWERS: &[Measure] = &[
    Measure::TrueRecall(5),
    Measure::TrueRecall(10),
    Measure::Precision(5),
    Measure::Precision(10),
    Measure::MapOfHits(50),
];

/// What is told where whatever shares a label is an answer.
const OF_CATEGORIES: &[Measure] =
    &[Measure::Precision(10), Measure::MapOfHits(50), Measure::MapOfAll];

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

    /// What its queries are worth.
    fn worth(self, [image_to_text, text_to_image]: &[Worth; 2]) -> &Worth {
        match self {
            Self::ImageToText => image_to_text,
            Self::TextToImage => text_to_image,
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
    /// The 95 % interval of each value.
    pub intervals: Vec<Option<[f64; 2]>>,
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
        direction: Direction,
        measure: Measure,
        models: &[Results<'_>],
        seed: u64,
    ) -> Result<Self, EvalError> {
        let worths: Vec<&Worth> = models.iter().map(|(_, worth)| direction.worth(worth)).collect();
        let values: Vec<f64> = worths.iter().map(|worth| worth.mean(measure)).collect();
        let best = (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b]));
        let best = best.unwrap_or(0);
        let mut tests = Vec::with_capacity(values.len());
        for (model, other) in worths.iter().enumerate() {
            let test = || PairedComparison::new(worths[best], other, measure, seed);
            tests.push(if model == best { None } else { Some(test()?) });
        }
        let p: Vec<f64> = tests.iter().flatten().map(|test| test.p).collect();
        let mut corrected = holm(&p).into_iter();
        let tests = tests.into_iter().map(|test| {
            let comparison = test?;
            Some(Test { comparison, p_holm: corrected.next()? })
        });
        let tests = tests.collect();
        let interval =
            |(retrieval, _): &Results<'_>| direction.measured(retrieval).interval(measure);
        let intervals = models.iter().map(interval).collect();
        Ok(Self { direction, measure, values, intervals, best, tests })
    }
}

/// What was measured of a model, and what each query is worth in either direction.
type Results<'a> = (&'a Retrieval, &'a [Worth; 2]);

/// Some metrics over several models.
pub struct Table {
    /// Which metrics.
    pub measures: &'static [Measure],
    /// Those of image → text, then those of text → image.
    pub columns: Vec<Column>,
}

impl Table {
    fn new(
        measures: &'static [Measure],
        models: &[Results<'_>],
        seed: u64,
    ) -> Result<Self, EvalError> {
        let each = DIRECTIONS.into_iter().flat_map(|d| measures.iter().map(move |&m| (d, m)));
        let columns =
            each.map(|(direction, measure)| Column::new(direction, measure, models, seed));
        Ok(Self { measures, columns: columns.collect::<Result<_, _>>()? })
    }
}

/// Several models on the same data set.
pub struct Compared {
    /// By the answers that belong to each query.
    pub instances: [Table; 2],
    /// By what shares a label with it; none for data without labels.
    pub categories: Option<Table>,
}

impl Compared {
    /// Compares models by all metrics.
    ///
    /// # Errors
    /// [`EvalError::Unpaired`] if the models have not ranked the same queries.
    pub fn new(evaluations: &[Evaluation], seed: u64) -> Result<Self, EvalError> {
        let worths: Vec<[Worth; 2]> =
            evaluations.iter().map(|each| each.rankings.worth()).collect();
        let retrievals = evaluations.iter().map(|each| &each.measured.retrieval);
        let models: Vec<Results<'_>> = retrievals.zip(&worths).collect();
        let instances =
            [Table::new(USUAL, &models, seed)?, Table::new(OF_ALL_ANSWERS, &models, seed)?];
        let categories = evaluations.iter().map(|each| each.category.as_ref());
        let categories: Option<Vec<Results<'_>>> =
            categories.map(|each| each.map(|each| (&each.retrieval, &each.worth))).collect();
        let of_categories = |models: Vec<_>| Table::new(OF_CATEGORIES, &models, seed);
        Ok(Self { instances, categories: categories.map(of_categories).transpose()? })
    }
}
