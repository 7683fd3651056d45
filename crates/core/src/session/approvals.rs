//! Questions to people: actions that may be done when somebody says so.
//!
//! A question is asked by a decision and ended by the next decision about the same action, or with its turn. While one
//! waits the turn's clock stands still.

use super::eliciting;
use super::plan::Mint;
use super::state::{CallStatus, State, describe};
use crate::{
    Action, Answer, Question,
    item::{ApprovalView, Change, EffectNote, RequiredAction},
    record::{ActionDecided, Through},
    session::Ask,
};
use bailiwick_types::{ActionId, CredentialId, Millis, Principal, Timestamp, TurnId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Answers to one question that wait to be judged. Those that nobody may give do not use it up.
const MAX_ANSWERS: usize = 16;

/// An action that waits for a person's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskedAction {
    pub action: Arc<Action>,
    pub turn: TurnId,
    pub call_id: Option<String>,
    pub digest: String,
    pub principal: Principal,
    pub since: Timestamp,
    pub question: Question,
    /// What was answered; which of them counts is for the gate to say.
    pub answers: Vec<Answer>,
    /// It is to be decided on again, although nobody has answered it.
    #[serde(default)]
    pub again: bool,
    /// The secrets that it would use.
    #[serde(default)]
    pub credentials: Vec<CredentialId>,
    /// The system that it would go to.
    #[serde(default)]
    pub through: Option<Through>,
    /// Where a call goes on whose system asks something.
    #[serde(default)]
    pub resume: Option<Value>,
}

impl AskedAction {
    pub(super) fn expired(&self, now: Timestamp) -> bool {
        now >= self.question.expires
    }

    /// Whether there is something new to decide on.
    pub(super) fn is_stirred(&self) -> bool {
        self.again || !self.answers.is_empty()
    }
}

impl State {
    /// The actions that wait for a person's word.
    pub fn asked_actions(&self) -> impl Iterator<Item = (ActionId, &AskedAction)> {
        self.asked.iter().map(|(id, asked)| (*id, asked))
    }

    /// A question goes out, or stays because its answer did not count.
    pub(super) fn ask(
        &mut self,
        at: Timestamp,
        decided: &ActionDecided,
        question: &Question,
        before: Option<AskedAction>,
        changes: &mut Vec<Change>,
    ) {
        let asked = AskedAction {
            action: Arc::new(decided.arguments.clone()),
            turn: decided.turn,
            call_id: decided.call_id.clone(),
            digest: decided.digest.clone(),
            principal: decided.principal.clone(),
            since: before.as_ref().map_or(at, |before| before.since),
            question: question.clone(),
            answers: Vec::new(),
            again: false,
            credentials: decided.credentials.clone(),
            through: decided.through.clone(),
            resume: None,
        };
        changes.push(Change::ApprovalAsked(Box::new(self.approval_view(decided.action, &asked))));
        self.asked.insert(decided.action, asked);
        let index = self.call_index(decided.call_id.as_deref());
        let Some((index, turn)) = index.zip(self.turn.as_mut()) else { return };
        turn.calls[index].status = CallStatus::Asked(decided.action);
        if before.is_none() {
            let call = &turn.calls[index];
            let mut item = call.item(turn.id, Some(decided.action), super::calls::item_body(call, &decided.arguments));
            item.effect = Some(EffectNote::Asked { question: question.clone() });
            changes.push(Change::ItemAdded(item));
        }
    }

    /// A question that ends. The time in which it waited does not count for the turn.
    pub(super) fn end_question(
        &mut self,
        at: Timestamp,
        action: ActionId,
        changes: &mut Vec<Change>,
    ) -> Option<AskedAction> {
        let asked = self.asked.remove(&action)?;
        changes.push(Change::ApprovalEnded(action));
        if self.asked.is_empty()
            && let Some(turn) = &mut self.turn
        {
            turn.waited = Millis(turn.waited.0.saturating_add(at.since(asked.since).0));
        }
        Some(asked)
    }

    pub(super) fn end_questions(&mut self, at: Timestamp, changes: &mut Vec<Change>) {
        let all: Vec<ActionId> = self.asked.keys().copied().collect();
        for action in all {
            self.end_question(at, action, changes);
        }
    }

    /// Takes an answer in. One to a question that is over changes nothing.
    pub(super) fn take_answer_to(&mut self, action: ActionId, answer: Answer) {
        if let Some(asked) = self.asked.get_mut(&action).filter(|asked| asked.answers.len() < MAX_ANSWERS) {
            asked.answers.push(answer);
        }
    }

    /// There may be an answer to a question that waits. To one that is over it changes nothing.
    pub(super) fn reconsider(&mut self, action: ActionId) {
        if let Some(asked) = self.asked.get_mut(&action).filter(|asked| asked.question.form.is_none()) {
            asked.again = true;
        }
    }

    /// Questions that have an answer, or may have one, to be decided on again.
    pub(super) fn answered_questions(&self, mint: &mut Mint) -> Vec<Ask> {
        let now = mint.now();
        let ask = |(id, asked): (&ActionId, &AskedAction)| {
            let expired = asked.expired(now);
            if asked.question.form.is_some() {
                return eliciting::go_on(*id, asked, expired, mint);
            }
            (expired || asked.is_stirred()).then(|| Ask {
                id: *id,
                turn: asked.turn,
                call_id: asked.call_id.clone(),
                action: (*asked.action).clone(),
                answers: asked.answers.clone(),
                expired,
            })
        };
        self.asked.iter().filter_map(ask).collect()
    }

    pub(super) fn first_expiry(&self) -> Option<Timestamp> {
        self.asked.values().map(|asked| asked.question.expires).min()
    }

    /// Whether starting the environment waits for a person's word.
    pub(super) fn asks_for_environment(&self) -> bool {
        self.asked.values().any(|asked| matches!(*asked.action, Action::EnvironmentStart { .. }))
    }

    pub(super) fn approval_view(&self, action: ActionId, asked: &AskedAction) -> ApprovalView {
        ApprovalView {
            action,
            session: self.session,
            turn: asked.turn,
            agent: self.agent.id,
            agent_name: self.agent.name.clone(),
            principal: asked.principal.clone(),
            operation: asked.action.operation().to_owned(),
            what: describe(&asked.action),
            arguments: (*asked.action).clone(),
            digest: asked.digest.clone(),
            held: self.held_views(&asked.action),
            question: asked.question.clone(),
            asked: asked.since,
            through: asked.through.clone(),
        }
    }

    pub(super) fn approvals(&self) -> Vec<RequiredAction> {
        self.asked
            .iter()
            .map(|(id, asked)| RequiredAction::Approval(Box::new(self.approval_view(*id, asked))))
            .collect()
    }
}
