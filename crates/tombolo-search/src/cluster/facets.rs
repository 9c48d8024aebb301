use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::connection::Query;
use super::reader::{Cluster, below};
use super::schema;
use crate::library::{Facets, MOST_FACETS};
use crate::{Retriever, SearchError};

/// Photos that are looked at, if there are more.
const SAMPLE: usize = 16_000;

const BATCH: usize = 2_000;

/// What there is to filter by, of about 16,000 photos, or of all if there are fewer.
pub(super) fn facets(cluster: &Cluster) -> Result<Facets, SearchError> {
    let expression = below(SAMPLE, cluster.len()?);
    let mut seen = Seen::default();
    for offset in (0..).step_by(BATCH) {
        let some = cluster.connection.query(Query {
            expression: &expression,
            fields: &["path", "camera", "taken_at", "tags"],
            offset: Some((offset, BATCH)),
            read: &mut |row| {
                let texts =
                    [row.get_str("path")?, row.get_str("camera")?, row.get_str("taken_at")?];
                seen.see(texts, schema::tags(row)?);
                Ok(())
            },
        })?;
        if some.len() < BATCH {
            break;
        }
    }
    Ok(seen.into_facets())
}

#[derive(Default)]
struct Seen {
    cameras: HashMap<String, usize>,
    tags: HashMap<String, usize>,
    folders: BTreeSet<String>,
    taken: Option<[String; 2]>,
}

impl Seen {
    fn see(&mut self, [path, camera, taken_at]: [&str; 3], tags: Vec<String>) {
        if !camera.is_empty() {
            *self.cameras.entry(camera.to_owned()).or_default() += 1;
        }
        for tag in tags {
            *self.tags.entry(tag).or_default() += 1;
        }
        if let Some((folder, _)) = path.rsplit_once(std::path::MAIN_SEPARATOR) {
            self.folders.insert(folder.to_owned());
        }
        if taken_at.is_empty() {
            return;
        }
        let time = || taken_at.to_owned();
        let [first, last] = self.taken.get_or_insert_with(|| [time(), time()]);
        if taken_at < first.as_str() {
            *first = time();
        }
        if taken_at > last.as_str() {
            *last = time();
        }
    }

    fn into_facets(self) -> Facets {
        Facets {
            cameras: most(self.cameras),
            tags: most(self.tags),
            folders: self.folders.into_iter().take(MOST_FACETS).collect(),
            taken: self.taken,
        }
    }
}

/// Those of the most photos first, then by name.
fn most(counts: HashMap<String, usize>) -> Vec<String> {
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    counts.into_iter().map(|(name, _)| name).take(MOST_FACETS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facets_are_counted_and_ordered() {
        let mut seen = Seen::default();
        let path = |name: &str| format!("{name}.jpg").replace('/', std::path::MAIN_SEPARATOR_STR);
        seen.see([&path("/b/1"), "Sony", "2020"], vec!["x".to_owned()]);
        seen.see([&path("/a/2"), "Canon", "2019"], vec!["x".to_owned(), "a".to_owned()]);
        seen.see(["emoji:cat", "", ""], vec![]);
        let facets = seen.into_facets();
        assert_eq!(facets.cameras, ["Canon", "Sony"]);
        assert_eq!(facets.tags, ["x", "a"]);
        let folders = ["/a", "/b"].map(|folder| folder.replace('/', std::path::MAIN_SEPARATOR_STR));
        assert_eq!(facets.folders, folders);
        assert_eq!(facets.taken, Some(["2019".to_owned(), "2020".to_owned()]));
    }
}
