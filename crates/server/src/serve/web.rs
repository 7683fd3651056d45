//! The way out to an identity provider: HTTP without redirects, bounded in time and size, and only to addresses that
//! belong to everybody, unless the operator has said that the provider is inside.

use async_trait::async_trait;
use bailiwick_identity::{Web, WebAnswer, WebRequest};
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
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
        // The URL may hold what is nobody's business.
        let said = |error: reqwest::Error| reason(&error.without_url());
        let mut response = sent.send().await.map_err(said)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(said)? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(WebAnswer { status, body })
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
    let address = match address {
        IpAddr::V6(v6) => embedded(v6).map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    };
    match address {
        IpAddr::V4(v4) => is_global_v4(v4) || (private && is_inside_v4(v4)),
        IpAddr::V6(v6) => is_global_v6(v6) || (private && is_inside_v6(v6)),
    }
}

/// An IPv4 address inside an IPv6 one: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = v6.to_bits();
    let low = Ipv4Addr::from_bits((bits & 0xffff_ffff) as u32);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(low),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Some(low),
        [0x2002, _, _, _, _, _, _, _] => Some(Ipv4Addr::from_bits(((bits >> 80) & 0xffff_ffff) as u32)),
        _ => None,
    }
}

/// Neither of a special-purpose block (IANA registry, RFC 6890) nor multicast.
fn is_global_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    !(a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113))
}

/// Loopback and the blocks of RFC 1918.
fn is_inside_v4(v4: Ipv4Addr) -> bool {
    v4.is_loopback() || v4.is_private()
}

/// Loopback and unique local addresses (RFC 4193), without the one at which a cloud answers.
fn is_inside_v6(v6: Ipv6Addr) -> bool {
    const CLOUD: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    v6.is_loopback() || ((v6.segments()[0] & 0xfe00) == 0xfc00 && v6 != CLOUD)
}

/// Global unicast without documentation, ORCHID and Teredo.
fn is_global_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    (a & 0xe000) == 0x2000 && !(a == 0x2001 && (b < 0x200 || b == 0xdb8)) && (a & 0xfff0) != 0x3ff0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_everybody_is_open() {
        for open in ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909"] {
            assert!(is_open(open.parse().unwrap(), false), "{open}");
        }
        for closed in [
            "0.0.0.0",
            "127.0.0.1",
            "10.1.2.3",
            "172.20.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::7f00:1",
        ] {
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
