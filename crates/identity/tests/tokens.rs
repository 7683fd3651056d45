//! Tokens that we issue, with the clock in the test's hands: keys that follow one another, tokens that are bound to a
//! key, and every well-signed token that must not be believed all the same.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests may panic")]

mod foreign;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use bailiwick_identity::{Issuer, Reception, TokenOptions};
use bailiwick_ports::{
    AuthError, Authenticator, Clock, Scope,
    people::{Author, ChargePatch, Colleagues},
    store::{DocumentKind, Page},
    tokens::{Actor, Exchange, Possession, Thumbprint, TokenError, TokenRequest, Tokens},
};
use bailiwick_testkit::store::When;
use bailiwick_types::{AgentId, Millis, Principal, Secret, SessionId, Timestamp, UserId};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use foreign::{House, START, base64, mapped};
use serde_json::{Value, json};
use std::sync::Arc;

const OURS: &str = "https://agents.example";
const DAY: Millis = Millis::from_secs(24 * 3600);

/// A house with a person, an agent of theirs, and who issues its tokens.
struct Mint {
    house: House,
    issuer: Arc<Issuer>,
    person: UserId,
    agent: AgentId,
    /// The person's own sign-in.
    signed: String,
}

impl Mint {
    async fn new() -> Self {
        let house = House::new(mapped()).await;
        let issuer = issuer(&house, OURS).await;
        let signed = foreign::at_command_line(&house).await;
        let agent = AgentId::new(START, [4; 10]);
        let author = Author { tenant: house.tenant, by: Principal::Operator, reason: None };
        let charge = ChargePatch { owner: Some(Some(signed.user.id)), publish: Some(1), ..ChargePatch::default() };
        house.roster.engage(author, agent, charge, Vec::new()).await.unwrap();
        Self { person: signed.user.id, signed: signed.token.expose().to_owned(), house, issuer, agent }
    }

    fn actor(&self) -> Actor {
        Actor { agent: self.agent, session: SessionId::new(START, [5; 10]) }
    }

    fn wanted(&self) -> TokenRequest {
        TokenRequest {
            tenant: self.house.tenant,
            subject: Some(self.person),
            actors: vec![self.actor()],
            audience: OURS.into(),
            scopes: vec![Scope::SessionsRead],
            not_after: None,
            holder: None,
        }
    }

    async fn token(&self) -> String {
        self.issuer.issue(self.wanted()).await.unwrap().token.expose().to_owned()
    }

    async fn opens(&self, issuer: &Arc<Issuer>, token: &str) -> Result<(), AuthError> {
        self.reception(issuer).authenticate_bearer(token).await.map(drop)
    }

    fn reception(&self, issuer: &Arc<Issuer>) -> Reception {
        let Reception { credentials, sign_ins, .. } = &self.house.reception;
        Reception { credentials: credentials.clone(), sign_ins: sign_ins.clone(), issuer: Some(issuer.clone()) }
    }

    async fn kids(&self) -> Vec<String> {
        let keys = self.issuer.keys().await.unwrap();
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    async fn rotate(&self, at_once: bool) {
        self.issuer.rotate(self.house.tenant, Principal::Operator, Some("a drill".into()), at_once).await.unwrap();
    }
}

/// Another process on the same store, or the same one after a restart.
async fn issuer(house: &House, url: &str) -> Arc<Issuer> {
    let options = TokenOptions {
        tenant: house.tenant,
        issuer: url.into(),
        audiences: vec!["https://erp.example".into()],
        key_age: None,
        roster: house.roster.clone(),
        sign_ins: house.sign_ins.clone(),
    };
    Arc::new(options.build().await.unwrap())
}

fn part(token: &str, at: usize) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_key_that_was_followed_proves_what_it_signed_until_that_has_expired() {
    let mint = Mint::new().await;
    let before = mint.token().await;
    let first = mint.kids().await;
    mint.rotate(false).await;
    let after = mint.token().await;
    let kids = mint.kids().await;
    assert_eq!((kids.len(), &kids[1]), (2, &first[0]));
    assert_eq!((&part(&before, 0)["kid"], &part(&after, 0)["kid"]), (&json!(kids[1]), &json!(kids[0])));
    for token in [&before, &after] {
        mint.opens(&mint.issuer, token).await.unwrap();
    }
    // The same after a restart.
    let again = issuer(&mint.house, OURS).await;
    for token in [&before, &after] {
        mint.opens(&again, token).await.unwrap();
    }
    assert_eq!(again.keys().await.unwrap(), mint.issuer.keys().await.unwrap());
    mint.house.clock.advance(Millis::from_secs(599));
    mint.opens(&mint.issuer, &before).await.unwrap();
    assert_eq!(mint.kids().await.len(), 2);
    mint.house.clock.advance(Millis::from_secs(62));
    assert_eq!(mint.kids().await, kids[..1], "nothing that it signed can be good any more");
    // The next one destroys it.
    mint.rotate(false).await;
    let kept =
        mint.house.store.documents(mint.house.tenant, DocumentKind::SigningKey, Page { limit: 9, ..Page::default() });
    assert_eq!(kept.await.unwrap().unwrap().0.len(), 2);
}

#[tokio::test]
async fn a_key_that_somebody_else_may_have_ends_everything_that_it_signed() {
    let mint = Mint::new().await;
    let before = mint.token().await;
    mint.rotate(true).await;
    assert_eq!(mint.kids().await.len(), 1);
    assert!(mint.opens(&mint.issuer, &before).await.is_err());
    assert!(mint.opens(&issuer(&mint.house, OURS).await, &before).await.is_err(), "after a restart");
    let after = mint.token().await;
    mint.opens(&mint.issuer, &after).await.unwrap();
    let elsewhere = bailiwick_types::TenantId::new(START, [9; 10]);
    assert!(mint.issuer.rotate(elsewhere, Principal::Operator, None, true).await.is_err(), "of another organisation");
    mint.opens(&mint.issuer, &after).await.unwrap();
}

#[tokio::test]
async fn keys_follow_one_another_by_age_and_not_by_a_clock_that_is_set_back() {
    let mint = Mint::new().await;
    let first = mint.kids().await;
    mint.house.clock.set_back(Timestamp::from_millis(START.as_millis() - 1000 * DAY.0 as i64));
    mint.token().await;
    assert_eq!(mint.kids().await, first, "a clock that is set back makes no key old");
    // One that was made under such a clock signs all the same, also after a restart.
    mint.rotate(false).await;
    let second = mint.kids().await[0].clone();
    assert_eq!(part(&mint.token().await, 0)["kid"], json!(second));
    let again = issuer(&mint.house, OURS).await;
    let token = again.issue(mint.wanted()).await.unwrap().token;
    assert_eq!(part(token.expose(), 0)["kid"], json!(second));
    mint.house.clock.advance(Millis(90 * DAY.0 - 1));
    assert_eq!(mint.kids().await, std::slice::from_ref(&second));
    mint.house.clock.advance(Millis(1));
    let (one, two) = tokio::join!(mint.token(), mint.token());
    assert_eq!(part(&one, 0)["kid"], part(&two, 0)["kid"], "two that find it old make one key");
    let kids = mint.kids().await;
    assert_eq!((kids.len(), &kids[1]), (2, &second));
}

#[tokio::test]
async fn a_token_of_another_issuer_audience_or_time_opens_nothing_however_well_it_is_signed() {
    let mint = Mint::new().await;
    let token = mint.token().await;
    mint.opens(&mint.issuer, &token).await.unwrap();
    // The same key and another name: a token of the one is none of the other.
    let other = issuer(&mint.house, "https://agents.example.evil").await;
    let foreign = TokenRequest { audience: "https://agents.example.evil".into(), ..mint.wanted() };
    let foreign = other.issue(foreign).await.unwrap().token;
    assert_eq!(part(foreign.expose(), 0)["kid"], part(&token, 0)["kid"]);
    assert!(mint.opens(&mint.issuer, foreign.expose()).await.is_err(), "another issuer");
    assert!(mint.opens(&other, &token).await.is_err(), "another issuer, the other way round");
    let elsewhere = TokenRequest { audience: "https://erp.example".into(), ..mint.wanted() };
    let elsewhere = mint.issuer.issue(elsewhere).await.unwrap().token;
    assert!(mint.opens(&mint.issuer, elsewhere.expose()).await.is_err(), "another audience");
    // Made in what is the future here, when a clock is set back; and over when its time is.
    mint.house.clock.set_back(Timestamp::from_millis(START.as_millis() - 61_000));
    assert!(mint.opens(&mint.issuer, &token).await.is_err(), "not yet");
    mint.house.clock.advance(Millis(61_000 + 599_999));
    mint.opens(&mint.issuer, &token).await.unwrap();
    mint.house.clock.advance(Millis(1));
    assert!(matches!(mint.opens(&mint.issuer, &token).await, Err(AuthError::SignInExpired(_))));
    // What was ended early stays ended when the clock goes back.
    let ended = mint.token().await;
    mint.issuer.revoke(&ended).await.unwrap();
    mint.house.clock.set_back(Timestamp::from_millis(mint.house.clock.now().as_millis() - 30_000));
    assert!(mint.opens(&mint.issuer, &ended).await.is_err());
}

/// Somebody's key, and proofs by it.
struct Holder(EcdsaKeyPair);

impl Holder {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..])})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        format!("{signed}.{}", base64(self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap()))
    }

    fn claims(&self, mint: &Mint, id: &str, token: Option<&str>) -> Value {
        let mut claims = json!({
            "jti": id, "htm": "GET", "htu": format!("{OURS}/v1/agents"), "iat": mint.house.clock.now().as_seconds(),
        });
        if let Some(token) = token {
            claims["ath"] = json!(base64(digest(&SHA256, token.as_bytes())));
        }
        claims
    }

    fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()})
    }

    async fn proven(&self, mint: &Mint, id: &str, token: Option<&str>) -> Result<Thumbprint, TokenError> {
        let proof = self.sign(&self.header(), &self.claims(mint, id, token));
        prove(mint, &proof, token).await
    }
}

async fn prove(mint: &Mint, proof: &str, token: Option<&str>) -> Result<Thumbprint, TokenError> {
    let url = format!("{OURS}/v1/agents");
    mint.issuer.prove(Possession { proof, method: "GET", url: &url, token }).await
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_opens_nothing_without_it() {
    let mint = Mint::new().await;
    let (holder, thief) = (Holder::new(), Holder::new());
    let exchange = |subject: &str, holder: Option<Thumbprint>| Exchange {
        subject_token: Some(Secret::new(subject)),
        actor: Some(mint.actor()),
        audience: None,
        scopes: None,
        holder,
    };
    let bound = holder.proven(&mint, "1", None).await.unwrap();
    let (issued, _) = mint.issuer.exchange(exchange(&mint.signed, Some(bound.clone()))).await.unwrap();
    let token = issued.token.expose();
    assert_eq!(part(token, 1)["cnf"], json!({"jkt": bound.0}));
    assert!(matches!(mint.opens(&mint.issuer, token).await, Err(AuthError::Malformed(why)) if why.contains("DPoP")));
    let reception = mint.reception(&mint.issuer);
    let held = holder.proven(&mint, "2", Some(token)).await.unwrap();
    reception.authenticate_held(token, &held).await.unwrap();
    let stolen = thief.proven(&mint, "3", Some(token)).await.unwrap();
    assert!(reception.authenticate_held(token, &stolen).await.is_err(), "whoever stole it has another key");
    // Nor does it become another token in other hands; in the same ones it stays bound.
    for holder in [None, Some(stolen)] {
        assert!(matches!(mint.issuer.exchange(exchange(token, holder)).await, Err(TokenError::InvalidGrant(_))));
    }
    let (next, _) = mint.issuer.exchange(exchange(token, Some(held))).await.unwrap();
    assert_eq!(part(next.token.expose(), 1)["cnf"], json!({"jkt": bound.0}));
}

#[tokio::test]
async fn a_proof_is_about_one_request_and_good_once() {
    let mint = Mint::new().await;
    let holder = Holder::new();
    let token = mint.token().await;
    holder.proven(&mint, "once", Some(&token)).await.unwrap();
    assert!(holder.proven(&mint, "once", Some(&token)).await.is_err(), "shown twice");
    Holder::new().proven(&mint, "once", Some(&token)).await.unwrap();
    let now = mint.house.clock.now().as_seconds();
    let private = {
        let mut jwk = holder.jwk();
        jwk["d"] = json!("c2VjcmV0");
        jwk
    };
    for (what, header, claims) in [
        ("another method", json!({}), json!({"htm": "POST"})),
        ("another URL", json!({}), json!({"htu": format!("{OURS}/v1/files")})),
        ("another host", json!({}), json!({"htu": "https://agents.example.evil/v1/agents"})),
        ("another token", json!({}), json!({"ath": base64(digest(&SHA256, b"another"))})),
        ("no token", json!({}), json!({"ath": null})),
        ("old", json!({}), json!({"iat": now - 61})),
        ("of the future", json!({}), json!({"iat": now + 61})),
        ("no id", json!({}), json!({"jti": ""})),
        ("a long id", json!({}), json!({"jti": "x".repeat(257)})),
        ("another type", json!({"typ": "JWT"}), json!({})),
        ("no type", json!({"typ": null}), json!({})),
        ("no algorithm", json!({"alg": "none"}), json!({})),
        ("a keyed hash", json!({"alg": "HS256"}), json!({})),
        ("an algorithm of another key", json!({"alg": "EdDSA"}), json!({})),
        ("no key", json!({"jwk": null}), json!({})),
        ("a shared key", json!({"jwk": {"kty": "oct", "k": "c2VjcmV0"}}), json!({})),
        ("a private key", json!({"jwk": private}), json!({})),
        ("somebody else's key", json!({"jwk": Holder::new().jwk()}), json!({})),
        ("a place of its keys", json!({"jku": "https://evil.example"}), json!({})),
        ("a wish that is not understood", json!({"crit": ["x"]}), json!({})),
    ] {
        let with = |mut value: Value, more: &Value| {
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            value
        };
        let proof =
            holder.sign(&with(holder.header(), &header), &with(holder.claims(&mint, what, Some(&token)), &claims));
        let refused = prove(&mint, &proof, Some(&token)).await;
        assert!(matches!(refused, Err(TokenError::InvalidProof(_))), "{what}: {refused:?}");
    }
    for nonsense in ["", "a.b.c", "x", &token] {
        assert!(prove(&mint, nonsense, Some(&token)).await.is_err(), "{nonsense:.40}");
    }
    // A query, a fragment, capitals and the scheme's own port are no other place.
    let url = "HTTPS://Agents.Example:443/v1/agents?limit=1#x";
    let proof = holder.sign(&holder.header(), &holder.claims(&mint, "spelt", Some(&token)));
    mint.issuer.prove(Possession { proof: &proof, method: "GET", url, token: Some(&token) }).await.unwrap();
}

impl Mint {
    /// The documents of tokens that were ended early, and the records of the administration.
    async fn kept(&self) -> (usize, usize) {
        let (store, tenant) = (&self.house.store, self.house.tenant);
        let page = Page { limit: 100, ..Page::default() };
        let found = store.documents(tenant, DocumentKind::RevokedToken, page).await.unwrap();
        let records = store.records(tenant.into(), 0, 1000).await.unwrap().len();
        (found.map_or(0, |(found, _)| found.len()), records)
    }
}

#[tokio::test]
async fn a_token_that_has_expired_is_ended_without_a_word() {
    let mint = Mint::new().await;
    let (old, records) = (mint.token().await, mint.kept().await.1);
    mint.house.clock.advance(Millis::from_secs(601));
    for _ in 0..3 {
        mint.issuer.revoke(&old).await.unwrap();
    }
    assert_eq!(mint.kept().await, (0, records));
}

#[tokio::test]
async fn a_token_is_ended_once_and_what_was_kept_of_it_goes_with_its_time() {
    let mint = Mint::new().await;
    let (token, records) = (mint.token().await, mint.kept().await.1);
    tokio::try_join!(mint.issuer.revoke(&token), mint.issuer.revoke(&token)).unwrap();
    mint.issuer.revoke(&token).await.unwrap();
    assert_eq!(mint.kept().await, (1, records + 1));
    mint.house.clock.advance(Millis::from_secs(601));
    mint.issuer.revoke(&mint.token().await).await.unwrap();
    assert_eq!(mint.kept().await, (1, records + 2), "of the first one nothing is left but its record");
    // What has expired is not taken in again.
    assert!(mint.opens(&issuer(&mint.house, OURS).await, &token).await.is_err());
}

#[tokio::test]
async fn a_token_whose_end_could_not_be_written_is_ended_for_good_when_somebody_tries_again() {
    let mint = Mint::new().await;
    let token = mint.token().await;
    for when in [When::Before, When::After] {
        mint.house.faults.crash_after(1, when);
        assert!(matches!(mint.issuer.revoke(&token).await, Err(TokenError::Unavailable(_))), "{when:?}");
        assert!(mint.opens(&mint.issuer, &token).await.is_err(), "it opens nothing at once");
    }
    mint.issuer.revoke(&token).await.unwrap();
    let restarted = issuer(&mint.house, OURS).await;
    assert!(matches!(mint.opens(&restarted, &token).await, Err(AuthError::Unknown)));
}
