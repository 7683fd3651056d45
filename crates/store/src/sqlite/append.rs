//! The commit of the gate: the hottest path there is. In the usual case it is one script, with its transaction.

use super::{
    error::guard_failed,
    script::{Script, integer, now},
    write::{find_stream, push_records, push_rows},
    writer::{Failure, Operation, Transaction},
};
use async_trait::async_trait;
use bailiwick_ports::{
    StoreError,
    store::{Append, Appended, Due},
};
use bailiwick_types::Timestamp;
use sqlx::Row as _;

pub struct Commit(pub Append);

#[async_trait]
impl Operation for Commit {
    type Output = Appended;

    async fn run(&self, transaction: &mut Transaction) -> Result<Appended, Failure> {
        let append = &self.0;
        let (no, tenant) = find_stream(transaction, append.stream).await?;
        if tenant != append.tenant {
            return Err(StoreError::UnknownStream(append.stream).into());
        }
        // A stream that is being driven is nearly always due already. Not writing that again saves the index's page.
        let mut stays_due = append.due == Due::Now;
        loop {
            let (script, labels) = script(append, no, stays_due, transaction);
            match transaction.finish(script).await {
                Ok(rows) => {
                    transaction.remember_inbox(append.stream, append.inbox_through);
                    labels.into_iter().for_each(|(row, hash)| transaction.remember_labels(row, hash));
                    return appended(&rows);
                }
                // It is the first statement that failed, so that nothing was written.
                Err(error) if guard_failed(&error, "streams.position") => {
                    refusal(append, no, transaction).await?;
                    if !std::mem::take(&mut stays_due) {
                        return Err(Failure::Broken(error));
                    }
                }
                Err(error) => return Err(Failure::Broken(error)),
            }
        }
    }
}

fn appended(rows: &[sqlx::sqlite::SqliteRow]) -> Result<Appended, Failure> {
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let (now, expires): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let released = expires == 0;
    let now = Timestamp::from_millis(now);
    let expires = if released { now } else { Timestamp::from_millis(expires) };
    Ok(Appended { released, expires, now })
}

/// The labels that are known once the script has run.
type Labels = Vec<(u128, u64)>;

fn script(append: &Append, no: i64, stays_due: bool, transaction: &Transaction) -> (Script, Labels) {
    let mut script = Script::new(concat!(
        "UPDATE streams SET position = CASE WHEN epoch = ? AND position = ? AND lease_expires > ",
        now!(),
        " AND ? BETWEEN inbox_through AND inbox_last"
    ));
    let end = append.after + append.records.len() as u64;
    let through = integer(append.inbox_through);
    script.bind(integer(append.epoch)).bind(integer(append.after)).bind(through);
    if stays_due {
        script.add(concat!(" AND due_at <= ", now!()));
    }
    script.add(" THEN ? END, inbox_through = ?").bind(integer(end)).bind(through);
    if append.release {
        script
            .add(", lease_node = CASE WHEN inbox_last > ? THEN lease_node END")
            .add(", lease_expires = CASE WHEN inbox_last > ? THEN ")
            .add(concat!(now!(), " + lease_span ELSE 0 END"))
            .bind(through)
            .bind(through);
    } else {
        script.add(concat!(", lease_expires = ", now!(), " + lease_span"));
    }
    if !stays_due {
        let at = match append.due {
            Due::At(at) => Some(at.as_millis()),
            Due::Now | Due::OnInput => None,
        };
        script
            .add(", due_at = CASE WHEN ? OR inbox_last > ? THEN ")
            .add(concat!("min(coalesce(due_at, ", now!(), "), ", now!(), ") ELSE ? END"))
            .bind(append.due == Due::Now)
            .bind(through)
            .bind(at);
    }
    script.add(concat!(" WHERE no = ? RETURNING ", now!(), ", lease_expires")).bind(no);
    push_records(&mut script, no, &append.records);
    let labels = push_rows(&mut script, no, &append.rows, transaction);
    if !transaction.knows_inbox(append.stream, append.inbox_through) {
        script.add("; DELETE FROM inbox WHERE place > ? AND place <= ?").bind(no << 32).bind(no << 32 | through);
    }
    if let Some(snapshot) = &append.snapshot {
        script
            .add("; INSERT OR REPLACE INTO snapshots(stream, position, version, sealed) VALUES (?, ?, ?, ?)")
            .bind(no)
            .bind(integer(snapshot.position))
            .bind(snapshot.version)
            .bind(&snapshot.sealed[..]);
    }
    (script, labels)
}

/// Which of the guards was not met. Nothing when all of them are, but for the stream being due.
async fn refusal(append: &Append, no: i64, transaction: &mut Transaction) -> Result<(), Failure> {
    let mut script = Script::new(concat!(
        "SELECT epoch = ? AND position = ? AND lease_expires > ",
        now!(),
        ", inbox_through, inbox_last FROM streams WHERE no = ?"
    ));
    script.bind(integer(append.epoch)).bind(integer(append.after)).bind(no);
    let rows = transaction.run(script).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    if !row.try_get::<bool, _>(0)? {
        let (stream, epoch) = (append.stream, append.epoch);
        return Err(StoreError::StaleEpoch { stream, epoch }.into());
    }
    let (through, last): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    if !(through..=last).contains(&integer(append.inbox_through)) {
        let text = format!("`inbox_through` is {}, not {through} to {last}", append.inbox_through);
        return Err(StoreError::Malformed(text).into());
    }
    Ok(())
}
