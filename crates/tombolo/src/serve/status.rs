//! How the server is: health, metrics, and what it can do.

use std::time::Duration;

use axum::extract::State as Extract;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::error::{ApiError, ErrorBody};
use super::openapi::Api;
use super::state::{Shared, compute};

/// How long whoever asks how the server is waits for a worker.
const PROMPT: Duration = Duration::from_secs(2);

/// That the server is ready.
#[derive(Serialize, ToSchema)]
pub struct HealthBody {
    status: &'static str,
    /// Photos that can be found
    photos: usize,
    model: String,
}

/// Whether the server is ready
#[utoipa::path(get, path = "/health", tag = "server", responses(
    (status = 200, body = HealthBody), (status = 503, body = ErrorBody, description = "the model is being loaded")))]
pub async fn health(Extract(state): Extract<Shared>) -> Result<axum::Json<HealthBody>, ApiError> {
    let answer = compute(&state, |state| {
        state.engines.get()?;
        let (photos, model) = (state.library.len()?, state.model_name.clone());
        Ok(axum::Json(HealthBody { status: "ok", photos, model }))
    });
    let busy = |_| Err(ApiError::unavailable("busy", "all workers are taken: try again"));
    tokio::time::timeout(PROMPT, answer).await.unwrap_or_else(busy)
}

/// For Prometheus
#[utoipa::path(get, path = "/metrics", tag = "server", responses(
    (status = 200, content_type = "application/openmetrics-text"),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn metrics(Extract(state): Extract<Shared>) -> impl IntoResponse {
    let counted = compute(&state, |state| {
        state.metrics.photos(state.library.len()?);
        Ok(())
    });
    // Without a free worker, or with a library that cannot be read, it is the count of last time.
    if let Ok(Err(error)) = tokio::time::timeout(PROMPT, counted).await {
        tracing::warn!(?error, "the photos cannot be counted");
    }
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], state.metrics.text())
}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "server", responses((status = 200, content_type = "application/json")))]
pub async fn openapi() -> impl IntoResponse {
    axum::Json(Api::openapi())
}
