//! Searches that look at every photo: set expressions, filters, orders other than the best first, and pages.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;
use tombolo_vectors::{Chain, F16Rows, Rows, ScoredRow, VectorError, scores};

use super::gallery::{Gallery, Live};
use super::reader::{Hit, Library, SearchOptions, Snapshot};
use super::records::{Item, Records};
use crate::filter::{Condition, Filter};
use crate::{Expression, SearchError};

/// What to look for.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Nothing: photos as they come, without scores.
    All,
    /// The photos nearest to a unit vector, `[dim]` of the map. A hit's score is the cosine.
    Near(Vec<f32>),
    /// The members of a set. A hit's score is the log odds that it is one, ln(p / (1 − p)).
    Members(Expression<Likeness>),
}

/// A term of a set expression.
#[derive(Debug, Clone)]
pub struct Likeness {
    /// A unit vector, `[dim]` of the map.
    pub vector: Vec<f32>,
    /// How probable a match is at a score.
    pub odds: Odds,
}

impl Wanted {
    /// Whether what one photo's score means depends on those of all others.
    fn is_judged_by_all(&self) -> bool {
        let Self::Members(expression) = self else { return false };
        let mut found = false;
        expression.for_each(&mut |term| found |= matches!(term.odds, Odds::Typical));
        found
    }
}

/// From scores to log odds of a match.
#[derive(Debug, Clone, Copy)]
pub enum Odds {
    /// As a model is calibrated: slope · score + intercept.
    Calibrated {
        /// Per unit of score.
        slope: f64,
        /// Added to slope · score.
        intercept: f64,
    },
    /// Where no calibration speaks of the scores: by how many standard deviations s a score lies above the mean of the
    /// library, [`TYPICAL_SLOPE`] · (s − [`TYPICAL_HALF`]).
    Typical,
}

/// Standard deviations above the mean at which a photo is held to match as probably as not.
pub const TYPICAL_HALF: f32 = 2.5;

/// Log odds a standard deviation.
pub const TYPICAL_SLOPE: f32 = 1.0;

/// In which order hits come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The best match first.
    #[default]
    Match,
    /// The latest first, by time of exposure, or else of the last change.
    Newest,
    /// The earliest first.
    Oldest,
}

/// Which hits a page holds.
#[derive(Debug, Clone, Default)]
pub struct PageOptions {
    /// Photos that may be found at all.
    pub filter: Filter,
    /// The least score of a hit.
    pub least: Option<f64>,
    /// In which order.
    pub order: Order,
    /// Go on after the page that gave this as its `next`.
    pub after: Option<Cursor>,
    /// Count the hits of all pages too, which takes a look at every record.
    pub count: bool,
}

impl PageOptions {
    /// Rows that scores are judged by, of as many as there are: those of the page before, or all; 0 where each is judged alone.
    pub(crate) fn among(
        &self,
        wanted: &Wanted,
        rows: impl FnOnce() -> Result<usize, SearchError>,
    ) -> Result<usize, SearchError> {
        match &self.after {
            Some(Cursor::Score { among, .. }) => Ok(*among),
            _ if wanted.is_judged_by_all() => rows(),
            _ => Ok(0),
        }
    }

    fn is_enough(&self, score: f32) -> bool {
        !score.is_nan() && self.least.is_none_or(|least| f64::from(score) >= least)
    }
}

/// Some of the hits, and where to go on.
#[derive(Debug, Clone)]
pub struct Page {
    /// Ranks count from 1 on each page.
    pub hits: Vec<Hit>,
    /// None after the last.
    pub next: Option<Cursor>,
    /// Hits of all pages, where [`PageOptions::count`] asked for them and they can be counted: always in a [`Library`]; on a
    /// cluster without filter and bar alone.
    pub total: Option<usize>,
}

/// A place between two hits. What is indexed or forgotten meanwhile moves no other hit over it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cursor {
    /// After this hit.
    Score {
        /// Its score.
        score: f32,
        /// Its vector row.
        row: usize,
        /// Its path.
        path: String,
        /// Rows that scores are judged by, as on the page before: those that came since then would change them all. 0 where
        /// each is judged alone.
        among: usize,
    },
    /// After this time and id.
    Moment(String, String),
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Score { score, row, path, among } => {
                write!(f, "score {:08x} {row} {among} {path}", score.to_bits())
            }
            Self::Moment(moment, id) => write!(f, "moment {moment} {id}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        let parts: Vec<&str> = text.splitn(5, ' ').collect();
        let cursor = match parts[..] {
            ["score", bits, row, among, path] => Self::after_score(bits, row, among, path),
            ["moment", moment, id] => Some(Self::Moment(moment.to_owned(), id.to_owned())),
            _ => None,
        };
        cursor.ok_or_else(|| SearchError::Cursor { found: text.chars().take(80).collect() })
    }
}

impl Cursor {
    fn after_score(bits: &str, row: &str, among: &str, path: &str) -> Option<Self> {
        let score = f32::from_bits(u32::from_str_radix(bits, 16).ok()?);
        let (row, among, path) = (row.parse().ok()?, among.parse().ok()?, path.to_owned());
        (!score.is_nan()).then_some(Self::Score { score, row, path, among })
    }
}

impl Hit {
    /// The place after this hit, to go on from in this order.
    pub fn cursor(&self, order: Order) -> Cursor {
        match order {
            Order::Match => Cursor::Score {
                score: self.score,
                row: self.item.vector_row,
                path: self.item.path.clone(),
                among: self.among,
            },
            _ => Cursor::Moment(self.item.moment.clone(), self.item.id.clone()),
        }
    }
}

impl Library {
    /// A page of hits. Every photo is compared; use [`Library::search`] where a query has no filter and the first hits will do.
    ///
    /// # Errors
    /// As [`Library::search`]; [`SearchError::Time`] of the filter; [`SearchError::Cursor`] for the cursor of another order.
    pub fn page(
        &self,
        wanted: &Wanted,
        options: &SearchOptions<'_>,
        which: &PageOptions,
    ) -> Result<Page, SearchError> {
        which.filter.check()?;
        self.settled(|snapshot| self.page_at(snapshot, wanted, options, which))
    }

    fn page_at(
        &self,
        snapshot: &Snapshot,
        wanted: &Wanted,
        options: &SearchOptions<'_>,
        which: &PageOptions,
    ) -> Result<Page, SearchError> {
        let gallery = self.gallery(snapshot, options)?;
        let among = which.among(wanted, || Ok(snapshot.raw.rows().len()))?;
        let scores = self.scores(wanted, &gallery, among)?;
        let allowed = self.allowed(snapshot, which)?;
        let (records, condition) = (&self.records(), which.filter.condition());
        let paging = Paging { records, condition, scores, among, which, top: options.top };
        let total = which.count.then(|| paging.total()).transpose()?;
        let page = match which.order {
            Order::Match => paging.by_score(&allowed),
            Order::Newest | Order::Oldest => paging.by_moment(snapshot.raw.rows().len()),
        }?;
        Ok(Page { total, ..page })
    }

    /// A score for each row; log odds for members of a set, judged among so many rows.
    fn scores(
        &self,
        wanted: &Wanted,
        gallery: &Gallery,
        among: usize,
    ) -> Result<Vec<f32>, SearchError> {
        let damaged = |source: VectorError| match source {
            VectorError::Dim { expected, found } => {
                let (path, what) = (self.dir().to_owned(), "a query");
                SearchError::Dim { path, what, expected, found }
            }
            source => SearchError::Vectors { path: self.dir().to_owned(), source },
        };
        let rows = gallery.rows();
        match wanted {
            Wanted::All => Ok(vec![0.0; rows.len()]),
            Wanted::Near(query) => scores(query, rows).map_err(damaged),
            Wanted::Members(expression) => {
                let odds = expression
                    .clone()
                    .try_map(&mut |likeness| log_odds(&likeness, rows, among).map_err(damaged))?;
                let row = |row| odds.log_odds(&|term: &Vec<f32>| term[row]);
                Ok((0..rows.len()).into_par_iter().map(row).collect())
            }
        }
    }

    /// The rows that pass the filter.
    fn allowed(&self, snapshot: &Snapshot, which: &PageOptions) -> Result<Live, SearchError> {
        if which.filter.is_empty() {
            return Ok(snapshot.live.clone());
        }
        let passing = self.records().rows_where(&which.filter.condition())?;
        Ok(Live::new(snapshot.raw.rows().len(), &passing))
    }
}

/// Log odds of a match with one term, for every row; what is typical is so of the first `among` rows.
fn log_odds(
    likeness: &Likeness,
    rows: &Chain<F16Rows>,
    among: usize,
) -> Result<Vec<f32>, VectorError> {
    let mut scores = scores(&likeness.vector, rows)?;
    let (slope, intercept) = match likeness.odds {
        Odds::Calibrated { slope, intercept } => (slope as f32, intercept as f32),
        Odds::Typical => typical(&scores[..among.min(scores.len())]),
    };
    scores.iter_mut().for_each(|score| *score = slope * *score + intercept);
    Ok(scores)
}

/// Slope and intercept of [`Odds::Typical`], from scores that stand for all: of photos that are forgotten too, as long as their
/// rows are there, so that forgetting one moves no other.
pub(crate) fn typical(scores: &[f32]) -> (f32, f32) {
    let count = scores.len().max(1) as f64;
    let scores = || scores.iter().map(|&score| f64::from(score));
    let mean = scores().sum::<f64>() / count;
    let variance = scores().map(|score| (score - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt().max(1e-6);
    let slope = f64::from(TYPICAL_SLOPE) / deviation;
    (slope as f32, (-slope * mean) as f32 - TYPICAL_SLOPE * TYPICAL_HALF)
}

/// All that a page is made of.
struct Paging<'a> {
    records: &'a Records,
    condition: Condition,
    scores: Vec<f32>,
    /// Rows that the scores were judged by; 0 where each was judged alone.
    among: usize,
    which: &'a PageOptions,
    top: usize,
}

impl Paging<'_> {
    fn by_score(&self, allowed: &Live) -> Result<Page, SearchError> {
        let after = match &self.which.after {
            None => None,
            Some(Cursor::Score { score, row, path, .. }) => {
                Some((ScoredRow { row: *row, score: *score }, path.as_str()))
            }
            Some(cursor) => return Err(SearchError::Cursor { found: cursor.to_string() }),
        };
        let (scores, which) = (&self.scores, self.which);
        let is_next = |row: usize| {
            let scored = ScoredRow { row, score: scores[row] + 0.0 };
            let comes = after.is_none_or(|(after, _)| scored.cmp(&after) != Ordering::Greater);
            (comes && which.is_enough(scored.score) && allowed.contains(row)).then_some(scored)
        };
        let mut rows: Vec<ScoredRow> =
            (0..scores.len()).into_par_iter().filter_map(is_next).collect();
        // A row has an item at least, so one more than `top` rows are enough; that of the cursor may be used up.
        let most = self.top.saturating_add(2);
        if rows.len() > most {
            rows.select_nth_unstable_by(most, |a, b| b.cmp(a));
            rows.truncate(most);
        }
        rows.sort_unstable_by(|a, b| b.cmp(a));
        let mut hits = Vec::new();
        for scored in rows {
            for item in self.records.items_where(scored.row, &self.condition)? {
                let seen = after.is_some_and(|(last, path)| {
                    last.row == scored.row && item.path.as_str() <= path
                });
                if !seen {
                    hits.push((scored.score, item));
                }
            }
            if hits.len() > self.top {
                break;
            }
        }
        Ok(self.page(hits))
    }

    fn by_moment(&self, rows: usize) -> Result<Page, SearchError> {
        let after = match &self.which.after {
            None => None,
            Some(Cursor::Moment(moment, id)) => Some((moment.as_str(), id.as_str())),
            Some(cursor) => return Err(SearchError::Cursor { found: cursor.to_string() }),
        };
        let mut hits = Vec::new();
        let newest = self.which.order == Order::Newest;
        self.records.by_moment(newest, after, &self.condition, |item| {
            // Rows that came after the vectors were mapped belong to the next search.
            if item.vector_row < rows && self.which.is_enough(self.scores[item.vector_row]) {
                hits.push((self.scores[item.vector_row], item));
            }
            hits.len() <= self.top
        })?;
        Ok(self.page(hits))
    }

    /// The first `top` hits, and the cursor after them if there are more.
    fn page(&self, mut found: Vec<(f32, Item)>) -> Page {
        let more = found.len() > self.top;
        found.truncate(self.top);
        let among = self.among;
        let ranked = (1..).zip(found).map(|(rank, (score, item))| Hit { rank, score, item, among });
        let hits: Vec<Hit> = ranked.collect();
        let next = hits.last().filter(|_| more).map(|hit| hit.cursor(self.which.order));
        Page { hits, next, total: None }
    }

    /// Hits of all pages. Photos of the same bytes share a row.
    fn total(&self) -> Result<usize, SearchError> {
        let mut total = 0;
        // Rows that came after the vectors were mapped belong to the next search.
        let is_hit = |row: usize| self.scores.get(row).is_some_and(|s| self.which.is_enough(*s));
        self.records.rows_of_items(&self.condition, |row| total += usize::from(is_hit(row)))?;
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for cursor in [
            Cursor::Score {
                score: -0.123_456_7,
                row: 42,
                path: "/photos/a b  c.jpg".to_owned(),
                among: 60,
            },
            Cursor::Moment("2019-05-31T18:03:59".to_owned(), "0123456789abcdef".to_owned()),
        ] {
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }
        for text in ["", "score", "score zz 1 1 a", "score 7fc00000 1 1 a", "moment x"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_photo_is_typical_at_so_many_deviations_above_the_mean() {
        let (slope, intercept) = typical(&[0.0, 0.2]);
        let odds = |score: f32| slope * score + intercept;
        assert!(odds(0.1 + 0.1 * TYPICAL_HALF).abs() < 1e-4);
        assert!((odds(0.1) + TYPICAL_SLOPE * TYPICAL_HALF).abs() < 1e-4);
    }
}
