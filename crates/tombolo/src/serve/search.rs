//! `POST /search`.

use axum::extract::State as Extract;
use serde::{Deserialize, Serialize};
use tombolo_data::image::Pixels;
use tombolo_search::{Filter, Item, Order, Orientation, PageOptions, SearchOptions, Wanted};
use utoipa::ToSchema;

use super::body::{Json, is_data_uri, photo_of_data_uri};
use super::engine::Engine;
use super::error::{ApiError, ErrorBody};
use super::state::{Shared, State, compute};
use crate::library::page;
use crate::query::{Asked, Likened, Question, Scores};

/// Hits on a page, at most.
const MAX_TOP: usize = 1_000;
/// Texts and photos that may be added, and subtracted.
const MAX_TERMS: usize = 16;
/// Bytes of a text that a tower reads.
pub const MAX_TEXT: usize = 16 << 10;

/// What to look for. Without query, image, item and add: all photos, the newest first.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// Words, or a set expression: `dog AND beach`, `(cat OR kitten) AND NOT indoors`, `image:ID AND "in the snow"`
    query: Option<String>,
    /// A photo to look for the like of, as a data URI
    image: Option<String>,
    /// The id of a photo of the library to look for the like of
    item: Option<String>,
    /// A text or the data URI of a photo that pulls, or several
    add: Option<OneOrMore>,
    /// A text or the data URI of a photo that pushes, or several
    subtract: Option<OneOrMore>,
    /// Hits on a page, from 1 to 1,000; 10 if absent
    #[schema(minimum = 1, maximum = 1000)]
    top: Option<usize>,
    /// Only photos that match words or an expression at least with this probability
    #[schema(minimum = 0, maximum = 1)]
    min_probability: Option<f64>,
    /// Photos that may be found at all
    filter: Option<FilterRequest>,
    /// In which order
    sort: Option<Sort>,
    /// The `next` of the page before
    after: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Sort {
    Match,
    Newest,
    Oldest,
}

/// Which photos may be found at all.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FilterRequest {
    /// A pattern of the whole path: `*` for any characters, `?` for one
    path: Option<String>,
    /// A folder that the photo lies in or below
    folder: Option<String>,
    /// Taken then or later: `2019`, `2019-05`, `2019-05-31`, `2019-05-31T18:03:59`
    taken_from: Option<String>,
    /// Taken then or before
    taken_to: Option<String>,
    /// Columns, at least
    min_width: Option<u32>,
    /// Rows, at least
    min_height: Option<u32>,
    /// Which side is longer
    orientation: Option<Shape>,
    /// What the camera's name contains
    camera: Option<String>,
    /// Tags, all of which the photo has
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Shape {
    Landscape,
    Portrait,
    Square,
}

impl From<FilterRequest> for Filter {
    fn from(request: FilterRequest) -> Self {
        let FilterRequest {
            path,
            folder,
            taken_from,
            taken_to,
            min_width,
            min_height,
            orientation,
            camera,
            tags,
        } = request;
        let orientation = orientation.map(|shape| match shape {
            Shape::Landscape => Orientation::Landscape,
            Shape::Portrait => Orientation::Portrait,
            Shape::Square => Orientation::Square,
        });
        Self {
            path,
            folder,
            taken_from,
            taken_to,
            min_width,
            min_height,
            orientation,
            camera,
            tags,
        }
    }
}

/// A page of hits.
#[derive(Serialize, ToSchema)]
pub struct SearchResponse {
    hits: Vec<HitBody>,
    /// To give as `after` for the next page; null after the last
    next: Option<String>,
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
#[utoipa::path(post, path = "/search", tag = "search", responses(
    (status = 200, body = SearchResponse),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn search(
    Extract(state): Extract<Shared>,
    Json(request): Json<SearchRequest>,
) -> Result<axum::Json<SearchResponse>, ApiError> {
    let checked = Checked::new(request)?;
    let (engine, question, wish) = compute(&state, |state| {
        let engine = state.engines.get()?;
        let (question, wish) = checked.encoded(state, &engine)?;
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
                question.wanted(&texts, engine.calibration(), &mut image)?
            }
        };
        respond(state, &engine, &Asked { wanted, calibration }, wish)
    })
    .await
    .map(axum::Json)
}

/// A request whose parts are within their bounds.
struct Checked {
    question: Question,
    photos: Vec<(Pull, Pixels)>,
    item: Option<String>,
    wish: Wish,
}

/// Which hits are wanted.
struct Wish {
    top: usize,
    min_probability: Option<f64>,
    which: PageOptions,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pull {
    Plus,
    Minus,
}

impl Checked {
    fn new(request: SearchRequest) -> Result<Self, ApiError> {
        let top = request.top.unwrap_or(10);
        if !(1..=MAX_TOP).contains(&top) {
            return Err(ApiError::invalid("top", format!("expected 1 to {MAX_TOP}, found {top}")));
        }
        if let Some(found) = request.min_probability.filter(|p| !(0.0..=1.0).contains(p)) {
            let message = format!("expected a number from 0 to 1, found {found}");
            return Err(ApiError::invalid("min_probability", message));
        }
        let mut question = Question::of_words(request.query.as_deref().unwrap_or_default())?;
        let mut photos = Vec::new();
        if let Some(uri) = &request.image {
            photos.push((Pull::Plus, photo_of_data_uri(uri)?));
        }
        for (param, pull, terms) in
            [("add", Pull::Plus, request.add), ("subtract", Pull::Minus, request.subtract)]
        {
            let terms = terms.map(OneOrMore::into_vec).unwrap_or_default();
            if terms.len() > MAX_TERMS {
                return Err(ApiError::invalid(param, format!("expected at most {MAX_TERMS}")));
            }
            for term in terms {
                if is_data_uri(&term) {
                    photos.push((pull, photo_of_data_uri(&term)?));
                    continue;
                }
                check_text(param, &term)?;
                let side =
                    if pull == Pull::Plus { &mut question.plus } else { &mut question.minus };
                side.push(Likened::Text(term));
            }
        }
        let asks = !question.is_empty() || !photos.is_empty() || request.item.is_some();
        let order = match request.sort {
            Some(Sort::Newest) => Order::Newest,
            Some(Sort::Oldest) => Order::Oldest,
            Some(Sort::Match) => Order::Match,
            None if asks => Order::Match,
            None => Order::Newest,
        };
        let filter = Filter::from(request.filter.unwrap_or_default());
        filter.check()?;
        let after = request.after.as_deref().map(str::parse).transpose()?;
        let which = PageOptions { filter, least: None, order, after };
        let wish = Wish { top, min_probability: request.min_probability, which };
        Ok(Self { question, photos, item: request.item, wish })
    }

    /// The question with its photos encoded, and the wish.
    fn encoded(self, state: &State, engine: &Engine) -> Result<(Question, Wish), ApiError> {
        let Self { mut question, photos, item, wish } = self;
        if let Some(id) = item {
            question.plus.push(Likened::Vector(item_vector(state, engine, "item", &id)?));
        }
        let (pulls, pictures): (Vec<Pull>, Vec<Pixels>) = photos.into_iter().unzip();
        if !pictures.is_empty() {
            for (pull, vector) in pulls.iter().zip(engine.photos(&pictures)?.iter()) {
                let side =
                    if *pull == Pull::Plus { &mut question.plus } else { &mut question.minus };
                side.push(Likened::Vector(vector.to_vec()));
            }
        }
        Ok((question, wish))
    }
}

pub fn check_text(param: &'static str, text: &str) -> Result<(), ApiError> {
    if text.trim().is_empty() || text.len() > MAX_TEXT {
        let message = format!("expected words, at most {MAX_TEXT} bytes of them");
        return Err(ApiError::invalid(param, message));
    }
    Ok(())
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
    Ok(engine.map_raw(state.library.vector_of(&item)?)?)
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
    let found = page(&state.library, &asked.wanted, &options, &which)?;
    let hits = found.hits.into_iter().map(|hit| {
        let scores = asked.scores(&hit);
        HitBody::new(hit.rank, scores, hit.item)
    });
    Ok(SearchResponse { hits: hits.collect(), next: found.next.map(|next| next.to_string()) })
}
