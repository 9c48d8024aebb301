//! Fused CPU operations: what lies between matrix products, and the products that end with it.
//!
//! Two kinds. **Candle custom operations**, for training: forward and backward, on all cores, each with the
//! same thing composed from stock candle operations, which serves other devices and is what the tests
//! compare with. **Layers of frozen networks**, from slice to slice on the calling thread: callers give
//! each core its own texts or photos.
//!
//! Every result is independent of the number of threads: work is cut by rows of fixed size, and partial
//! sums are added in the order of the rows. The instruction set is chosen when the program runs.

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
