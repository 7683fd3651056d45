//! Files of an environment, in bounded pieces.

use super::{Hands, uri};
use crate::error::ExecutorError;
use bailiwick_executor_protocol::{
    DirectoryParams, EntryKind, FsClose, FsCreateDirectory, FsGetMetadata, FsOpen, FsReadBlock, FsReadDirectory,
    FsReadFile, FsWalk, FsWriteBlock, FsWriteFile, HandleParams, MAX_BLOCK_BYTES, Metadata, OpenMode, OpenParams,
    PathParams, ReadBlockParams, RpcError, WalkOptions, WalkParams, WriteBlockParams, WriteFileParams, code,
};
use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// Up to here a file goes in one message.
const MAX_WHOLE_BYTES: u64 = 4 * 1024 * 1024;
const MAX_WALKED_FOLDERS: usize = 5_000;
/// How far into a file lines are looked for.
const MAX_SCANNED_BYTES: u64 = 256 * 1024 * 1024;

/// Lines of a text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    pub text: String,
    /// How many lines there are in `text`.
    pub count: u32,
    /// Whether the file goes on after them.
    pub more: bool,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Relative to the folder that was listed.
    pub path: String,
    pub is_folder: bool,
}

fn refuse<T>(message: impl Into<String>) -> Result<T, ExecutorError> {
    Err(ExecutorError::Refused(RpcError::new(code::INVALID_REQUEST, message)))
}

fn handle_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("file-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

impl Hands {
    pub async fn metadata(&self, path: &str) -> Result<Metadata, ExecutorError> {
        self.client.call_again::<FsGetMetadata>(&PathParams { path: uri(path)? }).await
    }

    /// The whole content of a file.
    pub async fn read(&self, path: &str, max_bytes: u64) -> Result<Vec<u8>, ExecutorError> {
        let too_large = || ExecutorError::TooLarge(format!("`{path}` is larger than {max_bytes} bytes"));
        let found = self.metadata(path).await?;
        if found.size > max_bytes {
            return Err(too_large());
        }
        if found.size <= MAX_WHOLE_BYTES {
            let file = self.client.call_again::<FsReadFile>(&PathParams { path: uri(path)? }).await?;
            // It may have grown since.
            return if file.data.0.len() as u64 > max_bytes { Err(too_large()) } else { Ok(file.data.0) };
        }
        let mut content = Vec::new();
        self.read_blocks(path, |block| {
            content.extend_from_slice(block);
            content.len() as u64 <= max_bytes
        })
        .await?;
        if content.len() as u64 > max_bytes { Err(too_large()) } else { Ok(content) }
    }

    /// Gives the blocks of a file to `take` until it says `false` or the file ends.
    async fn read_blocks(&self, path: &str, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), ExecutorError> {
        let handle_id = handle_id();
        let open = OpenParams { handle_id: handle_id.clone(), path: uri(path)?, mode: OpenMode::Read };
        self.client.call::<FsOpen>(&open).await?;
        let result = async {
            let mut offset = 0;
            loop {
                let params = ReadBlockParams { handle_id: handle_id.clone(), offset, len: MAX_BLOCK_BYTES };
                let block = self.client.call::<FsReadBlock>(&params).await?;
                offset += block.chunk.0.len() as u64;
                if !take(&block.chunk.0) || block.eof || block.chunk.0.is_empty() {
                    return Ok(());
                }
            }
        }
        .await;
        let _ = self.client.call::<FsClose>(&HandleParams { handle_id }).await;
        result
    }

    /// Up to `limit` lines of a text file from line `offset` on, counted from 1, and not more than `max_bytes`.
    pub async fn read_lines(
        &self,
        path: &str,
        offset: u32,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Lines, ExecutorError> {
        let mut scan = LineScan::new(offset, limit, max_bytes);
        if self.metadata(path).await?.size <= MAX_WHOLE_BYTES {
            let file = self.client.call_again::<FsReadFile>(&PathParams { path: uri(path)? }).await?;
            scan.take(&file.data.0);
        } else {
            self.read_blocks(path, |block| scan.take(block)).await?;
        }
        if scan.binary {
            return refuse(format!("`{path}` is not a text file"));
        }
        Ok(scan.finish())
    }

    /// Creates or replaces a file. Missing folders are made.
    pub async fn write(&self, path: &str, content: &[u8]) -> Result<(), ExecutorError> {
        if let Some(parent) = Path::new(path).parent().and_then(Path::to_str) {
            self.create_folder(parent).await?;
        }
        if content.len() as u64 <= MAX_WHOLE_BYTES {
            let params = WriteFileParams { path: uri(path)?, data: content.to_vec().into() };
            return self.client.call_again::<FsWriteFile>(&params).await.map(drop);
        }
        let streams = self.client.session().and_then(|session| session.environment);
        if !streams.is_some_and(|environment| environment.streams_writes()) {
            let message = format!("this executor takes no files larger than {MAX_WHOLE_BYTES} bytes");
            return Err(ExecutorError::TooLarge(message));
        }
        let handle_id = handle_id();
        let open = OpenParams { handle_id: handle_id.clone(), path: uri(path)?, mode: OpenMode::Replace };
        self.client.call::<FsOpen>(&open).await?;
        let mut result = Ok(());
        for (index, block) in content.chunks(MAX_BLOCK_BYTES).enumerate() {
            let offset = (index * MAX_BLOCK_BYTES) as u64;
            let params = WriteBlockParams { handle_id: handle_id.clone(), offset, chunk: block.to_vec().into() };
            result = self.client.call_again::<FsWriteBlock>(&params).await.map(drop);
            if result.is_err() {
                break;
            }
        }
        let _ = self.client.call::<FsClose>(&HandleParams { handle_id }).await;
        result
    }

    pub async fn create_folder(&self, path: &str) -> Result<(), ExecutorError> {
        let params = DirectoryParams { path: uri(path)?, recursive: Some(true) };
        self.client.call_again::<FsCreateDirectory>(&params).await.map(drop)
    }

    /// What is below a folder, `depth` levels deep, in order; and whether something was left out.
    pub async fn list(&self, path: &str, depth: u32, max: usize) -> Result<(Vec<Listed>, bool), ExecutorError> {
        let (mut listed, truncated) = if depth <= 1 {
            self.list_folder(path, max).await?
        } else {
            self.walk(path, depth as usize - 1, max).await?
        };
        listed.sort();
        Ok((listed, truncated))
    }

    async fn list_folder(&self, path: &str, max: usize) -> Result<(Vec<Listed>, bool), ExecutorError> {
        let found = self.client.call_again::<FsReadDirectory>(&PathParams { path: uri(path)? }).await?;
        let truncated = found.entries.len() > max;
        let entries = found.entries.into_iter().take(max);
        Ok((entries.map(|entry| Listed { path: entry.file_name, is_folder: entry.is_directory }).collect(), truncated))
    }

    /// The tree below a folder. Links are not followed and not listed.
    pub(super) async fn walk(
        &self,
        path: &str,
        max_depth: usize,
        max_entries: usize,
    ) -> Result<(Vec<Listed>, bool), ExecutorError> {
        let options = WalkOptions {
            max_depth,
            max_directories: MAX_WALKED_FOLDERS,
            max_entries,
            follow_directory_symlinks: false,
        };
        if !self.metadata(path).await?.is_directory {
            return refuse(format!("`{path}` is not a folder"));
        }
        let params = WalkParams { path: uri(path)?, options };
        let walked = self.client.call_again::<FsWalk>(&params).await?;
        let mut listed = Vec::with_capacity(walked.entries.len());
        for entry in walked.entries {
            let Ok(found) = entry.path.to_path() else { continue };
            let Ok(relative) = found.strip_prefix(path) else { continue };
            let is_folder = entry.kind == EntryKind::Directory;
            listed.push(Listed { path: relative.to_string_lossy().into_owned(), is_folder });
        }
        Ok((listed, walked.truncated))
    }
}

/// Picks lines out of blocks.
struct LineScan {
    skip: u32,
    limit: u32,
    max_bytes: usize,
    text: Vec<u8>,
    /// Whole lines in `text`.
    count: u32,
    scanned: u64,
    more: bool,
    binary: bool,
}

impl LineScan {
    fn new(offset: u32, limit: u32, max_bytes: usize) -> Self {
        let skip = offset.saturating_sub(1);
        Self { skip, limit, max_bytes, text: Vec::new(), count: 0, scanned: 0, more: false, binary: false }
    }

    /// `false` when no more is needed.
    fn take(&mut self, block: &[u8]) -> bool {
        self.scanned += block.len() as u64;
        if block.contains(&0) {
            self.binary = true;
            return false;
        }
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let ends = line.ends_with(b"\n");
            if self.skip > 0 {
                self.skip -= u32::from(ends);
                continue;
            }
            if self.count >= self.limit || self.text.len() + line.len() > self.max_bytes {
                // A line that does not fit at all is shown as far as it does.
                if self.text.is_empty() && self.limit > 0 {
                    self.text.extend_from_slice(&line[..line.len().min(self.max_bytes)]);
                }
                self.more = true;
                return false;
            }
            self.text.extend_from_slice(line);
            self.count += u32::from(ends);
        }
        self.scanned < MAX_SCANNED_BYTES
    }

    fn finish(self) -> Lines {
        let tail = u32::from(!self.text.is_empty() && !self.text.ends_with(b"\n"));
        Lines {
            text: String::from_utf8_lossy(&self.text).into_owned(),
            count: self.count + tail,
            more: self.more || self.scanned >= MAX_SCANNED_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(blocks: &[&str], offset: u32, limit: u32, max_bytes: usize) -> (String, u32, bool) {
        let mut scan = LineScan::new(offset, limit, max_bytes);
        for block in blocks {
            if !scan.take(block.as_bytes()) {
                break;
            }
        }
        let lines = scan.finish();
        (lines.text, lines.count, lines.more)
    }

    #[test]
    fn lines_are_picked_across_blocks() {
        let blocks = ["a\nb", "b\nc\n", "d"];
        assert_eq!(lines(&blocks, 1, 9, 99), ("a\nbb\nc\nd".into(), 4, false));
        assert_eq!(lines(&blocks, 2, 1, 99), ("bb\n".into(), 1, true));
        assert_eq!(lines(&blocks, 4, 9, 99), ("d".into(), 1, false));
        assert_eq!(lines(&blocks, 5, 9, 99), (String::new(), 0, false));
        assert_eq!(lines(&blocks, 1, 9, 4), ("a\nb".into(), 2, true));
        assert_eq!(lines(&["abcdef"], 1, 9, 4), ("abcd".into(), 1, true));
        assert_eq!(lines(&["a\n"], 1, 1, 9), ("a\n".into(), 1, false));
    }
}
