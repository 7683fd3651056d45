//! An answer as the events of the Responses API (`openai/types/responses` of the `openai` package 3.52.0).

use super::{Answer, Finish, Seen, Usage};
use serde_json::{Value, json};

/// Everything up to before the last event, and the last event.
pub(super) fn events(seen: &Seen, answer: &Answer) -> (String, String) {
    let mut out = Events { text: String::new(), number: 0 };
    let id = format!("resp_{:x}", seen.number);
    out.send("response.created", json!({ "response": response(seen, &id, "in_progress", &[], None) }));
    let mut output = Vec::new();
    if let Some(reasoning) = &answer.reasoning {
        output.push(think(&mut out, seen, reasoning));
    }
    if let Some(text) = &answer.text {
        output.push(say(&mut out, seen, output.len(), text, answer.calls.is_empty()));
    }
    for (place, (name, arguments)) in answer.calls.iter().enumerate() {
        output.push(call(&mut out, seen, output.len(), place, (name, arguments)));
    }
    let body = std::mem::take(&mut out.text);
    let status = if answer.finish == Finish::Completed { "completed" } else { "incomplete" };
    let mut response = response(seen, &id, status, &output, Some(answer.usage));
    response["incomplete_details"] = match answer.finish {
        Finish::Completed => Value::Null,
        Finish::MaxOutputTokens => json!({ "reason": "max_output_tokens" }),
        Finish::ContentFilter => json!({ "reason": "content_filter" }),
    };
    out.send(&format!("response.{status}"), json!({ "response": response }));
    (body, out.text)
}

struct Events {
    text: String,
    number: u64,
}

impl Events {
    fn send(&mut self, kind: &str, mut data: Value) {
        data["type"] = kind.into();
        data["sequence_number"] = self.number.into();
        self.number += 1;
        self.text += &format!("event: {kind}\ndata: {data}\n\n");
    }
}

fn think(out: &mut Events, seen: &Seen, text: &str) -> Value {
    let id = format!("rs_{:x}", seen.number);
    let empty = json!({ "id": id, "type": "reasoning", "summary": [], "encrypted_content": null });
    out.send("response.output_item.added", json!({ "output_index": 0, "item": empty }));
    let place = json!({ "item_id": id, "output_index": 0, "summary_index": 0 });
    let with = |key: &str, value: Value| {
        let mut event = place.clone();
        event[key] = value;
        event
    };
    let part = |text: &str| json!({ "type": "summary_text", "text": text });
    out.send("response.reasoning_summary_part.added", with("part", part("")));
    for word in text.split_inclusive(' ') {
        out.send("response.reasoning_summary_text.delta", with("delta", word.into()));
    }
    out.send("response.reasoning_summary_text.done", with("text", text.into()));
    out.send("response.reasoning_summary_part.done", with("part", part(text)));
    let item = json!({
        "id": id, "type": "reasoning", "summary": [part(text)],
        "encrypted_content": format!("gAAAA-{}", seen.number),
    });
    out.send("response.output_item.done", json!({ "output_index": 0, "item": item }));
    item
}

fn say(out: &mut Events, seen: &Seen, index: usize, text: &str, is_final: bool) -> Value {
    let id = format!("msg_{:x}", seen.number);
    let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
    let phase = if is_final { "final_answer" } else { "commentary" };
    let item = |status: &str, content: Value| json!({ "id": id, "type": "message", "status": status, "role": "assistant", "phase": phase, "content": content });
    out.send("response.output_item.added", json!({ "output_index": index, "item": item("in_progress", json!([])) }));
    let place = json!({ "item_id": id, "output_index": index, "content_index": 0 });
    let with = |pairs: &[(&str, Value)]| {
        let mut event = place.clone();
        for (key, value) in pairs {
            event[*key] = value.clone();
        }
        event
    };
    out.send("response.content_part.added", with(&[("part", part(""))]));
    for word in text.split_inclusive(' ') {
        out.send("response.output_text.delta", with(&[("delta", word.into()), ("logprobs", json!([]))]));
    }
    out.send("response.output_text.done", with(&[("text", text.into()), ("logprobs", json!([]))]));
    out.send("response.content_part.done", with(&[("part", part(text))]));
    let item = item("completed", json!([part(text)]));
    out.send("response.output_item.done", json!({ "output_index": index, "item": item }));
    item
}

fn call(out: &mut Events, seen: &Seen, index: usize, place: usize, (name, arguments): (&str, &str)) -> Value {
    let (id, call_id) = (format!("fc_{:x}_{place}", seen.number), format!("call_{:x}_{place}", seen.number));
    let item = |status: &str, arguments: &str| json!({ "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": arguments });
    out.send("response.output_item.added", json!({ "output_index": index, "item": item("in_progress", "") }));
    let of = json!({ "item_id": id, "output_index": index });
    let with = |key: &str, text: &str| {
        let mut event = of.clone();
        event[key] = text.into();
        event
    };
    let half = (0..=arguments.len() / 2).rev().find(|at| arguments.is_char_boundary(*at)).unwrap_or(0);
    for piece in [&arguments[..half], &arguments[half..]] {
        out.send("response.function_call_arguments.delta", with("delta", piece));
    }
    out.send("response.function_call_arguments.done", with("arguments", arguments));
    let item = item("completed", arguments);
    out.send("response.output_item.done", json!({ "output_index": index, "item": item }));
    item
}

/// A complete response object: every field that there is, null where it has no value.
fn response(seen: &Seen, id: &str, status: &str, output: &[Value], usage: Option<Usage>) -> Value {
    let usage = usage.map(|usage| {
        json!({
            "input_tokens": usage.input,
            "input_tokens_details": { "cached_tokens": usage.cached, "cache_write_tokens": 0 },
            "output_tokens": usage.output,
            "output_tokens_details": { "reasoning_tokens": usage.reasoning },
            "total_tokens": usage.input + usage.output,
        })
    });
    json!({
        "id": id, "object": "response", "created_at": 1_793_000_000, "completed_at": null, "status": status,
        "incomplete_details": null, "model": format!("{}-2026", seen.model), "previous_response_id": null,
        "instructions": null, "output": output, "error": null, "tools": [], "tool_choice": "auto",
        "truncation": "disabled", "parallel_tool_calls": true, "text": { "format": { "type": "text" } }, "top_p": 1.0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0, "top_logprobs": 0, "temperature": 1.0,
        "reasoning": { "effort": null, "summary": null }, "usage": usage, "max_output_tokens": null,
        "max_tool_calls": null, "store": false, "background": false, "service_tier": "default", "metadata": {},
        "safety_identifier": null, "prompt_cache_key": null,
    })
}
