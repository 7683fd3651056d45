//! `ports::memory::MemoryStore` in a SQLite database of its own, `memory.db`. All of its SQL is in `sql`.
//!
//! **Whose.** Every statement that gives or changes an entry names the tenant and the holders that may be reached, and
//! there is no other way to one. The words of the index are keyed for each holder, so that a question about one holder
//! has no word in common with what another one keeps.
//!
//! **Gone is gone.** What is deleted is written over (`secure_delete`, and FTS5's own for its index), and a removal
//! carries the write-ahead log over into the file and cuts it before it is answered; readers wait for that.
//!
//! **Whom it blocks.** Nobody: statements run on threads that may block. One connection writes, a few read.

#![allow(clippy::disallowed_methods, reason = "statements run on threads that may block")]

mod sql;

use crate::{
    folder::{DataFolder, private_file},
    sqlite::OpenError,
};
use async_trait::async_trait;
use bailiwick_ports::{
    StoreError,
    memory::{
        Changed, Forgotten, Holder, MAX_HOLDERS, MAX_TERMS, MemoryBody, MemoryCount, MemoryKind, MemoryQuery,
        MemoryStore, NewMemory, Precondition, SealedMemory, Within, Written,
    },
};
use bailiwick_types::{MemoryId, Principal, TenantId, Timestamp};
use rusqlite::Connection;
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};
use tokio::sync::Semaphore;

/// The database's file in the data folder.
const FILE: &str = "memory.db";
/// Connections that read at the same time.
const READERS: usize = 4;
/// Entries of one list.
const MAX_PAGE: u32 = 1000;

/// Entries in the data folder. Clones share them.
#[derive(Clone)]
pub struct SqliteMemories(Arc<Inner>);

struct Inner {
    file: PathBuf,
    writer: Mutex<Connection>,
    /// Connections that nobody reads with now.
    readers: Mutex<Vec<Connection>>,
    reading: Semaphore,
    /// Whoever reads holds it shared, and whoever cuts the log alone.
    log: RwLock<()>,
    _folder: DataFolder,
}

impl SqliteMemories {
    /// Opens the database of a data folder and makes it where it is missing.
    pub async fn open(folder: DataFolder) -> Result<Self, OpenError> {
        let file = folder.path().join(FILE);
        let shown = file.display().to_string();
        let opened = tokio::task::spawn_blocking(move || Inner::open(file, folder)).await;
        let opened = opened.map_err(|error| OpenError::Unusable { file: shown.clone(), reason: error.to_string() })?;
        opened.map(|inner| Self(Arc::new(inner)))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = self.0.reading.acquire().await;
        let _turn = turn.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.blocking(move |inner| inner.read(work)).await
    }

    async fn write_down<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.blocking(move |inner| work(&mut inner.writer()).map_err(|error| store_error(&error))).await
    }

    /// As `write_down`, and nothing that was removed is left in the file or its log when it returns.
    async fn remove<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = move |inner: &Inner| {
            let mut writer = inner.writer();
            let done = work(&mut writer).map_err(|error| store_error(&error))?;
            let _alone = inner.log.write().unwrap_or_else(PoisonError::into_inner);
            match sql::cut_log(&writer).map_err(|error| store_error(&error))? {
                true => Ok(done),
                false => Err(StoreError::Unavailable("the log of memory could not be cut".into())),
            }
        };
        self.blocking(done).await
    }
}

impl Inner {
    fn open(file: PathBuf, folder: DataFolder) -> Result<Self, OpenError> {
        let unusable = |reason: String| OpenError::Unusable { file: file.display().to_string(), reason };
        private_file(&file).map_err(|error| unusable(error.to_string()))?;
        let writer = sql::open_writer(&file).map_err(|error| unusable(error.to_string()))?;
        let found = sql::version(&writer).map_err(|error| unusable(error.to_string()))?;
        if found > sql::VERSION {
            let file = file.display().to_string();
            return Err(OpenError::Newer { file, found, known: sql::VERSION });
        }
        sql::migrate(&writer, found).map_err(|error| unusable(error.to_string()))?;
        let (writer, readers) = (Mutex::new(writer), Mutex::default());
        Ok(Self { file, writer, readers, reading: Semaphore::new(READERS), log: RwLock::default(), _folder: folder })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, StoreError> {
        let _shared = self.log.read().unwrap_or_else(PoisonError::into_inner);
        let kept = self.readers().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => sql::open_reader(&self.file).map_err(|error| store_error(&error))?,
        };
        let done = work(&connection).map_err(|error| store_error(&error));
        self.readers().push(connection);
        done
    }
}

fn store_error(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Unavailable(format!("memory: {error}")),
    }
}

fn malformed<T>(text: String) -> Result<T, StoreError> {
    Err(StoreError::Malformed(text))
}

fn check_within(within: &Within) -> Result<(), StoreError> {
    if within.holders.len() > MAX_HOLDERS {
        return malformed(format!("`within` has {} holders, at most {MAX_HOLDERS} fit", within.holders.len()));
    }
    Ok(())
}

/// What the index is given and asked is never anybody's words.
fn check_terms(terms: &[String]) -> Result<(), StoreError> {
    let plain = |term: &String| {
        (1..=32).contains(&term.len()) && term.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    match terms.iter().all(plain) {
        true => Ok(()),
        false => malformed("`terms` holds what is no keyed word".into()),
    }
}

#[async_trait]
impl MemoryStore for SqliteMemories {
    async fn write(&self, new: NewMemory) -> Result<Written, StoreError> {
        check_terms(&new.body.terms)?;
        self.write_down(move |writer| sql::write(writer, &new)).await
    }

    async fn change(
        &self,
        within: &Within,
        id: MemoryId,
        before: Precondition,
        body: MemoryBody,
    ) -> Result<Changed, StoreError> {
        check_within(within)?;
        check_terms(&body.terms)?;
        let within = within.clone();
        // The text before it is gone as thoroughly as a removed one.
        self.remove(move |writer| sql::change(writer, &within, id, before, &body)).await
    }

    async fn get(&self, within: &Within, id: MemoryId) -> Result<Option<SealedMemory>, StoreError> {
        check_within(within)?;
        let within = within.clone();
        self.read(move |reader| sql::get(reader, &within, id)).await
    }

    async fn search(
        &self,
        within: &Within,
        terms: &[String],
        kinds: &BTreeSet<MemoryKind>,
        limit: u32,
    ) -> Result<Vec<SealedMemory>, StoreError> {
        check_within(within)?;
        check_terms(terms)?;
        if terms.len() > MAX_TERMS {
            return malformed(format!("`terms` has {} words, at most {MAX_TERMS} fit", terms.len()));
        }
        if terms.is_empty() || within.holders.is_empty() {
            return Ok(Vec::new());
        }
        let (within, terms, kinds) = (within.clone(), terms.to_vec(), kinds.clone());
        self.read(move |reader| sql::search(reader, &within, &terms, &kinds, limit.min(MAX_PAGE))).await
    }

    async fn list(&self, within: &Within, query: &MemoryQuery) -> Result<(Vec<SealedMemory>, bool), StoreError> {
        check_within(within)?;
        let query = MemoryQuery { limit: query.limit.clamp(1, MAX_PAGE), ..query.clone() };
        let within = within.clone();
        self.read(move |reader| sql::list(reader, &within, &query)).await
    }

    async fn forget(
        &self,
        within: &Within,
        id: MemoryId,
        version: Option<u32>,
        by: Option<(Principal, Timestamp)>,
    ) -> Result<Changed, StoreError> {
        check_within(within)?;
        let within = within.clone();
        self.remove(move |writer| sql::forget(writer, &within, id, version, by.as_ref())).await
    }

    async fn forget_all(&self, tenant: TenantId, holder: Holder, until: Timestamp) -> Result<u64, StoreError> {
        self.remove(move |writer| sql::forget_all(writer, tenant, holder, until)).await
    }

    async fn counts(&self, tenant: TenantId) -> Result<Vec<MemoryCount>, StoreError> {
        self.read(move |reader| sql::counts(reader, tenant)).await
    }

    async fn unreceipted(&self, limit: u32) -> Result<Vec<Forgotten>, StoreError> {
        self.read(move |reader| sql::unreceipted(reader, limit.min(MAX_PAGE))).await
    }

    async fn receipted(&self, tenant: TenantId, id: MemoryId) -> Result<(), StoreError> {
        self.write_down(move |writer| sql::receipted(writer, tenant, id)).await
    }
}
