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
mod conv;
mod curves;
mod depthwise;
mod host;
mod inverted;
mod lanes;
mod matmul;
mod norm;
mod packed;
mod panels;
mod simd;
mod tiles;

pub use activation::{Activation, bias_activation};
pub use attention::{attend, attention, attention_composed};
pub use conv::Conv2d;
pub use inverted::{Expansion, InvertedResidual};
pub use lanes::Isa;
pub use norm::{layer_norm, layer_norm_composed, normalise};
pub use packed::{PackedLinear, linear_unpacked};
