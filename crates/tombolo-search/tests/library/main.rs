//! A library from the outside: indexing, searching, and what a kill leaves.

// The lint's exception for tests does not reach helpers outside of them.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "hnsw")]
mod graph;
mod index;
mod kill;
mod maintenance;
mod mean_colour;
mod page;
mod search;
