//! Streamable HTTP (<https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http>, and the
//! shape of it with sessions and resumable answers up to 2025-11-25). It believes no length, follows no redirect, and
//! lets no server make it wait or read without end.

use super::{Marks, Sent};
use crate::{
    events::Events,
    http::{Body, Http, HttpError, HttpRequest, HttpResponse, Method},
    limits::{
        MAX_BYTES_BEFORE_ANSWER, MAX_ERROR_BYTES, MAX_MESSAGE_BYTES, MAX_RESUME_PAUSE, MAX_RESUMES, RESUME_PAUSE,
    },
    message::{self, Incoming},
    oauth::Challenge,
    revision::Revision,
    trouble::Trouble,
};
use bailiwick_ports::Clock;
use bailiwick_types::Millis;
use futures_util::StreamExt as _;
use std::{collections::VecDeque, sync::Arc};
use url::Url;

/// No server makes us ask for the rest of an answer more often than this.
const SHORTEST_PAUSE: Millis = Millis(200);
const MAX_SESSION_BYTES: usize = 1024;

pub(crate) struct HttpChannel {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    endpoint: Url,
    /// Headers of the configuration.
    headers: Vec<(String, String)>,
}

pub(crate) struct HttpExchange<'a> {
    channel: &'a HttpChannel,
    marks: Marks<'a>,
    source: Source,
    queue: VecDeque<Incoming>,
    received: usize,
    resumes: usize,
    session: Option<String>,
}

enum Source {
    /// One JSON body, not yet read.
    Whole(Option<HttpResponse>),
    Events(Body, Events),
}

impl HttpChannel {
    pub(crate) fn new(
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
        endpoint: Url,
        headers: Vec<(String, String)>,
    ) -> Self {
        Self { http, clock, endpoint, headers }
    }

    pub(super) async fn open<'a>(
        &'a self,
        message: Vec<u8>,
        marks: Marks<'a>,
        sent: &Sent,
    ) -> Result<HttpExchange<'a>, Trouble> {
        sent.now();
        let response = self.http.send(self.post(message, marks)).await?;
        if response.status != 200 {
            return Err(turned_away(response, marks).await);
        }
        let session = session_of(&response)?;
        let source = match response.media_type().as_str() {
            "application/json" => Source::Whole(Some(response)),
            "text/event-stream" => Source::Events(response.body, Events::default()),
            _ => return Err(Trouble::malformed("it is neither `application/json` nor `text/event-stream`")),
        };
        Ok(HttpExchange { channel: self, marks, source, queue: VecDeque::new(), received: 0, resumes: 0, session })
    }

    pub(super) async fn tell(&self, message: Vec<u8>, marks: Marks<'_>) -> Result<(), Trouble> {
        let response = self.http.send(self.post(message, marks)).await?;
        match response.status {
            200..=299 => Ok(()),
            _ => Err(turned_away(response, marks).await),
        }
    }

    pub(super) async fn end(&self, marks: Marks<'_>) {
        if marks.session.is_some() {
            // Servers may refuse this, and their sessions end by themselves.
            let _ = self.http.send(self.marked(Method::Delete, marks)).await;
        }
    }

    fn post(&self, message: Vec<u8>, marks: Marks<'_>) -> HttpRequest {
        let mut request = self
            .marked(Method::Post, marks)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        request.headers.extend(marks.mirrored.iter().cloned());
        request.body = message;
        request
    }

    fn marked(&self, method: Method, marks: Marks<'_>) -> HttpRequest {
        let mut request = HttpRequest::new(method, self.endpoint.clone()).bearer(marks.bearer);
        request.headers = self.headers.clone();
        request.headers.push(("user-agent".into(), marks.who.to_owned()));
        if let Some(revision) = marks.revision.filter(|revision| revision.has_version_header()) {
            request = request.header("mcp-protocol-version", revision.as_str());
        }
        match marks.session {
            Some(session) => request.header("mcp-session-id", session),
            None => request,
        }
    }
}

impl HttpExchange<'_> {
    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    pub(super) async fn say(&mut self, message: Vec<u8>) -> Result<(), Trouble> {
        let marks = Marks { mirrored: &[], ..self.marks };
        self.channel.tell(message, marks).await
    }

    pub(super) async fn next(&mut self) -> Result<Incoming, Trouble> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Ok(message);
            }
            match &mut self.source {
                Source::Whole(response) => {
                    let Some(response) = response.take() else {
                        return Err(Trouble::malformed("it ends before the request is answered"));
                    };
                    let bytes = response.whole(MAX_MESSAGE_BYTES).await?;
                    self.queue.extend(message::read(&bytes).map_err(Trouble::malformed)?);
                }
                Source::Events(body, events) => match body.next().await {
                    Some(Ok(chunk)) => {
                        self.received += chunk.len();
                        if self.received > MAX_BYTES_BEFORE_ANSWER {
                            let text = format!("it has more than {MAX_BYTES_BEFORE_ANSWER} bytes");
                            return Err(Trouble::malformed(text));
                        }
                        for event in events.feed(&chunk).map_err(Trouble::malformed)? {
                            self.queue.extend(message::read(event.data.as_bytes()).map_err(Trouble::malformed)?);
                        }
                    }
                    Some(Err(error @ HttpError::TooLarge(_))) => return Err(error.into()),
                    Some(Err(error)) => self.resume(error).await?,
                    None => {
                        let ended = "the server ended its answer before the request was answered";
                        self.resume(HttpError::Lost(ended.into())).await?;
                    }
                },
            }
        }
    }

    /// Asks for what came after the last event, where there is one to name; revision 2026-07-28 has nothing of this.
    async fn resume(&mut self, lost: HttpError) -> Result<(), Trouble> {
        let Source::Events(_, events) = &self.source else { return Err(lost.into()) };
        let resumable = self.marks.revision.is_none_or(Revision::has_handshake);
        let Some(last) = events.last_id().filter(|_| resumable && self.resumes < MAX_RESUMES).map(str::to_owned) else {
            return Err(lost.into());
        };
        let pause = events.retry().unwrap_or(RESUME_PAUSE).clamp(SHORTEST_PAUSE, MAX_RESUME_PAUSE);
        self.resumes += 1;
        let clock = &self.channel.clock;
        clock.sleep_until(clock.now() + pause).await;
        let request = self
            .channel
            .marked(Method::Get, self.marks)
            .header("accept", "text/event-stream")
            .header("last-event-id", last);
        match self.channel.http.send(request).await {
            Ok(response) if response.status == 200 && response.media_type() == "text/event-stream" => {
                // The ids go on where they were, as does the pause that the server asked for.
                let Source::Events(body, _) = &mut self.source else { return Err(lost.into()) };
                *body = response.body;
                Ok(())
            }
            // A server that is not there yet may be in a moment.
            Err(HttpError::Unreachable(_)) => Ok(()),
            Ok(_) | Err(_) => Err(lost.into()),
        }
    }
}

fn session_of(response: &HttpResponse) -> Result<Option<String>, Trouble> {
    let Some(session) = response.header("mcp-session-id") else { return Ok(None) };
    let visible = session.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    match visible && !session.is_empty() && session.len() <= MAX_SESSION_BYTES {
        true => Ok(Some(session.to_owned())),
        false => Err(Trouble::malformed("`Mcp-Session-Id` is not a short word of visible characters")),
    }
}

/// What an answer with another status than 200 says.
async fn turned_away(response: HttpResponse, marks: Marks<'_>) -> Trouble {
    let status = response.status;
    let challenge = Challenge::of(&response);
    match status {
        401 => return Trouble::SignIn(challenge.unwrap_or_else(|| Challenge::bare(status))),
        403 if challenge.is_some() => return Trouble::SignIn(challenge.unwrap_or_else(|| Challenge::bare(status))),
        404 if marks.session.is_some() => return Trouble::SessionGone,
        202 | 204 => return Trouble::malformed("a request was taken for a notification"),
        _ => {}
    }
    let is_json = response.media_type() == "application/json";
    let bytes = if is_json { response.whole(MAX_ERROR_BYTES).await.unwrap_or_default() } else { Vec::new() };
    let error = match message::read(&bytes).as_deref() {
        Ok([Incoming::Answer { result: Err(error), .. }]) => Some(error.clone()),
        _ => None,
    };
    Trouble::Status { status, error }
}
