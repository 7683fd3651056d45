//! Sends a request: checks where it goes, gives it its headers and credentials, and walks redirects under the same rules.

use crate::{
    address::Network,
    clients::{Clients, Way, innermost},
    error::{OutboundError, Phase},
    limits::{Deadline, MAX_HEADER_BYTES, MAX_REDIRECTS, MAX_SENT_HEADER_BYTES, MAX_SENT_HEADERS, MAX_WHO_BYTES},
    proof,
    request::{Credential, Reach, Redirects, Request, is_secret_header},
    resolver::{Resolver, SystemResolver},
    response::Response,
    target::{Walls, check, parse},
    trust::Trust,
};
use bailiwick_ports::proof::Proofs;
use bailiwick_types::{Millis, Secret};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::{error::Error, fmt, sync::Arc};
use tokio::sync::Semaphore;
use url::Url;

const PRODUCT: &str = concat!("bailiwick/", env!("CARGO_PKG_VERSION"));

/// What the operator says about the way out.
#[derive(Clone)]
pub struct Options {
    /// Blocks of the inside network that the public reach goes to as well.
    pub open: Vec<Network>,
    /// Certificates in PEM that are trusted beside the machine's.
    pub extra_roots_pem: Option<Vec<u8>>,
    pub resolver: Arc<dyn Resolver>,
    /// Requests that may be under way at once, until their bodies are read.
    pub max_requests: usize,
    /// Who knows which bearer tokens go out with a proof only (RFC 9449).
    pub proofs: Option<Arc<dyn Proofs>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            extra_roots_pem: None,
            resolver: Arc::new(SystemResolver),
            max_requests: 4096,
            proofs: None,
        }
    }
}

/// The way out. Cheap to clone; all clones share connections and limits.
#[derive(Clone)]
pub struct Outbound {
    inner: Arc<Inner>,
}

struct Inner {
    open: Arc<[Network]>,
    clients: Clients,
    slots: Arc<Semaphore>,
    max_requests: usize,
    proofs: Option<Arc<dyn Proofs>>,
}

impl Outbound {
    pub fn new(options: Options) -> Self {
        let inner = Inner {
            open: options.open.into(),
            clients: Clients::new(options.resolver, Trust::new(options.extra_roots_pem)),
            slots: Arc::new(Semaphore::new(options.max_requests)),
            max_requests: options.max_requests,
            proofs: options.proofs,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whose word is taken for who a server is, also by those who speak something else than HTTP.
    pub fn trust(&self) -> &Trust {
        &self.inner.clients.trust
    }

    /// Whether a request to this URL could be let out, as far as that is known before its name is resolved. For whoever
    /// takes a URL into a configuration.
    pub fn check(&self, url: &str, reach: &Reach) -> Result<(), OutboundError> {
        check(&parse(url)?, reach, &Walls::of(reach, &self.inner.open)).map(|_| ())
    }

    /// Sends a request and gives its answer as soon as the headers are there. An answer that says no (4xx, 5xx) is an
    /// answer. Dropping the future or the answer ends the request.
    pub async fn send(&self, request: Request) -> Result<Response, OutboundError> {
        let busy = |_| OutboundError::Busy(self.inner.max_requests);
        let slot = self.inner.slots.clone().try_acquire_owned().map_err(busy)?;
        let walls = Walls::of(&request.reach, &self.inner.open);
        let deadline = Deadline::after(request.timeouts.total_ms);
        let mut hop = Hop::first(&request)?;
        let mut walked = 0;
        loop {
            let authority = check(&hop.url, &request.reach, &walls).map_err(|error| hop.blamed(error))?;
            let host = authority.to_string();
            let answer = self.proven(&request, &hop, &walls, deadline, &host).await.map_err(|e| hop.blamed(e))?;
            let Some(next) = hop.next(&answer, &request, &host)? else {
                return Ok(Response {
                    inner: answer,
                    url: hop.url.into(),
                    host,
                    deadline,
                    idle_ms: request.timeouts.idle_ms,
                    max_body_bytes: request.max_body_bytes,
                    read_bytes: 0,
                    _slot: slot,
                });
            };
            if walked == MAX_REDIRECTS {
                let reason = format!("there were more than {MAX_REDIRECTS} redirects");
                return Err(OutboundError::Redirected { from: host, reason });
            }
            walked += 1;
            hop = next;
        }
    }

    /// One request, with proofs for tokens that need them. A server that wants a word of its own in the proof has refused
    /// to look at the request, so that it is sent once more.
    async fn proven(
        &self,
        request: &Request,
        hop: &Hop,
        walls: &Walls,
        deadline: Deadline,
        host: &str,
    ) -> Result<reqwest::Response, OutboundError> {
        let answer = self.once(request, hop, walls.clone(), deadline, host).await?;
        inspect(&answer, host)?;
        let Some(proofs) = self.inner.proofs.as_ref().filter(|_| hop.is_home) else { return Ok(answer) };
        let Some(nonce) = proof::wanted(&answer) else { return Ok(answer) };
        proofs.learn(hop.url.as_str(), &nonce.word);
        // Whoever sent no proof is told nothing new by that.
        if !nonce.refused || !headers(request, hop, Some(&**proofs))?.contains_key(proof::HEADER) {
            return Ok(answer);
        }
        drop(answer);
        let answer = self.once(request, hop, walls.clone(), deadline, host).await?;
        inspect(&answer, host)?;
        Ok(answer)
    }

    async fn once(
        &self,
        request: &Request,
        hop: &Hop,
        walls: Walls,
        deadline: Deadline,
        host: &str,
    ) -> Result<reqwest::Response, OutboundError> {
        let way = Way {
            named: matches!(walls, Walls::Named),
            https: hop.url.scheme() == "https",
            connect_ms: request.timeouts.connect_ms,
            fingerprint: if hop.is_home { request.fingerprint() } else { [0; 32] },
        };
        let client = self.inner.clients.client(way, walls)?;
        let mut url = hop.url.clone();
        if hop.carries_query {
            add_query(&mut url, &request.credentials);
        }
        let mut sent =
            client.request(hop.method.clone(), url).headers(headers(request, hop, self.inner.proofs.as_deref())?);
        if let (true, Some(body)) = (hop.has_body, &request.body) {
            sent = sent.body(body.clone());
        }
        // Connecting has its own limit, inside the client.
        let limit = Millis(request.timeouts.connect_ms.0.saturating_add(request.timeouts.first_byte_ms.0));
        let answer = deadline.bound(sent.send(), Phase::FirstByte, limit).await?;
        answer.map_err(|error| match explained(error, host) {
            OutboundError::TimedOut { phase, .. } => {
                OutboundError::TimedOut { phase, limit_ms: request.timeouts.connect_ms.0 }
            }
            other => other,
        })
    }
}

/// One request of a chain of redirects.
struct Hop {
    url: Url,
    method: Method,
    has_body: bool,
    /// At the origin of the request's own URL: credentials and the request's headers belong there only.
    is_home: bool,
    /// The URL is the request's own, and not one that a redirect wrote.
    carries_query: bool,
    /// Who sent it here.
    from: Option<String>,
}

impl Hop {
    fn first(request: &Request) -> Result<Self, OutboundError> {
        let mut url = parse(&request.url)?;
        url.set_fragment(None);
        let (method, has_body) = (request.method.clone(), request.body.is_some());
        Ok(Self { url, method, has_body, is_home: true, carries_query: true, from: None })
    }

    /// An error of a place to which a redirect led is the redirect's.
    fn blamed(&self, error: OutboundError) -> OutboundError {
        match (&self.from, error) {
            (Some(from), OutboundError::Refused(reason) | OutboundError::Invalid(reason)) => {
                OutboundError::Redirected { from: from.clone(), reason }
            }
            (_, error) => error,
        }
    }

    /// Where the answer leads, if it leads elsewhere and that is to be walked (RFC 9110, section 15.4).
    fn next(&self, answer: &reqwest::Response, request: &Request, host: &str) -> Result<Option<Self>, OutboundError> {
        let status = answer.status();
        let leads = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = answer.headers().get(header::LOCATION) else { return Ok(None) };
        if !leads || request.redirects == Redirects::None {
            return Ok(None);
        }
        let stuck = |reason: String| Err(OutboundError::Redirected { from: host.to_owned(), reason });
        let Some(Ok(url)) = location.to_str().ok().map(|location| self.url.join(location)) else {
            return stuck("its `Location` is no URL".into());
        };
        let mut url = match parse(url.as_str()) {
            Ok(url) => url,
            Err(error) => return stuck(error.to_string()),
        };
        url.set_fragment(None);
        let same = url.origin() == self.url.origin();
        if request.redirects == Redirects::SameOrigin && !same {
            return Ok(None);
        }
        if self.url.scheme() == "https" && url.scheme() != "https" {
            return stuck("it leads from https to http, where what is sent could be read".into());
        }
        let is_read = matches!(self.method, Method::GET | Method::HEAD);
        let as_get =
            status == StatusCode::SEE_OTHER || matches!(status.as_u16(), 301 | 302) && self.method == Method::POST;
        let method = if as_get && !is_read { Method::GET } else { self.method.clone() };
        let has_body = self.has_body && !as_get;
        if has_body && !same {
            return stuck("it would take the request's body to another server".into());
        }
        let is_home = self.is_home && same;
        Ok(Some(Self { url, method, has_body, is_home, carries_query: false, from: Some(host.to_owned()) }))
    }
}

/// Headers that a request may take to an origin that a redirect named.
const HARMLESS: [&str; 3] = ["accept", "accept-language", "range"];
/// Headers that belong to the connection or that this room writes itself.
const OURS: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "proxy-connection",
    "expect",
    "user-agent",
    "accept-encoding",
];

fn headers(request: &Request, hop: &Hop, proofs: Option<&dyn Proofs>) -> Result<HeaderMap, OutboundError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = header_name(name)?;
        if OURS.contains(&name.as_str()) {
            return Err(OutboundError::Invalid(format!("the header `{name}` cannot be set")));
        }
        if name == header::CONTENT_TYPE && !hop.has_body {
            continue;
        }
        if !hop.is_home && name != header::CONTENT_TYPE && !HARMLESS.contains(&name.as_str()) {
            continue;
        }
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            OutboundError::Invalid(format!("the value of the header `{name}` holds what no header may"))
        })?;
        value.set_sensitive(is_secret_header(name.as_str()));
        headers.append(name, value);
    }
    if hop.is_home {
        add_credentials(&mut headers, &request.credentials)?;
        if let Some(proofs) = proofs {
            proof::add(&mut headers, proofs, &hop.method, &hop.url)?;
        }
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::USER_AGENT, user_agent(&request.who));
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > MAX_SENT_HEADERS || size > MAX_SENT_HEADER_BYTES {
        return Err(OutboundError::Invalid(format!(
            "a request has at most {MAX_SENT_HEADERS} headers of {MAX_SENT_HEADER_BYTES} bytes together"
        )));
    }
    Ok(headers)
}

fn add_credentials(headers: &mut HeaderMap, credentials: &[Credential]) -> Result<(), OutboundError> {
    let mut cookies = Vec::new();
    for credential in credentials {
        match credential {
            Credential::Header { name, value } => {
                let name = header_name(name)?;
                if OURS.contains(&name.as_str()) {
                    return Err(OutboundError::Invalid(format!("the header `{name}` cannot hold a credential")));
                }
                headers.insert(name, secret_value(value.expose())?);
            }
            Credential::Cookie { name, value } => {
                let fine = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"\\".contains(&byte));
                if name.is_empty() || name.contains('=') || !fine(name) || !fine(value.expose()) {
                    return Err(OutboundError::Invalid("the credential holds what no cookie may".into()));
                }
                cookies.push(format!("{name}={}", value.expose()));
            }
            Credential::Query { .. } => {}
        }
    }
    if !cookies.is_empty() {
        // What the request itself has in its cookie comes first.
        let own = headers.get(header::COOKIE).and_then(|own| own.to_str().ok()).map(str::to_owned);
        let whole: Vec<String> = own.into_iter().chain(cookies).collect();
        headers.insert(header::COOKIE, secret_value(&whole.join("; "))?);
    }
    Ok(())
}

fn add_query(url: &mut Url, credentials: &[Credential]) {
    let query = |credential: &Credential| match credential {
        Credential::Query { name, value } => Some((name.clone(), value.clone())),
        _ => None,
    };
    for (name, value) in credentials.iter().filter_map(query) {
        let value: Secret = value;
        url.query_pairs_mut().append_pair(&name, value.expose());
    }
}

fn header_name(name: &str) -> Result<HeaderName, OutboundError> {
    HeaderName::try_from(name).map_err(|_| {
        let shown: String = name.chars().filter(|char| !char.is_control()).take(60).collect();
        OutboundError::Invalid(format!("`{shown}` is no name of a header"))
    })
}

pub(crate) fn secret_value(text: &str) -> Result<HeaderValue, OutboundError> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| OutboundError::Invalid("the credential holds what no header may, such as a line break".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `bailiwick/0.1.0 (user_… through agent_…)`: ids alone, and nothing that a header or a comment must not hold.
fn user_agent(who: &str) -> HeaderValue {
    let fine = |char: &char| char.is_ascii_graphic() && !"()\\\"".contains(*char) || *char == ' ';
    let who: String = who.chars().filter(fine).take(MAX_WHO_BYTES).collect();
    let text = if who.trim().is_empty() { PRODUCT.to_owned() } else { format!("{PRODUCT} ({})", who.trim()) };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(PRODUCT))
}

/// What an answer's head may not be.
fn inspect(answer: &reqwest::Response, host: &str) -> Result<(), OutboundError> {
    let malformed = |reason: String| Err(OutboundError::Malformed { host: host.to_owned(), reason });
    let size: usize = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > MAX_HEADER_BYTES {
        return malformed(format!("its headers are longer than {MAX_HEADER_BYTES} bytes"));
    }
    match answer.headers().get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase()) {
        None => Ok(()),
        Some(plain) if plain.is_empty() || plain == b"identity" => Ok(()),
        Some(_) => malformed("it is compressed, which was not asked for".into()),
    }
}

/// What an error of the client says, without its URL, which may hold what is nobody's business.
pub(crate) fn explained(error: reqwest::Error, host: &str) -> OutboundError {
    let error = error.without_url();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(one) = cause {
        if let Some(own) = one.downcast_ref::<OutboundError>() {
            return own.clone();
        }
        cause = one.source();
    }
    let host = host.to_owned();
    if error.is_connect() {
        return match error.is_timeout() {
            true => OutboundError::TimedOut { phase: Phase::Connect, limit_ms: 0 },
            false => OutboundError::Unreachable { host, reason: innermost(&error) },
        };
    }
    if error.is_builder() {
        return OutboundError::Invalid(innermost(&error));
    }
    OutboundError::Lost { host, reason: innermost(&error) }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("open", &self.inner.open).finish_non_exhaustive()
    }
}
