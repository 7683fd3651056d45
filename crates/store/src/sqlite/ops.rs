//! The parts of a write as rows of one statement.
//!
//! A statement costs more on its way to the connection's thread and back than in the database. SQLite has no stored
//! procedures, but it has views whose triggers say what an insertion does: a row of `op` is a part of a write, its
//! first column says which. A whole group of commits, of whatever shape, is then one statement: prepared once, sent
//! once, with one answer, and undone as a whole by SQLite itself when one of its parts is refused.
//!
//! The view and its triggers live with the connection (`TEMP`): they are code, and nothing of them is in the file.

use super::{
    script::{Script, integer, now},
    transaction::{Known, Transaction},
    write::row_kind,
};
use bailiwick_ports::store::{Append, Due, Row, RowKind, SNAPSHOT_SPAN, SealedRecord, Snapshot};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

/// Columns of `op` after the one that says which part it is.
const COLUMNS: usize = 11;
/// Parts of one statement.
pub const MAX_OPS: usize = 384;
/// Sizes of the statement. What is missing to the next is filled up with empty rows, so that few are prepared.
const SIZES: [usize; 13] = [4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, MAX_OPS];

const GUARD: i64 = 1;
const RECORD: i64 = 2;
const ROW: i64 = 3;
const NO_ROW: i64 = 4;
const NO_LABELS: i64 = 5;
const LABEL: i64 = 6;
const SNAPSHOT: i64 = 7;

/// What makes the view and its triggers. The message of a refusal is what was refused and the member it is of.
pub const PROCEDURES: &str = concat!(
    r"
CREATE TEMP VIEW op(op, a, b, c, d, e, f, g, h, i, j, k) AS
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

-- member, stream, epoch, after, end, inbox through, release, due now, due at, lease span, inbox last
CREATE TEMP TRIGGER op_guard INSTEAD OF INSERT ON op WHEN NEW.op = 1 BEGIN
    UPDATE streams SET
        position = NEW.e,
        inbox_through = NEW.f,
        lease_expires = CASE WHEN NEW.g AND inbox_last = NEW.f THEN 0 ELSE ",
    now!(),
    r" + lease_span END
        WHERE no = NEW.b AND epoch = NEW.c AND position = NEW.d AND lease_expires > ",
    now!(),
    r"
            AND NEW.f BETWEEN inbox_through AND inbox_last AND lease_span = NEW.j AND inbox_last = NEW.k;
    SELECT RAISE(ABORT, 'guard ' || NEW.a) WHERE changes() = 0;
    DELETE FROM inbox WHERE place > (NEW.b << 32) AND place <= (NEW.b << 32) + NEW.f;
    -- These are indexed. They hardly ever change, and then the index is not written. A stream with inputs is due already.
    UPDATE streams SET lease_node = NULL WHERE no = NEW.b AND NEW.g AND lease_expires = 0;
    UPDATE streams SET due_at = ",
    now!(),
    r"
        WHERE no = NEW.b AND NEW.h AND (due_at IS NULL OR due_at > ",
    now!(),
    r");
    UPDATE streams SET due_at = NEW.i
        WHERE no = NEW.b AND NOT (NEW.h OR inbox_last > NEW.f) AND due_at IS NOT NEW.i;
END;

CREATE TEMP TRIGGER op_record INSTEAD OF INSERT ON op WHEN NEW.op = 2 BEGIN
    INSERT INTO records(place, epoch, kind, version, time, cause, key_id, checksum, leaf, chain, sealed)
        VALUES (NEW.a, NEW.b, NEW.c, NEW.d, NEW.e, NEW.f, NEW.g, NEW.h, NEW.i, NEW.j, NEW.k);
END;

-- member, stream, kind, id, scope, parent, ordinal, sealed
CREATE TEMP TRIGGER op_row INSTEAD OF INSERT ON op WHEN NEW.op = 3 BEGIN
    INSERT INTO rows(stream, kind, id, scope, parent, ordinal, sealed)
        VALUES (NEW.b, NEW.c, NEW.d, NEW.e, NEW.f, NEW.g, NEW.h)
        ON CONFLICT(id, kind) DO UPDATE SET sealed = excluded.sealed WHERE stream = excluded.stream;
    SELECT RAISE(ABORT, 'conflict ' || NEW.a) WHERE changes() = 0;
END;

-- member, stream, kind, id, then: name, value; or member, stream, span, nothing, position, version, sealed
CREATE TEMP TRIGGER op_other INSTEAD OF INSERT ON op WHEN NEW.op BETWEEN 4 AND 7 BEGIN
    SELECT RAISE(ABORT, 'conflict ' || NEW.a)
        WHERE NEW.op = 4 AND EXISTS (SELECT 1 FROM rows WHERE id = NEW.d AND kind = NEW.c AND stream <> NEW.b);
    DELETE FROM labels WHERE NEW.op IN (4, 5) AND row = (SELECT no FROM rows WHERE id = NEW.d AND kind = NEW.c);
    DELETE FROM rows WHERE NEW.op = 4 AND id = NEW.d AND kind = NEW.c;
    INSERT INTO labels(kind, scope, name, value, ordinal, id, row)
        SELECT kind, scope, NEW.e, NEW.f, ordinal, id, no FROM rows WHERE NEW.op = 6 AND id = NEW.d AND kind = NEW.c;
    INSERT OR REPLACE INTO snapshots(place, position, version, sealed)
        SELECT (NEW.b << 32) + NEW.c, NEW.e, NEW.f, NEW.g WHERE NEW.op = 7;
    -- `keeps_snapshot` of the port, whose low bit is `place & -place` but in the first span.
    DELETE FROM snapshots WHERE NEW.op = 7 AND place >= (NEW.b << 32) AND place < (NEW.b << 32) + NEW.c
        AND (NEW.b << 32) + NEW.c - place >= 4 * (place & 4294967295 & -place);
END;
"
);

/// The statement in each of its sizes.
static INSERTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let insert = |size| {
        let mut text = Script::new("INSERT INTO op VALUES ");
        text.tuples(COLUMNS + 1, size);
        text.into_text()
    };
    SIZES.into_iter().map(insert).collect()
});

/// Parts of writes, in their order, for as many statements as they need.
#[derive(Default)]
pub struct Ops {
    /// Each with the number of its parts.
    chunks: Vec<(usize, Script)>,
    /// Hashes of the labels that rows have once this is written.
    pub labels: Vec<(u128, u64)>,
}

/// How many parts an append has at most.
pub fn count(append: &Append) -> usize {
    let of_row = |row: &Row| if row.kind == RowKind::Session { 2 + row.labels.len() } else { 1 };
    let booked = append.balances.len() + append.spend.len();
    let rows: usize = append.rows.iter().map(of_row).sum();
    1 + append.records.len() + rows + booked + usize::from(append.snapshot.is_some())
}

impl Ops {
    /// Begins a part and tells how many columns it takes; the rest stays empty.
    pub(super) fn part(&mut self, op: i64, columns: usize, bind: impl FnOnce(&mut Script)) {
        if self.chunks.last().is_none_or(|(count, _)| *count == MAX_OPS) {
            self.chunks.push((0, Script::new("")));
        }
        let Some((count, script)) = self.chunks.last_mut() else { return };
        *count += 1;
        script.bind(op);
        bind(script);
        (columns..COLUMNS).for_each(|_| {
            script.bind(None::<i64>);
        });
    }

    pub fn append(&mut self, member: usize, known: Known, append: &Append, transaction: &Transaction) {
        let no = known.no;
        let end = append.after + append.records.len() as u64;
        let due_at = match append.due {
            Due::At(at) => Some(at.as_millis()),
            Due::Now | Due::OnInput => None,
        };
        self.part(GUARD, 11, |part| {
            part.bind(member as i64).bind(no).bind(integer(append.epoch)).bind(integer(append.after));
            part.bind(integer(end)).bind(integer(append.inbox_through)).bind(append.release);
            part.bind(append.due == Due::Now).bind(due_at).bind(known.lease_span).bind(known.inbox_last);
        });
        self.records(no, &append.records);
        self.rows(member, no, &append.rows, transaction);
        if let Some(snapshot) = &append.snapshot {
            self.snapshot(member, no, snapshot);
        }
        self.balances(append.tenant, &append.balances);
        self.spend(no, &append.spend);
    }

    pub fn snapshot(&mut self, member: usize, no: i64, snapshot: &Snapshot) {
        let Snapshot { position, version, sealed } = snapshot;
        self.part(SNAPSHOT, 7, |part| {
            part.bind(member as i64).bind(no).bind(integer(*position / SNAPSHOT_SPAN)).bind(None::<i64>);
            part.bind(integer(*position)).bind(*version).bind(&sealed[..]);
        });
    }

    pub fn records(&mut self, no: i64, records: &[SealedRecord]) {
        for record in records {
            self.part(RECORD, 11, |part| {
                part.bind(no << 32 | integer(record.position))
                    .bind(integer(record.epoch))
                    .bind(&record.kind[..])
                    .bind(record.version)
                    .bind(record.time.as_millis())
                    .bind(record.cause.map(|cause| cause.to_u128().to_be_bytes().to_vec()))
                    .bind(record.key_id)
                    .bind(record.checksum)
                    .bind(&record.leaf[..])
                    .bind(&record.chain[..])
                    .bind(&record.sealed[..]);
            });
        }
    }

    pub fn rows(&mut self, member: usize, no: i64, rows: &[Row], transaction: &Transaction) {
        for (at, row) in rows.iter().enumerate() {
            let place = |part: &mut Script| {
                part.bind(member as i64).bind(no).bind(row_kind(row.kind)).bind_id(row.id);
            };
            let Some(sealed) = &row.sealed else {
                self.part(NO_ROW, 4, place);
                self.labels.push((row.id, hash(&[])));
                continue;
            };
            self.part(ROW, 8, |part| {
                place(part);
                part.bind_id(row.scope).bind_id(row.parent).bind(row.ordinal).bind(&sealed[..]);
            });
            if row.kind != RowKind::Session {
                continue;
            }
            // Labels hardly ever change. Those of a row that comes twice are not looked at too closely.
            let hash = hash(&row.labels);
            if transaction.knows_labels(row.id, hash) && !rows[..at].iter().any(|other| other.id == row.id) {
                continue;
            }
            self.part(NO_LABELS, 4, place);
            for (name, value) in &row.labels {
                self.part(LABEL, 6, |part| {
                    place(part);
                    part.bind(&name[..]).bind(&value[..]);
                });
            }
            self.labels.push((row.id, hash));
        }
    }

    /// One statement for every [`MAX_OPS`] parts.
    pub fn into_scripts(self) -> Vec<Script> {
        let script = |(count, mut values): (usize, Script)| {
            let size = SIZES.iter().position(|size| *size >= count).unwrap_or(SIZES.len() - 1);
            (count..SIZES[size]).for_each(|_| {
                (0..=COLUMNS).for_each(|_| {
                    values.bind(None::<i64>);
                });
            });
            values.add(&INSERTS[size]);
            values
        };
        self.chunks.into_iter().map(script).collect()
    }
}

fn hash(labels: &[(String, String)]) -> u64 {
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    hasher.finish()
}
