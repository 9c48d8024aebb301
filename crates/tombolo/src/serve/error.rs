//! Errors as HTTP tells them: `{"error":{"message","type","param","code"}}`.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tombolo_data::image::{DecodeError, ImageError};
use tombolo_search::{ExpressionError, SearchError};
use utoipa::ToSchema;

use super::body::MAX_BODY;
use crate::query::QuestionError;

/// Why a request has no answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The field that is to blame.
    param: Option<Cow<'static, str>>,
}

/// The body of an answer that is an error.
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Serialize, ToSchema)]
struct ErrorDetail {
    /// What was wrong, and what to do about it.
    message: String,
    /// `invalid_request_error` if the request is to blame, else `server_error`.
    r#type: &'static str,
    /// The field that is to blame.
    param: Option<Cow<'static, str>>,
    /// Stays the same when the message is put better.
    code: &'static str,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None }
    }

    /// 400: not what the protocol asks for.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        let message = "expected the header `Authorization: Bearer TOKEN` with this server's token";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", message)
    }

    /// 403: a page of another host asks through the user's browser.
    pub fn foreign_host() -> Self {
        let message = "expected a request to this machine by its own name; start the server with --token-file to allow others";
        Self::new(StatusCode::FORBIDDEN, "foreign_host", message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 404 for a model, with the code that OpenAI's clients know.
    pub fn no_such_model(message: String) -> Self {
        Self {
            param: Some("model".into()),
            ..Self::new(StatusCode::NOT_FOUND, "model_not_found", message)
        }
    }

    /// 405.
    pub fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this route has no such method",
        )
    }

    /// 413.
    pub fn too_large() -> Self {
        let message = format!("expected a body of at most {} MiB", MAX_BODY >> 20);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// 415.
    pub fn media_type() -> Self {
        let message = "expected the header `Content-Type: application/json`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", message)
    }

    /// 422: well-formed, but meaning nothing.
    pub fn invalid(param: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let invalid = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message);
        Self { param: Some(param.into()), ..invalid }
    }

    /// 429.
    pub fn overloaded() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "overloaded",
            "too many requests at once: try again in a second",
        )
    }

    /// 503: not yet, or not in time.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// 500. The reason goes to the log, not to the client.
    pub fn ours(error: &anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed; its log says why",
        )
    }
}

impl From<ExpressionError> for ApiError {
    fn from(error: ExpressionError) -> Self {
        Self::invalid("query", format!("{error}: {}", error.hint()))
    }
}

impl From<QuestionError> for ApiError {
    fn from(error: QuestionError) -> Self {
        Self::invalid("query", format!("{error}: {}", error.hint()))
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        let param = match &error {
            SearchError::Time { .. }
            | SearchError::Filter { .. }
            | SearchError::Inexpressible { .. } => "filter",
            SearchError::TooMany { .. } => "sort",
            SearchError::Cluster { .. } => {
                tracing::error!(%error, "the cluster failed");
                let message = "the cluster does not answer: try again in a moment";
                return Self::unavailable("cluster", message);
            }
            SearchError::Cursor { .. } => "after",
            SearchError::Changed { .. } => {
                let message = "the library is being written to: try again in a moment";
                return Self::unavailable("library", message);
            }
            _ => return Self::ours(&error.into()),
        };
        let hint = error.hint().unwrap_or_default();
        Self::invalid(param, format!("{error}: {hint}"))
    }
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<SearchError>() {
            Ok(error) => error.into(),
            Err(error) => Self::ours(&error),
        }
    }
}

impl From<tombolo_models::ModelError> for ApiError {
    fn from(error: tombolo_models::ModelError) -> Self {
        Self::ours(&error.into())
    }
}

impl From<ImageError> for ApiError {
    fn from(error: ImageError) -> Self {
        Self::ours(&error.into())
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        Self::invalid("image", error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let r#type = match self.status.is_client_error() {
            true => "invalid_request_error",
            false => "server_error",
        };
        let Self { status, code, message, param } = self;
        let body = ErrorBody { error: ErrorDetail { message, r#type, param, code } };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
