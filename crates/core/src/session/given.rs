//! Files that a client gives to a session's environment. Before the environment was started they are noted, and laid in
//! with the others; afterwards each is an action of its own, in a turn of whoever gave it.

use super::state::{OpenAction, State};
use crate::{
    Action, EnvironmentSpec, Failure, FailureCode, Outcome,
    environment::HostedFile,
    item::{Change, GivenOutcome},
    record::{ActionDecided, ActionSettled},
};
use bailiwick_types::{ActionId, Principal};
use serde::{Deserialize, Serialize};

/// Files that may wait at once.
const MAX_WAITING: usize = 64;

/// A file that is not in its environment yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GivenFile {
    /// The input that brought it.
    pub sequence: u64,
    pub orderer: Principal,
    pub file: HostedFile,
    /// The action that lays it in, once that was asked for.
    pub action: Option<ActionId>,
}

impl State {
    pub(super) fn add_file(&mut self, sequence: u64, orderer: &Principal, file: &HostedFile, out: &mut Vec<Change>) {
        let starting = self.open.values().any(|open| matches!(*open.action, Action::EnvironmentStart { .. }));
        let started = starting || self.environment_facts.is_some();
        let refusal = match &self.environment {
            EnvironmentSpec::None => Some("the session has no environment"),
            _ if self.given.len() >= MAX_WAITING => Some("too many files wait for this environment"),
            EnvironmentSpec::Hosted(_) if !started => {
                self.note_file(file, out);
                out.push(Change::FileGiven { sequence, outcome: GivenOutcome::Done });
                return;
            }
            _ => None,
        };
        match refusal {
            Some(why) => {
                let outcome = GivenOutcome::Failed { failure: Failure::new(FailureCode::ToolError, why) };
                out.push(Change::FileGiven { sequence, outcome });
            }
            None => {
                let (orderer, file) = (orderer.clone(), file.clone());
                self.given.push(GivenFile { sequence, orderer, file, action: None });
            }
        }
    }

    /// Writes a file down among those of a hosted environment; one at the same path is replaced.
    fn note_file(&mut self, file: &HostedFile, out: &mut Vec<Change>) {
        let EnvironmentSpec::Hosted(hosted) = &mut self.environment else { return };
        match hosted.files.iter_mut().find(|earlier| earlier.path == file.path) {
            Some(earlier) => *earlier = file.clone(),
            None => hosted.files.push(file.clone()),
        }
        out.push(Change::SessionUpdated(Box::new(self.view())));
    }

    /// The next action for the files of the running turn's orderer: one after the other, as they were given, so that of
    /// two for one path the later one stays.
    pub(super) fn next_file(&self) -> Option<Action> {
        let orderer = &self.turn.as_ref()?.orderer;
        let first = self.given.iter().find(|given| given.orderer == *orderer)?;
        let HostedFile { file, path, size_bytes, .. } = first.file.clone();
        let environment = self.environment.id()?;
        first.action.is_none().then_some(Action::FileAdd { environment, path, file, size_bytes })
    }

    /// Whether the running turn has files left to lay in.
    pub(super) fn has_files(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| self.given.iter().any(|given| given.orderer == turn.orderer))
    }

    /// The file is asked for, and not asked for again before there is an outcome.
    pub(super) fn file_decided(&mut self, decided: &ActionDecided) {
        let Some(orderer) = self.turn.as_ref().map(|turn| turn.orderer.clone()) else { return };
        if let Some(given) = self.given.iter_mut().find(|given| given.orderer == orderer) {
            given.action = Some(decided.action);
        }
    }

    pub(super) fn file_denied(&mut self, message: &str, out: &mut Vec<Change>) {
        let Some(orderer) = self.turn.as_ref().map(|turn| turn.orderer.clone()) else { return };
        if let Some(index) = self.given.iter().position(|given| given.orderer == orderer) {
            let sequence = self.given.remove(index).sequence;
            out.push(Change::FileGiven { sequence, outcome: GivenOutcome::Denied { message: message.to_owned() } });
        }
    }

    pub(super) fn file_settled(&mut self, open: &OpenAction, settled: &ActionSettled, out: &mut Vec<Change>) {
        let Some(index) = self.given.iter().position(|given| given.action == Some(settled.action)) else { return };
        let outcome = match &settled.outcome {
            Outcome::NotSent { .. } => {
                self.given[index].action = None;
                return self.environment_lost(open, &settled.outcome, out);
            }
            Outcome::Confirmed { .. } => GivenOutcome::Done,
            Outcome::Failed { failure } => GivenOutcome::Failed { failure: failure.clone() },
            Outcome::Unknown { reason } => {
                let message = format!("it may or may not have been written: {reason}. Give it again");
                GivenOutcome::Failed { failure: Failure::new(FailureCode::SandboxError, message) }
            }
        };
        let given = self.given.remove(index);
        if outcome == GivenOutcome::Done {
            self.note_file(&given.file, out);
        }
        out.push(Change::FileGiven { sequence: given.sequence, outcome });
        self.environment_lost(open, &settled.outcome, out);
    }

    /// Nothing that the running turn's orderer gave can be laid in.
    pub(super) fn give_up_files(&mut self, outcome: &GivenOutcome, out: &mut Vec<Change>) {
        let Some(orderer) = self.turn.as_ref().map(|turn| turn.orderer.clone()) else { return };
        let (theirs, others): (Vec<GivenFile>, Vec<GivenFile>) =
            self.given.drain(..).partition(|given| given.orderer == orderer);
        self.given = others;
        let told = theirs.into_iter().map(|given| given.sequence);
        out.extend(told.map(|sequence| Change::FileGiven { sequence, outcome: outcome.clone() }));
    }
}
