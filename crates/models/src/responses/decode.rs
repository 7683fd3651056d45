//! The events of a streamed response. Items are taken from `response.output_item.done`, which holds them whole; the
//! deltas before it are for whoever watches, and for an item that was cut by a limit.

use crate::{
    draft::{Draft, ItemBody},
    remote::Decoder,
    trouble::{ProviderError, Trouble},
};
use bailiwick_core::{FailureCode, ModelAnswer, Phase, Stop};
use bailiwick_gate::Delta;
use bailiwick_types::{ActionId, TokenUsage};
use serde::Deserialize;
use serde_json::Value;
use std::{borrow::Cow, collections::HashMap, sync::Arc};

pub(super) struct Reader {
    draft: Draft,
    /// `output_index` → place in the draft.
    places: HashMap<u64, usize>,
    /// Reasoning items that have a summary: their raw reasoning text is not shown beside it.
    summarised: Vec<u64>,
    response_id: Option<String>,
    model: String,
    end: Option<End>,
}

struct End {
    stop: Stop,
    usage: TokenUsage,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ItemEvent {
    output_index: u64,
    item: Value,
}

#[derive(Deserialize)]
struct DeltaEvent {
    output_index: u64,
    #[serde(default)]
    summary_index: usize,
    #[serde(default)]
    content_index: usize,
    delta: String,
}

#[derive(Deserialize)]
struct ResponseEvent {
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    incomplete_details: Option<IncompleteDetails>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    output: Vec<Value>,
}

#[derive(Deserialize)]
struct IncompleteDetails {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: u64,
    #[serde(default)]
    input_tokens_details: Option<InputDetails>,
    output_tokens: u64,
    #[serde(default)]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input_tokens,
            cached_input: usage.input_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
            output: usage.output_tokens,
            reasoning_output: usage.output_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        }
    }
}

impl Reader {
    pub(super) fn new(action: ActionId, origin: &Arc<str>) -> Self {
        Self {
            draft: Draft::new(action, origin),
            places: HashMap::new(),
            summarised: Vec::new(),
            response_id: None,
            model: String::new(),
            end: None,
        }
    }

    /// The place of the item at `index`, opened as `body` when it is new.
    fn place(&mut self, index: u64, body: impl FnOnce() -> ItemBody) -> Result<usize, Trouble> {
        match self.places.get(&index) {
            Some(place) => Ok(*place),
            None => {
                let place = self.draft.open(body())?;
                self.places.insert(index, place);
                Ok(place)
            }
        }
    }

    fn text(&mut self, event: DeltaEvent, emit: &mut dyn FnMut(Delta)) -> Result<(), Trouble> {
        let place = self.place(event.output_index, || ItemBody::Message { text: String::new(), phase: None })?;
        self.draft.say(place, &event.delta, emit);
        Ok(())
    }

    fn summary(&mut self, event: DeltaEvent, emit: &mut dyn FnMut(Delta)) -> Result<(), Trouble> {
        if !self.summarised.contains(&event.output_index) {
            self.summarised.push(event.output_index);
        }
        let place = self.place(event.output_index, ItemBody::default)?;
        self.draft.think(place, event.summary_index, &event.delta, emit)
    }

    /// Raw reasoning, as open models stream it. It stands for the summary where there is none.
    fn reasoning(&mut self, event: DeltaEvent, emit: &mut dyn FnMut(Delta)) -> Result<(), Trouble> {
        if self.summarised.contains(&event.output_index) {
            return Ok(());
        }
        let place = self.place(event.output_index, ItemBody::default)?;
        self.draft.think(place, event.content_index, &event.delta, emit)
    }

    fn arguments(&mut self, event: DeltaEvent) -> Result<(), Trouble> {
        let Some(place) = self.places.get(&event.output_index) else {
            return Err(Trouble::malformed("it has arguments for a call that was not begun"));
        };
        if let Some(ItemBody::Call { arguments, .. }) = self.draft.items.get_mut(*place).map(|item| &mut item.body) {
            arguments.push_str(&event.delta);
        }
        Ok(())
    }

    fn item(&mut self, event: ItemEvent, is_done: bool) -> Result<(), Trouble> {
        let body = body(&event.item)?;
        let place = self.place(event.output_index, ItemBody::default)?;
        let item = &mut self.draft.items[place];
        // What is added is empty, or the beginning of what the deltas repeat.
        item.body = match body {
            body if is_done => body,
            ItemBody::Message { phase, .. } => ItemBody::Message { text: String::new(), phase },
            ItemBody::Reasoning { .. } => ItemBody::default(),
            ItemBody::Call { call_id, name, .. } => ItemBody::Call { call_id, name, arguments: String::new() },
        };
        item.native = is_done.then_some(event.item);
        Ok(())
    }

    fn ended(&mut self, response: Response, stop: Stop) -> Result<(), Trouble> {
        // An item without a `done` event: cut by a limit, or a server that sends none.
        for (index, item) in response.output.into_iter().enumerate() {
            let index = index as u64;
            let is_done = self.places.get(&index).is_some_and(|place| self.draft.items[*place].native.is_some());
            if !is_done {
                self.item(ItemEvent { output_index: index, item }, true)?;
            }
        }
        let Some(usage) = response.usage else {
            tracing::warn!(response = ?response.id, "the provider reported no usage: it counts as zero");
            self.end = Some(End { stop, usage: TokenUsage::default() });
            return Ok(());
        };
        self.end = Some(End { stop, usage: usage.into() });
        Ok(())
    }

    fn begun(&mut self, response: &Response) {
        if let Some(id) = &response.id {
            self.response_id = Some(id.clone());
        }
        if let Some(model) = &response.model {
            self.model.clone_from(model);
        }
    }

    fn response(&mut self, event: ResponseEvent, kind: &str) -> Result<(), Trouble> {
        let response = event.response;
        self.begun(&response);
        let reason = response.incomplete_details.as_ref().and_then(|details| details.reason.as_deref());
        match (kind, reason) {
            ("response.completed", _) => self.ended(response, Stop::Completed),
            ("response.incomplete", Some("content_filter")) => self.ended(response, Stop::ContentFilter),
            ("response.incomplete", None | Some("max_output_tokens")) => self.ended(response, Stop::MaxOutputTokens),
            ("response.incomplete", Some(reason)) => {
                Err(Trouble::because(FailureCode::ServerError, format!("the provider stopped early: {reason}")))
            }
            ("response.failed", _) => Err(failed(&response)),
            _ => Ok(()),
        }
    }
}

impl Decoder for Reader {
    fn event(&mut self, data: &str, emit: &mut dyn FnMut(Delta)) -> Result<(), Trouble> {
        if self.end.is_some() || data == "[DONE]" {
            return Ok(());
        }
        let kind = parse::<Head<'_>>(data)?.kind;
        match &*kind {
            "response.output_text.delta" | "response.refusal.delta" => self.text(parse(data)?, emit),
            "response.reasoning_summary_text.delta" => self.summary(parse(data)?, emit),
            "response.reasoning_text.delta" => self.reasoning(parse(data)?, emit),
            "response.function_call_arguments.delta" => self.arguments(parse(data)?),
            "response.output_item.added" => self.item(parse(data)?, false),
            "response.output_item.done" => self.item(parse(data)?, true),
            "response.created" | "response.completed" | "response.incomplete" | "response.failed" => {
                self.response(parse(data)?, &kind)
            }
            "error" => Err(ProviderError::of_body(data).sort(None)),
            // An error object without a type, as a proxy in between may send it.
            "" => {
                let error = ProviderError::of_body(data);
                if error.is_empty() { Err(Trouble::malformed("an event has no type")) } else { Err(error.sort(None)) }
            }
            _ => Ok(()),
        }
    }

    fn is_done(&self) -> bool {
        self.end.is_some()
    }

    fn finish(self: Box<Self>) -> Result<ModelAnswer, Trouble> {
        let Some(End { stop, usage }) = self.end else {
            return Err(Trouble::because(FailureCode::StreamCut, "the stream ended before the answer did"));
        };
        Ok(ModelAnswer {
            entries: self.draft.into_entries(),
            usage,
            stop,
            provider_model: self.model,
            response_id: self.response_id,
            scripted: false,
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Trouble> {
    serde_json::from_str(data).map_err(|error| Trouble::malformed(format!("an event is not as expected: {error}")))
}

fn failed(response: &Response) -> Trouble {
    match &response.error {
        Some(error) => ProviderError::of_value(error).sort(None),
        None => {
            let status = response.status.as_deref().unwrap_or("failed");
            Trouble::because(FailureCode::ServerError, format!("the provider gave up without a reason ({status})"))
        }
    }
}

/// The neutral form of an output item.
fn body(item: &Value) -> Result<ItemBody, Trouble> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |key: &str, part: &str| -> Vec<String> {
        let parts = item.get(key).and_then(Value::as_array).into_iter().flatten();
        parts.filter_map(|piece| piece.get(part).and_then(Value::as_str).map(str::to_owned)).collect()
    };
    match item.get("type").and_then(Value::as_str) {
        Some("message") => {
            let parts = item.get("content").and_then(Value::as_array).into_iter().flatten();
            let said =
                parts.filter_map(|part| part.get("text").or_else(|| part.get("refusal")).and_then(Value::as_str));
            let phase = match item.get("phase").and_then(Value::as_str) {
                Some("commentary") => Some(Phase::Commentary),
                Some("final_answer") => Some(Phase::FinalAnswer),
                _ => None,
            };
            Ok(ItemBody::Message { text: said.collect(), phase })
        }
        Some("reasoning") => {
            let summary = texts("summary", "text");
            Ok(ItemBody::Reasoning { summary: if summary.is_empty() { texts("content", "text") } else { summary } })
        }
        Some("function_call") => {
            let (call_id, name) = (text("call_id"), text("name"));
            if call_id.is_empty() || name.is_empty() {
                return Err(Trouble::malformed("a function call has no `call_id` or no `name`"));
            }
            Ok(ItemBody::Call { call_id, name, arguments: text("arguments") })
        }
        Some(_) => Ok(ItemBody::default()),
        None => Err(Trouble::malformed("an output item has no type")),
    }
}
