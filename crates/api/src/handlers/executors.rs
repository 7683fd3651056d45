//! Self-hosted executors that dial in: they register under a key bound to their environment, and open a WebSocket.
//!
//! The protocol is that of `codex exec-server --remote … --remote-transport direct --aws-sigv4` (0.169.0). Nothing is
//! remembered between registering and connecting: both requests are signed, so any node can take the second.

use super::{environments, ok};
use crate::{
    app::{App, Call},
    error::ApiError,
    hex::hex,
    routes::Answer,
};
use axum::{
    extract::{
        FromRequestParts,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::request::Parts,
};
use bailiwick_core::{
    EnvironmentSpec, EnvironmentStatus,
    environment::Connection,
    record::{Input, InputEnvelope},
};
use bailiwick_gate::{ExecutorDoor, ExecutorLine};
use bailiwick_ports::Caller;
use bailiwick_types::{EnvironmentId, SessionId};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;
use utoipa::ToSchema;

const TRANSPORT: &str = "direct_jsonrpc_v1";
/// Frames that may wait on either side.
const QUEUE: usize = 64;
/// The largest message of the protocol, with room for base64.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// What an executor sends to register. Fields of later versions are not ours to refuse.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct RegisterParam {
    /// `direct_jsonrpc_v1`.
    pub transport: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Registration {
    pub environment_id: String,
    pub registration_id: String,
    pub transport: &'static str,
    /// Where the executor opens its WebSocket.
    pub url: String,
}

pub(crate) async fn register(mut call: Call) -> Answer {
    let (environment, _, _) = door(&call).await?;
    let (param, _): (RegisterParam, _) = call.json().await?;
    if param.transport != TRANSPORT {
        return Err(ApiError::invalid("transport", format!("`transport` must be `{TRANSPORT}`.")));
    }
    let registration_id = format!("reg_{}", hex(&call.app.random()));
    // `http` becomes `ws`, `https` becomes `wss`.
    let socket = call.base_url.strip_prefix("http").map_or(call.base_url.clone(), |rest| format!("ws{rest}"));
    let url = format!("{socket}/cloud/environment/{environment}/direct/{registration_id}");
    ok(Registration { environment_id: environment.to_string(), registration_id, transport: TRANSPORT, url })
}

/// The environment in the path, the session that works in it, and the door; or why this caller may not pass.
async fn door(call: &Call) -> Result<(EnvironmentId, SessionId, Arc<dyn ExecutorDoor>), ApiError> {
    let environment = call.id("environment_id", "environment")?;
    if !call.caller.may_connect(environment) {
        return Err(ApiError::forbidden(match call.caller.bound_environment {
            Some(_) => "This key is bound to another environment.",
            None => {
                "An executor needs an access key that is bound to its environment: make one with `bailiwick key create \
                 --kind access-key --environment ID`."
            }
        }));
    }
    let known = environments::owner(&call.app, &call.caller, environment).await?;
    match &known.view.environment {
        EnvironmentSpec::SelfHosted(own) if own.connection == Connection::DialIn => {}
        _ => {
            let message = "No executor dials in to this environment: it is hosted, or we dial its executor.";
            return Err(ApiError::conflict("environment_not_dial_in", message));
        }
    }
    let door = call.app.options.executor_door.clone();
    let door = door.ok_or_else(|| ApiError::not_built("POST /cloud/environment/{environment_id}/direct/register"))?;
    Ok((environment, known.view.id, door))
}

pub(crate) async fn connect(call: Call) -> Answer {
    let (environment, session, door) = door(&call).await?;
    let permit = call.app.bounds.stream()?;
    let Call { app, caller, mut parts, .. } = call;
    let upgrade = upgrade(&mut parts).await?;
    Ok(upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).on_upgrade(move |socket| async move {
        let _permit = permit;
        let line = Line { app, caller, session, environment };
        line.carry(socket, door).await;
    }))
}

async fn upgrade(parts: &mut Parts) -> Result<WebSocketUpgrade, ApiError> {
    WebSocketUpgrade::from_request_parts(parts, &())
        .await
        .map_err(|_| ApiError::malformed("This is a WebSocket: send an upgrade request."))
}

/// One executor's connection.
struct Line {
    app: Arc<App>,
    caller: Caller,
    session: SessionId,
    environment: EnvironmentId,
}

impl Line {
    async fn carry(self, socket: WebSocket, door: Arc<dyn ExecutorDoor>) {
        let number = self.app.lines.opened(self.environment);
        let (to_us, incoming) = mpsc::channel(QUEUE);
        let (outgoing, mut from_us) = mpsc::channel::<String>(QUEUE);
        door.attach(self.session, self.environment, ExecutorLine { incoming, outgoing }).await;
        // `ready`: the engine then starts the environment, which is the handshake, and says `connected`.
        self.tell(EnvironmentStatus::Ready).await;
        let (mut sink, mut stream) = socket.split();
        let reader = async {
            while let Some(Ok(message)) = stream.next().await {
                match message {
                    Message::Text(text) if to_us.send(text.as_str().to_owned()).await.is_ok() => {}
                    Message::Text(_) | Message::Close(_) => return,
                    // The library answers pings by itself.
                    _ => {}
                }
            }
        };
        let writer = async {
            while let Some(frame) = from_us.recv().await {
                if sink.send(Message::text(frame)).await.is_err() {
                    return;
                }
            }
        };
        // Whichever side ends first ends the connection.
        tokio::select! {
            () = reader => {}
            () = writer => {}
        }
        if self.app.lines.closed(self.environment, number) {
            self.tell(EnvironmentStatus::Disconnected).await;
        }
    }

    async fn tell(&self, status: EnvironmentStatus) {
        let input = InputEnvelope { orderer: self.caller.principal.clone(), input: Input::Environment { status } };
        let handle = &self.app.options.handle;
        if let Err(error) = handle.submit(self.caller.tenant, self.session, vec![input], None).await {
            tracing::warn!(%error, session = %self.session, "a session could not be told of its executor");
        }
    }
}
