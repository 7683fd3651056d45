//! The commits of the gate: the hottest path there is.
//!
//! One statement checks everything that can refuse an append and moves the stream on, so that one that is refused has
//! written nothing. What is indexed is written only where it changes.

use super::{
    error::Error,
    parts::{put_records, put_rows, put_snapshot},
    statement::{Statement, integer, now},
    transaction::{Known, Transaction},
    write::find_stream,
    writer::{Failure, Operation},
};
use bailiwick_ports::{
    StoreError,
    store::{Append, Appended, Due},
};
use bailiwick_types::Timestamp;

pub struct Write(pub Append);

impl Operation for Write {
    type Output = Appended;

    fn run(&self, transaction: &mut Transaction) -> Result<Appended, Failure> {
        let append = &self.0;
        let known = find_stream(transaction, append.stream)?;
        if known.tenant != append.tenant {
            return Err(StoreError::UnknownStream(append.stream).into());
        }
        let Some(moved) = move_on(transaction, known.no, append)? else {
            return Err(why_refused(transaction, known.no, append)?.into());
        };
        let through = integer(append.inbox_through);
        if through != known.inbox_through {
            let mut statement = Statement::new("DELETE FROM inbox WHERE place > ? AND place <= ?");
            statement.bind(known.no << 32).bind((known.no << 32) + through);
            transaction.run(&statement)?;
        }
        reschedule(transaction, known.no, append, &moved)?;
        put_records(transaction, known.no, &append.records)?;
        put_rows(transaction, known.no, &append.rows)?;
        if let Some(snapshot) = &append.snapshot {
            put_snapshot(transaction, known.no, snapshot)?;
        }
        super::book::put_balances(transaction, append.tenant, &append.balances)?;
        super::book::put_spend(transaction, known.no, append)?;
        transaction.appended(known.no);
        let now_known = Known { inbox_last: moved.inbox_last, inbox_through: through, ..known };
        transaction.remember(append.stream, now_known);
        let expires = if moved.released { moved.now } else { moved.expires };
        Ok(Appended { released: moved.released, expires, now: moved.now })
    }
}

/// A stream after it has moved on.
struct Moved {
    now: Timestamp,
    expires: Timestamp,
    released: bool,
    leased: bool,
    inbox_last: i64,
    due_at: Option<i64>,
}

const MOVE_ON: &str = concat!(
    "UPDATE streams SET position = ?4, inbox_through = ?5, \
     lease_expires = CASE WHEN ?6 AND inbox_last = ?5 THEN 0 ELSE ",
    now!(),
    " + lease_span END WHERE no = ?1 AND epoch = ?2 AND position = ?3 AND lease_expires > ",
    now!(),
    " AND ?5 BETWEEN inbox_through AND inbox_last RETURNING ",
    now!(),
    ", lease_expires, lease_node IS NOT NULL, inbox_last, due_at"
);

/// Takes a stream to the end of the append, unless something is against it.
fn move_on(transaction: &mut Transaction, no: i64, append: &Append) -> Result<Option<Moved>, Error> {
    let end = append.after + append.records.len() as u64;
    let through = integer(append.inbox_through);
    let mut statement = Statement::new(MOVE_ON);
    statement.bind(no).bind(integer(append.epoch)).bind(integer(append.after)).bind(integer(end));
    statement.bind(through).bind(append.release);
    transaction.first(&statement, |row| {
        let inbox_last = row.get(3)?;
        Ok(Moved {
            now: Timestamp::from_millis(row.get(0)?),
            expires: Timestamp::from_millis(row.get(1)?),
            released: append.release && inbox_last == through,
            leased: row.get(2)?,
            inbox_last,
            due_at: row.get(4)?,
        })
    })
}

/// Whose the stream is and when it is due. Both are indexed and hardly ever change.
fn reschedule(transaction: &mut Transaction, no: i64, append: &Append, moved: &Moved) -> Result<(), Error> {
    if moved.released && moved.leased {
        let mut statement = Statement::new("UPDATE streams SET lease_node = NULL WHERE no = ?");
        statement.bind(no);
        transaction.run(&statement)?;
    }
    let now = moved.now.as_millis();
    let due_at = match append.due {
        Due::Now => Some(moved.due_at.map_or(now, |due| due.min(now))),
        // A stream with inputs is due already.
        _ if moved.inbox_last > integer(append.inbox_through) => moved.due_at,
        Due::At(at) => Some(at.as_millis()),
        Due::OnInput => None,
    };
    if due_at != moved.due_at {
        let mut statement = Statement::new("UPDATE streams SET due_at = ? WHERE no = ?");
        statement.bind(due_at).bind(no);
        transaction.run(&statement)?;
    }
    Ok(())
}

/// What was against it.
fn why_refused(transaction: &mut Transaction, no: i64, append: &Append) -> Result<StoreError, Error> {
    let mut statement = Statement::new(concat!(
        "SELECT epoch = ? AND position = ? AND lease_expires > ",
        now!(),
        ", inbox_through, inbox_last FROM streams WHERE no = ?"
    ));
    statement.bind(integer(append.epoch)).bind(integer(append.after)).bind(no);
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    match transaction.first(&statement, read)? {
        Some((true, through, last)) if !(through..=last).contains(&integer(append.inbox_through)) => {
            let text = format!("`inbox_through` is {}, not {through} to {last}", append.inbox_through);
            Ok(StoreError::Malformed(text))
        }
        // It may also have run out just before this was asked.
        _ => Ok(StoreError::StaleEpoch { stream: append.stream, epoch: append.epoch }),
    }
}
