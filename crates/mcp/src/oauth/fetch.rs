//! The requests of the authorization: small documents and forms, within limits, without redirects.

use super::{Authorizer, OauthError};
use crate::{
    http::{HttpError, HttpRequest, HttpResponse, Method},
    limits::{MAX_METADATA_BYTES, METADATA_TIME},
    message,
};
use serde_json::{Map, Value};
use url::{Host, Url};

/// What came back: the status, and the object where the body is one.
pub(super) struct Fetched {
    pub status: u16,
    pub object: Option<Map<String, Value>>,
}

impl Authorizer {
    /// A document, or nothing where the server says that there is none.
    pub(super) async fn document(&self, url: &Url) -> Result<Option<Map<String, Value>>, OauthError> {
        let request = HttpRequest::new(Method::Get, url.clone()).header("accept", "application/json");
        let fetched = self.fetch(request).await?;
        let host = host(url);
        match (fetched.status, fetched.object) {
            (200, Some(object)) => Ok(Some(object)),
            (200, None) => Err(OauthError::Refused(format!("`{host}` answers with something that is no JSON object"))),
            (300..=399, _) => Err(OauthError::Refused(format!("`{host}` redirects, and redirects are not followed"))),
            (400..=499, _) => Ok(None),
            (status, _) => Err(OauthError::Unavailable(format!("`{host}` answers with the status {status}"))),
        }
    }

    pub(super) async fn post(&self, request: HttpRequest) -> Result<Fetched, OauthError> {
        self.fetch(request.header("accept", "application/json")).await
    }

    async fn fetch(&self, mut request: HttpRequest) -> Result<Fetched, OauthError> {
        let host = host(&request.url);
        request.headers.push(("user-agent".into(), self.ours.name.clone()));
        let work = async {
            let response = self.http.send(request).await?;
            let status = response.status;
            read(response).await.map(|object| Fetched { status, object })
        };
        tokio::select! {
            fetched = work => fetched.map_err(|error| match error {
                HttpError::Refused(why) => OauthError::Misconfigured(why),
                HttpError::TooLarge(_) => OauthError::Refused(format!("`{host}`: {error}")),
                HttpError::Unreachable(why) | HttpError::Lost(why) => OauthError::Unavailable(why),
            }),
            () = self.clock.sleep_until(self.clock.now() + METADATA_TIME) => {
                Err(OauthError::Unavailable(format!("`{host}` did not answer within {} ms", METADATA_TIME.0)))
            }
        }
    }
}

async fn read(response: HttpResponse) -> Result<Option<Map<String, Value>>, HttpError> {
    let bytes = response.whole(MAX_METADATA_BYTES).await?;
    Ok(match message::parse(&bytes) {
        Ok(Some(Value::Object(object))) => Some(object),
        _ => None,
    })
}

/// The host of a URL, for a sentence.
pub(super) fn host(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "?".into(),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
