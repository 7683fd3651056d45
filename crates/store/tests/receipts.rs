//! Questions over very many receipts. `BAILIWICK_RECEIPTS=1000000 cargo nextest run -p bailiwick-store --no-capture
//! receipts` prints what each takes with a million.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "it measures, and prints")]

use bailiwick_ports::{
    Cost, Ending, LogStore as _, Spend, SpendBy, SpendEntry, SpendQuery, Store as _, TurnOutcome, WrappedKey,
    log::{
        Advance, MAX_ADVANCE, ReceiptFilter, ReceiptKind, ReceiptOutcome, ReceiptQuery, ReceiptRow, Run, Settlement,
    },
    store::{Append, NewStream, SealedRecord},
};
use bailiwick_store::{DataFolder, Options, SqliteStore};
use bailiwick_types::{ActionId, AgentId, Money, StreamId, TeamId, TenantId, Timestamp, TokenUsage, TurnId, UserId};
use bytes::Bytes;
use common::{append, leased};
use std::time::Instant;

mod common;

/// Where the environment names no other number.
const RECEIPTS: u64 = 20_000;
/// Receipts of one stream, which has one record for each.
const PER_STREAM: u64 = MAX_ADVANCE as u64;

fn receipt(stream: StreamId, index: u64) -> ReceiptRow {
    let settled = Settlement { position: index % PER_STREAM + 1, effect: "confirmed".into(), cost: Some(7) };
    ReceiptRow {
        index,
        stream,
        position: index % PER_STREAM + 1,
        kind: ReceiptKind::Action,
        action: Some(ActionId::from_u128(u128::from(index) + 1)),
        operation: ["model.call", "command.run", "file.read", "file.write"][index as usize % 4].into(),
        decision: if index.is_multiple_of(1000) { "denied" } else { "allowed" }.into(),
        orderer: Some(format!("user_{:032x}", index % 100)),
        person: Some(UserId::from_u128(u128::from(index) % 100)),
        // One agent did half of everything.
        agent: Some(AgentId::from_u128(if index.is_multiple_of(2) { 0 } else { u128::from(index) % 50 + 1 })),
        time: Timestamp::from_millis(index as i64 * 100),
        leaves: index.is_multiple_of(4),
        credentials: Vec::new(),
        outcome: Some(settled),
    }
}

fn wanted() -> u64 {
    std::env::var("BAILIWICK_RECEIPTS").ok().and_then(|count| count.parse().ok()).unwrap_or(RECEIPTS)
}

#[tokio::test]
async fn questions_over_very_many_receipts_find_what_they_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(Options::new(DataFolder::open(folder.path()).unwrap())).await.unwrap();
    let tenant = TenantId::from_u128(1);
    store.create_log(tenant, Bytes::new()).await.unwrap();
    let begun = Instant::now();
    let mut advancing = 0.0;
    let mut size = 0;
    while size < wanted() {
        let stream = StreamId::from_u128(u128::from(size) + (1 << 80));
        let record = |position| SealedRecord {
            position,
            epoch: 0,
            kind: "action.decided".into(),
            version: 1,
            time: Timestamp::default(),
            cause: None,
            key_id: 1,
            checksum: 0,
            sealed: Bytes::from_static(b"sealed"),
            leaf: [1; 32],
            chain: [2; 32],
        };
        let new = NewStream {
            tenant,
            stream,
            key: WrappedKey::new(1, vec![1]),
            records: (1..=PER_STREAM).map(record).collect(),
            rows: Vec::new(),
            inputs: Vec::new(),
            idempotency: None,
        };
        store.create_stream(new).await.unwrap();
        let advance = Advance {
            tenant,
            size,
            runs: vec![Run { stream, position: 1, index: size, count: PER_STREAM }],
            tiles: Vec::new(),
            receipts: (size..size + PER_STREAM).map(|index| receipt(stream, index)).collect(),
            outcomes: Vec::<ReceiptOutcome>::new(),
        };
        let one = Instant::now();
        store.advance(advance).await.unwrap();
        advancing += one.elapsed().as_secs_f64();
        size += PER_STREAM;
    }
    eprintln!("made {size} receipts in {:.1} s, {advancing:.1} s of it the log's", begun.elapsed().as_secs_f64());
    let newest = |filter| ReceiptQuery { filter, descending: true, after: None, limit: 100 };
    let all = ReceiptFilter::default;
    let agent = Some(AgentId::from_u128(0));
    let day = (Some(Timestamp::from_millis(40_000_000)), Some(Timestamp::from_millis(50_000_000)));
    for (what, filter, least) in [
        ("newest", all(), 100),
        ("of a person", ReceiptFilter { person: Some(UserId::from_u128(7)), ..all() }, 100),
        ("of an orderer", ReceiptFilter { orderer: Some(format!("user_{:032x}", 7)), ..all() }, 100),
        ("of an agent and operation", ReceiptFilter { agent, operation: Some("file.read".into()), ..all() }, 100),
        ("of an agent, on a day", ReceiptFilter { agent, from: day.0, until: day.1, ..all() }, 0),
        ("what left the walls", ReceiptFilter { leaves: true, ..all() }, 100),
        ("denied", ReceiptFilter { decision: Some("denied".into()), ..all() }, 20),
        ("of a session", ReceiptFilter { session: Some(StreamId::from_u128(1 << 80).into()), ..all() }, 100),
        ("none at all", ReceiptFilter { effect: Some("unknown".into()), ..all() }, 0),
    ] {
        let begun = Instant::now();
        let (found, _) = store.receipts(tenant, &newest(filter)).await.unwrap().unwrap();
        eprintln!("{what}: {} in {:.1} ms", found.len(), begun.elapsed().as_secs_f64() * 1e3);
        assert!(found.len() >= least, "{what}: {} found", found.len());
    }
    let begun = Instant::now();
    store.receipt(tenant, ActionId::from_u128(5_000)).await.unwrap().unwrap();
    eprintln!("one action: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    let reach = store.tally(tenant, AgentId::from_u128(0)).await.unwrap();
    eprintln!("reach of the busiest agent: {} in {:.1} ms", reach.len(), begun.elapsed().as_secs_f64() * 1e3);
}

/// Every fourth receipt is a call of a model, and every turn has four of them.
#[tokio::test]
async fn what_a_team_spent_on_finished_work_is_one_question() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(Options::new(DataFolder::open(folder.path()).unwrap())).await.unwrap();
    let (stream, epoch) = leased(&store, 1).await;
    let (calls, each) = (wanted() / 4, 200);
    let call = |number: u64| {
        let amount = Money::from_micros(10);
        SpendEntry::Call(Box::new(Spend {
            position: number + 1,
            time: Timestamp::from_millis(number as i64 * 400),
            turn: TurnId::from_u128(u128::from(number / 4) + 1),
            action: ActionId::from_u128(u128::from(number) + 1),
            person: format!("user_{:032x}", number % 100),
            team: Some(TeamId::from_u128(u128::from(number / 4 % 10) + 1)),
            agent: AgentId::from_u128(u128::from(number % 50) + 1),
            session: stream.into(),
            model: "main".into(),
            ending: Ending::Happened,
            usage: TokenUsage { input: 10, cached_input: 4, output: 5, reasoning_output: 2 },
            cost: Some(Cost { amount, estimated: false, price_version: 1, lost_attempts: 0 }),
        }))
    };
    let mut position = 0;
    for first in (0..calls).step_by(each as usize) {
        position += 1;
        let mut spend: Vec<SpendEntry> = (first..calls.min(first + each)).map(call).collect();
        let ended = (first / 4..calls.min(first + each) / 4).map(|turn| SpendEntry::TurnEnded {
            turn: TurnId::from_u128(u128::from(turn) + 1),
            outcome: if turn.is_multiple_of(3) { TurnOutcome::Failed } else { TurnOutcome::Completed },
        });
        spend.extend(ended);
        store.append(Append { spend, ..append(stream, epoch, position, 10) }).await.unwrap();
    }
    let query = SpendQuery {
        tenant: TenantId::from_u128(1),
        from: Timestamp::default(),
        until: Timestamp::from_millis(i64::MAX),
        only: vec![(SpendBy::Team, TeamId::from_u128(3).to_string()), (SpendBy::Outcome, "completed".into())],
        by: vec![SpendBy::Team, SpendBy::Outcome],
        limit: 10,
    };
    let begun = Instant::now();
    let sums = store.spend(query).await.unwrap();
    eprintln!("what a team spent, of {calls} calls: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let expected = (0..calls).filter(|number| number / 4 % 10 == 2 && !(number / 4).is_multiple_of(3)).count() as u64;
    assert_eq!(
        sums.iter().map(|sum| (sum.calls, sum.cost.as_micros())).collect::<Vec<_>>(),
        [(expected, expected as i64 * 10)]
    );
}
