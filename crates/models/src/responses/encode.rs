//! The request. Everything is borrowed, and of a history only what is new is encoded: see [`super::histories`].
//!
//! An entry whose native form came from this very endpoint and model goes back verbatim. Every other entry is written
//! from its neutral form; reasoning without a native form cannot be sent and is left out. A summary and a notice are
//! messages of the role `user` that say what they are: they may quote what a tool printed, and a role with more
//! authority would lend that to it.

use super::histories::{Histories, History};
use crate::{endpoint::Endpoint, remote::Manner, schema};
use bailiwick_core::{Content, Entry, EntryBody, ModelRequest, Phase, joined_text};
use serde::Serialize;
use serde_json::Value;
use std::{borrow::Cow, ops::Range, sync::Arc};

/// What a summary begins with, in every dialect.
pub(crate) const SUMMARY_HEAD: &str = "[Summary of the conversation so far]\n";
/// What a notice begins with, in every dialect.
pub(crate) const NOTICE_HEAD: &str = "[Notice from the system that runs you, not from a person]\n";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    include: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    prompt_cache_key: &'a str,
    store: bool,
    stream: bool,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
    strict: bool,
}

#[derive(Serialize)]
struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    schema: &'a Value,
    strict: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Message {
        role: &'static str,
        content: MessageContent<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<Phase>,
    },
    FunctionCall {
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
    },
    FunctionCallOutput {
        call_id: &'a str,
        output: MessageContent<'a>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum MessageContent<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    InputText { text: &'a str },
    InputImage { image_url: &'a str, detail: &'static str },
}

struct Input<'a> {
    origin: &'a str,
    entries: &'a [Arc<Entry>],
    without_reasoning: bool,
}

/// What follows the plain fields: `,"tools":[…],"input":[…]}`.
const AROUND: usize = 32;

pub(super) fn body(endpoint: &Endpoint, request: &ModelRequest, manner: Manner, histories: &Histories) -> Vec<u8> {
    let mut history = histories.take(&request.cache_key);
    let tools = history.tools(&request.tools, || {
        let tools: Vec<Tool<'_>> = request.tools.iter().map(tool).collect();
        json(&tools)
    });
    let input =
        Input { origin: &endpoint.origin, entries: &request.input, without_reasoning: manner.without_reasoning };
    let open = input.write(&mut history);
    let mut body = head(endpoint, request, manner);
    body.pop();
    body.reserve(tools.len() + history.items.len() + open.len() + AROUND);
    if !request.tools.is_empty() {
        body.extend_from_slice(b",\"tools\":");
        body.extend_from_slice(&tools);
    }
    body.extend_from_slice(b",\"input\":[");
    body.extend_from_slice(&history.items);
    if !open.is_empty() && !history.items.is_empty() {
        body.push(b',');
    }
    body.extend_from_slice(&open);
    body.extend_from_slice(b"]}");
    histories.give_back(&request.cache_key, history);
    body
}

/// Everything but the tools and the history.
fn head(endpoint: &Endpoint, request: &ModelRequest, manner: Manner) -> Vec<u8> {
    let ModelRequest { instructions, tools, reasoning, text, service_tier, cache_key, .. } = request;
    let (effort, summary) = (reasoning.effort.as_deref(), reasoning.summary.as_deref());
    let format = text.schema.as_ref().map(|schema| Format {
        kind: "json_schema",
        name: schema::name(schema),
        schema,
        strict: schema::is_strict(schema),
    });
    // Models without the parameter refuse it, and `medium` is what they do without it.
    let verbosity = Some(text.verbosity.as_str()).filter(|verbosity| !matches!(*verbosity, "" | "medium"));
    json(&Body {
        model: &endpoint.model,
        instructions,
        parallel_tool_calls: (!tools.is_empty()).then_some(request.parallel_tool_calls),
        reasoning: (effort.is_some() || summary.is_some()).then_some(Reasoning { effort, summary }),
        text: (format.is_some() || verbosity.is_some()).then_some(Text { format, verbosity }),
        include: if manner.without_encryption { &[] } else { &["reasoning.encrypted_content"] },
        max_output_tokens: request.max_output_tokens.or(endpoint.options.max_output_tokens),
        service_tier: Some(service_tier.as_str()).filter(|tier| !matches!(*tier, "" | "auto")),
        prompt_cache_key: cache_key,
        store: false,
        stream: true,
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // INVARIANT: every map in a request has text keys, so that it has a JSON form.
    serde_json::to_vec(value).expect("a request is JSON")
}

fn tool(spec: &bailiwick_core::ToolSpec) -> Tool<'_> {
    Tool {
        kind: "function",
        name: &spec.name,
        description: &spec.description,
        parameters: &spec.parameters,
        strict: schema::is_strict(&spec.parameters),
    }
}

impl Input<'_> {
    /// Brings the history's encoding up to these entries, and returns the encoding of those at the end that may yet
    /// change: reasoning is sent only with what it leads to.
    fn write(&self, history: &mut History) -> Vec<u8> {
        // Left out once and there the next time: nothing of it may be kept.
        if self.without_reasoning {
            history.covered(&[]);
            let mut all = Vec::new();
            self.items(0..self.entries.len(), &mut all);
            return all;
        }
        let covered = history.covered(self.entries);
        let settled = self.entries.iter().rposition(|entry| !is_reasoning(entry)).map_or(0, |last| last + 1);
        self.items(covered..settled.max(covered), &mut history.items);
        history.cover(&self.entries[..settled.max(covered)]);
        let mut open = Vec::new();
        self.items(settled.max(covered)..self.entries.len(), &mut open);
        open
    }

    /// Appends the items of some of the entries, with commas between all that is there.
    fn items(&self, places: Range<usize>, items: &mut Vec<u8>) {
        // A history that begins with the model's own words was shortened. Native items of an answer whose beginning is
        // gone would name items that are not there.
        let is_model = |entry: &Arc<Entry>| {
            matches!(entry.body, EntryBody::Assistant { .. } | EntryBody::Reasoning { .. } | EntryBody::ToolCall { .. })
        };
        let whole = self.entries.iter().position(|entry| !is_model(entry)).unwrap_or(self.entries.len());
        for place in places {
            let entry = &self.entries[place];
            let reasons = is_reasoning(entry);
            if reasons && (self.without_reasoning || !leads_to_output(&self.entries[place..])) {
                continue;
            }
            let usable = |value: &Value| !reasons || !is_hollow(value);
            match &entry.native {
                Some(native) if *native.origin == *self.origin && place >= whole && usable(&native.value) => {
                    push(items, &native.value);
                }
                _ => {
                    if let Some(item) = item(&entry.body) {
                        push(items, &item);
                    }
                }
            }
        }
    }
}

fn push(items: &mut Vec<u8>, item: &impl Serialize) {
    if !items.is_empty() {
        items.push(b',');
    }
    // INVARIANT: every map in a request has text keys, so that it has a JSON form, and memory takes every write.
    serde_json::to_writer(items, item).expect("an item is JSON");
}

fn is_reasoning(entry: &Arc<Entry>) -> bool {
    matches!(entry.body, EntryBody::Reasoning { .. })
}

/// Whether it is reasoning of which only the id came. The server keeps nothing, so that it could not be found there
/// ("Items are not persisted when `store` is set to false").
fn is_hollow(native: &Value) -> bool {
    let has = |key: &str| {
        native.get(key).is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
    };
    native.get("type").and_then(Value::as_str) == Some("reasoning") && !has("encrypted_content") && !has("content")
}

/// Whether the reasoning at the beginning belongs to a message or a call. One that was cut off by a limit leads nowhere,
/// and OpenAI refuses a request with it ("reasoning was provided without its required following item").
fn leads_to_output(entries: &[Arc<Entry>]) -> bool {
    let next = entries.iter().find(|entry| !is_reasoning(entry));
    next.is_some_and(|entry| matches!(entry.body, EntryBody::Assistant { .. } | EntryBody::ToolCall { .. }))
}

fn item(body: &EntryBody) -> Option<Item<'_>> {
    let user = |text: String| Item::Message { role: "user", content: MessageContent::Text(text.into()), phase: None };
    Some(match body {
        EntryBody::User { content } => {
            Item::Message { role: "user", content: MessageContent::Parts(parts(content)), phase: None }
        }
        EntryBody::Assistant { text, phase } => {
            Item::Message { role: "assistant", content: MessageContent::Text(text.into()), phase: *phase }
        }
        EntryBody::Reasoning { .. } => return None,
        EntryBody::ToolCall { call_id, name, arguments } => Item::FunctionCall { call_id, name, arguments },
        EntryBody::ToolResult { call_id, content, failed: _ } => {
            Item::FunctionCallOutput { call_id, output: output(content) }
        }
        EntryBody::Summary { text } => user(format!("{SUMMARY_HEAD}{text}")),
        EntryBody::Notice { text } => user(format!("{NOTICE_HEAD}{text}")),
    })
}

/// Text alone is sent as text, which every server takes; images need the list form.
fn output(content: &[Content]) -> MessageContent<'_> {
    match content {
        [Content::Text { text }] => MessageContent::Text(text.into()),
        _ if content.iter().all(|part| matches!(part, Content::Text { .. })) => {
            MessageContent::Text(joined_text(content).into())
        }
        _ => MessageContent::Parts(parts(content)),
    }
}

fn parts(content: &[Content]) -> Vec<Part<'_>> {
    content
        .iter()
        .map(|part| match part {
            Content::Text { text } => Part::InputText { text },
            Content::Image { url } => Part::InputImage { image_url: url, detail: "auto" },
        })
        .collect()
}
