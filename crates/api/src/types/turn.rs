//! Turns and what they consumed.

use super::extra::Who;
use bailiwick_core::item::{TurnStatus, TurnView};
use bailiwick_types::{SessionId, TokenUsage};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Turn {
    pub id: String,
    pub object: &'static str,
    pub session_id: String,
    pub agent_id: String,
    pub subagent_id: Option<String>,
    /// `in_progress`, `waiting`, `completed`, `failed` or `cancelled`.
    pub status: &'static str,
    /// Seconds since 1970.
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub completed_at: Option<i64>,
    pub error: Option<TurnError>,
    pub usage: Option<Usage>,
    pub prompt_cache_options: Option<super::session::PromptCacheOptions>,
    pub bailiwick: TurnExtras,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TurnExtras {
    #[serde(flatten)]
    pub who: Who,
    /// The rule that ended the turn: the policy, or a stop (`stopped`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<String>,
    /// Model calls so far.
    pub steps: u32,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TurnError {
    /// One of the API's 24 codes (`SessionTurnError`).
    pub code: String,
    pub message: String,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = TokenUsage)]
pub struct Usage {
    pub input_tokens: u64,
    pub input_tokens_details: InputTokensDetails,
    pub output_tokens: u64,
    pub output_tokens_details: OutputTokensDetails,
    pub total_tokens: u64,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct InputTokensDetails {
    pub cached_tokens: u64,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct OutputTokensDetails {
    pub reasoning_tokens: u64,
}

impl From<TokenUsage> for Usage {
    fn from(usage: TokenUsage) -> Self {
        Self {
            input_tokens: usage.input,
            input_tokens_details: InputTokensDetails { cached_tokens: usage.cached_input },
            output_tokens: usage.output,
            output_tokens_details: OutputTokensDetails { reasoning_tokens: usage.reasoning_output },
            total_tokens: usage.total(),
        }
    }
}

impl Turn {
    pub fn of(session: SessionId, turn: &TurnView) -> Self {
        Self {
            id: turn.id.to_string(),
            object: "agent.session.turn",
            session_id: session.to_string(),
            agent_id: turn.agent.to_string(),
            subagent_id: None,
            status: match turn.status {
                TurnStatus::InProgress => "in_progress",
                TurnStatus::Waiting => "waiting",
                TurnStatus::Completed => "completed",
                TurnStatus::Failed => "failed",
                TurnStatus::Cancelled => "cancelled",
            },
            created_at: turn.created.as_seconds(),
            started_at: Some(turn.created.as_seconds()),
            completed_at: turn.completed.map(|at| at.as_seconds()),
            error: turn
                .error
                .as_ref()
                .map(|error| TurnError { code: error.code.clone(), message: error.message.clone() }),
            usage: Some(turn.usage.into()),
            prompt_cache_options: None,
            bailiwick: TurnExtras {
                who: Who::of(&turn.orderer, turn.agent),
                denied_by: turn.error.as_ref().and_then(|error| error.denied_by.clone()),
                steps: turn.steps,
            },
        }
    }
}
