//! The three stages of training, each with a single responsibility: the text space from texts alone, the
//! image space from images alone, and the map that joins them from pairs.

mod calibration;
mod curriculum;
mod error;
mod joined;
pub mod loss;
pub mod optimizer;
pub mod positives;
pub mod reference;
pub mod run;
pub mod schedule;
mod session;
pub mod settings;
pub mod stage;
pub mod train;
mod variables;
pub mod views;

pub use calibration::CalibrationFile;
pub use error::{Result, TrainError};
pub use session::previous::{RECORD as MAP_BEFORE, share_a_space};
pub use train::{Outcome, Plan, Stage, train};
