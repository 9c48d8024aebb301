//! Kernels against their definitions, on odd sizes.

// The lint's exception for tests does not reach helpers outside of them.
#![allow(clippy::unwrap_used)]

mod frozen;
mod gru;
mod inputs;
mod operations;
mod training;
