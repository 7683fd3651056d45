//! Which rules can match a question at all, so that Cedar is given no others.
//!
//! Cedar evaluates every policy that it is given, each for itself. A rule is kept under each action that its scope
//! admits, and there under the principal and the resource that its scope names. A question then asks for what lies under
//! its action, its principal with everything that the principal is in, and its resource likewise. What is not found could
//! not have matched, because its scope says something else.

use bailiwick_core::ActionKind;
use cedar_policy::{
    ActionConstraint, Effect, EntityTypeName, EntityUid, Policy, PolicySet, PolicySetError, PrincipalConstraint,
    ResourceConstraint,
};
use std::collections::HashMap;

pub(crate) const KINDS: [(ActionKind, &str); 6] = [
    (ActionKind::ModelCall, "model.call"),
    (ActionKind::EnvironmentStart, "environment.start"),
    (ActionKind::CommandRun, "command.run"),
    (ActionKind::FileRead, "file.read"),
    (ActionKind::FileWrite, "file.write"),
    (ActionKind::ToolCall, "tool.call"),
];

/// What a scope names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Anything,
    OfType(EntityTypeName),
    /// It, or what is in it.
    One(EntityUid),
}

/// Rules of one scope.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub permits: PolicySet,
    /// Those that ask among them.
    pub forbids: PolicySet,
    /// Forbids that are asked about the folded spelling too.
    pub folding: PolicySet,
}

type ByResource = HashMap<Key, Slice>;

#[derive(Debug, Default)]
pub(crate) struct Index {
    by_action: HashMap<ActionKind, HashMap<Key, ByResource>>,
}

impl Index {
    pub fn add(&mut self, policy: &Policy, folds: bool) -> Result<(), PolicySetError> {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Key::Anything,
            PrincipalConstraint::Is(kind) => Key::OfType(kind),
            PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
                Key::One(uid)
            }
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Key::Anything,
            ResourceConstraint::Is(kind) => Key::OfType(kind),
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
                Key::One(uid)
            }
        };
        let action = policy.action_constraint();
        for (kind, name) in KINDS {
            if !admits(&action, name) {
                continue;
            }
            let by_principal = self.by_action.entry(kind).or_default();
            let slice = by_principal.entry(principal.clone()).or_default().entry(resource.clone()).or_default();
            match policy.effect() {
                Effect::Permit => slice.permits.add(policy.clone())?,
                Effect::Forbid => slice.forbids.add(policy.clone())?,
            }
            if folds {
                slice.folding.add(policy.clone())?;
            }
        }
        Ok(())
    }

    /// Every slice that can match, each once.
    pub fn slices<'a>(
        &'a self,
        kind: ActionKind,
        principal: &'a [Key],
        resource: &'a [Key],
    ) -> impl Iterator<Item = &'a Slice> {
        let by_principal = self.by_action.get(&kind);
        let by_resource = principal.iter().filter_map(move |key| by_principal?.get(key));
        by_resource.flat_map(move |slices| resource.iter().filter_map(move |key| slices.get(key)))
    }
}

/// There are no groups of actions in the schema, so that `in` is "one of".
fn admits(constraint: &ActionConstraint, action: &str) -> bool {
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid.id().unescaped() == action,
        ActionConstraint::In(uids) => uids.iter().any(|uid| uid.id().unescaped() == action),
    }
}
