//! Embedding matrices, in memory or mapped from disk, and exact search over them.
//!
//! A vector is a row: `[rows, dim]`, row-major. Everything that can be searched is [`Rows`]:
//! an [`EmbeddingMatrix`] (f32, in memory), [`F16Rows`] (f16, mapped from a file) or a [`Chain`]
//! of them. [`top_k`] finds the best rows exactly, on all cores, with the same answer whatever
//! their number; [`top_k_batch`] does it for many queries at once. [`I8Rows`] are a smaller copy
//! to look through first, where a row missed now and then is no harm.
//!
//! ```
//! use tombolo_vectors::{EmbeddingMatrix, top_k};
//!
//! # fn main() -> Result<(), tombolo_vectors::VectorError> {
//! let gallery = EmbeddingMatrix::from_rows(2, vec![1.0, 0.0, 0.6, 0.8, 0.0, 1.0])?;
//! let best = top_k(&[0.0, 1.0], &gallery, 2, |_row| true)?;
//! assert_eq!([best[0].row, best[1].row], [2, 1]);
//! # Ok(())
//! # }
//! ```

mod best;
mod chain;
mod error;
mod f16_rows;
mod i8_rows;
mod matrix;
pub mod npy;
mod rescore;
mod rows;
mod scan;
mod scores;
mod similarity;
mod top_k;
mod top_k_batch;

pub use best::ScoredRow;
pub use chain::Chain;
pub use error::VectorError;
pub use f16_rows::F16Rows;
pub use i8_rows::I8Rows;
pub use matrix::EmbeddingMatrix;
pub use rescore::rescore;
pub use rows::Rows;
pub use scan::dot_f16;
pub use scores::scores;
pub use similarity::{dot, norm, normalize};
pub use top_k::top_k;
pub use top_k_batch::top_k_batch;
