//! Objects as files: `objects/TENANT/SHARD/NAME` under the data folder.
//!
//! An object is written whole under `objects/unfinished`, made durable, and only then given its name, so that a name
//! never shows half an object. What a crash left unfinished is removed when the folder is opened again.
#![allow(clippy::disallowed_methods, reason = "the store's own files")]

use crate::folder::{DataFolder, FolderError, create_folder, private_file, sync_folder};
use async_trait::async_trait;
use bailiwick_ports::{ObjectError, Objects, objects::check_name};
use bailiwick_types::TenantId;
use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

#[derive(Debug, Clone)]
pub struct FolderObjects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Held, so that nobody else uses the files.
    folder: DataFolder,
    next: AtomicU64,
}

impl FolderObjects {
    pub fn open(folder: DataFolder) -> Result<Self, FolderError> {
        let inner = Inner { folder, next: AtomicU64::new(0) };
        inner.prepare().map_err(|source| FolderError::Unusable { folder: inner.root(), source })?;
        Ok(Self(Arc::new(inner)))
    }

    /// Runs file work where it may block.
    async fn run<T: Send + 'static>(
        &self,
        tenant: TenantId,
        name: &str,
        work: impl FnOnce(&Inner, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ObjectError> {
        check_name(name)?;
        let inner = self.0.clone();
        let path = inner.path(tenant, name);
        let done = tokio::task::spawn_blocking(move || work(&inner, &path)).await;
        done.map_err(|stopped| ObjectError::Unavailable(stopped.to_string()))?.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ObjectError::Missing(name.to_owned()),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ObjectError::Full,
            _ => ObjectError::Unavailable(error.to_string()),
        })
    }
}

#[async_trait]
impl Objects for FolderObjects {
    async fn put(&self, tenant: TenantId, name: &str, sealed: Bytes) -> Result<(), ObjectError> {
        self.run(tenant, name, move |inner, path| inner.put(path, &sealed)).await
    }

    async fn get(&self, tenant: TenantId, name: &str) -> Result<Bytes, ObjectError> {
        self.run(tenant, name, |_, path| fs::read(path).map(Bytes::from)).await
    }

    async fn names(&self, tenant: TenantId, after: Option<&str>, limit: u32) -> Result<Vec<String>, ObjectError> {
        let (inner, after) = (self.0.clone(), after.map(str::to_owned));
        let read = tokio::task::spawn_blocking(move || inner.names(tenant, after.as_deref(), limit as usize)).await;
        let unavailable = |error: String| ObjectError::Unavailable(error);
        read.map_err(|stopped| unavailable(stopped.to_string()))?.map_err(|error| unavailable(error.to_string()))
    }

    async fn remove(&self, tenant: TenantId, name: &str) -> Result<(), ObjectError> {
        let removed = self.run(tenant, name, |_, path| {
            fs::remove_file(path)?;
            path.parent().map_or(Ok(()), sync_folder)
        });
        match removed.await {
            Err(ObjectError::Missing(_)) => Ok(()),
            other => other,
        }
    }
}

impl Inner {
    fn root(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    fn unfinished(&self) -> PathBuf {
        self.root().join("unfinished")
    }

    fn path(&self, tenant: TenantId, name: &str) -> PathBuf {
        self.root().join(tenant.to_string()).join(shard_name(shard(name))).join(name)
    }

    fn prepare(&self) -> io::Result<()> {
        create_folder(&self.unfinished())?;
        sync_folder(self.folder.path())?;
        for left in fs::read_dir(self.unfinished())? {
            fs::remove_file(left?.path())?;
        }
        Ok(())
    }

    /// By shard, then by name. Reads no more than the shards that the page touches.
    fn names(&self, tenant: TenantId, after: Option<&str>, limit: usize) -> io::Result<Vec<String>> {
        let first = after.map_or(0, shard);
        let mut names = Vec::new();
        for number in first..=u8::MAX {
            let folder = self.root().join(tenant.to_string()).join(shard_name(number));
            let mut here = names_in(&folder)?;
            here.retain(|name| number > first || after.is_none_or(|after| name.as_str() > after));
            here.sort_unstable();
            names.append(&mut here);
            if names.len() >= limit {
                names.truncate(limit);
                break;
            }
        }
        Ok(names)
    }

    fn put(&self, path: &Path, sealed: &[u8]) -> io::Result<()> {
        let shard = path.parent().unwrap_or(path);
        if !path.try_exists()? {
            self.make_durable_folder(shard)?;
            let unfinished = self.unfinished().join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
            let written = write_whole(&unfinished, sealed).and_then(|()| name_first(&unfinished, path));
            // Gone when it has its name. What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&unfinished);
            written?;
        }
        // Also when it was there: whoever named it may not have come so far.
        sync_folder(shard)
    }

    /// The tenant's folder and its shard, with their own entries.
    fn make_durable_folder(&self, shard: &Path) -> io::Result<()> {
        if shard.try_exists()? {
            return Ok(());
        }
        create_folder(shard)?;
        sync_folder(shard.parent().unwrap_or(shard))?;
        sync_folder(&self.root())
    }
}

fn write_whole(path: &Path, sealed: &[u8]) -> io::Result<()> {
    let mut file = private_file(path)?;
    file.write_all(sealed)?;
    file.sync_all()
}

/// Renames unless the name is taken: the first object keeps it.
fn name_first(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // A file system without this. The objects of one name are the same, so that replacing one is no harm.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to),
        Err(error) => Err(error.into()),
    }
}

/// One of 256 folders, so that none has too many entries. FNV-1a, which spreads ids that were made one after another.
fn shard(name: &str) -> u8 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 16) ^ (hash >> 8) ^ (hash >> 24)) as u8
}

fn shard_name(shard: u8) -> String {
    format!("{shard:02x}")
}

/// A folder that is not there holds nothing.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_testkit::conformance;

    #[tokio::test]
    async fn folder_objects_keep_the_contract() {
        let parent = tempfile::tempdir().unwrap();
        let objects = FolderObjects::open(DataFolder::open(parent.path()).unwrap()).unwrap();
        conformance::run_objects(Arc::new(objects)).await;
    }

    #[tokio::test]
    async fn objects_outlive_the_process_and_unfinished_ones_do_not() {
        let parent = tempfile::tempdir().unwrap();
        let tenant = TenantId::from_u128(1);
        let open = || FolderObjects::open(DataFolder::open(parent.path()).unwrap()).unwrap();
        open().put(tenant, "kept", Bytes::from_static(b"body")).await.unwrap();
        let unfinished = parent.path().join("objects/unfinished");
        assert_eq!(fs::read_dir(&unfinished).unwrap().count(), 0);
        fs::write(unfinished.join("0"), "half").unwrap();
        let again = open();
        assert_eq!(again.get(tenant, "kept").await.unwrap(), "body");
        assert_eq!(fs::read_dir(&unfinished).unwrap().count(), 0);
    }

    #[test]
    fn names_spread_over_the_shards() {
        let used: std::collections::HashSet<_> = (0..2000).map(|n| shard(&format!("file_{n:032x}"))).collect();
        assert!(used.len() > 250, "{}", used.len());
    }
}
