//! Files, as far as the sandbox shows them. Every answer is bounded, so that it fits into a frame.

use bailiwick_executor_protocol::{
    Canonicalized, Chunk, CopyParams, DirectoryEntries, DirectoryEntry, DirectoryParams, Empty, EntryKind, FileBlock,
    FileData, FileUri, HandleParams, MAX_BLOCK_BYTES, Metadata, OpenMode, OpenParams, PathParams, ReadBlockParams,
    RemoveParams, RpcError, WalkEntry, WalkError, WalkOutcome, WalkParams, WriteBlockParams, WriteFileParams, code,
};
use rustix::fs::OFlags;
use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// What `fs/readFile` gives at once; in base64 it still fits into a frame.
const MAX_WHOLE_FILE_BYTES: u64 = 8 * 1024 * 1024;
const MAX_HANDLES: usize = 128;
const MAX_HANDLE_ID_BYTES: usize = 256;
/// Entries of one listing; with the longest names it still fits into a frame.
const MAX_LISTED: usize = 20_000;
const MAX_WALK_DEPTH: usize = 256;
const MAX_COPIED: usize = 100_000;
/// Long paths make a listing long before it has many entries.
const MAX_LISTED_BYTES: usize = 8 * 1024 * 1024;

fn refuse<T>(code: i64, message: impl Into<String>) -> Result<T, RpcError> {
    Err(RpcError::new(code, message))
}

fn failed(error: &io::Error) -> RpcError {
    let code = if error.kind() == io::ErrorKind::NotFound { code::NOT_FOUND } else { code::INTERNAL };
    RpcError::new(code, error.to_string())
}

fn path_of(uri: &FileUri) -> Result<PathBuf, RpcError> {
    uri.to_path().map_err(|error| RpcError::new(code::INVALID_PARAMS, error.to_string()))
}

fn uri_of(path: &Path) -> Result<FileUri, RpcError> {
    FileUri::from_path(path).map_err(|error| RpcError::new(code::INTERNAL, error.to_string()))
}

/// The open files of one connection.
#[derive(Debug, Default)]
pub struct Files {
    handles: Mutex<HashMap<String, Arc<File>>>,
}

impl Files {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<File>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open(&self, params: &OpenParams) -> Result<HandleParams, RpcError> {
        if params.handle_id.is_empty() || params.handle_id.len() > MAX_HANDLE_ID_BYTES {
            return refuse(code::INVALID_PARAMS, format!("`handleId` must have 1 to {MAX_HANDLE_ID_BYTES} bytes"));
        }
        let path = path_of(&params.path)?;
        let mut handles = self.lock();
        if handles.contains_key(&params.handle_id) {
            return refuse(code::INVALID_REQUEST, format!("file handle `{}` already exists", params.handle_id));
        }
        if handles.len() >= MAX_HANDLES {
            let message = format!("at most {MAX_HANDLES} file handles may be open per connection");
            return refuse(code::INVALID_REQUEST, message);
        }
        let file = match params.mode {
            OpenMode::Read => open_regular(&path)?,
            OpenMode::Replace => {
                let file = options().write(true).create(true).open(&path).map_err(|error| failed(&error))?;
                require_regular(&file, &path)?;
                file.set_len(0).map_err(|error| failed(&error))?;
                file
            }
        };
        handles.insert(params.handle_id.clone(), Arc::new(file));
        Ok(HandleParams { handle_id: params.handle_id.clone() })
    }

    fn find(&self, id: &str) -> Result<Arc<File>, RpcError> {
        let unknown = || RpcError::new(code::NOT_FOUND, format!("unknown file handle `{id}`"));
        self.lock().get(id).cloned().ok_or_else(unknown)
    }

    pub fn read_block(&self, params: &ReadBlockParams) -> Result<FileBlock, RpcError> {
        require_block(params.len, "read")?;
        let file = self.find(&params.handle_id)?;
        let mut bytes = vec![0; params.len];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], params.offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        let eof = filled < bytes.len();
        bytes.truncate(filled);
        Ok(FileBlock { chunk: Chunk(bytes), eof })
    }

    pub fn write_block(&self, params: &WriteBlockParams) -> Result<Empty, RpcError> {
        require_block(params.chunk.0.len(), "write")?;
        let file = self.find(&params.handle_id)?;
        file.write_all_at(&params.chunk.0, params.offset).map_err(|error| failed(&error))?;
        Ok(Empty {})
    }

    pub fn close(&self, params: &HandleParams) -> Empty {
        self.lock().remove(&params.handle_id);
        Empty {}
    }
}

fn require_block(len: usize, what: &str) -> Result<(), RpcError> {
    if (1..=MAX_BLOCK_BYTES).contains(&len) {
        return Ok(());
    }
    refuse(code::INVALID_REQUEST, format!("file {what} block length must be between 1 and {MAX_BLOCK_BYTES}"))
}

fn options() -> fs::OpenOptions {
    let mut options = File::options();
    // A pipe without a peer must not block the open.
    options.custom_flags(OFlags::NONBLOCK.bits() as i32);
    options
}

fn open_regular(path: &Path) -> Result<File, RpcError> {
    let file = options().read(true).open(path).map_err(|error| failed(&error))?;
    require_regular(&file, path)?;
    Ok(file)
}

fn require_regular(file: &File, path: &Path) -> Result<(), RpcError> {
    if file.metadata().map_err(|error| failed(&error))?.is_file() {
        return Ok(());
    }
    refuse(code::INVALID_REQUEST, format!("path `{}` is not a file", path.display()))
}

pub fn read(params: &PathParams) -> Result<FileData, RpcError> {
    let file = open_regular(&path_of(&params.path)?)?;
    let mut data = Vec::new();
    file.take(MAX_WHOLE_FILE_BYTES + 1).read_to_end(&mut data).map_err(|error| failed(&error))?;
    if data.len() as u64 > MAX_WHOLE_FILE_BYTES {
        let message =
            format!("the file is larger than {MAX_WHOLE_FILE_BYTES} bytes: read it by fs/open and fs/readBlock");
        return refuse(code::INVALID_REQUEST, message);
    }
    Ok(FileData { data: Chunk(data) })
}

/// Replaces a file at once: whoever looks sees the old content or the new, never a part. Where the folder does not
/// allow that, it is overwritten.
pub fn write(params: &WriteFileParams) -> Result<Empty, RpcError> {
    let named = path_of(&params.path)?;
    // The file behind a link is replaced, not the link.
    let path = named.canonicalize().unwrap_or(named);
    match fs::metadata(&path) {
        Ok(found) if !found.is_file() => {
            return refuse(code::INVALID_REQUEST, format!("path `{}` is not a file", path.display()));
        }
        Ok(found) => {
            if replace(&path, &params.data.0, Some(found.permissions().mode())).is_err() {
                fs::write(&path, &params.data.0).map_err(|error| failed(&error))?;
            }
        }
        Err(_) => replace(&path, &params.data.0, None).map_err(|error| failed(&error))?,
    }
    Ok(Empty {})
}

fn replace(path: &Path, data: &[u8], mode: Option<u32>) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name.as_encoded_bytes().get(..100).and_then(|part| std::str::from_utf8(part).ok()).unwrap_or("new"));
    temporary.push(format!(".{}-{}.part", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(temporary);
    let written = (|| {
        let mut file = File::options().write(true).create_new(true).open(&temporary)?;
        if let Some(mode) = mode {
            file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
        }
        file.write_all(data)?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

pub fn create_directory(params: &DirectoryParams) -> Result<Empty, RpcError> {
    let path = path_of(&params.path)?;
    let created = if params.recursive.unwrap_or(true) { fs::create_dir_all(&path) } else { fs::create_dir(&path) };
    created.map(|()| Empty {}).map_err(|error| failed(&error))
}

pub fn metadata(params: &PathParams) -> Result<Metadata, RpcError> {
    let path = path_of(&params.path)?;
    let found = fs::metadata(&path).map_err(|error| failed(&error))?;
    let itself = fs::symlink_metadata(&path).map_err(|error| failed(&error))?;
    Ok(Metadata {
        is_directory: found.is_dir(),
        is_file: found.is_file(),
        is_symlink: itself.is_symlink(),
        size: found.len(),
        created_at_ms: millis(found.created()),
        modified_at_ms: millis(found.modified()),
    })
}

fn millis(time: io::Result<SystemTime>) -> i64 {
    let since = time.ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

pub fn canonicalize(params: &PathParams) -> Result<Canonicalized, RpcError> {
    let path = path_of(&params.path)?.canonicalize().map_err(|error| failed(&error))?;
    Ok(Canonicalized { path: uri_of(&path)? })
}

pub fn read_directory(params: &PathParams) -> Result<DirectoryEntries, RpcError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path_of(&params.path)?).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        // As the stock executor: a broken link is left out.
        let Ok(found) = fs::metadata(entry.path()) else { continue };
        if entries.len() == MAX_LISTED {
            return refuse(
                code::INVALID_REQUEST,
                format!("the folder has more than {MAX_LISTED} entries: use fs/walk"),
            );
        }
        entries.push(DirectoryEntry {
            file_name: entry.file_name().to_string_lossy().into_owned(),
            is_directory: found.is_dir(),
            is_file: found.is_file(),
        });
    }
    entries.sort_by(|a, b| a.file_name.cmp(&b.file_name));
    Ok(DirectoryEntries { entries })
}

/// Lists a tree folder by folder, each in the order of names.
pub fn walk(params: &WalkParams) -> Result<WalkOutcome, RpcError> {
    let root = path_of(&params.path)?;
    let options = &params.options;
    let max_entries = options.max_entries.min(MAX_LISTED);
    fs::metadata(&root).map_err(|error| failed(&error))?;
    let mut outcome = WalkOutcome { entries: Vec::new(), errors: Vec::new(), truncated: false };
    let mut seen = vec![root.canonicalize().map_err(|error| failed(&error))?];
    let mut next = VecDeque::from([(root, 0)]);
    let (mut folders, mut bytes) = (0, 0);
    while let Some((folder, depth)) = next.pop_front() {
        if folders >= options.max_directories {
            outcome.truncated = true;
            break;
        }
        folders += 1;
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
            Err(error) => {
                outcome.errors.push(WalkError { path: uri_of(&folder)?, message: error.to_string() });
                continue;
            }
        };
        let mut paths: Vec<PathBuf> = listed.flatten().take(MAX_LISTED).map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let Ok(itself) = fs::symlink_metadata(&path) else { continue };
            let kind = if itself.is_dir() {
                EntryKind::Directory
            } else if itself.is_file() {
                EntryKind::File
            } else if itself.is_symlink() && options.follow_directory_symlinks && is_new_folder(&path, &mut seen) {
                EntryKind::Directory
            } else {
                continue;
            };
            let uri = uri_of(&path)?;
            bytes += uri.as_str().len() + 32;
            if outcome.entries.len() >= max_entries || bytes > MAX_LISTED_BYTES {
                outcome.truncated = true;
                return Ok(outcome);
            }
            outcome.entries.push(WalkEntry { path: uri, kind });
            if kind == EntryKind::Directory && depth < options.max_depth.min(MAX_WALK_DEPTH) {
                next.push_back((path, depth + 1));
            }
        }
    }
    Ok(outcome)
}

/// Whether a link leads to a folder that was not walked through a link before: links may go in circles.
fn is_new_folder(path: &Path, seen: &mut Vec<PathBuf>) -> bool {
    let Some(target) = path.canonicalize().ok().filter(|target| target.is_dir()) else { return false };
    if seen.contains(&target) {
        return false;
    }
    seen.push(target);
    true
}

pub fn remove(params: &RemoveParams) -> Result<Empty, RpcError> {
    let path = path_of(&params.path)?;
    let removed = match fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() && params.recursive.unwrap_or(true) => fs::remove_dir_all(&path),
        Ok(found) if found.is_dir() => fs::remove_dir(&path),
        Ok(_) => fs::remove_file(&path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound && params.force.unwrap_or(true) => Ok(Empty {}),
        removed => removed.map(|()| Empty {}).map_err(|error| failed(&error)),
    }
}

pub fn copy(params: &CopyParams) -> Result<Empty, RpcError> {
    let (from, to) = (path_of(&params.source_path)?, path_of(&params.destination_path)?);
    let found = fs::metadata(&from).map_err(|error| failed(&error))?;
    if !found.is_dir() {
        require_regular(&open_regular(&from)?, &from)?;
        return fs::copy(&from, &to).map(|_| Empty {}).map_err(|error| failed(&error));
    }
    if !params.recursive {
        return refuse(code::INVALID_REQUEST, "fs/copy requires recursive: true when sourcePath is a directory");
    }
    let inside = to.parent().and_then(|parent| parent.canonicalize().ok()).zip(from.canonicalize().ok());
    if inside.is_some_and(|(parent, from)| parent.starts_with(from)) {
        return refuse(code::INVALID_REQUEST, "a folder cannot be copied into itself");
    }
    copy_folder(from, to).map(|()| Empty {}).map_err(|error| failed(&error))
}

/// Links are copied as links; pipes, sockets and devices are left out.
fn copy_folder(from: PathBuf, to: PathBuf) -> io::Result<()> {
    let mut copied = 0;
    let mut next = vec![(from, to)];
    while let Some((from, to)) = next.pop() {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            copied += 1;
            if copied > MAX_COPIED {
                return Err(io::Error::other(format!("more than {MAX_COPIED} files: only some were copied")));
            }
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                next.push((source, target));
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&source)?, target)?;
            } else if kind.is_file() {
                fs::copy(&source, target)?;
            }
        }
    }
    Ok(())
}
