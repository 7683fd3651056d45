//! Finds out what a model can do, by asking it: `bailiwick model test NAME`.
//!
//! It makes five short calls. How a call is made is the caller's business, so that each can pass the gate.

use bailiwick_core::{
    Content, Entry, EntryBody, Failure, ModelAnswer, ModelRequest, ToolSpec,
    model::{Reasoning, TextOptions},
};
use bailiwick_ports::ModelCard;
use bailiwick_types::{ActionId, ItemId, TokenUsage};
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::HashSet, fmt, future::Future, sync::Arc};

/// A red square of 64 × 64 pixels.
const RED_SQUARE: &str = concat!("data:image/png;base64,", include_str!("probe/red.b64"));

/// What one call gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub answer: ModelAnswer,
    /// How many [`Delta::Text`](bailiwick_gate::Delta::Text) came before it.
    pub text_deltas: u32,
}

/// Something that a model can or cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    Streaming,
    Tools,
    ParallelTools,
    StructuredOutput,
    Images,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Streaming => "streaming",
            Self::Tools => "tools",
            Self::ParallelTools => "parallel tools",
            Self::StructuredOutput => "structured output",
            Self::Images => "images",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Yes,
    /// It answered, but not so.
    No,
    /// There was no answer to judge by.
    Failed,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub feature: Feature,
    pub verdict: Verdict,
    /// What was seen, in plain words.
    pub note: String,
}

/// What became of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeReport {
    pub name: String,
    pub provider: String,
    /// The model that is configured.
    pub model: String,
    /// The model that answered, in the provider's words.
    pub answered_by: Option<String>,
    /// As the configuration declares it; it is not measured.
    pub context_tokens: u64,
    pub max_output_tokens: Option<u64>,
    /// The answers come from a scenario file: there is nothing to find out, and nothing was called.
    pub scripted: bool,
    /// Empty when `scripted`.
    pub findings: Vec<Finding>,
    /// Of all calls together.
    pub usage: TokenUsage,
    pub calls: u32,
}

/// Asks the model of `card`. `call` performs one request and says what it heard.
pub async fn probe<C, F>(card: &ModelCard, call: C) -> ProbeReport
where
    C: Fn(ModelRequest) -> F,
    F: Future<Output = Result<Heard, Failure>>,
{
    let mut report = ProbeReport {
        name: card.name.clone(),
        provider: card.provider.clone(),
        model: card.model.clone(),
        answered_by: None,
        context_tokens: card.context_tokens,
        max_output_tokens: card.max_output_tokens,
        scripted: card.scripted,
        findings: Vec::new(),
        usage: TokenUsage::default(),
        calls: 0,
    };
    if card.scripted {
        return report;
    }
    let ask = |text: &str| request(card, vec![Content::text(text)]);
    let mut streaming = ask("Count from one to twelve in words, separated by commas. Say nothing else.");
    streaming.tools = Arc::new([]);
    report.judge(Feature::Streaming, &call(streaming).await, streams);
    let mut tools = ask("What is the weather in Paris? Use the tool.");
    tools.tools = weather_tool();
    report.judge(Feature::Tools, &call(tools).await, |heard| calls_tools(heard, 1));
    let mut parallel =
        ask("What is the weather in Paris and in Oslo? Call the tool once for each, both at the same time.");
    parallel.tools = weather_tool();
    parallel.parallel_tool_calls = true;
    report.judge(Feature::ParallelTools, &call(parallel).await, |heard| calls_tools(heard, 2));
    let mut structured = ask("The invoice A-17 is about 12 euros. Give its number and its amount.");
    structured.text.schema = Some(schema());
    report.judge(Feature::StructuredOutput, &call(structured).await, is_structured);
    let image = Content::Image { url: RED_SQUARE.to_owned() };
    let looking = request(card, vec![Content::text("Which colour fills this image? Answer with one word."), image]);
    report.judge(Feature::Images, &call(looking).await, sees_red);
    report
}

impl ProbeReport {
    fn judge(
        &mut self,
        feature: Feature,
        heard: &Result<Heard, Failure>,
        judge: impl FnOnce(&Heard) -> (Verdict, String),
    ) {
        self.calls += 1;
        let (verdict, note) = match heard {
            Ok(heard) => {
                self.usage += heard.answer.usage;
                if self.answered_by.is_none() && !heard.answer.provider_model.is_empty() {
                    self.answered_by = Some(heard.answer.provider_model.clone());
                }
                judge(heard)
            }
            Err(failure) => (Verdict::Failed, failure.message.clone()),
        };
        self.findings.push(Finding { feature, verdict, note });
    }
}

fn request(card: &ModelCard, content: Vec<Content>) -> ModelRequest {
    let id = ItemId::of_output(ActionId::from_u128(0), 0);
    ModelRequest {
        model: card.name.clone(),
        instructions: "You are being tested. Do exactly what is asked, as shortly as you can.".to_owned(),
        input: vec![Arc::new(Entry { id, body: EntryBody::User { content }, native: None })],
        tools: Arc::new([]),
        parallel_tool_calls: false,
        reasoning: Reasoning::default(),
        text: TextOptions::default(),
        service_tier: "auto".to_owned(),
        // Reasoning counts as output, so that a smaller limit would cut some models off before they say anything.
        max_output_tokens: Some(card.max_output_tokens.unwrap_or(4096).min(4096)),
        cache_key: String::new(),
    }
}

fn weather_tool() -> Arc<[ToolSpec]> {
    Arc::new([ToolSpec {
        name: "get_weather".to_owned(),
        description: "The weather in a city, now.".to_owned(),
        parameters: json!({
            "type": "object", "additionalProperties": false, "required": ["city"],
            "properties": { "city": { "type": "string" } }
        }),
    }])
}

fn schema() -> Value {
    json!({
        "title": "invoice", "type": "object", "additionalProperties": false, "required": ["number", "amount"],
        "properties": { "number": { "type": "string" }, "amount": { "type": "number" } }
    })
}

fn text(heard: &Heard) -> String {
    let said = heard.answer.entries.iter().filter_map(|entry| match &entry.body {
        EntryBody::Assistant { text, .. } => Some(text.as_str()),
        _ => None,
    });
    said.collect::<Vec<_>>().join("\n")
}

/// The beginning of what was said.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if start.is_empty() { "nothing".to_owned() } else { format!("`{start}`") }
}

fn streams(heard: &Heard) -> (Verdict, String) {
    match (text(heard).is_empty(), heard.text_deltas) {
        (true, _) => (Verdict::Failed, "it said nothing".to_owned()),
        (false, 0 | 1) => (Verdict::No, "its text came in one piece".to_owned()),
        (false, pieces) => (Verdict::Yes, format!("its text came in {pieces} pieces")),
    }
}

fn calls_tools(heard: &Heard, wanted: usize) -> (Verdict, String) {
    let mut cities = HashSet::new();
    for entry in &heard.answer.entries {
        let EntryBody::ToolCall { name, arguments, .. } = &entry.body else { continue };
        match serde_json::from_str::<Value>(arguments).ok().as_ref().and_then(|value| value.get("city")) {
            Some(Value::String(city)) if name == "get_weather" => cities.insert(city.to_lowercase()),
            _ => return (Verdict::No, format!("it called `{name}` with {}", shown(arguments))),
        };
    }
    match cities.len() {
        0 => (Verdict::No, format!("it called no tool and said {}", shown(&text(heard)))),
        calls if calls >= wanted => (Verdict::Yes, format!("{calls} correct call(s) in one answer")),
        calls => (Verdict::No, format!("{calls} call(s) in one answer, where {wanted} were asked for")),
    }
}

fn is_structured(heard: &Heard) -> (Verdict, String) {
    let text = text(heard);
    let fits = serde_json::from_str::<Value>(text.trim()).is_ok_and(|value| {
        value.as_object().is_some_and(|map| map.len() == 2)
            && value.get("number").is_some_and(Value::is_string)
            && value.get("amount").is_some_and(Value::is_number)
    });
    if fits {
        (Verdict::Yes, "its answer follows the schema".to_owned())
    } else {
        (Verdict::No, format!("its answer does not follow the schema: {}", shown(&text)))
    }
}

fn sees_red(heard: &Heard) -> (Verdict, String) {
    let text = text(heard);
    let verdict = if text.to_lowercase().contains("red") { Verdict::Yes } else { Verdict::No };
    (verdict, format!("shown a red square, it said {}", shown(&text)))
}
