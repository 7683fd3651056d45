//! `openai-responses`: the OpenAI Responses API, streamed and without storage on the provider's side.
//!
//! Source of the format: the types of the `openai` package 3.52.0 for Python, `openai/types/responses`.

mod decode;
mod encode;
mod histories;

pub(crate) use encode::{NOTICE_HEAD, SUMMARY_HEAD};

use crate::{
    endpoint::Endpoint,
    remote::{Decoder, Dialect, Manner},
    trouble::Trouble,
};
use bailiwick_core::{FailureCode, ModelRequest};
use bailiwick_types::ActionId;

/// The dialect, with what it has encoded of its sessions' histories.
#[derive(Default)]
pub(crate) struct Responses(histories::Histories);

impl Dialect for Responses {
    fn path(&self) -> &'static str {
        "/responses"
    }

    fn encode(&self, endpoint: &Endpoint, request: &ModelRequest, manner: Manner) -> Vec<u8> {
        encode::body(endpoint, request, manner, &self.0)
    }

    /// In OpenAI's words: "Encrypted content is not supported with this model." (models that do not reason) and "The
    /// encrypted content gAAA... could not be verified." (another organisation's key, or one that has expired).
    fn concede(&self, manner: Manner, trouble: &Trouble) -> Option<Manner> {
        let said = trouble.said.as_deref()?.to_ascii_lowercase();
        if trouble.code != FailureCode::InvalidRequest || !said.contains("encrypted content") {
            None
        } else if said.contains("not supported") {
            Some(Manner { without_encryption: true, ..manner })
        } else {
            Some(Manner { without_reasoning: true, ..manner })
        }
    }

    fn decoder(&self, endpoint: &Endpoint, _request: &ModelRequest, action: ActionId) -> Box<dyn Decoder> {
        Box::new(decode::Reader::new(action, &endpoint.origin))
    }
}
