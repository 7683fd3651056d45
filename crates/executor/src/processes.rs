//! The processes of one session: what they printed, how they ended.

use crate::{
    reaper::Reaper,
    spawn::{self, Spawned},
    tree::{self, Badness},
};
use bailiwick_executor_protocol::{
    Chunk, Empty, MAX_PROCESS_ID_BYTES, OutputChunk, OutputStream, ProcessClosed, ProcessExited, ProcessOutput,
    ProcessReadParams, ProcessReadResult, ProcessStartParams, ProcessStarted, ProcessWriteParams,
    RETAINED_OUTPUT_BYTES, RpcError, Terminated, WriteStatus, Written, code, notification,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::{Receiver, Sender},
    sync::{Notify, mpsc},
    time::Instant,
};

/// Process ids are remembered for ever, so their number is bounded.
const MAX_PROCESSES: usize = 100_000;
const MAX_RUNNING: usize = 256;
/// Of processes that ended, this much output is kept in all; the longest ended lose theirs first, never their end.
const MAX_ENDED_OUTPUT_BYTES: usize = 32 * 1024 * 1024;
const MAX_WAIT: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 16 * 1024;
const MAX_QUEUED_WRITES: usize = 64;
/// How many write ids a process remembers in order not to write twice.
const MAX_WRITE_IDS: usize = 4096;

/// Where notifications go while a client is attached.
pub type Outgoing = mpsc::Sender<String>;

/// All processes that were ever started in one session.
#[derive(Debug)]
pub struct Processes {
    reaper: Reaper,
    badness: Badness,
    table: Mutex<Table>,
    client: Mutex<Option<Outgoing>>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<String, Arc<Process>>,
    running: usize,
    ended: VecDeque<Arc<Process>>,
    ended_bytes: usize,
}

#[derive(Debug)]
struct Process {
    id: String,
    state: Mutex<State>,
    changed: Notify,
    /// Held while an event is numbered and sent, so that events leave in the order of their numbers.
    order: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` until it runs, and when it could not be started.
    pid: Option<i32>,
    input: Option<mpsc::Sender<Vec<u8>>>,
    write_ids: VecDeque<String>,
    output: VecDeque<OutputChunk>,
    output_bytes: usize,
    last_seq: u64,
    open_streams: u8,
    exit_code: Option<i32>,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown(id: &str) -> RpcError {
    RpcError::new(code::INVALID_REQUEST, format!("unknown process id {id}"))
}

impl Processes {
    pub fn new(reaper: Reaper, badness: Badness) -> Self {
        Self { reaper, badness, table: Mutex::default(), client: Mutex::default() }
    }

    /// Says where notifications go from now on.
    pub fn attach(&self, client: Option<Outgoing>) {
        *lock(&self.client) = client;
    }

    pub fn start(self: &Arc<Self>, params: &ProcessStartParams) -> Result<ProcessStarted, RpcError> {
        let cwd = spawn::check(params)?;
        let process = self.take_id(&params.process_id)?;
        match spawn::spawn(&self.reaper, &self.badness, params, &cwd) {
            Ok(spawned) => self.run(process, spawned),
            Err(error) => {
                let mut table = lock(&self.table);
                table.by_id.remove(&params.process_id);
                table.running -= 1;
                return Err(error);
            }
        }
        Ok(ProcessStarted { process_id: params.process_id.clone(), sandbox_type: Some("none".to_owned()) })
    }

    fn take_id(&self, id: &str) -> Result<Arc<Process>, RpcError> {
        if id.is_empty() || id.len() > MAX_PROCESS_ID_BYTES {
            let message = format!("`processId` must have 1 to {MAX_PROCESS_ID_BYTES} bytes");
            return Err(RpcError::new(code::INVALID_PARAMS, message));
        }
        let refuse = |message: String| Err(RpcError::new(code::INVALID_REQUEST, message));
        let mut table = lock(&self.table);
        if table.by_id.contains_key(id) {
            return refuse(format!("process {id} already exists"));
        }
        if table.running >= MAX_RUNNING {
            return refuse(format!("{MAX_RUNNING} processes are running: stop one first"));
        }
        if table.by_id.len() >= MAX_PROCESSES {
            return refuse(format!("{MAX_PROCESSES} processes were started in this session, which is all it can do"));
        }
        let process = Arc::new(Process {
            id: id.to_owned(),
            state: Mutex::new(State { open_streams: 2, ..State::default() }),
            changed: Notify::new(),
            order: tokio::sync::Mutex::default(),
        });
        table.by_id.insert(id.to_owned(), Arc::clone(&process));
        table.running += 1;
        Ok(process)
    }

    fn run(self: &Arc<Self>, process: Arc<Process>, spawned: Spawned) {
        let Spawned { pid, stdin, stdout, stderr, ended } = spawned;
        {
            let mut state = lock(&process.state);
            state.pid = Some(pid);
            state.input = stdin.map(|stdin| {
                let (sender, receiver) = mpsc::channel(MAX_QUEUED_WRITES);
                tokio::spawn(write_input(stdin, receiver));
                sender
            });
        }
        tokio::spawn(Arc::clone(self).read_output(Arc::clone(&process), OutputStream::Stdout, stdout));
        tokio::spawn(Arc::clone(self).read_output(Arc::clone(&process), OutputStream::Stderr, stderr));
        let processes = Arc::clone(self);
        tokio::spawn(async move {
            // The reaper drops the sender only with the whole executor.
            let exit_code = ended.await.unwrap_or(-1);
            processes.exited(&process, exit_code).await;
        });
    }

    async fn read_output(self: Arc<Self>, process: Arc<Process>, stream: OutputStream, mut pipe: Receiver) {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            let order = process.order.lock().await;
            let chunk = Chunk(buffer[..count].to_vec());
            let seq = {
                let mut state = lock(&process.state);
                state.last_seq += 1;
                let seq = state.last_seq;
                state.output_bytes += count;
                state.output.push_back(OutputChunk { seq, stream, chunk: chunk.clone() });
                while state.output_bytes > RETAINED_OUTPUT_BYTES {
                    let Some(oldest) = state.output.pop_front() else { break };
                    state.output_bytes -= oldest.chunk.0.len();
                }
                seq
            };
            process.changed.notify_waiters();
            self.tell(|| notification(&ProcessOutput { process_id: process.id.clone(), seq, stream, chunk })).await;
            drop(order);
        }
        lock(&process.state).open_streams -= 1;
        self.close_if_over(&process).await;
    }

    async fn exited(&self, process: &Arc<Process>, exit_code: i32) {
        {
            let _order = process.order.lock().await;
            let seq = {
                let mut state = lock(&process.state);
                state.last_seq += 1;
                state.exit_code = Some(exit_code);
                state.input = None;
                state.last_seq
            };
            process.changed.notify_waiters();
            let exited = ProcessExited { process_id: process.id.clone(), seq, exit_code, sandbox_denied: Some(false) };
            self.tell(|| notification(&exited)).await;
        }
        self.close_if_over(process).await;
    }

    async fn close_if_over(&self, process: &Arc<Process>) {
        let _order = process.order.lock().await;
        let seq = {
            let mut state = lock(&process.state);
            if state.closed || state.open_streams != 0 || state.exit_code.is_none() {
                return;
            }
            state.closed = true;
            state.last_seq += 1;
            state.last_seq
        };
        process.changed.notify_waiters();
        self.remember_ended(process);
        self.tell(|| notification(&ProcessClosed { process_id: process.id.clone(), seq })).await;
    }

    fn remember_ended(&self, process: &Arc<Process>) {
        let bytes = lock(&process.state).output_bytes;
        let mut table = lock(&self.table);
        table.running -= 1;
        table.ended_bytes += bytes;
        table.ended.push_back(Arc::clone(process));
        while table.ended_bytes > MAX_ENDED_OUTPUT_BYTES {
            let Some(oldest) = table.ended.pop_front() else { break };
            let mut state = lock(&oldest.state);
            table.ended_bytes -= state.output_bytes;
            state.output_bytes = 0;
            state.output = VecDeque::new();
        }
    }

    async fn tell(&self, frame: impl FnOnce() -> String) {
        let client = lock(&self.client).clone();
        if let Some(client) = client {
            // A client that is gone reads it later by its number.
            let _ = client.send(frame()).await;
        }
    }

    fn find(&self, id: &str) -> Option<Arc<Process>> {
        lock(&self.table).by_id.get(id).cloned()
    }

    pub async fn read(&self, params: ProcessReadParams) -> Result<ProcessReadResult, RpcError> {
        let process = self.find(&params.process_id).ok_or_else(|| unknown(&params.process_id))?;
        let after = params.after_seq.unwrap_or(0);
        let wait = Duration::from_millis(params.wait_ms.unwrap_or(0)).min(MAX_WAIT);
        let deadline = Instant::now() + wait;
        loop {
            let changed = process.changed.notified();
            let answer = lock(&process.state).read(after, params.max_bytes.unwrap_or(usize::MAX));
            let news = !answer.chunks.is_empty() || answer.closed || (answer.exited && answer.next_seq > after + 1);
            if news || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(answer);
            }
        }
    }

    pub fn write(&self, params: ProcessWriteParams) -> Result<Written, RpcError> {
        let Some(process) = self.find(&params.process_id) else {
            return Ok(Written { status: WriteStatus::UnknownProcess });
        };
        let mut state = lock(&process.state);
        if state.write_ids.contains(&params.write_id) {
            return Ok(Written { status: WriteStatus::Accepted });
        }
        let Some(input) = &state.input else { return Ok(Written { status: WriteStatus::StdinClosed }) };
        match input.try_send(params.chunk.0) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return Ok(Written { status: WriteStatus::StdinClosed }),
            Err(mpsc::error::TrySendError::Full(_)) => {
                let message = "the process does not read its input: nothing was written, try again later";
                return Err(RpcError::new(code::INTERNAL, message));
            }
        }
        if state.write_ids.len() == MAX_WRITE_IDS {
            state.write_ids.pop_front();
        }
        state.write_ids.push_back(params.write_id);
        Ok(Written { status: WriteStatus::Accepted })
    }

    pub fn interrupt(&self, id: &str) -> Result<Empty, RpcError> {
        let process = self.find(id).ok_or_else(|| unknown(id))?;
        let state = lock(&process.state);
        if let (Some(pid), None) = (state.pid, state.exit_code) {
            tree::interrupt(pid);
        }
        Ok(Empty {})
    }

    /// Kills a process and all that it started, also what it left behind when it ended.
    pub fn terminate(&self, id: &str) -> Terminated {
        let Some(process) = self.find(id) else { return Terminated { running: false } };
        let state = lock(&process.state);
        if let (Some(pid), false) = (state.pid, state.closed) {
            // While its output is open its number may not be taken by another group: what holds it is in the group,
            // or has left it and is no descendant any more.
            tree::kill(pid);
        }
        Terminated { running: state.pid.is_some() && state.exit_code.is_none() }
    }
}

impl State {
    fn read(&self, after: u64, max_bytes: usize) -> ProcessReadResult {
        let mut chunks = Vec::new();
        let mut bytes = 0;
        let mut next_seq = self.last_seq + 1;
        for chunk in self.output.iter().filter(|chunk| chunk.seq > after) {
            let len = chunk.chunk.0.len();
            if !chunks.is_empty() && bytes + len > max_bytes {
                break;
            }
            bytes += len;
            next_seq = chunk.seq + 1;
            chunks.push(chunk.clone());
        }
        let newest = self.output.back().map_or(0, |chunk| chunk.seq);
        if next_seq > newest {
            next_seq = self.last_seq + 1;
        }
        ProcessReadResult {
            chunks,
            next_seq,
            exited: self.exit_code.is_some(),
            exit_code: self.exit_code,
            closed: self.closed,
            failure: None,
            sandbox_denied: false,
        }
    }
}

async fn write_input(mut pipe: Sender, mut input: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = input.recv().await {
        if pipe.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
