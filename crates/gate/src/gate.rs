//! The door itself: leases, and the one commit that decides, writes down and only then lets through.

use crate::{
    GateError, Mode, Permit, Scope, Settled,
    journal::{Journal, Tip, first_records},
    permit::Grant,
};
use bailiwick_core::{
    Action, Class,
    item::{Change, SessionStatus},
    record::{
        ActionDecided, ActionResumed, ActionSettled, Body, InputEnvelope, InputReceived, Record, Ruling, SessionCreated,
    },
    session::{Ask, State, request, rows},
};
use bailiwick_ports::{
    Clock, Keys, Policy, PolicyRequest, Store, StoreError, Verdict,
    store::{Accepted, Append, Due, Idempotency, NewStream},
};
use bailiwick_types::{ActionId, Millis, NodeId, Principal, SessionId, TenantId, Timestamp};
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

/// The one door. Cheap to share.
pub struct Gate {
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    policy: Arc<dyn Policy>,
    clock: Arc<dyn Clock>,
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

/// What goes into one commit. Outcomes first, then inputs, then records, then asks: each may depend on those before.
#[derive(Debug, Default)]
pub struct Batch {
    pub settled: Vec<Settled>,
    /// Takes waiting inputs in.
    pub take_inputs: bool,
    pub records: Vec<Body>,
    pub asks: Vec<Ask>,
    /// Open actions that a crash left behind and that are to go on.
    pub resume: Vec<ActionId>,
    /// Lets go of the lease, unless inputs are waiting; then the session wants to be woken as said.
    pub release: Option<Due>,
}

/// The gate's answer to one ask or resumption, in their order.
#[derive(Debug)]
pub enum Decision {
    Permitted(Permit),
    /// Somebody else performs it: the outcome comes as an input.
    Awaited(ActionId),
    Denied(ActionId),
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
        Self { store, keys, policy, clock }
    }

    /// Begins a session: its stream, its first record, its row and its first input, in one transaction.
    pub async fn create(&self, new: NewSession) -> Result<(Accepted, Vec<(u64, Change)>), GateError> {
        let stream = new.session.into();
        let (journal, key) = Journal::create(&*self.keys, new.tenant, stream);
        let at = self.clock.now();
        let (_, changes) = State::begin(new.tenant, new.session, at, &new.created);
        let (_, record) = first_records(&journal, at, Body::SessionCreated(new.created));
        let rows = journal.seal_rows(rows(new.tenant, new.session, &changes));
        let inputs = new.input.iter().map(|input| journal.seal_input(input)).collect();
        let stream = NewStream {
            tenant: new.tenant,
            stream,
            key,
            records: vec![record],
            rows,
            inputs,
            idempotency: new.idempotency,
        };
        let accepted = self.store.create_stream(stream).await?;
        Ok((accepted, changes.into_iter().map(|change| (1, change)).collect()))
    }

    /// Takes the lease on a stream and folds it. `None` while another node drives it.
    pub async fn open(&self, session: SessionId, node: NodeId) -> Result<Option<Lease>, GateError> {
        let stream = session.into();
        let Some(grant) = self.store.lease(stream, node, LEASE).await? else { return Ok(None) };
        let head = self.store.head(stream).await?.ok_or(StoreError::UnknownStream(stream))?;
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
    pub async fn commit(&self, lease: &mut Lease, batch: Batch) -> Result<Committed, GateError> {
        if lease.spent {
            return Err(GateError::Spent(lease.journal.stream));
        }
        // The state runs ahead of the disk until the store has answered.
        lease.spent = true;
        let stream = lease.journal.stream;
        let inputs = match batch.take_inputs {
            true => self.store.inbox(stream, lease.state.inbox_through, MAX_INPUTS).await?,
            false => Vec::new(),
        };
        let mut writing = Writing { lease, at: self.clock.now(), records: Vec::new(), changes: Vec::new() };
        for settled in batch.settled {
            let (action, outcome) = settled.into_parts();
            if writing.lease.state.open_actions().contains_key(&action) {
                writing.add(Body::ActionSettled(ActionSettled { action, outcome }));
            }
        }
        for entry in &inputs {
            let envelope = writing.lease.journal.open_input(entry)?;
            writing.add(Body::InputReceived(InputReceived { sequence: entry.sequence, envelope }));
        }
        for body in batch.records {
            writing.add(body);
        }
        let mut grants = Vec::new();
        for action in batch.resume {
            grants.push(self.resume(&mut writing, action)?);
        }
        for ask in batch.asks {
            grants.push(self.decide(&mut writing, ask)?);
        }
        let Writing { lease, records, changes, .. } = writing;
        let plain: Vec<Change> = changes.iter().map(|(_, change)| change.clone()).collect();
        let rows = lease.journal.seal_rows(rows(lease.journal.tenant, lease.journal.session(), &plain));
        let release = batch.release;
        let snapshot = (release.is_some() && lease.state.position >= lease.snapshot_at + SNAPSHOT_EVERY)
            .then(|| lease.journal.seal_snapshot(&lease.state));
        let after = lease.tip.position - records.len() as u64;
        let append = Append {
            tenant: lease.journal.tenant,
            stream,
            epoch: lease.node_epoch,
            after,
            records,
            rows,
            inbox_through: lease.state.inbox_through,
            due: release.unwrap_or(Due::Now),
            release: release.is_some(),
            snapshot,
        };
        let appended = self.store.append(append).await?;
        lease.expires = self.local_expiry(appended.now, appended.expires);
        lease.spent = appended.released;
        let decisions = grants.into_iter().map(|pending| self.decision(lease, pending)).collect();
        Ok(Committed { decisions, changes, released: appended.released })
    }

    fn decide(&self, writing: &mut Writing<'_>, ask: Ask) -> Result<Pending, GateError> {
        let state = &writing.lease.state;
        let Some(principal) = state.acting() else {
            return Err(GateError::Refused { action: ask.id, reason: "was asked for outside a turn" });
        };
        let digest = writing.lease.journal.digest(&ask.action.canonical());
        let repeatable = matches!(ask.action.class(), Class::Pure | Class::Idempotent);
        let ruling = match state.unknown_like(&digest) {
            Some(by) if !repeatable => Ruling::Held { by },
            _ => self.ruling(state, &principal, &ask.action),
        };
        let pending = match &ruling {
            Ruling::Allowed { .. } if ask.action.class() == Class::Awaited => Pending::Awaited(ask.id),
            Ruling::Allowed { .. } => Pending::Permitted(ask.id, Mode::First),
            Ruling::Denied { .. } => Pending::Denied(ask.id),
            Ruling::Held { by } => Pending::Held { action: ask.id, by: *by },
        };
        writing.add(Body::ActionDecided(ActionDecided {
            action: ask.id,
            turn: ask.turn,
            call_id: ask.call_id,
            arguments: ask.action,
            digest,
            principal,
            policy_version: self.policy.version(),
            decision: ruling,
        }));
        Ok(pending)
    }

    fn resume(&self, writing: &mut Writing<'_>, action: ActionId) -> Result<Pending, GateError> {
        let state = &writing.lease.state;
        let Some(open) = state.open_actions().get(&action) else {
            return Err(GateError::Refused { action, reason: "is not open and cannot be resumed" });
        };
        let mode = match open.action.class() {
            Class::Lookup => Mode::Lookup,
            _ => Mode::Again,
        };
        let decision = self.ruling(state, &open.principal, &open.action);
        let pending = match &decision {
            Ruling::Denied { .. } => Pending::Denied(action),
            _ => Pending::Permitted(action, mode),
        };
        let policy_version = self.policy.version();
        writing.add(Body::ActionResumed(ActionResumed { action, policy_version, decision }));
        Ok(pending)
    }

    fn ruling(&self, state: &State, principal: &Principal, action: &Action) -> Ruling {
        if action.environment().is_some_and(|environment| state.environment.id() != Some(environment)) {
            return Ruling::Denied {
                rule: "own-environment".into(),
                reason: "the environment is not this session's".into(),
                remedy: "Use the session's own environment.".into(),
            };
        }
        let asked = PolicyRequest { tenant: state.tenant, principal, agent: &state.agent, action };
        match self.policy.decide(&asked) {
            Verdict::Allow { rule } => Ruling::Allowed { rule },
            Verdict::Deny { rule, reason, remedy } => Ruling::Denied { rule, reason, remedy },
        }
    }

    /// Makes the permit, now that the intent is on disk.
    fn decision(&self, lease: &Lease, pending: Pending) -> Decision {
        let (id, mode) = match pending {
            Pending::Permitted(id, mode) => (id, mode),
            Pending::Awaited(id) => return Decision::Awaited(id),
            Pending::Denied(id) => return Decision::Denied(id),
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
            environment: Arc::new(state.environment.clone()),
            environment_facts: state.environment_facts.clone(),
            limits: state.agent.limits.clone(),
        };
        Decision::Permitted(Permit::new(Grant {
            id,
            action: Arc::clone(&open.action),
            request,
            mode,
            not_after: lease.permit_deadline(),
            scope: Arc::new(scope),
            dropped: lease.dropped.clone(),
        }))
    }
}

enum Pending {
    Permitted(ActionId, Mode),
    Awaited(ActionId),
    Denied(ActionId),
    Held { action: ActionId, by: ActionId },
}

/// A commit in the making.
struct Writing<'a> {
    lease: &'a mut Lease,
    at: Timestamp,
    records: Vec<bailiwick_ports::store::SealedRecord>,
    changes: Vec<(u64, Change)>,
}

impl Writing<'_> {
    fn add(&mut self, body: Body) {
        let lease = &mut *self.lease;
        let record = Record { position: lease.tip.position + 1, time: self.at, body };
        self.records.push(lease.journal.seal_record(&mut lease.tip, lease.node_epoch, &record));
        let changes = lease.state.apply(&record);
        self.changes.extend(changes.into_iter().map(|change| (record.position, change)));
    }
}

fn fold(folded: &mut Option<State>, journal: &Journal, record: &Record) -> Result<Vec<Change>, GateError> {
    match (&mut *folded, &record.body) {
        (Some(state), _) => Ok(state.apply(record)),
        (None, Body::SessionCreated(created)) => {
            let (state, changes) = State::begin(journal.tenant, journal.session(), record.time, created);
            *folded = Some(state);
            Ok(changes)
        }
        (None, _) => Err(GateError::NoBeginning(journal.stream)),
    }
}

impl Lease {
    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn status(&self) -> SessionStatus {
        self.state.status()
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
