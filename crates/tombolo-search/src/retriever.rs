//! What a search needs of wherever photos are kept.

use crate::library::{Facets, Hit, Item, Library, Order, Page, PageOptions, SearchOptions, Wanted};
use crate::{GalleryMap, SearchError};

/// Where photos are found: a [`Library`] on disk, or a collection of a cluster. Both give the same answers.
pub trait Retriever: Send + Sync {
    /// Makes sure that this model's vectors may be compared with those that are kept.
    ///
    /// # Errors
    /// [`SearchError::OtherModel`] or [`SearchError::OtherMap`] with both fingerprints.
    fn require(&self, image_tower: &str, map: &str) -> Result<(), SearchError>;

    /// Number of photos that can be found.
    ///
    /// # Errors
    /// [`SearchError::Records`] or [`SearchError::Cluster`], as for all that follow.
    fn len(&self) -> Result<usize, SearchError>;

    /// True where there is no photo to find.
    ///
    /// # Errors
    /// As [`Retriever::len`].
    fn is_empty(&self) -> Result<bool, SearchError> {
        Ok(self.len()? == 0)
    }

    /// The photo of this id, if there is one.
    ///
    /// # Errors
    /// As [`Retriever::len`].
    fn item(&self, id: &str) -> Result<Option<Item>, SearchError>;

    /// Tags of a photo, in order.
    ///
    /// # Errors
    /// As [`Retriever::len`].
    fn tags(&self, item: &Item) -> Result<Vec<String>, SearchError>;

    /// The vector of a photo where queries live, `[dim]` of the map.
    ///
    /// # Errors
    /// As [`Retriever::len`]; [`SearchError::Vectors`]; [`SearchError::Model`] if the map fails.
    fn mapped_vector_of(&self, item: &Item, map: &dyn GalleryMap) -> Result<Vec<f32>, SearchError>;

    /// What there is to filter by.
    ///
    /// # Errors
    /// As [`Retriever::len`].
    fn facets(&self) -> Result<Facets, SearchError>;

    /// A page of hits, in the fastest way that there is.
    ///
    /// # Errors
    /// As [`Library::page`].
    fn find(
        &self,
        wanted: &Wanted,
        options: &SearchOptions<'_>,
        which: &PageOptions,
    ) -> Result<Page, SearchError>;
}

impl Retriever for Library {
    fn require(&self, image_tower: &str, _: &str) -> Result<(), SearchError> {
        // Raw vectors go through whatever map comes.
        self.require_model(image_tower)
    }

    fn len(&self) -> Result<usize, SearchError> {
        self.len()
    }

    fn item(&self, id: &str) -> Result<Option<Item>, SearchError> {
        self.item(id)
    }

    fn tags(&self, item: &Item) -> Result<Vec<String>, SearchError> {
        self.tags(item)
    }

    fn mapped_vector_of(&self, item: &Item, map: &dyn GalleryMap) -> Result<Vec<f32>, SearchError> {
        self.mapped_vector_of(item, map)
    }

    fn facets(&self) -> Result<Facets, SearchError> {
        self.facets()
    }

    /// Through the graph of a large library where the first hits of one vector are asked for.
    fn find(
        &self,
        wanted: &Wanted,
        options: &SearchOptions<'_>,
        which: &PageOptions,
    ) -> Result<Page, SearchError> {
        let all_are_hits = which.filter.is_empty() && which.least.is_none();
        let plain = which.filter.is_empty()
            && which.order == Order::Match
            && which.after.is_none()
            && (all_are_hits || !which.count);
        match wanted {
            Wanted::Near(query) if plain => {
                // One more tells whether there is another page.
                let and_one = SearchOptions { top: options.top.saturating_add(1), ..*options };
                let mut hits: Vec<Hit> = self.search(query, &and_one)?;
                let least = which.least.unwrap_or(f64::NEG_INFINITY);
                hits.retain(|hit| f64::from(hit.score) >= least);
                let more = hits.len() > options.top;
                hits.truncate(options.top);
                let next = hits.last().filter(|_| more).map(|hit| hit.cursor(which.order));
                let total = which.count.then(|| self.len()).transpose()?;
                Ok(Page { hits, next, total })
            }
            _ => self.page(wanted, options, which),
        }
    }
}
