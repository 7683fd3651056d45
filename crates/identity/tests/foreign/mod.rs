//! An identity provider that lives in memory, and a house that people of it sign in to.

#![allow(dead_code, unused_imports, reason = "each test file uses its part of this")]

use async_trait::async_trait;
use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use bailiwick_gate::Administrator;
use bailiwick_identity::{
    Credentials, Lives, Mapping, OsRandom, PasswordCost, ProviderOptions, Reception, Roster, SignInOptions, SignIns,
    Web, WebAnswer, WebRequest,
};
use bailiwick_ports::{
    BoxFuture, Clock, Directory, Keys, People, Role, SignIn, SignInError, Store, TaskHandle, Tasks,
    people::{Author, UserPatch},
    sign_in::{Arrival, Departure, Destination, HandOver, Medium, Return, SignedIn},
    store::Tenant,
};
use bailiwick_testkit::{
    clock::ManualClock,
    keys::PlainKeys,
    store::{Faults, MemoryStore},
};
use bailiwick_types::{Millis, Principal, Secret, TenantId, Timestamp};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

/// An organisation whose people come from the same provider as another client.
pub const OTHER: &str = "Other Ltd";
pub const ISSUER: &str = "https://id.example";
pub const CALLBACK: &str = "https://agents.example/bailiwick/v1/sign-in/provider/return";
/// 2026-11-21T11:30:45Z.
pub const START: Timestamp = Timestamp::from_millis(1_795_260_645_000);

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The provider: one key, one answer of the token endpoint, and what it was asked.
pub struct Fake {
    pub key: EcdsaKeyPair,
    pub token: Mutex<Value>,
    /// Its answer to renewals.
    pub renewed: Mutex<(u16, Value)>,
    pub metadata: Mutex<Value>,
    pub kid: Mutex<&'static str>,
    pub user_info: Mutex<Value>,
    pub asked: Mutex<Vec<(String, String)>>,
    /// The one refresh token that is good: it is good once, gives the next, and any other one ends everything.
    pub rotation: Mutex<Option<u32>>,
    /// Answers of the token endpoint are given, and come a while later.
    pub slow: AtomicBool,
}

impl Fake {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            token: Mutex::default(),
            renewed: Mutex::new((400, json!({"error": "invalid_grant"}))),
            metadata: Mutex::new(json!({
                "issuer": ISSUER,
                "authorization_endpoint": format!("{ISSUER}/auth"),
                "token_endpoint": format!("{ISSUER}/token"),
                "jwks_uri": format!("{ISSUER}/keys"),
                "userinfo_endpoint": format!("{ISSUER}/me"),
                "end_session_endpoint": format!("{ISSUER}/end"),
            })),
            kid: Mutex::new("one"),
            user_info: Mutex::new(json!({"sub": "u-1"})),
            asked: Mutex::default(),
            rotation: Mutex::default(),
            slow: AtomicBool::default(),
        })
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64(signature))
    }

    fn renewal(&self, form: &str) -> (u16, Value) {
        let (status, mut body) = self.renewed.lock().unwrap().clone();
        let mut rotation = self.rotation.lock().unwrap();
        match *rotation {
            Some(good) if form.contains(&format!("refresh_token=rt-{good}&")) => {
                *rotation = Some(good + 1);
                body["refresh_token"] = json!(format!("rt-{}", good + 1));
                (status, body)
            }
            Some(_) => {
                *rotation = Some(0);
                (400, json!({"error": "invalid_grant"}))
            }
            None => (status, body),
        }
    }

    /// What its token endpoint was shown last.
    pub fn shown(&self) -> String {
        self.asked.lock().unwrap().iter().rfind(|(url, _)| url.ends_with("/token")).unwrap().1.clone()
    }

    pub fn times_asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(url, _)| url.ends_with(path)).count()
    }
}

#[async_trait]
impl Web for Fake {
    async fn fetch(&self, request: WebRequest) -> Result<WebAnswer, String> {
        let form = request.form.map(|form| form.expose().to_owned()).unwrap_or_default();
        self.asked.lock().unwrap().push((request.url.clone(), form.clone()));
        if form.contains("grant_type=refresh_token") {
            let (status, body) = self.renewal(&form);
            if self.slow.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            return match status {
                0 => Err("nobody answers".into()),
                status => Ok(WebAnswer { status, nonce: None, body: body.to_string().into_bytes() }),
            };
        }
        let body = match request.url.strip_prefix(ISSUER).unwrap() {
            "/.well-known/openid-configuration" => self.metadata.lock().unwrap().clone(),
            "/token" => self.token.lock().unwrap().clone(),
            "/me" => self.user_info.lock().unwrap().clone(),
            "/keys" => {
                let point = self.key.public_key().as_ref();
                let kid = *self.kid.lock().unwrap();
                json!({"keys": [
                    {"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": base64(&point[1..33]), "y": base64(&point[33..])},
                    {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
                ]})
            }
            _ => return Ok(WebAnswer { status: 404, nonce: None, body: Vec::new() }),
        };
        Ok(WebAnswer { status: 200, nonce: None, body: body.to_string().into_bytes() })
    }
}

/// Runs what is begun beside the test.
pub struct Spawned;

impl Tasks for Spawned {
    fn spawn(&self, _: &'static str, work: BoxFuture<'static, ()>) -> TaskHandle {
        let handle = tokio::spawn(work).abort_handle();
        TaskHandle::new(move || handle.abort())
    }
}

pub struct House {
    pub provider: Arc<Fake>,
    pub clock: Arc<ManualClock>,
    pub roster: Arc<Roster>,
    pub sign_ins: Arc<SignIns>,
    pub reception: Reception,
    pub store: Arc<dyn Store>,
    pub faults: Faults,
    pub tenant: TenantId,
}

/// Somebody on the way.
pub struct Trip {
    pub cookie: Secret,
    /// Where the provider sends the browser back to.
    pub callback: String,
    pub state: String,
    pub nonce: String,
    pub challenge: String,
    pub offline: bool,
    pub prompt: String,
}

impl House {
    pub async fn new(mapping: Mapping) -> Self {
        Self::with(mapping, &["email"]).await
    }

    pub async fn with(mapping: Mapping, scopes: &[&str]) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let ticking: Arc<dyn Clock> = clock.clone();
        let memory = MemoryStore::new(ticking.clone());
        let faults = memory.faults();
        let store: Arc<dyn Store> = Arc::new(memory);
        let keys: Arc<dyn Keys> = Arc::new(PlainKeys);
        let tenant = TenantId::new(START, [1; 10]);
        let (key, _) = keys.create(tenant, tenant.into());
        store.put_tenant(Tenant { id: tenant, name: "t".into(), key }).await.unwrap();
        let administration = Arc::new(Administrator::new(store.clone(), keys.clone(), ticking.clone()));
        let random = Arc::new(OsRandom);
        let credentials = Arc::new(Credentials::new(
            store.clone(),
            keys.clone(),
            administration.clone(),
            ticking.clone(),
            random.clone(),
        ));
        let roster =
            Roster::load(store.clone(), keys, administration.clone(), ticking.clone(), random.clone()).await.unwrap();
        let roster = Arc::new(roster);
        let provider = Fake::new();
        let options = |client_id: &str| ProviderOptions {
            issuer: ISSUER.into(),
            client_id: client_id.into(),
            client_secret: Some(Secret::new("client secret")),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            mapping: mapping.clone(),
            plain_http: false,
            web: provider.clone(),
            clock: ticking.clone(),
            random: random.clone(),
        };
        let sign_ins = SignInOptions {
            tenant,
            roster: roster.clone(),
            cost: PasswordCost { memory_kib: 64, passes: 1 },
            lives: Lives::default(),
            provider: Some(options("bailiwick").build().unwrap()),
            others: [(OTHER.to_owned(), options("other").build().unwrap())].into(),
            tasks: Arc::new(Spawned),
        };
        let sign_ins = Arc::new(sign_ins.build());
        let reception = Reception { credentials, sign_ins: sign_ins.clone(), issuer: None };
        Self { provider, clock, roster, sign_ins, reception, store, faults, tenant }
    }

    /// Makes another organisation.
    pub async fn found(&self, name: &str, number: u8) -> TenantId {
        let id = TenantId::new(START, [number; 10]);
        let (key, _) = PlainKeys.create(id, id.into());
        self.store.put_tenant(Tenant { id, name: name.into(), key }).await.unwrap();
        id
    }

    pub async fn depart(&self) -> Trip {
        let departure = self.sign_ins.depart(None, CALLBACK, Destination::Page("/console".into())).await.unwrap();
        self.trip(departure)
    }

    pub fn trip(&self, departure: Departure) -> Trip {
        let (place, query) = departure.url.split_once('?').unwrap();
        assert_eq!(place, format!("{ISSUER}/auth"));
        let find = |name: &str| {
            let pair = form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
            pair.unwrap_or_else(|| panic!("no {name} in {query}")).1.into_owned()
        };
        assert_eq!((find("code_challenge_method"), find("response_type")), ("S256".into(), "code".into()));
        let callback = find("redirect_uri");
        assert!(callback.starts_with(CALLBACK), "{callback}");
        assert!(find("scope").starts_with("openid"));
        let prompt = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "prompt");
        let prompt = prompt.map(|(_, prompt)| prompt.into_owned()).unwrap_or_default();
        Trip {
            cookie: departure.cookie,
            callback,
            state: find("state"),
            nonce: find("nonce"),
            challenge: find("code_challenge"),
            offline: find("scope").contains("offline_access"),
            prompt,
        }
    }

    pub fn claims(&self, trip: &Trip) -> Value {
        let now = self.clock.now().as_seconds();
        json!({
            "iss": ISSUER, "sub": "u-1", "aud": "bailiwick", "exp": now + 300, "iat": now, "nonce": trip.nonce,
            "name": "Ada Lovelace", "email": "ada@example.org", "groups": ["staff"],
        })
    }

    pub async fn arrive(&self, trip: &Trip, id_token: String) -> Result<(SignedIn, String), SignInError> {
        match self.arrive_somewhere(trip, id_token).await? {
            Arrival::Browser { signed, next } => Ok((signed, next)),
            Arrival::CommandLine { url } => panic!("{url}"),
        }
    }

    pub async fn arrive_somewhere(&self, trip: &Trip, id_token: String) -> Result<Arrival, SignInError> {
        let mut answer = json!({"id_token": id_token, "access_token": "at", "token_type": "Bearer"});
        if trip.offline {
            answer["refresh_token"] = json!("rt-1");
        }
        *self.provider.token.lock().unwrap() = answer;
        let back = Return {
            code: Some("code".into()),
            state: Some(trip.state.clone()),
            issuer: Some(ISSUER.into()),
            error: None,
        };
        self.sign_ins.arrive(&trip.callback, trip.cookie.expose(), back).await
    }

    /// The whole way with these claims over the usual ones.
    pub async fn come(&self, more: Value) -> Result<SignedIn, SignInError> {
        let trip = self.depart().await;
        let mut claims = self.claims(&trip);
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = self.provider.sign(&json!({"alg": "ES256", "kid": "one", "typ": "JWT"}), &claims);
        Ok(self.arrive(&trip, token).await?.0)
    }
}

pub fn mapped() -> Mapping {
    Mapping {
        roles: [(Role::Admin, vec!["it".into()]), (Role::Auditor, vec!["audit".into(), "law".into()])].into(),
        teams: [("staff".to_owned(), "Everybody".to_owned()), ("law".to_owned(), "Legal".to_owned())].into(),
        ..Mapping::default()
    }
}

const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

/// Somebody who signs in at a command line.
pub async fn at_command_line(house: &House) -> SignedIn {
    let hand_over = HandOver {
        redirect_uri: "http://127.0.0.1:4321/".into(),
        state: "the-command-lines-state".into(),
        challenge: base64(digest::digest(&digest::SHA256, VERIFIER.as_bytes())),
    };
    let departure = house.sign_ins.depart(None, CALLBACK, Destination::CommandLine(hand_over)).await.unwrap();
    let trip = house.trip(departure);
    let token = house.provider.sign(&json!({"alg": "ES256", "kid": "one"}), &house.claims(&trip));
    let Arrival::CommandLine { url } = house.arrive_somewhere(&trip, token).await.unwrap() else { panic!("a cookie") };
    let code = url.split("code=").nth(1).unwrap().split('&').next().unwrap();
    house.sign_ins.redeem(code, &Secret::new(VERIFIER), None).await.unwrap()
}
