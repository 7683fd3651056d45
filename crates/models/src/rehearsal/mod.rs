//! `rehearsal`: a scripted model. A scenario file says step by step what it answers or calls; everything that it drives
//! is real, and every answer is marked `scripted`.
//!
//! It keeps no state: which step comes next is read from the request's own history, so that a crash, a restart or
//! another machine changes nothing. Which step that is: the number of answers since the last message of the user. Which
//! result a label means: the label is part of the call's id.

mod scenario;
mod template;

pub use scenario::{Scenario, ScenarioError};

use crate::{
    draft::{Draft, ItemBody},
    remote::{Asked, Provider},
};
use async_trait::async_trait;
use bailiwick_core::{Content, Entry, EntryBody, Failure, FailureCode, ModelAnswer, ModelRequest, Stop, joined_text};
use bailiwick_gate::Live;
use bailiwick_ports::Clock;
use bailiwick_types::ActionId;
use scenario::{Arguments, Call, Step, Turn};
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};
use template::{Missing, Values};

/// A small scenario that shows every part of the form.
pub const EXAMPLE_SCENARIO: &str = include_str!("../../scenarios/example.toml");

pub(crate) struct Rehearsal {
    /// The published name.
    name: String,
    scenario: Scenario,
    clock: Arc<dyn Clock>,
}

/// A step, found.
struct Cue<'a> {
    step: &'a Step,
    /// For messages.
    place: String,
}

impl Rehearsal {
    pub(crate) fn new(name: &str, scenario: Scenario, clock: Arc<dyn Clock>) -> Self {
        Self { name: name.to_owned(), scenario, clock }
    }

    fn failure(&self, problem: impl std::fmt::Display) -> Failure {
        let Scenario { file, .. } = &self.scenario;
        Failure::new(FailureCode::InvalidRequest, format!("model `{}`, scenario {file}: {problem}", self.name))
    }

    fn cue(&self, request: &ModelRequest, history: &History<'_>) -> Result<Cue<'_>, Failure> {
        let Some(user) = history.user() else {
            return Err(self.failure(
                "there is no message of the user after the last summary of the history, so that no step can be told; \
                 raise `context_tokens` of the model so that the history is not shortened in the middle of a turn",
            ));
        };
        let fits = |turn: &&Turn| {
            turn.contains.as_ref().is_none_or(|part| user.contains(part))
                && turn.matches.as_ref().is_none_or(|regex| regex.is_match(&user))
                && turn.instructions.as_ref().is_none_or(|part| request.instructions.contains(part))
        };
        let turns = &self.scenario.turns;
        let Some((at, turn)) = turns.iter().enumerate().find(|(_, turn)| fits(turn)) else {
            let begin: String = user.chars().take(80).collect();
            return Err(self.failure(format_args!(
                "no turn is for a message that begins with {begin:?}; add a `[[turn]]` whose `when` fits it, or one without `when`"
            )));
        };
        let step = history.answers();
        let place = self.scenario.step_name(at, step);
        let Some(step) = turn.steps.get(step) else {
            return Err(self.failure(format_args!(
                "there is no {place}, and the agent asks for it, because step {} calls tools; add that step",
                turn.steps.len()
            )));
        };
        Ok(Cue { step, place })
    }

    fn calls(
        &self,
        cue: &Cue<'_>,
        request: &ModelRequest,
        history: &History<'_>,
    ) -> Result<Vec<(String, String)>, Failure> {
        let Cue { step, place } = cue;
        if step.calls.len() > 1 && !request.parallel_tool_calls {
            return Err(self.failure(format_args!(
                "{place} calls {} tools at once, and this agent allows one at a time; make steps of them",
                step.calls.len()
            )));
        }
        let call = |Call { tool, arguments, .. }: &Call| {
            if !request.tools.iter().any(|spec| spec.name == *tool) {
                let names: Vec<&str> = request.tools.iter().map(|spec| spec.name.as_str()).collect();
                let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(self
                    .failure(format_args!("{place} calls `{tool}`, which this agent does not have (it has: {has})")));
            }
            let arguments =
                arguments.value(history).map_err(|missing| self.failure(format_args!("{place}, {missing}")))?;
            Ok((tool.clone(), arguments.to_string()))
        };
        step.calls.iter().map(call).collect()
    }

    async fn play(&self, request: &ModelRequest, action: ActionId, live: &Live) -> Result<ModelAnswer, Failure> {
        let history = History::of(&request.input);
        let cue = self.cue(request, &history)?;
        let Cue { step, place } = &cue;
        let text = |template: &Option<template::Template>| {
            let text = template.as_ref().map(|template| template.text(&history)).transpose();
            text.map_err(|missing| self.failure(format_args!("{place}, {missing}")))
        };
        let (reasoning, say) = (text(&step.reasoning)?, text(&step.say)?);
        let calls = self.calls(&cue, request, &history)?;
        let internal = |_| self.failure(format_args!("{place} is too large"));
        let mut draft = Draft::new(action, &Arc::from("rehearsal"));
        if let Some(reasoning) = reasoning {
            let at = draft.open(ItemBody::default()).map_err(internal)?;
            draft.think(at, 0, &reasoning, &mut |delta| live.emit(delta)).map_err(internal)?;
        }
        if let Some(say) = say {
            let at = draft.open(ItemBody::Message { text: String::new(), phase: None }).map_err(internal)?;
            for piece in say.split_inclusive(char::is_whitespace) {
                self.wait(step).await;
                draft.say(at, piece, &mut |delta| live.emit(delta));
            }
        }
        if !calls.is_empty() || step.fail.is_some() {
            self.wait(step).await;
        }
        if let Some(fail) = &step.fail {
            let message = fail.message.as_deref().unwrap_or("the scenario says so");
            return Err(Failure::new(fail.code, format!("model `{}` (scripted, {place}): {message}", self.name)));
        }
        for (index, ((name, arguments), Call { label, .. })) in calls.into_iter().zip(&step.calls).enumerate() {
            let call_id = call_id(label, action, index);
            draft.open(ItemBody::Call { call_id, name, arguments }).map_err(internal)?;
        }
        Ok(ModelAnswer {
            entries: draft.into_entries(),
            usage: step.usage,
            stop: Stop::Completed,
            provider_model: "rehearsal".to_owned(),
            response_id: None,
            scripted: true,
        })
    }

    async fn wait(&self, step: &Step) {
        if step.delay.0 > 0 {
            self.clock.sleep_until(self.clock.now() + step.delay).await;
        }
    }
}

#[async_trait]
impl Provider for Rehearsal {
    async fn call(&self, request: &ModelRequest, asked: Asked<'_>, live: &Live) -> Result<ModelAnswer, Failure> {
        tokio::select! {
            biased;
            () = live.cancelled() => Err(Failure::new(FailureCode::Cancelled, "the model call was cancelled")),
            answer = self.play(request, asked.action, live) => answer,
        }
    }
}

/// The label is in the id, so that a result is found by it without any state.
fn call_id(label: &str, action: ActionId, index: usize) -> String {
    format!("call-{label}-{:032x}-{index}", action.to_u128())
}

fn label_of(call_id: &str) -> Option<&str> {
    call_id.strip_prefix("call-")?.split_once('-').map(|(label, _)| label)
}

impl Arguments {
    fn value(&self, values: &dyn Values) -> Result<Value, Missing> {
        Ok(match self {
            Self::Text(template) => template.value(values)?,
            Self::List(list) => Value::Array(list.iter().map(|value| value.value(values)).collect::<Result<_, _>>()?),
            Self::Map(map) => {
                Value::Object(map.iter().map(|(key, value)| Ok((key.clone(), value.value(values)?))).collect::<Result<
                    _,
                    Missing,
                >>(
                )?)
            }
            Self::Plain(value) => value.clone(),
        })
    }
}

/// The history of a request, as a scenario sees it.
struct History<'a> {
    input: &'a [Arc<Entry>],
    /// The place of the last message of the user, unless a summary came after it.
    user: Option<usize>,
}

impl<'a> History<'a> {
    fn of(input: &'a [Arc<Entry>]) -> Self {
        let last =
            input.iter().rposition(|entry| matches!(entry.body, EntryBody::User { .. } | EntryBody::Summary { .. }));
        let user = last.filter(|at| matches!(input[*at].body, EntryBody::User { .. }));
        Self { input, user }
    }

    /// How many answers were given since the last message of the user. An answer is a run of what a model says, thinks
    /// and calls; a result or a notice ends it.
    fn answers(&self) -> usize {
        let since = self.user.map_or(&[][..], |user| &self.input[user + 1..]);
        let is_model = |entry: &Arc<Entry>| {
            matches!(entry.body, EntryBody::Assistant { .. } | EntryBody::Reasoning { .. } | EntryBody::ToolCall { .. })
        };
        let begins = |at: &usize| is_model(&since[*at]) && (*at == 0 || !is_model(&since[*at - 1]));
        (0..since.len()).filter(begins).count()
    }
}

impl Values for History<'_> {
    fn user(&self) -> Option<Cow<'_, str>> {
        match &self.input.get(self.user?)?.body {
            EntryBody::User { content } => Some(text_of(content)),
            _ => None,
        }
    }

    fn result(&self, label: &str) -> Option<Cow<'_, str>> {
        let call = self.input.iter().rev().find_map(|entry| match &entry.body {
            EntryBody::ToolCall { call_id, .. } if label_of(call_id) == Some(label) => Some(call_id),
            _ => None,
        })?;
        self.input.iter().rev().find_map(|entry| match &entry.body {
            EntryBody::ToolResult { call_id, content, .. } if call_id == call => Some(text_of(content)),
            _ => None,
        })
    }
}

fn text_of(content: &[Content]) -> Cow<'_, str> {
    match content {
        [Content::Text { text }] => text.into(),
        _ => joined_text(content).into(),
    }
}
