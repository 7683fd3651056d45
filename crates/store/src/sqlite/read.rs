//! Reads, each on one of the readers' connections and thereby on whatever was answered before.

use super::{
    error::store_error,
    script::{Script, integer, now},
    write::{array_at, document_kind, id_at, number_at, row_kind, time_at},
};
use bailiwick_ports::{
    StoreError, WrappedKey,
    store::{
        Accepted, Document, DocumentKind, Idempotency, InboxEntry, MAX_POSITION, Page, Ready, RowKind, RowQuery,
        SNAPSHOT_SPAN, SealedRecord, Snapshot, StoredRow, StreamHead, Tenant,
    },
};
use bailiwick_types::{ActionId, StreamId, TenantId, Timestamp};
use bytes::Bytes;
use sqlx::{Row as _, SqlitePool, sqlite::SqliteRow};
use std::path::Path;

pub struct Reader<'a> {
    pub pool: &'a SqlitePool,
    pub folder: &'a Path,
}

impl Reader<'_> {
    pub(super) async fn all<T>(
        &self,
        script: Script,
        read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = async {
            let mut connection = self.pool.acquire().await?;
            script.run(&mut connection).await
        };
        let rows = rows.await.and_then(|rows| rows.iter().map(read).collect());
        rows.map_err(|error| store_error(&error, self.folder))
    }

    pub(super) async fn first<T>(
        &self,
        script: Script,
        read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(script, read).await?.into_iter().next())
    }

    /// What a stream holds; nothing at all may also mean that there is no such stream.
    async fn of_stream<T>(&self, stream: StreamId, found: Vec<T>) -> Result<Vec<T>, StoreError> {
        if found.is_empty() {
            let mut script = Script::new("SELECT 1 FROM streams WHERE id = ?");
            script.bind_id(stream.to_u128());
            self.first(script, |_| Ok(())).await?.ok_or(StoreError::UnknownStream(stream))?;
        }
        Ok(found)
    }

    pub async fn accepted(&self, tenant: TenantId, asked: &Idempotency) -> Result<Option<Accepted>, StoreError> {
        let mut script =
            Script::new("SELECT digest, stream, sequence FROM promises WHERE key = ? AND scope = ? AND tenant = ?");
        script.bind(&asked.key[..]).bind(&asked.scope[..]).bind_id(tenant.to_u128());
        let read = |row: &SqliteRow| match array_at::<32>(row, 0)? == asked.digest {
            true => {
                Ok(Accepted::Repeated { stream: StreamId::from_u128(id_at(row, 1)?), sequence: number_at(row, 2)? })
            }
            false => Ok(Accepted::KeyReused),
        };
        self.first(script, read).await
    }

    pub async fn head(&self, stream: StreamId) -> Result<Option<StreamHead>, StoreError> {
        let mut script = Script::new("SELECT s.tenant, s.key_id, s.key_bytes, s.position, s.epoch, s.inbox_through, ");
        script.add(
            "r.chain, k.key_id, k.key_bytes, k.person FROM streams s LEFT JOIN subject_keys k ON k.no = s.subject ",
        );
        script.add("LEFT JOIN records r ON r.place = (s.no << 32) + s.position WHERE s.id = ?");
        script.bind_id(stream.to_u128());
        let read = |row: &SqliteRow| {
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
        self.first(script, read).await
    }

    pub async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<SealedRecord>, StoreError> {
        let mut script = Script::new("SELECT r.place, r.epoch, r.kind, r.version, r.time, r.cause, r.key_id, ");
        script.add("r.checksum, r.leaf, r.chain, r.sealed FROM streams s CROSS JOIN records r ON ");
        push_places(&mut script, stream, after, limit);
        let found = self.all(script, record_at).await?;
        self.of_stream(stream, found).await
    }

    pub async fn inbox(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<InboxEntry>, StoreError> {
        let mut script = Script::new("SELECT r.place, r.received, r.sealed FROM streams s CROSS JOIN inbox r ON ");
        push_places(&mut script, stream, after, limit);
        let read = |row: &SqliteRow| {
            Ok(InboxEntry { sequence: number_in(row, 0)?, received: time_at(row, 1)?, sealed: bytes_at(row, 2)? })
        };
        let found = self.all(script, read).await?;
        self.of_stream(stream, found).await
    }

    pub async fn snapshot_up_to(&self, stream: StreamId, position: u64) -> Result<Option<Snapshot>, StoreError> {
        let read = |row: &SqliteRow| {
            Ok(Snapshot { position: number_at(row, 0)?, version: number_at(row, 1)?, sealed: bytes_at(row, 2)? })
        };
        let found = self.all(newest_snapshot(stream, position), read).await?;
        Ok(self.of_stream(stream, found).await?.into_iter().next())
    }

    pub async fn ready(&self, limit: u32) -> Result<Vec<Ready>, StoreError> {
        let mut script = Script::new(READY);
        script.bind(limit);
        let id = |row: &SqliteRow, column| id_at(row, column);
        let read = |row: &SqliteRow| {
            Ok(Ready { tenant: TenantId::from_u128(id(row, 0)?), stream: StreamId::from_u128(id(row, 1)?) })
        };
        self.all(script, read).await
    }

    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let read = |row: &SqliteRow| Ok(row.try_get::<Option<i64>, _>(0)?.map(Timestamp::from_millis));
        Ok(self.first(Script::new(NEXT_DUE), read).await?.flatten())
    }

    pub async fn row(&self, tenant: TenantId, kind: RowKind, id: u128) -> Result<Option<StoredRow>, StoreError> {
        let mut script = Script::new("SELECT r.id, s.id, r.ordinal, r.sealed FROM rows r CROSS JOIN streams s ");
        script.add("ON s.no = r.stream AND s.tenant = ? WHERE r.id = ? AND r.kind = ?");
        script.bind_id(tenant.to_u128()).bind_id(id).bind(row_kind(kind));
        self.first(script, stored_row).await
    }

    pub async fn rows(&self, query: &RowQuery) -> Result<Option<(Vec<StoredRow>, bool)>, StoreError> {
        let place = async |cursor: Option<u128>| {
            let Some(id) = cursor else { return Ok(Some(None)) };
            let found = self.first(row_place(query, id), |row| row.try_get(0)).await?;
            Ok::<_, StoreError>(found.map(|ordinal| Some((ordinal, id))))
        };
        let (Some(after), Some(before)) = (place(query.page.after).await?, place(query.page.before).await?) else {
            return Ok(None);
        };
        let window = Window::new(&query.page, after, before);
        let found = self.all(row_list(query, &window), stored_row).await?;
        Ok(Some(window.cut(found)))
    }

    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let read = |row: &SqliteRow| {
            Ok(Tenant { id: TenantId::from_u128(id_at(row, 0)?), name: row.try_get(1)?, key: key_at(row, 2)? })
        };
        self.all(Script::new("SELECT id, name, key_id, key_bytes FROM tenants ORDER BY id"), read).await
    }

    pub async fn document(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
        version: Option<u32>,
    ) -> Result<Option<Document>, StoreError> {
        let mut script = Script::new(DOCUMENT);
        script.add("= (d.no << 32) + coalesce(?, d.version) WHERE d.tenant = ? AND d.kind = ? AND d.id = ?");
        script.bind(version).bind_id(tenant.to_u128()).bind(document_kind(kind)).bind_id(id);
        self.first(script, |row| read_document(row, kind)).await
    }

    pub async fn document_by_handle(
        &self,
        kind: DocumentKind,
        handle: &str,
    ) -> Result<Option<(TenantId, Document)>, StoreError> {
        let mut script = Script::new(DOCUMENT);
        script.add("= (d.no << 32) + d.version WHERE d.kind = ? AND d.handle = ?");
        script.bind(document_kind(kind)).bind(handle);
        let read = |row: &SqliteRow| Ok((TenantId::from_u128(id_at(row, 6)?), read_document(row, kind)?));
        self.first(script, read).await
    }

    pub async fn document_versions(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
    ) -> Result<Vec<Document>, StoreError> {
        let mut script = Script::new(DOCUMENT);
        script.add("> (d.no << 32) AND v.place < (d.no + 1 << 32) ");
        script.add("WHERE d.tenant = ? AND d.kind = ? AND d.id = ? ORDER BY v.place");
        script.bind_id(tenant.to_u128()).bind(document_kind(kind)).bind_id(id);
        self.all(script, |row| read_document(row, kind)).await
    }

    pub async fn documents(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        page: &Page,
    ) -> Result<Option<(Vec<Document>, bool)>, StoreError> {
        let place = async |cursor: Option<u128>| {
            let Some(id) = cursor else { return Ok(Some(None)) };
            let mut script = Script::new("SELECT created FROM documents WHERE tenant = ? AND kind = ? AND id = ?");
            script.bind_id(tenant.to_u128()).bind(document_kind(kind)).bind_id(id);
            let found = self.first(script, |row| row.try_get(0)).await?;
            Ok::<_, StoreError>(found.map(|created| Some((created, id))))
        };
        let (Some(after), Some(before)) = (place(page.after).await?, place(page.before).await?) else {
            return Ok(None);
        };
        let window = Window::new(page, after, before);
        let mut script = Script::new(DOCUMENT);
        script.add("= (d.no << 32) + d.version WHERE d.tenant = ? AND d.kind = ?");
        script.bind_id(tenant.to_u128()).bind(document_kind(kind));
        window.push(&mut script, "d.created", "d.id");
        let found = self.all(script, |row| read_document(row, kind)).await?;
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
fn push_places(script: &mut Script, stream: StreamId, after: u64, limit: u32) {
    script.add("r.place > (s.no << 32) + ? AND r.place < (s.no + 1 << 32) WHERE s.id = ? ORDER BY r.place LIMIT ?");
    script.bind(integer(after.min(MAX_POSITION))).bind_id(stream.to_u128()).bind(limit);
}

/// From the place of the position's own span backwards.
fn newest_snapshot(stream: StreamId, position: u64) -> Script {
    let mut script = Script::new("SELECT p.position, p.version, p.sealed FROM streams s CROSS JOIN snapshots p ");
    script.add("ON p.place >= (s.no << 32) AND p.place <= (s.no << 32) + ? AND p.position <= ? ");
    script.add("WHERE s.id = ? ORDER BY p.place DESC LIMIT 1");
    let position = integer(position.min(MAX_POSITION));
    script.bind(position / integer(SNAPSHOT_SPAN)).bind(position).bind_id(stream.to_u128());
    script
}

/// The number in its owner of a `place`.
fn number_in(row: &SqliteRow, column: usize) -> Result<u64, sqlx::Error> {
    Ok(number_at::<u64>(row, column)? & MAX_POSITION)
}

fn bytes_at(row: &SqliteRow, column: usize) -> Result<Bytes, sqlx::Error> {
    row.try_get::<Vec<u8>, _>(column).map(Bytes::from)
}

fn key_at(row: &SqliteRow, column: usize) -> Result<WrappedKey, sqlx::Error> {
    Ok(WrappedKey::new(number_at(row, column)?, row.try_get(column + 1)?))
}

/// A record from the columns that [`Reader::records`] reads.
pub(super) fn record_at(row: &SqliteRow) -> Result<SealedRecord, sqlx::Error> {
    Ok(SealedRecord {
        position: number_in(row, 0)?,
        epoch: number_at(row, 1)?,
        kind: row.try_get(2)?,
        version: number_at(row, 3)?,
        time: time_at(row, 4)?,
        cause: match row.try_get::<Option<&[u8]>, _>(5)? {
            Some(_) => Some(ActionId::from_u128(id_at(row, 5)?)),
            None => None,
        },
        key_id: number_at(row, 6)?,
        checksum: number_at(row, 7)?,
        leaf: array_at(row, 8)?,
        chain: array_at(row, 9)?,
        sealed: bytes_at(row, 10)?,
    })
}

fn stored_row(row: &SqliteRow) -> Result<StoredRow, sqlx::Error> {
    Ok(StoredRow {
        id: id_at(row, 0)?,
        stream: StreamId::from_u128(id_at(row, 1)?),
        ordinal: row.try_get(2)?,
        sealed: bytes_at(row, 3)?,
    })
}

fn read_document(row: &SqliteRow, kind: DocumentKind) -> Result<Document, sqlx::Error> {
    let version = u32::try_from(number_in(row, 1)?).map_err(|_| super::error::damaged("a version"))?;
    Ok(Document {
        kind,
        id: id_at(row, 0)?,
        version,
        created: time_at(row, 2)?,
        updated: time_at(row, 3)?,
        handle: row.try_get(4)?,
        sealed: bytes_at(row, 5)?,
    })
}

/// Where in its list a row is.
fn row_place(query: &RowQuery, id: u128) -> Script {
    let mut script = Script::new("SELECT r.ordinal FROM rows r CROSS JOIN streams s ON s.no = r.stream ");
    script.add("AND s.tenant = ? WHERE r.id = ? AND r.kind = ? AND r.scope = ?");
    script.bind_id(query.tenant.to_u128()).bind_id(id).bind(row_kind(query.kind)).bind_id(query.scope);
    if let Some(parent) = query.parent {
        script.add(" AND r.parent = ?").bind_id(parent);
    }
    script
}

/// Follows `rows_list`, or with labels the primary key of `labels` under the first of them: both are in the list's
/// order, so that nothing is sorted and no more is read than the page.
fn row_list(query: &RowQuery, window: &Window) -> Script {
    let mut script = Script::new("SELECT r.id, s.id, r.ordinal, r.sealed FROM ");
    let (kind, scope) = (row_kind(query.kind), query.scope);
    let list = match query.labels.split_first() {
        None => {
            script.add(
                "rows r CROSS JOIN streams s ON s.no = r.stream AND s.tenant = ? WHERE r.kind = ? AND r.scope = ?",
            );
            script.bind_id(query.tenant.to_u128()).bind(kind).bind_id(scope);
            "r"
        }
        Some(((name, value), others)) => {
            script.add("labels l CROSS JOIN rows r ON r.no = l.row CROSS JOIN streams s ON s.no = r.stream ");
            script.add("AND s.tenant = ? WHERE l.kind = ? AND l.scope = ? AND l.name = ? AND l.value = ?");
            script.bind_id(query.tenant.to_u128()).bind(kind).bind_id(scope).bind(&name[..]).bind(&value[..]);
            for (name, value) in others {
                script.add(" AND EXISTS (SELECT 1 FROM labels m WHERE m.kind = l.kind AND m.scope = l.scope ");
                script.add("AND m.name = ? AND m.value = ? AND m.ordinal = l.ordinal AND m.id = l.id)");
                script.bind(&name[..]).bind(&value[..]);
            }
            "l"
        }
    };
    if let Some(parent) = query.parent {
        script.add(" AND r.parent = ?").bind_id(parent);
    }
    window.push(&mut script, &format!("{list}.ordinal"), &format!("{list}.id"));
    script
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
    fn push(&self, script: &mut Script, number: &str, id: &str) {
        let (later, earlier) = if self.descending { ("<", ">") } else { (">", "<") };
        for (bound, than) in [(self.after, later), (self.before, earlier)] {
            if let Some((at, cursor)) = bound {
                script.add(&format!(" AND ({number}, {id}) {than} (?, ?)")).bind(at).bind_id(cursor);
            }
        }
        let order = if self.descending == self.backwards { "ASC" } else { "DESC" };
        script.add(&format!(" ORDER BY {number} {order}, {id} {order} LIMIT ?")).bind(self.limit as i64 + 1);
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
            let mut script = Script::new(&format!("SELECT r.place FROM streams s CROSS JOIN {table} r ON "));
            push_places(&mut script, StreamId::from_u128(1), 0, 1);
            script.into_text()
        };
        let mut documents = Script::new(DOCUMENT);
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
            "UPDATE streams SET lease_node = NULL, lease_expires = 0 WHERE lease_node = ?".to_owned(),
            "SELECT digest FROM promises WHERE key = ? AND scope = ? AND tenant = ?".to_owned(),
        ];
        for statement in statements {
            let explain = Script::new(&format!("EXPLAIN QUERY PLAN {statement}"));
            let mut connection = store.0.readers.acquire().await.unwrap();
            for row in explain.run(&mut connection).await.unwrap() {
                let step: String = row.get(3);
                assert!(!step.contains("SCAN") && !step.contains("TEMP B-TREE"), "{step}\n{statement}");
            }
        }
    }
}
