//! Pages of hits: what the server finds, scored and ordered here.

use std::collections::{HashMap, HashSet};

use tombolo_vectors::scores;

use super::connection::{Query, Search};
use super::passing::{Passing, both, quoted};
use super::reader::Cluster;
use super::schema::{self, GLANCE, Glance};
use crate::library::{Cursor, Hit, Likeness, Odds, Order, Page, PageOptions, Wanted, typical};
use crate::{Expression, SearchError};

/// Rows of an answer that a server shows at most.
const MOST: usize = 16_384;

/// Rows that are asked for at a time.
const BATCH: usize = 4_096;

/// Photos fetched beyond those wanted: what the server holds for equal may come in another order.
const MARGIN: usize = 32;

/// How far a server's score may be from ours.
const SLACK: f32 = 1e-4;

/// Photos near to a term of a set expression that are judged.
const CANDIDATES: usize = 1_000;

pub(super) fn page(
    cluster: &Cluster,
    wanted: &Wanted,
    top: usize,
    which: &PageOptions,
) -> Result<Page, SearchError> {
    which.filter.check()?;
    let among = which.among(wanted, || Ok(cluster.sample()?.len()))?;
    let finding = Finding { cluster, passing: Passing::new(&which.filter)?, top, which, among };
    let found = match wanted {
        Wanted::All => finding.all()?,
        Wanted::Near(query) if which.order == Order::Match => finding.nearest(query)?,
        Wanted::Near(query) => finding.near(query)?,
        Wanted::Members(expression) => finding.members(expression)?,
    };
    finding.page(found)
}

/// All that a page is made of.
struct Finding<'a> {
    cluster: &'a Cluster,
    passing: Passing,
    top: usize,
    which: &'a PageOptions,
    /// Rows of the sample that scores are judged by.
    among: usize,
}

impl Finding<'_> {
    /// The first hits after the cursor, and a few more, of the nearest to a vector.
    fn nearest(&self, query: &[f32]) -> Result<Vec<Glance>, SearchError> {
        let after = match &self.which.after {
            None => f32::INFINITY,
            Some(Cursor::Score { score, .. }) => *score,
            Some(cursor) => return Err(SearchError::Cursor { found: cursor.to_string() }),
        };
        let wanted = self.top.saturating_add(MARGIN);
        let (mut found, mut offset, mut limit) = (Vec::new(), 0, wanted.min(BATCH));
        // Of those as good as the cursor, some were on the page before.
        let mut surely = 0;
        while limit > 0 && surely < wanted {
            let some = self.search(query, offset, limit)?;
            let last = some.len() < limit;
            for glance in self.passing(some)? {
                if glance.score <= after + SLACK {
                    surely += usize::from(glance.score < after - SLACK);
                    found.push(glance);
                }
            }
            offset += limit;
            limit = if last { 0 } else { BATCH.min(MOST - offset) };
        }
        let ties = found.partition_point(|glance| glance.score >= after - SLACK);
        found.truncate(ties.saturating_add(wanted));
        self.score(query, found)
    }

    /// All with at least the least score, which must be fewer than a server shows.
    fn near(&self, query: &[f32]) -> Result<Vec<Glance>, SearchError> {
        let least = self.which.least.unwrap_or(f64::NEG_INFINITY);
        let mut found = Vec::new();
        for offset in (0..MOST).step_by(BATCH) {
            let some = self.search(query, offset, BATCH)?;
            let enough = |glance: &Glance| f64::from(glance.score) >= least;
            let last = some.len() < BATCH || !some.last().is_some_and(enough);
            found.extend(self.passing(some)?.into_iter().filter(enough));
            if last {
                return Ok(found);
            }
        }
        Err(self.too_many())
    }

    /// All that pass the filter; by time, those around the cursor.
    fn all(&self) -> Result<Vec<Glance>, SearchError> {
        let expression = match self.which.order {
            Order::Match => self.passing.expression().to_owned(),
            order => self.moments(order == Order::Newest)?,
        };
        let mut found = Vec::new();
        for offset in (0..MOST).step_by(BATCH) {
            let some = self.cluster.connection.query(Query {
                expression: &expression,
                fields: &GLANCE,
                offset: Some((offset, BATCH)),
                read: &mut |row| schema::glance(row, 0.0),
            })?;
            let last = some.len() < BATCH;
            found.extend(self.passing(some)?);
            if last {
                return Ok(found);
            }
        }
        Err(self.too_many())
    }

    /// The filter, and a time that leaves enough photos after the cursor and no more than a server shows: halved by counting.
    fn moments(&self, newest: bool) -> Result<String, SearchError> {
        let after = match &self.which.after {
            None => String::new(),
            Some(Cursor::Moment(moment, _)) => {
                let moment = quoted("after", moment)?;
                format!("moment {} {moment}", if newest { "<=" } else { ">=" })
            }
            Some(cursor) => return Err(SearchError::Cursor { found: cursor.to_string() }),
        };
        let all = both(self.passing.expression(), &after);
        let count = |expression: &str| self.cluster.connection.count(expression);
        let within = |bound: u64| {
            let comparison = if newest { ">=" } else { "<=" };
            both(&all, &format!("moment {comparison} \"{}\"", moment_of(bound)))
        };
        if count(&all)? < MOST {
            return Ok(all);
        }
        // A look at each may leave out what the expression lets through, so more than a page is asked for.
        let enough = (self.top + MARGIN).max(MOST / 8);
        let (mut few, mut many) = if newest { (LAST_MOMENT, 0) } else { (0, LAST_MOMENT) };
        while few.abs_diff(many) > 1 {
            let bound = few.midpoint(many);
            match count(&within(bound))? {
                found if found >= MOST => many = bound,
                found if found < enough => few = bound,
                _ => return Ok(within(bound)),
            }
        }
        Err(self.too_many())
    }

    /// The photos nearest to each term that is not negated, judged on all.
    fn members(&self, expression: &Expression<Likeness>) -> Result<Vec<Glance>, SearchError> {
        let mut near: HashMap<String, Glance> = HashMap::new();
        for vector in directions(expression) {
            let some = self.passing(self.search(&vector, 0, CANDIDATES)?)?;
            near.extend(some.into_iter().map(|glance| (glance.id.clone(), glance)));
        }
        let ids: Vec<String> = near.keys().cloned().collect();
        let vectors = self.cluster.vectors(&ids)?;
        let mut found: Vec<Glance> = near.into_values().collect();
        found.retain(|glance| vectors.contains_key(&glance.id));
        let rows = self.cluster.halves(found.iter().map(|glance| &vectors[&glance.id]))?;
        let odds = expression.clone().try_map(&mut |likeness: Likeness| {
            let (slope, intercept) = match likeness.odds {
                Odds::Calibrated { slope, intercept } => (slope as f32, intercept as f32),
                Odds::Typical => {
                    let sample = self.cluster.sample()?;
                    let scores = scores(&likeness.vector, &*sample);
                    let scores = scores.map_err(|source| self.cluster.damaged(source))?;
                    typical(&scores[..self.among.min(scores.len())])
                }
            };
            let scores = scores(&likeness.vector, &rows);
            let scores = scores.map_err(|source| self.cluster.damaged(source))?;
            Ok::<_, SearchError>(scores.iter().map(|s| slope * s + intercept).collect::<Vec<_>>())
        })?;
        for (row, glance) in found.iter_mut().enumerate() {
            glance.score = odds.log_odds(&|term: &Vec<f32>| term[row]);
        }
        Ok(found)
    }

    fn search(
        &self,
        vector: &[f32],
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Glance>, SearchError> {
        let expression = self.passing.expression();
        self.cluster.connection.search(Search { vector, expression, offset, limit })
    }

    fn passing(&self, mut some: Vec<Glance>) -> Result<Vec<Glance>, SearchError> {
        let mut failed = None;
        some.retain(|glance| match self.passing.holds(&glance.path, &glance.camera) {
            Ok(holds) => holds,
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        failed.map_or(Ok(some), Err)
    }

    /// With scores of our own kernel; without those that are gone by now.
    fn score(&self, query: &[f32], mut found: Vec<Glance>) -> Result<Vec<Glance>, SearchError> {
        let ids: Vec<String> = found.iter().map(|glance| glance.id.clone()).collect();
        let vectors = self.cluster.vectors(&ids)?;
        found.retain(|glance| vectors.contains_key(&glance.id));
        let rows = self.cluster.halves(found.iter().map(|glance| &vectors[&glance.id]))?;
        let scores = scores(query, &rows).map_err(|source| self.cluster.damaged(source))?;
        found.iter_mut().zip(scores).for_each(|(glance, score)| glance.score = score);
        Ok(found)
    }

    fn page(&self, mut found: Vec<Glance>) -> Result<Page, SearchError> {
        // A row may be on two pages of a server's answer if something was written between them.
        let mut ids = HashSet::new();
        found.retain(|glance| ids.insert(glance.id.clone()));
        let which = self.which;
        let is_enough = |score: f32| which.least.is_none_or(|least| f64::from(score) >= least);
        found.retain(|glance| !glance.score.is_nan() && is_enough(glance.score));
        match which.order {
            Order::Match => by_score(&mut found, which)?,
            order => by_moment(&mut found, which, order == Order::Newest)?,
        }
        let more = found.len() > self.top;
        found.truncate(self.top);
        let ids: Vec<String> = found.iter().map(|glance| glance.id.clone()).collect();
        let mut scores: HashMap<String, f32> =
            found.into_iter().map(|glance| (glance.id, glance.score)).collect();
        let items = self.cluster.items(&ids)?;
        let scored = items.into_iter().filter_map(|item| Some((scores.remove(&item.id)?, item)));
        let among = self.among;
        let ranked =
            (1..).zip(scored).map(|(rank, (score, item))| Hit { rank, score, item, among });
        let hits: Vec<Hit> = ranked.collect();
        let next = hits.last().filter(|_| more).map(|hit| hit.cursor(which.order));
        let can_count = which.count && which.filter.is_empty() && which.least.is_none();
        let total = can_count.then(|| self.cluster.connection.count("")).transpose()?;
        Ok(Page { hits, next, total })
    }

    fn too_many(&self) -> SearchError {
        SearchError::TooMany { address: self.cluster.address(), most: MOST }
    }
}

/// The best first; equal scores as in the library that was copied, then by path.
fn by_score(found: &mut Vec<Glance>, which: &PageOptions) -> Result<(), SearchError> {
    let order = |a: (f32, usize, &str), b: (f32, usize, &str)| {
        (b.0 + 0.0).total_cmp(&(a.0 + 0.0)).then(a.1.cmp(&b.1)).then(a.2.cmp(b.2))
    };
    let place = |glance: &Glance| (glance.score, glance.row, glance.path.clone());
    match &which.after {
        None => {}
        Some(Cursor::Score { score, row, path, .. }) => found.retain(|glance| {
            let (s, r, p) = place(glance);
            order((s, r, &p), (*score, *row, path)).is_gt()
        }),
        Some(cursor) => return Err(SearchError::Cursor { found: cursor.to_string() }),
    }
    found.sort_by(|a, b| order((a.score, a.row, &a.path), (b.score, b.row, &b.path)));
    Ok(())
}

fn by_moment(
    found: &mut Vec<Glance>,
    which: &PageOptions,
    newest: bool,
) -> Result<(), SearchError> {
    let order = |a: (&str, &str), b: (&str, &str)| if newest { b.cmp(&a) } else { a.cmp(&b) };
    match &which.after {
        None => {}
        Some(Cursor::Moment(moment, id)) => {
            found.retain(|glance| order((&glance.moment, &glance.id), (moment, id)).is_gt());
        }
        Some(cursor) => return Err(SearchError::Cursor { found: cursor.to_string() }),
    }
    found.sort_by(|a, b| order((&a.moment, &a.id), (&b.moment, &b.id)));
    Ok(())
}

/// Where members of a set are looked for: the vectors of its terms that are not negated; if all are, the opposite of these.
fn directions(expression: &Expression<Likeness>) -> Vec<Vec<f32>> {
    let (mut toward, mut away) = (Vec::new(), Vec::new());
    collect(expression, true, &mut toward, &mut away);
    let opposite = |vector: Vec<f32>| vector.into_iter().map(|x| -x).collect();
    if toward.is_empty() { away.into_iter().map(opposite).collect() } else { toward }
}

fn collect(
    expression: &Expression<Likeness>,
    plain: bool,
    toward: &mut Vec<Vec<f32>>,
    away: &mut Vec<Vec<f32>>,
) {
    match expression {
        Expression::Term(likeness) if plain => toward.push(likeness.vector.clone()),
        Expression::Term(likeness) => away.push(likeness.vector.clone()),
        Expression::Not(part) => collect(part, !plain, toward, away),
        Expression::And(parts) | Expression::Or(parts) => {
            parts.iter().for_each(|part| collect(part, plain, toward, away));
        }
    }
}

/// Years, months, days, hours, minutes and seconds, as many as their digits can say, so that the order of numbers is that of
/// texts.
const DIGITS: [u64; 6] = [10_000, 13, 32, 24, 60, 60];

const LAST_MOMENT: u64 = 10_000 * 13 * 32 * 24 * 60 * 60 - 1;

fn moment_of(mut number: u64) -> String {
    let mut parts = [0; 6];
    for (part, base) in parts.iter_mut().zip(DIGITS).rev() {
        *part = number % base;
        number /= base;
    }
    let [year, month, day, hour, minute, second] = parts;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(id: &str, score: f32, row: usize) -> Glance {
        let (path, camera) = (format!("/{id}"), String::new());
        Glance { id: id.to_owned(), path, camera, moment: format!("2019-0{row}"), row, score }
    }

    fn ids(found: &[Glance]) -> String {
        found.iter().map(|glance| glance.id.as_str()).collect()
    }

    #[test]
    fn equal_scores_keep_the_order_of_the_library_that_was_copied() {
        let all =
            [glance("c", 0.5, 1), glance("b", 0.5, 2), glance("a", 0.5, 2), glance("d", 0.9, 3)];
        let mut which = PageOptions::default();
        let mut found = all.to_vec();
        by_score(&mut found, &which).unwrap();
        assert_eq!(ids(&found), "dcab");
        which.after = Some(Cursor::Score { score: 0.5, row: 2, path: "/a".to_owned(), among: 0 });
        let mut found = all.to_vec();
        by_score(&mut found, &which).unwrap();
        assert_eq!(ids(&found), "b");
        which.after = Some(Cursor::Moment(String::new(), String::new()));
        assert!(by_score(&mut found, &which).is_err());
    }

    #[test]
    fn times_go_both_ways() {
        let all = [glance("c", 0.0, 1), glance("b", 0.0, 2), glance("a", 0.0, 2)];
        let mut found = all.to_vec();
        by_moment(&mut found, &PageOptions::default(), true).unwrap();
        assert_eq!(ids(&found), "bac");
        let after = Some(Cursor::Moment("2019-02".to_owned(), "a".to_owned()));
        let which = PageOptions { after, ..PageOptions::default() };
        by_moment(&mut found, &which, false).unwrap();
        assert_eq!(ids(&found), "b");
    }

    #[test]
    fn moments_are_ordered_as_their_numbers() {
        assert_eq!(moment_of(0), "0000-00-00T00:00:00");
        assert_eq!(moment_of(LAST_MOMENT), "9999-12-31T23:59:59");
        let numbers = (0..LAST_MOMENT).step_by((LAST_MOMENT / 1_000) as usize);
        let texts: Vec<String> = numbers.map(moment_of).collect();
        assert!(texts.is_sorted());
    }

    #[test]
    fn negated_terms_are_looked_for_only_where_there_are_no_others() {
        let term = |x: f32| Expression::Term(Likeness { vector: vec![x], odds: Odds::Typical });
        let not = |part| Expression::Not(Box::new(part));
        let both = Expression::And(vec![term(1.0), not(term(2.0)), not(not(term(3.0)))]);
        assert_eq!(directions(&both), [[1.0], [3.0]]);
        assert_eq!(directions(&not(term(2.0))), [[-2.0]]);
    }
}
