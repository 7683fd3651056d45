//! Processes. A process has a number for each of its events, counted from 1 over output, exit and close; the events
//! may arrive in another order than their numbers (the stock executor was seen to send `exited` before output).

use crate::{Chunk, Empty, FileUri, Method, Notice};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $params:ty => $result:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;
        impl Method for $name {
            const NAME: &'static str = $wire;
            type Params = $params;
            type Result = $result;
        }
    )*};
}
pub(crate) use methods;

methods! {
    /// Starts a process. An id that was used before, running or ended, is refused: `process ID already exists`.
    ProcessStart = "process/start", ProcessStartParams => ProcessStarted;
    /// Reads kept output and the state. The stock executor answers nothing else on the connection while it waits.
    ProcessRead = "process/read", ProcessReadParams => ProcessReadResult;
    ProcessWrite = "process/write", ProcessWriteParams => Written;
    /// Signals the process group.
    ProcessSignal = "process/signal", SignalParams => Empty;
    /// Kills the process group at once (exit code 137).
    ProcessTerminate = "process/terminate", ProcessParams => Terminated;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessStartParams {
    /// Chosen by the client.
    pub process_id: String,
    /// The program, looked for in the executor's own `PATH` when it holds no slash, and its arguments.
    pub argv: Vec<String>,
    pub cwd: FileUri,
    /// The whole environment: nothing is inherited.
    pub env: BTreeMap<String, String>,
    pub tty: bool,
    /// Keeps standard input open for `process/write`; else it is `/dev/null`.
    #[serde(default)]
    pub pipe_stdin: bool,
    /// What the program sees as its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arg0: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessStarted {
    pub process_id: String,
    /// The sandbox that the executor itself put around the process: `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessReadParams {
    pub process_id: String,
    /// Only events after this one; 0 or nothing for all that are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<u64>,
    /// Stops before the chunk that would exceed this, but gives at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<usize>,
    /// How long to wait when there is nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessReadResult {
    pub chunks: Vec<OutputChunk>,
    /// One more than the number of the newest event that this answer covers.
    pub next_seq: u64,
    pub exited: bool,
    pub exit_code: Option<i32>,
    /// It exited, and nobody holds its output open any more.
    pub closed: bool,
    #[serde(default)]
    pub failure: Option<String>,
    #[serde(default)]
    pub sandbox_denied: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputChunk {
    pub seq: u64,
    pub stream: OutputStream,
    pub chunk: Chunk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OutputStream {
    Stdout,
    Stderr,
    Pty,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessWriteParams {
    pub process_id: String,
    pub chunk: Chunk,
    /// A second write with the id of an earlier one is accepted and not written again.
    pub write_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub status: WriteStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WriteStatus {
    Accepted,
    UnknownProcess,
    StdinClosed,
    Starting,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalParams {
    pub process_id: String,
    pub signal: Signal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Signal {
    /// SIGINT; the only one that the stock executor knows.
    Interrupt,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessParams {
    pub process_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminated {
    /// Whether it ran until now; `false` also when there is no such process.
    pub running: bool,
}

/// Output, as it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessOutput {
    pub process_id: String,
    pub seq: u64,
    pub stream: OutputStream,
    pub chunk: Chunk,
}

impl Notice for ProcessOutput {
    const NAME: &'static str = "process/output";
}

/// The process itself is gone; its output may still be held open by a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessExited {
    pub process_id: String,
    pub seq: u64,
    /// 128 and the signal's number when a signal ended it.
    pub exit_code: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_denied: Option<bool>,
}

impl Notice for ProcessExited {
    const NAME: &'static str = "process/exited";
}

/// It exited, and its output is at its end. The last event of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessClosed {
    pub process_id: String,
    pub seq: u64,
}

impl Notice for ProcessClosed {
    const NAME: &'static str = "process/closed";
}
