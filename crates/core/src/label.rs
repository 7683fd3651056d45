//! Where data came from and who may see it. A session's label is the join of what entered it; only a release by a person
//! takes anything off ([`Label::lose`]).

use crate::EnvironmentSpec;
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

    /// The least there is: joined with another it changes nothing.
    pub fn nothing() -> Self {
        Self { integrity: Integrity::Trusted, confidentiality: Confidentiality::Public }
    }

    /// Of what may hold anybody's words, and of which nobody says who may see it.
    pub fn foreign() -> Self {
        Self { integrity: Integrity::Untrusted, confidentiality: Confidentiality::Public }
    }

    /// Of what lies in an environment before a session works in it. A sandbox of ours without a network holds the files
    /// that it is given; what lies in somebody's own folder may be anybody's words until somebody says otherwise.
    pub fn of_environment(environment: &EnvironmentSpec) -> Self {
        let mut label = Self::nothing();
        match environment {
            EnvironmentSpec::None => {}
            EnvironmentSpec::Hosted(hosted) => hosted.files.iter().for_each(|file| label.join(&file.label)),
            EnvironmentSpec::SelfHosted(own) => match &own.content {
                Some(said) => label = said.label.clone(),
                None => label = Self::foreign(),
            },
        }
        label
    }

    /// Takes off what a release takes off that goes from `before` to `left`, and nothing else.
    pub(crate) fn lose(&mut self, before: &Self, left: &Self) {
        if before.integrity > left.integrity {
            self.integrity = self.integrity.min(left.integrity);
        }
        self.confidentiality = match (&self.confidentiality, &before.confidentiality, &left.confidentiality) {
            (Confidentiality::Groups(mine), Confidentiality::Groups(before), left) => {
                let none = BTreeSet::new();
                let kept = if let Confidentiality::Groups(kept) = left { kept } else { &none };
                let stay = |group: &&String| !before.contains(*group) || kept.contains(*group);
                let mine: BTreeSet<String> = mine.iter().filter(stay).cloned().collect();
                match (mine.is_empty(), left) {
                    (false, _) => Confidentiality::Groups(mine),
                    (true, Confidentiality::Public) => Confidentiality::Public,
                    (true, _) => Confidentiality::Internal,
                }
            }
            (Confidentiality::Internal, Confidentiality::Internal, Confidentiality::Public) => Confidentiality::Public,
            (mine, ..) => (*mine).clone(),
        };
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
