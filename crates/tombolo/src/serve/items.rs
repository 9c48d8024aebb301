//! A photo of the library: its record, itself, small, and what of it matches.

use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tombolo_data::dataset::ImageSource;
use tombolo_data::image::{Limits, decode};
use tombolo_search::{Expression, Facets, Item, Term};
use utoipa::{IntoParams, ToSchema};

use super::body::{Id, Parameters};
use super::error::{ApiError, ErrorBody};
use super::state::{Shared, State, compute};
use crate::library::source_of;
use crate::report::thumbnail::small_jpeg;

/// Longer side of a thumbnail, in pixels.
const THUMBNAIL: usize = 512;

/// What is known of a photo.
#[derive(Serialize, ToSchema)]
pub struct ItemBody {
    id: String,
    path: String,
    /// Bytes of the file
    size: u64,
    /// When the file was last changed, in ISO 8601, UTC
    modified: String,
    /// BLAKE3 of the file, in hexadecimal
    blake3: String,
    width: u32,
    height: u32,
    taken_at: Option<String>,
    camera: Option<String>,
    caption: Option<String>,
    tags: Vec<String>,
}

/// What is known of a photo
#[utoipa::path(get, path = "/items/{id}", tag = "items", params(("id" = String, Path)), responses(
    (status = 200, body = ItemBody),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn record(
    Extract(state): Extract<Shared>,
    Id(id): Id,
) -> Result<axum::Json<ItemBody>, ApiError> {
    compute(&state, move |state| {
        let item = state.item(&id)?;
        let tags = state.library.tags(&item)?;
        let modified = iso(item.modified_ns);
        let Item { id, path, size, blake3, width, height, taken_at, camera, caption, .. } = item;
        Ok(axum::Json(ItemBody {
            id,
            path,
            size,
            modified,
            blake3,
            width,
            height,
            taken_at,
            camera,
            caption,
            tags,
        }))
    })
    .await
}

/// The photo as it is
#[utoipa::path(get, path = "/items/{id}/image", tag = "items", params(("id" = String, Path)), responses(
    (status = 200, content_type = "image/*"), (status = 304),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn image(
    Extract(state): Extract<Shared>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    picture(&state, id, headers, |_, item| {
        let bytes = contents(item)?;
        Ok((media_type(&bytes), Bytes::from(bytes)))
    })
    .await
}

/// A small JPEG of the photo, upright, neither side longer than 512 pixels
#[utoipa::path(get, path = "/items/{id}/thumbnail", tag = "items", params(("id" = String, Path)), responses(
    (status = 200, content_type = "image/jpeg"), (status = 304),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn thumbnail(
    Extract(state): Extract<Shared>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    picture(&state, id, headers, |state, item| {
        if let Some(jpeg) = state.kept_thumbnail(&item.blake3) {
            return Ok(("image/jpeg", jpeg));
        }
        let pixels = decode(&contents(item)?, &Limits::default())?.pixels;
        let jpeg = small_jpeg(&pixels, THUMBNAIL).map(Bytes::from);
        let jpeg = jpeg.ok_or_else(|| ApiError::not_found("it has no thumbnail"))?;
        state.keep_thumbnail(item.blake3.clone(), jpeg.clone());
        Ok(("image/jpeg", jpeg))
    })
    .await
}

/// What to compare the parts of a photo with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhyParameters {
    /// Words
    query: String,
}

/// Which parts of a photo match.
#[derive(Serialize, ToSchema)]
pub struct WhyBody {
    rows: usize,
    columns: usize,
    /// From 0, the part that matches least, to 1, the one that matches most; row by row
    cells: Vec<f32>,
}

/// Which parts of a photo match words
#[utoipa::path(get, path = "/items/{id}/why", tag = "items", params(("id" = String, Path), WhyParameters), responses(
    (status = 200, body = WhyBody),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn why(
    Extract(state): Extract<Shared>,
    Id(id): Id,
    Parameters(parameters): Parameters<WhyParameters>,
) -> Result<axum::Json<WhyBody>, ApiError> {
    let Expression::Term(Term::Words(words)) = Expression::parse(&parameters.query)? else {
        return Err(ApiError::invalid("query", "expected words, not an expression or a photo"));
    };
    let (engine, item) =
        compute(&state, move |state| Ok((state.engines.get()?, state.item(&id)?))).await?;
    let vectors = state.engines.texts(&engine, vec![words.clone()]).await?;
    compute(&state, move |_| {
        let photo = decode(&contents(&item)?, &Limits::default())?;
        let scores = engine.windows(&photo.pixels, &vectors[&words])?;
        let least = scores.iter().copied().fold(f32::INFINITY, f32::min);
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let cell = |score: f32| (score - least) / (most - least).max(1e-6);
        let side = scores.len().isqrt();
        let cells = scores.into_iter().map(cell).collect();
        Ok(axum::Json(WhyBody { rows: side, columns: side, cells }))
    })
    .await
}

/// What there is to filter by.
#[derive(Serialize, ToSchema)]
pub struct FiltersBody {
    /// At most 200, those of the most photos first
    cameras: Vec<String>,
    /// At most 200, those of the most photos first
    tags: Vec<String>,
    /// At most 200, by name
    folders: Vec<String>,
    /// The first and the last time of exposure
    taken: Option<[String; 2]>,
}

/// What there is to filter by
#[utoipa::path(get, path = "/filters", tag = "search", responses(
    (status = 200, body = FiltersBody),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn filters(Extract(state): Extract<Shared>) -> Result<axum::Json<FiltersBody>, ApiError> {
    compute(&state, |state| {
        let Facets { cameras, tags, folders, taken } = state.library.facets()?;
        Ok(axum::Json(FiltersBody { cameras, tags, folders, taken }))
    })
    .await
}

/// The bytes of a photo, if they are those that were indexed: whatever may have taken the file's place since is not shown.
fn contents(item: &Item) -> Result<Vec<u8>, ApiError> {
    let gone = || {
        ApiError::not_found(
            "the photo has moved or changed since it was indexed: index its folder again",
        )
    };
    let source = source_of(item);
    if let ImageSource::File(path) = &source {
        let metadata = std::fs::metadata(path).map_err(|_| gone())?;
        if !metadata.is_file() || metadata.len() != item.size {
            return Err(gone());
        }
    }
    let bytes = source.read().map_err(|_| gone())?.into_owned();
    match blake3::hash(&bytes).to_hex().as_str() == item.blake3 {
        true => Ok(bytes),
        false => Err(gone()),
    }
}

fn is_known(headers: &HeaderMap, content: &str) -> bool {
    let tag = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    tag.is_some_and(|tag| tag.split(',').any(|tag| tag.trim().trim_matches('"') == content))
}

/// A picture of a photo, made unless the client has it. A browser may keep it, and asks again whether it is still that of the
/// id.
async fn picture(
    state: &Shared,
    id: String,
    headers: HeaderMap,
    make: impl FnOnce(&State, &Item) -> Result<(&'static str, Bytes), ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    compute(state, move |state| {
        let item = state.item(&id)?;
        if is_known(&headers, &item.blake3) {
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
        let (media_type, bytes) = make(state, &item)?;
        let mut response = bytes.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=60"));
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", item.blake3)) {
            headers.insert(header::ETAG, tag);
        }
        Ok(response)
    })
    .await
}

fn media_type(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(format) => format.to_mime_type(),
        Err(_) => "application/octet-stream",
    }
}

/// Nanoseconds since 1970 in ISO 8601, to the second, by the proleptic Gregorian calendar (Hinnant, "chrono-compatible
/// low-level date algorithms", civil_from_days).
fn iso(nanoseconds: i64) -> String {
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso() {
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso(1_709_210_096_999_999_999), "2024-02-29T12:34:56Z");
        assert_eq!(iso(-1), "1969-12-31T23:59:59Z");
    }
}
