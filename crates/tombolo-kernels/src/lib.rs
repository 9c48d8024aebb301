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
mod blend;
mod branch;
mod conv;
mod cross;
mod curves;
mod depthwise;
mod dropout;
mod excited;
mod gru;
mod host;
mod infonce;
mod inverted;
mod lanes;
mod linear;
mod norm;
mod optimizer;
mod packed;
mod panels;
mod pool;
mod product;
mod ranked;
mod residual;
mod sequences;
mod simd;
mod softmax;
mod supcon;
mod tiles;
mod unit;

pub use activation::{Activation, bias_activation};
pub use attention::{Mask, attend, attention, attention_composed, attention_masked};
pub use blend::{Standardised, Term, blend};
pub use branch::{bias_gelu_dropout, bias_gelu_dropout_gradient};
pub use conv::{Conv2d, patches};
pub use cross::attend_over;
pub use depthwise::{depthwise, depthwise_composed};
pub use dropout::Dropout;
pub use excited::{Excitation, ExcitedResidual, Stem};
pub use gru::{Direction, gru, gru_composed};
pub use host::{HostValues, with_values_mut};
pub use infonce::{InfoNce, infonce};
pub use inverted::{Expansion, InvertedResidual, Room};
pub use lanes::Isa;
pub use linear::{linear, linear_composed};
pub use norm::{layer_norm, layer_norm_composed, normalise};
pub use optimizer::{AdamWStep, adamw, move_towards, squared_norm};
pub use packed::{PackedLinear, linear_unpacked};
pub use pool::pool;
pub use product::{Matrix, product};
pub use ranked::ranked_pool;
pub use residual::{residual_layer_norm, residual_layer_norm_composed};
pub use softmax::{masked_softmax, masked_softmax_composed};
pub use supcon::{supcon, supcon_composed};
pub use unit::{bias_unit_norm, unit_norm, unit_norm_composed, unit_norm_gradient};
