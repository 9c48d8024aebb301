//! The API's description, made from its handlers.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{embeddings, items, search, status};

/// The API's description.
#[derive(OpenApi)]
#[openapi(
    info(title = "Tombolo", description = "Photos by words and words by photos."),
    paths(
        search::search,
        items::filters,
        items::record,
        items::image,
        items::thumbnail,
        items::why,
        embeddings::embeddings,
        embeddings::models,
        status::health,
        status::metrics,
        status::openapi,
    ),
    modifiers(&Token),
    security(("token" = []), ())
)]
pub struct Api;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", scheme);
    }
}
