//! The rooms that reach a company's systems, each for its kinds of connectors.

use async_trait::async_trait;
use bailiwick_core::{
    ConnectorKind, Failure, FailureCode, Outcome,
    connector::{Dialect, NoStatements, Reading, StatementReader},
};
use bailiwick_gate::{Live, Permit, Settled, Tools};
use bailiwick_ports::{CheckedSettings, Clock, ConnectorRooms, SettingsProblem};
use bailiwick_types::SessionId;
use serde_json::Value;
use std::sync::Arc;

/// A room: it says what its settings mean, and performs what a permit for one of its connectors lets through.
pub(super) trait Room: Tools + ConnectorRooms {}

impl<R: Tools + ConnectorRooms> Room for R {}

/// All rooms, by the kind of connector that they are for.
pub(super) struct Systems {
    clock: Arc<dyn Clock>,
    rooms: Vec<(ConnectorKind, Arc<dyn Room>)>,
}

impl Systems {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, rooms: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, kinds: &[ConnectorKind], room: Arc<dyn Room>) -> Self {
        self.rooms.extend(kinds.iter().map(|kind| (*kind, Arc::clone(&room))));
        self
    }

    fn room(&self, kind: ConnectorKind) -> Option<&Arc<dyn Room>> {
        self.rooms.iter().find(|(known, _)| *known == kind).map(|(_, room)| room)
    }
}

fn missing(kind: Option<ConnectorKind>) -> String {
    let kind = kind.map_or("unknown", ConnectorKind::name);
    format!("this version of the server cannot reach connectors of kind `{kind}`")
}

#[async_trait]
impl Tools for Systems {
    async fn perform(&self, permit: Permit, live: Live) -> Settled {
        let kind = permit.access().map(|access| access.spec.kind);
        match kind.and_then(|kind| self.room(kind)) {
            Some(room) => room.perform(permit, live).await,
            // It is opened, so that it fails and is not asked for again.
            None => match permit.open(&*self.clock) {
                Ok(opened) => {
                    let failure = Failure::new(FailureCode::InvalidRequest, missing(kind));
                    opened.settle(Outcome::Failed { failure })
                }
                Err(settled) => settled,
            },
        }
    }

    fn statements(&self) -> &dyn StatementReader {
        self
    }

    async fn close(&self, session: SessionId) {
        for (_, room) in &self.rooms {
            room.close(session).await;
        }
    }
}

impl StatementReader for Systems {
    fn read(&self, dialect: Dialect, statement: &str) -> Result<Reading, String> {
        match self.room(ConnectorKind::Database) {
            Some(room) => room.statements().read(dialect, statement),
            None => NoStatements.read(dialect, statement),
        }
    }
}

impl ConnectorRooms for Systems {
    fn check(&self, kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
        match self.room(kind) {
            Some(room) => room.check(kind, settings),
            None => Err(SettingsProblem::new("", format!("cannot be used: {}", missing(Some(kind))))),
        }
    }
}
