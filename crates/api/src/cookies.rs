//! The cookies of a browser that is signed in (RFC 6265bis). They are for this server alone, unreadable to scripts, and
//! go over TLS only, except on the machine itself.

use axum::http::{HeaderMap, HeaderValue, header};

/// How long a browser may be on its way to the identity provider and back.
const DEPARTURE_SECONDS: u64 = 600;

/// The cookies of one way to reach this server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cookies {
    secure: bool,
}

impl Cookies {
    pub fn of(base_url: &str) -> Self {
        Self { secure: !is_plain_loopback(base_url) }
    }

    /// A name that begins so is taken by browsers from this host over TLS only.
    fn sign_in_name(self) -> &'static str {
        if self.secure { "__Host-bailiwick" } else { "bailiwick" }
    }

    fn departure_name(self) -> &'static str {
        if self.secure { "__Host-bailiwick-departure" } else { "bailiwick-departure" }
    }

    pub fn sign_in(self, token: &str, seconds: u64) -> HeaderValue {
        self.cookie(self.sign_in_name(), token, seconds)
    }

    pub fn nothing(self) -> HeaderValue {
        self.cookie(self.sign_in_name(), "", 0)
    }

    pub fn departure(self, sealed: &str) -> HeaderValue {
        self.cookie(self.departure_name(), sealed, DEPARTURE_SECONDS)
    }

    pub fn no_departure(self) -> HeaderValue {
        self.cookie(self.departure_name(), "", 0)
    }

    fn journey_name(self) -> &'static str {
        if self.secure { "__Host-bailiwick-account" } else { "bailiwick-account" }
    }

    /// Of somebody who is away to connect an account.
    pub fn journey(self, sealed: &str, seconds: u64) -> HeaderValue {
        self.cookie(self.journey_name(), sealed, seconds)
    }

    pub fn no_journey(self) -> HeaderValue {
        self.cookie(self.journey_name(), "", 0)
    }

    pub fn find_journey(self, headers: &HeaderMap) -> Option<&str> {
        find(headers, self.journey_name())
    }

    pub fn find(self, headers: &HeaderMap) -> Option<&str> {
        find(headers, self.sign_in_name())
    }

    pub fn find_departure(self, headers: &HeaderMap) -> Option<&str> {
        find(headers, self.departure_name())
    }

    fn cookie(self, name: &str, value: &str, seconds: u64) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        // INVARIANT: names are ours, and values are letters, digits, `-` and `_`.
        HeaderValue::try_from(text).expect("a cookie is printable ASCII")
    }
}

/// The one cookie of this name; of two, neither: one of them is not ours.
fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    let first = values.next()?;
    values.next().is_none().then_some(first).filter(|value| !value.is_empty())
}

fn is_plain_loopback(base_url: &str) -> bool {
    let Some(rest) = base_url.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_secure_except_on_loopback() {
        for (url, secure) in [
            ("http://127.0.0.1:7700", false),
            ("http://localhost", false),
            ("http://[::1]:80", false),
            ("https://localhost", true),
            ("http://agents.example", true),
            ("http://localhost.evil.example", true),
            ("http://127.0.0.1.evil.example", true),
        ] {
            let cookie = Cookies::of(url).sign_in("bwu_x", 60);
            let text = cookie.to_str().unwrap();
            assert_eq!(text.contains("; Secure"), secure, "{url}");
            assert_eq!(text.starts_with("__Host-"), secure, "{url}");
            assert!(text.contains("; HttpOnly") && text.contains("; SameSite=Lax") && text.contains("; Path=/"));
        }
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_not_believed() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; bailiwick=bwu_x"));
        assert_eq!(Cookies { secure: false }.find(&headers), Some("bwu_x"));
        assert_eq!(Cookies { secure: true }.find(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("bailiwick=bwu_y"));
        assert_eq!(Cookies { secure: false }.find(&headers), None);
    }
}
