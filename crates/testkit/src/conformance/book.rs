//! Balances, and the book of what was spent: both written with records, or not at all.

use super::{Check, checks, kit::*};
use bailiwick_ports::{
    AccountKey, Balance, BalanceChange, Cost, Ending, Spend, SpendBy, SpendEntry, SpendQuery, SpendSum, StoreError,
    TurnOutcome, Window, store::Append,
};
use bailiwick_types::{
    ActionId, AgentId, Millis, Money, SessionId, StreamId, TeamId, TenantId, Timestamp, TokenUsage, TurnId,
};

pub const CHECKS: &[Check] = checks![
    balances_add_up_and_outlive_their_window,
    a_refused_append_changes_no_balance,
    calls_are_summed_by_every_dimension,
    sums_are_of_one_tenant_one_time_and_what_was_asked,
];

const DAY: i64 = 24 * 3_600_000;
const SPAN: Millis = Millis::from_secs(30);

fn key(account: &str, start: i64) -> AccountKey {
    AccountKey { account: account.into(), window: Window::Day, start: Timestamp::from_millis(start) }
}

fn change(account: &str, start: i64, spent: i64, reserved: i64) -> BalanceChange {
    BalanceChange { key: key(account, start), spent, reserved }
}

async fn balances_add_up_and_outlive_their_window(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, SPAN).await.epoch;
    let balances = vec![change("a", 0, 0, 10), change("b", 0, 1, 0)];
    let first = Append { balances, ..append(tenant, stream, epoch, 0, 1) };
    kit.append(first).await.unwrap();
    let balances = vec![change("a", 0, 7, -10), change("a", DAY, 0, 5)];
    let second = Append { balances, ..append(tenant, stream, epoch, 1, 1) };
    kit.append(second).await.unwrap();
    let balance = async |tenant, key: AccountKey| kit.balance(tenant, &key).await.unwrap();
    assert_eq!(balance(tenant, key("a", 0)).await, Balance { spent: 7, reserved: 0 });
    assert_eq!(balance(tenant, key("a", DAY)).await, Balance { spent: 0, reserved: 5 });
    assert_eq!(balance(tenant, key("b", 0)).await, Balance { spent: 1, reserved: 0 });
    assert_eq!(balance(tenant, key("c", 0)).await, Balance::default());
    assert_eq!(balance(TenantId::from_u128(999), key("a", 0)).await, Balance::default());
    let hour = AccountKey { window: Window::Hour, ..key("a", 0) };
    assert_eq!(balance(tenant, hour).await, Balance::default());
}

async fn a_refused_append_changes_no_balance(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, SPAN).await.epoch;
    let balances = vec![change("a", 0, 3, 4)];
    let spend = vec![call(1, 0)];
    let late = Append { balances, spend, ..append(tenant, stream, epoch + 1, 0, 1) };
    assert_eq!(kit.append(late).await, stale(stream, epoch + 1));
    assert_eq!(kit.balance(tenant, &key("a", 0)).await.unwrap(), Balance::default());
    assert!(kit.spend(query(tenant, &[SpendBy::Model])).await.unwrap().is_empty());
}

fn query(tenant: TenantId, by: &[SpendBy]) -> SpendQuery {
    let (from, until) = (Timestamp::from_millis(0), Timestamp::from_millis(100 * DAY));
    SpendQuery { tenant, from, until, only: Vec::new(), by: by.to_vec(), limit: 100 }
}

/// The call that the record at `position` tells of, of a micro-unit for each position.
fn spend(position: u64, time: i64) -> Spend {
    let even = position.is_multiple_of(2);
    let usage = TokenUsage { input: 10, cached_input: 4, output: 5, reasoning_output: 2 };
    let amount = Money::from_micros(position as i64);
    Spend {
        position,
        time: Timestamp::from_millis(time),
        turn: TurnId::from_u128(u128::from(position % 2) + 1),
        action: ActionId::from_u128(u128::from(position)),
        person: if even { "user_1" } else { "operator" }.into(),
        team: even.then(|| TeamId::from_u128(3)),
        agent: AgentId::from_u128(4),
        session: SessionId::from_u128(0),
        model: if position == 3 { "dear" } else { "main" }.into(),
        ending: Ending::Happened,
        usage,
        cost: (position != 4).then_some(Cost { amount, estimated: position == 3, price_version: 1, lost_attempts: 0 }),
    }
}

fn call(position: u64, time: i64) -> SpendEntry {
    SpendEntry::Call(Box::new(spend(position, time)))
}

/// Four calls on two days in two turns, one of which has ended.
async fn with_calls(kit: &Kit) -> (TenantId, StreamId) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, SPAN).await.epoch;
    let of = |entry: SpendEntry| match entry {
        SpendEntry::Call(call) => SpendEntry::Call(Box::new(Spend { session: stream.into(), ..*call })),
        other => other,
    };
    let ended = SpendEntry::TurnEnded { turn: TurnId::from_u128(1), outcome: TurnOutcome::Failed };
    let spend = [call(1, 5), call(2, 5), call(3, DAY), call(4, DAY), ended].map(of).to_vec();
    kit.append(Append { spend, ..append(tenant, stream, epoch, 0, 4) }).await.unwrap();
    (tenant, stream)
}

fn costs(sums: &[SpendSum]) -> Vec<(Vec<&str>, u64, i64)> {
    sums.iter().map(|sum| (sum.values.iter().map(String::as_str).collect(), sum.calls, sum.cost.as_micros())).collect()
}

async fn calls_are_summed_by_every_dimension(kit: Kit) {
    let (tenant, stream) = with_calls(&kit).await;
    let sums = async |by: &[SpendBy]| kit.spend(query(tenant, by)).await.unwrap();
    let whole = sums(&[]).await;
    let expected = SpendSum {
        values: Vec::new(),
        calls: 4,
        unpriced: 1,
        input: 40,
        cached_input: 16,
        output: 20,
        cost: Money::from_micros(6),
        estimated: Money::from_micros(3),
    };
    assert_eq!(whole, [expected]);
    // Of what costs the same, the more often called comes first.
    assert_eq!(costs(&sums(&[SpendBy::Model]).await), [(vec!["main"], 3, 3), (vec!["dear"], 1, 3)]);
    let day = costs(&sums(&[SpendBy::Day, SpendBy::Outcome]).await)
        .into_iter()
        .map(|(values, calls, cost)| (values.join(" "), calls, cost))
        .collect::<std::collections::BTreeSet<_>>();
    let expected = [
        ("1970-01-01 failed", 1, 2),
        ("1970-01-01 running", 1, 1),
        ("1970-01-02 failed", 1, 0),
        ("1970-01-02 running", 1, 3),
    ];
    assert_eq!(day, expected.map(|(values, calls, cost)| (values.to_owned(), calls, cost)).into());
    let team = TeamId::from_u128(3).to_string();
    assert_eq!(
        costs(&sums(&[SpendBy::Person, SpendBy::Team]).await),
        [(vec!["operator", ""], 2, 4), (vec!["user_1", &team], 2, 2)]
    );
    let (agent, session) = (AgentId::from_u128(4).to_string(), SessionId::from(stream).to_string());
    assert_eq!(costs(&sums(&[SpendBy::Agent, SpendBy::Session]).await), [(vec![&*agent, &*session], 4, 6)]);
}

async fn sums_are_of_one_tenant_one_time_and_what_was_asked(kit: Kit) {
    let (tenant, stream) = with_calls(&kit).await;
    let calls = async |query: SpendQuery| {
        let sums = kit.spend(query).await.unwrap();
        sums.first().map_or(0, |sum| sum.calls)
    };
    let all = query(tenant, &[]);
    assert_eq!(calls(query(TenantId::from_u128(999), &[])).await, 0);
    let first = SpendQuery { until: Timestamp::from_millis(DAY), ..all.clone() };
    assert_eq!(calls(first).await, 2);
    let second = SpendQuery { from: Timestamp::from_millis(DAY), ..all.clone() };
    assert_eq!(calls(second).await, 2);
    for (by, value, expected) in [
        (SpendBy::Model, "main".to_owned(), 3),
        (SpendBy::Model, "x' OR 1 --".to_owned(), 0),
        (SpendBy::Person, "user_1".to_owned(), 2),
        (SpendBy::Team, String::new(), 2),
        (SpendBy::Team, TeamId::from_u128(3).to_string(), 2),
        (SpendBy::Team, "no id".to_owned(), 0),
        (SpendBy::Session, SessionId::from(stream).to_string(), 4),
        (SpendBy::Outcome, "failed".to_owned(), 2),
        (SpendBy::Outcome, "running".to_owned(), 2),
        (SpendBy::Outcome, "never".to_owned(), 0),
    ] {
        let only = vec![(by, value)];
        assert_eq!(calls(SpendQuery { only: only.clone(), ..all.clone() }).await, expected, "{only:?}");
    }
    let by_day = SpendQuery { only: vec![(SpendBy::Day, "1970-01-01".into())], ..all.clone() };
    assert!(matches!(kit.spend(by_day).await, Err(StoreError::Malformed(_))));
    let few = SpendQuery { limit: 1, ..query(tenant, &[SpendBy::Model, SpendBy::Day]) };
    assert_eq!(kit.spend(few).await.unwrap().len(), 1);
}
