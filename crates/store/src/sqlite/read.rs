//! Reads, each on one of the readers' connections and thereby on whatever was answered before.

use super::{
    columns::{array_at, bytes_at, id_at, number_at, optional_id_at, time_at},
    error::{Error, damaged},
    readers::Readers,
    statement::{Statement, integer, now},
    threads::apart,
    write::{document_kind, row_kind},
};
use bailiwick_ports::{
    StoreError, WrappedKey,
    store::{
        Accepted, Document, DocumentKind, Idempotency, InboxEntry, MAX_POSITION, Page, Ready, RowKind, RowQuery,
        SNAPSHOT_SPAN, SealedRecord, Snapshot, StoredRow, StreamHead, Tenant,
    },
};
use bailiwick_types::{ActionId, StreamId, TenantId, Timestamp};
use rusqlite::Row;
use std::path::Path;

/// Rows of a page that is read on the thread of whoever asks.
const SHORT: u32 = 256;

pub struct Reader<'a> {
    pub readers: &'a Readers,
    pub folder: &'a Path,
}

impl Reader<'_> {
    /// What an index leads to, and no more of it than a page.
    pub(super) async fn all<T>(
        &self,
        statement: &Statement<'_>,
        read: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, StoreError> {
        let found = match self.readers.take().await {
            Ok(taken) => taken.read(|connection| statement.rows(connection, read)),
            Err(error) => Err(error),
        };
        found.map_err(|error| error.meaning(self.folder))
    }

    /// As [`Self::all`], of what may have to look at very much.
    pub(super) async fn all_of_many<T>(
        &self,
        statement: &Statement<'_>,
        read: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, StoreError> {
        let found = match self.readers.take().await {
            Ok(taken) => apart(|| taken.read(|connection| statement.rows(connection, read))),
            Err(error) => Err(error),
        };
        found.map_err(|error| error.meaning(self.folder))
    }

    /// As [`Self::all`], of up to `limit` rows.
    async fn page<T>(
        &self,
        statement: &Statement<'_>,
        limit: u32,
        read: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, StoreError> {
        match limit {
            ..=SHORT => self.all(statement, read).await,
            _ => self.all_of_many(statement, read).await,
        }
    }

    pub(super) async fn first<T>(
        &self,
        statement: &Statement<'_>,
        read: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(statement, read).await?.into_iter().next())
    }

    /// What a stream holds; nothing at all may also mean that there is no such stream.
    async fn of_stream<T>(&self, stream: StreamId, found: Vec<T>) -> Result<Vec<T>, StoreError> {
        if found.is_empty() {
            let mut statement = Statement::new("SELECT 1 FROM streams WHERE id = ?");
            statement.bind(stream.to_u128());
            self.first(&statement, |_| Ok(())).await?.ok_or(StoreError::UnknownStream(stream))?;
        }
        Ok(found)
    }

    pub async fn accepted(&self, tenant: TenantId, asked: &Idempotency) -> Result<Option<Accepted>, StoreError> {
        let mut statement =
            Statement::new("SELECT digest, stream, sequence FROM promises WHERE key = ? AND scope = ? AND tenant = ?");
        statement.bind(&asked.key[..]).bind(&asked.scope[..]).bind(tenant.to_u128());
        let read = |row: &Row<'_>| match array_at::<32>(row, 0)? == asked.digest {
            true => {
                Ok(Accepted::Repeated { stream: StreamId::from_u128(id_at(row, 1)?), sequence: number_at(row, 2)? })
            }
            false => Ok(Accepted::KeyReused),
        };
        self.first(&statement, read).await
    }

    pub async fn head(&self, stream: StreamId) -> Result<Option<StreamHead>, StoreError> {
        let mut statement =
            Statement::new("SELECT s.tenant, s.key_id, s.key_bytes, s.position, s.epoch, s.inbox_through, ");
        statement.add(
            "r.chain, k.key_id, k.key_bytes, k.person FROM streams s LEFT JOIN subject_keys k ON k.no = s.subject ",
        );
        statement.add("LEFT JOIN records r ON r.place = (s.no << 32) + s.position WHERE s.id = ?");
        statement.bind(stream.to_u128());
        let read = |row: &Row<'_>| {
            let position = number_at(row, 3)?;
            Ok(StreamHead {
                tenant: TenantId::from_u128(id_at(row, 0)?),
                key: WrappedKey { subject: super::erase::subject_at(row, 7)?.map(Box::new), ..key_at(row, 1)? },
                position,
                chain: if position == 0 { [0; 32] } else { array_at(row, 6)? },
                epoch: number_at(row, 4)?,
                inbox_through: number_at(row, 5)?,
            })
        };
        self.first(&statement, read).await
    }

    pub async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<SealedRecord>, StoreError> {
        let mut statement = Statement::new("SELECT r.place, r.epoch, r.kind, r.version, r.time, r.cause, r.key_id, ");
        statement.add("r.checksum, r.leaf, r.chain, r.sealed FROM streams s CROSS JOIN records r ON ");
        push_places(&mut statement, stream, after, limit);
        let found = self.page(&statement, limit, record_at).await?;
        self.of_stream(stream, found).await
    }

    pub async fn inbox(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<InboxEntry>, StoreError> {
        let mut statement =
            Statement::new("SELECT r.place, r.received, r.sealed FROM streams s CROSS JOIN inbox r ON ");
        push_places(&mut statement, stream, after, limit);
        let read = |row: &Row<'_>| {
            Ok(InboxEntry { sequence: number_in(row, 0)?, received: time_at(row, 1)?, sealed: bytes_at(row, 2)? })
        };
        let found = self.page(&statement, limit, read).await?;
        self.of_stream(stream, found).await
    }

    pub async fn snapshot_up_to(&self, stream: StreamId, position: u64) -> Result<Option<Snapshot>, StoreError> {
        let read = |row: &Row<'_>| {
            Ok(Snapshot { position: number_at(row, 0)?, version: number_at(row, 1)?, sealed: bytes_at(row, 2)? })
        };
        let found = self.all(&newest_snapshot(stream, position), read).await?;
        Ok(self.of_stream(stream, found).await?.into_iter().next())
    }

    pub async fn ready(&self, limit: u32) -> Result<Vec<Ready>, StoreError> {
        let mut statement = Statement::new(READY);
        statement.bind(limit);
        let id = |row: &Row<'_>, column| id_at(row, column);
        let read = |row: &Row<'_>| {
            Ok(Ready { tenant: TenantId::from_u128(id(row, 0)?), stream: StreamId::from_u128(id(row, 1)?) })
        };
        self.page(&statement, limit, read).await
    }

    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let read = |row: &Row<'_>| Ok(row.get::<_, Option<i64>>(0)?.map(Timestamp::from_millis));
        Ok(self.first(&Statement::new(NEXT_DUE), read).await?.flatten())
    }

    pub async fn row(&self, tenant: TenantId, kind: RowKind, id: u128) -> Result<Option<StoredRow>, StoreError> {
        let mut statement = Statement::new("SELECT r.id, s.id, r.ordinal, r.sealed FROM rows r CROSS JOIN streams s ");
        statement.add("ON s.no = r.stream AND s.tenant = ? WHERE r.id = ? AND r.kind = ?");
        statement.bind(tenant.to_u128()).bind(id).bind(row_kind(kind));
        self.first(&statement, stored_row).await
    }

    pub async fn rows(&self, query: &RowQuery) -> Result<Option<(Vec<StoredRow>, bool)>, StoreError> {
        let place = async |cursor: Option<u128>| {
            let Some(id) = cursor else { return Ok(Some(None)) };
            let found = self.first(&row_place(query, id), |row| Ok(row.get(0)?)).await?;
            Ok::<_, StoreError>(found.map(|ordinal| Some((ordinal, id))))
        };
        let (Some(after), Some(before)) = (place(query.page.after).await?, place(query.page.before).await?) else {
            return Ok(None);
        };
        let window = Window::new(&query.page, after, before);
        let found = self.page(&row_list(query, &window), query.page.limit, stored_row).await?;
        Ok(Some(window.cut(found)))
    }

    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let read = |row: &Row<'_>| {
            Ok(Tenant { id: TenantId::from_u128(id_at(row, 0)?), name: row.get(1)?, key: key_at(row, 2)? })
        };
        self.all(&Statement::new("SELECT id, name, key_id, key_bytes FROM tenants ORDER BY id"), read).await
    }

    pub async fn document(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
        version: Option<u32>,
    ) -> Result<Option<Document>, StoreError> {
        let mut statement = Statement::new(DOCUMENT);
        statement.add("= (d.no << 32) + coalesce(?, d.version) WHERE d.tenant = ? AND d.kind = ? AND d.id = ?");
        statement.bind(version).bind(tenant.to_u128()).bind(document_kind(kind)).bind(id);
        self.first(&statement, |row| read_document(row, kind)).await
    }

    pub async fn document_by_handle(
        &self,
        kind: DocumentKind,
        handle: &str,
    ) -> Result<Option<(TenantId, Document)>, StoreError> {
        let mut statement = Statement::new(DOCUMENT);
        statement.add("= (d.no << 32) + d.version WHERE d.kind = ? AND d.handle = ?");
        statement.bind(document_kind(kind)).bind(handle);
        let read = |row: &Row<'_>| Ok((TenantId::from_u128(id_at(row, 6)?), read_document(row, kind)?));
        self.first(&statement, read).await
    }

    pub async fn document_versions(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
    ) -> Result<Vec<Document>, StoreError> {
        let mut statement = Statement::new(DOCUMENT);
        statement.add("> (d.no << 32) AND v.place < (d.no + 1 << 32) ");
        statement.add("WHERE d.tenant = ? AND d.kind = ? AND d.id = ? ORDER BY v.place");
        statement.bind(tenant.to_u128()).bind(document_kind(kind)).bind(id);
        self.all(&statement, |row| read_document(row, kind)).await
    }

    pub async fn documents(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        page: &Page,
    ) -> Result<Option<(Vec<Document>, bool)>, StoreError> {
        let place = async |cursor: Option<u128>| {
            let Some(id) = cursor else { return Ok(Some(None)) };
            let mut statement =
                Statement::new("SELECT created FROM documents WHERE tenant = ? AND kind = ? AND id = ?");
            statement.bind(tenant.to_u128()).bind(document_kind(kind)).bind(id);
            let found = self.first(&statement, |row| Ok(row.get(0)?)).await?;
            Ok::<_, StoreError>(found.map(|created| Some((created, id))))
        };
        let (Some(after), Some(before)) = (place(page.after).await?, place(page.before).await?) else {
            return Ok(None);
        };
        let window = Window::new(page, after, before);
        let mut statement = Statement::new(DOCUMENT);
        statement.add("= (d.no << 32) + d.version WHERE d.tenant = ? AND d.kind = ?");
        statement.bind(tenant.to_u128()).bind(document_kind(kind));
        window.push(&mut statement, "d.created", "d.id");
        let found = self.all(&statement, |row| read_document(row, kind)).await?;
        Ok(Some(window.cut(found)))
    }
}

const READY: &str = concat!(
    "SELECT tenant, id FROM streams WHERE due_at <= ",
    now!(),
    " AND lease_expires <= ",
    now!(),
    " ORDER BY due_at, no LIMIT ?"
);
const NEXT_DUE: &str = concat!("SELECT min(due_at) FROM streams WHERE due_at > ", now!());
const DOCUMENT: &str = "SELECT d.id, v.place, d.created, v.updated, v.handle, v.sealed, d.tenant \
                        FROM documents d CROSS JOIN document_versions v ON v.place ";

/// Entries of a stream after a number, oldest first.
fn push_places(statement: &mut Statement<'_>, stream: StreamId, after: u64, limit: u32) {
    statement.add("r.place > (s.no << 32) + ? AND r.place < (s.no + 1 << 32) WHERE s.id = ? ORDER BY r.place LIMIT ?");
    statement.bind(integer(after.min(MAX_POSITION))).bind(stream.to_u128()).bind(limit);
}

/// From the place of the position's own span backwards.
fn newest_snapshot(stream: StreamId, position: u64) -> Statement<'static> {
    let mut statement = Statement::new("SELECT p.position, p.version, p.sealed FROM streams s CROSS JOIN snapshots p ");
    statement.add("ON p.place >= (s.no << 32) AND p.place <= (s.no << 32) + ? AND p.position <= ? ");
    statement.add("WHERE s.id = ? ORDER BY p.place DESC LIMIT 1");
    let position = integer(position.min(MAX_POSITION));
    statement.bind(position / integer(SNAPSHOT_SPAN)).bind(position).bind(stream.to_u128());
    statement
}

/// The number in its owner of a `place`.
fn number_in(row: &Row<'_>, column: usize) -> Result<u64, Error> {
    Ok(number_at::<u64>(row, column)? & MAX_POSITION)
}

fn key_at(row: &Row<'_>, column: usize) -> Result<WrappedKey, Error> {
    Ok(WrappedKey::new(number_at(row, column)?, row.get(column + 1)?))
}

/// A record from the columns that [`Reader::records`] reads.
pub(super) fn record_at(row: &Row<'_>) -> Result<SealedRecord, Error> {
    Ok(SealedRecord {
        position: number_in(row, 0)?,
        epoch: number_at(row, 1)?,
        kind: row.get(2)?,
        version: number_at(row, 3)?,
        time: time_at(row, 4)?,
        cause: optional_id_at(row, 5)?.map(ActionId::from_u128),
        key_id: number_at(row, 6)?,
        checksum: number_at(row, 7)?,
        leaf: array_at(row, 8)?,
        chain: array_at(row, 9)?,
        sealed: bytes_at(row, 10)?,
    })
}

fn stored_row(row: &Row<'_>) -> Result<StoredRow, Error> {
    Ok(StoredRow {
        id: id_at(row, 0)?,
        stream: StreamId::from_u128(id_at(row, 1)?),
        ordinal: row.get(2)?,
        sealed: bytes_at(row, 3)?,
    })
}

fn read_document(row: &Row<'_>, kind: DocumentKind) -> Result<Document, Error> {
    let version = u32::try_from(number_in(row, 1)?).map_err(|_| damaged("a version"))?;
    Ok(Document {
        kind,
        id: id_at(row, 0)?,
        version,
        created: time_at(row, 2)?,
        updated: time_at(row, 3)?,
        handle: row.get(4)?,
        sealed: bytes_at(row, 5)?,
    })
}

/// Where in its list a row is.
fn row_place(query: &RowQuery, id: u128) -> Statement<'_> {
    let mut statement = Statement::new("SELECT r.ordinal FROM rows r CROSS JOIN streams s ON s.no = r.stream ");
    statement.add("AND s.tenant = ? WHERE r.id = ? AND r.kind = ? AND r.scope = ?");
    statement.bind(query.tenant.to_u128()).bind(id).bind(row_kind(query.kind)).bind(query.scope);
    if let Some(parent) = query.parent {
        statement.add(" AND r.parent = ?").bind(parent);
    }
    statement
}

/// Follows `rows_list`, or with labels the primary key of `labels` under the first of them: both are in the list's
/// order, so that nothing is sorted and no more is read than the page.
fn row_list<'q>(query: &'q RowQuery, window: &Window) -> Statement<'q> {
    let mut statement = Statement::new("SELECT r.id, s.id, r.ordinal, r.sealed FROM ");
    let (kind, scope) = (row_kind(query.kind), query.scope);
    let list = match query.labels.split_first() {
        None => {
            statement.add(
                "rows r CROSS JOIN streams s ON s.no = r.stream AND s.tenant = ? WHERE r.kind = ? AND r.scope = ?",
            );
            statement.bind(query.tenant.to_u128()).bind(kind).bind(scope);
            "r"
        }
        Some(((name, value), others)) => {
            statement.add("labels l CROSS JOIN rows r ON r.no = l.row CROSS JOIN streams s ON s.no = r.stream ");
            statement.add("AND s.tenant = ? WHERE l.kind = ? AND l.scope = ? AND l.name = ? AND l.value = ?");
            statement.bind(query.tenant.to_u128()).bind(kind).bind(scope).bind(&name[..]).bind(&value[..]);
            for (name, value) in others {
                statement.add(" AND EXISTS (SELECT 1 FROM labels m WHERE m.kind = l.kind AND m.scope = l.scope ");
                statement.add("AND m.name = ? AND m.value = ? AND m.ordinal = l.ordinal AND m.id = l.id)");
                statement.bind(&name[..]).bind(&value[..]);
            }
            "l"
        }
    };
    if let Some(parent) = query.parent {
        statement.add(" AND r.parent = ?").bind(parent);
    }
    window.push(&mut statement, &format!("{list}.ordinal"), &format!("{list}.id"));
    statement
}

/// A page in a list that is sorted by a number and an id.
struct Window {
    after: Option<(i64, u128)>,
    before: Option<(i64, u128)>,
    descending: bool,
    /// Read from its end, because that is where it begins.
    backwards: bool,
    limit: usize,
}

impl Window {
    fn new(page: &Page, after: Option<(i64, u128)>, before: Option<(i64, u128)>) -> Self {
        let backwards = page.after.is_none() && page.before.is_some();
        Self { after, before, descending: page.descending, backwards, limit: page.limit as usize }
    }

    /// One more than the page, to know whether there is more.
    fn push(&self, statement: &mut Statement<'_>, number: &str, id: &str) {
        let (later, earlier) = if self.descending { ("<", ">") } else { (">", "<") };
        for (bound, than) in [(self.after, later), (self.before, earlier)] {
            if let Some((at, cursor)) = bound {
                statement.add(&format!(" AND ({number}, {id}) {than} (?, ?)")).bind(at).bind(cursor);
            }
        }
        let order = if self.descending == self.backwards { "ASC" } else { "DESC" };
        statement.add(&format!(" ORDER BY {number} {order}, {id} {order} LIMIT ?")).bind(self.limit as i64 + 1);
    }

    fn cut<T>(&self, mut found: Vec<T>) -> (Vec<T>, bool) {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        if self.backwards {
            found.reverse();
        }
        (found, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataFolder, Options, SqliteStore};

    /// However much is stored, what is asked for is found by an index and comes in its order.
    #[tokio::test]
    async fn nothing_is_scanned_or_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(Options::new(DataFolder::open(folder.path()).unwrap())).await.unwrap();
        let tenant = TenantId::from_u128(1);
        let list = |labels: &[&str], parent| {
            let labels = labels.iter().map(|name| (name.to_string(), "value".into())).collect();
            let page = Page { limit: 20, descending: true, ..Page::default() };
            let query = RowQuery { tenant, kind: RowKind::Session, scope: 1, parent, labels, page };
            row_list(&query, &Window::new(&query.page, Some((1, 1)), None)).into_text()
        };
        let places = |table: &str| {
            let mut statement = Statement::new("SELECT r.place FROM streams s CROSS JOIN ");
            statement.add(table).add(" r ON ");
            push_places(&mut statement, StreamId::from_u128(1), 0, 1);
            statement.into_text()
        };
        let mut documents = Statement::new(DOCUMENT);
        documents.add("= (d.no << 32) + d.version WHERE d.tenant = ? AND d.kind = ?");
        let page = Page { limit: 20, ..Page::default() };
        Window::new(&page, Some((1, 1)), None).push(&mut documents, "d.created", "d.id");
        let statements = [
            READY.to_owned(),
            NEXT_DUE.to_owned(),
            list(&[], None),
            list(&[], Some(1)),
            list(&["a"], None),
            list(&["a", "b"], None),
            places("records"),
            places("inbox"),
            newest_snapshot(StreamId::from_u128(1), 1).into_text(),
            documents.into_text(),
            format!("{DOCUMENT} = (d.no << 32) + d.version WHERE d.kind = ? AND d.handle = ?"),
            super::super::write::RELEASE_NODE.to_owned(),
            "SELECT digest FROM promises WHERE key = ? AND scope = ? AND tenant = ?".to_owned(),
        ];
        for statement in statements {
            let mut explain = Statement::new("EXPLAIN QUERY PLAN ");
            explain.add(&statement);
            // Values that are missing are NULL, which is all the same to a plan.
            let taken = store.0.readers.take().await.unwrap();
            let steps = taken.read(|connection| {
                let mut explain = connection.prepare(&explain.into_text())?;
                let mut rows = explain.raw_query();
                let mut steps = Vec::new();
                while let Some(row) = rows.next()? {
                    steps.push(row.get::<_, String>(3)?);
                }
                Ok(steps)
            });
            for step in steps.unwrap() {
                assert!(!step.contains("SCAN") && !step.contains("TEMP B-TREE"), "{step}\n{statement}");
            }
        }
    }
}
