//! Sign-ins as they are stored: made, found, ended, and swept away when they have expired.

use super::{entrance::Entrance, provider::Logout, unavailable};
use crate::{
    api_key::{self, BASE62, draw},
    credentials::CredentialError,
    unbroken::Retries,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bailiwick_ports::{
    AuthError, Caller, Change, DocumentWrite, SignInError, StoreError,
    people::People,
    sign_in::{Medium, SignedIn},
    store::{Document, DocumentKind, Page},
};
use bailiwick_types::{KeyId, Principal, Secret, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::{Arc, PoisonError};

/// What a sign-in begins with; 256 bits follow.
pub(crate) const PREFIX: &str = "bwu_";
const RANDOM_CHARS: usize = 43;
/// Stored sign-ins that are looked at, for expired ones, with each new one.
const SWEEP: u32 = 20;

/// The sealed body of a sign-in's document.
#[derive(Clone, Serialize, Deserialize)]
struct Body {
    user: UserId,
    /// In a browser; else at a command line.
    browser: bool,
    expires: Timestamp,
    /// The handle once more, so that nobody who can write to the database puts their own on this document.
    handle: String,
    /// Where the identity provider let them in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    came: Option<Came>,
}

/// How somebody came from the identity provider. It holds a secret, and so prints nothing.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Came {
    /// Their `sub` there.
    pub subject: String,
    /// Their session there, if it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What asks the provider whether the sign-in may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

impl Came {
    /// Whether this sign-in ends with that logout. One that does not know its session ends with its person's.
    pub fn is_of(&self, logout: &Logout) -> bool {
        let same_person = logout.subject.as_ref().is_none_or(|subject| *subject == self.subject);
        match (&logout.session, &self.session) {
            (Some(theirs), Some(ours)) => theirs == ours && same_person,
            _ => logout.subject.is_some() && same_person,
        }
    }
}

/// A sign-in as it was found.
pub(super) struct Kept {
    pub id: u128,
    pub created: Timestamp,
    version: u32,
    body: Body,
}

impl Kept {
    pub fn user(&self) -> UserId {
        self.body.user
    }

    pub fn handle(&self) -> &str {
        &self.body.handle
    }

    pub fn expires(&self) -> Timestamp {
        self.body.expires
    }

    pub fn came(&self) -> Option<&Came> {
        self.body.came.as_ref()
    }
}

impl Entrance {
    /// Makes a sign-in for somebody who has proven who they are: by a password, or at the identity provider.
    pub(super) async fn let_in(
        &self,
        user: UserId,
        medium: Medium,
        came: Option<Came>,
    ) -> Result<SignedIn, SignInError> {
        self.sweep().await;
        let roster = &self.roster;
        let shown = roster.user(self.tenant, user).ok_or(SignInError::Wrong)?;
        let now = roster.clock.now();
        let browser = medium == Medium::Browser;
        // What the provider will not be asked about again lasts no longer than in a browser.
        let long = !browser && came.as_ref().is_none_or(|came| came.refresh.is_some());
        let expires = now + if long { self.lives.bearer } else { self.lives.browser };
        let way = if came.is_some() { "provider" } else { "password" };
        let token = Secret::new(format!("{PREFIX}{}", *draw(RANDOM_CHARS, BASE62, &*roster.random)));
        let handle = api_key::handle(token.expose());
        let id = KeyId::new(now, roster.random.id_bytes()).to_u128();
        let kind = DocumentKind::SignIn;
        let body = Body { user, browser, expires, handle: handle.clone(), came };
        let sealed = roster.documents.seal(self.tenant, (kind, id, 1), &body).await.map_err(unavailable)?;
        let document = Document { kind, id, version: 1, created: now, updated: now, handle: Some(handle), sealed };
        let change = Change {
            tenant: self.tenant,
            by: Principal::User { id: user },
            kind: "user.signed_in".into(),
            target: user.to_string(),
            reason: None,
            details: json!({"way": way, "medium": if browser { "browser" } else { "bearer" }, "expires": expires.to_string()}),
            documents: vec![DocumentWrite::Put(document)],
        };
        self.roster.documents.administration.change(change).await.map_err(unavailable)?;
        Ok(SignedIn { user: shown, token, expires })
    }

    /// Tells who a sign-in belongs to. One of a browser is good as a cookie only, one of a command line as a bearer
    /// token only.
    pub(crate) async fn authenticate(self: &Arc<Self>, token: &str, medium: Medium) -> Result<Caller, AuthError> {
        let now = self.roster.clock.now();
        let handle = api_key::handle(token);
        let kept = match self.known.get(&handle, now) {
            Ok(kept) => kept,
            Err(ticket) => {
                let kept = self.find(&handle).await?.ok_or(AuthError::Unknown)?;
                self.known.put(ticket, handle, Arc::clone(&kept), now);
                kept
            }
        };
        if kept.body.browser != (medium == Medium::Browser) {
            return Err(AuthError::Unknown);
        }
        let caller = self.caller(kept.body.user, kept.created)?;
        if now >= kept.body.expires {
            return Err(AuthError::SignInExpired(kept.body.expires));
        }
        if kept.came().is_some_and(|came| came.refresh.is_some()) {
            self.renew(&kept).await?;
            // The provider may have said something new of the person.
            return self.caller(kept.body.user, kept.created);
        }
        Ok(caller)
    }

    pub(super) async fn find(&self, handle: &str) -> Result<Option<Arc<Kept>>, AuthError> {
        let gone = |error: &dyn std::fmt::Display| {
            tracing::warn!(%error, "a sign-in could not be checked");
            AuthError::Unavailable("the sign-ins cannot be read".into())
        };
        let documents = &self.roster.documents;
        let found = documents.store.document_by_handle(DocumentKind::SignIn, handle).await;
        let found = found.map_err(|error| gone(&error))?.filter(|(tenant, _)| *tenant == self.tenant);
        let Some((_, document)) = found else { return Ok(None) };
        let kept = self.read(&document).await.map_err(|error| gone(&error))?;
        let same = verify_slices_are_equal(kept.body.handle.as_bytes(), handle.as_bytes()).is_ok();
        Ok(same.then(|| Arc::new(kept)))
    }

    /// A sign-in as it lies in the store.
    pub(super) async fn read(&self, document: &Document) -> Result<Kept, CredentialError> {
        let body: Body = self.roster.documents.unseal(self.tenant, document).await?;
        Ok(Kept { id: document.id, created: document.created, version: document.version, body })
    }

    /// Keeps what the provider gave for the next renewal. It is not given twice, so that a store that is away for a
    /// moment is tried again.
    pub(super) async fn keep_came(&self, kept: &Kept, came: Came) -> Result<(), SignInError> {
        let documents = &self.roster.documents;
        let (kind, id, version) = (DocumentKind::SignIn, kept.id, kept.version + 1);
        let body = Body { came: Some(came), ..kept.body.clone() };
        let sealed = documents.seal(self.tenant, (kind, id, version), &body).await.map_err(unavailable)?;
        let (created, updated) = (kept.created, self.roster.clock.now());
        let handle = Some(kept.body.handle.clone());
        let document = Document { kind, id, version, created, updated, handle, sealed };
        let mut retries = Retries::new(&*self.roster.clock);
        let put = loop {
            let put = documents.store.put_document(self.tenant, document.clone()).await;
            self.known.forget();
            let is_away = matches!(put, Err(StoreError::Unavailable(_) | StoreError::Full));
            if put.is_err() && self.is_kept(&document).await {
                break Ok(());
            }
            if !is_away || !retries.again().await {
                break put;
            }
        };
        put.map_err(unavailable)
    }

    /// Whether the store has it as it is here: a write whose answer was lost may have been done.
    async fn is_kept(&self, document: &Document) -> bool {
        let found = self.roster.documents.store.document(self.tenant, document.kind, document.id, None).await;
        found.is_ok_and(|found| found.is_some_and(|found| found.sealed == document.sealed))
    }

    /// Says whether the provider had let them in.
    pub(crate) async fn end(&self, token: &str) -> Result<bool, SignInError> {
        let found = self.find(&api_key::handle(token)).await.map_err(unavailable)?;
        let Some(kept) = found else { return Ok(false) };
        let change = Change {
            tenant: self.tenant,
            by: Principal::User { id: kept.body.user },
            kind: "user.signed_out".into(),
            target: kept.body.user.to_string(),
            reason: None,
            details: json!({}),
            documents: vec![DocumentWrite::Remove { kind: DocumentKind::SignIn, id: kept.id }],
        };
        let ended = self.roster.documents.administration.change(change).await;
        self.known.forget();
        ended.map_err(unavailable)?;
        Ok(kept.came().is_some())
    }

    /// Removes some of the sign-ins that have expired. What fails is tried again with the next sign-in.
    async fn sweep(&self) {
        let swept = || self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let after = *swept();
        let page = Page { limit: SWEEP, after, ..Page::default() };
        let swept_to = match self.sweep_page(page).await {
            Ok(last) => last,
            Err(error) => {
                tracing::warn!(%error, "expired sign-ins could not be removed");
                None
            }
        };
        *swept() = swept_to;
    }

    /// Where to go on; `None` at the end.
    async fn sweep_page(&self, page: Page) -> Result<Option<u128>, StoreError> {
        let documents = &self.roster.documents;
        let now = self.roster.clock.now();
        let Some((found, more)) = documents.store.documents(self.tenant, DocumentKind::SignIn, page).await? else {
            return Ok(None);
        };
        let mut last = None;
        for document in &found {
            let body = documents.unseal::<Body>(self.tenant, document).await;
            if body.is_ok_and(|body| now >= body.expires) {
                documents.store.remove_document(self.tenant, DocumentKind::SignIn, document.id).await?;
            } else {
                last = Some(document.id);
            }
        }
        Ok(last.filter(|_| more))
    }
}
