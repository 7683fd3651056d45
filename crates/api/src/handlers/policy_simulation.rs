//! Simulation: recorded actions put before a draft, and what it would decide otherwise. Nothing is done or written.

use super::{ok, policy::desk};
use crate::{
    app::{App, Call},
    error::ApiError,
    routes::Answer,
    types::policy::{PolicySimulation, PolicyVerdict, SimulateParam, SimulatedChange},
};
use bailiwick_core::{
    Action,
    record::{ActionDecided, Body, Record, Ruling},
    session::State,
};
use bailiwick_gate::{Access, Journal};
use bailiwick_ports::{
    Caller, Described, Explains, PolicyDesk,
    store::{Page, RowKind, RowQuery},
};
use bailiwick_types::{SessionId, StreamId};

/// Sessions of one simulation.
const MAX_SESSIONS: u32 = 1000;
const DEFAULT_SESSIONS: u32 = 100;
/// Actions of one simulation: a few seconds of deciding.
const MAX_ACTIONS: u32 = 100_000;
/// Changes that are listed; the others are counted.
const MAX_CHANGES: usize = 500;
/// Records, and sessions, read at once.
const CHUNK: u32 = 100;
/// Characters of what an action was done to.
const MAX_ABOUT: usize = 200;

pub(crate) async fn simulate(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (SimulateParam, _) = call.json().await?;
    let wanted = param.sessions.unwrap_or(DEFAULT_SESSIONS);
    if !(1..=MAX_SESSIONS).contains(&wanted) {
        let message = format!("`sessions` must be a number from 1 to {MAX_SESSIONS}.");
        return Err(ApiError::invalid("sessions", message));
    }
    let (app, caller) = (&*call.app, &call.caller);
    let desk = &**desk(app)?;
    let draft = desk.draft(&param.text)?;
    let version = desk.current(caller.tenant).await?.version;
    let mut simulation = Simulation { app, caller, desk, draft: &*draft.policy, found: empty(version) };
    simulation.run(wanted).await?;
    ok(simulation.found)
}

fn empty(version: u32) -> PolicySimulation {
    let object = "bailiwick.policy.simulation";
    PolicySimulation { object, version, sessions: 0, actions: 0, changed: 0, complete: true, changes: Vec::new() }
}

struct Simulation<'a> {
    app: &'a App,
    caller: &'a Caller,
    desk: &'a dyn PolicyDesk,
    draft: &'a dyn Explains,
    found: PolicySimulation,
}

impl Simulation<'_> {
    /// Newest session first.
    async fn run(&mut self, wanted: u32) -> Result<(), ApiError> {
        let mut page = Page { limit: CHUNK, descending: true, ..Page::default() };
        loop {
            let query = RowQuery {
                tenant: self.caller.tenant,
                kind: RowKind::Session,
                scope: self.caller.tenant.to_u128(),
                parent: None,
                labels: Vec::new(),
                page: page.clone(),
            };
            let Some((rows, more)) = self.app.options.store.rows(query).await? else { return Ok(()) };
            for row in &rows {
                if self.found.sessions >= wanted || self.found.actions >= MAX_ACTIONS {
                    self.found.complete = false;
                    return Ok(());
                }
                // One that goes away meanwhile is left out.
                let Ok((_, journal)) = self.app.open(self.caller, row.stream.into()).await else { continue };
                self.replay(row.stream, &journal).await?;
                self.found.sessions += 1;
            }
            match rows.last() {
                Some(last) if more => page.after = Some(last.id),
                _ => return Ok(()),
            }
        }
    }

    /// Each action is put before both with the agent as it was at that moment.
    async fn replay(&mut self, stream: StreamId, journal: &Journal) -> Result<(), ApiError> {
        let session = SessionId::from(stream);
        let mut state: Option<State> = None;
        let mut position = 0;
        loop {
            let records = self.app.options.store.records(stream, position, CHUNK).await?;
            let Some(last) = records.last() else { return Ok(()) };
            position = last.position;
            for sealed in &records {
                let record = journal.open_record(sealed)?;
                match (&mut state, &record.body) {
                    (None, Body::SessionCreated(created)) => {
                        state = Some(State::begin(self.caller.tenant, session, record.time, created).0);
                    }
                    (None, _) => return Ok(()),
                    (Some(state), body) => {
                        if let Body::ActionDecided(decided) = body {
                            if self.found.actions >= MAX_ACTIONS {
                                self.found.complete = false;
                                return Ok(());
                            }
                            self.compare(session, state, &record, decided);
                        }
                        state.apply(&record);
                    }
                }
            }
        }
    }

    fn compare(&mut self, session: SessionId, state: &State, record: &Record, decided: &ActionDecided) {
        self.found.actions += 1;
        let label = state.label_of(&decided.arguments);
        let access = self.app.options.handle.gate().access(state, &decided.arguments);
        let sent = state.filled(&decided.arguments);
        let described = Described {
            tenant: self.caller.tenant,
            session,
            principal: &decided.principal,
            agent: &state.agent,
            label: &label,
            said: state.said(),
            action: &decided.arguments,
            connector: access.as_ref().map(Access::facts),
            sent: sent.as_ref(),
            credentials: &decided.credentials,
            at: record.time,
            approved: false,
        };
        let now: PolicyVerdict = self.desk.explain(None, &described).verdict.into();
        let then: PolicyVerdict = self.desk.explain(Some(self.draft), &described).verdict.into();
        if now.decision == then.decision && now.approver == then.approver && now.meters == then.meters {
            return;
        }
        self.found.changed += 1;
        if self.found.changes.len() < MAX_CHANGES {
            self.found.changes.push(SimulatedChange {
                session_id: session.to_string(),
                position: record.position,
                action_id: decided.action.to_string(),
                time: record.time.to_string(),
                operation: decided.arguments.operation().to_owned(),
                about: about(&decided.arguments),
                recorded: recorded(&decided.decision),
                now,
                then,
            });
        }
    }
}

fn recorded(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::Allowed { .. } => "allowed",
        Ruling::Denied { .. } => "denied",
        Ruling::Asked(_) => "asked",
        Ruling::Held { .. } => "held",
    }
}

/// What an action is done to, in a few words.
fn about(action: &Action) -> String {
    let text = match action {
        Action::ModelCall(call) => call.model.clone(),
        Action::CommandRun(run) => run.command.clone(),
        Action::FunctionCall { name, arguments } => format!("{name} {arguments}"),
        other => match serde_json::to_value(other).unwrap_or_default() {
            value if value["path"].is_string() => value["path"].as_str().unwrap_or_default().to_owned(),
            value => value["directory"].as_str().or(value["process"].as_str()).unwrap_or_default().to_owned(),
        },
    };
    text.chars().take(MAX_ABOUT).collect()
}
