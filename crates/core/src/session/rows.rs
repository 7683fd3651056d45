//! Which derived rows a change writes, as data.

use crate::item::{ApprovalView, ArtifactView, Change, Item, SessionView, TurnView};
use bailiwick_types::{SessionId, TenantId};

/// The label under which a session's row names the person whose it is.
pub const OWNER_LABEL: &str = "bailiwick.owner";
/// Its value for the sessions of programs.
pub const PROGRAMS: &str = "programs";
/// The label under which the row of a session that a program began for a person names the program.
pub const PROGRAM_LABEL: &str = "bailiwick.program";

/// What a projection row says, before it is sealed.
#[derive(Debug, Clone, PartialEq)]
pub enum RowBody {
    Session(Box<SessionView>),
    Turn(TurnView),
    Item(Item),
    Artifact(ArtifactView),
    Approval(Box<ApprovalView>),
    /// There is nothing to answer any more.
    ApprovalRemoved,
    /// The session's row goes.
    SessionRemoved,
    /// An artifact's row goes.
    ArtifactRemoved,
}

/// A row with the columns that lists are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct RowData {
    pub id: u128,
    pub scope: u128,
    pub parent: u128,
    pub ordinal: i64,
    pub labels: Vec<(String, String)>,
    pub body: RowBody,
}

/// The rows that `changes` write, in order; of several writes of one row only the last counts.
pub fn rows(tenant: TenantId, session: SessionId, changes: &[Change]) -> Vec<RowData> {
    let mut rows: Vec<RowData> = Vec::new();
    for change in changes {
        for row in rows_of(tenant, session, change) {
            match rows.iter_mut().find(|earlier| earlier.id == row.id && same_table(&earlier.body, &row.body)) {
                Some(earlier) => *earlier = row,
                None => rows.push(row),
            }
        }
    }
    rows
}

fn rows_of(tenant: TenantId, session: SessionId, change: &Change) -> Vec<RowData> {
    let scope = session.to_u128();
    match change {
        Change::SessionCreated(view) | Change::SessionUpdated(view) | Change::SessionStatus(view) => vec![RowData {
            id: scope,
            scope: tenant.to_u128(),
            parent: view.agent.id.to_u128(),
            // That of its id, and not the moment of its record, which may be a later one: so the order of ids is the
            // order of the list, also among sessions that were begun in the same millisecond.
            ordinal: session.made_at().as_millis(),
            labels: labels(view),
            body: RowBody::Session(view.clone()),
        }],
        Change::SessionDeleted => vec![RowData {
            id: scope,
            scope: tenant.to_u128(),
            parent: 0,
            ordinal: 0,
            labels: Vec::new(),
            body: RowBody::SessionRemoved,
        }],
        Change::TurnCreated(turn)
        | Change::TurnInProgress(turn)
        | Change::TurnUpdated(turn)
        | Change::TurnEnded(turn) => {
            vec![RowData {
                id: turn.id.to_u128(),
                scope,
                parent: 0,
                ordinal: turn.ordinal,
                labels: Vec::new(),
                body: RowBody::Turn(turn.clone()),
            }]
        }
        Change::ItemAdded(item) | Change::ItemDone(item) => vec![RowData {
            id: item.id.to_u128(),
            scope,
            parent: item.turn.to_u128(),
            ordinal: item.ordinal,
            labels: Vec::new(),
            body: RowBody::Item(item.clone()),
        }],
        Change::Artifacts(artifacts) => artifacts
            .iter()
            .map(|artifact| RowData {
                id: artifact.file.id.to_u128(),
                scope,
                parent: artifact.turn.to_u128(),
                ordinal: artifact.created.as_millis(),
                labels: Vec::new(),
                body: RowBody::Artifact(artifact.clone()),
            })
            .collect(),
        Change::ArtifactRemoved(artifact) => vec![RowData {
            id: artifact.to_u128(),
            scope,
            parent: 0,
            ordinal: 0,
            labels: Vec::new(),
            body: RowBody::ArtifactRemoved,
        }],
        // Under the tenant: people have one list of all that waits for them.
        Change::ApprovalAsked(view) => vec![RowData {
            id: view.action.to_u128(),
            scope: tenant.to_u128(),
            parent: scope,
            ordinal: view.asked.as_millis(),
            labels: Vec::new(),
            body: RowBody::Approval(view.clone()),
        }],
        Change::ApprovalEnded(action) => vec![RowData {
            id: action.to_u128(),
            scope: tenant.to_u128(),
            parent: scope,
            ordinal: 0,
            labels: Vec::new(),
            body: RowBody::ApprovalRemoved,
        }],
        // What was booked goes into tables of its own (`Append::balances`, `Append::spend`).
        Change::Environment { .. } | Change::Errand { .. } | Change::Booked(_) => Vec::new(),
    }
}

/// What a session is found by: its metadata, and whose it is.
fn labels(view: &SessionView) -> Vec<(String, String)> {
    let metadata = view.metadata.iter().map(|(key, value)| (key.clone(), value.clone()));
    let owner = view.creator.person().map_or_else(|| PROGRAMS.to_owned(), |person| person.to_string());
    let program = view.creator.grant().and(view.creator.key()).map(|key| (PROGRAM_LABEL.to_owned(), key.to_string()));
    let ours = [(OWNER_LABEL.to_owned(), owner)].into_iter().chain(program);
    metadata.filter(|(key, _)| key != OWNER_LABEL && key != PROGRAM_LABEL).chain(ours).collect()
}

fn same_table(a: &RowBody, b: &RowBody) -> bool {
    use RowBody::{Approval, ApprovalRemoved, Artifact, ArtifactRemoved, Item, Session, SessionRemoved, Turn};
    matches!(
        (a, b),
        (Session(_) | SessionRemoved, Session(_) | SessionRemoved)
            | (Turn(_), Turn(_))
            | (Item(_), Item(_))
            | (Approval(_) | ApprovalRemoved, Approval(_) | ApprovalRemoved)
            | (Artifact(_) | ArtifactRemoved, Artifact(_) | ArtifactRemoved)
    )
}
