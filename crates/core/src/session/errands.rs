//! What a client wants of a session's environment itself: that a file be laid in, or a look at the files that are there.
//!
//! Each is an action of its own, in a turn of whoever wants it: in the one that runs when that is theirs, else in one in
//! which no model is asked. A file given before the environment was started is only noted, and laid in with the others.
//! Nothing of an errand is ever told to the model.

use super::state::{OpenAction, State};
use crate::{
    Action, ActionResult, EnvironmentSpec, Failure, FailureCode, ListPage, Outcome,
    environment::HostedFile,
    item::{Change, ErrandOutcome},
    record::{ActionDecided, ActionSettled},
};
use bailiwick_types::{ActionId, EnvironmentId, Principal, Timestamp};
use serde::{Deserialize, Serialize};

/// Errands that may wait at once.
const MAX_WAITING: usize = 64;
/// How far down a look goes: as far as the stock executor walks.
const LOOK_DEPTH: u32 = 64;

/// Something that a client wants and has not got yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Errand {
    /// The input that brought it.
    pub sequence: u64,
    pub orderer: Principal,
    #[serde(flatten)]
    pub wish: Wish,
    /// The action that does it, once that was asked for.
    pub action: Option<ActionId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wish {
    /// A file is to be in its place.
    File(HostedFile),
    Look(Look),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Look {
    pub path: String,
    pub page: ListPage,
    /// Nobody waits for it any longer than this.
    pub until: Timestamp,
}

impl Wish {
    fn action(&self, environment: EnvironmentId) -> Action {
        match self.clone() {
            Self::File(HostedFile { file, path, size_bytes, .. }) => {
                Action::FileAdd { environment, path, file, size_bytes }
            }
            Self::Look(Look { path, page, .. }) => {
                Action::FileList { environment, path, depth: LOOK_DEPTH, page: Some(page) }
            }
        }
    }

    /// What `why` left undone, in plain words.
    fn undone(&self, why: &str) -> String {
        match self {
            Self::File(_) => format!("{why} before the file was in its place"),
            Self::Look(_) => format!("{why} before the files were looked at"),
        }
    }

    fn is_late(&self, at: Timestamp) -> bool {
        matches!(self, Self::Look(look) if look.until < at)
    }
}

impl State {
    pub(super) fn add_file(&mut self, sequence: u64, orderer: &Principal, file: &HostedFile, out: &mut Vec<Change>) {
        let starting = self.open.values().any(|open| matches!(*open.action, Action::EnvironmentStart { .. }));
        let started = starting || self.environment_facts.is_some();
        if matches!(self.environment, EnvironmentSpec::Hosted(_)) && !started {
            self.note_file(file, out);
            out.push(Change::Errand { sequence, outcome: ErrandOutcome::Done });
            return;
        }
        self.add_errand(sequence, orderer, Wish::File(file.clone()), out);
    }

    pub(super) fn add_errand(&mut self, sequence: u64, orderer: &Principal, wish: Wish, out: &mut Vec<Change>) {
        let refusal = match &self.environment {
            EnvironmentSpec::None => "the session has no environment",
            _ if self.errands.len() >= MAX_WAITING => "too many requests wait for this environment",
            _ => return self.errands.push(Errand { sequence, orderer: orderer.clone(), wish, action: None }),
        };
        let outcome = ErrandOutcome::Failed { failure: Failure::new(FailureCode::ToolError, refusal) };
        out.push(Change::Errand { sequence, outcome });
    }

    /// Writes a file down among those of a hosted environment; one at the same path is replaced.
    fn note_file(&mut self, file: &HostedFile, out: &mut Vec<Change>) {
        self.label_given(&file.label);
        let EnvironmentSpec::Hosted(hosted) = &mut self.environment else { return };
        match hosted.files.iter_mut().find(|earlier| earlier.path == file.path) {
            Some(earlier) => *earlier = file.clone(),
            None => hosted.files.push(file.clone()),
        }
        out.push(Change::SessionUpdated(Box::new(self.view())));
    }

    /// The files that wait to be laid in.
    pub(super) fn given_files(&self) -> impl Iterator<Item = &HostedFile> {
        self.errands.iter().filter_map(|errand| match &errand.wish {
            Wish::File(file) => Some(file),
            Wish::Look(_) => None,
        })
    }

    /// The next action for the errands of the running turn's orderer: one after the other, as they came, so that of two
    /// files for one path the later one stays, and who looks sees what was given before.
    pub(super) fn next_errand(&self) -> Option<Action> {
        let orderer = &self.turn.as_ref()?.orderer;
        let first = self.errands.iter().find(|errand| errand.orderer == *orderer)?;
        let environment = self.environment.id()?;
        first.action.is_none().then(|| first.wish.action(environment))
    }

    /// Whether the running turn has errands left to do.
    pub(super) fn has_errands(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| self.errands.iter().any(|errand| errand.orderer == turn.orderer))
    }

    /// It is asked for, and not asked for again before there is an outcome.
    pub(super) fn errand_decided(&mut self, decided: &ActionDecided) {
        let Some(orderer) = self.turn.as_ref().map(|turn| turn.orderer.clone()) else { return };
        if let Some(errand) = self.errands.iter_mut().find(|errand| errand.orderer == orderer) {
            errand.action = Some(decided.action);
        }
    }

    pub(super) fn errand_denied(&mut self, message: &str, out: &mut Vec<Change>) {
        let Some(orderer) = self.turn.as_ref().map(|turn| turn.orderer.clone()) else { return };
        if let Some(index) = self.errands.iter().position(|errand| errand.orderer == orderer) {
            let sequence = self.errands.remove(index).sequence;
            out.push(Change::Errand { sequence, outcome: ErrandOutcome::Denied { message: message.to_owned() } });
        }
    }

    pub(super) fn errand_settled(&mut self, open: &OpenAction, settled: &ActionSettled, out: &mut Vec<Change>) {
        let Some(index) = self.errands.iter().position(|errand| errand.action == Some(settled.action)) else { return };
        if matches!(settled.outcome, Outcome::NotSent { .. }) {
            self.errands[index].action = None;
            return self.environment_lost(open, &settled.outcome, out);
        }
        let Errand { sequence, wish, .. } = self.errands.remove(index);
        let outcome = match (&settled.outcome, &wish) {
            (Outcome::Confirmed { .. }, Wish::File(file)) => {
                self.note_file(file, out);
                ErrandOutcome::Done
            }
            (Outcome::Confirmed { result: ActionResult::Files(listing) }, Wish::Look(_)) => {
                ErrandOutcome::Listed(listing.clone())
            }
            (Outcome::Failed { failure }, _) => ErrandOutcome::Failed { failure: failure.clone() },
            (Outcome::Unknown { reason }, Wish::File(_)) => {
                let message = format!("it may or may not have been written: {reason}. Give it again");
                ErrandOutcome::Failed { failure: Failure::new(FailureCode::SandboxError, message) }
            }
            (other, Wish::Look(_)) => {
                let why = if let Outcome::Unknown { reason } = other { reason } else { "it is no listing" };
                let message = format!("nobody knows what is there: {why}. Ask again");
                ErrandOutcome::Failed { failure: Failure::new(FailureCode::SandboxError, message) }
            }
            (Outcome::NotSent { .. }, Wish::File(_)) => return,
        };
        out.push(Change::Errand { sequence, outcome });
        self.environment_lost(open, &settled.outcome, out);
    }

    /// The environment is not to be had for what the running turn's orderer wants of it.
    pub(super) fn give_up_errands(&mut self, outcome: &ErrandOutcome, out: &mut Vec<Change>) {
        self.end_errands(|_| outcome.clone(), out);
    }

    /// The turn in which they were to be done is over, and so are looks that nobody waits for any more.
    pub(super) fn leave_errands(&mut self, at: Timestamp, why: &str, out: &mut Vec<Change>) {
        let left =
            |wish: &Wish| ErrandOutcome::Failed { failure: Failure::new(FailureCode::Cancelled, wish.undone(why)) };
        self.end_errands(left, out);
        self.forget_late_looks(at);
    }

    fn end_errands(&mut self, outcome: impl Fn(&Wish) -> ErrandOutcome, out: &mut Vec<Change>) {
        let Some(orderer) = self.turn.as_ref().map(|turn| turn.orderer.clone()) else { return };
        let (theirs, others): (Vec<Errand>, Vec<Errand>) =
            self.errands.drain(..).partition(|errand| errand.orderer == orderer);
        self.errands = others;
        out.extend(
            theirs
                .into_iter()
                .map(|errand| Change::Errand { sequence: errand.sequence, outcome: outcome(&errand.wish) }),
        );
    }

    /// Looks that were not begun while somebody waited for them are not taken at all.
    pub(super) fn forget_late_looks(&mut self, at: Timestamp) {
        self.errands.retain(|errand| errand.action.is_some() || !errand.wish.is_late(at));
    }
}
