//! From what a user asks to what a library looks for.

use std::collections::HashMap;

use clap::ValueEnum;
use serde::Deserialize;
use tombolo_eval::Calibration;
use tombolo_models::map::Map;
use tombolo_search::{
    Expression, ExpressionError, Hit, Likeness, Odds, Order, Orientation, Term, Wanted,
};
use tombolo_vectors::normalize;
use utoipa::ToSchema;

/// Words or a set expression, and what pulls or pushes.
#[derive(Debug, Default)]
pub struct Question {
    /// What is asked in words.
    pub expression: Option<Expression<Term>>,
    /// What a query is drawn to.
    pub plus: Vec<Likened>,
    /// What it is driven from.
    pub minus: Vec<Likened>,
}

/// Something that a query is like, or unlike.
#[derive(Debug)]
pub enum Likened {
    /// A text.
    Text(String),
    /// The mapped unit vector of a photo.
    Vector(Vec<f32>),
}

/// Why a question has no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// It asks for nothing.
    #[error("there is nothing to look for")]
    Empty,
    /// A set expression and vector arithmetic at once.
    #[error("a set expression cannot be added to")]
    Mixed,
}

impl QuestionError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => {
                "give words, a photo or something to add; ordered by time, photos need none of them"
            }
            Self::Mixed => {
                "leave out photos, what is added and what is subtracted; write `image:PHOTO AND …` and `AND NOT …` instead"
            }
        }
    }
}

impl Question {
    /// A question that begins with words, blank for none.
    ///
    /// # Errors
    /// If they are a malformed expression.
    pub fn of_words(words: &str) -> Result<Self, ExpressionError> {
        // What stands before them counts for the column of an error.
        let expression = match words.trim_end() {
            "" => None,
            words => Some(Expression::parse(words)?),
        };
        Ok(Self { expression, ..Self::default() })
    }

    /// What pulls, or what pushes.
    pub fn side(&mut self, pulls: bool) -> &mut Vec<Likened> {
        if pulls { &mut self.plus } else { &mut self.minus }
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.expression.is_none() && self.plus.is_empty()
    }

    /// Whether it is of words alone, which is what a model is calibrated on.
    pub fn is_words(&self) -> bool {
        let words = matches!(self.expression, Some(Expression::Term(Term::Words(_))));
        words && self.plus.is_empty() && self.minus.is_empty()
    }

    /// Whether it is a set expression of more than one term.
    pub fn is_expression(&self) -> bool {
        self.expression
            .as_ref()
            .is_some_and(|expression| !matches!(expression, Expression::Term(_)))
    }

    /// All texts in it.
    pub fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        if let Some(expression) = &self.expression {
            expression.for_each(&mut |term| {
                if let Term::Words(words) = term {
                    texts.push(words.clone());
                }
            });
        }
        for likened in self.plus.iter().chain(&self.minus) {
            if let Likened::Text(text) = likened {
                texts.push(text.clone());
            }
        }
        texts
    }

    /// What a library is to look for.
    ///
    /// `vectors`: the mapped unit vector of each of [`Question::texts`]; `map`: what mapped it; `image`: the vector of a photo by
    /// the name that stands after `image:`.
    ///
    /// # Errors
    /// [`QuestionError`], or what `image` returns.
    ///
    /// # Panics
    /// If `vectors` lacks a text.
    pub fn wanted<E: From<QuestionError>>(
        self,
        vectors: &HashMap<String, Vec<f32>>,
        calibration: Option<Calibration>,
        map: &Map,
        image: &mut dyn FnMut(&str) -> Result<Vec<f32>, E>,
    ) -> Result<Wanted, E> {
        if self.is_expression() {
            if !self.plus.is_empty() || !self.minus.is_empty() {
                return Err(QuestionError::Mixed.into());
            }
            let expression = self.expression.expect("an expression is there");
            let members = expression.try_map(&mut |term| match term {
                Term::Words(words) => {
                    Ok(Likeness { vector: vectors[&words].clone(), odds: odds(calibration) })
                }
                Term::Image(name) => {
                    Ok(Likeness { vector: map.as_query(image(&name)?), odds: Odds::Typical })
                }
            });
            return members.map(Wanted::Members);
        }
        let is_words = self.is_words();
        let mut terms = Vec::new();
        match self.expression {
            Some(Expression::Term(Term::Words(words))) => {
                terms.push((1.0, vectors[&words].clone()))
            }
            Some(Expression::Term(Term::Image(name))) => terms.push((1.0, image(&name)?)),
            _ => {}
        }
        for (weight, likened) in [(1.0, self.plus), (-1.0, self.minus)] {
            terms.extend(likened.into_iter().map(|likened| match likened {
                Likened::Text(text) => (weight, vectors[&text].clone()),
                Likened::Vector(vector) => (weight, vector),
            }));
        }
        match terms.iter().any(|(weight, _)| *weight > 0.0) {
            true if is_words => Ok(Wanted::Near(sum(&terms))),
            true => Ok(Wanted::Near(map.as_query(sum(&terms)))),
            false => Err(QuestionError::Empty.into()),
        }
    }
}

/// In which order hits come, as a user says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    Match,
    Newest,
    Oldest,
}

impl Sort {
    /// As the library has it.
    pub fn order(self) -> Order {
        match self {
            Self::Match => Order::Match,
            Self::Newest => Order::Newest,
            Self::Oldest => Order::Oldest,
        }
    }
}

/// Which side of a photo is longer, as a user says it.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    Landscape,
    Portrait,
    Square,
}

impl Shape {
    /// As the library has it.
    pub fn orientation(self) -> Orientation {
        match self {
            Self::Landscape => Orientation::Landscape,
            Self::Portrait => Orientation::Portrait,
            Self::Square => Orientation::Square,
        }
    }
}

/// A question, ready for the library.
pub struct Asked {
    /// What the library is to look for.
    pub wanted: Wanted,
    /// The model's calibration, where it speaks of the scores: for words alone.
    pub calibration: Option<Calibration>,
}

/// What is said of a hit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores {
    /// The cosine; of a set, the probability of belonging to it; none where nothing was asked.
    pub score: Option<f64>,
    /// The probability of a match, where it is known.
    pub probability: Option<f64>,
}

impl Asked {
    /// What is said of a hit.
    pub fn scores(&self, hit: &Hit) -> Scores {
        let score = f64::from(hit.score);
        match self.wanted {
            Wanted::All => Scores::default(),
            Wanted::Near(_) => {
                let probability = self.calibration.map(|c| c.probability(score));
                Scores { score: Some(score), probability }
            }
            Wanted::Members(_) => {
                let probability = Some(1.0 / (1.0 + (-score).exp()));
                Scores { score: probability, probability }
            }
        }
    }

    /// Whether a probability can be said.
    pub fn has_probability(&self) -> bool {
        matches!(self.wanted, Wanted::Members(_)) || self.calibration.is_some()
    }

    /// The least score that the library is to give a hit. In an order by time, words and expressions find what matches them
    /// rather than not.
    pub fn least(&self, min_probability: Option<f64>, order: Order) -> Option<f64> {
        let rather_than_not = (order != Order::Match).then_some(0.5);
        let probability = min_probability.or(rather_than_not)?;
        match (&self.wanted, self.calibration) {
            (Wanted::Members(_), _) => Some((probability / (1.0 - probability)).ln()),
            (Wanted::Near(_), Some(calibration)) => Some(calibration.score(probability)),
            _ => None,
        }
    }
}

fn odds(calibration: Option<Calibration>) -> Odds {
    calibration.map_or(Odds::Typical, |Calibration { slope, intercept }| Odds::Calibrated {
        slope,
        intercept,
    })
}

/// The unit vector of a weighted sum.
fn sum(terms: &[(f32, Vec<f32>)]) -> Vec<f32> {
    let mut sum = vec![0.0; terms[0].1.len()];
    for (weight, vector) in terms {
        sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += weight * x);
    }
    normalize(&mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn wanted(question: Question) -> Result<Wanted, QuestionError> {
        let vectors = question.texts().into_iter().map(|text| {
            let vector = if text == "dog" { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
            (text, vector)
        });
        let vectors = vectors.collect();
        let map = Map::identity(2, &Device::Cpu).unwrap();
        question.wanted(&vectors, None, &map, &mut |_| Ok(vec![0.6, 0.8]))
    }

    #[test]
    fn words_photos_and_arithmetic_become_one_vector() {
        let mut question = Question::of_words("dog").unwrap();
        assert!(question.is_words() && !question.is_expression());
        question.minus.push(Likened::Text("cat".to_owned()));
        assert!(!question.is_words());
        let Wanted::Near(vector) = wanted(question).unwrap() else { panic!("a vector") };
        assert!((vector[0] + vector[1]).abs() < 1e-6);
        let photo = Question::of_words("image:x.jpg").unwrap();
        assert!(matches!(wanted(photo), Ok(Wanted::Near(vector)) if vector == [0.6, 0.8]));
    }

    #[test]
    fn an_expression_stands_alone() {
        let question = || Question::of_words("dog AND NOT image:x.jpg").unwrap();
        assert!(question().is_expression() && !question().is_words());
        assert!(matches!(wanted(question()), Ok(Wanted::Members(_))));
        let mut mixed = question();
        mixed.plus.push(Likened::Text("cat".to_owned()));
        assert_eq!(wanted(mixed).unwrap_err(), QuestionError::Mixed);
    }

    #[test]
    fn nothing_is_nothing_to_look_for() {
        assert!(Question::of_words("  ").unwrap().is_empty());
        let mut question = Question::default();
        question.minus.push(Likened::Text("cat".to_owned()));
        assert_eq!(wanted(question).unwrap_err(), QuestionError::Empty);
    }
}
