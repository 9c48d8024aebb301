//! Fused, multi-threaded CPU operations as candle custom operations, forward and backward.
//!
//! Candle's matrix products already run at the machine's limit; what lies between them does not. Each
//! file here holds one such operation: the fused form for the CPU, its gradient, and the same thing
//! composed from stock candle operations, which serves other devices and is what the tests compare with.
//!
//! Every result is independent of the number of threads: work is cut by rows of fixed size, and partial
//! sums are added in the order of the rows.

mod activation;
mod attention;
mod blend;
mod branch;
mod conv;
mod dropout;
mod host;
mod infonce;
mod linear;
mod matmul;
mod norm;
mod optimizer;
mod product;
mod simd;
mod supcon;
mod unit;

pub use activation::{Activation, bias_activation};
pub use attention::{attention, attention_composed};
pub use blend::{Standardised, Term, blend};
pub use branch::{bias_gelu_dropout, bias_gelu_dropout_gradient};
pub use conv::{Conv2d, depthwise, patches, pointwise};
pub use dropout::Dropout;
pub use host::{HostValues, with_values_mut};
pub use infonce::{InfoNce, infonce};
pub use linear::{linear, linear_composed};
pub use norm::{layer_norm, layer_norm_composed};
pub use optimizer::{AdamWStep, adamw, move_towards, squared_norm};
pub use product::{Matrix, product};
pub use supcon::{supcon, supcon_composed};
pub use unit::{bias_unit_norm, unit_norm, unit_norm_composed, unit_norm_gradient};
