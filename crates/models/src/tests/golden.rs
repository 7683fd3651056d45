//! Each file in `tests/golden/PROVIDER` is one request and the body that it becomes, or the events of one answer and
//! what they become. `GOLDEN=write` writes what the code does now into the files: look at every line of the difference.

use super::ACTION;
use crate::{
    chat::Chat,
    endpoint::Endpoint,
    options::{ModelOptions, ProviderKind},
    remote::{Dialect, Manner},
    responses::Responses,
    trouble::Trouble,
};
use bailiwick_core::{
    EntryBody, ModelAnswer, ModelRequest, ToolSpec,
    model::{Reasoning, TextOptions},
};
use bailiwick_gate::Delta;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{path::PathBuf, sync::Arc};

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    options: Value,
    #[serde(default)]
    request: RequestForm,
    #[serde(default)]
    taken: Vec<String>,
    #[serde(default)]
    events: Vec<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RequestForm {
    instructions: String,
    input: Vec<bailiwick_core::Entry>,
    tools: Vec<ToolSpec>,
    parallel_tool_calls: bool,
    reasoning: Reasoning,
    text: TextOptions,
    service_tier: String,
    max_output_tokens: Option<u64>,
    cache_key: String,
}

impl From<RequestForm> for ModelRequest {
    fn from(form: RequestForm) -> Self {
        Self {
            model: "main".to_owned(),
            instructions: form.instructions,
            input: form.input.into_iter().map(Arc::new).collect(),
            tools: form.tools.into(),
            parallel_tool_calls: form.parallel_tool_calls,
            reasoning: form.reasoning,
            text: form.text,
            service_tier: form.service_tier,
            max_output_tokens: form.max_output_tokens,
            cache_key: form.cache_key,
        }
    }
}

fn endpoint(kind: ProviderKind, options: Value) -> Endpoint {
    let mut form = json!({ "provider": kind.name(), "base_url": "http://127.0.0.1:8000/v1", "model": "served-model" });
    let form = form.as_object_mut().unwrap();
    form.extend(options.as_object().cloned().unwrap_or_default());
    let options: ModelOptions = serde_json::from_value(Value::Object(form.clone())).unwrap();
    Endpoint::new("main", &options).unwrap()
}

fn dialect(kind: ProviderKind) -> Box<dyn Dialect> {
    match kind {
        ProviderKind::OpenAiResponses => Box::<Responses>::default(),
        _ => Box::new(Chat),
    }
}

/// Runs every case of a folder: `run` turns a case into what it should hold under the given keys.
fn each(kind: ProviderKind, folder: &str, run: impl Fn(Case) -> Map<String, Value>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(kind.name()).join(folder);
    let mut cases = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut whole: Value = serde_json::from_str(&text).unwrap();
        let result = run(serde_json::from_value(whole.clone()).unwrap());
        cases += 1;
        if std::env::var_os("GOLDEN").is_some_and(|mode| mode == "write") {
            let whole = whole.as_object_mut().unwrap();
            for key in ["body", "deltas", "answer", "trouble"] {
                whole.remove(key);
            }
            whole.extend(result);
            std::fs::write(&path, serde_json::to_string_pretty(&whole).unwrap() + "\n").unwrap();
            continue;
        }
        for key in ["body", "deltas", "answer", "trouble"] {
            assert_eq!(whole.get(key), result.get(key), "`{key}` of {}", path.display());
        }
    }
    assert!(cases > 0, "no cases in {}", folder.display());
}

fn encoded(kind: ProviderKind) {
    each(kind, "encode", |case| {
        let endpoint = endpoint(kind, case.options);
        let body = dialect(kind).encode(&endpoint, &case.request.into(), Manner::default());
        Map::from_iter([("body".to_owned(), serde_json::from_slice(&body).unwrap())])
    });
}

fn decoded(kind: ProviderKind) {
    each(kind, "decode", |case| {
        let endpoint = endpoint(kind, case.options);
        let mut request = ModelRequest::from(case.request);
        let taken = case.taken.into_iter().enumerate().map(|(place, call_id)| {
            super::entry(place as u16, EntryBody::ToolCall { call_id, name: "x".into(), arguments: "{}".into() })
        });
        request.input.extend(taken);
        let events: Vec<String> = case
            .events
            .into_iter()
            .map(|event| match event {
                Value::String(text) => text,
                event => event.to_string(),
            })
            .collect();
        let (deltas, answer) = decode(&*dialect(kind), &endpoint, &request, &events);
        let mut result = Map::from_iter([("deltas".to_owned(), deltas.iter().map(shown).collect())]);
        match answer {
            Ok(answer) => result.insert("answer".to_owned(), serde_json::to_value(answer).unwrap()),
            Err(trouble) => result.insert("trouble".to_owned(), said(&trouble)),
        };
        result
    });
}

fn decode(
    dialect: &dyn Dialect,
    endpoint: &Endpoint,
    request: &ModelRequest,
    events: &[String],
) -> (Vec<Delta>, Result<ModelAnswer, Trouble>) {
    let mut decoder = dialect.decoder(endpoint, request, ACTION);
    let mut deltas = Vec::new();
    for event in events {
        if let Err(trouble) = decoder.event(event, &mut |delta| deltas.push(delta)) {
            return (deltas, Err(trouble));
        }
    }
    (deltas, decoder.finish())
}

fn shown(delta: &Delta) -> Value {
    match delta {
        Delta::Text { item, index, text } => json!({ "text": text, "item": item, "index": index }),
        Delta::ReasoningSummary { item, index, part, text } => {
            json!({ "reasoning": text, "part": part, "item": item, "index": index })
        }
        other => json!(format!("{other:?}")),
    }
}

fn said(trouble: &Trouble) -> Value {
    json!({
        "code": trouble.code,
        "again": format!("{:?}", trouble.again),
        "detail": trouble.detail,
        "said": trouble.said,
    })
}

#[test]
fn requests_to_responses_are_as_recorded() {
    encoded(ProviderKind::OpenAiResponses);
}

#[test]
fn requests_to_chat_completions_are_as_recorded() {
    encoded(ProviderKind::OpenAiChat);
}

#[test]
fn answers_of_responses_are_read_as_recorded() {
    decoded(ProviderKind::OpenAiResponses);
}

#[test]
fn answers_of_chat_completions_are_read_as_recorded() {
    decoded(ProviderKind::OpenAiChat);
}

/// Every id that a delta names is the id of an entry of the answer, and the texts are the same.
#[test]
fn deltas_name_the_entries_that_the_answer_holds() {
    for (kind, name) in [(ProviderKind::OpenAiResponses, "answer"), (ProviderKind::OpenAiChat, "reasoning")] {
        let path = format!("{}/tests/golden/{}/decode/{name}.json", env!("CARGO_MANIFEST_DIR"), kind.name());
        let case: Case = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let events: Vec<String> = case.events.iter().map(|e| e.as_str().map_or(e.to_string(), str::to_owned)).collect();
        let (deltas, answer) = decode(&*dialect(kind), &endpoint(kind, Value::Null), &super::request(vec![]), &events);
        let entries = answer.unwrap().entries;
        for entry in &entries {
            let streamed: String = deltas
                .iter()
                .filter_map(|delta| match delta {
                    Delta::Text { item, text, .. } | Delta::ReasoningSummary { item, text, .. }
                        if *item == entry.id =>
                    {
                        Some(text.as_str())
                    }
                    _ => None,
                })
                .collect();
            let kept = match &entry.body {
                EntryBody::Assistant { text, .. } => text.clone(),
                EntryBody::Reasoning { summary } => summary.concat(),
                _ => continue,
            };
            assert_eq!(streamed, kept);
        }
        let known = |delta: &Delta| matches!(delta, Delta::Text { item, .. } | Delta::ReasoningSummary { item, .. } if entries.iter().any(|entry| entry.id == *item));
        assert!(deltas.iter().all(known) && !deltas.is_empty());
    }
}

mod broken_events {
    use super::*;
    use proptest::prelude::*;

    /// The events of all recorded answers.
    fn recorded() -> Vec<(ProviderKind, Value)> {
        let mut events = Vec::new();
        for kind in [ProviderKind::OpenAiResponses, ProviderKind::OpenAiChat] {
            let folder = format!("{}/tests/golden/{}/decode", env!("CARGO_MANIFEST_DIR"), kind.name());
            for file in std::fs::read_dir(folder).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                let case: Case = serde_json::from_str(&text).unwrap();
                events.extend(case.events.into_iter().filter(Value::is_object).map(|event| (kind, event)));
            }
        }
        events
    }

    /// Puts `new` in place of the `at`-th value of `value`, counted in depth.
    fn replace(value: &mut Value, at: &mut usize, new: &Value) {
        if *at == 0 {
            *at = usize::MAX;
            *value = new.clone();
            return;
        }
        *at = at.saturating_sub(usize::from(*at != usize::MAX));
        match value {
            Value::Array(list) => list.iter_mut().for_each(|inner| replace(inner, at, new)),
            Value::Object(map) => map.values_mut().for_each(|inner| replace(inner, at, new)),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn no_event_makes_a_decoder_panic(picks in proptest::collection::vec((0usize..10_000, 0usize..40, 0usize..8), 1..12)) {
            let recorded = recorded();
            let new = [json!(null), json!(-1), json!(u64::MAX), json!(""), json!("x"), json!([]), json!({}), json!([{"type": "message"}])];
            for kind in [ProviderKind::OpenAiResponses, ProviderKind::OpenAiChat] {
                let mine: Vec<&Value> = recorded.iter().filter(|(of, _)| *of == kind).map(|(_, event)| event).collect();
                let events: Vec<String> = picks.iter().map(|(pick, at, with)| {
                    let mut event = mine[pick % mine.len()].clone();
                    replace(&mut event, &mut at.clone(), &new[*with]);
                    event.to_string()
                }).collect();
                let _ = decode(&*dialect(kind), &endpoint(kind, Value::Null), &super::super::request(vec![]), &events);
            }
        }
    }
}

/// What a dialect keeps of a history must never show: every request is what a dialect that knows nothing would send.
#[test]
fn a_history_that_grows_shrinks_and_changes_is_encoded_as_if_it_were_new() {
    let kind = ProviderKind::OpenAiResponses;
    let kept = dialect(kind);
    let without_reasoning = Manner { without_reasoning: true, ..Manner::default() };
    each(kind, "encode", |case| {
        let endpoint = endpoint(kind, case.options);
        let mut request = ModelRequest::from(case.request);
        let key = std::mem::replace(&mut request.cache_key, "one session".into());
        let whole = request.input.clone();
        let there_and_back = (0..=whole.len()).chain((0..whole.len()).rev()).chain([whole.len(), whole.len()]);
        for (turn, end) in there_and_back.enumerate() {
            request.input = whole[..end].to_vec();
            let manner = if turn % 5 == 3 { without_reasoning } else { Manner::default() };
            let fresh = dialect(kind).encode(&endpoint, &request, manner);
            assert_eq!(kept.encode(&endpoint, &request, manner), fresh, "{end} entries of {}", whole.len());
        }
        // The last request is the golden one, but for its cache key.
        let mut body: Value = serde_json::from_slice(&kept.encode(&endpoint, &request, Manner::default())).unwrap();
        match key.as_str() {
            "" => drop(body.as_object_mut().unwrap().remove("prompt_cache_key")),
            key => body["prompt_cache_key"] = key.into(),
        }
        Map::from_iter([("body".to_owned(), body)])
    });
}
