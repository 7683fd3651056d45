//! What a server says when it does not let somebody in (`WWW-Authenticate`, RFC 6750 section 3, RFC 9728 section 5.1).

use crate::{http::HttpResponse, limits::MAX_SCOPE_BYTES};
use std::fmt;
use url::Url;

/// Longest header that is read.
const MAX_HEADER_BYTES: usize = 8 << 10;

/// A refusal for want of a token, or of a better one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// 401 or 403.
    pub status: u16,
    /// Where the server says who gives out tokens for it. Not yet checked against anything.
    pub resource_metadata: Option<Url>,
    /// The scopes that this request needs.
    pub scope: Option<String>,
    /// `invalid_token`, `insufficient_scope`.
    pub error: Option<String>,
}

impl Challenge {
    pub(crate) fn bare(status: u16) -> Self {
        Self { status, resource_metadata: None, scope: None, error: None }
    }

    /// The `Bearer` challenge of a response.
    pub(crate) fn of(response: &HttpResponse) -> Option<Self> {
        response.all("www-authenticate").find_map(|header| Self::read(response.status, header))
    }

    fn read(status: u16, header: &str) -> Option<Self> {
        if header.len() > MAX_HEADER_BYTES {
            return None;
        }
        let mut challenge = Self::bare(status);
        let (mut in_bearer, mut found) = (false, false);
        for element in elements(header) {
            let mut parameter = element.as_str();
            let before_value = element.split('=').next().unwrap_or_default();
            if let Some((scheme, rest)) = element.split_once(' ').filter(|(scheme, _)| !scheme.contains('=')) {
                in_bearer = scheme.eq_ignore_ascii_case("bearer");
                parameter = rest.trim_start();
            } else if before_value == element {
                in_bearer = element.eq_ignore_ascii_case("bearer");
            }
            found |= in_bearer;
            let Some((name, value)) = parameter.split_once('=').filter(|_| in_bearer) else { continue };
            let value = unquoted(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "resource_metadata" => challenge.resource_metadata = Url::parse(&value).ok(),
                "scope" if is_scope(&value) => challenge.scope = Some(value),
                "error" if is_scope(&value) => challenge.error = Some(value),
                _ => {}
            }
        }
        found.then_some(challenge)
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, self.scope.as_deref()) {
            (403, Some(scope)) => write!(f, "the server asks for more rights than this account gave: `{scope}`"),
            (403, None) => f.write_str("the server does not let this account in"),
            _ => f.write_str("the server asks for a sign-in: connect an account, or renew the one that is connected"),
        }
    }
}

/// Scopes are words of visible characters (RFC 6749, section 3.3).
pub(super) fn is_scope(text: &str) -> bool {
    let visible = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    !text.is_empty() && text.len() <= MAX_SCOPE_BYTES && text.bytes().all(visible)
}

/// What stands between commas, where those are not within quotes.
fn elements(header: &str) -> Vec<String> {
    let (mut elements, mut element, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for char in header.chars() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                elements.push(std::mem::take(&mut element).trim().to_owned());
                continue;
            }
            _ => {}
        }
        element.push(char);
    }
    elements.push(element.trim().to_owned());
    elements.retain(|element| !element.is_empty());
    elements
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut escaped = false;
    inner
        .chars()
        .filter(|char| {
            escaped = *char == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        let header = r#"Basic realm="a, Bearer scope=no", Bearer realm="x", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource",
            scope="files:read files:write", error="insufficient_scope", DPoP algs="ES256", scope="other""#;
        let challenge = Challenge::read(403, header).unwrap();
        assert_eq!(
            challenge.resource_metadata.unwrap().as_str(),
            "https://mcp.example.com/.well-known/oauth-protected-resource"
        );
        assert_eq!(challenge.scope.as_deref(), Some("files:read files:write"));
        assert_eq!(challenge.error.as_deref(), Some("insufficient_scope"));
    }

    #[test]
    fn odd_headers_are_read_without_a_panic() {
        assert_eq!(Challenge::read(401, "Bearer"), Some(Challenge::bare(401)));
        assert_eq!(Challenge::read(401, "bearer , ,"), Some(Challenge::bare(401)));
        assert_eq!(Challenge::read(401, "Basic realm=\"x\""), None);
        assert_eq!(Challenge::read(401, "Bearer resource_metadata=\"not a url\""), Some(Challenge::bare(401)));
        assert_eq!(Challenge::read(401, "Bearer scope=\"a\u{7}\""), Some(Challenge::bare(401)));
        for header in ["", ",", "=", "\"", "Bearer \"", "Bearer =", "Bearer x=\"\\", "Bearer a=b=c"] {
            let _ = Challenge::read(401, header);
        }
        let escaped = Challenge::read(401, r#"Bearer scope="a \x b""#).unwrap();
        assert_eq!(escaped.scope.as_deref(), Some("a x b"));
    }
}
