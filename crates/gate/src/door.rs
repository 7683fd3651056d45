//! Where executors come in that dial us, instead of being dialled.

use async_trait::async_trait;
use bailiwick_types::{EnvironmentId, SessionId};
use tokio::sync::mpsc;

/// An open connection to an executor: one text frame, one message. Either end closes it by dropping its half.
#[derive(Debug)]
pub struct ExecutorLine {
    pub incoming: mpsc::Receiver<String>,
    pub outgoing: mpsc::Sender<String>,
}

/// Takes executors that have dialled in and proven that they belong to an environment.
#[async_trait]
pub trait ExecutorDoor: Send + Sync {
    /// Hands the connection to whoever acts in this environment; a newer one takes the place of an older one.
    async fn attach(&self, session: SessionId, environment: EnvironmentId, line: ExecutorLine);
}
