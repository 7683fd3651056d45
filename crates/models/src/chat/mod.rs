//! `openai-chat`: OpenAI chat completions, streamed, as vLLM, Ollama, llama.cpp, LiteLLM and many others serve them.
//!
//! Source of the format: the types of the `openai` package 3.52.0 for Python, `openai/types/chat`; the deviations that
//! are borne are named where they are handled.

mod decode;
mod encode;

use crate::{
    endpoint::Endpoint,
    remote::{Decoder, Dialect, Manner},
    trouble::Trouble,
};
use bailiwick_core::{EntryBody, FailureCode, ModelRequest};
use bailiwick_types::ActionId;
use std::collections::HashSet;

pub(crate) struct Chat;

impl Dialect for Chat {
    fn path(&self) -> &'static str {
        "/chat/completions"
    }

    fn encode(&self, endpoint: &Endpoint, request: &ModelRequest, manner: Manner) -> Vec<u8> {
        encode::body(endpoint, request, manner)
    }

    /// In OpenAI's words, which a proxy hands on: "Unsupported parameter: 'max_tokens' is not supported with this
    /// model. Use 'max_completion_tokens' instead."
    fn concede(&self, manner: Manner, trouble: &Trouble) -> Option<Manner> {
        let asks = trouble.said.as_deref().is_some_and(|said| said.contains("max_completion_tokens"));
        (trouble.code == FailureCode::InvalidRequest && asks).then_some(Manner { newer_limit: true, ..manner })
    }

    fn decoder(&self, endpoint: &Endpoint, request: &ModelRequest, action: ActionId) -> Box<dyn Decoder> {
        let taken: HashSet<String> = request
            .input
            .iter()
            .filter_map(|entry| match &entry.body {
                EntryBody::ToolCall { call_id, .. } => Some(call_id.clone()),
                _ => None,
            })
            .collect();
        Box::new(decode::Reader::new(action, &endpoint.origin, taken))
    }
}
