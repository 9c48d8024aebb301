//! From a library on disk to a cluster.

use std::collections::HashMap;

use super::connection::Query;
use super::reader::Cluster;
use super::schema::{DIGEST, Photo};
use crate::library::{Item, Library};
use crate::{GalleryMap, Retriever, SearchError, Shard};

/// Records compared at a time.
const RECORDS: usize = 500;

/// Ids in one answer, and how many are expected: they are hashes, so they spread evenly.
const MOST_IDS: usize = 16_384;
const IDS: usize = 8_000;

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Photos of the library, all of which the cluster now has.
    pub photos: usize,
    /// Of these, those that it lacked or had otherwise.
    pub sent: usize,
    /// Photos that the library no longer has.
    pub removed: usize,
}

impl Cluster {
    /// Makes the collection hold what a library does: sends what it lacks or has otherwise, by path and batch by batch, and
    /// removes what is gone. What was sent before a cut is not sent again, so a copy that is cut off goes on by being
    /// started anew. With a `shard`, the library is that part of a collection that several share, and what is not of it is left
    /// alone. `progress` is called with the photos compared and all photos.
    ///
    /// # Errors
    /// [`SearchError::OtherModel`] or [`SearchError::OtherMap`] if the collection is of other vectors;
    /// [`SearchError::OtherShard`] if a photo of the library is not of the part;
    /// [`SearchError::Cluster`] if the server fails; otherwise as [`Library::search`].
    pub fn copy(
        &self,
        library: &Library,
        map: &dyn GalleryMap,
        shard: Option<Shard>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Copied, SearchError> {
        self.require(library.fingerprint(), map.fingerprint())?;
        if let Some(shard) = shard {
            require_of(library, shard)?;
        }
        let mut there = self.digests(shard)?;
        let (mut copied, total, mut last) = (Copied::default(), library.len()?, String::new());
        loop {
            let items = library.items_after(&last, RECORDS)?;
            let Some(end) = items.last() else { break };
            last.clone_from(&end.path);
            copied.photos += items.len();
            let mut lacking = Vec::new();
            for item in items {
                let tags = library.tags(&item)?;
                let digest = digest(&item, &tags);
                if there.remove(&item.id).as_ref() != Some(&digest) {
                    lacking.push(Photo { item, tags, digest, vector: Vec::new() });
                }
            }
            copied.sent += self.send(library, map, lacking)?;
            progress(copied.photos, total);
        }
        let gone: Vec<String> = there.into_keys().collect();
        self.delete(&gone)?;
        copied.removed = gone.len();
        Ok(copied)
    }

    /// Sends photos, but for those that have changed since they were found: the next copy sends them. Returns how many.
    fn send(
        &self,
        library: &Library,
        map: &dyn GalleryMap,
        photos: Vec<Photo>,
    ) -> Result<usize, SearchError> {
        let items: Vec<&Item> = photos.iter().map(|photo| &photo.item).collect();
        let vectors = library.mapped_vectors_of(&items, map)?;
        let photos = photos.into_iter().zip(vectors);
        let photos: Vec<Photo> =
            photos.filter_map(|(photo, vector)| Some(Photo { vector: vector?, ..photo })).collect();
        self.upsert(&photos)?;
        Ok(photos.len())
    }

    /// What the collection has, or its part: id and digest of each photo.
    fn digests(&self, shard: Option<Shard>) -> Result<HashMap<String, String>, SearchError> {
        let ours = |path: &str| shard.is_none_or(|shard| shard.holds(path));
        let mut digests = HashMap::new();
        for expression in shares(self.len()?) {
            let some = self.connection.query(Query {
                expression: &expression,
                fields: &["id", "path", DIGEST],
                offset: Some((0, MOST_IDS)),
                read: &mut |row| {
                    let known = (row.get_str("id")?.to_owned(), row.get_str(DIGEST)?.to_owned());
                    Ok(ours(row.get_str("path")?).then_some(known))
                },
            })?;
            digests.extend(some.into_iter().flatten());
        }
        Ok(digests)
    }
}

/// Makes sure that all photos of a library are of a part, before anything of the part is taken for gone.
fn require_of(library: &Library, shard: Shard) -> Result<(), SearchError> {
    let mut last = String::new();
    loop {
        let items = library.items_after(&last, RECORDS)?;
        let Some(end) = items.last() else { return Ok(()) };
        last.clone_from(&end.path);
        if let Some(item) = items.into_iter().find(|item| !shard.holds(&item.path)) {
            let (index, count) = (shard.index(), shard.count());
            return Err(SearchError::OtherShard { path: item.path, index, count });
        }
    }
}

/// Expressions that divide all ids among them, by their first digits.
fn shares(count: usize) -> Vec<String> {
    let mut digits = 0;
    while count.div_ceil(1 << (4 * digits)) > IDS {
        digits += 1;
    }
    let bound = |number: usize| format!("\"{number:0digits$x}\"");
    let shares = 1_usize << (4 * digits);
    (0..shares)
        .map(|share| match share {
            _ if shares == 1 => String::new(),
            0 => format!("id < {}", bound(1)),
            last if last + 1 == shares => format!("id >= {}", bound(last)),
            share => format!("id >= {} and id < {}", bound(share), bound(share + 1)),
        })
        .collect()
}

/// Changes with anything that is known of a photo, but where its vector lies.
fn digest(item: &Item, tags: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    let known = |text: &Option<String>| text.as_ref().map_or("-".to_owned(), |t| format!("+{t}"));
    add(&item.path);
    add(&item.blake3);
    add(&format!("{} {} {} {}", item.size, item.modified_ns, item.width, item.height));
    add(&known(&item.taken_at));
    add(&known(&item.camera));
    add(&known(&item.caption));
    add(&item.moment);
    tags.iter().for_each(|tag| add(tag));
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_divide_all_ids() {
        assert_eq!(shares(0), [""]);
        assert_eq!(shares(IDS), [""]);
        let sixteen = shares(IDS + 1);
        assert_eq!(sixteen.len(), 16);
        assert_eq!(sixteen[0], "id < \"1\"");
        assert_eq!(sixteen[9], "id >= \"9\" and id < \"a\"");
        assert_eq!(sixteen[15], "id >= \"f\"");
        let more = shares(16 * IDS + 1);
        assert_eq!(more.len(), 256);
        assert_eq!(more[15], "id >= \"0f\" and id < \"10\"");
    }

    #[test]
    fn a_digest_tells_any_change() {
        let item = Item {
            id: "a".to_owned(),
            path: "/a.jpg".to_owned(),
            size: 1,
            modified_ns: 2,
            blake3: "b".to_owned(),
            width: 3,
            height: 4,
            taken_at: None,
            camera: None,
            caption: None,
            vector_row: 5,
            moment: "m".to_owned(),
        };
        let tags = ["x".to_owned()];
        let plain = digest(&item, &tags);
        assert_eq!(plain, digest(&Item { vector_row: 9, ..item.clone() }, &tags));
        for other in [
            Item { size: 9, ..item.clone() },
            Item { camera: Some(String::new()), ..item.clone() },
            Item { caption: Some("-".to_owned()), ..item.clone() },
            Item { moment: "mx".to_owned(), ..item.clone() },
        ] {
            assert_ne!(plain, digest(&other, &tags));
        }
        assert_ne!(plain, digest(&item, &[]));
    }
}
