//! Which rules can match a question at all, so that only those are evaluated.
//!
//! A rule is kept under each action that its scope admits, and there under the principal and the resource that its scope
//! names, if it names one. A question asks for what lies under its action, its principal with everything that the
//! principal is in, and its resource likewise. What is not found could not have matched, because its scope says something
//! else; what is found and does not match is told by evaluating the whole rule, scope included. So a key need only be
//! wide enough, and is the bare id: an agent and a folder of the same id would share a place, and nothing else.

use bailiwick_core::ActionKind;
use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use cedar_policy_core::ast::{Expr, ExprKind, Literal, Var};
use std::collections::HashMap;

pub(crate) const KINDS: [(ActionKind, &str); 10] = [
    (ActionKind::ModelCall, "model.call"),
    (ActionKind::EnvironmentStart, "environment.start"),
    (ActionKind::CommandRun, "command.run"),
    (ActionKind::FileRead, "file.read"),
    (ActionKind::FileWrite, "file.write"),
    (ActionKind::ToolCall, "tool.call"),
    (ActionKind::DataQuery, "data.query"),
    (ActionKind::MemoryRead, "memory.read"),
    (ActionKind::MemoryWrite, "memory.write"),
    (ActionKind::VaultUse, "vault.use"),
];

/// The condition of one rule, scope included, ready to be evaluated.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    /// Its place in the text's order.
    pub rule: usize,
    pub whole: Expr,
    /// Whether it looks at the arguments or the circumstances.
    pub on_context: bool,
}

/// Rules of one scope.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub all: Vec<Condition>,
    /// Those that are asked about the folded spelling too.
    pub folding: Vec<Condition>,
}

/// What a scope names, and what names nothing.
#[derive(Debug)]
struct Places<T> {
    anywhere: T,
    one: HashMap<Box<str>, T>,
}

impl<T: Default> Default for Places<T> {
    fn default() -> Self {
        Self { anywhere: T::default(), one: HashMap::new() }
    }
}

impl<T: Default> Places<T> {
    fn entry(&mut self, named: Option<&EntityUid>) -> &mut T {
        match named {
            None => &mut self.anywhere,
            Some(uid) => {
                let id: &str = uid.id().unescaped();
                self.one.entry(id.into()).or_default()
            }
        }
    }

    /// `ids` are different from each other.
    fn under<'a>(&'a self, ids: &'a [String]) -> impl Iterator<Item = &'a T> {
        let named = ids.iter().filter_map(|id| self.one.get(id.as_str()));
        std::iter::once(&self.anywhere).chain(named)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    by_action: [Places<Places<Slice>>; KINDS.len()],
    /// Which actions have a rule that is asked about the folded spelling too.
    folding: [bool; KINDS.len()],
}

impl Index {
    /// Adds the rule at `rule` in the text's order.
    pub fn add(&mut self, policy: &Policy, rule: usize, exact: bool) {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
            PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
                Some(uid)
            }
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => Some(uid),
        };
        let parsed: &cedar_policy_core::ast::Policy = policy.as_ref();
        let whole = parsed.condition();
        let on_context = whole.subexpressions().any(|part| matches!(part.expr_kind(), ExprKind::Var(Var::Context)));
        let condition = Condition { rule, whole, on_context };
        let action = policy.action_constraint();
        let folds = policy.effect() == Effect::Forbid && !exact && reads_spelling(&condition.whole);
        for (at, _) in KINDS.into_iter().enumerate().filter(|(_, (_, name))| admits(&action, name)) {
            let slice = self.by_action[at].entry(principal.as_ref()).entry(resource.as_ref());
            slice.all.push(condition.clone());
            if folds {
                slice.folding.push(condition.clone());
                self.folding[at] = true;
            }
        }
    }

    /// Whether any rule about this kind of action is asked about the folded spelling too.
    pub fn folds(&self, kind: ActionKind) -> bool {
        place(kind).is_some_and(|at| self.folding[at])
    }

    /// Every slice that can match, each once.
    pub fn slices<'a>(
        &'a self,
        kind: ActionKind,
        principal: &'a [String],
        resource: &'a [String],
    ) -> impl Iterator<Item = &'a Slice> {
        let places = place(kind).map(|at| &self.by_action[at]);
        let by_principal = places.into_iter().flat_map(|places| places.under(principal));
        by_principal.flat_map(|places| places.under(resource))
    }
}

fn place(kind: ActionKind) -> Option<usize> {
    KINDS.iter().position(|(known, _)| *known == kind)
}

/// Whether a condition can depend on how something is spelt: it reads an attribute that folding changes, names a file,
/// or looks at the context as a whole.
fn reads_spelling(condition: &Expr) -> bool {
    const SPELT: [&str; 9] = ["path", "name", "text", "directory", "plain", "input", "list", "program", "line"];
    let (mut contexts, mut looked_into) = (0, 0);
    for part in condition.subexpressions() {
        match part.expr_kind() {
            ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => {
                if SPELT.contains(&attr.as_str()) {
                    return true;
                }
                looked_into += usize::from(matches!(expr.expr_kind(), ExprKind::Var(Var::Context)));
            }
            ExprKind::ExtHasAttr { expr, attrs } => {
                if attrs.iter().any(|attr| SPELT.contains(&attr.as_str())) {
                    return true;
                }
                looked_into += usize::from(matches!(expr.expr_kind(), ExprKind::Var(Var::Context)));
            }
            ExprKind::Var(Var::Context) => contexts += 1,
            ExprKind::Lit(Literal::EntityUID(uid)) => {
                let kind = uid.entity_type().to_string();
                if ["File", "Folder", "Command"].contains(&kind.as_str()) {
                    return true;
                }
            }
            _ => {}
        }
    }
    contexts > looked_into
}

/// There are no groups of actions in the schema, so that `in` is "one of".
fn admits(constraint: &ActionConstraint, action: &str) -> bool {
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid.id().unescaped() == action,
        ActionConstraint::In(uids) => uids.iter().any(|uid| uid.id().unescaped() == action),
    }
}
