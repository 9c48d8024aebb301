//! What to do with what is there, by comparing it with the records.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::PathBuf;

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
    /// How many items stay though the folder that is above them is empty, by folder.
    kept: BTreeMap<PathBuf, usize>,
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
    let mut plan = Plan { work: Vec::new(), gone: Vec::new(), kept: BTreeMap::new(), summary };
    let mut found = found.into_iter().peekable();
    records.for_each(|known| {
        while let Some(new) = found.next_if(|found| found.path < known.path) {
            plan.work.push(Work { found: new, known: false });
        }
        plan.compare(known, &mut found, &scope, options);
    })?;
    plan.work.extend(found.map(|found| Work { found, known: false }));
    for (folder, photos) in std::mem::take(&mut plan.kept) {
        let reason = format!(
            "it is empty, and the library holds {photos} photos of it, which it keeps (is a disk not mounted? --forget-all forgets them)"
        );
        plan.summary.skipped.push(Skipped { path: folder.display().to_string(), reason });
    }
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
            match scope.empty_above(&known.path).filter(|_| !options.forget_all) {
                Some(folder) => *self.kept.entry(folder.to_owned()).or_default() += 1,
                None if scope.holds(&known.path) => self.gone.push(known.id),
                None => {}
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
