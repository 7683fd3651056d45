//! Requests through the one way out. What the configuration names is reached wherever it is; whatever a server names is
//! reached only where everybody is.

use crate::{
    http::{Http, HttpError, HttpRequest, HttpResponse, Method},
    limits::MAX_BYTES_BEFORE_ANSWER,
};
use async_trait::async_trait;
use bailiwick_outbound::{
    Arrival, Authority, Credential, Method as OutMethod, Outbound, OutboundError, Reach, Request, Response, Timeouts,
};
use bailiwick_types::Millis;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use url::Url;

/// Above every time-out of a call: those end first.
const LONGEST: Millis = Millis::from_secs(3_700);

/// HTTP for one connector.
pub struct WayOut {
    outbound: Outbound,
    named: Vec<(Authority, bool)>,
}

impl WayOut {
    /// `named` are the URLs of the configuration: the server's, and its issuer's where there is one. Plain HTTP is spoken
    /// to those that are written with it.
    pub fn new<'a>(outbound: Outbound, named: impl IntoIterator<Item = &'a Url>) -> Result<Self, OutboundError> {
        let of = |url: &Url| Authority::of(url.as_str()).map(|authority| (authority, url.scheme() == "http"));
        Ok(Self { outbound, named: named.into_iter().map(of).collect::<Result<_, _>>()? })
    }

    fn reach(&self, url: &Url) -> Reach {
        let named = Authority::of(url.as_str()).ok().and_then(|at| self.named.iter().find(|(named, _)| *named == at));
        match named {
            Some((authority, plain_http)) => Reach::Exact { authority: authority.clone(), plain_http: *plain_http },
            None => Reach::Public,
        }
    }
}

#[async_trait]
impl Http for WayOut {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = match request.method {
            Method::Get => OutMethod::GET,
            Method::Post => OutMethod::POST,
            Method::Delete => OutMethod::DELETE,
        };
        let reach = self.reach(&request.url);
        let mut out = Request::new(method, request.url.as_str(), reach);
        out.timeouts = Timeouts { first_byte_ms: LONGEST, idle_ms: LONGEST, total_ms: LONGEST, ..Timeouts::default() };
        out.max_body_bytes = (MAX_BYTES_BEFORE_ANSWER as u64).saturating_mul(2);
        for (name, value) in request.headers {
            match name.as_str() {
                "user-agent" => out.who = value,
                _ => out.headers.push((name, value)),
            }
        }
        if let Some(value) = request.authorization {
            out.credentials.push(Credential::Header { name: "authorization".into(), value });
        }
        out.body = Some(Bytes::from(request.body)).filter(|body| !body.is_empty());
        let response = self.outbound.send(out).await.map_err(explained)?;
        let text = |(name, value): (&bailiwick_outbound::HeaderName, &bailiwick_outbound::HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers: response.headers().iter().filter_map(text).collect(),
            body: stream::unfold(Some(response), chunk).boxed(),
        })
    }
}

/// The next piece of a body; after an error there is none.
async fn chunk(response: Option<Response>) -> Option<(Result<Bytes, HttpError>, Option<Response>)> {
    let mut response = response?;
    match response.next_chunk().await {
        Ok(Some(bytes)) => Some((Ok(bytes), Some(response))),
        Ok(None) => None,
        Err(error) => Some((Err(explained(error)), None)),
    }
}

fn explained(error: OutboundError) -> HttpError {
    match (&error, error.arrival()) {
        (OutboundError::TooLong { .. }, _) => HttpError::TooLarge(MAX_BYTES_BEFORE_ANSWER),
        (OutboundError::Refused(_) | OutboundError::Invalid(_), _) => HttpError::Refused(error.to_string()),
        (_, Arrival::Never) => HttpError::Unreachable(error.to_string()),
        _ => HttpError::Lost(error.to_string()),
    }
}
