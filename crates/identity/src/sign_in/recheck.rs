//! Sign-ins that came from the identity provider and go on only while it says so: ended by its own word (back-channel
//! logout), or because it does not renew them any more.
//!
//! A refusal ends a sign-in; silence does not at once, so that a provider that is away for a while locks nobody out.

use super::{
    SignIns,
    kept::{Came, Kept},
    provider::Renewed,
    unavailable,
};
use crate::once::Full;
use bailiwick_ports::{
    AuthError, Change, DocumentWrite, SignInError,
    store::{DocumentKind, Page},
};
use bailiwick_types::{Millis, Principal, Timestamp};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

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

    fn get(&self, kept: &Kept, every: Millis) -> Renewal {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.len() >= MAX_REMEMBERED && !inner.contains_key(&kept.id) {
            inner.clear();
        }
        let last = kept.created.max(self.since);
        let fresh = || Renewal { last, next: last + every, turn: Arc::default() };
        inner.entry(kept.id).or_insert_with(fresh).clone()
    }

    fn set(&self, id: u128, change: impl FnOnce(&mut Renewal)) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.get_mut(&id).map(change);
    }

    fn forget(&self, id: u128) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl SignIns {
    /// Asks the provider whether this sign-in may go on, when it is time to. One asks at a time, because a refresh
    /// token that is shown twice may end everything.
    pub(super) async fn renew(&self, kept: &Kept, handle: &str) -> Result<(), AuthError> {
        if kept.came().is_none_or(|came| came.refresh.is_none()) {
            return Ok(());
        }
        let every = self.lives.recheck;
        let due = |renewal: &Renewal| {
            let now = self.roster.clock.now();
            // A clock that was set back makes nothing last longer.
            now >= renewal.next || now < renewal.last
        };
        let renewal = self.renewals.get(kept, every);
        if !due(&renewal) {
            return Ok(());
        }
        let _turn = renewal.turn.lock().await;
        let renewal = self.renewals.get(kept, every);
        if !due(&renewal) {
            return Ok(());
        }
        // Another request may have changed it or ended it meanwhile.
        let kept = self.find(handle).await?.ok_or(AuthError::Unknown)?;
        let now = self.roster.clock.now();
        match self.ask_again(&kept).await {
            Ok(()) => {
                self.renewals.set(kept.id, |renewal| (renewal.last, renewal.next) = (now, now + every));
                Ok(())
            }
            Err(Denied::Over) => {
                self.renewals.forget(kept.id);
                let reason = "the identity provider did not renew it";
                self.end_all(vec![(kept.id, kept.user().to_string())], reason).await.map_err(away)?;
                Err(AuthError::Unknown)
            }
            Err(Denied::Silence(error)) => {
                tracing::warn!(%error, "a sign-in could not be renewed at the identity provider");
                self.renewals.set(kept.id, |renewal| renewal.next = now + RETRY);
                if now >= renewal.last + Millis(every.0.saturating_mul(MAX_MISSED)) {
                    return Err(AuthError::Unavailable("the identity provider cannot be asked".into()));
                }
                Ok(())
            }
        }
    }

    async fn ask_again(&self, kept: &Kept) -> Result<(), Denied> {
        let Some((came, refresh)) = kept.came().and_then(|came| Some((came, came.refresh.as_ref()?))) else {
            return Ok(());
        };
        let provider = self.the_provider().map_err(Denied::Silence)?;
        let (claims, next) = match provider.renew(refresh, &came.subject).await.map_err(Denied::Silence)? {
            Renewed::Refused => return Err(Denied::Over),
            Renewed::Good { claims, refresh } => (claims, refresh),
        };
        // First of all: the one before may be good for nothing now.
        if let Some(next) = next.filter(|next| next != refresh) {
            let came = Came { refresh: Some(next), ..came.clone() };
            self.keep_came(kept, came).await.map_err(Denied::Silence)?;
        }
        let Some(claims) = claims else { return Ok(()) };
        match self.provision(*claims).await {
            Ok(_) => Ok(()),
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
        self.waiting.retain(|came| !came.is_of(&logout));
        let mut page = Page { limit: PAGE, ..Page::default() };
        let documents = &self.roster.documents;
        let kind = DocumentKind::SignIn;
        while let Some((found, more)) =
            documents.store.documents(self.tenant, kind, page.clone()).await.map_err(unavailable)?
        {
            let Some(last) = found.last().map(|document| document.id) else { break };
            let mut ended = Vec::new();
            for document in found {
                // What cannot be read opens nothing either.
                let Ok(kept) = self.read(&document).await else { continue };
                if kept.came().is_some_and(|came| came.is_of(&logout)) {
                    ended.push((kept.id, kept.user().to_string()));
                }
            }
            self.end_all(ended, "the identity provider ended it").await?;
            page.after = Some(last);
            if !more {
                break;
            }
        }
        Ok(())
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
}

fn away(error: SignInError) -> AuthError {
    AuthError::Unavailable(error.to_string())
}
