//! Bodies and queries of requests, with errors in our own form.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use tombolo_data::image::{Limits, Pixels, decode};

use super::error::ApiError;

/// Bytes of a body: a photo of 24 MiB in base64.
pub const MAX_BODY: usize = 32 << 20;

/// What a photo in a request may cost to decode.
pub const LIMITS: Limits =
    Limits { max_pixels: 64_000_000, max_file_bytes: 24 << 20, max_decoded_bytes: 256 << 20 };

/// A JSON body.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refusal(&rejection)),
        }
    }
}

fn refusal(rejection: &JsonRejection) -> ApiError {
    match rejection {
        JsonRejection::JsonDataError(error) => misshapen(&error.body_text()),
        JsonRejection::MissingJsonContentType(_) => ApiError::media_type(),
        other => ApiError::malformed(other.body_text()),
    }
}

/// The field that is to blame, and what is wrong with it, out of the words of axum: `….: FIELD: REASON at line …`.
fn misshapen(text: &str) -> ApiError {
    let (_, told) = text.split_once("target type: ").unwrap_or(("", text));
    let told = told.split_once(" at line ").map_or(told, |(told, _)| told);
    match told.split_once(": ").filter(|(field, _)| !field.contains(' ')) {
        Some((field, reason)) => ApiError::invalid(field.to_owned(), reason),
        None => ApiError::invalid("body", told),
    }
}

/// The part of the address after `?`.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parsed: Result<Query<T>, QueryRejection> =
            Query::from_request_parts(parts, state).await;
        match parsed {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(ApiError::malformed(rejection.body_text())),
        }
    }
}

/// The id in an address.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(rejection) => Err(ApiError::malformed(rejection.body_text())),
        }
    }
}

/// Whether a text is a data URI, and not words.
pub fn is_data_uri(text: &str) -> bool {
    text.trim_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:"))
}

/// The photo in a data URI of base64 (RFC 2397).
///
/// # Errors
/// 422 if it is none, or no photo within [`LIMITS`].
pub fn photo_of_data_uri(uri: &str) -> Result<Pixels, ApiError> {
    let expected =
        || ApiError::invalid("image", "expected `data:image/…;base64,` and a photo in base64");
    let (head, data) = uri.trim().split_once(',').ok_or_else(expected)?;
    if !is_data_uri(head) || !head.to_ascii_lowercase().ends_with(";base64") {
        return Err(expected());
    }
    let bytes = BASE64_STANDARD.decode(data.trim_end()).map_err(|_| expected())?;
    let decoding = std::panic::AssertUnwindSafe(|| decode(&bytes, &LIMITS));
    match std::panic::catch_unwind(decoding) {
        Ok(decoded) => Ok(decoded?.pixels),
        Err(_) => Err(ApiError::invalid("image", "the decoder gave up on it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_photo_in_base64_is_a_photo() {
        let gif = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
        assert_eq!(photo_of_data_uri(gif).unwrap().width, 1);
        for uri in [
            "",
            "data:",
            "data:image/gif;base64,",
            "data:image/gif,abc",
            "image;base64,AAAA",
            "data:;base64,A",
        ] {
            assert!(photo_of_data_uri(uri).is_err(), "{uri}");
        }
        assert!(
            is_data_uri(" DATA:image/png;base64,") && !is_data_uri("dägel") && !is_data_uri("dog")
        );
    }
}
