//! A model measured on a data set, as it is and with its inputs perturbed, and models compared on the same queries.

mod compare;
mod folds;
mod measure;
mod perturb;
mod rerank;
mod vectors;

pub use compare::{Column, Compared, DIRECTIONS, Direction, Table};
pub use folds::{means_of_folds, recalls};
pub use measure::{Evaluation, Measured, Protocol, evaluate, measure};
pub use vectors::Vectors;
