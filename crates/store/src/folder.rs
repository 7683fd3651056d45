//! The data folder and the right to be the only process in it.
//!
//! The right is an advisory lock (`flock`) on the file `lock`: the kernel takes it back however the process ends, so
//! that there is no stale lock to clean up after a crash.
#![allow(clippy::disallowed_methods, reason = "the store's own files")]

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

const LOCK: &str = "lock";

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("the data folder {folder} is in use by {holder}: stop it, or take another folder", folder = folder.display())]
    InUse { folder: PathBuf, holder: String },
    #[error("the data folder {folder} cannot be used: {source}", folder = folder.display())]
    Unusable { folder: PathBuf, source: io::Error },
}

/// A data folder that this process alone uses for as long as a clone of this lives.
#[derive(Debug, Clone)]
pub struct DataFolder(Arc<Held>);

#[derive(Debug)]
struct Held {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder (mode 0700, with the folders above it) where it is missing, and takes its lock.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FolderError> {
        let path = path.as_ref();
        let unusable = |source| FolderError::Unusable { folder: path.to_path_buf(), source };
        create_folder(path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        let lock = take_lock(&path)?;
        Ok(Self(Arc::new(Held { path, _lock: lock })))
    }

    /// Absolute.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

/// Makes a folder that only this user enters; one that exists keeps its mode.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file for writing, made with mode 0600 where it is missing.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn take_lock(folder: &Path) -> Result<File, FolderError> {
    let unusable = |source| FolderError::Unusable { folder: folder.to_path_buf(), source };
    let mut file = private_file(&folder.join(LOCK)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(FolderError::InUse { folder: folder.to_path_buf(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    // Only for the message above: a full disk must not keep a server from starting.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Who wrote its process id into the lock file.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = Read::by_ref(file).take(32).read_to_string(&mut text);
    let Some(id) = read.ok().and_then(|_| text.trim().parse::<u32>().ok()) else {
        return "another process".into();
    };
    match fs::read_to_string(format!("/proc/{id}/comm")) {
        Ok(name) => format!("process {id} ({})", name.trim()),
        Err(_) => format!("process {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_is_made_for_this_user_alone_and_used_by_one() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = DataFolder::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let text = DataFolder::open(&path).unwrap_err().to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        let second = first.clone();
        drop(first);
        assert!(DataFolder::open(&path).is_err());
        drop(second);
        DataFolder::open(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_a_folder_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("file");
        fs::write(&path, "").unwrap();
        let text = DataFolder::open(&path).unwrap_err().to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
    }
}
