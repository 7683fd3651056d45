//! One version of a policy: parsed, validated and indexed once, and never changed afterwards.

mod annotation;
mod index;

pub(crate) use annotation::{Limit, Per, Rule, RuleEffect, shown};
pub(crate) use index::{Index, KINDS};

use bailiwick_core::canonical::{self, Destination};
use bailiwick_ports::{PolicyProblem, RuleSummary};
use bailiwick_types::{AgentId, EnvironmentId, TeamId, UserId};
use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, LazyLock},
};

/// The set that holds until somebody applies another.
pub const STARTER: &str = include_str!("../../starter.cedar");
/// What rules can speak about.
pub const SCHEMA: &str = include_str!("../../schema.cedarschema");

/// Bytes of a policy.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Rules of a policy.
pub const MAX_RULES: usize = 10_000;
/// Bytes of one rule.
pub const MAX_RULE_BYTES: usize = 16 * 1024;
/// Problems that are told of one text.
const MAX_PROBLEMS: usize = 20;

/// A compiled policy.
#[derive(Debug)]
pub struct Rules {
    text: String,
    /// In the order of the text.
    rules: Vec<Rule>,
    index: Index,
    /// The rules that carry a list of destinations.
    lists: Vec<usize>,
}

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    // INVARIANT: the schema is part of this crate, and every test compiles rules against it.
    Validator::new(Schema::from_str(SCHEMA).expect("the schema of this crate is one"))
});

/// The schema that rules are validated against.
pub(crate) fn schema() -> &'static Schema {
    VALIDATOR.schema()
}

impl Rules {
    /// The starter set.
    pub fn starter() -> Arc<Self> {
        static COMPILED: LazyLock<Arc<Rules>> = LazyLock::new(|| {
            // INVARIANT: the text is part of this crate, and a test compiles it.
            Arc::new(Rules::compile(STARTER).expect("the starter set of this crate compiles"))
        });
        Arc::clone(&COMPILED)
    }

    /// Refuses what does not parse, does not validate strictly, or could not mean what it says.
    pub fn compile(text: &str) -> Result<Self, Vec<PolicyProblem>> {
        if text.len() > MAX_BYTES {
            let message = format!("the policy has {} bytes; at most {MAX_BYTES} are taken", text.len());
            return Err(vec![problem(None, None, message, None)]);
        }
        let set = PolicySet::from_str(text).map_err(|errors| {
            errors.iter().take(MAX_PROBLEMS).map(|error| diagnosed(text, None, error)).collect::<Vec<_>>()
        })?;
        if let Some(template) = set.templates().next() {
            let message = format!("`{}` is a template: nothing links templates here", template.id());
            let help = "name the principal and the resource instead of `?principal` and `?resource`".to_owned();
            return Err(vec![problem(None, None, message, Some(help))]);
        }
        if set.num_of_policies() > MAX_RULES {
            let message = format!("the policy has {} rules; at most {MAX_RULES} are taken", set.num_of_policies());
            return Err(vec![problem(None, None, message, None)]);
        }
        Self::of(text, in_order(&set))
    }

    fn of(text: &str, policies: Vec<Policy>) -> Result<Self, Vec<PolicyProblem>> {
        let mut read = Reading::default();
        let (mut from, mut line) = (0, 1);
        for policy in policies {
            let own = policy.to_string();
            let begins = text[from..].find(own.as_str()).map_or(from, |at| from + at);
            line += newlines(&text[from..begins]);
            read.add(policy, line, &own);
            let ends = (begins + own.len()).min(text.len());
            line += newlines(&text[begins..ends]);
            from = ends;
        }
        read.finish(text)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every rule in the order of the text.
    pub fn summaries(&self) -> Vec<RuleSummary> {
        let summary = |rule: &Rule| RuleSummary {
            id: rule.id.clone(),
            effect: rule.effect_name().to_owned(),
            line: rule.line,
            text: rule.text.clone(),
        };
        self.rules.iter().map(summary).collect()
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The approved lists of destinations that hold all of these, by the rules that carry them.
    pub(crate) fn lists_with(&self, all: &[Destination]) -> Vec<&str> {
        let holds = |rule: &&Rule| all.iter().all(|one| rule.destinations.iter().any(|pin| pin.holds(one)));
        let lists = self.lists.iter().filter_map(|at| self.rules.get(*at));
        lists.filter(|_| !all.is_empty()).filter(holds).map(|rule| rule.id.as_str()).collect()
    }

    /// The rule at a place of the text's order, as the index says it.
    pub(crate) fn rule(&self, at: usize) -> Option<&Rule> {
        self.rules.get(at)
    }
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// Cedar names parsed policies `policy0`, `policy1`, … in the order of the text.
fn in_order(set: &PolicySet) -> Vec<Policy> {
    let place = |policy: &Policy| {
        let id: &str = policy.id().as_ref();
        id.trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX)
    };
    let mut policies: Vec<Policy> = set.policies().cloned().collect();
    policies.sort_by_key(place);
    policies
}

/// Rules being read, with everything that is wrong so far.
#[derive(Default)]
struct Reading {
    rules: Vec<Rule>,
    by_id: HashMap<String, usize>,
    policies: Vec<Policy>,
    problems: Vec<PolicyProblem>,
}

impl Reading {
    fn add(&mut self, policy: Policy, line: u32, text: &str) {
        let rule = match Rule::read(&policy, line, text.to_owned()) {
            Ok(rule) => rule,
            Err((message, help)) => {
                let id = policy.annotation("id").map(shown);
                return self.problems.push(problem(Some(line), id, message, help));
            }
        };
        let mut complain = |message: String, help: &str| {
            self.problems.push(problem(Some(line), Some(rule.id.clone()), message, Some(help.to_owned())));
        };
        if text.len() > MAX_RULE_BYTES {
            complain(format!("it has {} bytes; at most {MAX_RULE_BYTES} are taken", text.len()), "make two of it");
        }
        for (literal, help) in policy.entity_literals().iter().filter_map(misspelt) {
            complain(format!("`{literal}` names nothing that can be"), &help);
        }
        if let Some(first) = self.by_id.get(&rule.id) {
            let message = format!("line {} has a rule of this id already", self.rules[*first].line);
            complain(message, "give each rule an id of its own: receipts name rules by it");
            return;
        }
        self.policies.push(policy.new_id(PolicyId::new(&rule.id)));
        self.by_id.insert(rule.id.clone(), self.rules.len());
        self.rules.push(rule);
    }

    fn finish(mut self, text: &str) -> Result<Rules, Vec<PolicyProblem>> {
        self.validate(text);
        let mut index = Index::default();
        for (at, (policy, rule)) in self.policies.iter().zip(&self.rules).enumerate() {
            index.add(policy, at, rule.exact);
        }
        if !self.problems.is_empty() {
            self.problems.truncate(MAX_PROBLEMS);
            return Err(self.problems);
        }
        let carries = |(at, rule): (usize, &Rule)| (!rule.destinations.is_empty()).then_some(at);
        let lists = self.rules.iter().enumerate().filter_map(carries).collect();
        Ok(Rules { text: text.to_owned(), rules: self.rules, index, lists })
    }

    /// Strictly, and what Cedar only warns of is refused too: a rule that can never match, or that is written with
    /// letters that look like others, is not the rule that its author meant.
    fn validate(&mut self, text: &str) {
        let set = match PolicySet::from_policies(self.policies.iter().cloned()) {
            Ok(set) => set,
            Err(error) => return self.problems.push(problem(None, None, error.to_string(), None)),
        };
        let result = VALIDATOR.validate(&set, ValidationMode::Strict);
        let errors = result.validation_errors().map(|error| (error.policy_id(), error as &dyn Diagnostic));
        let warnings = result.validation_warnings().map(|warning| (warning.policy_id(), warning as &dyn Diagnostic));
        let mut found: Vec<PolicyProblem> = errors
            .chain(warnings)
            .map(|(id, diagnostic)| {
                let rule = self.by_id.get::<str>(id.as_ref()).map(|at| &self.rules[*at]);
                diagnosed(text, rule, diagnostic)
            })
            .collect();
        found.sort_by_key(|problem| problem.line);
        found.dedup();
        self.problems.append(&mut found);
    }
}

fn problem(line: Option<u32>, rule: Option<String>, message: String, help: Option<String>) -> PolicyProblem {
    PolicyProblem { line, rule, message, help }
}

/// Cedar's own complaint, with its place in the text.
fn diagnosed(text: &str, rule: Option<&Rule>, error: &dyn Diagnostic) -> PolicyProblem {
    let at = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let line = at.and_then(|at| text.get(..at)).map(|before| newlines(before) + 1);
    let mut message = error.to_string();
    if let Some(rule) = rule {
        let prefix = format!("for policy `{}`, ", rule.id);
        message = message.strip_prefix(&prefix).unwrap_or(&message).to_owned();
    }
    let help = error.help().map(|help| help.to_string());
    problem(line.or(rule.map(|rule| rule.line)), rule.map(|rule| rule.id.clone()), message, help)
}

/// An entity in a rule that no request can ever name, because its id is written in another way.
fn misspelt(literal: &EntityUid) -> Option<(String, String)> {
    fn fine<T: FromStr>(id: &str) -> bool {
        id.parse::<T>().is_ok()
    }
    let id: &str = literal.id().unescaped();
    let expected = match literal.type_name().basename() {
        "Folder" | "File" => {
            let canonical = canonical::path(id, "/").ok();
            if canonical.as_deref() == Some(id) {
                return None;
            }
            canonical.map_or("an absolute path without dot segments".to_owned(), |path| format!("`{path}`"))
        }
        "User" if !fine::<UserId>(id) => "an id of the form `user_…`; `bailiwick user list` shows them".to_owned(),
        "Agent" if !fine::<AgentId>(id) => "an id of the form `agent_…`; `bailiwick agent list` shows them".to_owned(),
        "Team" if !fine::<TeamId>(id) => "an id of the form `team_…`; `bailiwick team list` shows them".to_owned(),
        "Environment" if !fine::<EnvironmentId>(id) => "an id of the form `env_…`".to_owned(),
        _ => return None,
    };
    Some((shown(&literal.to_string()), format!("write {expected}")))
}
