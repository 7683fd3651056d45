//! Frames recorded from the stock executor 0.169.0: `>` was sent to it, `<` came from it. What we encode must be what it
//! took, and we must read all that it says.

#![allow(clippy::unwrap_used)]

use bailiwick_executor_protocol::*;
use serde_json::Value;
use std::collections::HashMap;

const FRAMES: &str = include_str!("golden/stock-0.169.0.txt");

/// Decodes `text` as `T`, encodes it again, and asks that nothing we know of was lost or changed: every member of
/// the new text is in the old one. Returns the new text.
fn through<T: serde::Serialize + serde::de::DeserializeOwned>(text: &str) -> Value {
    let typed: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let (old, new): (Value, Value) = (serde_json::from_str(text).unwrap(), serde_json::to_value(typed).unwrap());
    contains(&old, &new, text);
    new
}

fn contains(old: &Value, new: &Value, text: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                contains(old.get(name).unwrap_or(&Value::Null), value, text);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "{text}");
            old.iter().zip(new).for_each(|(old, new)| contains(old, new, text));
        }
        _ => assert_eq!(old, new, "{text}"),
    }
}

/// Calls `through` with the parameters or the result of the named method.
macro_rules! by_method {
    ($method:expr, $part:ident, $text:expr; $($name:ident)*) => {
        match $method {
            $(<$name as Method>::NAME => through::<<$name as Method>::$part>($text),)*
            other => panic!("no type for `{other}`"),
        }
    };
}

fn check_params(method: &str, text: &str) -> Value {
    by_method!(method, Params, text; Initialize GetEnvironmentInfo ProcessStart ProcessRead ProcessWrite ProcessSignal
        ProcessTerminate FsReadFile FsWriteFile FsOpen FsReadBlock FsWriteBlock FsClose FsCreateDirectory FsGetMetadata
        FsCanonicalize FsReadDirectory FsWalk FsRemove FsCopy)
}

fn check_result(method: &str, text: &str) -> Value {
    by_method!(method, Result, text; Initialize GetEnvironmentInfo ProcessStart ProcessRead ProcessWrite ProcessSignal
        ProcessTerminate FsReadFile FsWriteFile FsOpen FsReadBlock FsWriteBlock FsClose FsCreateDirectory FsGetMetadata
        FsCanonicalize FsReadDirectory FsWalk FsRemove FsCopy)
}

#[test]
fn every_recorded_frame_passes_through_our_types() {
    let mut asked = HashMap::new();
    let (mut answers, mut refusals, mut notices) = (0, 0, 0);
    for line in FRAMES.lines() {
        let (side, frame) = line.split_at(2);
        match (side, Message::decode(frame).unwrap()) {
            ("> ", Message::Request { id, method, params }) => {
                if method == "nosuch/method" {
                    asked.insert(id, method);
                    continue;
                }
                let sent: Value = serde_json::from_str(params.as_ref().unwrap().get()).unwrap();
                assert_eq!(check_params(&method, params.unwrap().get()), sent, "we would encode it differently");
                asked.insert(id, method);
            }
            ("> ", Message::Notification { method, params }) => {
                assert_eq!(method, Initialized::NAME);
                through::<Initialized>(params.unwrap().get());
            }
            ("< ", Message::Response { id, result: Ok(result) }) => {
                check_result(&asked[&id], result.get());
                answers += 1;
            }
            ("< ", Message::Response { result: Err(error), .. }) => {
                assert!(error.code < -32000 && !error.message.is_empty());
                refusals += 1;
            }
            ("< ", Message::Notification { method, params }) => {
                let params = params.unwrap();
                match method.as_str() {
                    ProcessOutput::NAME => through::<ProcessOutput>(params.get()),
                    ProcessExited::NAME => through::<ProcessExited>(params.get()),
                    ProcessClosed::NAME => through::<ProcessClosed>(params.get()),
                    other => panic!("no type for `{other}`"),
                };
                notices += 1;
            }
            (side, other) => panic!("{side}{other:?}"),
        }
    }
    assert!(answers > 25 && refusals > 8 && notices > 12, "{answers} {refusals} {notices}");
}

#[test]
fn the_codes_are_the_ones_that_the_stock_executor_uses() {
    for (code, part) in [
        (code::NOT_FOUND, "No such file"),
        (code::NOT_FOUND, "unknown file handle"),
        (code::SESSION_ATTACHED, "already attached"),
        (code::INVALID_REQUEST, "already exists"),
        (code::INVALID_REQUEST, "unknown process id"),
        (code::INVALID_REQUEST, "unknown session id"),
        (code::INVALID_PARAMS, "argv must not be empty"),
        (code::METHOD_NOT_FOUND, "does not implement"),
        (code::INTERNAL, "No such file or directory"),
    ] {
        let found = FRAMES.lines().any(|line| line.contains(&format!("\"code\":{code}")) && line.contains(part));
        assert!(found, "{code} {part}");
    }
}

#[test]
fn our_frames_have_the_recorded_form() {
    let params = ProcessParams { process_id: "p5".into() };
    let frame = request::<ProcessTerminate>(&RequestId::Number(18), &params);
    assert_eq!(frame, r#"{"id":18,"method":"process/terminate","params":{"processId":"p5"}}"#);
    let refusal: Result<Empty, _> = Err(RpcError::new(code::INVALID_REQUEST, "process p1 already exists"));
    let frame = response(&RequestId::Number(4), &refusal);
    assert_eq!(frame, r#"{"id":4,"error":{"code":-32600,"message":"process p1 already exists"}}"#);
    let frame = notification(&ProcessClosed { process_id: "p1".into(), seq: 4 });
    assert_eq!(frame, r#"{"method":"process/closed","params":{"processId":"p1","seq":4}}"#);
    assert_eq!(notification(&Initialized {}), r#"{"method":"initialized","params":{}}"#);
}
