//! `/v1/embeddings` and `/v1/models`, in the form of OpenAI's API.

use axum::extract::State as Extract;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{Json, photo_of_data_uri};
use super::error::{ApiError, ErrorBody};
use super::request::check_text;
use super::state::{Shared, compute};

/// Inputs of a request, at most.
const MAX_TEXTS: usize = 2_048;
const MAX_PHOTOS: usize = 64;

/// What to embed.
#[derive(Deserialize, ToSchema)]
pub struct EmbeddingsRequest {
    /// The server's model, as `/v1/models` names it
    model: String,
    /// A text or the data URI of a photo, or several
    input: Input,
    /// `float` if absent
    encoding_format: Option<Encoding>,
    /// `text` if absent
    modality: Option<Modality>,
    /// Components that are wanted: the model's own number of them, or absent
    dimensions: Option<usize>,
    /// Ignored
    #[serde(rename = "user")]
    _user: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Input {
    One(String),
    More(Vec<String>),
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    /// Little-endian f32 in base64
    Base64,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Modality {
    #[default]
    Text,
    Image,
}

/// Unit vectors, in the order of the inputs.
#[derive(Serialize, ToSchema)]
pub struct EmbeddingsBody {
    object: &'static str,
    data: Vec<EmbeddingBody>,
    model: String,
    usage: Usage,
}

#[derive(Serialize, ToSchema)]
struct EmbeddingBody {
    object: &'static str,
    index: usize,
    embedding: Values,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Values {
    Float(Vec<f32>),
    Base64(String),
}

/// Nothing is charged, so nothing is counted.
#[derive(Default, Serialize, ToSchema)]
struct Usage {
    prompt_tokens: u32,
    total_tokens: u32,
}

/// Mapped unit vectors of texts or photos, comparable with each other
#[utoipa::path(post, path = "/v1/embeddings", tag = "OpenAI", request_body = EmbeddingsRequest, responses(
    (status = 200, body = EmbeddingsBody),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn embeddings(
    Extract(state): Extract<Shared>,
    Json(request): Json<EmbeddingsRequest>,
) -> Result<axum::Json<EmbeddingsBody>, ApiError> {
    if request.model != state.model_name {
        let message =
            format!("expected the model {:?}, found {:?}", state.model_name, request.model);
        return Err(ApiError::no_such_model(message));
    }
    let inputs = match request.input {
        Input::One(input) => vec![input],
        Input::More(inputs) => inputs,
    };
    let engine = compute(&state, |state| state.engines.get()).await?;
    let dim = engine.encoder().map()?.dim();
    if let Some(found) = request.dimensions.filter(|&dimensions| dimensions != dim) {
        return Err(ApiError::invalid("dimensions", format!("expected {dim}, found {found}")));
    }
    let vectors: Vec<Vec<f32>> = match request.modality.unwrap_or_default() {
        Modality::Text => {
            check_inputs(&inputs, MAX_TEXTS)?;
            inputs.iter().try_for_each(|input| check_text("input", input))?;
            let vectors = state.engines.texts(&engine, inputs.clone()).await?;
            inputs.iter().map(|input| vectors[input].clone()).collect()
        }
        Modality::Image => {
            check_inputs(&inputs, MAX_PHOTOS)?;
            compute(&state, move |_| {
                let photos = inputs.iter().map(|uri| photo_of_data_uri(uri));
                Ok(engine.photos(photos)?.iter().map(<[f32]>::to_vec).collect())
            })
            .await?
        }
    };
    let data = vectors.into_iter().enumerate().map(|(index, vector)| {
        let embedding = match request.encoding_format.unwrap_or_default() {
            Encoding::Float => Values::Float(vector),
            Encoding::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                Values::Base64(BASE64_STANDARD.encode(bytes))
            }
        };
        EmbeddingBody { object: "embedding", index, embedding }
    });
    let (data, model) = (data.collect(), state.model_name.clone());
    Ok(axum::Json(EmbeddingsBody { object: "list", data, model, usage: Usage::default() }))
}

fn check_inputs(inputs: &[String], most: usize) -> Result<(), ApiError> {
    if (1..=most).contains(&inputs.len()) {
        return Ok(());
    }
    let message = format!("expected 1 to {most} inputs, found {}", inputs.len());
    Err(ApiError::invalid("input", message))
}

/// The models of this server: one.
#[derive(Serialize, ToSchema)]
pub struct ModelsBody {
    object: &'static str,
    data: Vec<ModelBody>,
}

#[derive(Serialize, ToSchema)]
struct ModelBody {
    id: String,
    object: &'static str,
    /// Seconds since 1970: when its map was trained
    created: u64,
    owned_by: &'static str,
}

/// The model of this server
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI", responses(
    (status = 200, body = ModelsBody),
    (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn models(Extract(state): Extract<Shared>) -> Result<axum::Json<ModelsBody>, ApiError> {
    compute(&state, |state| {
        let created = state.engines.get()?.created();
        let model = ModelBody {
            id: state.model_name.clone(),
            object: "model",
            created,
            owned_by: "tombolo",
        };
        Ok(axum::Json(ModelsBody { object: "list", data: vec![model] }))
    })
    .await
}
