//! One file of the pages, in the encoding that whoever asks can take.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// Assets with a digest in their name never change.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// Others are asked for again, and answered with 304 while they are the same.
const ASK_AGAIN: &str = "no-cache";

/// A file as it was built. `build.rs` writes the list of them.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Begins with `/`.
    pub path: &'static str,
    /// Quoted, as `ETag` wants it.
    pub tag: &'static str,
    pub plain: &'static [u8],
    pub brotli: Option<&'static [u8]>,
    pub gzip: Option<&'static [u8]>,
}

impl Asset {
    pub fn answer(&self, asked: &HeaderMap) -> Response<Bytes> {
        let (body, encoding) = self.encoded(asked);
        let mut response = Response::new(Bytes::from_static(body));
        let headers = response.headers_mut();
        let hashed = self.path.starts_with("/assets/");
        set(headers, header::CACHE_CONTROL, if hashed { FOREVER } else { ASK_AGAIN });
        set(headers, header::ETAG, self.tag);
        set(headers, header::VARY, "accept-encoding");
        let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        if known.flat_map(|value| value.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == self.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Bytes::new();
            return response;
        }
        set(headers, header::CONTENT_TYPE, self.media_type());
        if let Some(encoding) = encoding {
            set(headers, header::CONTENT_ENCODING, encoding);
        }
        response
    }

    fn encoded(&self, asked: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
        let copies = [("br", self.brotli), ("gzip", self.gzip)];
        let fitting =
            copies.into_iter().find_map(|(name, bytes)| Some((bytes.filter(|_| takes(asked, name))?, Some(name))));
        fitting.unwrap_or((self.plain, None))
    }

    fn media_type(&self) -> &'static str {
        match self.path.rsplit('.').next().unwrap_or_default() {
            "html" => "text/html; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "json" | "webmanifest" => "application/json",
            "txt" => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        }
    }
}

/// Whether `Accept-Encoding` names this encoding, and not with a weight of zero.
fn takes(asked: &HeaderMap, encoding: &str) -> bool {
    let lines = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map(|text| text.parse::<f32>());
        named && weight.is_none_or(|weight| weight.is_ok_and(|weight| weight > 0.0))
    })
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
