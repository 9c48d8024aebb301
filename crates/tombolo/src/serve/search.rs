//! `POST /search`.

use axum::extract::State as Extract;
use serde::Serialize;
use tombolo_search::{Item, PageOptions, SearchOptions, Wanted};
use utoipa::ToSchema;

use super::body::{Json, photo_of_data_uri};
use super::engine::Engine;
use super::error::{ApiError, ErrorBody};
use super::request::{Asking, Pull, SearchRequest, Wish};
use super::state::{Shared, State, compute};
use crate::query::{Asked, Likened, Question, Scores};

/// A page of hits.
#[derive(Serialize, ToSchema)]
pub struct SearchResponse {
    hits: Vec<HitBody>,
    /// To give as `after` for the next page; null after the last
    next: Option<String>,
    /// Hits of all pages, where `count` asked for them; on a cluster only without filter and least probability
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
}

/// A photo found.
#[derive(Serialize, ToSchema)]
struct HitBody {
    /// From 1 on each page
    rank: usize,
    /// The cosine; of an expression the probability of belonging to it; null where nothing was asked
    score: Option<f64>,
    /// The probability of a match, where it is known
    probability: Option<f64>,
    path: String,
    id: String,
    width: u32,
    height: u32,
    caption: Option<String>,
    taken_at: Option<String>,
}

impl HitBody {
    fn new(rank: usize, scores: Scores, item: Item) -> Self {
        let Scores { score, probability } = scores;
        let Item { path, id, width, height, caption, taken_at, .. } = item;
        Self { rank, score, probability, path, id, width, height, caption, taken_at }
    }
}

/// Search the library
#[utoipa::path(post, path = "/search", tag = "search", request_body = SearchRequest, responses(
    (status = 200, body = SearchResponse),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn search(
    Extract(state): Extract<Shared>,
    Json(request): Json<SearchRequest>,
) -> Result<axum::Json<SearchResponse>, ApiError> {
    let (engine, question, wish) = compute(&state, |state| {
        let engine = state.engines.get()?;
        let (question, wish) = encoded(request.check()?, state, &engine)?;
        Ok((engine, question, wish))
    })
    .await?;
    let texts = state.engines.texts(&engine, question.texts()).await?;
    compute(&state, move |state| {
        let calibration = engine.calibration().filter(|_| question.is_words());
        let wanted = match question.is_empty() && question.minus.is_empty() {
            true => Wanted::All,
            false => {
                let mut image = |id: &str| item_vector(state, &engine, "query", id);
                question.wanted(&texts, engine.calibration(), engine.map()?, &mut image)?
            }
        };
        respond(state, &engine, &Asked { wanted, calibration }, wish)
    })
    .await
    .map(axum::Json)
}

/// The question with its photos encoded, and the wish.
fn encoded(asking: Asking, state: &State, engine: &Engine) -> Result<(Question, Wish), ApiError> {
    let Asking { mut question, photos, item, wish } = asking;
    if let Some(id) = item {
        question.plus.push(Likened::Vector(item_vector(state, engine, "item", &id)?));
    }
    let decoded = photos.iter().map(|(_, uri)| photo_of_data_uri(uri));
    let vectors = engine.photos(decoded)?;
    for ((pull, _), vector) in photos.iter().zip(vectors.iter()) {
        question.side(*pull == Pull::Plus).push(Likened::Vector(vector.to_vec()));
    }
    Ok((question, wish))
}

/// The mapped unit vector of a photo of the library.
fn item_vector(
    state: &State,
    engine: &Engine,
    param: &'static str,
    id: &str,
) -> Result<Vec<f32>, ApiError> {
    let item = state
        .library
        .item(id)?
        .ok_or_else(|| ApiError::invalid(param, "expected the id of a photo in the library"))?;
    Ok(state.library.mapped_vector_of(&item, &engine.image_side()?)?)
}

fn respond(
    state: &State,
    engine: &Engine,
    asked: &Asked,
    wish: Wish,
) -> Result<SearchResponse, ApiError> {
    if wish.min_probability.is_some() && !asked.has_probability() {
        let message = "expected a query of words or an expression, and a model that is calibrated";
        return Err(ApiError::invalid("min_probability", message));
    }
    let map = engine.image_side()?;
    let options = SearchOptions { top: wish.top, map: Some(&map), ..Default::default() };
    let least = asked.least(wish.min_probability, wish.which.order);
    let which = PageOptions { least, ..wish.which };
    let found = state.library.find(&asked.wanted, &options, &which)?;
    let hits = found.hits.into_iter().map(|hit| {
        let scores = asked.scores(&hit);
        HitBody::new(hit.rank, scores, hit.item)
    });
    let next = found.next.map(|next| next.to_string());
    Ok(SearchResponse { hits: hits.collect(), next, total: found.total })
}
