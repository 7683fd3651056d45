//! One record further: [`State::begin`] and [`State::apply`].
//!
//! Applying never fails. A record that does not fit the state (a result for a call that is over, say) changes nothing:
//! the gate checks before it writes, and a stream must always be readable.

use super::booking::Closing;
use super::calls::{CallEnd, command_end, item_body, unparsed_body};
use super::consolidating::Consolidating;
use super::errands::{Look, Wish};
use super::finding::ToolMemo;
use super::ordered::{self, Waits};
use super::state::{Call, CallStatus, OpenAction, Overflow, Queued, State, Turn, UnknownAction, describe};
use crate::{
    Action, ActionResult, Answer, Content, Ending, Entry, EntryBody, EnvironmentStatus, Failure, FailureCode, Label,
    ModelAnswer, ModelCall, Outcome, Published, Purpose, Stop,
    item::{
        ArtifactView, Change, Doer, EffectNote, ErrandOutcome, Item, ItemBody, ItemStatus, SessionStatus, TurnStatus,
    },
    record::{
        ActionDecided, ActionResumed, ActionSettled, Body, CallRefused, Input, InputReceived, Record, Resolution,
        Ruling, SessionCreated, SessionPatch, TurnEnd, TurnEnded, TurnError, TurnStarted,
    },
    stop::STOPPED,
};
use bailiwick_types::{ActionId, ItemId, Millis, Money, Principal, SessionId, TenantId, Timestamp, TokenUsage, TurnId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Model calls in a row that may vanish without a trace before the turn gives up.
const MAX_LOST_CALLS: u32 = 5;

impl State {
    /// The state after a session's first record.
    pub fn begin(tenant: TenantId, session: SessionId, at: Timestamp, created: &SessionCreated) -> (Self, Vec<Change>) {
        let state = Self {
            tenant,
            session,
            created: at,
            last_active: at,
            creator: created.creator.clone(),
            agent: created.agent.clone(),
            environment: created.environment.clone(),
            environment_status: EnvironmentStatus::Pending,
            environment_facts: None,
            environment_error: None,
            metadata: created.metadata.clone(),
            usage: TokenUsage::default(),
            spent: Money::ZERO,
            spend_limit: created.spend_limit,
            auto_review: created.auto_review,
            label: created.label.clone(),
            environment_label: Label::of_environment(&created.environment),
            vaults: created.vaults.clone(),
            connections: BTreeMap::new(),
            deleted: false,
            position: 1,
            inbox_through: 0,
            entries: Vec::new(),
            queue: Vec::new(),
            errands: Vec::new(),
            ordered: Vec::new(),
            notices: Vec::new(),
            aside: BTreeMap::new(),
            held: BTreeMap::new(),
            said: Vec::new(),
            measured_tokens: 0,
            unmeasured_bytes: 0,
            turn: None,
            open: BTreeMap::new(),
            asked: BTreeMap::new(),
            unknown: BTreeMap::new(),
            touched_environment: false,
            next_ordinal: 0,
            next_turn: 0,
            unconsolidated: false,
            last_orderer: None,
            shown_status: SessionStatus::Idle,
            shown_calls: BTreeSet::new(),
            shown_turn: None,
            found: Vec::new(),
            skills_found: Vec::new(),
            tools: ToolMemo::default(),
        };
        // Their descriptions are in every prompt.
        let mut label = state.label.clone();
        state.given_skills().for_each(|skill| label.join(&skill.label));
        let state = Self { label, ..state };
        let changes = vec![Change::SessionCreated(Box::new(state.view()))];
        (state, changes)
    }

    /// Takes the next record in and says what it changed for those who watch.
    pub fn apply(&mut self, record: &Record) -> Vec<Change> {
        self.position = record.position;
        let mut changes = Vec::new();
        let before = self.turn_id().zip(self.doer());
        match &record.body {
            // The first is what made this state; the other is of another kind of stream.
            Body::SessionCreated(_) | Body::AdministrationChanged(_) => {}
            Body::InputReceived(input) => self.input(record.time, input, &mut changes),
            Body::TurnStarted(started) => self.turn_started(record.time, started, &mut changes),
            Body::TurnEnded(ended) => self.turn_ended(record.time, ended, &mut changes),
            Body::ActionDecided(decided) => self.decided(record.time, decided, &mut changes),
            Body::ActionResumed(resumed) => self.resumed(record.time, resumed, &mut changes),
            Body::ActionSettled(settled) => self.settled(record.time, settled, &mut changes),
            Body::CallRefused(refused) => self.call_refused(refused, &mut changes),
            Body::ToolsFound(found) => self.tools_found(found, &mut changes),
        }
        self.sign(before, &mut changes);
        self.show_status(&mut changes);
        changes
    }

    /// Whose the running turn's items are.
    fn doer(&self) -> Option<Doer> {
        let orderer = self.turn.as_ref()?.orderer.clone();
        Some(Doer { agent: self.agent.id, orderer })
    }

    /// Puts on each item whose it is: of the turn that runs now, or of the one that the record has ended.
    fn sign(&self, before: Option<(TurnId, Doer)>, changes: &mut [Change]) {
        for change in changes {
            let (Change::ItemAdded(item) | Change::ItemDone(item)) = change else { continue };
            if item.who.is_none() {
                let now = self.turn_id().zip(self.doer());
                let of = before.iter().chain(&now).find(|(turn, _)| *turn == item.turn);
                item.who = of.map(|(_, doer)| doer.clone());
            }
        }
    }

    fn show_status(&mut self, changes: &mut Vec<Change>) {
        if self.deleted {
            // The row of a deleted session must not come back.
            changes.retain(|change| !matches!(change, Change::SessionUpdated(_) | Change::SessionStatus(_)));
            return;
        }
        let (status, calls, turn) = (self.status(), self.awaited_calls(), self.turn_id());
        let same_status = status == self.shown_status;
        let same_rest = calls == self.shown_calls && turn == self.shown_turn;
        (self.shown_status, self.shown_calls, self.shown_turn) = (status, calls, turn);
        if !same_status {
            if let Some(turn) = &self.turn {
                changes.push(Change::TurnUpdated(self.turn_view(turn)));
            }
            changes.push(Change::SessionStatus(Box::new(self.view())));
        } else if !same_rest {
            changes.push(Change::SessionUpdated(Box::new(self.view())));
        }
    }

    // ---- inputs ----

    fn input(&mut self, at: Timestamp, received: &InputReceived, changes: &mut Vec<Change>) {
        self.inbox_through = received.sequence;
        self.last_active = at;
        self.forget_late_looks(at);
        let orderer = &received.envelope.orderer;
        match &received.envelope.input {
            Input::Message { messages } => {
                self.take_words(orderer, messages);
                for message in messages {
                    let (item, content) = (message.item, message.content.clone());
                    self.queue.push(Queued { orderer: orderer.clone(), item, content, shown: false });
                }
                self.show_queue(changes);
            }
            Input::Cancel => {
                if let Some(turn) = &mut self.turn {
                    turn.cancel = true;
                }
            }
            Input::Stop { rule, message } => {
                if let Some(turn) = &mut self.turn {
                    turn.cancel = true;
                    turn.failure = Some(denial(rule.as_deref().unwrap_or(STOPPED), message.clone()));
                }
            }
            Input::ToolResult { turn, call_id, item, result } => {
                let open = self.open.iter().find(|(_, open)| {
                    open.turn == *turn
                        && open.call_id.as_ref() == Some(call_id)
                        && matches!(*open.action, Action::FunctionCall { .. })
                });
                if let Some(id) = open.map(|(id, _)| *id) {
                    self.function_answered(at, id, *item, result, changes);
                }
            }
            Input::Update(patch) => {
                self.patch(patch);
                changes.push(Change::SessionUpdated(Box::new(self.view())));
            }
            Input::Resolve { action, resolution } => self.resolve(*action, *resolution, orderer, changes),
            Input::Answer { action, approve, reason, replies } => {
                let (by, approve, reason, replies) = (orderer.clone(), *approve, reason.clone(), replies.clone());
                self.take_answer_to(*action, Answer { by, approve, reason, replies });
            }
            Input::Reconsider { action } => self.reconsider(*action),
            Input::Release { label, .. } => self.release(label, changes),
            Input::Environment { status } => self.environment(*status, None, changes),
            Input::AddFile { file } => self.add_file(received.sequence, orderer, file, changes),
            Input::Look { path, page, until } => {
                let look = Look { path: path.clone(), page: page.clone(), until: *until };
                self.add_errand(received.sequence, orderer, Wish::Look(look), changes);
            }
            Input::Call { call, until } => {
                let until = until.unwrap_or(Timestamp::from_millis(0));
                let waits = Waits { sequence: received.sequence, until };
                self.order(waits, orderer, call.as_ref(), changes);
            }
            Input::RemoveArtifact { artifact } => changes.push(Change::ArtifactRemoved(*artifact)),
            Input::Delete => {
                self.deleted = true;
                if let Some(turn) = &mut self.turn {
                    turn.cancel = true;
                }
                changes.push(Change::SessionDeleted);
            }
        }
    }

    /// Messages of the running turn's orderer become items of that turn.
    fn show_queue(&mut self, changes: &mut Vec<Change>) {
        let Some(turn) = &self.turn else { return };
        let (id, orderer) = (turn.id, turn.orderer.clone());
        for index in 0..self.queue.len() {
            if self.queue[index].shown || self.queue[index].orderer != orderer {
                continue;
            }
            let ordinal = self.take_ordinal();
            let queued = &mut self.queue[index];
            queued.shown = true;
            changes.push(Change::ItemAdded(Item {
                id: queued.item,
                turn: id,
                ordinal,
                output_index: None,
                status: ItemStatus::Completed,
                action: None,
                effect: None,
                scripted: false,
                who: None,
                body: ItemBody::UserMessage { content: queued.content.clone() },
            }));
        }
    }

    fn patch(&mut self, patch: &SessionPatch) {
        let SessionPatch {
            model,
            reasoning,
            text,
            service_tier,
            tools,
            tool_search,
            connectors,
            metadata,
            spend_limit,
            auto_review,
        } = patch.clone();
        if model.is_some() || tools.is_some() {
            // What was measured says nothing about another model, or other tools.
            self.measured_tokens = 0;
            self.unmeasured_bytes = self.entries.iter().map(|entry| entry.body.weight() as u64).sum();
        }
        let agent = &mut self.agent;
        agent.model = model.unwrap_or_else(|| agent.model.clone());
        agent.reasoning = reasoning.unwrap_or_else(|| agent.reasoning.clone());
        agent.text = text.unwrap_or_else(|| agent.text.clone());
        agent.service_tier = service_tier.unwrap_or_else(|| agent.service_tier.clone());
        if let Some(tools) = tools {
            agent.tools = tools;
            agent.tool_search = tool_search.unwrap_or(false);
            self.tools = ToolMemo::default();
        }
        if let Some(connectors) = connectors {
            let same = |label: &String| {
                let old = agent.connectors.iter().find(|one| one.label == *label);
                old.is_some() && old == connectors.iter().find(|one| one.label == *label)
            };
            self.connections.retain(|label, _| same(label));
            agent.connectors = connectors;
            self.tools = ToolMemo::default();
        }
        self.metadata = metadata.unwrap_or_else(|| std::mem::take(&mut self.metadata));
        self.auto_review = auto_review.unwrap_or(self.auto_review);
        self.spend_limit = spend_limit.map_or(self.spend_limit, |changed| changed.limit);
    }

    fn environment(&mut self, status: EnvironmentStatus, error: Option<String>, changes: &mut Vec<Change>) {
        self.environment_status = status;
        self.environment_error = error.clone();
        if let Some(id) = self.environment.id() {
            let kind = match self.environment {
                crate::EnvironmentSpec::SelfHosted(_) => "self_hosted",
                _ => "openai_hosted",
            };
            changes.push(Change::Environment { id, kind, status, error });
            changes.push(Change::SessionUpdated(Box::new(self.view())));
        }
    }

    fn resolve(&mut self, action: ActionId, how: Resolution, by: &Principal, changes: &mut Vec<Change>) {
        let Some(unknown) = self.unknown.remove(&action) else { return };
        let what = describe(&unknown.open.action);
        let word = match how {
            Resolution::Happened => "it did happen",
            Resolution::DidNotHappen => "it did not happen",
            Resolution::DoAgain => "it may be done again",
        };
        self.notices.push(format!("The outcome of `{what}` ({action}) was unknown. A person has looked: {word}."));
        if let Some(mut item) = unknown.item {
            item.effect = Some(EffectNote::Resolved { resolution: how, by: by.clone() });
            changes.push(Change::ItemDone(item));
        }
        let held: Vec<usize> = match &self.turn {
            Some(turn) => (0..turn.calls.len()).filter(|i| turn.calls[*i].status == CallStatus::Held(action)).collect(),
            None => Vec::new(),
        };
        for index in held {
            if how == Resolution::Happened {
                let text = format!("Not done again: a person confirmed that this happened before, as {action}.");
                self.finish_call(index, None, CallEnd::done(text), changes);
            } else if let Some(turn) = &mut self.turn {
                turn.calls[index].status = CallStatus::Waiting;
            }
        }
        changes.push(Change::SessionUpdated(Box::new(self.view())));
    }

    // ---- turns ----

    fn turn_started(&mut self, at: Timestamp, started: &TurnStarted, changes: &mut Vec<Change>) {
        self.last_active = at;
        self.next_turn += 1;
        // A turn that only lays files in has nothing to answer, and nothing of its own to publish.
        let silent = !self.queue.iter().any(|queued| queued.orderer == started.orderer);
        let turn = Turn {
            id: started.turn,
            ordinal: self.next_turn,
            orderer: started.orderer.clone(),
            created: at,
            steps: 0,
            usage: TokenUsage::default(),
            calls: Vec::new(),
            next_output: 0,
            cancel: false,
            answered: silent,
            ordered: false,
            opening: Vec::new(),
            published: silent,
            failure: None,
            overflow: Overflow::No,
            lost_calls: 0,
            auto_review: self.auto_review,
            waited: Millis(0),
            consolidating: started.consolidates.then_some(Consolidating::Wanted),
        };
        self.last_orderer = Some(started.orderer.clone());
        self.turn = Some(turn);
        if let Some(turn) = &self.turn {
            changes.push(Change::TurnCreated(self.turn_view(turn)));
            changes.push(Change::TurnInProgress(self.turn_view(turn)));
        }
        self.show_queue(changes);
        if silent {
            self.take_ordered(changes);
        }
    }

    fn turn_ended(&mut self, at: Timestamp, ended: &TurnEnded, changes: &mut Vec<Change>) {
        self.last_active = at;
        let why = match &ended.end {
            TurnEnd::Completed => "the turn ended",
            TurnEnd::Failed { .. } => "the turn failed",
            TurnEnd::Cancelled => "the turn was cancelled",
        };
        self.abandon_calls(why, changes);
        self.leave_errands(at, why, changes);
        self.leave_opening(why, changes);
        self.end_questions(at, changes);
        self.close_all(at, ended, changes);
        self.aside.clear();
        let Some(turn) = self.turn.take() else { return };
        self.note_turn(&turn);
        let mut view = self.turn_view(&turn);
        view.completed = Some(at);
        (view.status, view.error) = match &ended.end {
            TurnEnd::Completed => (TurnStatus::Completed, None),
            TurnEnd::Failed { error } => (TurnStatus::Failed, Some(error.clone())),
            TurnEnd::Cancelled => (TurnStatus::Cancelled, None),
        };
        // Messages that were shown in this turn but seen by no model call belong to the history all the same.
        self.absorb_shown();
        changes.push(Change::TurnEnded(view));
    }

    /// Every tool call must have a result before a model sees the history again.
    fn abandon_calls(&mut self, why: &str, changes: &mut Vec<Change>) {
        let Some(turn) = &self.turn else { return };
        let unfinished: Vec<usize> =
            (0..turn.calls.len()).filter(|i| turn.calls[*i].status != CallStatus::Done).collect();
        for index in unfinished {
            let end = CallEnd {
                status: ItemStatus::Incomplete,
                ..CallEnd::failed(format!("Not finished: {why} before there was a result."))
            };
            self.finish_call(index, None, end, changes);
        }
    }

    fn absorb_shown(&mut self) {
        let (seen, rest): (Vec<Queued>, Vec<Queued>) = self.queue.drain(..).partition(|queued| queued.shown);
        self.queue = rest;
        for queued in seen {
            self.push_entry(queued.item, EntryBody::User { content: queued.content });
        }
    }

    fn push_entry(&mut self, id: ItemId, body: EntryBody) {
        self.unmeasured_bytes += body.weight() as u64;
        self.entries.push(Arc::new(Entry { id, body, native: None }));
    }

    // ---- actions ----

    fn decided(&mut self, at: Timestamp, decided: &ActionDecided, changes: &mut Vec<Change>) {
        let index = self.call_index(decided.call_id.as_deref());
        if decided.arguments.is_errand() {
            self.errand_decided(decided);
        }
        if decided.arguments.is_consolidation() {
            self.consolidation_decided(decided);
        }
        let asked = self.end_question(at, decided.action, changes);
        let before = asked.or_else(|| self.end_form(at, &decided.arguments, changes));
        match &decided.decision {
            Ruling::Asked(question) => self.ask(at, decided, question, before, changes),
            Ruling::Allowed { .. } => {
                if matches!(&decided.arguments, Action::ModelCall(call) if call.purpose == Purpose::Step) {
                    self.absorb_shown();
                    self.absorb_notices(decided.action);
                }
                self.label_intent(&decided.arguments);
                let filled = self.filled(&decided.arguments);
                self.open.insert(
                    decided.action,
                    OpenAction {
                        action: Arc::new(decided.arguments.clone()),
                        turn: decided.turn,
                        call_id: decided.call_id.clone(),
                        digest: decided.digest.clone(),
                        principal: decided.principal.clone(),
                        since: at,
                        quote: decided.spending.quote,
                        team: decided.spending.team,
                        reservations: Self::reserve(at, &decided.spending, changes),
                        credentials: decided.credentials.clone(),
                        through: decided.through.clone(),
                    },
                );
                if let (Some(index), Some(turn)) = (index, &mut self.turn) {
                    turn.calls[index].status = CallStatus::Open(decided.action);
                    let sent = filled.as_ref().unwrap_or(&decided.arguments);
                    let body = item_body(&turn.calls[index], sent);
                    let item = turn.calls[index].item(turn.id, Some(decided.action), body);
                    if before.is_none() {
                        changes.push(Change::ItemAdded(item));
                    }
                }
            }
            Ruling::Denied { rule, reason, remedy } => {
                self.denied(index, decided, rule, reason, remedy, changes);
            }
            Ruling::Held { by } => {
                if let (Some(index), Some(turn)) = (index, &mut self.turn) {
                    if turn.calls[index].ordered.is_some() {
                        let end = ordered::held(*by);
                        self.finish_call(index, Some((decided.action, &decided.arguments)), end, changes);
                        return;
                    }
                    turn.calls[index].status = CallStatus::Held(*by);
                    let call = &turn.calls[index];
                    let mut item = call.item(turn.id, Some(decided.action), item_body(call, &decided.arguments));
                    item.effect = Some(EffectNote::Held { by: *by });
                    changes.push(Change::ItemAdded(item));
                }
            }
        }
    }

    fn denied(
        &mut self,
        index: Option<usize>,
        decided: &ActionDecided,
        rule: &str,
        reason: &str,
        remedy: &str,
        changes: &mut Vec<Change>,
    ) {
        let message = format!("Denied by rule `{rule}`: {reason}. {remedy}");
        match index {
            Some(index) => {
                let note = EffectNote::Denied { rule: rule.to_owned(), remedy: remedy.to_owned() };
                let end = CallEnd { effect: Some(note), ..CallEnd::failed(message) };
                self.finish_call(index, Some((decided.action, &decided.arguments)), end, changes);
            }
            None => {
                if decided.arguments.is_errand() {
                    return self.errand_denied(&message, changes);
                }
                if decided.arguments.is_consolidation() {
                    return;
                }
                if let Action::ConnectorOpen { connector, .. } = &decided.arguments {
                    return self.connection_denied(decided.turn, connector, denial(rule, message), changes);
                }
                let answered = self.turn.as_ref().is_some_and(|turn| turn.answered);
                let starting = matches!(decided.arguments, Action::EnvironmentStart { .. });
                if starting {
                    self.give_up_errands(&ErrandOutcome::Denied { message: message.clone() }, changes);
                }
                if starting && !answered {
                    self.deny_environment_calls(rule, remedy, &message, changes);
                    return;
                }
                let publishing = starting || matches!(decided.arguments, Action::ArtifactPublish { .. });
                if let Some(turn) = &mut self.turn {
                    if publishing {
                        turn.published = true;
                    } else {
                        turn.failure = Some(match &decided.spending.exceeded {
                            Some(exceeded) => error(exceeded.turn_error_code(), &message),
                            None => denial(rule, message),
                        });
                    }
                }
            }
        }
    }

    /// The environment may not be started, so no call that needs it can be performed.
    fn deny_environment_calls(&mut self, rule: &str, remedy: &str, message: &str, changes: &mut Vec<Change>) {
        let Some(turn) = &self.turn else { return };
        let needs_it = |call: &Call| call.status == CallStatus::Waiting && self.needs_environment(call);
        let waiting: Vec<usize> = (0..turn.calls.len()).filter(|index| needs_it(&turn.calls[*index])).collect();
        for index in waiting {
            let note = EffectNote::Denied { rule: rule.to_owned(), remedy: remedy.to_owned() };
            let end = CallEnd { effect: Some(note), ..CallEnd::failed(message.to_owned()) };
            self.finish_call(index, None, end, changes);
        }
    }

    fn absorb_notices(&mut self, action: ActionId) {
        if !self.notices.is_empty() {
            let text = std::mem::take(&mut self.notices).join("\n");
            self.push_entry(ItemId::of_output(action, u16::MAX), EntryBody::Notice { text });
        }
    }

    fn resumed(&mut self, at: Timestamp, resumed: &ActionResumed, changes: &mut Vec<Change>) {
        if let Ruling::Denied { rule, .. } = &resumed.decision {
            let reason = format!("rule `{rule}` no longer allows asking what became of it");
            let outcome = Outcome::Unknown { reason };
            let last_active = self.last_active;
            self.settled(at, &ActionSettled { action: resumed.action, outcome, cost: None, halted_by: None }, changes);
            self.last_active = last_active;
        } else {
            self.attempt_again(at, resumed, changes);
        }
    }

    fn settled(&mut self, at: Timestamp, settled: &ActionSettled, changes: &mut Vec<Change>) {
        self.last_active = at;
        let Some(open) = self.open.get(&settled.action) else { return };
        let closing = Closing::of(open, &settled.outcome, settled.cost);
        let Some(open) = self.close(at, settled.action, &closing, changes) else { return };
        self.label_outcome(&open, &settled.outcome);
        match &*open.action {
            Action::ModelCall(call) if call.purpose == Purpose::Compaction => self.compacted(settled, changes),
            Action::ModelCall(call) if call.purpose == Purpose::Consolidation => self.consolidated(settled),
            action if action.is_consolidation() => self.consolidation_written(&open, &settled.outcome),
            Action::ModelCall(ModelCall { extract: Some(extract), .. }) => {
                self.extracted(&open, extract, settled, changes);
            }
            Action::ModelCall(_) => self.answered(settled, changes),
            Action::EnvironmentStart { .. } => self.environment_started(settled, changes),
            Action::ConnectorOpen { connector, .. } => self.connector_opened(&open, connector, settled, changes),
            action if action.is_errand() => self.errand_settled(&open, settled, changes),
            Action::ArtifactPublish { environment, .. } => self.published(at, &open, *environment, settled, changes),
            _ if self.reads_aside(&open) => self.set_aside(&open, settled, changes),
            Action::SkillsFind { directory, .. } => {
                self.skills_looked_for(directory, &settled.outcome);
                self.tool_settled(at, &open, settled, changes);
            }
            _ => self.tool_settled(at, &open, settled, changes),
        }
    }

    fn answered(&mut self, settled: &ActionSettled, changes: &mut Vec<Change>) {
        match &settled.outcome {
            Outcome::Confirmed { result: ActionResult::Model(answer) } => {
                self.take_answer(settled.action, answer, changes)
            }
            Outcome::Failed { failure } => self.model_failed(failure),
            Outcome::Confirmed { .. } => {
                self.model_failed(&Failure::new(FailureCode::Internal, "not a model's answer"))
            }
            Outcome::Unknown { reason } | Outcome::NotSent { reason } => self.model_call_lost(reason),
        }
    }

    fn take_answer(&mut self, action: ActionId, answer: &ModelAnswer, changes: &mut Vec<Change>) {
        self.usage += answer.usage;
        self.measured_tokens = answer.usage.total();
        self.unmeasured_bytes = 0;
        let Some(mut turn) = self.turn.take() else { return };
        turn.steps += 1;
        turn.lost_calls = 0;
        turn.usage += answer.usage;
        turn.calls.clear();
        let base = turn.next_output;
        for (index, entry) in answer.entries.iter().enumerate() {
            self.entries.push(Arc::clone(entry));
            let output_index = base + index as u32;
            turn.next_output = output_index + 1;
            let ordinal = self.take_ordinal();
            let body = match &entry.body {
                EntryBody::Assistant { text, phase } => {
                    ItemBody::AssistantMessage { text: text.clone(), phase: *phase }
                }
                EntryBody::Reasoning { summary } => ItemBody::Reasoning { summary: summary.clone() },
                EntryBody::ToolCall { call_id, name, arguments } => {
                    turn.calls.push(Call {
                        call_id: call_id.clone(),
                        name: name.clone(),
                        arguments: arguments.clone(),
                        item: entry.id,
                        ordinal,
                        output_index,
                        scripted: answer.scripted,
                        ordered: None,
                        status: CallStatus::Waiting,
                    });
                    continue;
                }
                _ => continue,
            };
            let cut = answer.stop != Stop::Completed && index + 1 == answer.entries.len();
            changes.push(Change::ItemDone(Item {
                id: entry.id,
                turn: turn.id,
                ordinal,
                output_index: Some(output_index),
                status: if cut { ItemStatus::Incomplete } else { ItemStatus::Completed },
                action: Some(action),
                effect: None,
                scripted: answer.scripted,
                who: None,
                body,
            }));
        }
        turn.answered = turn.calls.is_empty();
        turn.published = false;
        turn.failure = match answer.stop {
            _ if turn.is_halted() => turn.failure.take(),
            Stop::Completed => None,
            Stop::MaxOutputTokens => {
                Some(error("max_output_tokens", "The model reached its output limit before it had finished."))
            }
            Stop::ContentFilter => {
                Some(error("cyber_policy", "The model's provider withheld the answer by its content filter."))
            }
        };
        self.turn = Some(turn);
    }

    fn model_failed(&mut self, failure: &Failure) {
        let Some(turn) = &mut self.turn else { return };
        if failure.code == FailureCode::ContextOverflow && turn.overflow == Overflow::No {
            turn.overflow = Overflow::Refused;
        } else if !turn.is_halted() && (failure.code != FailureCode::Cancelled || !turn.cancel) {
            turn.failure = Some(error(turn_error_code(failure.code), &failure.message));
        }
    }

    /// Nothing of it is known; a model call may be made again.
    pub(super) fn model_call_lost(&mut self, reason: &str) {
        let Some(turn) = &mut self.turn else { return };
        turn.lost_calls += 1;
        if turn.lost_calls >= MAX_LOST_CALLS {
            turn.failure = Some(error(
                "internal_error",
                &format!("Model calls were lost {MAX_LOST_CALLS} times in a row: {reason}."),
            ));
        }
    }

    fn compacted(&mut self, settled: &ActionSettled, _changes: &mut Vec<Change>) {
        let summary = match &settled.outcome {
            Outcome::Confirmed { result: ActionResult::Model(answer) } => {
                self.usage += answer.usage;
                if let Some(turn) = &mut self.turn {
                    turn.usage += answer.usage;
                    turn.overflow = Overflow::Compacted;
                }
                answer.entries.iter().find_map(|entry| match &entry.body {
                    EntryBody::Assistant { text, .. } => Some(text.clone()),
                    _ => None,
                })
            }
            Outcome::Failed { failure } => return self.compaction_failed(failure),
            Outcome::Confirmed { .. } => None,
            Outcome::Unknown { reason } | Outcome::NotSent { reason } => return self.model_call_lost(reason),
        };
        let Some(text) = summary.filter(|text| !text.trim().is_empty()) else {
            return self.compaction_failed(&Failure::new(FailureCode::MalformedAnswer, "The summary was empty."));
        };
        let last_order = self.entries.iter().rfind(|entry| matches!(entry.body, EntryBody::User { .. })).cloned();
        self.entries.clear();
        self.measured_tokens = 0;
        self.unmeasured_bytes = 0;
        self.push_entry(ItemId::of_output(settled.action, 0), EntryBody::Summary { text });
        if let Some(order) = last_order {
            self.unmeasured_bytes += order.body.weight() as u64;
            self.entries.push(order);
        }
    }

    fn compaction_failed(&mut self, failure: &Failure) {
        if let Some(turn) = &mut self.turn {
            let message =
                format!("The history is too long for the model and could not be summarised: {}", failure.message);
            turn.failure = Some(error("context_length_exceeded", &message));
        }
    }

    fn environment_started(&mut self, settled: &ActionSettled, changes: &mut Vec<Change>) {
        match &settled.outcome {
            Outcome::Confirmed { result: ActionResult::Environment(facts) } => {
                self.environment_facts = Some(facts.clone());
                self.environment(EnvironmentStatus::Connected, None, changes);
            }
            Outcome::Failed { failure } => {
                let code = match failure.code {
                    FailureCode::ExecutorIncompatible => "executor_version_incompatible",
                    _ => "sandbox_error",
                };
                self.give_up_errands(&ErrandOutcome::Failed { failure: failure.clone() }, changes);
                match &mut self.turn {
                    Some(turn) if turn.published => {}
                    // All that it was started for is to publish what an earlier one left.
                    Some(turn) if turn.answered => {
                        turn.published = true;
                        self.not_published(&failure.message);
                    }
                    Some(turn) if !turn.cancel => turn.failure = Some(error(code, &failure.message)),
                    _ => {}
                }
                self.environment(EnvironmentStatus::Failed, Some(failure.message.clone()), changes);
            }
            // Starting finds what is there, so it may be tried again.
            Outcome::Unknown { reason } | Outcome::NotSent { reason } => self.model_call_lost(reason),
            Outcome::Confirmed { .. } => {}
        }
    }

    fn published(
        &mut self,
        at: Timestamp,
        open: &OpenAction,
        environment: bailiwick_types::EnvironmentId,
        settled: &ActionSettled,
        changes: &mut Vec<Change>,
    ) {
        match &settled.outcome {
            Outcome::Confirmed { result: ActionResult::Artifacts { artifacts } } => {
                let (turn, label) = (open.turn, self.label_of_artifacts());
                let view = |file: &Published| {
                    let (label, file) = (label.clone(), file.clone());
                    ArtifactView { turn, environment, created: at, label, file }
                };
                changes.push(Change::Artifacts(artifacts.iter().map(view).collect()));
            }
            Outcome::Failed { failure } => self.not_published(&failure.message),
            // It may be that the environment has to be started for it.
            Outcome::NotSent { .. } => return self.environment_lost(open, &settled.outcome, changes),
            Outcome::Confirmed { .. } | Outcome::Unknown { .. } => {}
        }
        if let Some(turn) = &mut self.turn {
            turn.published = true;
        }
    }

    fn not_published(&mut self, why: &str) {
        self.notices.push(format!("The files below the outputs folder could not be published: {why}"));
    }

    fn tool_settled(&mut self, at: Timestamp, open: &OpenAction, settled: &ActionSettled, changes: &mut Vec<Change>) {
        let Some(index) = self.call_index(open.call_id.as_deref()) else { return };
        if let Outcome::Confirmed { result: ActionResult::Elicits(elicited) } = &settled.outcome {
            return self.elicited(at, index, open, (settled.action, elicited), changes);
        }
        let in_environment = open.action.environment().is_some();
        if in_environment && !matches!(settled.outcome, Outcome::NotSent { .. }) {
            self.touched_environment = true;
        }
        let outcome = self.told(settled.action, open, &settled.outcome);
        let end = match &*outcome {
            Outcome::Confirmed { result: ActionResult::Command(output) } => command_end(settled.action, output),
            Outcome::Confirmed { result: ActionResult::Content { content } } => {
                CallEnd { content: content.clone(), ..CallEnd::done(String::new()) }
            }
            Outcome::Confirmed { result: ActionResult::Tool(answer) } => {
                let base = if answer.failed { CallEnd::failed(String::new()) } else { CallEnd::done(String::new()) };
                CallEnd { content: answer.content.clone(), ..base }
            }
            Outcome::Confirmed { result: ActionResult::Skills(found) } => CallEnd::done(self.told_of_found(found)),
            Outcome::Confirmed { .. } => CallEnd::done("Done.".into()),
            Outcome::Failed { failure } => CallEnd::failed(failure.message.clone()),
            Outcome::Unknown { reason } => {
                let text = format!(
                    "The outcome is unknown: {reason}. It may or may not have happened. Do not simply repeat it; a person can \
                     resolve {}.",
                    settled.action
                );
                CallEnd {
                    status: ItemStatus::Incomplete,
                    effect: Some(EffectNote::Unknown { reason: reason.clone() }),
                    ..CallEnd::failed(text)
                }
            }
            // It never left, so it may simply be asked for again.
            Outcome::NotSent { .. } => {
                if let Some(turn) = &mut self.turn {
                    turn.calls[index].status = CallStatus::Waiting;
                }
                self.environment_lost(open, &settled.outcome, changes);
                let elsewhere = open.action.connector().is_some() || !in_environment;
                if let (true, Outcome::NotSent { reason }) = (elsewhere, &settled.outcome) {
                    // Nothing else ends it where no permit is ever opened in time.
                    self.model_call_lost(reason);
                }
                return;
            }
        };
        self.environment_lost(open, &settled.outcome, changes);
        let reason = if let Outcome::Unknown { reason } = &*outcome { Some(reason.clone()) } else { None };
        let item = self.finish_call(index, Some((settled.action, &open.action)), end, changes);
        if let Some(reason) = reason {
            self.unknown.insert(settled.action, UnknownAction { open: open.clone(), reason, item });
            changes.push(Change::SessionUpdated(Box::new(self.view())));
        }
    }

    /// After a sign that the environment is gone, the next call starts it again (which finds it when it is there after
    /// all). An executor that dials in says by itself when it comes and goes.
    pub(super) fn environment_lost(&mut self, open: &OpenAction, outcome: &Outcome, changes: &mut Vec<Change>) {
        let sign = match outcome {
            Outcome::Failed { failure } => failure.code == FailureCode::SandboxError,
            Outcome::Unknown { .. } | Outcome::NotSent { .. } => true,
            Outcome::Confirmed { .. } => false,
        };
        let connected = self.environment_status == EnvironmentStatus::Connected;
        if sign && connected && open.action.environment().is_some() && !self.environment.dials_in() {
            self.environment(EnvironmentStatus::Disconnected, None, changes);
        }
    }

    fn function_answered(
        &mut self,
        at: Timestamp,
        id: ActionId,
        output_item: ItemId,
        result: &Result<Vec<Content>, String>,
        changes: &mut Vec<Change>,
    ) {
        let ending = if result.is_ok() { Ending::Happened } else { Ending::DidNot };
        let Some(open) = self.open.get(&id) else { return };
        let closing = Closing::of_awaited(open, ending);
        let Some(open) = self.close(at, id, &closing, changes) else { return };
        let carries = self.carries_held(&open.action);
        if !carries {
            self.label.join(&Label::foreign());
        }
        let Some(index) = self.call_index(open.call_id.as_deref()) else { return };
        let end = match result {
            result if carries => self.told_by_function(id, &open, result),
            Ok(content) => CallEnd { content: content.clone(), ..CallEnd::done(String::new()) },
            Err(error) => CallEnd::failed(error.clone()),
        };
        let status = end.status;
        self.finish_call(index, Some((id, &open.action)), end, changes);
        let body = ItemBody::FunctionCallOutput {
            call_id: open.call_id.clone().unwrap_or_default(),
            output: result.as_ref().ok().cloned(),
            error: result.as_ref().err().cloned(),
        };
        let ordinal = self.take_ordinal();
        let (action, effect, scripted) = (Some(id), None, false);
        let turn = open.turn;
        changes.push(Change::ItemAdded(Item {
            id: output_item,
            turn,
            ordinal,
            output_index: None,
            status,
            action,
            effect,
            scripted,
            who: None,
            body,
        }));
    }

    fn call_refused(&mut self, refused: &CallRefused, changes: &mut Vec<Change>) {
        if let Some(index) = self.call_index(Some(&refused.call_id)) {
            self.finish_call(index, None, CallEnd::failed(refused.message.clone()), changes);
        }
    }

    pub(super) fn call_index(&self, call_id: Option<&str>) -> Option<usize> {
        let (turn, call_id) = (self.turn.as_ref()?, call_id?);
        turn.calls.iter().position(|call| call.call_id == call_id && call.status != CallStatus::Done)
    }

    /// Gives a tool call its result: for the model as an entry, for people as a finished item.
    pub(super) fn finish_call(
        &mut self,
        index: usize,
        action: Option<(ActionId, &Action)>,
        end: CallEnd,
        changes: &mut Vec<Change>,
    ) -> Option<Item> {
        let turn = self.turn.as_mut()?;
        let before = turn.calls[index].status;
        turn.calls[index].status = CallStatus::Done;
        let (turn_id, call) = (turn.id, turn.calls[index].clone());
        let from_open = match before {
            CallStatus::Open(id) => self.open.get(&id).map(|open| (id, Arc::clone(&open.action))),
            CallStatus::Asked(id) => self.asked.get(&id).map(|asked| (id, Arc::clone(&asked.action))),
            _ => None,
        };
        let (id, body) = match (action, &from_open) {
            (Some((id, action)), _) if matches!(before, CallStatus::Open(_)) => {
                (Some(id), item_body(&call, self.filled(action).as_ref().unwrap_or(action)))
            }
            (Some((id, action)), _) => (Some(id), item_body(&call, action)),
            (None, Some((id, action))) => (Some(*id), item_body(&call, action)),
            (None, None) => (None, unparsed_body(&call)),
        };
        let mut item = call.item(turn_id, id, end.fill(body));
        item.status = end.status;
        item.effect = end.effect;
        item.who = self.doer();
        if matches!(before, CallStatus::Waiting) {
            changes.push(Change::ItemAdded(Item { status: ItemStatus::InProgress, ..item.clone() }));
        }
        changes.push(Change::ItemDone(item.clone()));
        let (failed, content) = (end.status != ItemStatus::Completed, end.content);
        if let Some(Waits { sequence, .. }) = call.ordered {
            changes.push(Change::Errand { sequence, outcome: ErrandOutcome::Answered { failed, content } });
            return Some(item);
        }
        let result = ItemId::from_u128(call.item.to_u128() ^ 1);
        self.push_entry(result, EntryBody::ToolResult { call_id: call.call_id, content, failed });
        Some(item)
    }
}

fn error(code: &str, message: &str) -> TurnError {
    TurnError { code: code.to_owned(), message: message.to_owned(), denied_by: None }
}

/// The gate denied what the turn cannot go on without. The API's nearest word is its own systems' refusal.
fn denial(rule: &str, message: String) -> TurnError {
    TurnError { code: "misalignment_policy_violation".to_owned(), message, denied_by: Some(rule.to_owned()) }
}

/// The Agents API's code (`SessionTurnError`) for a failed model call.
pub(super) fn turn_error_code(code: FailureCode) -> &'static str {
    match code {
        FailureCode::RateLimited => "rate_limit_exceeded",
        FailureCode::Overloaded => "server_overloaded",
        FailureCode::ServerError | FailureCode::MalformedAnswer | FailureCode::StreamCut => "server_error",
        FailureCode::ConnectionFailed => "connection_failed",
        FailureCode::FirstByteTimeout | FailureCode::StreamStalled => "request_timeout",
        FailureCode::ContentFilter => "cyber_policy",
        FailureCode::ContextOverflow => "context_length_exceeded",
        FailureCode::AuthenticationFailed => "authentication_error",
        FailureCode::InvalidRequest => "invalid_request",
        FailureCode::UnknownModel => "resource_not_found",
        FailureCode::SandboxError => "sandbox_error",
        FailureCode::ExecutorIncompatible => "executor_version_incompatible",
        FailureCode::ToolError | FailureCode::Cancelled | FailureCode::Internal => "internal_error",
    }
}
