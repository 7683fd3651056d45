//! The operations of an environment over its executor, with plain data in and out.

mod command;
mod files;
mod search;

pub use command::{Command, CommandError, CommandRequest, End, Polled, Report};
pub use files::{Lines, Listed};
pub use search::{Hits, SearchRequest};

use crate::{client::ExecutorClient, error::ExecutorError};
use bailiwick_executor_protocol::FileUri;
use bailiwick_types::Millis;
use command::Background;
use std::{collections::BTreeMap, future::Future};

/// What acts in one environment, for as long as its executor's session lives.
pub struct Hands {
    client: ExecutorClient,
    /// The variables of every command.
    environment: BTreeMap<String, String>,
    background: Background,
}

impl Hands {
    pub fn new(client: ExecutorClient, environment: BTreeMap<String, String>) -> Self {
        Self { client, environment, background: Background::default() }
    }

    pub fn client(&self) -> &ExecutorClient {
        &self.client
    }

    /// The executor's session.
    pub fn session_id(&self) -> Option<String> {
        self.client.session().map(|session| session.id)
    }

    /// Waits for `work`, but not longer than `span`.
    async fn within<T>(&self, span: Millis, work: impl Future<Output = T>) -> Option<T> {
        let clock = self.client.clock();
        tokio::select! {
            done = work => Some(done),
            () = clock.sleep_until(clock.now() + span) => None,
        }
    }
}

fn uri(path: &str) -> Result<FileUri, ExecutorError> {
    FileUri::from_path(path).map_err(|error| ExecutorError::TooLarge(format!("`{path}`: {error}")))
}
