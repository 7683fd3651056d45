//! The events of a session's stream, as the SDK's `AgentSessionEvent` reads them.

use super::{
    item::{Item, SummaryPart},
    session::Session,
    turn::{Turn, Usage},
};
use crate::types::input::TextContent;
use serde::Serialize;
use utoipa::ToSchema;

/// One event. `event_id` is the same wherever the same event is sent again.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AgentSessionEvent)]
pub struct Event {
    pub event_id: String,
    #[serde(flatten)]
    pub body: EventBody,
    /// Random padding, unless the connection asked for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obfuscation: Option<String>,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($inner:ty) = $name:tt,)*) => {
        #[derive(Debug, Clone, Serialize, ToSchema)]
        #[serde(tag = "type")]
        #[schema(as = AgentSessionEventBody)]
        pub enum EventBody {
            $($(#[$doc])* #[serde(rename = $name)] $variant($inner),)*
        }

        impl EventBody {
            /// The event's type, which is also the `event:` line.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }
        }
    };
}

events! {
    SessionCreated(SessionEvent) = "agent.session.created",
    SessionIdle(SessionEvent) = "agent.session.idle",
    SessionInProgress(SessionEvent) = "agent.session.in_progress",
    SessionRequiresAction(SessionEvent) = "agent.session.requires_action",
    SessionFailed(SessionEvent) = "agent.session.failed",
    EnvironmentPending(EnvironmentEvent) = "agent.session.environment.pending",
    EnvironmentReady(EnvironmentEvent) = "agent.session.environment.ready",
    EnvironmentConnected(EnvironmentEvent) = "agent.session.environment.connected",
    EnvironmentDisconnected(EnvironmentEvent) = "agent.session.environment.disconnected",
    EnvironmentSuspended(EnvironmentEvent) = "agent.session.environment.suspended",
    EnvironmentExpired(EnvironmentEvent) = "agent.session.environment.expired",
    EnvironmentFailed(EnvironmentEvent) = "agent.session.environment.failed",
    TurnCreated(TurnEvent) = "agent.session.turn.created",
    TurnInProgress(TurnEvent) = "agent.session.turn.in_progress",
    TurnCompleted(TurnEndEvent) = "agent.session.turn.completed",
    TurnFailed(TurnEndEvent) = "agent.session.turn.failed",
    TurnCancelled(TurnEndEvent) = "agent.session.turn.cancelled",
    ItemAdded(ItemAddedEvent) = "agent.session.turn.item.added",
    ItemDone(ItemDoneEvent) = "agent.session.turn.item.done",
    ContentPartAdded(ContentPartEvent) = "agent.session.turn.content_part.added",
    ContentPartDone(ContentPartEvent) = "agent.session.turn.content_part.done",
    TextDelta(TextDeltaEvent) = "agent.session.turn.output_text.delta",
    TextDone(TextDoneEvent) = "agent.session.turn.output_text.done",
    SummaryPartAdded(SummaryPartEvent) = "agent.session.turn.reasoning_summary_part.added",
    SummaryPartDone(SummaryPartEvent) = "agent.session.turn.reasoning_summary_part.done",
    SummaryDelta(SummaryDeltaEvent) = "agent.session.turn.reasoning_summary_text.delta",
    SummaryDone(SummaryDoneEvent) = "agent.session.turn.reasoning_summary_text.done",
    CommandOutputDelta(CommandOutputEvent) = "agent.output.command_execution_output.delta",
    Error(ErrorEvent) = "error",
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionEvent {
    pub session: Box<Session>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EnvironmentEvent {
    pub session_id: String,
    pub turn_id: Option<String>,
    pub environment: EnvironmentState,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AgentSessionEnvironmentState)]
pub struct EnvironmentState {
    pub id: String,
    pub r#type: &'static str,
    pub status: &'static str,
    pub error: Option<EventError>,
}

/// An error inside an event.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SessionError)]
pub struct EventError {
    pub code: String,
    pub message: String,
    pub param: Option<String>,
    pub r#type: &'static str,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TurnEvent {
    pub session_id: String,
    pub turn_id: String,
    pub turn: Turn,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TurnEndEvent {
    pub session_id: String,
    pub turn_id: String,
    pub turn: Turn,
    pub usage: Option<Usage>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ItemAddedEvent {
    pub session_id: String,
    pub turn_id: String,
    pub item: Item,
    /// `null` for what came from outside.
    pub output_index: Option<u32>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ItemDoneEvent {
    pub session_id: String,
    pub turn_id: String,
    pub item: Item,
    pub output_index: u32,
}

/// Where in a turn's output something stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Place {
    pub session_id: String,
    pub turn_id: String,
    pub item_id: String,
    pub output_index: u32,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ContentPartEvent {
    #[serde(flatten)]
    pub place: Place,
    pub content_index: u32,
    pub part: OutputPart,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputPart {
    OutputText(TextContent),
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TextDeltaEvent {
    #[serde(flatten)]
    pub place: Place,
    pub content_index: u32,
    pub delta: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TextDoneEvent {
    #[serde(flatten)]
    pub place: Place,
    pub content_index: u32,
    pub text: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SummaryPartEvent {
    #[serde(flatten)]
    pub place: Place,
    pub summary_index: u32,
    pub part: SummaryPart,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SummaryDeltaEvent {
    #[serde(flatten)]
    pub place: Place,
    pub summary_index: u32,
    pub delta: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SummaryDoneEvent {
    #[serde(flatten)]
    pub place: Place,
    pub summary_index: u32,
    pub text: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CommandOutputEvent {
    #[serde(flatten)]
    pub place: Place,
    pub delta: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorEvent {
    pub session_id: String,
    pub error: EventError,
}
