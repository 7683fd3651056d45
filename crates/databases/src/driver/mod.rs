//! One connection to one database, under one login. A driver runs exactly the text that it is given and says truly what
//! became of it; what may be run is decided before.

mod guarded;
mod line;
mod mysql;
mod postgres;
mod sqlite;
mod tls;

use crate::config::{Configuration, Server};
use crate::reading::Qualified;
use crate::rows::Rows;
use bailiwick_outbound::Trust;
use bailiwick_types::Secret;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// How long a connection may take to be made.
pub const CONNECT: Duration = Duration::from_secs(10);
/// How much longer than the server's own limit the room waits for its answer.
pub const GRACE: Duration = Duration::from_secs(3);

/// Who signs in.
#[derive(Debug, Clone)]
pub struct Login {
    pub name: String,
    /// A password or token; or a client certificate and its key, in PEM.
    pub secret: Option<Secret>,
}

/// What is run.
#[derive(Debug, Clone)]
pub struct Work {
    pub text: String,
    /// Names that have to be columns.
    pub columns: Vec<Qualified>,
    /// The tables that it changes, in their one spelling.
    pub written: Vec<String>,
    /// It explains a statement: no cursor can be made of it.
    pub explains: bool,
    /// The role to take on first.
    pub role: Option<String>,
    /// The settings to make first.
    pub settings: BTreeMap<String, String>,
    pub time: Duration,
    /// Nothing is known of it: the connection is not used again afterwards.
    pub opaque: bool,
}

/// Why something did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// There is no connection; nothing was sent.
    Unreachable(String),
    /// The database does not know the login or its secret.
    SignIn(String),
    /// The database refused the statement, or gave it up. It changed nothing.
    Refused(String),
    /// The server gave it up at its time-out. It changed nothing.
    TimedOut,
    /// It was to stop. It changed nothing.
    Cancelled,
    /// The connection broke before anything could have been kept.
    Lost(String),
    /// The connection broke while the change was being kept: it may have been.
    Unknown(String),
}

/// A connection of any kind.
pub enum Connection {
    Postgres(Box<postgres::Connection>),
    Mysql(Box<mysql::Connection>),
    Sqlite(sqlite::Connection),
}

impl Connection {
    pub async fn open(configuration: &Configuration, login: &Login, trust: &Trust) -> Result<Self, Trouble> {
        match &configuration.server {
            Server::Postgres { host, port, database, tls } => {
                let row_bytes = configuration.limits.row_bytes;
                let opened =
                    postgres::Connection::open((host, *port), database, (tls, trust), login, row_bytes).await?;
                Ok(Self::Postgres(Box::new(opened)))
            }
            Server::Mysql { host, port, database, tls } => {
                let row_bytes = configuration.limits.row_bytes;
                let opened = mysql::Connection::open((host, *port), database, (tls, trust), login, row_bytes).await?;
                Ok(Self::Mysql(Box::new(opened)))
            }
            Server::Sqlite { path } => Ok(Self::Sqlite(sqlite::Connection::new(path, configuration.limits.row_bytes))),
        }
    }

    /// Runs a statement that must not change anything, and lets the server see to it.
    pub async fn read(&mut self, work: &Work, rows: Rows, stop: impl Future<Output = ()>) -> Result<Rows, Trouble> {
        match self {
            Self::Postgres(connection) => connection.read(work, rows, stop).await,
            Self::Mysql(connection) => connection.read(work, rows, stop).await,
            Self::Sqlite(connection) => connection.read(work, rows, stop).await,
        }
    }

    /// Runs a statement that changes something, and keeps the change. How many rows it touched.
    pub async fn write(
        &mut self,
        work: &Work,
        rows: Rows,
        stop: impl Future<Output = ()>,
    ) -> Result<(Rows, u64), Trouble> {
        match self {
            Self::Postgres(connection) => connection.write(work, rows, stop).await,
            Self::Mysql(connection) => connection.write(work, rows, stop).await,
            Self::Sqlite(_) => Err(Trouble::Refused("this kind of database is only read".to_owned())),
        }
    }

    /// Whether it may be used for another statement of the same login.
    pub fn is_clean(&self) -> bool {
        match self {
            Self::Postgres(connection) => connection.is_clean(),
            Self::Mysql(connection) => connection.is_clean(),
            Self::Sqlite(_) => true,
        }
    }

    /// Whether table names have two spellings on this server, so that only lower case is taken.
    pub fn folds_tables(&self) -> bool {
        matches!(self, Self::Mysql(connection) if connection.folds_tables())
    }
}
