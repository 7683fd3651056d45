//! The door itself: leases, and the one commit that decides, writes down and only then lets through.

use crate::{
    Access, ConnectorRequests, Connectors, GateError, Grants, Mode, Permit, Scope, Settled, Skills, Stops,
    budgets::Budgets,
    journal::{Journal, Tip, first_records},
    judge::{Case, Judge, Judgement},
    ledger::{Entries, Ledger},
    permit::Grant,
    replay::fold,
    spending::{MoneyRules, Purse, Wanted},
    subjects::Subjects,
};
use bailiwick_core::{
    Account, Action, Approver, Booking, Class, ToolDefinition,
    item::Change,
    record::{
        ActionDecided, ActionResumed, ActionSettled, Body, Halt, InputEnvelope, InputReceived, Record, Ruling,
        SessionCreated, Spending,
    },
    session::{Ask, Plan, State, request, rows},
};
use bailiwick_ports::{
    Clock, Directory, Keys, ModelCards, NoVaults, Policy, Revocations, SpendEntry, Store, StoreError, Strangers,
    Vaults,
    store::{Accepted, Append, Due, Idempotency, InboxEntry, NewStream, SealedRecord},
};
use bailiwick_types::{ActionId, AgentId, KeyId, Millis, NodeId, Principal, SessionId, TenantId, Timestamp, UserId};
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long a lease holds without a word.
pub const LEASE: Millis = Millis::from_secs(30);
/// A permit must be opened this much before its lease ends.
const MARGIN: Millis = Millis::from_secs(5);
/// Inputs taken into one commit.
const MAX_INPUTS: u32 = 64;
/// Records read at once.
const READ_CHUNK: u32 = 256;
/// A snapshot is written when a lease is let go and this many records came since the last.
const SNAPSHOT_EVERY: u64 = 32;
/// Plans in one commit, so that a fault in planning cannot spin.
const MAX_PLANS: usize = 64;
/// Beginnings of a session whose person's key was destroyed or wrapped anew meanwhile.
const MAX_BEGINNINGS: usize = 3;

/// The one door. Cheap to share.
pub struct Gate {
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    judge: Judge,
    clock: Arc<dyn Clock>,
    purse: Purse,
    subjects: Subjects,
    skills: Skills,
    requests: ConnectorRequests,
}

/// A stream that this process drives: its lease, its state, and the line on which dropped permits report.
pub struct Lease {
    journal: Journal,
    node_epoch: u64,
    expires: Timestamp,
    tip: Tip,
    state: State,
    snapshot_at: u64,
    spent: bool,
    dropped: UnboundedSender<Settled>,
    reports: UnboundedReceiver<Settled>,
}

/// What goes into one commit: outcomes first, then inputs, then what the engine plans on the state with those in it.
/// Planning inside the commit is what lets the outcome of one action share a transaction with the intents of the next.
pub struct Batch<'a> {
    pub settled: Vec<Settled>,
    /// Takes waiting inputs in.
    pub take_inputs: bool,
    /// Open actions that a crash left behind and that are to go on.
    pub resume: Vec<ActionId>,
    /// The next step of a state. Asked again until there is none.
    pub plan: &'a mut (dyn FnMut(&State) -> Plan + Send),
    pub release: Release,
}

/// Whether a commit gives the lease back. It never does while inputs are waiting or a hand of ours is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// When no turn is left.
    WhenIdle,
    /// Also while the session waits for somebody outside.
    WhenWaiting,
}

/// The gate's answer to one ask or resumption, in their order.
#[derive(Debug)]
pub enum Decision {
    Permitted(Permit),
    /// Somebody else performs it: the outcome comes as an input.
    Awaited(ActionId),
    Denied(ActionId),
    /// A person was asked; their answer comes as an input.
    Asked(ActionId),
    Held {
        action: ActionId,
        by: ActionId,
    },
}

/// What one commit did.
#[derive(Debug)]
pub struct Committed {
    pub decisions: Vec<Decision>,
    /// What watchers may be told now, each with its record's position.
    pub changes: Vec<(u64, Change)>,
    /// Open actions that must stop.
    pub stop: Vec<ActionId>,
    /// Look again at this time even if nothing happens.
    pub wake: Option<Timestamp>,
    pub released: bool,
}

/// A new session, in its client's words.
#[derive(Debug)]
pub struct NewSession {
    pub tenant: TenantId,
    pub session: SessionId,
    pub created: SessionCreated,
    pub input: Option<InputEnvelope>,
    pub idempotency: Option<Idempotency>,
}

impl Gate {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>, policy: Arc<dyn Policy>, clock: Arc<dyn Clock>) -> Self {
        let stops = Arc::new(Stops::new(Arc::clone(&store), Arc::clone(&keys)));
        let grants = Arc::new(Grants::new(Arc::clone(&store), Arc::clone(&keys)));
        let (directory, vaults) = (Arc::new(Strangers), Arc::new(NoVaults));
        let connectors = Arc::new(Connectors::new(Arc::clone(&store), Arc::clone(&keys)));
        let judge = Judge { policy, directory, cards: None, stops, grants, vaults, connectors, revocations: None };
        let ledger = Arc::new(Ledger::new(Arc::clone(&store)));
        let budgets = Arc::new(Budgets::new(Arc::clone(&store), Arc::clone(&keys)));
        let purse = Purse { ledger, budgets, rules: MoneyRules::default() };
        let subjects = Subjects::new(Arc::clone(&store), Arc::clone(&keys));
        let skills = Skills::new(Arc::clone(&store), Arc::clone(&keys));
        let requests = ConnectorRequests::new(Arc::clone(&store), Arc::clone(&keys));
        Self { store, keys, judge, clock, purse, subjects, skills, requests }
    }

    /// Who is known; without one nobody is.
    #[must_use]
    pub fn with_directory(self, directory: Arc<dyn Directory>) -> Self {
        Self { judge: Judge { directory, ..self.judge }, ..self }
    }

    /// Which keys were revoked; without it none was.
    #[must_use]
    pub fn with_revocations(self, revocations: Arc<dyn Revocations>) -> Self {
        Self { judge: Judge { revocations: Some(revocations), ..self.judge }, ..self }
    }

    /// What is known of models; without them no call has a price.
    #[must_use]
    pub fn with_cards(self, cards: Arc<dyn ModelCards>) -> Self {
        Self { judge: Judge { cards: Some(cards), ..self.judge }, ..self }
    }

    /// Whose secrets actions may use; without them there are none.
    #[must_use]
    pub fn with_vaults(self, vaults: Arc<dyn Vaults>) -> Self {
        Self { judge: Judge { vaults, ..self.judge }, ..self }
    }

    /// Whether somebody may answer a question about what `principal` wants to do.
    pub fn may_answer(&self, tenant: TenantId, approver: &Approver, principal: &Principal, by: &Principal) -> bool {
        self.judge.may_answer(tenant, approver, principal, by, self.clock.now())
    }

    /// Whether the person for whom `principal` acts has this account by now.
    pub fn is_connected(&self, tenant: TenantId, principal: &Principal, account: &Account) -> bool {
        self.judge.account(tenant, principal, account).is_some()
    }

    /// Whether somebody may let a program order work for a person.
    pub fn may_speak_for(&self, tenant: TenantId, person: UserId, giver: &Principal) -> bool {
        self.judge.may_speak_for(tenant, person, giver)
    }

    /// A program as it may order work for a person from this agent now; `None` without a grant.
    pub async fn speaking_for(
        &self,
        tenant: TenantId,
        key: KeyId,
        person: UserId,
        agent: AgentId,
    ) -> Result<Option<Principal>, GateError> {
        self.judge.grants.list(tenant).await?;
        Ok(self.judge.speaking_for(tenant, key, person, agent, self.clock.now()))
    }

    /// A program as it may pass on a person's answers to this agent's questions now; `None` without a grant.
    pub async fn relaying_for(
        &self,
        tenant: TenantId,
        key: KeyId,
        person: UserId,
        agent: AgentId,
    ) -> Result<Option<Principal>, GateError> {
        self.judge.grants.list(tenant).await?;
        Ok(self.judge.relaying_for(tenant, key, person, agent, self.clock.now()))
    }

    /// The grants that decisions are judged by.
    pub fn grants(&self) -> &Grants {
        &self.judge.grants
    }

    /// What is known of the connector that performs an action; `None` where there is none, or none any more.
    pub fn access(&self, state: &State, action: &Action) -> Option<Access> {
        self.judge.access(state, action)
    }

    /// The skills that agents may be given.
    pub fn skills(&self) -> &Skills {
        &self.skills
    }

    /// What people ask for of the connectors in the catalogue.
    pub fn connector_requests(&self) -> &ConnectorRequests {
        &self.requests
    }

    /// The tools of a session's connectors that `orderer` could call there, each under the name that a model sees: without
    /// those that policy would let nobody call for them, whatever the arguments.
    pub fn callable(&self, state: &State, orderer: &Principal) -> Vec<ToolDefinition> {
        let calls = state.callable_tools().into_iter();
        let could =
            |action: &Option<Action>| action.as_ref().is_none_or(|one| self.judge.could_call(state, orderer, one));
        calls.filter(|(_, action)| could(action)).map(|(tool, _)| tool).collect()
    }

    /// The connectors that agents may be given.
    pub fn connectors(&self) -> &Connectors {
        &self.judge.connectors
    }

    /// In which currency, and what becomes of models without a price.
    #[must_use]
    pub fn with_money(self, rules: MoneyRules) -> Self {
        Self { purse: Purse { rules, ..self.purse }, ..self }
    }

    pub fn money(&self) -> &MoneyRules {
        &self.purse.rules
    }

    /// The balances that decisions are judged by.
    pub fn ledger(&self) -> &Ledger {
        &self.purse.ledger
    }

    /// The budgets that decisions are judged by.
    pub fn budgets(&self) -> &Budgets {
        &self.purse.budgets
    }

    /// The stops that decisions are judged by.
    pub fn stops(&self) -> &Stops {
        &self.judge.stops
    }

    /// Why the running turn of a session may do nothing more now: a stop, the end of the key or the grant that it was
    /// ordered with, a disabled person, an agent that is not active.
    pub fn halt(&self, state: &State) -> Option<Halt> {
        match self.judge.halt(state, self.clock.now())? {
            Ruling::Denied { rule, reason, remedy } => {
                let message = format!("Denied by rule `{rule}`: {reason}. {remedy}");
                Some(Halt { rule, message })
            }
            _ => None,
        }
    }

    /// When there will be such a reason, if nothing changes until then.
    pub fn halts_at(&self, state: &State) -> Option<Timestamp> {
        self.judge.order_ends(state)
    }

    /// Begins a session: its stream, its first record, its row and its first input, in one transaction.
    pub async fn create(&self, new: NewSession) -> Result<(Accepted, Vec<(u64, Change)>), GateError> {
        let person = new.created.creator.person();
        let at = self.clock.now();
        let (_, changes) = State::begin(new.tenant, new.session, at, &new.created);
        for attempt in 1.. {
            let accepted = self.begin(&new, at, &changes).await;
            match (accepted, person) {
                (Err(GateError::Store(StoreError::Conflict)), Some(person)) if attempt < MAX_BEGINNINGS => {
                    self.subjects.forget(new.tenant, person);
                }
                (accepted, _) => return Ok((accepted?, changes.into_iter().map(|change| (1, change)).collect())),
            }
        }
        Err(StoreError::Conflict.into())
    }

    async fn begin(&self, new: &NewSession, at: Timestamp, changes: &[Change]) -> Result<Accepted, GateError> {
        let stream = new.session.into();
        let (journal, key) = match new.created.creator.person() {
            Some(person) => {
                let subject = self.subjects.key(new.tenant, person).await?;
                Journal::create_under(&*self.keys, new.tenant, stream, &subject)?
            }
            None => Journal::create(&*self.keys, new.tenant, stream),
        };
        let (_, record) = first_records(&journal, at, Body::SessionCreated(new.created.clone()));
        let rows = journal.seal_rows(rows(new.tenant, new.session, changes));
        let inputs = new.input.iter().map(|input| journal.seal_input(input)).collect();
        let stream = NewStream {
            tenant: new.tenant,
            stream,
            key,
            records: vec![record],
            rows,
            inputs,
            idempotency: new.idempotency.clone(),
        };
        Ok(self.store.create_stream(stream).await?)
    }

    /// Takes the lease on a stream and folds it. `None` while another node drives it.
    pub async fn open(&self, session: SessionId, node: NodeId) -> Result<Option<Lease>, GateError> {
        let stream = session.into();
        let Some(grant) = self.store.lease(stream, node, LEASE).await? else { return Ok(None) };
        let head = self.store.head(stream).await?.ok_or(StoreError::UnknownStream(stream))?;
        // The lease keeps every earlier write out: what is not there by now was not written.
        self.purse.ledger.resolve(stream, head.position);
        self.purse.budgets.list(grant.tenant).await?;
        self.judge.stops.list(grant.tenant).await?;
        self.judge.grants.list(grant.tenant).await?;
        self.judge.connectors.list(grant.tenant).await?;
        if let Some(revocations) = &self.judge.revocations {
            revocations.recall(grant.tenant).await.map_err(GateError::Undecidable)?;
        }
        let journal = Journal::open(&*self.keys, grant.tenant, stream, &head.key)?;
        let mut folded = match self.store.snapshot(stream).await? {
            Some(snapshot) if snapshot.position <= head.position => journal.open_snapshot(&snapshot),
            _ => None,
        };
        let snapshot_at = folded.as_ref().map_or(0, |state| state.position);
        let mut at = snapshot_at;
        while at < head.position {
            let records = self.store.records(stream, at, READ_CHUNK).await?;
            if records.is_empty() {
                return Err(GateError::Damaged { stream, position: at + 1 });
            }
            for sealed in &records {
                fold(&mut folded, &journal, &journal.open_record(sealed)?)?;
                at = sealed.position;
            }
        }
        let state = folded.ok_or(GateError::NoBeginning(stream))?;
        let (dropped, reports) = unbounded_channel();
        let tip = Tip { position: head.position, chain: head.chain };
        let (node_epoch, expires) = (grant.epoch, self.local_expiry(grant.now, grant.expires));
        Ok(Some(Lease { journal, node_epoch, expires, tip, state, snapshot_at, spent: false, dropped, reports }))
    }

    /// The database's expiry on this process's clock.
    fn local_expiry(&self, database_now: Timestamp, expires: Timestamp) -> Timestamp {
        self.clock.now() + expires.since(database_now)
    }

    /// Holds the lease without writing anything.
    pub async fn renew(&self, lease: &mut Lease) -> Result<(), GateError> {
        let grant = self.store.renew(lease.journal.stream, lease.node_epoch, LEASE).await?;
        lease.expires = self.local_expiry(grant.now, grant.expires);
        Ok(())
    }

    /// In one transaction: the outcomes of the last actions, the waiting inputs, the new records, and for each ask its
    /// decision and intent. Only when that is on disk are there permits.
    ///
    /// After an error nothing was written and the lease is spent.
    pub async fn commit(&self, lease: &mut Lease, batch: Batch<'_>) -> Result<Committed, GateError> {
        if lease.spent {
            return Err(GateError::Spent(lease.journal.stream));
        }
        // The state runs ahead of the disk until the store has answered.
        lease.spent = true;
        let inputs = match batch.take_inputs {
            true => self.store.inbox(lease.journal.stream, lease.state.inbox_through, MAX_INPUTS).await?,
            false => Vec::new(),
        };
        let entries = self.purse.ledger.entries(lease.journal.tenant, lease.journal.stream);
        let mut writing = Writing::new(lease, self.clock.now(), entries);
        writing.take(batch.settled, &inputs)?;
        for action in batch.resume {
            self.resume(&mut writing, action).await?;
        }
        let last = self.plan(&mut writing, batch.plan).await?;
        writing.book().await?;
        let Writing { lease, records, changes, pending, entries, spend, .. } = writing;
        let release = lease.may_release(batch.release);
        let due = match (release, last.wake) {
            (false, _) => Due::Now,
            (true, Some(wake)) => Due::At(wake),
            (true, None) => Due::OnInput,
        };
        let released = if records.is_empty() && !release {
            false
        } else {
            self.append(lease, Written { records, entries, spend }, &changes, due, release).await?
        };
        lease.spent = released;
        let decisions = pending.into_iter().map(|pending| self.decision(lease, pending)).collect();
        Ok(Committed { decisions, changes, stop: last.stop, wake: last.wake, released })
    }

    /// Plans until nothing new comes, and returns the last, empty plan.
    async fn plan(
        &self,
        writing: &mut Writing<'_>,
        next: &mut (dyn FnMut(&State) -> Plan + Send),
    ) -> Result<Plan, GateError> {
        for _ in 0..MAX_PLANS {
            let plan = next(&writing.lease.state);
            if plan.is_empty() {
                return Ok(plan);
            }
            for body in plan.records {
                writing.add(body);
            }
            for ask in plan.asks {
                self.decide(writing, ask).await?;
            }
        }
        // Whatever is left is planned in the next commit.
        Ok(Plan { wake: Some(writing.at), ..Plan::default() })
    }

    async fn append(
        &self,
        lease: &mut Lease,
        written: Written,
        changes: &[(u64, Change)],
        due: Due,
        release: bool,
    ) -> Result<bool, GateError> {
        let Written { records, mut entries, spend } = written;
        let changes: Vec<Change> = changes.iter().map(|(_, change)| change.clone()).collect();
        let rows = lease.journal.seal_rows(rows(lease.journal.tenant, lease.journal.session(), &changes));
        let snapshot = (release && lease.state.position >= lease.snapshot_at + SNAPSHOT_EVERY)
            .then(|| lease.journal.seal_snapshot(&lease.state));
        let append = Append {
            tenant: lease.journal.tenant,
            stream: lease.journal.stream,
            epoch: lease.node_epoch,
            after: lease.tip.position - records.len() as u64,
            records,
            rows,
            inbox_through: lease.state.inbox_through,
            due,
            release,
            snapshot,
            balances: entries.changes(),
            spend,
        };
        entries.sending(lease.tip.position);
        let appended = self.store.append(append).await;
        entries.sent(&appended);
        let appended = appended?;
        lease.expires = self.local_expiry(appended.now, appended.expires);
        Ok(appended.released)
    }

    async fn decide(&self, writing: &mut Writing<'_>, ask: Ask) -> Result<(), GateError> {
        let state = &writing.lease.state;
        let Some(principal) = state.acting() else {
            return Err(GateError::Refused { action: ask.id, reason: "was asked for outside a turn" });
        };
        // Of what would really be sent: the same values under other handles are the same effect.
        let sent = state.filled(&ask.action);
        let digest = writing.lease.journal.digest(&sent.as_ref().unwrap_or(&ask.action).canonical());
        let repeatable = matches!(ask.action.class(), Class::Pure | Class::Idempotent);
        let judgement: Judgement = match state.unknown_like(&digest) {
            Some(by) if !repeatable => Ruling::Held { by }.into(),
            _ => {
                let (action, answers, at) = (&ask.action, &ask.answers[..], writing.at);
                let until = state.waited_for_until(ask.call_id.as_deref(), action);
                let case = Case { id: ask.id, action, principal: &principal, answers, expired: ask.expired, until, at };
                self.judge.judge(state, &case)
            }
        };
        let mut answers = judgement.answered.clone().into_iter();
        let (answered, also_answered) = (answers.next(), answers.collect());
        let credentials = judgement.credentials.clone();
        let access = judgement.access.clone();
        // What was denied before policy was asked has a connector, too.
        let seen = access.clone().or_else(|| self.judge.access(state, &ask.action).map(Arc::new));
        let through = seen.map(|access| self.judge.through(state, &ask.action, &access));
        let policy_version = judgement.version.unwrap_or_else(|| self.judge.version(state.tenant));
        let (ruling, spending) = self.afford(writing, judgement, &principal, &ask.action).await?;
        let pending = match &ruling {
            Ruling::Allowed { .. } if ask.action.class() == Class::Awaited => Pending::Awaited(ask.id),
            Ruling::Allowed { .. } => Pending::Permitted { action: ask.id, mode: Mode::First, access },
            Ruling::Denied { .. } => Pending::Denied(ask.id),
            Ruling::Asked(_) => Pending::Asked(ask.id),
            Ruling::Held { by } => Pending::Held { action: ask.id, by: *by },
        };
        let label = writing.lease.state.label_of(&ask.action);
        writing.add(Body::ActionDecided(ActionDecided {
            action: ask.id,
            turn: ask.turn,
            call_id: ask.call_id,
            arguments: ask.action,
            digest,
            principal,
            policy_version,
            decision: ruling,
            label,
            answered,
            also_answered,
            spending,
            credentials,
            through,
        }));
        writing.pending.push(pending);
        Ok(())
    }

    async fn resume(&self, writing: &mut Writing<'_>, action: ActionId) -> Result<(), GateError> {
        let state = &writing.lease.state;
        let Some(open) = state.open_actions().get(&action) else {
            return Err(GateError::Refused { action, reason: "is not open and cannot be resumed" });
        };
        let mode = match open.action.class() {
            Class::Lookup => Mode::Lookup,
            _ => Mode::Again,
        };
        let (principal, at) = (&open.principal, writing.at);
        let case = Case { id: action, action: &open.action, principal, answers: &[], expired: false, until: None, at };
        let judgement = self.judge.resume(state, &case);
        let access = judgement.access.clone();
        let policy_version = judgement.version.unwrap_or_else(|| self.judge.version(state.tenant));
        let (decision, spending) = match &*open.action {
            // The call before it may have been paid for, so this one has to fit too.
            Action::ModelCall(_) => {
                let (again, principal) = (Arc::clone(&open.action), open.principal.clone());
                self.afford(writing, judgement, &principal, &again).await?
            }
            _ => (judgement.ruling, Spending::default()),
        };
        let pending = match &decision {
            Ruling::Denied { .. } => Pending::Denied(action),
            _ => Pending::Permitted { action, mode, access },
        };
        writing.add(Body::ActionResumed(ActionResumed { action, policy_version, decision, spending }));
        writing.pending.push(pending);
        Ok(())
    }

    /// An allowed action must also fit what it counts against.
    async fn afford(
        &self,
        writing: &mut Writing<'_>,
        judgement: Judgement,
        principal: &Principal,
        action: &Action,
    ) -> Result<(Ruling, Spending), GateError> {
        let Judgement { ruling: allowed, meters, .. } = judgement;
        if !matches!(allowed, Ruling::Allowed { .. }) {
            return Ok((allowed, Spending::default()));
        }
        writing.book().await?;
        let Writing { lease, entries, at, .. } = writing;
        let wanted = Wanted { action, principal, at: *at, allowed, meters };
        Ok(self.purse.afford(&self.judge, &lease.state, entries, wanted).await?)
    }

    /// Makes the permit, now that the intent is on disk.
    fn decision(&self, lease: &Lease, pending: Pending) -> Decision {
        let (id, mode, access) = match pending {
            Pending::Permitted { action, mode, access } => (action, mode, access),
            Pending::Awaited(id) => return Decision::Awaited(id),
            Pending::Denied(id) => return Decision::Denied(id),
            Pending::Asked(id) => return Decision::Asked(id),
            Pending::Held { action, by } => return Decision::Held { action, by },
        };
        let state = &lease.state;
        let Some(open) = state.open_actions().get(&id) else { return Decision::Denied(id) };
        let request = match &*open.action {
            Action::ModelCall(call) => Some(Arc::new(request(state, call))),
            _ => None,
        };
        let scope = Scope {
            tenant: state.tenant,
            session: state.session,
            turn: open.turn,
            principal: open.principal.clone(),
            agent_name: state.agent.name.clone(),
            environment: Arc::new(state.environment.clone()),
            environment_facts: state.environment_facts.clone(),
            limits: state.agent.limits.clone(),
        };
        Decision::Permitted(Permit::new(Grant {
            id,
            access,
            within: open.action.is_memory().then(|| self.judge.within(state, &open.principal, &open.action)),
            action: state.filled(&open.action).map_or_else(|| Arc::clone(&open.action), Arc::new),
            request,
            mode,
            not_after: lease.permit_deadline(),
            scope: Arc::new(scope),
            credentials: open.credentials.clone(),
            revealed: Vec::new(),
            dropped: lease.dropped.clone(),
        }))
    }
}

enum Pending {
    Permitted { action: ActionId, mode: Mode, access: Option<Arc<Access>> },
    Awaited(ActionId),
    Denied(ActionId),
    Asked(ActionId),
    Held { action: ActionId, by: ActionId },
}

/// A commit in the making.
struct Writing<'a> {
    lease: &'a mut Lease,
    at: Timestamp,
    records: Vec<SealedRecord>,
    changes: Vec<(u64, Change)>,
    pending: Vec<Pending>,
    entries: Entries,
    /// What records said that the entries have not taken in.
    bookings: Vec<Booking>,
    spend: Vec<SpendEntry>,
}

/// What a commit puts on disk.
struct Written {
    records: Vec<SealedRecord>,
    entries: Entries,
    spend: Vec<SpendEntry>,
}

impl<'a> Writing<'a> {
    fn new(lease: &'a mut Lease, at: Timestamp, entries: Entries) -> Self {
        let (records, changes, pending) = (Vec::new(), Vec::new(), Vec::new());
        Self { lease, at, records, changes, pending, entries, bookings: Vec::new(), spend: Vec::new() }
    }

    async fn book(&mut self) -> Result<(), StoreError> {
        self.entries.book(std::mem::take(&mut self.bookings)).await
    }

    fn take(&mut self, settled: Vec<Settled>, inputs: &[InboxEntry]) -> Result<(), GateError> {
        for settled in settled {
            let (action, outcome, lost) = settled.into_parts();
            if self.lease.state.open_actions().contains_key(&action) {
                let cost = self.lease.state.cost_of(action, &outcome, lost);
                let halted_by = self.lease.state.halt();
                self.add(Body::ActionSettled(ActionSettled { action, outcome, cost, halted_by }));
            }
        }
        for entry in inputs {
            let envelope = self.lease.journal.open_input(entry)?;
            self.add(Body::InputReceived(InputReceived { sequence: entry.sequence, envelope }));
        }
        Ok(())
    }

    fn add(&mut self, body: Body) {
        let lease = &mut *self.lease;
        let record = Record { position: lease.tip.position + 1, time: self.at, body };
        self.records.push(lease.journal.seal_record(&mut lease.tip, lease.node_epoch, &record));
        for change in lease.state.apply(&record) {
            match change {
                Change::Booked(bookings) => self.note(bookings),
                change => self.changes.push((record.position, change)),
            }
        }
    }

    fn note(&mut self, bookings: Vec<Booking>) {
        for booking in bookings {
            match booking {
                Booking::Spent(call) => self.spend.push(SpendEntry::Call(call)),
                Booking::TurnEnded { turn, outcome } => self.spend.push(SpendEntry::TurnEnded { turn, outcome }),
                held => self.bookings.push(held),
            }
        }
    }
}

impl Lease {
    pub fn state(&self) -> &State {
        &self.state
    }

    /// No hand of ours is at work, and either no turn is left or it waits for somebody outside.
    fn may_release(&self, release: Release) -> bool {
        let at_work = self.state.open_actions().values().any(|open| open.action.class() != Class::Awaited);
        !at_work && (release == Release::WhenWaiting || self.state.turn_id().is_none())
    }

    pub fn epoch(&self) -> u64 {
        self.node_epoch
    }

    /// Until when this process may believe that it holds the lease.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    fn permit_deadline(&self) -> Timestamp {
        Timestamp::from_millis(self.expires.as_millis() - MARGIN.0 as i64)
    }

    /// The next permit that was dropped on its way.
    pub async fn dropped(&mut self) -> Settled {
        match self.reports.recv().await {
            Some(settled) => settled,
            // INVARIANT: the lease itself holds a sender.
            None => std::future::pending().await,
        }
    }

    /// What was dropped so far.
    pub fn try_dropped(&mut self) -> Option<Settled> {
        self.reports.try_recv().ok()
    }
}
