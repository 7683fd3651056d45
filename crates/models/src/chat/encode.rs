//! The request. Its messages follow the rules that the strictest chat templates make:
//!
//! - one system message at most, and it is the first;
//! - messages of a person that follow each other become one, and so do those of the model;
//! - the results of an answer's calls follow it at once, in the order of the calls, also when something was said
//!   between; a result can hold text only, so that its images follow in a message of the role `user`;
//! - arguments that are not a JSON object would make some servers refuse the whole history: they are wrapped as
//!   `{"malformed_arguments": "..."}`;
//! - a summary and a notice are messages of the role `user` that say what they are (why: see `responses/encode.rs`);
//! - reasoning goes back only where it came from, in the field it came in, and only within the same turn.

use crate::{
    endpoint::Endpoint,
    remote::Manner,
    responses::{NOTICE_HEAD, SUMMARY_HEAD},
    schema,
};
use bailiwick_core::{Content, Entry, EntryBody, ModelRequest};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, collections::HashMap, sync::Arc};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    /// What OpenAI's newer models take.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    /// What every other server takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'a str,
    schema: &'a Value,
    strict: bool,
}

/// One message while it is put together.
enum Message<'a> {
    System(&'a str),
    User(Vec<Part<'a>>),
    Assistant { text: Option<Cow<'a, str>>, reasoning: Option<Thought<'a>>, calls: Vec<Call<'a>> },
    Tool { call_id: &'a str, text: Cow<'a, str> },
}

/// A field's name and the reasoning in it.
type Thought<'a> = (&'a str, Cow<'a, str>);

struct Call<'a> {
    id: &'a str,
    name: &'a str,
    arguments: &'a str,
    /// Fields beyond the format that this very server sent with the call and wants back.
    extra: Option<&'a serde_json::Map<String, Value>>,
}

#[derive(Serialize, Clone)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize, Clone)]
struct ImageUrl<'a> {
    url: &'a str,
}

pub(super) fn body(endpoint: &Endpoint, request: &ModelRequest, manner: Manner) -> Vec<u8> {
    let ModelRequest { tools, reasoning, text, service_tier, cache_key, .. } = request;
    let response_format = text.schema.as_ref().map(|schema| ResponseFormat {
        kind: "json_schema",
        json_schema: JsonSchema { name: schema::name(schema), schema, strict: schema::is_strict(schema) },
    });
    let newer_limit = endpoint.is_openai || manner.newer_limit;
    let most = request.max_output_tokens.or(endpoint.options.max_output_tokens);
    let body = Body {
        model: &endpoint.model,
        messages: messages(endpoint, request),
        tools: tools
            .iter()
            .map(|tool| Tool {
                kind: "function",
                function: Function { name: &tool.name, description: &tool.description, parameters: &tool.parameters },
            })
            .collect(),
        parallel_tool_calls: (!tools.is_empty()).then_some(request.parallel_tool_calls),
        reasoning_effort: reasoning.effort.as_deref(),
        verbosity: Some(text.verbosity.as_str()).filter(|verbosity| !matches!(*verbosity, "" | "medium")),
        response_format,
        max_completion_tokens: most.filter(|_| newer_limit),
        max_tokens: most.filter(|_| !newer_limit),
        service_tier: Some(service_tier.as_str()).filter(|tier| !matches!(*tier, "" | "auto")),
        prompt_cache_key: Some(cache_key.as_str()).filter(|key| endpoint.is_openai && !key.is_empty()),
        store: endpoint.is_openai.then_some(false),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
    };
    // INVARIANT: every map in it has text keys, so that it has a JSON form.
    serde_json::to_vec(&body).expect("a request is JSON")
}

fn messages<'a>(endpoint: &'a Endpoint, request: &'a ModelRequest) -> Vec<Message<'a>> {
    let mut writer = Writer {
        origin: &endpoint.origin,
        turn: request.input.iter().rposition(|entry| matches!(entry.body, EntryBody::User { .. })).unwrap_or(0),
        results: results(&request.input),
        messages: Vec::new(),
        images: Vec::new(),
    };
    if !request.instructions.is_empty() {
        writer.messages.push(Message::System(&request.instructions));
    }
    for (place, entry) in request.input.iter().enumerate() {
        writer.entry(place, entry);
    }
    writer.close_calls();
    writer.messages
}

/// Results by call id, each with those of the same id in order: some servers give every call the same id.
fn results(input: &[Arc<Entry>]) -> HashMap<&str, Vec<&[Content]>> {
    let mut results: HashMap<&str, Vec<&[Content]>> = HashMap::new();
    for entry in input.iter().rev() {
        if let EntryBody::ToolResult { call_id, content, .. } = &entry.body {
            results.entry(call_id).or_default().push(content);
        }
    }
    results
}

struct Writer<'a> {
    origin: &'a str,
    /// The place of the last message of a person.
    turn: usize,
    results: HashMap<&'a str, Vec<&'a [Content]>>,
    messages: Vec<Message<'a>>,
    /// Images of results, for the message after them.
    images: Vec<Part<'a>>,
}

impl<'a> Writer<'a> {
    fn entry(&mut self, place: usize, entry: &'a Entry) {
        let native = entry.native.as_ref().filter(|native| *native.origin == *self.origin).map(|native| &native.value);
        match &entry.body {
            EntryBody::User { content } => self.user(parts(content)),
            EntryBody::Summary { text } => self.user(vec![said(SUMMARY_HEAD, text)]),
            EntryBody::Notice { text } => self.user(vec![said(NOTICE_HEAD, text)]),
            EntryBody::Assistant { text: more, .. } => {
                let (text, _, _) = self.assistant();
                *text = Some(match text.take() {
                    Some(before) => format!("{before}\n\n{more}").into(),
                    None => more.into(),
                });
            }
            EntryBody::Reasoning { .. } => {
                let field = native.and_then(|native| native.get("field")).and_then(Value::as_str);
                let thought = native.and_then(|native| native.get("text")).and_then(Value::as_str);
                if let (Some(field), Some(thought)) = (field, thought)
                    && place > self.turn
                {
                    let (_, reasoning, _) = self.assistant();
                    *reasoning = Some(match reasoning.take() {
                        Some((_, before)) => (field, format!("{before}{thought}").into()),
                        None => (field, thought.into()),
                    });
                }
            }
            EntryBody::ToolCall { call_id, name, arguments } => {
                let extra = native.and_then(Value::as_object);
                let (_, _, calls) = self.assistant();
                calls.push(Call { id: call_id, name, arguments, extra });
            }
            // Written after its call. One whose call is no longer there has nothing to follow.
            EntryBody::ToolResult { .. } => self.close_calls(),
        }
    }

    /// The message of the model that is being written. It ends where results or a person's words follow.
    fn assistant(&mut self) -> (&mut Option<Cow<'a, str>>, &mut Option<Thought<'a>>, &mut Vec<Call<'a>>) {
        if !matches!(self.messages.last(), Some(Message::Assistant { .. })) {
            self.messages.push(Message::Assistant { text: None, reasoning: None, calls: Vec::new() });
        }
        match self.messages.last_mut() {
            Some(Message::Assistant { text, reasoning, calls }) => (text, reasoning, calls),
            // INVARIANT: the last message is the model's, or was just pushed.
            _ => unreachable!("the last message is the model's"),
        }
    }

    fn user(&mut self, mut parts: Vec<Part<'a>>) {
        self.close_calls();
        match self.messages.last_mut() {
            Some(Message::User(before)) => before.append(&mut parts),
            _ => self.messages.push(Message::User(parts)),
        }
    }

    /// Writes the results of the calls at the end, in the order of the calls.
    fn close_calls(&mut self) {
        let ids: Vec<&'a str> = match self.messages.last() {
            Some(Message::Assistant { calls, .. }) => calls.iter().map(|call| call.id).collect(),
            _ => return,
        };
        for call_id in ids {
            let Some(content) = self.results.get_mut(call_id).and_then(Vec::pop) else { continue };
            let images = content.iter().filter(|part| matches!(part, Content::Image { .. })).count();
            let mut text = texts(content);
            if images > 0 {
                let note = if images == 1 {
                    "[The image is in the next message.]"
                } else {
                    "[The images are in the next message.]"
                };
                text = if text.is_empty() { note.into() } else { format!("{text}\n{note}").into() };
                self.images.extend(parts(content).into_iter().filter(|part| matches!(part, Part::ImageUrl { .. })));
            }
            self.messages.push(Message::Tool { call_id, text });
        }
        if !self.images.is_empty() {
            let images = std::mem::take(&mut self.images);
            self.messages.push(Message::User(images));
        }
    }
}

fn said<'a>(head: &str, text: &str) -> Part<'a> {
    Part::Text { text: format!("{head}{text}").into() }
}

fn parts(content: &[Content]) -> Vec<Part<'_>> {
    content
        .iter()
        .map(|part| match part {
            Content::Text { text } => Part::Text { text: text.into() },
            Content::Image { url } => Part::ImageUrl { image_url: ImageUrl { url } },
        })
        .collect()
}

/// The texts, borrowed where there is one.
fn texts(content: &[Content]) -> Cow<'_, str> {
    match content {
        [Content::Text { text }] => text.into(),
        _ => bailiwick_core::joined_text(content).into(),
    }
}

/// Arguments as the strictest servers take them: the text of a JSON object.
fn arguments(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if text.is_empty() {
        return "{}".into();
    }
    let is_object = text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok();
    if is_object { text.into() } else { serde_json::json!({ "malformed_arguments": text }).to_string().into() }
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::System(text) => {
                map.serialize_entry("role", "system")?;
                map.serialize_entry("content", text)?;
            }
            Self::User(parts) => {
                map.serialize_entry("role", "user")?;
                match only_text(parts) {
                    Some(text) => map.serialize_entry("content", &text)?,
                    None => map.serialize_entry("content", parts)?,
                }
            }
            Self::Assistant { text, reasoning, calls } => {
                map.serialize_entry("role", "assistant")?;
                // Without calls it must be a text; some templates cannot do without it beside calls either.
                map.serialize_entry("content", text.as_deref().unwrap_or_default())?;
                if let Some((field, text)) = reasoning {
                    map.serialize_entry(field, text)?;
                }
                if !calls.is_empty() {
                    map.serialize_entry("tool_calls", calls)?;
                }
            }
            Self::Tool { call_id, text } => {
                map.serialize_entry("role", "tool")?;
                map.serialize_entry("tool_call_id", call_id)?;
                map.serialize_entry("content", text)?;
            }
        }
        map.end()
    }
}

impl Serialize for Call<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Function<'a> {
            name: &'a str,
            arguments: Cow<'a, str>,
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", self.id)?;
        map.serialize_entry("type", "function")?;
        map.serialize_entry("function", &Function { name: self.name, arguments: arguments(self.arguments) })?;
        for (key, value) in self.extra.into_iter().flatten() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A plain text, which every server takes, where there is no image.
fn only_text<'a>(parts: &'a [Part<'_>]) -> Option<Cow<'a, str>> {
    match parts {
        [Part::Text { text }] => Some(Cow::Borrowed(text)),
        _ => {
            let texts: Option<Vec<&str>> = parts
                .iter()
                .map(|part| match part {
                    Part::Text { text } => Some(&**text),
                    Part::ImageUrl { .. } => None,
                })
                .collect();
            texts.map(|texts| texts.join("\n\n").into())
        }
    }
}
