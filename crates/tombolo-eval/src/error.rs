/// What cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A side of the split that holds nothing.
    #[error("expected at least one row of {side}, found none: the split is empty")]
    Empty {
        /// `images`, `texts`, `queries` or `gallery`.
        side: &'static str,
    },

    /// Two sides whose vectors cannot be compared.
    #[error("expected vectors of {expected} dimensions on both sides, found {found}")]
    Dim {
        /// Dimensions of the first side.
        expected: usize,
        /// Dimensions of the second.
        found: usize,
    },

    /// A vector with a NaN or an infinity.
    #[error("expected finite vectors, found a NaN or an infinity in row {row} of the {side}")]
    NonFinite {
        /// `images`, `texts`, `queries` or `gallery`.
        side: &'static str,
        /// The row, from 0.
        row: usize,
    },

    /// Relevance that was made for another number of rows.
    #[error("expected relevance for {expected} {side}, found it for {found}")]
    Count {
        /// `texts`, `queries` or `gallery`.
        side: &'static str,
        /// Rows of that side.
        expected: usize,
        /// Rows the relevance speaks of.
        found: usize,
    },

    /// A relevant row that the gallery does not have.
    #[error("expected a row below {expected} for query {query}, found {found}")]
    UnknownRow {
        /// The query, from 0.
        query: usize,
        /// Rows of the gallery.
        expected: usize,
        /// The row named.
        found: usize,
    },

    /// Rankings of two models that are not of the same queries.
    #[error("expected both models to have ranked {expected} queries, found {found}")]
    Unpaired {
        /// Queries of the first model.
        expected: usize,
        /// Queries of the second.
        found: usize,
    },

    /// No query has a relevant item, so no metric is defined.
    #[error("expected a query with a relevant item, found none among {queries}")]
    NothingRelevant {
        /// Number of queries.
        queries: usize,
    },
}

impl EvalError {
    /// What the user can do about it, where something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Empty { .. } => Some("choose another --split; `tombolo data` lists them".into()),
            Self::Dim { .. } => {
                Some("embed both sides with one model: its map joins the two spaces".into())
            }
            Self::NonFinite { .. } => {
                Some("the weights are damaged, or diverged in training: then train with a lower learning rate".into())
            }
            Self::Unpaired { .. } => {
                Some("measure both models on the same data set and split".into())
            }
            Self::Count { .. } | Self::UnknownRow { .. } | Self::NothingRelevant { .. } => {
                Some("check which caption belongs to which image with `tombolo data`".into())
            }
        }
    }
}
