//! The pages for people: the application of `console/`, as it was built, and the headers that it is served under.
//!
//! It answers from what is compiled in and from nothing else: no file is read, no request is sent, and it knows nobody.
//! Whoever asks gets the same bytes; what a page shows it asks of the API, as whoever signed in.

mod asset;
mod headers;

use asset::Asset;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Where the application's own pages lie; each begins with the same document, and so does whatever lies below.
const PAGES: [&str; 7] = ["/sign-in", "/inbox", "/work", "/colleagues", "/memory", "/receipts", "/console"];
/// What is shown when the pages were not built.
const UNBUILT: &str = include_str!("unbuilt.html");

/// The answer to a request, if its path is one of the pages or of what they need.
///
/// Only `GET` and `HEAD` are answered; other methods are for whoever else has the path.
pub fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
    answer_from(ASSETS, method, path, headers)
}

fn answer_from(assets: &[Asset], method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let wanted = if is_page(path) { "/index.html" } else { path };
    let found = assets.iter().find(|asset| asset.path == wanted);
    let mut response = match found {
        Some(asset) => asset.answer(headers),
        None if wanted == "/index.html" => unbuilt(),
        None => return None,
    };
    headers::harden(response.headers_mut());
    let length = HeaderValue::from(response.body().len());
    if response.status() != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    if *method == Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    Some(response)
}

fn is_page(path: &str) -> bool {
    path == "/"
        || PAGES
            .iter()
            .any(|page| path.strip_prefix(page).is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'/', ..])))
}

fn unbuilt() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(UNBUILT.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
