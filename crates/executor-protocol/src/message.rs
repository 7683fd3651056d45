//! The envelope: requests, notifications, answers.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use std::{borrow::Cow, fmt};

/// One method of the protocol: its name and the shapes of its parameters and its result.
pub trait Method {
    const NAME: &'static str;
    type Params: Serialize + DeserializeOwned + Send;
    type Result: Serialize + DeserializeOwned + Send;
}

/// One notification of the protocol.
pub trait Notice: Serialize + DeserializeOwned {
    const NAME: &'static str;
}

/// `{}`; whatever else the other side puts into it is ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// What a request and its answer have in common. The stock executor takes and gives back both kinds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RequestId {
    Number(i64),
    Text(String),
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// One of [`code`].
    pub code: i64,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

/// The codes that the stock executor uses.
pub mod code {
    /// No such file, no such handle.
    pub const NOT_FOUND: i64 = -32004;
    /// The session to resume is still attached to another connection: try again soon.
    pub const SESSION_ATTACHED: i64 = -32010;
    /// The request makes no sense now: unknown process, process exists already, unknown session.
    pub const INVALID_REQUEST: i64 = -32600;
    pub const METHOD_NOT_FOUND: i64 = -32601;
    pub const INVALID_PARAMS: i64 = -32602;
    /// The system refused, and the message says why.
    pub const INTERNAL: i64 = -32603;
}

impl RpcError {
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for RpcError {}

/// One decoded frame.
#[derive(Debug)]
pub enum Message {
    Request { id: RequestId, method: String, params: Option<Box<RawValue>> },
    Notification { method: String, params: Option<Box<RawValue>> },
    Response { id: RequestId, result: Result<Box<RawValue>, RpcError> },
}

/// Why a frame is not a message.
#[derive(Debug)]
pub struct MessageError(String);

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MessageError {}

impl Message {
    /// Decodes one text frame. Members that it does not know are ignored.
    pub fn decode(text: &str) -> Result<Self, MessageError> {
        #[derive(Deserialize)]
        struct Frame<'a> {
            id: Option<RequestId>,
            #[serde(borrow)]
            method: Option<Cow<'a, str>>,
            params: Option<Box<RawValue>>,
            // A result may be `null`, which is not the same as none.
            #[serde(default, deserialize_with = "present")]
            result: Option<Box<RawValue>>,
            error: Option<RpcError>,
        }
        let frame: Frame<'_> = serde_json::from_str(text).map_err(|error| MessageError(error.to_string()))?;
        match (frame.id, frame.method, frame.result, frame.error) {
            (Some(id), Some(method), None, None) => {
                Ok(Self::Request { id, method: method.into_owned(), params: frame.params })
            }
            (None, Some(method), None, None) => {
                Ok(Self::Notification { method: method.into_owned(), params: frame.params })
            }
            (Some(id), None, Some(result), None) => Ok(Self::Response { id, result: Ok(result) }),
            (Some(id), None, None, Some(error)) => Ok(Self::Response { id, result: Err(error) }),
            _ => Err(MessageError("a frame must be a request, a notification or an answer".to_owned())),
        }
    }
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Encodes a request.
pub fn request<M: Method>(id: &RequestId, params: &M::Params) -> String {
    #[derive(Serialize)]
    struct Frame<'a, P> {
        id: &'a RequestId,
        method: &'a str,
        params: &'a P,
    }
    encode(&Frame { id, method: M::NAME, params })
}

/// Encodes a notification.
pub fn notification<N: Notice>(params: &N) -> String {
    #[derive(Serialize)]
    struct Frame<'a, P> {
        method: &'a str,
        params: &'a P,
    }
    encode(&Frame { method: N::NAME, params })
}

/// Encodes the answer to a request.
pub fn response<R: Serialize>(id: &RequestId, result: &Result<R, RpcError>) -> String {
    #[derive(Serialize)]
    struct Frame<'a, R> {
        id: &'a RequestId,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<&'a R>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a RpcError>,
    }
    encode(&Frame { id, result: result.as_ref().ok(), error: result.as_ref().err() })
}

fn encode(frame: &impl Serialize) -> String {
    // INVARIANT: frames hold only strings, numbers, booleans, lists and maps with string keys, which are always JSON.
    let raw = to_raw_value(frame).expect("a frame is JSON");
    String::from(Box::<str>::from(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_message_is_refused() {
        for text in ["", "1", "[]", "{}", r#"{"id":1}"#, r#"{"id":1,"method":"x","result":1}"#, r#"{"method":7}"#] {
            assert!(Message::decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_null_result_is_an_answer() {
        let message = Message::decode(r#"{"id":"a","result":null}"#).expect("message");
        assert!(matches!(message, Message::Response { id: RequestId::Text(id), result: Ok(_) } if id == "a"));
    }
}
