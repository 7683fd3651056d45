//! The chunks of a streamed completion.
//!
//! What is borne because servers differ: calls that come whole, without an id, without an index, or all under index 0;
//! ids that were used before in the history; an empty `content` beside calls; usage in the last chunk, in a chunk of
//! its own, in every chunk, or nowhere (then it counts as zero, and the log says so); reasoning in `reasoning_content`
//! (DeepSeek, vLLM) or `reasoning` (vLLM since 0.12, OpenRouter, Ollama); no `[DONE]` at the end, or no `finish_reason`
//! before it; an error object in place of a chunk.

use crate::{
    draft::{Draft, ItemBody},
    remote::Decoder,
    trouble::{ProviderError, Trouble},
};
use bailiwick_core::{FailureCode, ModelAnswer, Stop};
use bailiwick_gate::Delta;
use bailiwick_types::{ActionId, TokenUsage};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::HashSet, sync::Arc};

pub(super) struct Reader {
    draft: Draft,
    action: ActionId,
    /// Call ids of the history, and those of this answer.
    taken: HashSet<String>,
    message: Option<usize>,
    reasoning: Option<(usize, &'static str)>,
    calls: Vec<Open>,
    id: Option<String>,
    model: String,
    usage: Option<Usage>,
    stop: Option<Stop>,
    is_done: bool,
}

/// A call whose arguments are still coming.
struct Open {
    place: usize,
    index: Option<u64>,
    /// As the server gave it.
    id: String,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    delta: Option<ChoiceDelta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ChoiceDelta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
    #[serde(default, rename = "type")]
    _kind: Option<String>,
    /// What only this server knows, such as the signature of a thought.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's word for cached tokens.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        Self {
            input: usage.prompt_tokens,
            cached_input: cached.or(usage.prompt_cache_hit_tokens).unwrap_or(0),
            output: usage.completion_tokens,
            reasoning_output: usage.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        }
    }
}

impl Reader {
    pub(super) fn new(action: ActionId, origin: &Arc<str>, taken: HashSet<String>) -> Self {
        Self {
            draft: Draft::new(action, origin),
            action,
            taken,
            message: None,
            reasoning: None,
            calls: Vec::new(),
            id: None,
            model: String::new(),
            usage: None,
            stop: None,
            is_done: false,
        }
    }

    fn choice(&mut self, choice: Choice, emit: &mut dyn FnMut(Delta)) -> Result<(), Trouble> {
        if let Some(delta) = choice.delta {
            let (field, thought) = match (delta.reasoning_content, delta.reasoning) {
                (Some(text), _) if !text.is_empty() => ("reasoning_content", text),
                (_, text) => ("reasoning", text.unwrap_or_default()),
            };
            self.think(field, &thought, emit)?;
            for text in [delta.content, delta.refusal].into_iter().flatten() {
                self.say(&text, emit)?;
            }
            for call in delta.tool_calls.into_iter().flatten() {
                self.call(call)?;
            }
        }
        match choice.finish_reason.as_deref() {
            None | Some("") => {}
            Some("length") => self.stop = Some(Stop::MaxOutputTokens),
            Some("content_filter") => self.stop = Some(Stop::ContentFilter),
            Some("error") => return Err(Trouble::new(FailureCode::ServerError)),
            Some("abort") => return Err(Trouble::because(FailureCode::StreamCut, "the provider aborted it")),
            Some(_) => self.stop = Some(Stop::Completed),
        }
        Ok(())
    }

    fn say(&mut self, text: &str, emit: &mut dyn FnMut(Delta)) -> Result<(), Trouble> {
        if text.is_empty() {
            return Ok(());
        }
        let place = match self.message {
            Some(place) => place,
            None => self.draft.open(ItemBody::Message { text: String::new(), phase: None })?,
        };
        self.message = Some(place);
        self.draft.say(place, text, emit);
        Ok(())
    }

    fn think(&mut self, field: &'static str, text: &str, emit: &mut dyn FnMut(Delta)) -> Result<(), Trouble> {
        if text.is_empty() {
            return Ok(());
        }
        let (place, field) = match self.reasoning {
            Some(open) => open,
            None => (self.draft.open(ItemBody::default())?, field),
        };
        self.reasoning = Some((place, field));
        self.draft.think(place, 0, text, emit)
    }

    fn call(&mut self, delta: CallDelta) -> Result<(), Trouble> {
        let function = delta.function.unwrap_or(FunctionDelta { name: None, arguments: None });
        let (id, name) = (delta.id.unwrap_or_default(), function.name.unwrap_or_default());
        let begun = self.calls.iter().rposition(|open| match (open.index, delta.index) {
            (Some(open), Some(index)) => open == index,
            _ => name.is_empty(),
        });
        // With a name: another id, or no id after a whole call, under an index that is in use, begins another call.
        let begun = begun.filter(|at| {
            let goes_on = if id.is_empty() { !self.is_whole(*at) } else { self.calls[*at].id == id };
            name.is_empty() || goes_on
        });
        let at = match begun {
            Some(at) => at,
            None if name.is_empty() => return Err(Trouble::malformed("a tool call has no name")),
            None => self.open_call(delta.index, id, &name)?,
        };
        let item = &mut self.draft.items[self.calls[at].place];
        if let ItemBody::Call { arguments, .. } = &mut item.body {
            match function.arguments {
                Some(Value::String(more)) => arguments.push_str(&more),
                // Not as a text, but as what the text would say.
                Some(value @ (Value::Object(_) | Value::Array(_))) => arguments.push_str(&value.to_string()),
                _ => {}
            }
        }
        if !delta.extra.is_empty() {
            match item.native.get_or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(native) => native.extend(delta.extra),
                other => *other = Value::Object(delta.extra),
            }
        }
        Ok(())
    }

    /// Whether the call has all its arguments, so that what follows must be another.
    fn is_whole(&self, at: usize) -> bool {
        match &self.draft.items[self.calls[at].place].body {
            ItemBody::Call { arguments, .. } => serde_json::from_str::<Map<String, Value>>(arguments).is_ok(),
            _ => false,
        }
    }

    fn open_call(&mut self, index: Option<u64>, id: String, name: &str) -> Result<usize, Trouble> {
        let made = || format!("call_{:x}_{}", self.action.to_u128(), self.calls.len());
        let call_id = if id.is_empty() || self.taken.contains(&id) { made() } else { id.clone() };
        self.taken.insert(call_id.clone());
        let body = ItemBody::Call { call_id, name: name.to_owned(), arguments: String::new() };
        let place = self.draft.open(body)?;
        self.calls.push(Open { place, index, id });
        Ok(self.calls.len() - 1)
    }
}

impl Decoder for Reader {
    fn event(&mut self, data: &str, emit: &mut dyn FnMut(Delta)) -> Result<(), Trouble> {
        if self.is_done {
            return Ok(());
        }
        if data.trim() == "[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|error| Trouble::malformed(format!("a chunk is not as expected: {error}")))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(ProviderError::of_value(&error).sort(None));
        }
        let Some(choices) = chunk.choices.or_else(|| chunk.usage.is_some().then(Vec::new)) else {
            let error = ProviderError::of_body(data);
            return if error.is_empty() {
                Err(Trouble::malformed("a chunk has no `choices`"))
            } else {
                Err(error.sort(None))
            };
        };
        if self.id.is_none() {
            self.id = chunk.id.filter(|id| !id.is_empty());
        }
        if let Some(model) = chunk.model.filter(|model| !model.is_empty()) {
            self.model = model;
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(usage);
        }
        for choice in choices.into_iter().filter(|choice| choice.index == 0) {
            self.choice(choice, emit)?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn finish(mut self: Box<Self>) -> Result<ModelAnswer, Trouble> {
        let stop = match self.stop {
            Some(stop) => stop,
            None if self.is_done && !self.draft.items.is_empty() => Stop::Completed,
            None if self.is_done => return Err(Trouble::malformed("it is empty")),
            None => return Err(Trouble::because(FailureCode::StreamCut, "the stream ended before the answer did")),
        };
        if let Some((place, field)) = self.reasoning
            && let ItemBody::Reasoning { summary } = &self.draft.items[place].body
        {
            let text = summary.concat();
            self.draft.items[place].native = Some(serde_json::json!({ "field": field, "text": text }));
        }
        if self.usage.is_none() {
            tracing::warn!(model = %self.model, "the provider reported no usage: it counts as zero");
        }
        Ok(ModelAnswer {
            entries: self.draft.into_entries(),
            usage: self.usage.map(TokenUsage::from).unwrap_or_default(),
            stop,
            provider_model: self.model,
            response_id: self.id,
            scripted: false,
        })
    }
}
