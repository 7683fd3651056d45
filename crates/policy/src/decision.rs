//! From what Cedar says about each side to one verdict.
//!
//! Both must be allowed: the agent, and the person for whom it works where there is one. An error of evaluation denies,
//! on whichever side. A plain `forbid` wins over everything; a `forbid` that asks holds until somebody agrees.

use crate::{
    arguments::integer,
    facts::{Asked, Question},
    rules::{Limit, Per, Rule, RuleEffect, Rules},
};
use bailiwick_core::Action;
use bailiwick_ports::{Approver, Explanation, Meter, PolicyRequest, Side, Unit, Verdict};
use bailiwick_types::Principal;
use cedar_policy_core::{
    ast::{Literal, SlotEnv, ValueKind},
    evaluator::Evaluator,
    extensions::Extensions,
};

/// Rules that a text names at most.
const MAX_NAMED: usize = 5;
/// Different people whom rules may ask about one action.
const MAX_ASKED: usize = 8;

impl Rules {
    /// What these rules say, and nothing else: no remit, no status.
    pub(crate) fn verdict(&self, request: &PolicyRequest<'_>) -> Verdict {
        match Sides::ask(self, request) {
            Ok(sides) => sides.verdict(request),
            Err(reason) => unclear(reason),
        }
    }

    /// Whether these rules could let something through of which only the arguments and the circumstances are not known:
    /// what depends on those is taken to say yes.
    pub(crate) fn could_allow(&self, request: &PolicyRequest<'_>) -> bool {
        let Ok(Some(question)) = Question::new(self, request, false) else { return false };
        std::iter::once(&question.agent).chain(&question.person).all(|asked| self.could_allow_for(&question, asked))
    }

    fn could_allow_for(&self, question: &Question, asked: &Asked) -> bool {
        let evaluator = Evaluator::new(question.request(asked), question.entities(), Extensions::all_available());
        let no_slots = SlotEnv::new();
        let mut permitted = false;
        for slice in self.index().slices(question.kind, &asked.ids, &question.resource_ids) {
            for condition in &slice.all {
                let Some(rule) = self.rule(condition.rule) else { return false };
                // What cannot be evaluated denies later; what is offered may be too much.
                let holds = match condition.on_context {
                    true => None,
                    false => match evaluator.interpret(&condition.whole, &no_slots).map(|value| value.value) {
                        Ok(ValueKind::Lit(Literal::Bool(holds))) => Some(holds),
                        _ => None,
                    },
                };
                match (&rule.effect, holds) {
                    (RuleEffect::Permit, holds) => permitted |= holds != Some(false),
                    (RuleEffect::Forbid, Some(true)) => return false,
                    (RuleEffect::Forbid | RuleEffect::Ask(_), _) => {}
                }
            }
        }
        permitted
    }

    pub(crate) fn explanation(&self, request: &PolicyRequest<'_>) -> Explanation {
        match Sides::ask(self, request) {
            Ok(sides) => {
                let sides_of = sides.0.iter().map(Tally::side).collect();
                Explanation { verdict: sides.verdict(request), sides: sides_of, uses: Vec::new() }
            }
            Err(reason) => Explanation { verdict: unclear(reason), sides: Vec::new(), uses: Vec::new() },
        }
    }
}

fn unclear(reason: String) -> Verdict {
    Verdict::Deny {
        rule: "policy.error".into(),
        reason: format!("the rules could not be asked: {reason}"),
        remedy: "call it with other arguments".into(),
    }
}

/// What the rules say about everybody who must be allowed.
struct Sides<'a>(Vec<Tally<'a>>);

/// What the rules say about one of them.
struct Tally<'a> {
    name: String,
    evaluated: usize,
    permits: Vec<&'a Rule>,
    forbids: Vec<&'a Rule>,
    asks: Vec<(&'a Rule, &'a Approver)>,
    /// A rule, and why it could not be evaluated.
    errors: Vec<(String, String)>,
}

impl<'a> Sides<'a> {
    fn ask(rules: &'a Rules, request: &PolicyRequest<'_>) -> Result<Self, String> {
        let question = Question::new(rules, request, false)?.ok_or("there is no such question")?;
        let folds = rules.index().folds(question.kind);
        let folded = if folds { Question::new(rules, request, true)? } else { None };
        let mut sides = Vec::with_capacity(2);
        for asked in std::iter::once(&question.agent).chain(&question.person) {
            let mut tally = Tally::new(asked);
            tally.take(rules, &question, asked, false)?;
            if let Some(folded) = &folded {
                tally.take(rules, folded, asked, true)?;
            }
            tally.sort();
            sides.push(tally);
        }
        Ok(Self(sides))
    }

    fn verdict(&self, request: &PolicyRequest<'_>) -> Verdict {
        if let Some(denial) = self.0.iter().find_map(Tally::denial) {
            return denial;
        }
        if let Some(none) = self.0.iter().find(|side| side.permits.is_empty()) {
            return none.not_permitted(request.operation());
        }
        if let Some(ask) = self.ask_whom(request).filter(|_| !request.approved) {
            return ask;
        }
        match self.meters(request) {
            Ok(meters) => Verdict::Allow { rule: self.permitted_by(), meters },
            Err(denial) => denial,
        }
    }

    /// Whom the rules want to be asked: everybody whom one of them names.
    fn ask_whom(&self, request: &PolicyRequest<'_>) -> Option<Verdict> {
        let asks: Vec<(&Rule, &Approver)> = self.0.iter().flat_map(|side| side.asks.iter().copied()).collect();
        let approver = Approver::all(asks.iter().map(|(_, approver)| (*approver).clone()))?;
        // One answer to a rule is as good as to another that asks the same people.
        let first = |one: &Approver| asks.iter().find(|(_, whom)| *whom == one).map(|(rule, _)| *rule);
        let rules: Vec<&Rule> = approver.each().iter().filter_map(first).collect();
        let ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        if rules.len() > MAX_ASKED {
            return Some(Verdict::Deny {
                rule: named(&ids),
                reason: format!("its rules ask more than {MAX_ASKED} different people"),
                remedy: "whoever keeps the policy can let them ask fewer".into(),
            });
        }
        let why = |rule: &&Rule| {
            rule.reason.clone().unwrap_or_else(|| format!("the rule `{}` wants somebody's word", rule.id))
        };
        let reasons: Vec<String> = rules.iter().map(why).collect();
        // With nobody behind the turn there is nobody to confirm it.
        let approver = match approver {
            Approver::Person if nobody_behind(request.principal) => Approver::Second { role: None, team: None },
            other => other,
        };
        Some(Verdict::Ask { rule: ids.join(", "), reason: reasons.join("; "), approver })
    }

    fn permitted_by(&self) -> String {
        let mut ids: Vec<&str> = self.0.iter().flat_map(|side| &side.permits).map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        named(&ids)
    }

    /// Every limit of every rule that permitted it, each account once.
    fn meters(&self, request: &PolicyRequest<'_>) -> Result<Vec<Meter>, Verdict> {
        let mut meters: Vec<Meter> = Vec::new();
        for rule in self.0.iter().flat_map(|side| &side.permits) {
            let Some(limit) = &rule.limit else { continue };
            let meter = meter(rule, limit, request)?;
            if !meters.iter().any(|known| known.account == meter.account) {
                meters.push(meter);
            }
        }
        Ok(meters)
    }
}

fn meter(rule: &Rule, limit: &Limit, request: &PolicyRequest<'_>) -> Result<Meter, Verdict> {
    let whom = match limit.per {
        Per::Session => request.session.to_string(),
        Per::Agent => request.agent.id.to_string(),
        Per::Person => on_whose_word(request.principal),
        Per::Tenant => request.tenant.to_string(),
    };
    let (unit, amount) = match &limit.sum {
        None => (Unit::Count, 1),
        Some(place) => (Unit::Sum, summed(rule, place, request.action)?),
    };
    let account = format!("{}/{whom}", rule.id);
    Ok(Meter { account, unit, window: limit.window, amount, limit: limit.most, warn_only: false })
}

fn nobody_behind(principal: &Principal) -> bool {
    matches!(principal, Principal::Agent { on_behalf_of: None, .. })
}

/// Whom a limit per person counts for: the person; without one, the program or agent on whose word it is done.
fn on_whose_word(principal: &Principal) -> String {
    match principal {
        Principal::Agent { on_behalf_of: Some(orderer), .. } => on_whose_word(orderer),
        Principal::Agent { id, .. } => id.to_string(),
        // A program that speaks for a person is no way around what counts for the person.
        Principal::User { id } | Principal::Delegate { subject: id, .. } => id.to_string(),
        other => other.to_string(),
    }
}

/// What a call adds to a sum. Something below nothing would give back what others took.
fn summed(rule: &Rule, place: &str, action: &Action) -> Result<i64, Verdict> {
    let amount = match action {
        Action::FunctionCall { arguments, .. } => integer(arguments, place),
        Action::ConnectorCall(call) => integer(&call.arguments, place),
        _ => None,
    };
    amount.filter(|amount| *amount >= 0).ok_or_else(|| Verdict::Deny {
        rule: rule.id.clone(),
        reason: format!("the rule adds up `{place}`, and the call has no whole number of 0 or more there"),
        remedy: format!("call it with a whole number as `{place}`"),
    })
}

impl<'a> Tally<'a> {
    fn new(asked: &Asked) -> Self {
        let (permits, forbids, asks, errors) = Default::default();
        Self { name: asked.name.clone(), evaluated: 0, permits, forbids, asks, errors }
    }

    /// Puts one question to the rules that can match it. Each is evaluated for itself, as Cedar's own authorizer does;
    /// what follows from them together is said in [`Sides::verdict`].
    fn take(&mut self, rules: &'a Rules, question: &Question, asked: &Asked, folded: bool) -> Result<(), String> {
        let evaluator = Evaluator::new(question.request(asked), question.entities(), Extensions::all_available());
        let no_slots = SlotEnv::new();
        for slice in rules.index().slices(question.kind, &asked.ids, &question.resource_ids) {
            for condition in if folded { &slice.folding } else { &slice.all } {
                self.evaluated += 1;
                let rule = rules.rule(condition.rule).ok_or("a rule was found that is not there")?;
                match evaluator.interpret(&condition.whole, &no_slots).map(|value| value.value) {
                    Ok(ValueKind::Lit(Literal::Bool(true))) => self.add(rule),
                    Ok(ValueKind::Lit(Literal::Bool(false))) => {}
                    Ok(_) => self.errors.push((rule.id.clone(), "its condition is neither true nor false".into())),
                    Err(error) => self.errors.push((rule.id.clone(), error.to_string())),
                }
            }
        }
        Ok(())
    }

    /// A forbid may come twice: for the exact spelling and for the folded one.
    fn add(&mut self, rule: &'a Rule) {
        match &rule.effect {
            RuleEffect::Permit => self.permits.push(rule),
            RuleEffect::Forbid if self.forbids.iter().any(|known| known.id == rule.id) => {}
            RuleEffect::Forbid => self.forbids.push(rule),
            RuleEffect::Ask(_) if self.asks.iter().any(|(known, _)| known.id == rule.id) => {}
            RuleEffect::Ask(approver) => self.asks.push((rule, approver)),
        }
    }

    /// The same rules in the same order, however they were found.
    fn sort(&mut self) {
        self.permits.sort_unstable_by_key(|rule| rule.line);
        self.forbids.sort_unstable_by_key(|rule| rule.line);
        self.asks.sort_unstable_by_key(|(rule, _)| rule.line);
        self.errors.sort_unstable();
        self.errors.dedup();
    }

    /// What denies whatever else is said.
    fn denial(&self) -> Option<Verdict> {
        if let Some((rule, error)) = self.errors.first() {
            return Some(Verdict::Deny {
                rule: rule.clone(),
                reason: format!("the rule `{rule}` could not be evaluated for {}: {error}", self.name),
                remedy: "whoever keeps the policy has to mend the rule; until then what it is about is denied".into(),
            });
        }
        let rule = self.forbids.first()?;
        let said = rule.reason.clone().unwrap_or_else(|| format!("the rule `{}` forbids it", rule.id));
        Some(Verdict::Deny {
            rule: rule.id.clone(),
            reason: format!("{said} (asked for {})", self.name),
            remedy: rule
                .remedy
                .clone()
                .unwrap_or_else(|| format!("whoever keeps the policy can change `{}`: bailiwick policy show", rule.id)),
        })
    }

    fn not_permitted(&self, operation: &str) -> Verdict {
        Verdict::Deny {
            rule: "policy.default".into(),
            reason: format!("no rule permits `{operation}` of this for {}", self.name),
            remedy: "whoever keeps the policy can add a `permit` for it: bailiwick policy explain says what was asked"
                .into(),
        }
    }

    fn side(&self) -> Side {
        let ids = |rules: &[&Rule]| rules.iter().map(|rule| rule.id.clone()).collect();
        Side {
            principal: self.name.clone(),
            evaluated: self.evaluated,
            permits: ids(&self.permits),
            forbids: ids(&self.forbids),
            asks: self.asks.iter().map(|(rule, _)| rule.id.clone()).collect(),
            errors: self.errors.iter().map(|(rule, error)| format!("{rule}: {error}")).collect(),
        }
    }
}

/// Some names, and how many more there are.
fn named(names: &[&str]) -> String {
    let shown = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
