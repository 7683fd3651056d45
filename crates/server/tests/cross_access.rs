//! Access to another system in a person's name (ID-JAG), at a certified provider that vouches for them, and at the other
//! system's authorization server. Both are real; what is ours runs in this process.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod browser;
mod support;

use async_trait::async_trait;
use bailiwick_gate::Administrator;
use bailiwick_identity::{
    AccessError, AccessRequest, AssertionGrants, Lives, Mapping, OsRandom, PasswordCost, ProofKeys, ProviderOptions,
    ResourceClient, Roster, SignInOptions, SignIns, Web, WebAnswer, WebRequest,
};
use bailiwick_ports::{
    BoxFuture, Clock, Keys, People, SignIn, Store, TaskHandle, Tasks,
    people::{Author, UserPatch},
    proof::{Proofs as _, Shown},
    sign_in::{Arrival, Destination, Return, SignedIn},
    store::Tenant,
};
use bailiwick_testkit::{clock::ManualClock, keys::PlainKeys, store::MemoryStore};
use bailiwick_types::{Principal, Secret, TenantId, Timestamp, UserId};
use browser::{Browser, Elsewhere, Provider};
use reqwest::{Client, header};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// Where the provider sends browsers back to; nobody listens there.
const HERE: &str = "http://127.0.0.1:9";
const RESOURCE: &str = "http://127.0.0.1:9/mcp";

/// Asks for real, and remembers which URLs.
struct Wire {
    http: Client,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Web for Wire {
    async fn fetch(&self, request: WebRequest) -> Result<WebAnswer, String> {
        self.asked.lock().unwrap().push(request.url.clone());
        let mut sent = match &request.form {
            Some(form) => self
                .http
                .post(&request.url)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.expose().to_owned()),
            None => self.http.get(&request.url),
        };
        if let Some(authorization) = &request.authorization {
            sent = sent.header(header::AUTHORIZATION, authorization.expose());
        }
        if let Some(proof) = &request.proof {
            sent = sent.header("dpop", proof);
        }
        let answer = sent.send().await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let nonce = answer.headers().get("dpop-nonce").map(|value| value.to_str().unwrap().to_owned());
        Ok(WebAnswer { status, nonce, body: answer.bytes().await.unwrap().to_vec() })
    }
}

struct House {
    idp: Provider,
    elsewhere: Elsewhere,
    wire: Arc<Wire>,
    roster: Arc<Roster>,
    sign_ins: Arc<SignIns>,
    grants: AssertionGrants,
    proofs: Arc<ProofKeys>,
    tenant: TenantId,
    client: ResourceClient,
}

struct Spawned;

impl Tasks for Spawned {
    fn spawn(&self, _: &'static str, work: BoxFuture<'static, ()>) -> TaskHandle {
        let handle = tokio::spawn(work).abort_handle();
        TaskHandle::new(move || handle.abort())
    }
}

impl House {
    async fn new() -> Self {
        let mut idp = Provider::start();
        idp.knows_url(HERE);
        let elsewhere = Elsewhere::start(&idp);
        // The provider's clock is the machine's.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(now));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
        let keys: Arc<dyn Keys> = Arc::new(PlainKeys);
        let tenant = TenantId::new(now, [1; 10]);
        let (key, _) = keys.create(tenant, tenant.into());
        store.put_tenant(Tenant { id: tenant, name: "t".into(), key }).await.unwrap();
        let administration = Arc::new(Administrator::new(store.clone(), keys.clone(), clock.clone()));
        let random = Arc::new(OsRandom);
        let roster = Roster::load(store, keys, administration, clock.clone(), random.clone()).await.unwrap();
        let roster = Arc::new(roster);
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let wire = Arc::new(Wire { http, asked: Mutex::default() });
        let provider = ProviderOptions {
            issuer: idp.issuer.clone(),
            client_id: "bailiwick".into(),
            client_secret: Some(Secret::new("the-clients-secret")),
            scopes: ["profile", "email", "offline_access"].map(str::to_owned).to_vec(),
            mapping: Mapping::default(),
            plain_http: true,
            web: wire.clone(),
            clock: clock.clone(),
            random,
        };
        let sign_ins = SignInOptions {
            tenant,
            roster: roster.clone(),
            cost: PasswordCost { memory_kib: 64, passes: 1 },
            lives: Lives::default(),
            provider: Some(provider.build().unwrap()),
            others: Default::default(),
            tasks: Arc::new(Spawned),
        };
        let sign_ins = Arc::new(sign_ins.build());
        let proofs = Arc::new(ProofKeys::new(clock, Arc::new(OsRandom)));
        let grants = AssertionGrants::new(sign_ins.clone(), wire.clone(), proofs.clone(), true);
        let client = ResourceClient { id: "agents-elsewhere".into(), secret: Some(Secret::new("the-agents-secret")) };
        Self { idp, elsewhere, wire, roster, sign_ins, grants, proofs, tenant, client }
    }

    /// Somebody signs in in a browser.
    async fn sign_in(&self, login: &str) -> SignedIn {
        let callback = format!("{HERE}/bailiwick/v1/sign-in/provider/return");
        let departure = self.sign_ins.depart(None, &callback, Destination::Page("/".into())).await.unwrap();
        let back = Browser::new().sent_to(&departure.url, login, &callback).await;
        let find =
            |name: &str| back.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
        let back = Return { code: find("code"), state: find("state"), issuer: find("iss"), error: find("error") };
        match self.sign_ins.arrive(&callback, departure.cookie.expose(), back).await.unwrap() {
            Arrival::Browser { signed, .. } => signed,
            Arrival::CommandLine { url } => panic!("{url}"),
        }
    }

    fn request(&self, subject: UserId) -> AccessRequest<'_> {
        AccessRequest {
            tenant: self.tenant,
            subject,
            audience: &self.elsewhere.issuer,
            resource: RESOURCE,
            scope: Some("ledger.read"),
            client: &self.client,
        }
    }

    /// What the other system's authorization server says of a token.
    async fn introspected(&self, token: &Secret) -> Value {
        let form = format!("token={}", token.expose());
        let asked = self.wire.http.post(format!("{}/token/introspection", self.elsewhere.issuer));
        let asked = asked.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let asked = asked.basic_auth(&self.client.id, Some("the-agents-secret"));
        asked.send().await.unwrap().json().await.unwrap()
    }

    fn times_asked(&self, part: &str) -> usize {
        self.wire.asked.lock().unwrap().iter().filter(|url| url.starts_with(part)).count()
    }
}

#[tokio::test]
async fn a_person_is_let_into_another_system_by_the_word_of_their_provider() {
    let house = House::new().await;
    let ada = house.sign_in("ada").await;
    let request = house.request(ada.user.id);
    let token = house.grants.access_token(request).await.unwrap();
    let told = house.introspected(&token).await;
    assert_eq!((&told["active"], &told["sub"], &told["scope"]), (&true.into(), &"ada".into(), &"ledger.read".into()));
    assert_eq!((&told["client_id"], &told["token_type"]), (&"agents-elsewhere".into(), &"DPoP".into()), "{told}");
    // It is bound to the key that its proofs are made with: whoever has the token alone has nothing.
    let shown = Shown { token: token.expose(), method: "GET", url: RESOURCE };
    house.proofs.proof(shown).expect("it is known to be bound").unwrap();
    assert!(told["cnf"]["jkt"].is_string(), "{told}");

    // It is held for the next call, and asked for again only when it is said to be good for nothing.
    let asked = house.times_asked(&house.elsewhere.issuer);
    assert_eq!(house.grants.access_token(request).await.unwrap().expose(), token.expose());
    assert_eq!(house.times_asked(&house.elsewhere.issuer), asked);
    house.grants.forget(&request);
    let (one, two) = tokio::join!(house.grants.access_token(request), house.grants.access_token(request));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.expose() == two.expose() && one.expose() != token.expose(), "one is asked for at a time");

    // Nobody else has it, and another scope is another token.
    let grace = house.sign_in("grace").await;
    let other = house.grants.access_token(house.request(grace.user.id)).await.unwrap();
    assert_eq!(house.introspected(&other).await["sub"], "grace");
    let wider = AccessRequest { scope: Some("ledger.read ledger.write"), ..request };
    assert_eq!(
        house.introspected(&house.grants.access_token(wider).await.unwrap()).await["scope"],
        "ledger.read ledger.write"
    );
    drop(house.idp);
}

#[tokio::test]
async fn who_may_not_has_left_or_is_not_signed_in_gets_nothing() {
    let house = House::new().await;
    let ada = house.sign_in("ada").await;
    let request = house.request(ada.user.id);
    house.grants.access_token(request).await.unwrap();

    // The provider decides who may where.
    let mallory = house.sign_in("mallory").await;
    let refused = house.grants.access_token(house.request(mallory.user.id)).await;
    assert!(matches!(&refused, Err(AccessError::Refused(why)) if why.contains("access_denied")), "{refused:?}");
    let elsewhere = AccessRequest { audience: &house.idp.issuer, ..request };
    let refused = house.grants.access_token(elsewhere).await;
    assert!(matches!(&refused, Err(AccessError::Refused(why)) if why.contains("invalid_target")), "{refused:?}");
    // The other system decides for itself who its clients are.
    let stranger = ResourceClient { id: "somebody".into(), secret: Some(Secret::new("something")) };
    let refused = house.grants.access_token(AccessRequest { client: &stranger, ..request }).await;
    assert!(matches!(&refused, Err(AccessError::Refused(why)) if why.contains("invalid_client")), "{refused:?}");
    for (field, wrong) in [
        ("audience", AccessRequest { audience: "file:///etc", ..request }),
        ("resource", AccessRequest { resource: "nothing", ..request }),
        ("scope", AccessRequest { scope: Some("a\"b"), ..request }),
    ] {
        let refused = house.grants.access_token(wrong).await;
        assert!(matches!(&refused, Err(AccessError::Invalid(name, _)) if *name == field), "{refused:?}");
    }

    // A password of ours proves nothing to the provider, and neither does a sign-in that was ended.
    house.sign_ins.sign_out(ada.token.expose()).await.unwrap();
    house.grants.forget(&request);
    assert_eq!(house.grants.access_token(request).await.unwrap_err(), AccessError::SignInNeeded);
    // Whoever is disabled has nothing, also what is held.
    let again = house.sign_in("ada").await;
    assert_eq!(again.user.id, ada.user.id);
    house.grants.access_token(request).await.unwrap();
    let author = Author { tenant: house.tenant, by: Principal::Operator, reason: None };
    let patch = UserPatch { disabled: Some(true), ..UserPatch::default() };
    house.roster.change_user(author, ada.user.id, patch).await.unwrap();
    let refused = house.grants.access_token(request).await;
    assert!(matches!(&refused, Err(AccessError::Refused(why)) if why.contains("disabled")), "{refused:?}");
}
