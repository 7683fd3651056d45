//! The two labels of a session: of its history, and of what lies in its environment.
//!
//! What lies in an environment was not read yet. It enters the session when something comes back from there, and not
//! before: that is what lets a model of its own read it, and only values come in ([`super::extracting`]). What the
//! session writes there takes the session's label along. Both labels only rise; a release by a person is the only way
//! down.

use super::state::{OpenAction, State};
use crate::{
    Action, ActionResult, ConnectorCall, EnvironmentSpec, Label, Outcome, canonical, item::Change, record::UserMessage,
};
use bailiwick_types::{FileId, Principal};
use std::collections::BTreeSet;

/// Addresses, hosts and URLs in people's messages that are remembered of one session. What comes later counts as not
/// said, which permits less.
const MAX_SAID: usize = 256;

impl State {
    /// The label that an action is decided under: of what it may carry, and of what it may act at the word of.
    pub fn label_of(&self, action: &Action) -> Label {
        let mut label = self.label.clone();
        match action {
            Action::ModelCall(call) => {
                let source = call.extract.as_ref().and_then(|extract| self.aside.get(&extract.source));
                source.iter().for_each(|aside| label.join(&aside.label));
            }
            Action::EnvironmentStart { .. } | Action::FunctionCall { .. } | Action::DataQuery(_) => {}
            Action::MemorySearch(_)
            | Action::MemoryRead { .. }
            | Action::MemoryWrite(_)
            | Action::MemoryForget { .. } => {}
            // What runs in the environment may send along what lies there.
            Action::ConnectorOpen { environment, .. } | Action::ConnectorCall(ConnectorCall { environment, .. }) => {
                environment.iter().for_each(|_| label.join(&self.environment_label));
            }
            Action::FileAdd { file, .. } => {
                label.join(&self.environment_label);
                self.label_of_file(*file).iter().for_each(|given| label.join(given));
            }
            Action::CommandRun(_)
            | Action::CommandPoll { .. }
            | Action::CommandWrite { .. }
            | Action::CommandStop { .. }
            | Action::FileRead { .. }
            | Action::FileWrite { .. }
            | Action::FileEdit { .. }
            | Action::FileList { .. }
            | Action::FileSearch { .. }
            | Action::ImageView { .. }
            | Action::SkillsFind { .. }
            | Action::ArtifactPublish { .. } => label.join(&self.environment_label),
            Action::SkillLoad(load) => {
                load.environment.iter().for_each(|_| label.join(&self.environment_label));
                label.join(&load.skill.label);
            }
        }
        label.join(&self.label_carried(action));
        label
    }

    /// What an action carries out of the session: its history's, and that of the values that it moves.
    pub fn label_sent(&self, action: &Action) -> Label {
        let mut label = self.label.clone();
        label.join(&self.label_carried(action));
        label
    }

    /// Of what is published from here now.
    pub(super) fn label_of_artifacts(&self) -> Label {
        let mut label = self.label.clone();
        label.join(&self.environment_label);
        label
    }

    fn label_of_file(&self, file: FileId) -> Option<Label> {
        self.given_files().find(|given| given.file == file).map(|given| given.label.clone())
    }

    /// What an action that is let through leaves behind in the environment. Whatever becomes of it, it may have; and what
    /// reads there meanwhile may read it.
    pub(super) fn label_intent(&mut self, action: &Action) {
        match action {
            Action::CommandRun(_)
            | Action::CommandWrite { .. }
            | Action::FileWrite { .. }
            | Action::FileEdit { .. }
            | Action::ConnectorCall(ConnectorCall { environment: Some(_), .. }) => {
                let sent = self.label_sent(action);
                self.environment_label.join(&sent);
            }
            Action::FileAdd { file, .. } => {
                let given = self.label_of_file(*file);
                given.iter().for_each(|given| self.environment_label.join(given));
            }
            Action::SkillLoad(load) if load.lays_in() => self.environment_label.join(&load.skill.label),
            _ => {}
        }
    }

    /// A file will be in the environment when it starts.
    pub(super) fn label_given(&mut self, label: &Label) {
        self.environment_label.join(label);
    }

    /// Of skills that lie in the environment. They are instructions, and whoever could write there could have written
    /// them: they are somebody's words until a person has vouched for what lies there.
    fn label_of_found(&self) -> Label {
        let mut label = self.environment_label.clone();
        let vouched = matches!(&self.environment, EnvironmentSpec::SelfHosted(own) if own.content.is_some());
        if !vouched {
            label.join(&Label::foreign());
        }
        label
    }

    /// What an outcome brings into the history. The words of a failure may be somebody's as well as those of a result.
    pub(super) fn label_outcome(&mut self, open: &OpenAction, outcome: &Outcome) {
        let confirmed = match outcome {
            Outcome::NotSent { .. } => return,
            Outcome::Confirmed { .. } => true,
            Outcome::Failed { .. } | Outcome::Unknown { .. } => false,
        };
        match &*open.action {
            // A model's answer is made of the history. What is done for a client enters no history.
            Action::ModelCall(_) | Action::FileAdd { .. } => {}
            Action::FileList { page: Some(_), .. } => {}
            // The history is told only why it failed.
            Action::EnvironmentStart { .. } | Action::ArtifactPublish { .. } if confirmed => {}
            Action::FileRead { .. } if self.reads_aside(open) => {}
            // What comes back is told in our own words.
            action if self.carries_held(action) => {}
            // What the house keeps of it comes from the house, whatever lies around the place to which it is laid.
            Action::SkillLoad(load) if confirmed && load.skill.file().is_some() => self.label.join(&load.skill.label),
            Action::SkillLoad(load) => {
                let there = load.environment.map(|_| self.label_of_found());
                there.iter().for_each(|there| self.label.join(there));
            }
            Action::SkillsFind { .. } => {
                let there = self.label_of_found();
                self.label.join(&there);
            }
            Action::FunctionCall { .. } => self.label.join(&Label::foreign()),
            Action::ConnectorOpen { environment, .. } | Action::ConnectorCall(ConnectorCall { environment, .. }) => {
                let own = self.label_of_connector(&open.action, outcome);
                self.label.join(&own);
                if environment.is_some() {
                    let there = self.environment_label.clone();
                    self.label.join(&there);
                }
            }
            Action::DataQuery(_) => {
                let own = self.label_of_connector(&open.action, outcome);
                self.label.join(&own);
            }
            // An entry brings the label of what it came from. Everything else is told in our own words.
            Action::MemorySearch(_)
            | Action::MemoryRead { .. }
            | Action::MemoryWrite(_)
            | Action::MemoryForget { .. } => {
                if let Outcome::Confirmed { result: ActionResult::Tool(answer) } = outcome {
                    answer.label.iter().for_each(|own| self.label.join(own));
                }
            }
            Action::CommandRun(_)
            | Action::CommandPoll { .. }
            | Action::CommandWrite { .. }
            | Action::CommandStop { .. }
            | Action::FileRead { .. }
            | Action::FileWrite { .. }
            | Action::FileEdit { .. }
            | Action::FileList { .. }
            | Action::FileSearch { .. }
            | Action::ImageView { .. }
            | Action::EnvironmentStart { .. }
            | Action::ArtifactPublish { .. } => self.label.join(&self.environment_label),
        }
    }

    /// A person takes a label off, or part of it. What the session loses its own workspace loses too: the person has
    /// seen what became of it there. Somebody else's folder stays what it was, because it changes without us.
    pub(super) fn release(&mut self, left: &Label, changes: &mut Vec<Change>) {
        if !left.is_at_most(&self.label) {
            return;
        }
        let before = std::mem::replace(&mut self.label, left.clone());
        self.environment_label.lose(&before, left);
        if matches!(self.environment, EnvironmentSpec::SelfHosted(_)) {
            self.environment_label.join(&Label::of_environment(&self.environment));
        }
        changes.push(Change::SessionUpdated(Box::new(self.view())));
    }

    /// Remembers where a person's own messages point to. What a program relays are not a person's words, and what another
    /// agent says may be anybody's.
    pub(super) fn take_words(&mut self, orderer: &Principal, messages: &[UserMessage]) {
        if matches!(orderer, Principal::Agent { .. }) {
            self.label.join(&Label::foreign());
        }
        if !matches!(orderer, Principal::User { .. } | Principal::Operator) {
            return;
        }
        let texts = messages.iter().flat_map(|message| &message.content).filter_map(|part| match part {
            crate::Content::Text { text } => Some(text),
            crate::Content::Image { .. } => None,
        });
        let said: Vec<String> = texts.flat_map(|text| canonical::destinations_in(text)).collect();
        if said.is_empty() {
            return;
        }
        let room = MAX_SAID.saturating_sub(self.said.iter().map(|(_, said)| said.len()).sum());
        let at = self.said.iter().position(|(who, _)| who == orderer).unwrap_or_else(|| {
            self.said.push((orderer.clone(), BTreeSet::new()));
            self.said.len() - 1
        });
        let known = &mut self.said[at].1;
        let new: Vec<String> = said.into_iter().filter(|one| !known.contains(one)).take(room).collect();
        known.extend(new);
    }

    /// Where the messages of whoever ordered the running turn point to, in canonical form. Empty unless that is a person.
    pub fn said(&self) -> &BTreeSet<String> {
        static NOTHING: BTreeSet<String> = BTreeSet::new();
        let orderer = self.turn.as_ref().map(|turn| &turn.orderer);
        let said = self.said.iter().find(|(who, _)| Some(who) == orderer);
        said.map_or(&NOTHING, |(_, said)| said)
    }
}
