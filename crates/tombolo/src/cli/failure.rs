//! What an error means to the caller of the program.

use tombolo_data::DataError;
use tombolo_data::image::ImageError;
use tombolo_eval::EvalError;
use tombolo_models::ModelError;
use tombolo_models::catalogue::CatalogueError;
use tombolo_models::checkpoint::CheckpointError;
use tombolo_models::pull::PullError;
use tombolo_search::{ExpressionError, SearchError};
use tombolo_train::TrainError;
use tombolo_vectors::VectorError;

use crate::query::QuestionError;

/// Wrong use or bad input.
const BAD_INPUT: u8 = 2;
/// Our failure.
const OURS: u8 = 1;

/// An error as the user sees it.
pub struct Failure {
    /// What was wrong, and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit status.
    pub status: u8,
}

/// Wrong use that no crate knows of.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Misuse {
    message: String,
    hint: String,
}

impl Misuse {
    /// An error with a hint.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Failure {
    /// Finds the error that knows most: the one with a hint.
    pub fn of(error: &anyhow::Error) -> Self {
        let causes: Vec<_> = error.chain().collect();
        let known = causes.iter().find_map(|cause| known(*cause));
        let (hint, status) = known.unwrap_or((None, OURS));
        let mut message = String::new();
        for cause in &causes {
            let text = cause.to_string();
            // A transparent error says what its cause says.
            if !message.contains(&text) {
                let colon = if message.is_empty() { "" } else { ": " };
                message.push_str(colon);
                message.push_str(&text);
            }
        }
        Self { message, hint, status }
    }
}

fn known(error: &(dyn std::error::Error + 'static)) -> Option<(Option<String>, u8)> {
    if let Some(error) = error.downcast_ref::<Misuse>() {
        return Some((Some(error.hint.clone()), BAD_INPUT));
    }
    if let Some(error) = error.downcast_ref::<TrainError>() {
        let status = match error {
            TrainError::Model(error) => model_status(error),
            TrainError::Diverged { .. } | TrainError::Io { .. } => OURS,
            _ => BAD_INPUT,
        };
        return Some((error.hint(), status));
    }
    if let Some(error) = error.downcast_ref::<ModelError>() {
        return Some((error.hint(), model_status(error)));
    }
    if let Some(error) = error.downcast_ref::<DataError>() {
        return Some((error.hint(), BAD_INPUT));
    }
    if let Some(error) = error.downcast_ref::<ImageError>() {
        return Some((Some(error.hint().to_owned()), BAD_INPUT));
    }
    if let Some(error) = error.downcast_ref::<CatalogueError>() {
        return Some((error.hint(), BAD_INPUT));
    }
    if let Some(error) = error.downcast_ref::<PullError>() {
        return Some((error.hint(), OURS));
    }
    if let Some(error) = error.downcast_ref::<SearchError>() {
        let ours = matches!(
            error,
            SearchError::Io { .. }
                | SearchError::Records { .. }
                | SearchError::Vectors { .. }
                | SearchError::VectorCount { .. }
                | SearchError::Changed { .. }
                | SearchError::Model { .. }
                | SearchError::Cluster { .. }
        );
        return Some((error.hint(), if ours { OURS } else { BAD_INPUT }));
    }
    if let Some(error) = error.downcast_ref::<ExpressionError>() {
        return Some((Some(error.hint().to_owned()), BAD_INPUT));
    }
    if let Some(error) = error.downcast_ref::<QuestionError>() {
        return Some((Some(error.hint().to_owned()), BAD_INPUT));
    }
    if let Some(error) = error.downcast_ref::<EvalError>() {
        return Some((error.hint(), BAD_INPUT));
    }
    error.downcast_ref::<VectorError>().map(|error| (error.hint(), OURS))
}

fn model_status(error: &ModelError) -> u8 {
    match error {
        ModelError::Tensor(_)
        | ModelError::Io { .. }
        | ModelError::Pull(_)
        | ModelError::Checkpoint(CheckpointError::Io { .. }) => OURS,
        _ => BAD_INPUT,
    }
}
