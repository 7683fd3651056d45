//! Signing in at an identity provider that lives in memory: the way there and back, whom it lets in, and every token
//! that must not be believed.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests may panic")]

mod foreign;

use aws_lc_rs::digest;
use bailiwick_identity::Mapping;
use bailiwick_ports::{
    Directory, People, Role, SignIn, SignInError,
    people::{Author, UserPatch},
    sign_in::{Destination, Return},
};
use bailiwick_types::{Millis, Principal};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use foreign::{CALLBACK, House, START, base64, mapped};
use serde_json::json;

#[tokio::test]
async fn the_first_sign_in_adds_a_person_as_their_groups_say() {
    let house = House::new(mapped()).await;
    let trip = house.depart().await;
    let token = house.provider.sign(&json!({"alg": "ES256", "kid": "one"}), &house.claims(&trip));
    let (signed, next) = house.arrive(&trip, token).await.unwrap();
    assert_eq!((signed.user.name.as_str(), next.as_str()), ("Ada Lovelace", "/console"));
    assert_eq!(signed.user.roles, [Role::Member]);
    assert_eq!(house.roster.teams(house.tenant)[0].name, "Everybody");
    // The verifier that was sent is the one of the challenge (RFC 7636), and the secret is in a header.
    let asked = house.provider.asked.lock().unwrap().clone();
    let form = &asked.iter().find(|(url, _)| url.ends_with("/token")).unwrap().1;
    let verifier = form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == "code_verifier").unwrap().1;
    assert_eq!(base64(digest::digest(&digest::SHA256, verifier.as_bytes())), trip.challenge);
    assert!(!form.contains("secret"), "{form}");

    // The same person with other groups, and no second one.
    let again = house.come(json!({"groups": ["it", "law"], "name": "Ada L."})).await.unwrap();
    assert_eq!(again.user.id, signed.user.id);
    assert_eq!(again.user.roles, [Role::Admin, Role::Auditor, Role::Member]);
    let legal = house.roster.teams(house.tenant).into_iter().find(|team| team.name == "Legal").unwrap();
    assert_eq!(again.user.teams, [legal.id]);
    assert_eq!(house.roster.users(house.tenant).len(), 1);
    assert_eq!(house.come(json!({"groups": []})).await.unwrap().user.roles, [Role::Member]);
}

#[tokio::test]
async fn groups_may_come_from_the_provider_instead_of_its_token() {
    let house = House::new(Mapping { groups_claim: "memberships".into(), ..mapped() }).await;
    *house.provider.user_info.lock().unwrap() = json!({"sub": "u-1", "memberships": ["it"]});
    assert_eq!(house.come(json!({})).await.unwrap().user.roles, [Role::Admin, Role::Member]);
    *house.provider.user_info.lock().unwrap() = json!({"sub": "u-2", "memberships": ["it"]});
    assert!(matches!(house.come(json!({})).await, Err(SignInError::Provider(_))));
}

#[tokio::test]
async fn who_has_no_place_here_stays_outside() {
    let nobody = Mapping { default_roles: Vec::new(), ..mapped() };
    let house = House::new(nobody).await;
    assert!(matches!(house.come(json!({})).await, Err(SignInError::Refused(_))));
    let invited = Mapping { provision: false, ..mapped() };
    let house = House::new(invited).await;
    assert!(matches!(house.come(json!({})).await, Err(SignInError::Refused(_))));
    assert!(house.roster.users(house.tenant).is_empty());

    let house = House::new(mapped()).await;
    let user = house.come(json!({})).await.unwrap().user.id;
    let author = Author { tenant: house.tenant, by: Principal::Operator, reason: None };
    let gone = UserPatch { disabled: Some(true), ..UserPatch::default() };
    house.roster.change_user(author, user, gone).await.unwrap();
    assert!(matches!(house.come(json!({})).await, Err(SignInError::Refused(_))));
    assert!(house.roster.person(house.tenant, user).unwrap().disabled);
}

#[tokio::test]
async fn a_token_that_proves_something_else_proves_nothing() {
    let house = House::new(mapped()).await;
    let now = START.as_seconds();
    let es256 = json!({"alg": "ES256", "kid": "one"});
    for (what, header, more) in [
        ("another audience", es256.clone(), json!({"aud": "somebody-else"})),
        ("no audience of ours among several", es256.clone(), json!({"aud": ["a", "b"]})),
        ("several audiences and no party", es256.clone(), json!({"aud": ["bailiwick", "b"]})),
        ("another party", es256.clone(), json!({"azp": "b"})),
        ("another issuer", es256.clone(), json!({"iss": "https://id.example.evil"})),
        ("an issuer with a slash", es256.clone(), json!({"iss": "https://id.example/"})),
        ("another sign-in", es256.clone(), json!({"nonce": "n"})),
        ("no sign-in", es256.clone(), json!({"nonce": null})),
        ("expired", es256.clone(), json!({"exp": now - 61})),
        ("not valid yet", es256.clone(), json!({"nbf": now + 120})),
        ("made long ago", es256.clone(), json!({"iat": now - 3600, "exp": now + 3600})),
        ("made in the future", es256.clone(), json!({"iat": now + 3600})),
        ("nobody", es256.clone(), json!({"sub": ""})),
        ("a subject of another type", es256.clone(), json!({"sub": 7})),
        ("an unknown key", json!({"alg": "ES256", "kid": "two"}), json!({})),
        ("another algorithm for the key", json!({"alg": "ES384", "kid": "one"}), json!({})),
        ("a keyed hash", json!({"alg": "HS256", "kid": "shared"}), json!({})),
        ("no algorithm", json!({"alg": "none"}), json!({})),
        ("an unknown algorithm", json!({"alg": "XS1", "kid": "one"}), json!({})),
        ("a place of its own keys", json!({"alg": "ES256", "kid": "one", "jku": "https://evil.example"}), json!({})),
        ("a key of its own", json!({"alg": "ES256", "kid": "one", "jwk": {"kty": "EC"}}), json!({})),
        ("a certificate of its own", json!({"alg": "ES256", "kid": "one", "x5c": ["MII"]}), json!({})),
        ("a wish that is not understood", json!({"alg": "ES256", "kid": "one", "crit": ["exp"]}), json!({})),
        ("an access token", json!({"alg": "ES256", "kid": "one", "typ": "at+jwt"}), json!({})),
    ] {
        let trip = house.depart().await;
        let mut claims = house.claims(&trip);
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = house.provider.sign(&header, &claims);
        let refused = house.arrive(&trip, token).await;
        assert!(
            matches!(refused, Err(SignInError::Provider(_))),
            "{what}: {:?}",
            refused.map(|(signed, _)| signed.user)
        );
    }
    let trip = house.depart().await;
    let good = house.provider.sign(&es256, &house.claims(&trip));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other_claims = format!(
        "{}.{}.{signature}",
        signed.split('.').next().unwrap(),
        base64(house.claims(&trip).to_string().replace("u-1", "u-2"))
    );
    let flipped = base64(BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap().iter().map(|b| b ^ 1).collect::<Vec<_>>());
    for token in [
        other_claims,
        format!("{signed}."),
        format!("{signed}.{flipped}"),
        format!("{signed}.{signature}="),
        format!("{good}.{signature}"),
        signed.to_owned(),
        String::new(),
        "a.b.c".into(),
        "x".repeat(100_000),
    ] {
        assert!(matches!(house.arrive(&trip, token.clone()).await, Err(SignInError::Provider(_))), "{token:.80}");
    }
    assert!(house.roster.users(house.tenant).is_empty());
    // An attacker's key ids do not make us ask the provider each time.
    assert!(house.provider.times_asked("/keys") <= 2, "{}", house.provider.times_asked("/keys"));
    house.arrive(&trip, good).await.unwrap();
}

#[tokio::test]
async fn keys_that_change_are_fetched_again_and_not_too_often() {
    let house = House::new(mapped()).await;
    house.come(json!({})).await.unwrap();
    *house.provider.kid.lock().unwrap() = "two";
    let come = async || {
        let trip = house.depart().await;
        let token = house.provider.sign(&json!({"alg": "ES256", "kid": "two"}), &house.claims(&trip));
        house.arrive(&trip, token).await
    };
    assert!(come().await.is_err());
    assert_eq!(house.provider.times_asked("/keys"), 1);
    house.clock.advance(Millis::from_secs(61));
    come().await.unwrap();
    assert_eq!(house.provider.times_asked("/keys"), 2);
}

#[tokio::test]
async fn the_way_back_belongs_to_one_browser_and_one_sign_in() {
    let house = House::new(mapped()).await;
    let (trip, other) = (house.depart().await, house.depart().await);
    let back = |state: &str, issuer: Option<&str>| Return {
        code: Some("code".into()),
        state: Some(state.into()),
        issuer: issuer.map(str::to_owned),
        error: None,
    };
    for (what, callback, cookie, back) in [
        ("another sign-in's state", CALLBACK, trip.cookie.expose(), back(&other.state, None)),
        ("no state", CALLBACK, trip.cookie.expose(), back("", None)),
        ("no cookie", CALLBACK, "", back(&trip.state, None)),
        ("a cookie that was made up", CALLBACK, "AAAA", back(&trip.state, None)),
        ("another address of ours", "https://evil.example/return", trip.cookie.expose(), back(&trip.state, None)),
        (
            "another provider (RFC 9207)",
            CALLBACK,
            trip.cookie.expose(),
            back(&trip.state, Some("https://evil.example")),
        ),
        (
            "a refusal",
            CALLBACK,
            trip.cookie.expose(),
            Return { error: Some("access_denied".into()), ..back(&trip.state, None) },
        ),
        ("no code", CALLBACK, trip.cookie.expose(), Return { code: None, ..back(&trip.state, None) }),
    ] {
        let refused = house.sign_ins.arrive(callback, cookie, back).await;
        assert!(matches!(refused, Err(SignInError::Provider(_))), "{what}");
    }
    house.clock.advance(Millis::from_secs(601));
    let refused = house.sign_ins.arrive(CALLBACK, trip.cookie.expose(), back(&trip.state, None)).await;
    assert!(matches!(refused, Err(SignInError::Provider(_))), "it took too long");
    assert_eq!(house.provider.times_asked("/token"), 0);
}

#[tokio::test]
async fn metadata_that_leads_elsewhere_is_not_followed() {
    for (field, value) in [
        ("issuer", "https://id.example.evil"),
        ("jwks_uri", "http://id.example/keys"),
        ("token_endpoint", "file:///etc/passwd"),
        ("userinfo_endpoint", "http://169.254.169.254/latest"),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("end_session_endpoint", "https://user@evil.example"),
    ] {
        let house = House::new(mapped()).await;
        house.provider.metadata.lock().unwrap()[field] = json!(value);
        assert!(
            matches!(
                house.sign_ins.depart(None, CALLBACK, Destination::Page("/".into())).await,
                Err(SignInError::Provider(_))
            ),
            "{field}"
        );
    }
    let house = House::new(mapped()).await;
    let farewell = house.sign_ins.farewell(house.tenant, "https://agents.example/").await.unwrap();
    assert!(
        farewell.starts_with("https://id.example/end?client_id=bailiwick&post_logout_redirect_uri=https"),
        "{farewell}"
    );
}
