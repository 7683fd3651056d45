//! Files of the executor's machine.

use crate::{Chunk, Empty, FileUri, Method, process::methods};
use serde::{Deserialize, Serialize};

methods! {
    /// Reads a whole file. Larger ones are read by [`FsOpen`] and [`FsReadBlock`].
    FsReadFile = "fs/readFile", PathParams => FileData;
    /// Writes a whole file. Its folder must be there.
    FsWriteFile = "fs/writeFile", WriteFileParams => Empty;
    /// Opens a file under a handle that the client chose. At most 128 are open per connection.
    FsOpen = "fs/open", OpenParams => HandleParams;
    FsReadBlock = "fs/readBlock", ReadBlockParams => FileBlock;
    FsWriteBlock = "fs/writeBlock", WriteBlockParams => Empty;
    /// Closes a handle; one that is not open is no error.
    FsClose = "fs/close", HandleParams => Empty;
    FsCreateDirectory = "fs/createDirectory", DirectoryParams => Empty;
    /// Follows a link, and says that it was one.
    FsGetMetadata = "fs/getMetadata", PathParams => Metadata;
    FsCanonicalize = "fs/canonicalize", PathParams => Canonicalized;
    FsReadDirectory = "fs/readDirectory", PathParams => DirectoryEntries;
    /// Lists a tree, folder by folder.
    FsWalk = "fs/walk", WalkParams => WalkOutcome;
    FsRemove = "fs/remove", RemoveParams => Empty;
    FsCopy = "fs/copy", CopyParams => Empty;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathParams {
    pub path: FileUri,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileData {
    #[serde(rename = "dataBase64")]
    pub data: Chunk,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteFileParams {
    pub path: FileUri,
    #[serde(rename = "dataBase64")]
    pub data: Chunk,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenParams {
    pub handle_id: String,
    pub path: FileUri,
    #[serde(default)]
    pub mode: OpenMode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OpenMode {
    #[default]
    Read,
    /// Creates the file or empties it, for [`FsWriteBlock`].
    Replace,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandleParams {
    pub handle_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadBlockParams {
    pub handle_id: String,
    pub offset: u64,
    /// 1 to [`MAX_BLOCK_BYTES`](crate::MAX_BLOCK_BYTES).
    pub len: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileBlock {
    pub chunk: Chunk,
    pub eof: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteBlockParams {
    pub handle_id: String,
    pub offset: u64,
    /// 1 to [`MAX_BLOCK_BYTES`](crate::MAX_BLOCK_BYTES) bytes.
    pub chunk: Chunk,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryParams {
    pub path: FileUri,
    /// Creates missing parents too, and takes one that is there already; the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recursive: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub is_directory: bool,
    pub is_file: bool,
    pub is_symlink: bool,
    pub size: u64,
    /// Milliseconds since 1970; 0 where the file system does not know.
    pub created_at_ms: i64,
    pub modified_at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canonicalized {
    pub path: FileUri,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntries {
    pub entries: Vec<DirectoryEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryEntry {
    pub file_name: String,
    pub is_directory: bool,
    pub is_file: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkParams {
    pub path: FileUri,
    pub options: WalkOptions,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WalkOptions {
    /// 0 lists what is in the folder itself only. Links to files are never listed, and broken links neither (measured).
    pub max_depth: usize,
    pub max_directories: usize,
    pub max_entries: usize,
    pub follow_directory_symlinks: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkOutcome {
    pub entries: Vec<WalkEntry>,
    #[serde(default)]
    pub errors: Vec<WalkError>,
    /// A limit of the options was met.
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkEntry {
    pub path: FileUri,
    pub kind: EntryKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EntryKind {
    File,
    Directory,
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkError {
    pub path: FileUri,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveParams {
    pub path: FileUri,
    /// A folder with all that is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recursive: Option<bool>,
    /// One that is not there is no error; the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyParams {
    pub source_path: FileUri,
    pub destination_path: FileUri,
    pub recursive: bool,
}
