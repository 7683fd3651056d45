//! Sign-ins that came from the identity provider and go on only while it says so: ended by its own word (back-channel
//! logout), or because it does not renew them any more.
//!
//! A refusal ends a sign-in; silence does not at once, so that a provider that is away for a while locks nobody out.

use super::{
    entrance::Entrance,
    kept::{Came, Kept},
    provider::{Renewed, SubjectToken},
    unavailable,
};
use crate::{assertion_grant::AccessError, once::Full, unbroken::unbroken};
use bailiwick_ports::{
    AuthError, Change, DocumentWrite, SignInError,
    store::{DocumentKind, Page},
};
use bailiwick_types::{Millis, Principal, Secret, Timestamp, UserId};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OwnedMutexGuard;

/// Sign-ins of one page when all are looked through.
const PAGE: u32 = 200;
/// Sign-ins whose last renewal is remembered. Whoever is forgotten is asked for again.
const MAX_REMEMBERED: usize = 100_000;
/// A provider that cannot be reached is asked again after this.
const RETRY: Millis = Millis::from_secs(60);
/// Renewals that may be missed before a sign-in is not believed any more.
const MAX_MISSED: u64 = 4;

/// When each sign-in was renewed, and who renews one now.
pub(super) struct Renewals {
    /// Nothing that was renewed before is remembered.
    since: Timestamp,
    inner: Mutex<HashMap<u128, Renewal>>,
}

#[derive(Clone)]
struct Renewal {
    last: Timestamp,
    /// After an attempt that told nothing.
    next: Timestamp,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Renewals {
    pub fn new(since: Timestamp) -> Self {
        Self { since, inner: Mutex::default() }
    }

    fn get(&self, id: u128, created: Timestamp, every: Millis) -> Renewal {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.len() >= MAX_REMEMBERED && !inner.contains_key(&id) {
            // Whose turn it is stays: another one beside it would show the same refresh token.
            inner.retain(|_, renewal| Arc::strong_count(&renewal.turn) > 1);
        }
        let last = created.max(self.since);
        let fresh = || Renewal { last, next: last + every, turn: Arc::default() };
        inner.entry(id).or_insert_with(fresh).clone()
    }

    fn set(&self, id: u128, change: impl FnOnce(&mut Renewal)) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.get_mut(&id).map(change);
    }

    fn forget(&self, id: u128) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Entrance {
    /// Asks the provider whether this sign-in may go on, when it is time to.
    pub(super) async fn renew(self: &Arc<Self>, kept: &Kept) -> Result<(), AuthError> {
        if kept.came().is_none_or(|came| came.refresh.is_none()) {
            return Ok(());
        }
        let every = self.lives.recheck;
        let due = |renewal: &Renewal| {
            let now = self.roster.clock.now();
            // A clock that was set back makes nothing last longer.
            now >= renewal.next || now < renewal.last
        };
        let renewal = self.renewals.get(kept.id, kept.created, every);
        if !due(&renewal) {
            return Ok(());
        }
        let turn = renewal.turn.lock_owned().await;
        let renewal = self.renewals.get(kept.id, kept.created, every);
        if !due(&renewal) {
            return Ok(());
        }
        let now = self.roster.clock.now();
        match self.take_turn(turn, kept.handle()).await {
            Ok(_) => Ok(()),
            Err(Denied::Over) => Err(AuthError::Unknown),
            Err(Denied::Silence(error)) => {
                tracing::warn!(%error, "a sign-in could not be renewed at the identity provider");
                if now >= renewal.last + Millis(every.0.saturating_mul(MAX_MISSED)) {
                    return Err(AuthError::Unavailable("the identity provider cannot be asked".into()));
                }
                Ok(())
            }
            Err(Denied::Fault(problem)) => Err(AuthError::Unavailable(problem)),
        }
    }

    /// Renews a sign-in to the end, whether or not somebody waits for it. One asks at a time, because a refresh token
    /// that is shown twice may end everything.
    async fn take_turn(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        handle: &str,
    ) -> Result<Option<SubjectToken>, Denied> {
        let (entrance, handle) = (Arc::clone(self), handle.to_owned());
        let work = async move {
            let _turn = turn;
            entrance.ask_and_keep(&handle).await
        };
        let done = unbroken(&*self.common.tasks, "the renewal of a sign-in", work).await;
        done.unwrap_or_else(|| Err(Denied::Fault("the server is stopping".into())))
    }

    async fn ask_and_keep(&self, handle: &str) -> Result<Option<SubjectToken>, Denied> {
        let fault = |error: &dyn std::fmt::Display| Denied::Fault(error.to_string());
        // Another request may have changed it or ended it meanwhile.
        let kept = self.find(handle).await.map_err(|error| fault(&error))?.ok_or(Denied::Over)?;
        let now = self.roster.clock.now();
        let asked = self.ask_again(&kept).await;
        match &asked {
            Ok(_) => {
                let next = now + self.lives.recheck;
                self.renewals.set(kept.id, |renewal| (renewal.last, renewal.next) = (now, next));
            }
            Err(Denied::Over) => {
                self.renewals.forget(kept.id);
                let ended = vec![(kept.id, kept.user().to_string())];
                let done = self.end_all(ended, "the identity provider did not renew it").await;
                done.map_err(|error| fault(&error))?;
            }
            Err(Denied::Silence(_) | Denied::Fault(_)) => {
                self.renewals.set(kept.id, |renewal| renewal.next = now + RETRY);
            }
        }
        asked
    }

    /// What proves to the provider, fresh, that this person is signed in here: the newest of their sign-ins that it
    /// renews. One is renewed at a time.
    pub(super) async fn subject_token(self: &Arc<Self>, user: UserId) -> Result<SubjectToken, AccessError> {
        let all = self.renewable(user).await.map_err(|error| AccessError::Unavailable(error.to_string()))?;
        for kept in all {
            let renewal = self.renewals.get(kept.id, kept.created, self.lives.recheck);
            let turn = renewal.turn.lock_owned().await;
            match self.take_turn(turn, kept.handle()).await {
                Ok(Some(token)) => return Ok(token),
                Ok(None) | Err(Denied::Over) => {}
                Err(Denied::Silence(error)) => return Err(AccessError::Unavailable(error.to_string())),
                Err(Denied::Fault(problem)) => return Err(AccessError::Unavailable(problem)),
            }
        }
        Err(AccessError::SignInNeeded)
    }

    /// Their sign-ins that the provider renews, the newest first.
    async fn renewable(&self, user: UserId) -> Result<Vec<Kept>, SignInError> {
        let now = self.roster.clock.now();
        let mut found = Vec::new();
        let mut after = None;
        while let Some((page, last)) = self.kept_after(after).await? {
            after = Some(last);
            found.extend(page.into_iter().filter(|kept| {
                let renewed = kept.came().is_some_and(|came| came.refresh.is_some());
                kept.user() == user && renewed && now < kept.expires()
            }));
        }
        found.sort_by_key(|kept| std::cmp::Reverse(kept.created));
        Ok(found)
    }

    /// `None` where there was nothing to ask with.
    async fn ask_again(&self, kept: &Kept) -> Result<Option<SubjectToken>, Denied> {
        let Some((came, refresh)) = kept.came().and_then(|came| Some((came, came.refresh.as_ref()?))) else {
            return Ok(None);
        };
        let provider = self.the_provider().map_err(Denied::Silence)?;
        let given = match provider.renew(refresh).await.map_err(Denied::Silence)? {
            Renewed::Refused => return Err(Denied::Over),
            Renewed::Given(given) => given,
        };
        // First of all: the one before may be good for nothing now.
        let newest = given.refresh_token.as_ref().unwrap_or(refresh);
        if newest != refresh {
            let came = Came { refresh: Some(newest.clone()), ..came.clone() };
            self.keep_came(kept, came).await.map_err(Denied::Silence)?;
        }
        let claims = provider.proven(&given).await.map_err(Denied::Silence)?;
        let token = match &given.id_token {
            Some(token) => SubjectToken::Id(Secret::new(token.clone())),
            None => SubjectToken::Refresh(Secret::new(newest.clone())),
        };
        let Some(claims) = claims else { return Ok(Some(token)) };
        if claims.foreign.subject != came.subject {
            return Err(Denied::Over);
        }
        match self.provision(claims).await {
            Ok(_) => Ok(Some(token)),
            Err(SignInError::Refused(_)) => Err(Denied::Over),
            Err(error) => Err(Denied::Silence(error)),
        }
    }

    /// Ends the sign-ins that a logout token of the provider names.
    pub(super) async fn end_by_provider(&self, token: &str) -> Result<(), SignInError> {
        let now = self.roster.clock.now();
        let logout = self.the_provider()?.logout(token).await?;
        let over = Timestamp::from_millis(logout.over.saturating_mul(1000));
        match self.logouts.first(logout.id.clone(), over, now) {
            Ok(true) => {}
            Ok(false) => return Err(SignInError::Provider("this logout token was shown before".into())),
            Err(Full) => return Err(SignInError::Unavailable("too many logouts came at once".into())),
        }
        // Who is on the way in from that very session is not let in any more.
        self.common.waiting.retain(|guest| guest.tenant != self.tenant || !guest.came.is_of(&logout));
        let mut after = None;
        while let Some((page, last)) = self.kept_after(after).await? {
            after = Some(last);
            let ended = page.iter().filter(|kept| kept.came().is_some_and(|came| came.is_of(&logout)));
            let ended = ended.map(|kept| (kept.id, kept.user().to_string())).collect();
            self.end_all(ended, "the identity provider ended it").await?;
        }
        Ok(())
    }

    /// Some of the sign-ins that there are, and the last one's id; `None` at the end. What cannot be read opens nothing
    /// either, and is left out.
    async fn kept_after(&self, after: Option<u128>) -> Result<Option<(Vec<Kept>, u128)>, SignInError> {
        let page = Page { limit: PAGE, after, ..Page::default() };
        let store = &self.roster.documents.store;
        let found = store.documents(self.tenant, DocumentKind::SignIn, page).await.map_err(unavailable)?;
        let Some((documents, _)) = found else { return Ok(None) };
        let Some(last) = documents.last().map(|document| document.id) else { return Ok(None) };
        let mut all = Vec::with_capacity(documents.len());
        for document in &documents {
            all.extend(self.read(document).await.ok());
        }
        Ok(Some((all, last)))
    }

    /// With one record for each person's sign-in.
    async fn end_all(&self, ended: Vec<(u128, String)>, reason: &str) -> Result<(), SignInError> {
        for (id, target) in ended {
            let change = Change {
                tenant: self.tenant,
                by: Principal::Operator,
                kind: "user.signed_out".into(),
                target,
                reason: Some(reason.to_owned()),
                details: json!({}),
                documents: vec![DocumentWrite::Remove { kind: DocumentKind::SignIn, id }],
            };
            let done = self.roster.documents.administration.change(change).await;
            self.known.forget();
            done.map_err(unavailable)?;
        }
        Ok(())
    }
}

/// Why a sign-in was not renewed.
enum Denied {
    /// It may not go on.
    Over,
    /// Nobody said anything.
    Silence(SignInError),
    /// What is kept here cannot be read or written.
    Fault(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_somebody_has_is_never_given_twice() {
        let renewals = Renewals::new(Timestamp::default());
        let get = |id| renewals.get(id, Timestamp::default(), Millis(1));
        let held = get(0).turn;
        (1..=MAX_REMEMBERED as u128 + 1).for_each(|id| drop(get(id)));
        assert!(Arc::ptr_eq(&held, &get(0).turn));
        assert!(renewals.inner.lock().unwrap().len() <= MAX_REMEMBERED, "and memory is bounded");
    }
}
