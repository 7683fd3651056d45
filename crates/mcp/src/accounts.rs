//! Accounts that people connect at MCP servers: the way out to the authorization server and back, and what becomes of
//! its tokens. They go into the person's own vault and are never seen here again.

use crate::{
    client::{Access, Client},
    configuration::{McpServer, OauthSettings, TransportConfig},
    limits::{HANDSHAKE_TIME, MAX_PENDING_BYTES},
    oauth::{Authorizer, Challenge, ClientIdentity, Discovery, OauthError, OurClient, Pending, Returned, Tokens},
    trouble::Trouble,
    way_out::WayOut,
};
use async_trait::async_trait;
use bailiwick_gate::Live;
use bailiwick_outbound::Outbound;
use bailiwick_ports::{
    Clock, Random, VaultDesk,
    account::{AccountDesk, AccountError, AccountPlace, Departing},
    people::Author,
    vault::{Auth, ClientAuth, Credential, McpOauth, NewCredential, NewVault, Secrets, Server, VaultOwner},
};
use bailiwick_types::{Mark, Secret, TenantId, Timestamp, UserId, VaultId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use url::Url;

/// The vault that is made for a person who has none.
const VAULT: &str = "Connected accounts";
/// Registered clients that are kept; whoever is forgotten is registered again.
const MAX_CLIENTS: usize = 1_000;
/// Journeys that ended and whose answer could still come a second time.
const MAX_ENDED: usize = 10_000;

/// What the accounts work with.
pub struct AccountParts {
    pub outbound: Outbound,
    pub vaults: Arc<dyn VaultDesk>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// What people are shown at authorization servers.
    pub name: String,
}

/// Connects accounts at MCP servers.
pub struct McpAccounts {
    parts: AccountParts,
    /// By the organisation, the issuer and the return address that they were registered with.
    clients: Mutex<BTreeMap<(TenantId, String, String), ClientIdentity>>,
    /// The journeys that are over, by the digest of their state, until their time is over too.
    ended: Mutex<BTreeMap<[u8; 32], Timestamp>>,
}

/// What has to be kept while somebody is away.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The server as it was configured then: what was signed in at for one is not given to another.
    server: String,
    pending: Pending,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

impl McpAccounts {
    pub fn new(parts: AccountParts) -> Self {
        Self { parts, clients: Mutex::default(), ended: Mutex::default() }
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<(TenantId, String, String), ClientIdentity>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorizer(&self, at: &AccountPlace, to: &Destination) -> Result<Authorizer, AccountError> {
        let AccountParts { clock, random, .. } = &self.parts;
        let way = self.way(to)?;
        Ok(Authorizer::new(Arc::new(way), Arc::clone(clock), Arc::clone(random), self.ours(at)?))
    }

    fn way(&self, to: &Destination) -> Result<WayOut, AccountError> {
        let issuer = to.server.oauth.as_ref().and_then(|oauth| Url::parse(&oauth.issuer).ok());
        let way = WayOut::new(self.parts.outbound.clone(), [Some(&to.url), issuer.as_ref()].into_iter().flatten());
        way.map_err(|error| AccountError::Misconfigured(error.to_string()))
    }

    fn ours(&self, at: &AccountPlace) -> Result<OurClient, AccountError> {
        let url = |text: &str| Url::parse(text).map_err(|_| AccountError::Misconfigured(format!("`{text}` is no URL")));
        Ok(OurClient {
            name: self.parts.name.clone(),
            redirect_uri: url(&at.redirect_uri)?,
            document_url: at.document_url.as_deref().map(url).transpose()?,
        })
    }

    /// What the server says to somebody without an account.
    async fn challenge(&self, author: &Author, to: &Destination) -> Result<Challenge, AccountError> {
        let TransportConfig::Http { headers, .. } = &to.server.transport else { return Err(no_address()) };
        let (way, clock) = (Arc::new(self.way(to)?), Arc::clone(&self.parts.clock));
        let client = Client::over_http(way, clock, to.server.clone(), to.url.clone(), headers.clone());
        let stranger = Access { bearer: None, who: Mark(&author.by).to_string(), output_bytes: 0 };
        let live = Live::unwatched();
        let asked = tokio::select! {
            asked = client.tools(&stranger, &live) => asked,
            () = self.parts.clock.sleep_until(self.parts.clock.now() + HANDSHAKE_TIME) => {
                return Err(AccountError::Unavailable("the server did not answer in time".into()));
            }
        };
        match asked {
            Err(Trouble::SignIn(challenge)) => Ok(challenge),
            Ok(_) => Err(AccountError::Misconfigured(
                "the server lets everybody in: its connector needs no `credential`".into(),
            )),
            Err(trouble) => Err(AccountError::Unavailable(trouble.failure().message)),
        }
    }

    async fn discover(
        &self,
        author: &Author,
        authorizer: &Authorizer,
        to: &Destination,
    ) -> Result<Discovery, AccountError> {
        let challenge = self.challenge(author, to).await?;
        let oauth = to.server.oauth.as_ref();
        let mut found = authorizer.discover(&to.url, &challenge, oauth.map(|oauth| oauth.issuer.as_str())).await?;
        found.scope = oauth.and_then(|oauth| oauth.scope.clone()).or(found.scope);
        Ok(found)
    }

    async fn client(
        &self,
        tenant: TenantId,
        authorizer: &Authorizer,
        at: (&AccountPlace, &Discovery),
        oauth: Option<&OauthSettings>,
    ) -> Result<ClientIdentity, AccountError> {
        let (place, found) = at;
        let key = (tenant, found.issuer.clone(), place.redirect_uri.clone());
        let configured = oauth.and_then(|oauth| oauth.client_id.clone()).map(|client_id| ClientIdentity {
            issuer: found.issuer.clone(),
            client_id,
            auth: ClientAuth::None,
            secret: None,
        });
        let known: Vec<ClientIdentity> = configured.or_else(|| self.clients().get(&key).cloned()).into_iter().collect();
        let client = authorizer.client(found, &known).await?;
        let mut clients = self.clients();
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&key) {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// A journey ends once, however often its answer comes.
    fn end(&self, pending: &Pending) -> Result<(), AccountError> {
        let now = self.parts.clock.now();
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, until| now <= *until);
        if ended.len() >= MAX_ENDED {
            return Err(AccountError::Unavailable("too many people sign in at once: try again later".into()));
        }
        match ended.insert(Sha256::digest(pending.state.as_bytes()).into(), pending.expires) {
            None => Ok(()),
            Some(_) => Err(AccountError::Again("this answer was used already: begin the sign-in again".into())),
        }
    }

    /// The vault of the person in which accounts lie.
    async fn vault(&self, author: &Author, person: UserId) -> Result<VaultId, AccountError> {
        let owner = VaultOwner::User { id: person };
        let all = self.parts.vaults.vaults(author.tenant);
        if let Some(known) = all.iter().find(|one| one.owner == owner && one.name.as_deref() == Some(VAULT)) {
            return Ok(known.id);
        }
        let new = NewVault { owner, name: Some(VAULT.to_owned()), metadata: BTreeMap::new() };
        Ok(self.parts.vaults.create_vault(author.clone(), new).await?.id)
    }

    async fn keep(
        &self,
        author: Author,
        person: UserId,
        at: &AccountPlace,
        (to, tokens, client_secret): (&Destination, Tokens, Option<Secret>),
    ) -> Result<Arc<Credential>, AccountError> {
        let host = to.host();
        let Tokens { access, refresh, expires, renewal } = tokens;
        let renewal = refresh.is_some().then_some(renewal);
        let client_secret =
            client_secret.filter(|_| renewal.as_ref().is_some_and(|renewal| renewal.client_auth != ClientAuth::None));
        let auth = Auth::McpOauth(McpOauth {
            server: Server { url: to.url.to_string(), host },
            expires,
            refresh: renewal,
            bound: false,
        });
        let secrets = Secrets { value: Some(access), refresh_token: refresh, client_secret, ..Secrets::default() };
        if let Some(before) = self.account(&author, person, at) {
            // What an earlier sign-in left is not mixed with what this one gave.
            self.parts.vaults.delete_credential(author.clone(), before.vault, before.id).await?;
        }
        let vault = self.vault(&author, person).await?;
        let new = NewCredential { name: at.connector.clone(), auth, secrets, metadata: BTreeMap::new() };
        Ok(self.parts.vaults.create_credential(author, vault, new).await?)
    }
}

#[async_trait]
impl AccountDesk for McpAccounts {
    fn document(&self, at: &AccountPlace) -> Option<Value> {
        self.ours(at).ok()?.document()
    }

    fn account(&self, author: &Author, person: UserId, at: &AccountPlace) -> Option<Arc<Credential>> {
        let host = Destination::of(at).ok()?.host();
        let all = self.parts.vaults.vaults(author.tenant);
        let own = all.iter().filter(|vault| vault.owner == VaultOwner::User { id: person });
        let inside = own.flat_map(|vault| self.parts.vaults.credentials(author.tenant, vault.id));
        let mut theirs = inside.filter(|one| one.name == at.connector && matches!(one.auth, Auth::McpOauth(_)));
        theirs.find(|one| one.reaches(&host))
    }

    async fn begin(&self, author: &Author, person: UserId, at: &AccountPlace) -> Result<Departing, AccountError> {
        let to = Destination::of(at)?;
        let authorizer = self.authorizer(at, &to)?;
        let found = self.discover(author, &authorizer, &to).await?;
        let client = self.client(author.tenant, &authorizer, (at, &found), to.server.oauth.as_ref()).await?;
        let before = self.account(author, person, at);
        let granted = before.as_deref().and_then(|one| match &one.auth {
            Auth::McpOauth(oauth) => oauth.refresh.as_ref()?.scope.as_deref(),
            _ => None,
        });
        let (url, pending) = authorizer.begin(&found, &client, granted);
        let client_secret = client.secret.map(|secret| secret.expose().to_owned());
        let kept = Kept { server: to.url.to_string(), pending, client_secret };
        let kept = serde_json::to_string(&kept).map_err(|error| AccountError::Unavailable(error.to_string()))?;
        if kept.len() > MAX_PENDING_BYTES {
            let text = "what its authorization server says of itself is too long to be kept on the way";
            return Err(AccountError::Refused(text.into()));
        }
        Ok(Departing { url: url.into(), kept: Secret::new(kept) })
    }

    async fn finish(
        &self,
        author: Author,
        person: UserId,
        at: &AccountPlace,
        kept: &Secret,
        query: &str,
    ) -> Result<Arc<Credential>, AccountError> {
        let again = |text: &str| AccountError::Again(format!("{text}: begin the sign-in again"));
        let kept: Kept = serde_json::from_str(kept.expose()).map_err(|_| again("this sign-in cannot be read"))?;
        let to = Destination::of(at)?;
        if kept.server != to.url.as_str() || !kept.pending.returns_to(&at.redirect_uri) {
            return Err(again("the connector was changed meanwhile, or this answer belongs to another one"));
        }
        self.end(&kept.pending)?;
        let client_secret = kept.client_secret.map(Secret::new);
        let authorizer = self.authorizer(at, &to)?;
        let tokens = authorizer.finish(&kept.pending, &Returned::read(query), client_secret.as_ref()).await?;
        self.keep(author, person, at, (&to, tokens, client_secret)).await
    }

    async fn remove(&self, author: Author, at: &AccountPlace, account: &Credential) -> Result<bool, AccountError> {
        let endpoint = self.revocation(&author, at, account).await;
        let vaults = &self.parts.vaults;
        Ok(vaults.revoke_credential(author, account.vault, account.id, endpoint.as_deref()).await?)
    }
}

impl McpAccounts {
    /// Where the tokens of an account are given back: at the authorization server that gave them out, and at no other.
    async fn revocation(&self, author: &Author, at: &AccountPlace, account: &Credential) -> Option<String> {
        let Auth::McpOauth(McpOauth { refresh: Some(refresh), .. }) = &account.auth else { return None };
        let to = Destination::of(at).ok()?;
        let found = self.discover(author, &self.authorizer(at, &to).ok()?, &to).await.ok()?;
        found.revocation_endpoint.filter(|_| found.token_endpoint.as_str() == refresh.token_endpoint)
    }
}

/// A server with an address.
struct Destination {
    server: McpServer,
    url: Url,
}

impl Destination {
    fn of(at: &AccountPlace) -> Result<Self, AccountError> {
        let server = McpServer::read(&at.settings).map_err(|error| AccountError::Misconfigured(error.to_string()))?;
        match server.transport.clone() {
            TransportConfig::Http { url, .. } => Ok(Self { server, url }),
            TransportConfig::Stdio { .. } => Err(no_address()),
        }
    }

    /// As credentials name it.
    fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase()
    }
}

fn no_address() -> AccountError {
    AccountError::Misconfigured("a server without an address has no accounts".into())
}

impl From<OauthError> for AccountError {
    fn from(error: OauthError) -> Self {
        match error {
            OauthError::NeedsPerson(why) => Self::Again(why),
            OauthError::Misconfigured(why) => Self::Misconfigured(why),
            OauthError::Unavailable(why) => Self::Unavailable(why),
            OauthError::Refused(why) => Self::Refused(why),
        }
    }
}
