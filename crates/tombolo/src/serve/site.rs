//! The page, its parts, and the documentation of the API: all of it from the program.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// A file of the page, as the browser gets it.
macro_rules! file {
    ($name:ident, $file:literal, $media_type:literal) => {
        #[doc = concat!("`", $file, "`.")]
        pub async fn $name() -> Response {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static($media_type)),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            ];
            (headers, include_str!(concat!("page/", $file))).into_response()
        }
    };
}

file!(index, "index.html", "text/html; charset=utf-8");
file!(style, "page.css", "text/css; charset=utf-8");
file!(script, "page.js", "text/javascript; charset=utf-8");
file!(icon, "icon.svg", "image/svg+xml");
file!(docs, "docs.html", "text/html; charset=utf-8");
file!(docs_script, "docs.js", "text/javascript; charset=utf-8");
