//! Writes a session's events to one client, as server-sent events.
//!
//! A task of its own carries them over a short queue: a client that does not take what it is sent is dropped, and
//! whatever it missed waits in the stream under the last `id:` that it has seen.

use super::{Narrator, Told};
use crate::{app::App, error::ApiError};
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bailiwick_engine::Watch;
use bailiwick_ports::Caller;
use bytes::Bytes;
use futures_util::stream;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Chunks that wait for the client.
const QUEUE: usize = 64;
/// Events are padded to a multiple of this many bytes.
const PAD_TO: usize = 64;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Everything that one connection needs.
pub(crate) struct Pump {
    pub app: Arc<App>,
    pub watch: Watch,
    pub narrator: Narrator,
    pub padding: bool,
    pub caller: Caller,
    /// Held while the stream is open.
    pub _permit: OwnedSemaphorePermit,
}

/// The answer whose body goes on until the story is over or the client has gone.
pub(crate) fn respond(pump: Pump) -> Result<Response, ApiError> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let tasks = Arc::clone(&pump.app.options.tasks);
    tasks.spawn("event stream", Box::pin(pump.run(sender)));
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(chunk), receiver))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Tells nginx and its kin not to collect events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Pump {
    async fn run(mut self, sender: mpsc::Sender<Bytes>) {
        let clock = Arc::clone(&self.app.options.clock);
        let heartbeat = self.app.options.limits.heartbeat;
        let mut closing = self.app.bounds.closing();
        loop {
            let quiet = clock.sleep_until(clock.now() + heartbeat);
            let chunk = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return,
                () = sender.closed() => return,
                event = self.watch.next() => match event {
                    Ok(event) => self.write(&event),
                    Err(error) => {
                        tracing::error!(%error, "an event stream broke off");
                        return;
                    }
                },
                () = quiet => Bytes::from_static(b": still here\n\n"),
            };
            // Somebody who is disabled sees nothing more.
            if !self.app.is_still_here(&self.caller) {
                return;
            }
            if !chunk.is_empty() && !self.send(&sender, chunk).await {
                return;
            }
            if self.narrator.is_over() {
                return;
            }
        }
    }

    async fn send(&self, sender: &mpsc::Sender<Bytes>, chunk: Bytes) -> bool {
        let chunk = match sender.try_send(chunk) {
            Ok(()) => return true,
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
            Err(mpsc::error::TrySendError::Full(chunk)) => chunk,
        };
        let clock = &self.app.options.clock;
        let until = clock.now() + self.app.options.limits.patience;
        tokio::select! {
            biased;
            sent = sender.send(chunk) => sent.is_ok(),
            () = clock.sleep_until(until) => {
                tracing::debug!("a client did not take its events and was dropped");
                false
            }
        }
    }

    fn write(&mut self, event: &bailiwick_engine::Event) -> Bytes {
        let mut chunk = Vec::new();
        for told in self.narrator.tell(event) {
            self.write_one(&mut chunk, told);
        }
        Bytes::from(chunk)
    }

    fn write_one(&self, chunk: &mut Vec<u8>, told: Told) {
        let Told { event, place } = told;
        let name = event.body.name();
        // INVARIANT: events hold no maps with keys other than strings and no non-finite numbers.
        let mut data = serde_json::to_vec(&event).expect("an event is JSON");
        if self.padding {
            self.pad(&mut data);
        }
        chunk.extend_from_slice(b"event: ");
        chunk.extend_from_slice(name.as_bytes());
        if let Some((position, count)) = place {
            chunk.extend_from_slice(format!("\nid: {position}.{count}").as_bytes());
        }
        chunk.extend_from_slice(b"\ndata: ");
        chunk.extend_from_slice(&data);
        chunk.extend_from_slice(b"\n\n");
    }

    /// Adds the field `obfuscation` to an event's object: letters and digits that bring it to a round length.
    fn pad(&self, data: &mut Vec<u8>) {
        data.pop();
        data.extend_from_slice(b",\"obfuscation\":\"");
        let mut noise = vec![0; PAD_TO - (data.len() + 2) % PAD_TO];
        self.app.options.random.fill(&mut noise);
        data.extend(noise.into_iter().map(|byte| ALPHABET[usize::from(byte) % ALPHABET.len()]));
        data.extend_from_slice(b"\"}");
    }
}
