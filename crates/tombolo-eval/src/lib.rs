//! Retrieval metrics from rankings: recall, precision, average precision, ranks, confidence.
//!
//! [`evaluate`] does both directions of image–text retrieval. Below it, [`rank`] finds the ranks of
//! every relevant item of every query without ever holding the score matrix, and
//! [`DirectionMetrics`] turns [`Rankings`] into numbers, each a mean of a [`Measure`] over the queries.
//! [`PairedComparison`] says whether two models differ. Nothing here knows a tensor or a model.
//!
//! **Scores** are dot products of the f32 rows, each summed in f64 in the order of the
//! components. The product of two f32 is exact in f64, so a fused multiply-add changes nothing
//! and every machine gives the same bits.
//!
//! **Ties** rank pessimistically: an item that is not relevant and scores the same as a relevant
//! one counts as ranked before it.

mod bootstrap;
mod calibration;
mod error;
mod evaluate;
mod gallery;
mod judged;
mod mean;
mod measure;
mod metrics;
mod paired;
mod rank;
mod rankings;
mod relevance;
mod rerank;
mod scores;
mod worth;

pub use calibration::Calibration;
pub use error::EvalError;
pub use evaluate::{BothRankings, Retrieval, evaluate};
pub use gallery::{Gallery, OwnedGallery};
pub use judged::Candidates;
pub use measure::Measure;
pub use metrics::{DirectionMetrics, Intervals};
pub use paired::{PairedComparison, holm, mcnemar_test, randomisation_test};
pub use rank::rank;
pub use rankings::Rankings;
pub use relevance::Relevance;
pub use rerank::{candidates, reranked};
pub use worth::Worth;
