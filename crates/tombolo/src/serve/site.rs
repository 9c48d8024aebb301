//! The page, its parts, and the documentation of the API: all of it from the program.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Files of `page/`: where each is, what it is, and what it holds.
macro_rules! files {
    ($($address:literal => $file:literal),* $(,)?) => {
        [$(($address, media_type($file), include_str!(concat!("page/", $file)))),*]
    };
}

const FILES: [(&str, &str, &str); 25] = files! {
    "/" => "index.html",
    "/docs" => "docs.html",
    "/page.css" => "page.css",
    "/docs.css" => "docs.css",
    "/icon.svg" => "icon.svg",
    "/address.js" => "address.js",
    "/controls.js" => "controls.js",
    "/docs.js" => "docs.js",
    "/elements.js" => "elements.js",
    "/filters.js" => "filters.js",
    "/found.js" => "found.js",
    "/grid.js" => "grid.js",
    "/heat.js" => "heat.js",
    "/images.js" => "images.js",
    "/page.js" => "page.js",
    "/photo.js" => "photo.js",
    "/picture.js" => "picture.js",
    "/request.js" => "request.js",
    "/rows.js" => "rows.js",
    "/searching.js" => "searching.js",
    "/server.js" => "server.js",
    "/status.js" => "status.js",
    "/tile.js" => "tile.js",
    "/why.js" => "why.js",
    "/wording.js" => "wording.js",
};

/// Routes of the page.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |router, (address, media_type, text)| {
        router.route(address, get(move || async move { file(media_type, text) }))
    })
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        // Asked for again each time: after an update of the program the parts must fit together.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

const fn media_type(file: &str) -> &'static str {
    match file.as_bytes() {
        [.., b'h', b't', b'm', b'l'] => "text/html; charset=utf-8",
        [.., b'c', b's', b's'] => "text/css; charset=utf-8",
        [.., b'.', b'j', b's'] => "text/javascript; charset=utf-8",
        [.., b's', b'v', b'g'] => "image/svg+xml",
        _ => panic!("a file of the page of an unknown kind"),
    }
}
