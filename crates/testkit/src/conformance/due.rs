//! Which streams want to be driven, and when.

use super::{Check, checks, kit::*};
use bailiwick_ports::store::{Append, Due, Ready};
use bailiwick_types::{Millis, StreamId, TenantId, Timestamp};

pub const CHECKS: &[Check] = checks![
    ready_streams_come_longest_waiting_first,
    a_leased_stream_is_not_ready_until_its_lease_ends,
    due_now_is_ready_after_the_release,
    due_at_a_time_is_ready_from_then_on,
    an_input_wakes_a_stream_before_its_time,
    a_stream_with_inputs_is_due_whatever_was_asked,
];

fn release(tenant: TenantId, stream: StreamId, epoch: u64, due: Due) -> Append {
    Append { due, release: true, ..append(tenant, stream, epoch, 0, 1) }
}

async fn ready_streams_come_longest_waiting_first(kit: Kit) {
    let mut expected = Vec::new();
    for _ in 0..3 {
        let (tenant, stream) = kit.stream().await;
        kit.give(tenant, stream, &["a"]).await;
        let now = kit.now().await;
        kit.past(now).await;
        expected.push(Ready { tenant, stream });
    }
    // More inputs do not send it back to the end.
    kit.give(expected[0].tenant, expected[0].stream, &["b"]).await;
    assert_eq!(kit.ready(10).await, Ok(expected.clone()));
    assert_eq!(kit.ready(2).await, Ok(expected[..2].to_vec()));
    assert_eq!(kit.ready(0).await, Ok(vec![]));
}

async fn a_leased_stream_is_not_ready_until_its_lease_ends(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    kit.give(tenant, stream, &["a"]).await;
    let lease = kit.leased(stream, LONG).await;
    assert!(!kit.is_ready(stream).await);
    kit.append(append(tenant, stream, lease.epoch, 0, 1)).await.unwrap();
    assert!(!kit.is_ready(stream).await);
    let brief = kit.renew(stream, lease.epoch, SHORT).await.unwrap();
    kit.past(brief.expires).await;
    assert!(kit.is_ready(stream).await);
}

async fn due_now_is_ready_after_the_release(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    assert!(kit.append(release(tenant, stream, epoch, Due::Now)).await.unwrap().released);
    assert!(kit.is_ready(stream).await);
    assert_eq!(kit.next_due().await, Ok(None));
}

async fn due_at_a_time_is_ready_from_then_on(kit: Kit) {
    assert_eq!(kit.next_due().await, Ok(None));
    let now = kit.now().await;
    let (soon, late) = (now + Millis(30), now + LONG);
    let at = |due: Timestamp| {
        let kit = &kit;
        async move {
            let (tenant, stream) = kit.stream().await;
            let epoch = kit.leased(stream, LONG).await.epoch;
            assert!(kit.append(release(tenant, stream, epoch, Due::At(due))).await.unwrap().released);
            stream
        }
    };
    let (later, sooner) = (at(late).await, at(soon).await);
    kit.past(soon).await;
    assert!(kit.is_ready(sooner).await);
    assert!(!kit.is_ready(later).await);
    assert_eq!(kit.next_due().await, Ok(Some(late)));
}

async fn an_input_wakes_a_stream_before_its_time(kit: Kit) {
    for due in [Due::OnInput, Due::At(kit.now().await + LONG)] {
        let (tenant, stream) = kit.stream().await;
        let epoch = kit.leased(stream, LONG).await.epoch;
        assert!(kit.append(release(tenant, stream, epoch, due)).await.unwrap().released);
        assert!(!kit.is_ready(stream).await);
        kit.give(tenant, stream, &[]).await;
        assert!(!kit.is_ready(stream).await);
        kit.give(tenant, stream, &["a"]).await;
        assert!(kit.is_ready(stream).await);
    }
    assert_eq!(kit.next_due().await, Ok(None));
}

async fn a_stream_with_inputs_is_due_whatever_was_asked(kit: Kit) {
    for due in [Due::OnInput, Due::At(kit.now().await + LONG), Due::Now] {
        let (tenant, stream) = kit.stream().await;
        let epoch = kit.leased(stream, LONG).await.epoch;
        kit.give(tenant, stream, &["a"]).await;
        let append = Append { release: false, ..release(tenant, stream, epoch, due) };
        kit.append(append).await.unwrap();
        let brief = kit.renew(stream, epoch, SHORT).await.unwrap();
        kit.past(brief.expires).await;
        assert!(kit.is_ready(stream).await, "{due:?}");
    }
    assert_eq!(kit.next_due().await, Ok(None));
}
