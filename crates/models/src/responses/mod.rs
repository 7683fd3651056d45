//! `openai-responses`: the OpenAI Responses API, streamed and without storage on the provider's side.
//!
//! Source of the format: the types of the `openai` package 3.52.0 for Python, `openai/types/responses`.

mod decode;
mod encode;

pub(crate) use encode::{NOTICE_HEAD, SUMMARY_HEAD};

use crate::{
    endpoint::Endpoint,
    remote::{Decoder, Dialect},
};
use bailiwick_core::ModelRequest;
use bailiwick_types::ActionId;

pub(crate) struct Responses;

impl Dialect for Responses {
    fn path(&self) -> &'static str {
        "/responses"
    }

    fn encode(&self, endpoint: &Endpoint, request: &ModelRequest) -> Vec<u8> {
        encode::body(endpoint, request)
    }

    fn decoder(&self, endpoint: &Endpoint, _request: &ModelRequest, action: ActionId) -> Box<dyn Decoder> {
        Box::new(decode::Reader::new(action, &endpoint.origin))
    }
}
