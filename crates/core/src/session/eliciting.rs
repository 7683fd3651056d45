//! Calls whose system asks the person something before it goes on.
//!
//! The call that stopped is over, with what is asked as its outcome. The question waits like every other one; what is
//! answered makes another action, whose arguments hold the answer, so that policy sees it and the receipt keeps it.

use super::Ask;
use super::approvals::AskedAction;
use super::calls::CallEnd;
use super::plan::Mint;
use super::state::{CallStatus, OpenAction, State};
use crate::{
    Action, Answer, Approver, ConnectorCall, Question,
    approval::QUESTION_EXPIRES,
    elicitation::{self, Elicited, MAX_ROUNDS, Reply, Resumed},
    item::Change,
};
use bailiwick_types::{ActionId, Timestamp};
use std::sync::Arc;

/// What receipts and people are told instead of a rule: no rule of ours asks.
const RULE: &str = "asked-by-system";

impl State {
    /// A call stopped because its system asks something.
    pub(super) fn elicited(
        &mut self,
        at: Timestamp,
        index: usize,
        open: &OpenAction,
        (action, elicited): (ActionId, &Elicited),
        changes: &mut Vec<Change>,
    ) {
        let rounds = match &*open.action {
            Action::ConnectorCall(ConnectorCall { resumed, .. }) => resumed.as_ref().map_or(0, |resumed| resumed.round),
            _ => MAX_ROUNDS,
        };
        let in_vain = if self.reviews_automatically() {
            Some("The system asks something of a person before it goes on, and this session asks nobody.")
        } else if rounds >= MAX_ROUNDS {
            Some("The system asked again and again before it went on, and is asked nothing more.")
        } else {
            None
        };
        if let Some(why) = in_vain {
            self.finish_call(index, Some((action, &open.action)), CallEnd::failed(why.to_owned()), changes);
            return;
        }
        let connector = open.action.connector().unwrap_or_default();
        let until = self.waited_for_until(open.call_id.as_deref(), &open.action);
        let question = Question {
            rule: RULE.to_owned(),
            reason: format!("the system behind `{connector}` asks this before it goes on, in its own words"),
            approver: Approver::Person,
            given: Vec::new(),
            expires: until.unwrap_or(at + QUESTION_EXPIRES),
            account: None,
            form: Some(elicited.questions.clone()),
        };
        let asked = AskedAction {
            action: Arc::clone(&open.action),
            turn: open.turn,
            call_id: open.call_id.clone(),
            digest: open.digest.clone(),
            principal: open.principal.clone(),
            since: at,
            question,
            answers: Vec::new(),
            again: false,
            credentials: open.credentials.clone(),
            resume: Some(elicited.resume.clone()),
            through: open.through.clone(),
        };
        changes.push(Change::ApprovalAsked(Box::new(self.approval_view(action, &asked))));
        self.asked.insert(action, asked);
        if let Some(turn) = &mut self.turn {
            turn.calls[index].status = CallStatus::Asked(action);
        }
    }

    /// The question ends with the decision about the call that goes on.
    pub(super) fn end_form(
        &mut self,
        at: Timestamp,
        action: &Action,
        changes: &mut Vec<Change>,
    ) -> Option<AskedAction> {
        let Action::ConnectorCall(ConnectorCall { resumed: Some(resumed), .. }) = action else { return None };
        self.end_question(at, resumed.asked, changes)
    }
}

/// The call as it goes on, once somebody has answered or nobody did in time.
pub(super) fn go_on(id: ActionId, asked: &AskedAction, expired: bool, mint: &mut Mint) -> Option<Ask> {
    let Action::ConnectorCall(call) = &*asked.action else { return None };
    let (questions, resume) = (asked.question.form.as_deref()?, asked.resume.clone()?);
    let (by, replies) = match asked.answers.first() {
        Some(Answer { by, approve: true, replies, .. }) => {
            let fits = |replies: &&elicitation::Replies| {
                questions.iter().all(|one| replies.get(&one.key).is_some_and(|reply| one.check(reply).is_ok()))
            };
            let replies = replies.as_ref().filter(fits).cloned();
            (Some(by.clone()), replies.unwrap_or_else(|| elicitation::all(questions, &Reply::Cancel)))
        }
        Some(no) => (Some(no.by.clone()), elicitation::all(questions, &Reply::Decline)),
        None if expired => (None, elicitation::all(questions, &Reply::Cancel)),
        None => return None,
    };
    let round = call.resumed.as_ref().map_or(0, |resumed| resumed.round) + 1;
    let resumed = Some(Box::new(Resumed { asked: id, by, replies, resume, round }));
    let action = Action::ConnectorCall(ConnectorCall { resumed, ..call.clone() });
    Some(Ask::new(mint.action(), asked.turn, asked.call_id.clone(), action))
}
