//! The commits of the gate: the hottest path there is. All that wait are one statement and one message, which answers
//! with nothing but that it is done.

use super::{
    error::refused,
    ops::Ops,
    script::{Script, integer, now},
    transaction::{Known, Transaction},
    write::{find_stream, number_at},
    writer::{Failure, PendingAppend},
};
use bailiwick_ports::{
    StoreError,
    store::{Append, Appended},
};
use bailiwick_types::{Millis, Timestamp};
use sqlx::Row as _;
use std::{
    collections::{BTreeMap, HashSet},
    time::{SystemTime, UNIX_EPOCH},
};

/// Writes all appends of a group and ends the transaction. Those that are refused have written nothing and do not keep
/// the others from being written.
pub async fn write(transaction: &mut Transaction, appends: &mut [PendingAppend]) -> Result<(), sqlx::Error> {
    let mut members = BTreeMap::new();
    for (member, pending) in appends.iter_mut().enumerate() {
        match find_stream(transaction, pending.append.stream).await {
            Ok(known) if known.tenant == pending.append.tenant => drop(members.insert(member, known)),
            Ok(_) => pending.verdict = Some(Err(StoreError::UnknownStream(pending.append.stream))),
            Err(Failure::Refused(error)) => pending.verdict = Some(Err(error)),
            Err(Failure::Broken(error)) => return Err(error),
        }
    }
    while !members.is_empty() {
        let mut ops = Ops::default();
        // Two appends to one stream are judged one after the other.
        let mut streams = HashSet::new();
        let round: Vec<_> = members.iter().map(|(member, known)| (*member, *known)).collect();
        let round: Vec<_> = round.into_iter().filter(|(_, known)| streams.insert(known.no)).collect();
        for (member, known) in &round {
            ops.append(*member, *known, &appends[*member].append, transaction);
        }
        let labels = std::mem::take(&mut ops.labels);
        let now = database_now();
        let Err(error) = send(transaction, ops).await else {
            transaction.remember_labels(labels);
            for (member, known) in round {
                transaction.appended(known.no);
                appends[member].verdict = Some(Ok(appended(&appends[member].append, known, now)));
                members.remove(&member);
            }
            continue;
        };
        let Some((what, member)) = refused(&error) else { return Err(error) };
        let (Some(known), Some(pending)) = (members.remove(&member), appends.get_mut(member)) else {
            return Err(error);
        };
        let refusal = match what {
            "guard" => check_guards(transaction, &pending.append, known).await?,
            _ => Err(StoreError::Conflict),
        };
        match refusal {
            Err(refusal) => pending.verdict = Some(Err(refusal)),
            Ok(known) => drop(members.insert(member, known)),
        }
    }
    Ok(())
}

/// An append of more than one statement is alone in its group; when it is refused nothing of it may stay.
async fn send(transaction: &mut Transaction, ops: Ops) -> Result<(), sqlx::Error> {
    let mut scripts = ops.into_scripts();
    let Some(last) = scripts.pop() else { return Ok(()) };
    if scripts.is_empty() {
        return transaction.run_alone(last).await.map(drop);
    }
    let whole = async {
        for script in scripts {
            transaction.run(script).await?;
        }
        transaction.commit_with(last).await
    };
    let done = whole.await;
    if done.is_err() && !transaction.roll_back().await {
        return Err(sqlx::Error::WorkerCrashed);
    }
    done.map(drop)
}

/// The clock that SQLite reads, read a moment before it does: what is told of a lease is never more than what holds.
#[allow(clippy::disallowed_methods, reason = "asking SQLite for the time of its machine costs more than the append")]
fn database_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How the lease stands. The guard has checked what was known of the stream.
fn appended(append: &Append, known: Known, now: Timestamp) -> Appended {
    let released = append.release && integer(append.inbox_through) == known.inbox_last;
    let span = if released { 0 } else { known.lease_span };
    Appended { released, expires: now + Millis(span.unsigned_abs()), now }
}

/// Which of the guards was not met. When all of them are, it was what the writer knew: here is what it should know.
async fn check_guards(
    transaction: &mut Transaction,
    append: &Append,
    known: Known,
) -> Result<Result<Known, StoreError>, sqlx::Error> {
    let mut script = Script::new(concat!(
        "SELECT epoch = ? AND position = ? AND lease_expires > ",
        now!(),
        ", lease_span, inbox_through, inbox_last FROM streams WHERE no = ?"
    ));
    script.bind(integer(append.epoch)).bind(integer(append.after)).bind(known.no);
    let rows = transaction.look(script).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    if !row.try_get::<bool, _>(0)? {
        let (stream, epoch) = (append.stream, append.epoch);
        return Ok(Err(StoreError::StaleEpoch { stream, epoch }));
    }
    let (through, last): (u64, u64) = (number_at(row, 2)?, number_at(row, 3)?);
    if !(through..=last).contains(&append.inbox_through) {
        let text = format!("`inbox_through` is {}, not {through} to {last}", append.inbox_through);
        return Ok(Err(StoreError::Malformed(text)));
    }
    let now_known = Known { lease_span: row.try_get(1)?, inbox_last: row.try_get(3)?, ..known };
    if now_known == known {
        return Err(sqlx::Error::Protocol("an append was refused for no reason".into()));
    }
    transaction.remember(append.stream, now_known);
    Ok(Ok(now_known))
}
