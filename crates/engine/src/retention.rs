//! Retention: the content of sessions that were quiet for long enough goes, and their receipts stay.

use crate::{Eraser, deletion, erasure::ErasureError};
use bailiwick_gate::Deleting;
use bailiwick_ports::{
    Change, DocumentWrite,
    store::{ReadableQuery, ReadableStream, Subjects},
};
use bailiwick_types::{Millis, Principal, SessionId, TenantId, Timestamp};
use serde_json::json;

/// Streams that are looked at together, and rows that are removed together.
const PAGE: u32 = 200;

impl Eraser {
    /// Lets go of every session whose last record is older than the retention. Gives how many that were.
    pub async fn let_go(&self) -> Result<u64, ErasureError> {
        let Some(keep) = self.0.options.keep_sessions else { return Ok(0) };
        let options = self.0.handle.options();
        let before = Timestamp::from_millis(options.clock.now().as_millis().saturating_sub(keep.0 as i64));
        let mut gone = 0;
        for tenant in options.store.tenants().await? {
            let mut after = 0;
            loop {
                let (of, quiet_since) = (Subjects::Anybody, Some(before));
                let query = ReadableQuery { tenant: tenant.id, of, quiet_since, after, limit: PAGE };
                let found = options.store.readable_streams(query).await?;
                let Some(last) = found.last() else { break };
                after = last.cursor;
                for stream in found.into_iter().filter(|stream| stream.at_rest) {
                    // One that cannot be let go does not keep the others.
                    match self.let_go_of(tenant.id, &stream, keep).await {
                        Ok(done) => gone += u64::from(done),
                        Err(error) => {
                            tracing::warn!(stream = %stream.stream, %error, "an old session could not be let go");
                        }
                    }
                }
            }
        }
        if gone > 0 {
            tracing::info!(sessions = gone, "let go of the content of sessions that were quiet for long enough");
            options.store.scrub().await?;
        }
        Ok(gone)
    }

    async fn let_go_of(&self, tenant: TenantId, found: &ReadableStream, keep: Millis) -> Result<bool, ErasureError> {
        let (options, session) = (self.0.handle.options(), SessionId::from(found.stream));
        let head = options.store.head(found.stream).await?;
        if head.is_none_or(|head| head.key.is_destroyed()) {
            return Ok(false);
        }
        let known = Deleting { person: found.subject, agent: None, session: Some(session) };
        if self.holds().covering(tenant, &known).await?.is_some() {
            return Ok(false);
        }
        // The lease keeps a driver out: nothing is given to a session while it is taken away.
        let Some(lease) = options.gate.open(session, options.node).await? else { return Ok(false) };
        let state = lease.state();
        let person = found.subject.or_else(|| state.creator.person());
        let about = Deleting { person, agent: Some(state.agent.id), session: Some(session) };
        let _one_at_a_time = self.deciding().await;
        if self.holds().covering(tenant, &about).await?.is_some() {
            return Ok(false);
        }
        self.0.options.auditor.status(tenant).await?;
        deletion::finish(options, state).await?;
        let change = Change {
            tenant,
            by: Principal::Operator,
            kind: "session.let_go".into(),
            target: session.to_string(),
            reason: Some("retention".into()),
            details: json!({"last": found.last, "kept_days": keep.0 / (24 * 3600 * 1000)}),
            documents: vec![DocumentWrite::DestroyStreamKey { stream: found.stream }],
        };
        self.0.options.administration.change(change).await?;
        while options.store.erase_stream(found.stream, PAGE).await? {}
        Ok(true)
    }
}
