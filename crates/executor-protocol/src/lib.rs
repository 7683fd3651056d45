//! The messages of the executor protocol: what `codex exec-server` 0.169.0 speaks, and our own executor too.
//!
//! JSON-RPC without the `jsonrpc` member, one message per WebSocket text frame. The types were checked against
//! frames that the stock binary sent (`tests/golden`). This room only encodes and decodes: it never does IO, and it
//! never fails on members that it does not know.

mod chunk;
mod files;
mod message;
mod path;
mod process;
mod session;

pub use chunk::Chunk;
pub use files::{
    Canonicalized, CopyParams, DirectoryEntries, DirectoryEntry, DirectoryParams, EntryKind, FileBlock, FileData,
    FsCanonicalize, FsClose, FsCopy, FsCreateDirectory, FsGetMetadata, FsOpen, FsReadBlock, FsReadDirectory,
    FsReadFile, FsRemove, FsWalk, FsWriteBlock, FsWriteFile, HandleParams, Metadata, OpenMode, OpenParams, PathParams,
    ReadBlockParams, RemoveParams, WalkEntry, WalkError, WalkOptions, WalkOutcome, WalkParams, WriteBlockParams,
    WriteFileParams,
};
pub use message::{
    Empty, Message, MessageError, Method, Notice, RequestId, RpcError, code, notification, request, response,
};
pub use path::{FileUri, FileUriError};
pub use process::{
    OutputChunk, OutputStream, ProcessClosed, ProcessExited, ProcessOutput, ProcessParams, ProcessRead,
    ProcessReadParams, ProcessReadResult, ProcessSignal, ProcessStart, ProcessStartParams, ProcessStarted,
    ProcessTerminate, ProcessWrite, ProcessWriteParams, Signal, SignalParams, Terminated, WriteStatus, Written,
};
pub use session::{
    EnvironmentInfo, GetEnvironmentInfo, Initialize, InitializeParams, InitializeResult, Initialized, Shell,
};

/// The longest text frame that either side of ours accepts, in bytes. The stock executor drops the connection above
/// 16 MiB (measured: 10.7 MB pass, 64 MB do not).
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// The longest block that `fs/readBlock` and `fs/writeBlock` take, in bytes, as the stock executor says.
pub const MAX_BLOCK_BYTES: usize = 1024 * 1024;
/// What an executor keeps of a process's output, in bytes: the newest.
pub const RETAINED_OUTPUT_BYTES: usize = 1024 * 1024;
/// The longest process id that we make or take, in bytes.
pub const MAX_PROCESS_ID_BYTES: usize = 256;

/// The hidden first argument with which the server's own binary becomes the executor inside a sandbox.
pub const EXECUTOR_ARGUMENT: &str = "__executor";
/// What our executor calls its version before the version's number, so that a client can tell it from the stock one.
pub const OWN_VERSION_PREFIX: &str = "bailiwick/";
