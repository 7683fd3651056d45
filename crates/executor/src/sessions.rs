//! Sessions: each has processes of its own and at most one client. They stay until the executor ends.

use crate::{
    processes::{Outgoing, Processes},
    reaper::Reaper,
    tree::Badness,
};
use bailiwick_executor_protocol::{
    EnvironmentInfo, FileUri, InitializeParams, InitializeResult, OWN_VERSION_PREFIX, RpcError, Shell, code,
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A client that begins a new session each time is broken; it must not eat the memory of the others.
const MAX_SESSIONS: usize = 64;

/// What the starter of an executor may say.
#[derive(Debug, Clone)]
pub struct Options {
    /// A session that is there from the start.
    pub session: Option<String>,
    /// Said to clients as the folder to work in.
    pub cwd: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { session: None, cwd: "/".into() }
    }
}

/// All sessions of an executor.
#[derive(Debug)]
pub struct Sessions {
    options: Options,
    reaper: Reaper,
    badness: Badness,
    by_id: Mutex<HashMap<String, Arc<Session>>>,
    counter: AtomicU64,
}

#[derive(Debug)]
pub struct Session {
    pub id: String,
    pub processes: Arc<Processes>,
    /// The number of the connection that is attached, if any.
    attached: Mutex<Option<u64>>,
}

impl Sessions {
    pub(crate) fn new(options: Options, reaper: Reaper, badness: Badness) -> Self {
        let sessions = Self { options, reaper, badness, by_id: Mutex::default(), counter: AtomicU64::new(1) };
        if let Some(id) = sessions.options.session.clone() {
            let session = sessions.session(id.clone());
            sessions.lock().insert(id, session);
        }
        sessions
    }

    /// An executor for a process that has other threads and children of its own, as tests have.
    pub fn start(options: Options) -> std::io::Result<Self> {
        Ok(Self::new(options, crate::reaper::start()?, Badness::default()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, id: String) -> Arc<Session> {
        let processes = Arc::new(Processes::new(self.reaper.clone(), self.badness.clone()));
        Arc::new(Session { id, processes, attached: Mutex::default() })
    }

    /// A number for a new connection.
    pub(crate) fn connection(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins a session or takes one up.
    pub(crate) fn attach(
        &self,
        params: &InitializeParams,
        connection: u64,
        client: Outgoing,
    ) -> Result<(Arc<Session>, InitializeResult), RpcError> {
        let mut sessions = self.lock();
        let session = match &params.resume_session_id {
            Some(id) => sessions
                .get(id)
                .cloned()
                .ok_or_else(|| RpcError::new(code::INVALID_REQUEST, format!("unknown session id {id}")))?,
            None if sessions.len() >= MAX_SESSIONS => {
                let message = format!("{MAX_SESSIONS} sessions were begun: take up one of them by `resumeSessionId`");
                return Err(RpcError::new(code::INVALID_REQUEST, message));
            }
            None => {
                // Only this executor's one client can reach it, so the id need not be a secret.
                let id = format!("session-{}-{connection}", std::process::id());
                let session = self.session(id.clone());
                sessions.insert(id, Arc::clone(&session));
                session
            }
        };
        let mut attached = session.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if attached.is_some() {
            let message = format!("session {} is already attached to another connection", session.id);
            return Err(RpcError::new(code::SESSION_ATTACHED, message));
        }
        *attached = Some(connection);
        drop(attached);
        session.processes.attach(Some(client));
        let result = InitializeResult { session_id: session.id.clone(), environment_info: Some(self.environment()) };
        Ok((session, result))
    }

    /// The connection is gone; the session stays.
    pub(crate) fn detach(&self, session: &Session, connection: u64) {
        let mut attached = session.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if *attached == Some(connection) {
            session.processes.attach(None);
            *attached = None;
        }
    }

    pub(crate) fn environment(&self) -> EnvironmentInfo {
        let shell = if std::path::Path::new("/bin/bash").exists() { "bash" } else { "sh" };
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("fileWriteStreaming".into(), true.into());
        EnvironmentInfo {
            shell: Shell { name: shell.into(), path: format!("/bin/{shell}") },
            executor_version: Some(format!("{OWN_VERSION_PREFIX}{}", env!("CARGO_PKG_VERSION"))),
            cwd: FileUri::from_path(&self.options.cwd).ok(),
            user_home_dir: FileUri::from_path(&self.options.cwd).ok(),
            platform_os: Some("linux".into()),
            temp_dir: FileUri::from_path("/tmp").ok(),
            capabilities,
        }
    }
}
