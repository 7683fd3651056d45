//! A model behind HTTP: sends the encoded request, feeds the decoder, watches the time and tries again.
//!
//! Trying again is safe at any moment before the call is settled, because nothing of an answer has an effect before it
//! is settled: what was streamed is provisional, and [`Delta::Restarted`] takes it back.

use crate::{
    attempts::Attempts,
    endpoint::Endpoint,
    http::explain,
    retry::{self, LONGEST_ASKED},
    sse,
    trouble::{Again, ProviderError, Trouble},
};
use async_trait::async_trait;
use bailiwick_core::{Failure, FailureCode, ModelAnswer, ModelRequest};
use bailiwick_gate::{Delta, Live};
use bailiwick_ports::{BoxFuture, Clock, Random};
use bailiwick_types::{ActionId, Millis, Principal, Secret, Timestamp};
use bytes::Bytes;
use reqwest::{
    Client, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
};
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes in the body of one answer.
const MAX_BODY_BYTES: usize = 64 << 20;
/// The most bytes that are read of an error.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How long the end of a finished answer's body is waited for. A body that is read to its end leaves a connection that
/// can be used again.
const TAIL: Millis = Millis(50);
/// Ties a provider's log to ours (OpenAI API reference, "Debugging requests").
const REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// Answers a model request.
#[async_trait]
pub(crate) trait Provider: Send + Sync {
    /// Streams deltas whose ids are `ItemId::of_output(asked.action, index)`. Stops when `live` asks for it.
    async fn call(&self, request: &ModelRequest, asked: Asked<'_>, live: &Live) -> Result<ModelAnswer, Failure>;
}

/// Which action a call is, and whose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) action: ActionId,
    pub(crate) by: &'a Principal,
    /// The key out of a vault, for this call only; else the endpoint's own.
    pub(crate) key: Option<&'a Secret>,
    /// Where its attempts are counted, if somebody wants to know.
    pub(crate) attempts: Option<&'a Attempts>,
}

impl Asked<'_> {
    fn attempt(&self, note: impl FnOnce(&Attempts)) {
        if let Some(attempts) = self.attempts {
            note(attempts);
        }
    }
}

/// One wire format: two pure halves.
pub(crate) trait Dialect: Send + Sync {
    /// What follows the base URL.
    fn path(&self) -> &'static str;
    /// The body of the request.
    fn encode(&self, endpoint: &Endpoint, request: &ModelRequest, manner: Manner) -> Vec<u8>;
    /// Another manner to ask in, when the server refused something that it can do without.
    fn concede(&self, manner: Manner, trouble: &Trouble) -> Option<Manner>;
    fn decoder(&self, endpoint: &Endpoint, request: &ModelRequest, action: ActionId) -> Box<dyn Decoder>;
}

/// What is said differently to a server that refused the usual way. The model is told the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// The model has no encrypted reasoning to give.
    pub(crate) without_encryption: bool,
    /// The server cannot read its own reasoning of earlier answers any more.
    pub(crate) without_reasoning: bool,
    /// The output limit has its newer name, `max_completion_tokens`.
    pub(crate) newer_limit: bool,
}

impl Manner {
    /// The manner in which the next calls begin: what was refused because of one history may pass in another.
    fn lasting(self) -> Self {
        Self { without_reasoning: false, ..self }
    }
}

/// Reads the events of one answer.
pub(crate) trait Decoder: Send {
    fn event(&mut self, data: &str, emit: &mut dyn FnMut(Delta)) -> Result<(), Trouble>;
    /// Whether the answer is complete, though the body may go on.
    fn is_done(&self) -> bool;
    /// The body is over, or the answer complete.
    fn finish(self: Box<Self>) -> Result<ModelAnswer, Trouble>;
}

pub(crate) struct Remote {
    pub(crate) endpoint: Endpoint,
    pub(crate) dialect: Box<dyn Dialect>,
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    /// How this server wants to be asked, as far as it is known.
    pub(crate) manner: Mutex<Manner>,
}

#[async_trait]
impl Provider for Remote {
    async fn call(&self, request: &ModelRequest, asked: Asked<'_>, live: &Live) -> Result<ModelAnswer, Failure> {
        let end = self.clock.now() + self.endpoint.options.timeouts.total_ms;
        tokio::select! {
            biased;
            () = live.cancelled() => Err(Failure::new(FailureCode::Cancelled, "the model call was cancelled")),
            answer = self.tries(request, asked, live, end) => answer,
            () = self.clock.sleep_until(end) => {
                let whole = self.endpoint.options.timeouts.total_ms.0 as f64 / 1000.0;
                let detail = format!("the call was not done after {whole} s, its retries included");
                Err(self.endpoint.failure(asked.key, &Trouble::because(FailureCode::StreamStalled, detail), 1))
            }
        }
    }
}

impl Remote {
    async fn tries(
        &self,
        request: &ModelRequest,
        asked: Asked<'_>,
        live: &Live,
        end: Timestamp,
    ) -> Result<ModelAnswer, Failure> {
        let mut manner = *self.manner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body = Bytes::from(self.dialect.encode(&self.endpoint, request, manner));
        let (mut tries, mut malformed) = (0, 0);
        loop {
            let mut streamed = false;
            asked.attempt(Attempts::begin);
            let trouble = match self.attempt(&body, request, asked, live, &mut streamed).await {
                Ok(answer) => {
                    asked.attempt(Attempts::forget);
                    return Ok(answer);
                }
                Err(trouble) => trouble,
            };
            let paid = asked.attempts.map_or(0, |attempts| broken(attempts, &trouble));
            tries += 1;
            // Each part of the manner is given up once, so that this ends.
            if let Some(conceded) = self.dialect.concede(manner, &trouble).filter(|conceded| *conceded != manner) {
                manner = conceded;
                *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner.lasting();
                body = self.dialect.encode(&self.endpoint, request, manner).into();
                continue;
            }
            let wished = match trouble.again {
                Again::Yes(wished) => wished,
                Again::Once if malformed == 0 => None,
                Again::Once | Again::Never => return Err(self.endpoint.failure(asked.key, &trouble, tries)),
            };
            malformed += u32::from(trouble.again == Again::Once);
            // What is held for the call covers so many attempts, and the next one may have to be paid for too.
            let covered = self.endpoint.options.prices.is_none() || paid < self.endpoint.options.paid_attempts();
            let Some(until) = self.next_try(tries, wished, end).filter(|_| covered) else {
                return Err(self.endpoint.failure(asked.key, &with_wait(trouble, wished), tries));
            };
            tracing::debug!(model = %self.endpoint.name, action = %asked.action, code = ?trouble.code, tries, "trying again");
            if streamed {
                live.emit(Delta::Restarted);
            }
            self.clock.sleep_until(until).await;
        }
    }

    /// When to try again after `tries` failed attempts; `None` when the budget of retries or time does not allow it.
    fn next_try(&self, tries: u32, asked: Option<Millis>, end: Timestamp) -> Option<Timestamp> {
        if tries > self.endpoint.options.retries || asked.is_some_and(|asked| asked > LONGEST_ASKED) {
            return None;
        }
        let own = retry::pause(tries - 1, &*self.random);
        let pause = asked.map_or(own, |asked| retry::pause_asked(asked, &*self.random));
        let until = self.clock.now() + pause;
        (until < end).then_some(until)
    }

    async fn attempt(
        &self,
        body: &Bytes,
        request: &ModelRequest,
        asked: Asked<'_>,
        live: &Live,
        streamed: &mut bool,
    ) -> Result<ModelAnswer, Trouble> {
        let timeouts = self.endpoint.options.timeouts;
        let mut watchdog = Watchdog::new(&self.clock, timeouts.first_byte_ms);
        let response = tokio::select! {
            response = self.send(body.clone(), asked) => response?,
            () = watchdog.expired() => return Err(Trouble::new(FailureCode::FirstByteTimeout)),
        };
        if !is_stream(&response) {
            return Err(self.refusal(response, watchdog, asked).await);
        }
        let decoder = self.dialect.decoder(&self.endpoint, request, asked.action);
        self.read(response, watchdog, decoder, (live, asked), streamed).await
    }

    async fn send(&self, body: Bytes, asked: Asked<'_>) -> Result<Response, Trouble> {
        let mut request = self
            .client
            .post(format!("{}{}", self.endpoint.base_url, self.dialect.path()))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .header(USER_AGENT, self.endpoint.options.mark.user_agent(asked.by))
            .header(REQUEST_ID, asked.action.to_string())
            .body(body);
        if let Some(key) = asked.key.or(self.endpoint.key()) {
            // A key that no header can hold was refused with the options.
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                .map_err(|_| Trouble::because(FailureCode::AuthenticationFailed, "the key cannot be sent"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request.send().await.map_err(|error| {
            let connect = self.endpoint.options.timeouts.connect_ms.0 as f64 / 1000.0;
            if error.is_timeout() || error.is_connect() {
                asked.attempt(Attempts::forget);
            }
            let why = match (error.is_timeout(), error.is_connect()) {
                (true, _) => format!("it did not stand after {connect} s"),
                (false, true) => explain(&error),
                (false, false) => format!("it was closed before an answer came ({})", explain(&error)),
            };
            Trouble::because(FailureCode::ConnectionFailed, why)
        })
    }

    /// What an answer that is no event stream says.
    async fn refusal(&self, mut response: Response, mut watchdog: Watchdog<'_>, call: Asked<'_>) -> Trouble {
        let status = response.status();
        let asked = retry::asked(response.headers(), self.clock.now());
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing").to_owned();
        let mut body = Vec::new();
        loop {
            let piece = tokio::select! {
                piece = response.chunk() => piece,
                () = watchdog.expired() => break,
            };
            match piece {
                Ok(Some(piece)) if body.len() < MAX_ERROR_BYTES => body.extend_from_slice(&piece),
                _ => break,
            }
        }
        body.truncate(MAX_ERROR_BYTES);
        let error = ProviderError::of_body(&String::from_utf8_lossy(&body));
        if status.is_success() {
            let is_error =
                serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|body| body.get("error").is_some());
            return if is_error {
                error.sort(None)
            } else {
                Trouble::malformed(format!("it is `{kind}` in place of an event stream"))
            };
        }
        let mut trouble = error.sort(Some(status.as_u16()));
        if trouble.code == FailureCode::ServerError {
            // It was sent, and there is no answer.
            call.attempt(|attempts| attempts.heard(0));
        }
        if let (Again::Yes(_), Some(asked)) = (trouble.again, asked) {
            trouble.again = Again::Yes(Some(asked));
        }
        trouble
    }

    async fn read(
        &self,
        mut response: Response,
        mut watchdog: Watchdog<'_>,
        mut decoder: Box<dyn Decoder>,
        (live, asked): (&Live, Asked<'_>),
        streamed: &mut bool,
    ) -> Result<ModelAnswer, Trouble> {
        let mut silence = FailureCode::FirstByteTimeout;
        let (mut parser, mut read) = (sse::Parser::default(), 0);
        let mut emit = |delta: Delta| {
            *streamed = true;
            asked.attempt(|attempts| attempts.heard(bytes_of(&delta)));
            live.emit(delta);
        };
        loop {
            let piece = tokio::select! {
                biased;
                piece = response.chunk() => piece,
                () = watchdog.expired() => return Err(Trouble::new(silence)),
            };
            watchdog.put_off(self.endpoint.options.timeouts.stall_ms);
            silence = FailureCode::StreamStalled;
            let mut each = |data: &str| decoder.event(data, &mut emit);
            match piece.map_err(|error| Trouble::because(FailureCode::StreamCut, explain(&error)))? {
                Some(piece) => {
                    read += piece.len();
                    if read > MAX_BODY_BYTES {
                        return Err(Trouble::malformed(format!("it is longer than {} MiB", MAX_BODY_BYTES >> 20)));
                    }
                    parser.push(&piece, &mut each)?;
                }
                None => {
                    parser.end(&mut each)?;
                    return decoder.finish();
                }
            }
            if decoder.is_done() {
                self.drain(response).await;
                return decoder.finish();
            }
        }
    }

    /// Reads what is left of a finished answer's body, when it is little and comes at once.
    async fn drain(&self, mut response: Response) {
        let end = self.clock.sleep_until(self.clock.now() + TAIL);
        let rest = async {
            let mut room = MAX_ERROR_BYTES;
            while let Ok(Some(piece)) = response.chunk().await {
                let Some(left) = room.checked_sub(piece.len()) else { break };
                room = left;
            }
        };
        tokio::select! { biased; () = rest => {}, () = end => {} }
    }
}

/// Takes a broken attempt in, and gives how many may have to be paid for so far. One that the provider refused before it
/// had said anything costs nothing.
fn broken(attempts: &Attempts, trouble: &Trouble) -> u32 {
    let refused = matches!(
        trouble.code,
        FailureCode::RateLimited
            | FailureCode::Overloaded
            | FailureCode::ContextOverflow
            | FailureCode::AuthenticationFailed
            | FailureCode::InvalidRequest
            | FailureCode::UnknownModel
    );
    if refused && !attempts.has_heard() {
        attempts.forget();
    }
    attempts.broke()
}

fn bytes_of(delta: &Delta) -> usize {
    match delta {
        Delta::Text { text, .. } | Delta::ReasoningSummary { text, .. } | Delta::CommandOutput { text } => text.len(),
        Delta::Restarted => 0,
    }
}

/// Says how long the provider wants to be left alone, when that was too long to wait for.
fn with_wait(mut trouble: Trouble, asked: Option<Millis>) -> Trouble {
    if let Some(asked) = asked.filter(|asked| *asked > LONGEST_ASKED) {
        let what = match trouble.code {
            FailureCode::RateLimited => "the provider's rate limit is reached",
            _ => "the provider cannot answer now",
        };
        trouble.detail = Some(format!("{what}, and it asks to wait {} s", asked.0.div_ceil(1000)));
    }
    trouble
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let stream = b"text/event-stream";
    response.status().is_success() && kind.len() >= stream.len() && kind[..stream.len()].eq_ignore_ascii_case(stream)
}

/// A time-out that can be put off without a new timer for each piece of an answer.
struct Watchdog<'a> {
    clock: &'a Arc<dyn Clock>,
    deadline: Timestamp,
    armed: Timestamp,
    sleep: BoxFuture<'static, ()>,
}

impl<'a> Watchdog<'a> {
    fn new(clock: &'a Arc<dyn Clock>, span: Millis) -> Self {
        let deadline = clock.now() + span;
        Self { clock, deadline, armed: deadline, sleep: clock.sleep_until(deadline) }
    }

    fn put_off(&mut self, span: Millis) {
        self.deadline = self.clock.now() + span;
        if self.deadline < self.armed {
            self.arm();
        }
    }

    fn arm(&mut self) {
        self.armed = self.deadline;
        self.sleep = self.clock.sleep_until(self.deadline);
    }

    /// Returns once the deadline has passed. May be dropped and asked for again.
    async fn expired(&mut self) {
        while self.clock.now() < self.deadline {
            (&mut self.sleep).await;
            if self.clock.now() < self.deadline {
                self.arm();
            }
        }
    }
}
