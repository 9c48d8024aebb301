use rusqlite::params;

use super::reader::Library;
use super::records::Records;
use crate::SearchError;

/// Most values of a kind.
pub(crate) const MOST_FACETS: usize = 200;

/// What there is to filter by.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Facets {
    /// Cameras, those of the most photos first; at most 200.
    pub cameras: Vec<String>,
    /// Tags, those of the most photos first; at most 200.
    pub tags: Vec<String>,
    /// Folders that photos lie in, by name; at most 200.
    pub folders: Vec<String>,
    /// The first and the last time of exposure.
    pub taken: Option<[String; 2]>,
}

impl Library {
    /// What there is to filter by. Reads all records.
    ///
    /// # Errors
    /// [`SearchError::Records`].
    pub fn facets(&self) -> Result<Facets, SearchError> {
        // A connection of its own: searches need not wait until all records are read.
        let records = Records::open(&self.layout().records())?;
        let separator = std::path::MAIN_SEPARATOR.to_string();
        let most = params![MOST_FACETS];
        let cameras = "SELECT camera FROM items WHERE vector_row IS NOT NULL AND camera IS NOT NULL \
                       GROUP BY camera ORDER BY count(*) DESC, camera LIMIT ?1";
        let tags = "SELECT tag FROM tags JOIN items USING (path) WHERE vector_row IS NOT NULL \
                    GROUP BY tag ORDER BY count(*) DESC, tag LIMIT ?1";
        // The path up to its last separator: what is left without the characters of its name.
        let folders = "SELECT DISTINCT rtrim(rtrim(path, replace(path, ?2, '')), ?2) AS folder FROM items \
                       WHERE vector_row IS NOT NULL AND instr(path, ?2) > 0 ORDER BY folder LIMIT ?1";
        let taken = "SELECT min(taken_at) FROM items WHERE taken_at IS NOT NULL AND vector_row IS NOT NULL \
                     HAVING count(*) > 0 UNION ALL \
                     SELECT max(taken_at) FROM items WHERE taken_at IS NOT NULL AND vector_row IS NOT NULL \
                     HAVING count(*) > 0";
        Ok(Facets {
            cameras: records.texts(cameras, most)?,
            tags: records.texts(tags, most)?,
            folders: records.texts(folders, params![MOST_FACETS, separator])?,
            taken: records.texts(taken, params![])?.try_into().ok(),
        })
    }
}
