//! Set expressions: `(cat OR kitten) AND NOT indoors`, `image:cat.jpg AND "in the snow"`.

mod parse;

pub use parse::ExpressionError;

/// A set of photos, said by what its members match.
///
/// A photo belongs to a term's set as probably as it matches it, p. AND is the smallest p, OR the greatest, NOT is
/// 1 − p (Zadeh 1965): the only operations under which `dog AND dog` is `dog`, and for which terms need not be
/// independent, which they never are. (The alternatives: the product and its dual take terms for independent and
/// sink with each repetition; Łukasiewicz' sums reach 0 and 1 early and leave ties.) All three keep the order of log
/// odds, ln(p / (1 − p)), where NOT turns the sign; there nothing is rounded to 0 or 1, so that is what is computed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression<T> {
    /// What matches a text or a photo.
    Term(T),
    /// What belongs to all of these.
    And(Vec<Self>),
    /// What belongs to any of these.
    Or(Vec<Self>),
    /// What does not belong to this.
    Not(Box<Self>),
}

/// What a photo may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// A text.
    Words(String),
    /// A photo, by the name that follows `image:`.
    Image(String),
}

impl Expression<Term> {
    /// Reads an expression.
    ///
    /// Words beside one another are one text. `AND`, `OR`, `NOT` in capitals, parentheses, quotation marks and a
    /// leading `image:` mean something; within quotation marks they are words (`\"` is a quotation mark there). NOT binds
    /// more tightly than AND, AND than OR.
    ///
    /// # Errors
    /// [`ExpressionError`] with the column of what is wrong.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        parse::parse(text)
    }
}

impl<T> Expression<T> {
    /// The same expression over other terms, which `change` makes of each in the order of writing.
    ///
    /// # Errors
    /// The first that `change` returns.
    pub fn try_map<U, E>(
        self,
        change: &mut impl FnMut(T) -> Result<U, E>,
    ) -> Result<Expression<U>, E> {
        let mut all = |parts: Vec<Self>| {
            parts.into_iter().map(|part| part.try_map(change)).collect::<Result<Vec<_>, E>>()
        };
        Ok(match self {
            Self::And(parts) => Expression::And(all(parts)?),
            Self::Or(parts) => Expression::Or(all(parts)?),
            Self::Not(part) => Expression::Not(Box::new(part.try_map(change)?)),
            Self::Term(term) => Expression::Term(change(term)?),
        })
    }

    /// Shows each term, in the order of writing.
    pub fn for_each(&self, see: &mut impl FnMut(&T)) {
        match self {
            Self::Term(term) => see(term),
            Self::Not(part) => part.for_each(see),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.for_each(see)),
        }
    }

    /// Log odds that something belongs to the set, from those that it matches each term.
    pub fn log_odds(&self, of: &impl Fn(&T) -> f32) -> f32 {
        match self {
            Self::Term(term) => of(term),
            Self::Not(part) => -part.log_odds(of),
            Self::And(parts) => {
                parts.iter().map(|part| part.log_odds(of)).fold(f32::INFINITY, f32::min)
            }
            Self::Or(parts) => {
                parts.iter().map(|part| part.log_odds(of)).fold(f32::NEG_INFINITY, f32::max)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Membership in `text` of something that matches `a`, `b`, `c` with these log odds.
    fn member(text: &str, [a, b, c]: [f32; 3]) -> f32 {
        Expression::parse(text).unwrap().log_odds(&|term| match term {
            Term::Words(word) if word == "a" => a,
            Term::Words(word) if word == "b" => b,
            _ => c,
        })
    }

    #[test]
    fn and_is_the_least_or_the_most_not_the_opposite() {
        let odds = [1.0, -2.0, 3.0];
        assert_eq!(member("a AND b AND c", odds), -2.0);
        assert_eq!(member("a OR b", odds), 1.0);
        assert_eq!(member("NOT b", odds), 2.0);
        assert_eq!(member("NOT NOT a", odds), 1.0);
        assert_eq!(member("a AND a", odds), member("a", odds));
    }

    #[test]
    fn the_laws_of_de_morgan_hold() {
        for odds in [[1.0, -2.0, 3.0], [-1.0, -4.0, 0.5]] {
            assert_eq!(member("NOT (a AND b)", odds), member("NOT a OR NOT b", odds));
            assert_eq!(member("NOT (a OR b)", odds), member("NOT a AND NOT b", odds));
            assert_eq!(member("a AND (b OR c)", odds), member("a AND b OR a AND c", odds));
        }
    }

    #[test]
    fn an_error_of_a_term_is_passed_on() {
        let expression = Expression::parse("a AND image:b.jpg").unwrap();
        let changed = expression.try_map(&mut |term| match term {
            Term::Words(_) => Ok(1),
            Term::Image(name) => Err(name),
        });
        assert_eq!(changed, Err("b.jpg".to_owned()));
    }
}
