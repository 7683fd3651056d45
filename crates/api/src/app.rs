//! What every handler has at hand: the parts, and one request with who sent it.

use crate::{
    body::{self, ClaimedDigest},
    bounds::Bounds,
    documents::TenantKeys,
    error::ApiError,
    hex::hex,
    options::Options,
    query::Query,
    routes::Route,
};
use axum::{body::Body, extract::ConnectInfo, http::request::Parts};
use bailiwick_core::session::State;
use bailiwick_gate::{GateError, Journal, Replay};
use bailiwick_ports::{
    Caller, KeysError, Reach,
    store::{Idempotency, StreamHead},
};
use bailiwick_types::{EnvironmentId, SessionId, StreamId, Timestamp};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

/// Longest idempotency key.
const MAX_IDEMPOTENCY_KEY: usize = 255;
/// Bytes of a body that comes before its sender is known.
const MAX_VISIT: usize = 16 * 1024;
/// Records of a session that are read at once.
const RECORDS_AT_ONCE: u32 = 256;
/// Characters of the reason for a change.
const MAX_REASON: usize = 1000;

pub(crate) struct App {
    pub options: Options,
    pub bounds: Bounds,
    pub tenant_keys: TenantKeys,
    pub lines: Lines,
}

/// The newest connection of each environment's executor, so that the end of an older one is not told as the end.
#[derive(Default)]
pub(crate) struct Lines(Mutex<(u64, HashMap<EnvironmentId, u64>)>);

impl Lines {
    /// A connection began; gives its number.
    pub fn opened(&self, environment: EnvironmentId) -> u64 {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.0 += 1;
        let number = lines.0;
        lines.1.insert(environment, number);
        number
    }

    /// A connection ended; `true` when there is no newer one.
    pub fn closed(&self, environment: EnvironmentId, number: u64) -> bool {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = lines.1.get(&environment) == Some(&number);
        if newest {
            lines.1.remove(&environment);
        }
        newest
    }
}

impl App {
    pub fn new(options: Options) -> Self {
        let bounds = Bounds::new(&options.limits);
        let tenant_keys = TenantKeys::new(Arc::clone(&options.store), Arc::clone(&options.keys));
        Self { options, bounds, tenant_keys, lines: Lines::default() }
    }

    pub fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    pub fn random(&self) -> [u8; 10] {
        self.options.random.id_bytes()
    }

    /// A name for one request, which its answer and its log lines carry.
    pub fn request_id(&self) -> String {
        let mut bytes = [0; 12];
        self.options.random.fill(&mut bytes);
        format!("req_{}", hex(&bytes))
    }

    /// Whether the person of this caller, if there is one, has not been disabled meanwhile.
    pub fn is_still_here(&self, caller: &Caller) -> bool {
        let person = caller.principal.person().map(|id| self.options.directory.person(caller.tenant, id));
        person.is_none_or(|person| person.is_some_and(|person| !person.disabled))
    }

    /// A session's head and codec. Another tenant's session is unknown.
    pub async fn open(&self, caller: &Caller, session: SessionId) -> Result<(StreamHead, Journal), ApiError> {
        let stream: StreamId = session.into();
        let unknown = || ApiError::not_found("session", &session.to_string());
        // A tenant's own stream is under the tenant's bits, and is no session.
        let ours = |head: &StreamHead| head.tenant == caller.tenant && stream != StreamId::from(caller.tenant);
        let head = self.options.store.head(stream).await?.filter(ours);
        let head = head.ok_or_else(unknown)?;
        match Journal::open(&*self.options.keys, caller.tenant, stream, &head.key) {
            Ok(journal) => Ok((head, journal)),
            // Whoever could not see it does not learn that it was there.
            Err(GateError::Keys(KeysError::Erased)) if may_know(caller, &head) => Err(ApiError::erased(session)),
            Err(GateError::Keys(KeysError::Erased)) => Err(unknown()),
            Err(error) => Err(error.into()),
        }
    }

    /// What a session is now.
    pub async fn state(&self, caller: &Caller, session: SessionId) -> Result<State, ApiError> {
        let (head, journal) = self.open(caller, session).await?;
        let mut replay = Replay::after(journal, head.position);
        while !replay.next(&*self.options.store, RECORDS_AT_ONCE).await?.is_empty() {}
        replay.into_state().ok_or_else(|| ApiError::not_found("session", &session.to_string()))
    }
}

/// Whether somebody may know of a session that nobody can read any more: whoever sees everybody's, and its person.
fn may_know(caller: &Caller, head: &StreamHead) -> bool {
    match caller.reach() {
        Reach::Everyone => true,
        Reach::Person(person) => head.key.subject.as_ref().is_some_and(|subject| subject.person == person),
        Reach::Programs => false,
    }
}

/// A body that may be held while something else is awaited.
pub(crate) struct SyncBody(Mutex<Body>);

impl SyncBody {
    pub fn new(body: Body) -> Self {
        Self(Mutex::new(body))
    }

    pub fn take(&mut self) -> Body {
        std::mem::take(self.0.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One request with everything a handler may need of it.
pub(crate) struct Call {
    pub app: Arc<App>,
    pub caller: Caller,
    pub route: &'static Route,
    /// By the names in the route.
    pub params: Vec<(String, String)>,
    /// How the client reached us, without a trailing slash.
    pub base_url: String,
    pub parts: Parts,
    pub body: SyncBody,
    pub claimed: Option<ClaimedDigest>,
}

impl Call {
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn query(&self) -> Result<Query, ApiError> {
        Query::parse(self.parts.uri.query().unwrap_or_default())
    }

    /// The id in the path; what is no id names nothing.
    pub fn id<T: FromStr>(&self, name: &str, what: &str) -> Result<T, ApiError> {
        self.param(name).parse().map_err(|_| ApiError::not_found(what, self.param(name)))
    }

    /// The whole body, within the bound for JSON.
    pub async fn bytes(&mut self) -> Result<Bytes, ApiError> {
        let limits = &self.app.options.limits;
        let body = self.body.take();
        let until = self.app.now() + limits.body_time;
        tokio::select! {
            biased;
            bytes = body::read(body, limits.json_bytes, self.claimed) => bytes,
            () = self.app.options.clock.sleep_until(until) => {
                Err(ApiError::too_slow("The body did not arrive in time."))
            }
        }
    }

    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<(T, Bytes), ApiError> {
        body::check_json_type(&self.parts.headers)?;
        let bytes = self.bytes().await?;
        Ok((body::parse(&bytes)?, bytes))
    }

    /// Why the caller does it, in the caller's own words: the header `Bailiwick-Reason`.
    pub fn reason(&self) -> Result<Option<String>, ApiError> {
        let Some(given) = self.parts.headers.get("bailiwick-reason") else { return Ok(None) };
        let text = std::str::from_utf8(given.as_bytes()).ok().map(str::trim);
        let fine = |text: &&str| text.chars().count() <= MAX_REASON && !text.chars().any(char::is_control);
        match text.filter(fine) {
            Some("") => Ok(None),
            Some(text) => Ok(Some(text.to_owned())),
            None => {
                let message =
                    format!("`Bailiwick-Reason` must be at most {MAX_REASON} characters of UTF-8 on one line.");
                Err(ApiError::invalid("Bailiwick-Reason", message))
            }
        }
    }

    /// The client's promise that a repeated request is the same one.
    pub async fn idempotency(&self, body: &[u8]) -> Result<Option<Idempotency>, ApiError> {
        let Some(given) = self.parts.headers.get("idempotency-key") else { return Ok(None) };
        let fine = |key: &&str| {
            (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        };
        let Some(key) = given.to_str().ok().filter(fine) else {
            let message = format!("`Idempotency-Key` must have 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters.");
            return Err(ApiError::invalid("Idempotency-Key", message));
        };
        let tenant_key = self.app.tenant_keys.get(self.caller.tenant).await?;
        // The same resource under another prefix is the same promise.
        let route = self.parts.uri.path().trim_start_matches("/openai");
        let digest = tenant_key.digest(&[route.as_bytes(), b"\0", body].concat());
        Ok(Some(Idempotency { scope: format!("{} {route}", self.caller.principal), key: key.to_owned(), digest }))
    }
}

/// One request of somebody who need not be known.
pub(crate) struct Visit {
    pub app: Arc<App>,
    /// How the client reached us, without a trailing slash.
    pub base_url: String,
    pub parts: Parts,
    pub body: SyncBody,
}

impl Visit {
    pub fn query(&self) -> Result<Query, ApiError> {
        Query::parse(self.parts.uri.query().unwrap_or_default())
    }

    /// Where the request came from; `None` on the administration socket.
    pub fn address(&self) -> Option<IpAddr> {
        self.parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
    }

    /// The fields of a form, each once (RFC 6749, section 3.2).
    pub async fn form(&mut self) -> Result<Vec<(String, String)>, ApiError> {
        let bytes = self.bytes().await?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(&bytes) {
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(ApiError::malformed("A field of the form is given twice."));
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Ok(fields)
    }

    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        body::check_json_type(&self.parts.headers)?;
        body::parse(&self.bytes().await?)
    }

    /// Nothing that is said before signing in is long.
    async fn bytes(&mut self) -> Result<Bytes, ApiError> {
        let body = self.body.take();
        let until = self.app.now() + self.app.options.limits.body_time;
        tokio::select! {
            biased;
            bytes = body::read(body, MAX_VISIT, None) => bytes,
            () = self.app.options.clock.sleep_until(until) => {
                Err(ApiError::too_slow("The body did not arrive in time."))
            }
        }
    }
}

/// 409 for an idempotency key that was used for something else.
pub(crate) fn key_reused() -> ApiError {
    ApiError::conflict(
        "idempotency_key_reused",
        "This idempotency key was used for another request. Take a new key for a new request.",
    )
    .with_param("Idempotency-Key")
}
