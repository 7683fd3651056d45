//! Who gives out tokens for a server (RFC 9728), and how (RFC 8414, OpenID Connect Discovery 1.0). Whatever a document
//! says about somebody else than the one it was asked of is refused.

use super::{Authorizer, Challenge, OauthError, challenge::is_scope, fetch::host};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

/// Authorization servers of one resource that are looked at.
const MAX_SERVERS: usize = 16;
const MAX_WORDS: usize = 256;

/// What is known of the way to a token for one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Discovery {
    /// What the token will be good for (RFC 8707).
    pub resource: String,
    /// Who gives it out, exactly as they write themselves.
    pub issuer: String,
    #[serde(with = "crate::link")]
    pub authorization_endpoint: Url,
    #[serde(with = "crate::link")]
    pub token_endpoint: Url,
    /// Where clients may be registered, or nothing.
    pub registration_endpoint: Option<String>,
    /// Where a token can be given back (RFC 7009), or nothing.
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// Whether a client may be named by the address of its metadata document.
    pub takes_metadata_documents: bool,
    /// Whether it says who it is when the person comes back (RFC 9207).
    pub names_itself: bool,
    /// How clients may say who they are; empty where it does not say.
    pub client_auth_methods: Vec<String>,
    /// The scopes to ask for: those of the challenge, else those of the server.
    pub scope: Option<String>,
    /// Whether a refresh token has to be asked for by a scope.
    pub has_offline_access: bool,
}

impl Authorizer {
    /// Finds the way to a token for `server`. `issuer` is the one that the configuration names, if it does.
    pub async fn discover(
        &self,
        server: &Url,
        challenge: &Challenge,
        issuer: Option<&str>,
    ) -> Result<Discovery, OauthError> {
        let resource = self.resource(server, challenge).await?;
        let issuer = match (issuer, resource.issuers.as_slice()) {
            (Some(wanted), offered) if offered.iter().any(|each| each == wanted) => wanted.to_owned(),
            (Some(wanted), _) => {
                let text = format!("`{}` takes no tokens of `{wanted}`: change the issuer", host(server));
                return Err(OauthError::Misconfigured(text));
            }
            (None, [first, ..]) => first.clone(),
            (None, []) => {
                let text = format!("`{}` does not say who gives out tokens for it", host(server));
                return Err(OauthError::Refused(text));
            }
        };
        let mut found = None;
        for place in authorization_places(&endpoint(&issuer, server, "the issuer")?) {
            found = self.document(&place).await?;
            if found.is_some() {
                break;
            }
        }
        let Some(metadata) = found else {
            return Err(OauthError::Refused(format!("`{issuer}` has no metadata of an authorization server")));
        };
        read(&metadata, &issuer, server, resource.name, challenge.scope.clone().or(resource.scope))
    }

    /// What the server says of itself. One without such a document is its own authorization server, as it was before
    /// revision 2025-06-18.
    async fn resource(&self, server: &Url, challenge: &Challenge) -> Result<Resource, OauthError> {
        let places = match &challenge.resource_metadata {
            Some(place) => vec![endpoint(place.as_str(), server, "`resource_metadata`")?],
            None => resource_places(server),
        };
        for place in &places {
            let Some(metadata) = self.document(place).await? else { continue };
            let name = text(&metadata, "resource").unwrap_or_default();
            if !is_resource_of(&name, server) {
                let text = format!("`{}` says that it is another resource than `{}`", host(place), host(server));
                return Err(OauthError::Refused(text));
            }
            let issuers = words(&metadata, "authorization_servers");
            if issuers.len() > MAX_SERVERS {
                return Err(OauthError::Refused(format!("`{}` names more than {MAX_SERVERS} issuers", host(server))));
            }
            let scope = Some(words(&metadata, "scopes_supported").join(" ")).filter(|scope| is_scope(scope));
            return Ok(Resource { name, issuers, scope });
        }
        if challenge.resource_metadata.is_some() {
            let text = format!("`{}` names a document about itself that is not there", host(server));
            return Err(OauthError::Refused(text));
        }
        let origin = server.origin().ascii_serialization();
        Ok(Resource { name: canonical(server), issuers: vec![origin], scope: None })
    }
}

struct Resource {
    name: String,
    issuers: Vec<String>,
    scope: Option<String>,
}

fn read(
    metadata: &Map<String, Value>,
    issuer: &str,
    server: &Url,
    resource: String,
    scope: Option<String>,
) -> Result<Discovery, OauthError> {
    if text(metadata, "issuer").as_deref() != Some(issuer) {
        return Err(OauthError::Refused(format!("the metadata of `{issuer}` is somebody else's")));
    }
    if !words(metadata, "code_challenge_methods_supported").iter().any(|method| method == "S256") {
        let text = format!("`{issuer}` does not say that it supports PKCE with `S256`, and nothing goes without it");
        return Err(OauthError::Refused(text));
    }
    let place = |field: &str| {
        let text = text(metadata, field);
        let text = text.ok_or_else(|| OauthError::Refused(format!("the metadata of `{issuer}` has no `{field}`")))?;
        endpoint(&text, server, field)
    };
    let flag = |field: &str| metadata.get(field).and_then(Value::as_bool) == Some(true);
    let optional = |field: &str| text(metadata, field).filter(|place| endpoint(place, server, "").is_ok());
    Ok(Discovery {
        resource,
        issuer: issuer.to_owned(),
        authorization_endpoint: place("authorization_endpoint")?,
        token_endpoint: place("token_endpoint")?,
        registration_endpoint: optional("registration_endpoint"),
        revocation_endpoint: optional("revocation_endpoint"),
        takes_metadata_documents: flag("client_id_metadata_document_supported"),
        names_itself: flag("authorization_response_iss_parameter_supported"),
        client_auth_methods: words(metadata, "token_endpoint_auth_methods_supported"),
        scope,
        has_offline_access: words(metadata, "scopes_supported").iter().any(|scope| scope == "offline_access"),
    })
}

/// A place that may be asked: through TLS, unless the server itself was configured without.
pub(super) fn endpoint(text: &str, server: &Url, what: &str) -> Result<Url, OauthError> {
    let wrong = || OauthError::Refused(format!("{what} of `{}` is not an `https://` address", host(server)));
    let url = Url::parse(text).map_err(|_| wrong())?;
    let safe = url.scheme() == "https" || (url.scheme() == "http" && server.scheme() == "http");
    let plain = url.host_str().is_some() && url.username().is_empty() && url.password().is_none();
    if safe && plain && url.fragment().is_none() && text.len() <= 2048 { Ok(url) } else { Err(wrong()) }
}

/// The canonical URI of a server: without a slash at its end where that is all its path.
pub(super) fn canonical(server: &Url) -> String {
    let text = server.as_str();
    if server.path() == "/" && server.query().is_none() {
        text.trim_end_matches('/').to_owned()
    } else {
        text.to_owned()
    }
}

/// Whether a resource is this server, or the part of its host in which it lies.
fn is_resource_of(name: &str, server: &Url) -> bool {
    let Ok(resource) = Url::parse(name) else { return false };
    if resource.origin() != server.origin() || resource.fragment().is_some() {
        return false;
    }
    let (inner, outer) = (server.path(), resource.path().trim_end_matches('/'));
    match resource.query() {
        Some(_) => resource.path() == inner && resource.query() == server.query(),
        None => inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

/// RFC 9728, section 3.1, and the place at the root that MCP adds.
fn resource_places(server: &Url) -> Vec<Url> {
    const NAME: &str = "/.well-known/oauth-protected-resource";
    let path = server.path().trim_end_matches('/');
    let mut places = vec![at(server, &format!("{NAME}{path}"))];
    if !path.is_empty() {
        places.push(at(server, NAME));
    }
    places
}

/// RFC 8414, section 3.1 and 5; OpenID Connect Discovery 1.0, section 4.
fn authorization_places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let oauth = at(issuer, &format!("/.well-known/oauth-authorization-server{path}"));
    let openid = at(issuer, &format!("/.well-known/openid-configuration{path}"));
    match path {
        "" => vec![oauth, openid],
        path => vec![oauth, openid, at(issuer, &format!("{path}/.well-known/openid-configuration"))],
    }
}

fn at(url: &Url, path: &str) -> Url {
    let mut place = url.clone();
    place.set_path(path);
    place.set_query(None);
    place
}

pub(super) fn text(object: &Map<String, Value>, field: &str) -> Option<String> {
    object.get(field).and_then(Value::as_str).map(str::to_owned)
}

fn words(object: &Map<String, Value>, field: &str) -> Vec<String> {
    let list = object.get(field).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).take(MAX_WORDS).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn documents_are_where_the_specification_says() {
        let all = |places: Vec<Url>| places.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            all(resource_places(&url("https://example.com/public/mcp?x=1"))),
            [
                "https://example.com/.well-known/oauth-protected-resource/public/mcp",
                "https://example.com/.well-known/oauth-protected-resource",
            ]
        );
        assert_eq!(all(resource_places(&url("https://example.com/"))).len(), 1);
        assert_eq!(
            all(authorization_places(&url("https://auth.example.com/tenant1"))),
            [
                "https://auth.example.com/.well-known/oauth-authorization-server/tenant1",
                "https://auth.example.com/.well-known/openid-configuration/tenant1",
                "https://auth.example.com/tenant1/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn a_resource_is_the_server_or_what_it_lies_in() {
        let server = url("https://mcp.example.com/a/mcp");
        for name in ["https://mcp.example.com", "https://mcp.example.com/a", "https://MCP.example.com/a/mcp"] {
            assert!(is_resource_of(name, &server), "{name}");
        }
        for name in [
            "https://mcp.example.com/b",
            "https://mcp.example.com/a/m",
            "https://example.com",
            "http://mcp.example.com",
            "x",
        ] {
            assert!(!is_resource_of(name, &server), "{name}");
        }
        assert_eq!(canonical(&url("https://mcp.example.com/")), "https://mcp.example.com");
        assert_eq!(canonical(&server), "https://mcp.example.com/a/mcp");
    }

    #[test]
    fn places_without_tls_are_refused_where_the_server_has_it() {
        let server = url("https://mcp.example.com/mcp");
        for text in ["http://a.example.com/", "javascript:alert(1)", "https://u:p@a.example.com/", "https://a/#x", "x"]
        {
            assert!(endpoint(text, &server, "it").is_err(), "{text}");
        }
        assert!(endpoint("http://127.0.0.1:1/", &url("http://127.0.0.1:2/"), "it").is_ok());
    }
}
