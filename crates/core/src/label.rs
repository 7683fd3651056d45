//! Where data came from and who may see it. A session's label is the join of what entered it; nothing here lowers one.

use crate::{Action, EnvironmentSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Integrity and confidentiality of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Label {
    pub integrity: Integrity,
    pub confidentiality: Confidentiality,
}

/// Whether its words may be somebody's who wants harm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    #[default]
    Trusted,
    Untrusted,
}

/// Who may see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidentiality {
    Public,
    /// Everybody inside the tenant.
    #[default]
    Internal,
    /// Only who is in all of these groups.
    Groups(BTreeSet<String>),
}

impl Label {
    /// Of what a person or program inside said, and of nothing worse.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether whoever may take in `other` may take this in too.
    pub fn is_at_most(&self, other: &Self) -> bool {
        let mut join = other.clone();
        join.join(self);
        join == *other
    }

    /// What the result of an action brings into a session. An application's answer and what lies on a machine that is
    /// not ours may hold anybody's words; a sandbox without a network holds only what the session put there.
    pub fn of_result(action: &Action, environment: &EnvironmentSpec) -> Self {
        let foreign = match action {
            Action::FunctionCall { .. } => true,
            Action::ModelCall(_) | Action::EnvironmentStart { .. } => false,
            _ => matches!(environment, EnvironmentSpec::SelfHosted(_)),
        };
        // Public is the least: it adds nothing to what is there.
        let integrity = if foreign { Integrity::Untrusted } else { Integrity::Trusted };
        Self { integrity, confidentiality: Confidentiality::Public }
    }

    /// The least label that is at least both.
    pub fn join(&mut self, other: &Self) {
        self.integrity = self.integrity.max(other.integrity);
        match (&mut self.confidentiality, &other.confidentiality) {
            (_, Confidentiality::Public) | (Confidentiality::Groups(_), Confidentiality::Internal) => {}
            (Confidentiality::Groups(mine), Confidentiality::Groups(theirs)) => mine.extend(theirs.iter().cloned()),
            (mine, theirs) => *mine = theirs.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Confidentiality {
        Confidentiality::Groups(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_join_is_never_below_either_side_whatever_their_order() {
        let all = [Confidentiality::Public, Confidentiality::Internal, groups(&["hr"]), groups(&["finance"])];
        for one in &all {
            for other in &all {
                let label = |confidentiality: &Confidentiality| Label {
                    integrity: Integrity::Trusted,
                    confidentiality: confidentiality.clone(),
                };
                let (mut left, mut right) = (label(one), label(other));
                left.join(&label(other));
                right.join(&label(one));
                assert_eq!(left, right, "{one:?} {other:?}");
                let mut again = left.clone();
                again.join(&label(one));
                assert_eq!(again, left, "a join holds what went into it");
            }
        }
        for one in &all {
            let label = |confidentiality: &Confidentiality| Label {
                integrity: Integrity::Trusted,
                confidentiality: confidentiality.clone(),
            };
            assert!(label(&Confidentiality::Public).is_at_most(&label(one)) && label(one).is_at_most(&label(one)));
            let untrusted = Label { integrity: Integrity::Untrusted, ..label(one) };
            assert!(label(one).is_at_most(&untrusted) && !untrusted.is_at_most(&label(one)));
        }
        let mut both = Label { integrity: Integrity::Untrusted, confidentiality: groups(&["hr"]) };
        both.join(&Label { integrity: Integrity::Trusted, confidentiality: groups(&["finance"]) });
        assert_eq!(both, Label { integrity: Integrity::Untrusted, confidentiality: groups(&["finance", "hr"]) });
    }
}
