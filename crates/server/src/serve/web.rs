//! The way out to an identity provider: HTTP without redirects, bounded in time and size, and only to addresses that
//! belong to everybody, unless the operator has said that the provider is inside.

use async_trait::async_trait;
use bailiwick_identity::{Web, WebAnswer, WebRequest};
use bailiwick_outbound::{is_forbidden, is_public};
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(15);
/// The largest answer that is read.
const MAX_ANSWER: usize = 1024 * 1024;

pub(super) struct Outside {
    client: Client,
    private: bool,
}

impl Outside {
    /// With `private`, addresses of the operator's own network are open too, and plain HTTP.
    #[allow(clippy::disallowed_methods, reason = "the one client that asks identity providers")]
    pub fn new(private: bool) -> Result<Self, String> {
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(!private)
            .dns_resolver(Arc::new(Resolver { private }))
            .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { client: client.map_err(|error| format!("no client could be made: {error}"))?, private })
    }
}

#[async_trait]
impl Web for Outside {
    async fn fetch(&self, request: WebRequest) -> Result<WebAnswer, String> {
        let url = Url::parse(&request.url).map_err(|error| format!("this is no URL: {error}"))?;
        // A name is checked when it is resolved; an address never is, so it is checked here.
        let host = url.host_str().unwrap_or_default();
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        if literal.is_some_and(|address| !is_open(address, self.private)) {
            return Err("this address is not open to everybody".into());
        }
        let mut sent = match request.form {
            Some(form) => self
                .client
                .post(url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.expose().to_owned()),
            None => self.client.get(url),
        };
        sent = sent.header(ACCEPT, "application/json");
        if let Some(authorization) = request.authorization {
            let value = HeaderValue::try_from(authorization.expose());
            let mut value = value.map_err(|_| "the credential is no header".to_owned())?;
            value.set_sensitive(true);
            sent = sent.header(AUTHORIZATION, value);
        }
        if let Some(proof) = request.proof {
            sent = sent.header("dpop", proof);
        }
        // The URL may hold what is nobody's business.
        let said = |error: reqwest::Error| reason(&error.without_url());
        let mut response = sent.send().await.map_err(said)?;
        let status = response.status().as_u16();
        let nonce = response.headers().get("dpop-nonce").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(said)? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(WebAnswer { status, nonce, body })
    }
}

fn reason(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// Resolves names and leaves out addresses that are not open, at the moment of connecting: another answer a moment
/// later changes nothing.
struct Resolver {
    private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            #[allow(clippy::disallowed_methods, reason = "the one place that resolves identity providers")]
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let open: Vec<SocketAddr> = found.filter(|address| is_open(address.ip(), private)).collect();
            if open.is_empty() {
                return Err("this name leads to no address that is open to everybody".into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// Whether a server may be made to connect to an address. What leads to clouds' own services is never open.
fn is_open(address: IpAddr, private: bool) -> bool {
    is_public(address) || (private && !is_forbidden(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_everybody_is_open() {
        for open in ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9"] {
            assert!(is_open(open.parse().unwrap(), false), "{open}");
        }
        for closed in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd12::1", "::ffff:127.0.0.1"] {
            assert!(!is_open(closed.parse().unwrap(), false), "{closed}");
        }
    }

    #[test]
    fn an_operator_may_open_the_inside_and_never_the_services_of_a_cloud() {
        for inside in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fd12::1", "::ffff:10.0.0.1"] {
            assert!(is_open(inside.parse().unwrap(), true), "{inside}");
        }
        for closed in
            ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "0.0.0.0", "100.100.100.200"]
        {
            assert!(!is_open(closed.parse().unwrap(), true), "{closed}");
        }
    }
}
