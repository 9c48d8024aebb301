//! A library on a cluster: a collection of Milvus, searched through the same trait as one on disk.
//!
//! The collection holds records and **mapped** vectors: another map needs another copy and is refused by its fingerprint.
//! Scores are computed here, from the vectors that the server found, in the same kernel as those of a library on disk.
//!
//! What a server cannot do as a disk can, because it does not show us all vectors at a time:
//!
//! - Set expressions judge the 1,000 photos nearest to each term that is not negated, on all terms. Their order and scores
//!   are exact; a photo that is near to none of them is not found.
//! - Members of a set that no term is positive for are those least like the terms.
//! - Log odds where no calibration speaks take mean and deviation from a sample of 2,000 photos, or all if there are fewer.
//! - A server shows 16,384 rows of an answer. Pages by match end there. By time, a search or an expression with more hits
//!   than that is refused; all photos, or those of a filter, can be gone through to the end.

#![allow(clippy::result_large_err, reason = "Milvus' own error is large, and is only passed on")]

mod access;
mod address;
mod connection;
mod copy;
mod facets;
mod page;
mod passing;
mod reader;
mod schema;

pub use access::{Access, Tls};
pub use copy::Copied;
pub use reader::{Cluster, Origin};
