//! Whether an action may be done: what policy says, and what a person said where policy asks.
//!
//! Judging writes nothing and performs nothing. Everything that is not plainly allowed is denied or asked.

use crate::{
    Access, Connectors, Grants, Stops,
    credentials::{self, Lacking},
};
use bailiwick_core::{
    Account, Action, Answer, Answered, Approver, ConnectorCall, ConnectorSource, ConnectorSpec, Given, Question,
    StopScope, ToolDefinition,
    approval::QUESTION_EXPIRES,
    connector::CredentialChoice,
    record::{Ruling, Through},
    session::{AskedAction, State},
    stop::STOPPED,
};
use bailiwick_ports::{
    Colleague, ColleagueStatus, Directory, Meter, ModelCard, ModelCards, Person, Policy, PolicyRequest, Revocations,
    Role, Vaults, Verdict, addresses,
    memory::{Holder, Within},
    vault::Credential,
};
use bailiwick_types::{ActionId, CredentialId, Principal, TeamId, TenantId, Timestamp};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};

/// Teams of one person whose memory is reached.
const MAX_TEAMS: usize = 8;

/// Who says whether.
pub(crate) struct Judge {
    pub policy: Arc<dyn Policy>,
    pub directory: Arc<dyn Directory>,
    pub cards: Option<Arc<dyn ModelCards>>,
    pub stops: Arc<Stops>,
    pub grants: Arc<Grants>,
    pub vaults: Arc<dyn Vaults>,
    pub connectors: Arc<Connectors>,
    pub revocations: Option<Arc<dyn Revocations>>,
}

/// One action that wants to be done.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub id: ActionId,
    pub action: &'a Action,
    pub principal: &'a Principal,
    /// It was asked about, and this was answered.
    pub answers: &'a [Answer],
    /// It was asked about, and its time is over.
    pub expired: bool,
    /// Until when anybody waits for it; `None`: as long as people take to answer.
    pub until: Option<Timestamp>,
    pub at: Timestamp,
}

impl Case<'_> {
    /// What was said while an account was missing says nothing about the action: nobody was asked about that.
    fn after_connecting(&self, state: &State) -> Self {
        let before = state.asked_actions().find(|(id, _)| *id == self.id).map(|(_, asked)| &asked.question);
        match before.is_some_and(|question| question.account.is_some()) {
            true => Self { answers: &[], expired: false, ..*self },
            false => *self,
        }
    }
}

/// What was found, with what it counts against.
pub(crate) struct Judgement {
    pub ruling: Ruling,
    pub meters: Vec<Meter>,
    /// The policy that decided; `None` when it was not asked.
    pub version: Option<u64>,
    /// The answers that counted.
    pub answered: Vec<Answered>,
    /// The secrets that it uses.
    pub credentials: Vec<CredentialId>,
    /// The connector that policy saw: what is performed goes through this one, whatever is kept under its name since.
    pub access: Option<Arc<Access>>,
}

impl From<Ruling> for Judgement {
    fn from(ruling: Ruling) -> Self {
        Self { ruling, meters: Vec::new(), version: None, answered: Vec::new(), credentials: Vec::new(), access: None }
    }
}

/// What is known of those whom a case is about.
struct Facts {
    colleague: Option<Arc<Colleague>>,
    person: Option<Arc<Person>>,
    model: Option<ModelCard>,
    credentials: Vec<Arc<Credential>>,
    access: Option<Arc<Access>>,
}

impl Judge {
    pub fn version(&self, tenant: TenantId) -> u64 {
        self.policy.version(tenant)
    }

    pub fn judge(&self, state: &State, case: &Case<'_>) -> Judgement {
        let mut facts = self.facts(state, case);
        let denied = before_policy(state, case, &facts).or_else(|| self.halt_of(state, case.principal, case.at));
        let denied = denied.or_else(|| self.answered_for_another(state, case, &facts));
        let denied = denied.or_else(|| self.out_of_grant(state, case)).or_else(|| another_system(state, case, &facts));
        if let Some(denied) = denied {
            return denied.into();
        }
        let word = case.after_connecting(state);
        match self.needed(state, &word, facts.access.as_deref()) {
            Ok(needed) => facts.credentials = needed,
            Err(Lacking::Denied(denied)) => return denied.into(),
            Err(Lacking::Account(account)) => return self.without_account(state, case, &facts, account),
        }
        let case = &word;
        let (version, verdict) = self.ask_policy(state, case, &facts, false);
        let judgement = match verdict {
            Verdict::Allow { rule, meters } => allow(rule, meters),
            Verdict::Deny { rule, reason, remedy } => deny(&rule, reason, remedy).into(),
            Verdict::Ask { rule, reason, approver } => self.asked(
                state,
                case,
                &facts,
                Question { rule, reason, approver, given: Vec::new(), expires: case.at, account: None, form: None },
            ),
        };
        let credentials = facts.credentials.iter().map(|credential| credential.id).collect();
        let access = facts.access;
        Judgement { version: judgement.version.or(Some(version)), credentials, access, ..judgement }
    }

    /// Why the running turn may do nothing more, whatever it wants to do.
    pub fn halt(&self, state: &State, at: Timestamp) -> Option<Ruling> {
        self.halt_of(state, &state.acting()?, at)
    }

    /// Who it is about may do nothing, whoever ordered it may order no more, or a stop covers the session. What runs
    /// already is ended by a cancel, and a crash does not change that: to be ended it must be taken up again, so that
    /// [`Judge::resume`] does not ask this.
    fn halt_of(&self, state: &State, principal: &Principal, at: Timestamp) -> Option<Ruling> {
        let colleague = self.directory.colleague(state.tenant, state.agent.id);
        let person = principal.person().and_then(|user| self.directory.person(state.tenant, user));
        let barred = barred(person.as_deref(), colleague.as_deref());
        let denied = barred.or_else(|| self.order_over(state.tenant, principal, at));
        denied.or_else(|| self.stop(state, colleague.and_then(|colleague| colleague.team)))
    }

    fn stop(&self, state: &State, team: Option<TeamId>) -> Option<Ruling> {
        let stop = self.stops.covering(state.tenant, state.session, state.agent.id, team)?;
        let what = match stop.scope {
            StopScope::Tenant => "all work",
            StopScope::Team { .. } => "all work of the agent's team",
            StopScope::Agent { .. } => "the agent",
            StopScope::Session { .. } => "the session",
        };
        let why = stop.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let reason = format!("{what} was stopped by {}{why}", stop.by);
        Some(deny(STOPPED, reason, "Nothing more can be done until an operator lifts the stop.".into()))
    }

    /// Whether an action that was let through before a crash may be taken up again, to go on or to be ended. What a person
    /// had to say was said then, and only a denial stops it now.
    pub fn resume(&self, state: &State, case: &Case<'_>) -> Judgement {
        let mut facts = self.facts(state, case);
        let denied = before_policy(state, case, &facts).or_else(|| self.out_of_grant(state, case));
        if let Some(denied) = denied.or_else(|| another_system(state, case, &facts)) {
            return denied.into();
        }
        match self.needed(state, case, facts.access.as_deref()) {
            Ok(needed) => facts.credentials = needed,
            Err(lacking) => return lacking.denied().into(),
        }
        let (version, verdict) = self.ask_policy(state, case, &facts, true);
        let ruling = match verdict {
            Verdict::Allow { rule, .. } => Ruling::Allowed { rule },
            Verdict::Deny { rule, reason, remedy } => deny(&rule, reason, remedy),
            Verdict::Ask { rule, reason, .. } => deny(&rule, reason, "Ask a person.".into()),
        };
        Judgement { version: Some(version), access: facts.access, ..ruling.into() }
    }

    /// What a system asks the person, nobody else answers, and no other system is told.
    fn answered_for_another(&self, state: &State, case: &Case<'_>, facts: &Facts) -> Option<Ruling> {
        let Action::ConnectorCall(ConnectorCall { resumed: Some(resumed), .. }) = case.action else { return None };
        let asked = state.asked_actions().find(|(id, _)| *id == resumed.asked).map(|(_, asked)| asked);
        let before = asked.and_then(|asked| asked.through.as_ref()?.system.as_ref());
        if before.zip(facts.access.as_ref()).is_some_and(|(before, now)| *before != now.system()) {
            let reason = "it is another system by now than the one that asked".to_owned();
            return Some(deny("connector-changed", reason, "Give the task again: then it is about this one.".into()));
        }
        let by = resumed.by.as_ref()?;
        if self.may_answer(state.tenant, &Approver::Person, case.principal, by, case.at) {
            return None;
        }
        let reason = format!("{by} may not answer what the system asks");
        Some(deny("answer", reason, "Only the person for whom the agent works may.".into()))
    }

    /// The person has not connected the account that it needs. It waits for that, unless policy would let nobody do it
    /// or the person says no; a yes changes nothing.
    fn without_account(&self, state: &State, case: &Case<'_>, facts: &Facts, account: Account) -> Judgement {
        if let (version, Verdict::Deny { rule, reason, remedy }) = self.ask_policy(state, case, facts, true) {
            return Judgement { version: Some(version), ..deny(&rule, reason, remedy).into() };
        }
        let mine = |by: &Principal| self.may_answer(state.tenant, &Approver::Person, case.principal, by, case.at);
        if let Some(no) = case.answers.iter().find(|answer| !answer.approve && mine(&answer.by)) {
            let reason = format!("{} does not connect an account at {}", no.by, account.host);
            let ruling = deny(credentials::RULE, reason, "Do not try again unless the person asks for it.".into());
            return Judgement { answered: vec![Answered::By(no.clone())], ..ruling.into() };
        }
        let reason = format!("it needs the person's own account at {}, which is not connected", account.host);
        let remedy = format!("The person can connect it: `bailiwick connector connect {}`.", account.connector);
        if case.expired {
            let ruling = deny(credentials::RULE, reason, remedy);
            return Judgement { answered: vec![Answered::Expired], ..ruling.into() };
        }
        if state.reviews_automatically() {
            return deny(credentials::RULE, reason, remedy).into();
        }
        let before = state.asked_actions().find(|(id, _)| *id == case.id).map(|(_, asked)| &asked.question);
        let expires = case.until.unwrap_or(case.at + QUESTION_EXPIRES);
        let expires = before.map_or(expires, |before| before.expires);
        let (rule, approver, given) = (credentials::RULE.to_owned(), Approver::Person, Vec::new());
        Ruling::Asked(Question { rule, reason, approver, given, expires, account: Some(account), form: None }).into()
    }

    /// Policy wants the word of a person, or of several.
    fn asked(&self, state: &State, case: &Case<'_>, facts: &Facts, asks: Question) -> Judgement {
        let Question { rule, reason, approver, .. } = asks;
        // Whoever looks waits for a moment, and not for somebody's word.
        if case.action.is_look() {
            let reason = format!("it needs a person's word ({reason}), and nobody is asked about a look");
            return deny(&rule, reason, "Ask the agent to look: then the question is put.".into()).into();
        }
        // Nobody ordered it, and what people say next must not wait for it.
        if case.action.is_consolidation() {
            let reason =
                format!("it needs a person's word ({reason}), and nobody is asked about what is remembered by itself");
            return deny(&rule, reason, "Tell the agent what to remember: then the question is put.".into()).into();
        }
        let before = state.asked_actions().find(|(id, _)| *id == case.id).map(|(_, asked)| &asked.question);
        let before_given = before.iter().flat_map(|question| &question.given).map(|given| &given.answer);
        let said: Vec<&Answer> = before_given.chain(case.answers).collect();
        // An answer of somebody who may not give it does not use the question up.
        let counts = |one: &Approver, by: &Principal| self.may_answer(state.tenant, one, case.principal, by, case.at);
        if let Some(no) = said.iter().find(|answer| !answer.approve && counts(&approver, &answer.by)) {
            let why = no.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let reason = format!("{} said no{why}", no.by);
            let ruling = deny(&rule, reason, "Do not try again unless the person asks for it.".into());
            return Judgement { answered: vec![Answered::By((*no).clone())], ..ruling.into() };
        }
        let (mut given, mut answered, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for one in approver.each() {
            let yes = said.iter().find(|answer| answer.approve && counts(one, &answer.by)).map(|yes| (*yes).clone());
            given.extend(yes.clone().map(|answer| Given { approver: one.clone(), answer }));
            match yes.map(Answered::By).or_else(|| self.standing(state, case, &rule, one)) {
                Some(word) if answered.contains(&word) => {}
                Some(word) => answered.push(word),
                None => missing.push(one.clone()),
            }
        }
        let Some(approver) = Approver::all(missing) else { return self.answered(state, case, facts, answered) };
        if state.reviews_automatically() {
            let reason = format!("it needs a person's word ({reason}), and this session asks nobody");
            return deny(&rule, reason, "Run it in a session with `review` set to `none`.".into()).into();
        }
        if case.expired {
            let ruling = deny(&rule, "nobody answered in time".into(), "Ask the person and try again.".into());
            return Judgement { answered: vec![Answered::Expired], ..ruling.into() };
        }
        let expires = case.until.unwrap_or(case.at + QUESTION_EXPIRES);
        let expires = before.map_or(expires, |before| before.expires);
        Ruling::Asked(Question { rule, reason, approver, given, expires, account: None, form: None }).into()
    }

    /// Everybody who has to has said yes: policy is asked once more, as it is now.
    fn answered(&self, state: &State, case: &Case<'_>, facts: &Facts, answered: Vec<Answered>) -> Judgement {
        let (version, verdict) = self.ask_policy(state, case, facts, true);
        let judgement = match verdict {
            Verdict::Allow { rule, meters } => allow(rule, meters),
            Verdict::Deny { rule, reason, remedy } => deny(&rule, reason, remedy).into(),
            Verdict::Ask { rule, .. } => {
                deny(&rule, "it asks again for what was answered".into(), "Change the policy.".into()).into()
            }
        };
        Judgement { answered, version: Some(version), ..judgement }
    }

    fn facts(&self, state: &State, case: &Case<'_>) -> Facts {
        let person = case.principal.person().and_then(|user| self.directory.person(state.tenant, user));
        let model = match (case.action, &self.cards) {
            (Action::ModelCall(call), Some(cards)) => cards.card(&call.model),
            _ => None,
        };
        Facts {
            colleague: self.directory.colleague(state.tenant, state.agent.id),
            person,
            model,
            credentials: Vec::new(),
            access: self.access(state, case.action).map(Arc::new),
        }
    }

    /// What is known of the connector that performs an action; `None` where there is none, or none any more.
    pub fn access(&self, state: &State, action: &Action) -> Option<Access> {
        let used = state.connector(action.connector()?)?;
        let (spec, pins) = match &used.source {
            ConnectorSource::Own { spec } => ((**spec).clone(), None),
            ConnectorSource::Kept { name } => {
                let kept = self.connectors.known(state.tenant, name)?;
                (kept.spec, kept.pins)
            }
        };
        let tool = match action {
            Action::ConnectorCall(call) => state.connector_tool(&call.connector, &call.tool),
            Action::DataQuery(query) => state.connector_tool(&query.connector, &query.tool),
            _ => None,
        };
        let kept = matches!(used.source, ConnectorSource::Kept { .. });
        let vouched_credential = kept && used.credential.is_none();
        let credential = used.credential.map_or_else(|| spec.credential.clone(), CredentialChoice::Fixed);
        let spec = ConnectorSpec { credential, ..spec };
        Some(Access { name: used.name().to_owned(), kept, vouched_credential, spec, pins, tool: tool.cloned() })
    }

    /// All of memory that an action may reach: of the scopes that the agent has, and that the action is about, what is
    /// the person's own, their teams', this agent's and the tenant's. An agent that works for nobody has its own team.
    pub fn within(&self, state: &State, principal: &Principal, action: &Action) -> Within {
        let given = state.agent.memory.as_ref().map(|given| given.scopes.clone()).unwrap_or_default();
        let scopes = given.intersection(&action.memory_scopes()).copied().collect();
        let colleague = self.directory.colleague(state.tenant, state.agent.id);
        let person = principal.person();
        let teams = match person {
            Some(user) => {
                self.directory.person(state.tenant, user).map(|person| person.teams.clone()).unwrap_or_default()
            }
            None => colleague.as_ref().and_then(|colleague| colleague.team).into_iter().collect(),
        };
        let own = person.map(Holder::Person).into_iter();
        let shared = teams.into_iter().take(MAX_TEAMS).map(Holder::Team);
        // An agent that is written for one session has nothing that another session could share.
        let agents = colleague.map(|colleague| Holder::Agent(colleague.id));
        let holders = own.chain(shared).chain(agents).chain([Holder::Tenant]).collect();
        Within { tenant: state.tenant, holders }.only(&scopes)
    }

    /// The connector of an action as its receipt tells of it, by what is really sent.
    pub fn through(&self, state: &State, action: &Action, access: &Access) -> Through {
        let filled = state.filled(action);
        let sent = filled.as_ref().unwrap_or(action);
        let facts = access.facts();
        let colleagues = addresses(&*self.directory, state.tenant, &state.agent, facts.tool, sent);
        Through {
            connector: access.name.clone(),
            host: access.spec.host.clone(),
            system: Some(access.system()),
            inside: facts.keeps_inside(sent, &colleagues),
        }
    }

    fn ask_policy(&self, state: &State, case: &Case<'_>, facts: &Facts, approved: bool) -> (u64, Verdict) {
        let label = state.label_of(case.action);
        let connector = facts.access.as_deref().map(Access::facts);
        let tool = connector.and_then(|connector| connector.tool);
        let theirs = |action| addresses(&*self.directory, state.tenant, &state.agent, tool, action);
        let colleagues = theirs(case.action);
        let request = PolicyRequest {
            tenant: state.tenant,
            session: state.session,
            principal: case.principal,
            agent: &state.agent,
            colleague: facts.colleague.as_deref(),
            person: facts.person.as_deref(),
            label: &label,
            said: state.said(),
            colleagues: &colleagues,
            model: facts.model.as_ref(),
            connector,
            environment: Some(&state.environment),
            action: case.action,
            credential: None,
            now: case.at,
            approved,
        };
        let sent = state.filled(case.action);
        let known = sent.as_ref().map(theirs);
        let sent = sent.as_ref().zip(known.as_ref());
        let sent = sent.map(|(action, colleagues)| PolicyRequest { action, colleagues, ..request });
        credentials::decide(&*self.policy, &request, sent.as_ref(), &facts.credentials)
    }

    /// Whether policy could let this agent call a tool for this person with any arguments at all.
    pub fn could_call(&self, state: &State, orderer: &Principal, action: &Action) -> bool {
        let principal = Principal::Agent {
            id: state.agent.id,
            session: state.session,
            on_behalf_of: Some(Box::new(orderer.clone())),
        };
        // INVARIANT: nothing is decided by it, so that no action of this id ever is.
        let id = ActionId::from_u128(0);
        let at = state.last_active;
        let case = Case { id, action, principal: &principal, answers: &[], expired: false, until: None, at };
        let facts = self.facts(state, &case);
        if before_policy(state, &case, &facts).is_some() {
            return false;
        }
        // Arguments are held against the tool's own schema, and here there are none.
        let anything = |tool: ToolDefinition| ToolDefinition { parameters: json!({"type": "object"}), ..tool };
        let access = facts.access.as_deref().cloned();
        let access = access.map(|access| Access { tool: access.tool.map(anything), ..access });
        let colleagues = BTreeSet::new();
        self.policy.could_allow(&PolicyRequest {
            tenant: state.tenant,
            session: state.session,
            principal: &principal,
            agent: &state.agent,
            colleague: facts.colleague.as_deref(),
            person: facts.person.as_deref(),
            label: &state.label,
            said: state.said(),
            colleagues: &colleagues,
            model: None,
            connector: access.as_ref().map(Access::facts),
            environment: Some(&state.environment),
            action,
            credential: None,
            now: at,
            approved: false,
        })
    }

    /// Whether somebody may answer a question about what `principal` wants to do, or a part of it. An agent never may, nor
    /// a program for somebody else but under a grant.
    pub fn may_answer(
        &self,
        tenant: TenantId,
        approver: &Approver,
        principal: &Principal,
        by: &Principal,
        at: Timestamp,
    ) -> bool {
        let Principal::Agent { id: agent, on_behalf_of: Some(orderer), .. } = principal else { return false };
        let Some(answerer) = self.voice(tenant, *agent, by, at) else { return false };
        let person = answerer.person().and_then(|user| self.directory.person(tenant, user));
        let is_agent = matches!(answerer, Principal::Agent { .. });
        if is_agent || person.as_ref().is_some_and(|person| person.disabled) {
            return false;
        }
        match approver {
            Approver::All { of } => of.iter().any(|one| self.may_answer(tenant, one, principal, by, at)),
            Approver::Person => match **orderer {
                Principal::Delegate { subject, .. } => answerer == Principal::User { id: subject },
                ref orderer => answerer == *orderer,
            },
            // Nor may the program that ordered it carry the second person's word.
            Approver::Second { .. } if by.key().is_some() && by.key() == orderer.key() => false,
            Approver::Second { .. } if self.hands_in(tenant, orderer).contains(&answerer) => false,
            Approver::Second { role, team } => match (answerer, person) {
                // Whoever has the machine is its operator.
                (Principal::Operator, _) => team.is_none() && role.is_none_or(|role| role == Role::Operator),
                (_, Some(person)) => {
                    let has = |role: &Role| person.roles.contains(role);
                    match (role, team) {
                        (None, None) => has(&Role::Admin) || has(&Role::Operator),
                        (role, team) => {
                            role.as_ref().is_none_or(has) && team.is_none_or(|team| person.teams.contains(&team))
                        }
                    }
                }
                _ => false,
            },
        }
    }
}

/// What no policy can allow.
fn before_policy(state: &State, case: &Case<'_>, facts: &Facts) -> Option<Ruling> {
    if case.action.environment().is_some_and(|environment| state.environment.id() != Some(environment)) {
        return Some(deny(
            "own-environment",
            "the environment is not this session's".into(),
            "Use the session's own environment.".into(),
        ));
    }
    if let (Some(connector), None) = (case.action.connector(), &facts.access) {
        return Some(deny(
            "connector-gone",
            format!("the organisation keeps no connector for `{connector}` any more"),
            "An administrator can apply it again.".into(),
        ));
    }
    None
}

/// Whoever is disabled has nothing done for them, and an agent that is not active does nothing.
fn barred(person: Option<&Person>, colleague: Option<&Colleague>) -> Option<Ruling> {
    if person.is_some_and(|person| person.disabled) {
        return Some(deny(
            "person-disabled",
            "the person for whom the agent works is disabled".into(),
            "An administrator can enable the person again.".into(),
        ));
    }
    let (rule, reason, remedy) = match colleague?.status {
        ColleagueStatus::Active => return None,
        ColleagueStatus::Suspended => {
            ("agent-suspended", "the agent is suspended", "Its owner or an administrator can let it work again.")
        }
        ColleagueStatus::Retired => ("agent-retired", "the agent is retired", "Another agent has to do this."),
    };
    Some(deny(rule, reason.into(), remedy.into()))
}

/// What was answered about one system, or begun with it before a crash, holds for no other one under the same name.
fn another_system(state: &State, case: &Case<'_>, facts: &Facts) -> Option<Ruling> {
    let asked = state.asked_actions().find(|(id, _)| *id == case.id).map(|(_, asked)| asked);
    let is_answered = |asked: &&AskedAction| !case.answers.is_empty() || !asked.question.given.is_empty();
    let before = match state.open_actions().get(&case.id) {
        Some(open) => open.through.as_ref(),
        None => asked.filter(is_answered).and_then(|asked| asked.through.as_ref()),
    };
    let (before, now) = (before?, facts.access.as_ref()?);
    let same = before.system.as_ref().is_none_or(|system| *system == now.system());
    let reason = || format!("`{}` is another system by now than the one that this was about", before.connector);
    (!same).then(|| deny("connector-changed", reason(), "Give the task again: then it is about this one.".into()))
}

fn allow(rule: String, meters: Vec<Meter>) -> Judgement {
    Judgement { meters, ..Ruling::Allowed { rule }.into() }
}

fn deny(rule: &str, reason: String, remedy: String) -> Ruling {
    Ruling::Denied { rule: rule.to_owned(), reason, remedy }
}
