//! Keeps the connection: opens it, shakes hands, deals out what comes, and opens it again.

use super::{Link, Session, Shared, Watched, lock, track::Event};
use crate::{
    connection::{ConnectError, Frames},
    error::ExecutorError,
};
use bailiwick_executor_protocol::{
    Initialize, InitializeParams, InitializeResult, Initialized, Message, Notice, ProcessClosed, ProcessExited,
    ProcessOutput, RequestId, RpcError, code, notification, request,
};
use bailiwick_types::Millis;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::sync::{Arc, Weak};

const FIRST_PAUSE: Millis = Millis(20);
const LONGEST_PAUSE: Millis = Millis::from_secs(5);
const CLIENT_NAME: &str = "bailiwick";
/// The id of the first request on each connection; the others count from 1.
const HANDSHAKE_ID: i64 = 0;

/// Runs until the last handle is dropped, or there is nothing left to connect to.
pub(super) async fn run(shared: Arc<Shared>, resume: Option<String>, may_begin: bool) {
    let reason = tokio::select! {
        reason = drive(&shared, resume, may_begin) => reason,
        () = shared.closing.notified() => "the environment was closed".to_owned(),
    };
    // In this order: whoever sees that it is gone can hand a connection to another client.
    shared.connector.close();
    disconnect(&shared);
    shared.link.send_replace(Link::Gone(reason));
    for watched in watched(&shared) {
        watched.changed.notify_waiters();
    }
}

/// Comes back when it is over, with the reason.
async fn drive(shared: &Arc<Shared>, mut resume: Option<String>, mut may_begin: bool) -> String {
    let mut pause = FIRST_PAUSE;
    let mut connections = 0;
    loop {
        let failed = match shared.connector.connect().await {
            Err(ConnectError::Never(reason)) => return reason,
            Err(ConnectError::Later(reason)) => reason,
            Ok(mut frames) => match shake_hands(shared, &mut frames, resume.clone(), may_begin).await {
                Err(Handshake::Over(reason)) => return reason,
                Err(Handshake::Again(reason)) => reason,
                Ok(session) => {
                    resume = Some(session.id.clone());
                    may_begin = false;
                    pause = FIRST_PAUSE;
                    connections += 1;
                    pump(shared, frames, session, connections).await;
                    "the connection broke".to_owned()
                }
            },
        };
        shared.link.send_replace(Link::Connecting(failed));
        sleep(shared, pause).await;
        pause = Millis((pause.0 * 2).min(LONGEST_PAUSE.0));
    }
}

async fn sleep(shared: &Shared, span: Millis) {
    let clock = &shared.tools.clock;
    clock.sleep_until(clock.now() + span).await;
}

enum Handshake {
    /// Another connection may do.
    Again(String),
    /// No connection will.
    Over(String),
}

/// Takes up the session or begins one. While the executor still holds the old connection of the session for alive, it
/// is asked again.
async fn shake_hands(
    shared: &Shared,
    frames: &mut Frames,
    mut resume: Option<String>,
    may_begin: bool,
) -> Result<Session, Handshake> {
    let clock = &shared.tools.clock;
    let until = clock.now() + shared.tools.patience.connection;
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = tokio::select! {
            answer = initialize(frames, resume.clone()) => answer?,
            () = clock.sleep_until(until) => return Err(Handshake::Again("it did not answer the handshake".to_owned())),
        };
        match answer {
            Ok(answer) => {
                let _ = frames.outgoing.send(notification(&Initialized {})).await;
                let resumed = resume.is_some();
                return Ok(Session { id: answer.session_id, resumed, environment: answer.environment_info });
            }
            Err(error) if error.code == code::SESSION_ATTACHED => {
                if clock.now() > until {
                    return Err(Handshake::Again(error.message));
                }
                sleep(shared, pause).await;
                pause = Millis((pause.0 * 2).min(LONGEST_PAUSE.0));
            }
            Err(error) if resume.is_some() && error.message.starts_with("unknown session id") => {
                if !may_begin {
                    let reason = "the executor no longer has our session, and what ran in it is gone";
                    return Err(Handshake::Over(reason.to_owned()));
                }
                resume = None;
            }
            Err(error) => return Err(Handshake::Over(format!("the executor refuses us: {error}"))),
        }
    }
}

async fn initialize(
    frames: &mut Frames,
    resume_session_id: Option<String>,
) -> Result<Result<InitializeResult, RpcError>, Handshake> {
    let broke = || Handshake::Again("the connection broke in the handshake".to_owned());
    let id = RequestId::Number(HANDSHAKE_ID);
    let params = InitializeParams { client_name: CLIENT_NAME.to_owned(), resume_session_id };
    frames.outgoing.send(request::<Initialize>(&id, &params)).await.map_err(|_| broke())?;
    loop {
        let frame = frames.incoming.recv().await.ok_or_else(broke)?;
        let incompatible = |error: &dyn std::fmt::Display| {
            Handshake::Over(ExecutorError::Incompatible(format!("the handshake: {error}")).to_string())
        };
        match Message::decode(&frame).map_err(|error| incompatible(&error))? {
            Message::Response { id: answered, result } if answered == id => {
                let result = match result {
                    Ok(raw) => Ok(serde_json::from_str(raw.get()).map_err(|error| incompatible(&error))?),
                    Err(error) => Err(error),
                };
                return Ok(result);
            }
            // What a session that is being taken up says at once is read again afterwards.
            _ => {}
        }
    }
}

/// Deals out frames until the connection ends.
async fn pump(shared: &Arc<Shared>, mut frames: Frames, session: Session, number: u64) {
    {
        let mut state = lock(&shared.state);
        state.session = Some(session);
        state.outgoing = Some(frames.outgoing);
    }
    shared.link.send_replace(Link::Connected(number));
    // Whoever follows a process catches up by itself.
    for watched in watched(shared) {
        watched.changed.notify_waiters();
    }
    loop {
        let frame = tokio::select! {
            frame = frames.incoming.recv() => frame,
            () = shared.connector.superseded() => None,
        };
        let Some(frame) = frame else { break };
        match Message::decode(&frame) {
            Ok(Message::Response { id: RequestId::Number(id), result }) => shared.answered(id, result),
            Ok(Message::Notification { method, params }) => notice(shared, &method, params.as_deref()),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "an executor sent what is not a message; its connection is closed");
                break;
            }
        }
    }
    disconnect(shared);
}

pub(super) fn disconnect(shared: &Shared) {
    let pending = {
        let mut state = lock(&shared.state);
        state.outgoing = None;
        std::mem::take(&mut state.pending)
    };
    for (_, pending) in pending {
        let _ = pending.send(Err(ExecutorError::Interrupted));
    }
}

fn watched(shared: &Shared) -> Vec<Arc<Watched>> {
    lock(&shared.state).processes.values().filter_map(Weak::upgrade).collect()
}

fn notice(shared: &Shared, method: &str, params: Option<&RawValue>) {
    fn read<T: DeserializeOwned>(params: Option<&RawValue>) -> Option<T> {
        serde_json::from_str(params?.get()).ok()
    }
    let event = match method {
        ProcessOutput::NAME => {
            read::<ProcessOutput>(params).map(|event| (event.process_id, event.seq, Event::Output(event.chunk.0)))
        }
        ProcessExited::NAME => {
            read::<ProcessExited>(params).map(|event| (event.process_id, event.seq, Event::Exited(event.exit_code)))
        }
        ProcessClosed::NAME => read::<ProcessClosed>(params).map(|event| (event.process_id, event.seq, Event::Closed)),
        _ => None,
    };
    let Some((process, seq, event)) = event else { return };
    let watched = lock(&shared.state).processes.get(&process).and_then(Weak::upgrade);
    if let Some(watched) = watched {
        watched.lock().take(seq, event);
        watched.changed.notify_waiters();
    }
}
