//! What to do with what is there, by comparing it with the records.

use std::iter::Peekable;

use super::list::{Listing, Scope};
use super::{Found, IndexOptions, IndexSummary, Skipped};
use crate::SearchError;
use crate::library::{Known, Records};

/// A picture to read.
pub(super) struct Work {
    pub(super) found: Found,
    /// The library has a record of this path.
    pub(super) known: bool,
}

/// What is to be done.
pub(super) struct Plan {
    pub(super) work: Vec<Work>,
    /// Ids of the items to forget.
    pub(super) gone: Vec<String>,
    /// What is already known of the outcome.
    pub(super) summary: IndexSummary,
}

/// Walks both sides, each in the order of paths, once.
pub(super) fn plan(
    records: &Records,
    listing: Listing,
    options: &IndexOptions,
) -> Result<Plan, SearchError> {
    let Listing { found, scope, skipped, .. } = listing;
    let summary = IndexSummary { found: found.len(), skipped, ..IndexSummary::default() };
    let mut plan = Plan { work: Vec::new(), gone: Vec::new(), summary };
    let mut found = found.into_iter().peekable();
    records.for_each(|known| {
        while let Some(new) = found.next_if(|found| found.path < known.path) {
            plan.work.push(Work { found: new, known: false });
        }
        plan.compare(known, &mut found, &scope, options);
    })?;
    plan.work.extend(found.map(|found| Work { found, known: false }));
    Ok(plan)
}

impl Plan {
    fn compare(
        &mut self,
        known: Known,
        found: &mut Peekable<impl Iterator<Item = Found>>,
        scope: &Scope,
        options: &IndexOptions,
    ) {
        let Some(found) = found.next_if(|found| found.path == known.path) else {
            if scope.holds(&known.path) {
                self.gone.push(known.id);
            }
            return;
        };
        let same = found.stamp == known.stamp;
        match known.broken {
            None if same => self.summary.unchanged += 1,
            Some(reason) if same && !options.retry_broken => {
                self.summary.skipped.push(Skipped { path: found.path, reason });
            }
            _ => self.work.push(Work { found, known: true }),
        }
    }
}
