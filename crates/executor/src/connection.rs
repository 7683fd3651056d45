//! One WebSocket connection: reads requests, answers them, and carries notifications.

use crate::{
    files::Files,
    processes::Outgoing,
    sessions::{Session, Sessions},
};
use bailiwick_executor_protocol as protocol;
use futures_util::{SinkExt, StreamExt};
use protocol::{Initialized, MAX_FRAME_BYTES, Message, Method, Notice, RequestId, RpcError, code};
use serde_json::value::RawValue;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
};
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::WebSocketConfig};

/// One client is normal, a second while it reconnects.
const MAX_CONNECTIONS: usize = 8;
/// Requests of one connection that are worked on at once.
const MAX_REQUESTS: usize = 64;
const MAX_QUEUED_FRAMES: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (no file handles left), how long to let others give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers connections until the executor is killed.
pub async fn serve(listener: UnixListener, sessions: Arc<Sessions>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                let sessions = Arc::clone(&sessions);
                tokio::spawn(async move {
                    connection(stream, sessions).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: UnixStream, sessions: Arc<Sessions>) {
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_FRAME_BYTES)).max_frame_size(Some(MAX_FRAME_BYTES));
    let handshake = tokio_tungstenite::accept_async_with_config(stream, Some(config));
    let Ok(Ok(socket)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
    let (mut sink, mut frames) = socket.split();
    let (outgoing, mut queue) = mpsc::channel::<String>(MAX_QUEUED_FRAMES);
    let writer = tokio::spawn(async move {
        while let Some(frame) = queue.recv().await {
            if sink.send(Frame::text(frame)).await.is_err() {
                return;
            }
        }
    });
    let mut client = Client {
        number: sessions.connection(),
        session: None,
        ready: false,
        files: Arc::new(Files::default()),
        places: Arc::new(Semaphore::new(MAX_REQUESTS)),
        outgoing,
        sessions,
    };
    while let Some(Ok(frame)) = frames.next().await {
        let keep = match frame {
            Frame::Text(text) => client.take(text.as_str()).await,
            Frame::Close(_) => false,
            // The library answers pings by itself.
            _ => true,
        };
        if !keep {
            break;
        }
    }
    if let Some(session) = &client.session {
        client.sessions.detach(session, client.number);
    }
    drop(client);
    writer.abort();
}

struct Client {
    number: u64,
    session: Option<Arc<Session>>,
    /// Whether `initialized` was said.
    ready: bool,
    files: Arc<Files>,
    places: Arc<Semaphore>,
    outgoing: Outgoing,
    sessions: Arc<Sessions>,
}

impl Client {
    /// Takes one frame; `false` ends the connection.
    async fn take(&mut self, text: &str) -> bool {
        match Message::decode(text) {
            Ok(Message::Request { id, method, params }) => self.request(id, method, params).await,
            Ok(Message::Notification { method, .. }) if method == Initialized::NAME && self.session.is_some() => {
                self.ready = true;
                true
            }
            Ok(_) => false,
            Err(error) => {
                let refusal: Result<protocol::Empty, _> =
                    Err(RpcError::new(code::INVALID_REQUEST, format!("not a message: {error}")));
                self.outgoing.send(protocol::response(&RequestId::Number(-1), &refusal)).await.is_ok()
            }
        }
    }

    async fn request(&mut self, id: RequestId, method: String, params: Option<Box<RawValue>>) -> bool {
        if method == protocol::Initialize::NAME {
            let answer = self.initialize(params.as_deref());
            return self.outgoing.send(protocol::response(&id, &answer)).await.is_ok();
        }
        let session = match (&self.session, self.ready) {
            (Some(session), true) => Arc::clone(session),
            _ => {
                let message = "the client must call `initialize` and send `initialized` first";
                let refusal: Result<protocol::Empty, _> = Err(RpcError::new(code::INVALID_REQUEST, message));
                return self.outgoing.send(protocol::response(&id, &refusal)).await.is_ok();
            }
        };
        // Waits here when too many are worked on, so that a flood fills the socket and not the memory.
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return false };
        let work = Work { session, files: Arc::clone(&self.files), sessions: Arc::clone(&self.sessions) };
        let outgoing = self.outgoing.clone();
        tokio::spawn(async move {
            let frame = work.answer(&id, &method, params.as_deref()).await;
            let _ = outgoing.send(frame).await;
            drop(place);
        });
        true
    }

    fn initialize(&mut self, params: Option<&RawValue>) -> Result<protocol::InitializeResult, RpcError> {
        if self.session.is_some() {
            return Err(RpcError::new(code::INVALID_REQUEST, "initialize may only be sent once per connection"));
        }
        let params = decode(params)?;
        let (session, result) = self.sessions.attach(&params, self.number, self.outgoing.clone())?;
        self.session = Some(session);
        Ok(result)
    }
}

fn decode<P: serde::de::DeserializeOwned>(params: Option<&RawValue>) -> Result<P, RpcError> {
    serde_json::from_str(params.map_or("{}", RawValue::get))
        .map_err(|error| RpcError::new(code::INVALID_PARAMS, error.to_string()))
}

/// What one request needs.
struct Work {
    session: Arc<Session>,
    files: Arc<Files>,
    sessions: Arc<Sessions>,
}

impl Work {
    async fn answer(&self, id: &RequestId, method: &str, params: Option<&RawValue>) -> String {
        use protocol::{
            FsCanonicalize, FsClose, FsCopy, FsCreateDirectory, FsGetMetadata, FsOpen, FsReadBlock, FsReadDirectory,
            FsReadFile, FsRemove, FsWalk, FsWriteBlock, FsWriteFile, GetEnvironmentInfo, ProcessRead, ProcessSignal,
            ProcessStart, ProcessTerminate, ProcessWrite,
        };
        let processes = &self.session.processes;
        match method {
            ProcessStart::NAME => now::<ProcessStart>(id, params, |params| processes.start(&params)),
            ProcessRead::NAME => match decode(params) {
                Ok(params) => protocol::response(id, &processes.read(params).await),
                Err(error) => refuse(id, error),
            },
            ProcessWrite::NAME => now::<ProcessWrite>(id, params, |params| processes.write(params)),
            ProcessSignal::NAME => now::<ProcessSignal>(id, params, |params| processes.interrupt(&params.process_id)),
            ProcessTerminate::NAME => {
                now::<ProcessTerminate>(id, params, |params| Ok(processes.terminate(&params.process_id)))
            }
            GetEnvironmentInfo::NAME => now::<GetEnvironmentInfo>(id, params, |_| Ok(self.sessions.environment())),
            FsReadFile::NAME => self.file::<FsReadFile>(id, params, |_, params| crate::files::read(&params)).await,
            FsWriteFile::NAME => self.file::<FsWriteFile>(id, params, |_, params| crate::files::write(&params)).await,
            FsOpen::NAME => self.file::<FsOpen>(id, params, |files, params| files.open(&params)).await,
            FsReadBlock::NAME => self.file::<FsReadBlock>(id, params, |files, params| files.read_block(&params)).await,
            FsWriteBlock::NAME => {
                self.file::<FsWriteBlock>(id, params, |files, params| files.write_block(&params)).await
            }
            FsClose::NAME => self.file::<FsClose>(id, params, |files, params| Ok(files.close(&params))).await,
            FsCreateDirectory::NAME => {
                self.file::<FsCreateDirectory>(id, params, |_, params| crate::files::create_directory(&params)).await
            }
            FsGetMetadata::NAME => {
                self.file::<FsGetMetadata>(id, params, |_, params| crate::files::metadata(&params)).await
            }
            FsCanonicalize::NAME => {
                self.file::<FsCanonicalize>(id, params, |_, params| crate::files::canonicalize(&params)).await
            }
            FsReadDirectory::NAME => {
                self.file::<FsReadDirectory>(id, params, |_, params| crate::files::read_directory(&params)).await
            }
            FsWalk::NAME => self.file::<FsWalk>(id, params, |_, params| crate::files::walk(&params)).await,
            FsRemove::NAME => self.file::<FsRemove>(id, params, |_, params| crate::files::remove(&params)).await,
            FsCopy::NAME => self.file::<FsCopy>(id, params, |_, params| crate::files::copy(&params)).await,
            other => refuse(id, RpcError::new(code::METHOD_NOT_FOUND, format!("there is no method `{other}`"))),
        }
    }

    /// Performs a method that may block on the disk.
    async fn file<M: Method>(
        &self,
        id: &RequestId,
        params: Option<&RawValue>,
        perform: impl FnOnce(&Files, M::Params) -> Result<M::Result, RpcError> + Send + 'static,
    ) -> String
    where
        M::Params: 'static,
        M::Result: 'static,
    {
        let params = match decode::<M::Params>(params) {
            Ok(params) => params,
            Err(error) => return refuse(id, error),
        };
        let files = Arc::clone(&self.files);
        let result = tokio::task::spawn_blocking(move || perform(&files, params)).await;
        protocol::response(id, &result.unwrap_or_else(|error| Err(RpcError::new(code::INTERNAL, error.to_string()))))
    }
}

/// Performs a method that does not wait.
fn now<M: Method>(
    id: &RequestId,
    params: Option<&RawValue>,
    perform: impl FnOnce(M::Params) -> Result<M::Result, RpcError>,
) -> String {
    protocol::response(id, &decode(params).and_then(perform))
}

fn refuse(id: &RequestId, error: RpcError) -> String {
    protocol::response::<protocol::Empty>(id, &Err(error))
}
