//! An answer as the chunks of a chat completion (`openai/types/chat` of the `openai` package 3.52.0).

use super::{Answer, Finish, Seen};
use serde_json::{Value, json};

/// Everything up to before the chunk that finishes, and the rest.
pub(super) fn events(seen: &Seen, answer: &Answer) -> (String, String) {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": format!("chatcmpl-{:x}", seen.number), "object": "chat.completion.chunk", "created": 1_793_000_000,
            "model": format!("{}-2026", seen.model), "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value| chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]), Value::Null);
    let mut body = delta(json!({ "role": "assistant", "content": "" }));
    for word in answer.reasoning.iter().flat_map(|text| text.split_inclusive(' ')) {
        body += &delta(json!({ "reasoning_content": word }));
    }
    for word in answer.text.iter().flat_map(|text| text.split_inclusive(' ')) {
        body += &delta(json!({ "content": word }));
    }
    for (index, (name, arguments)) in answer.calls.iter().enumerate() {
        let id = format!("call_{:x}_{index}", seen.number);
        let function = json!({ "name": name, "arguments": "" });
        body +=
            &delta(json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] }));
        let half = (0..=arguments.len() / 2).rev().find(|at| arguments.is_char_boundary(*at)).unwrap_or(0);
        for piece in [&arguments[..half], &arguments[half..]] {
            body += &delta(json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] }));
        }
    }
    let reason = match answer.finish {
        Finish::Completed if answer.calls.is_empty() => "stop",
        Finish::Completed => "tool_calls",
        Finish::MaxOutputTokens => "length",
        Finish::ContentFilter => "content_filter",
    };
    let usage = json!({
        "prompt_tokens": answer.usage.input,
        "completion_tokens": answer.usage.output,
        "total_tokens": answer.usage.input + answer.usage.output,
        "prompt_tokens_details": { "cached_tokens": answer.usage.cached },
        "completion_tokens_details": { "reasoning_tokens": answer.usage.reasoning },
    });
    let end = chunk(json!([{ "index": 0, "delta": {}, "finish_reason": reason }]), Value::Null)
        + &chunk(json!([]), usage)
        + "data: [DONE]\n\n";
    (body, end)
}
