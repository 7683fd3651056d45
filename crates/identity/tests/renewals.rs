//! Sign-ins that came from the identity provider, afterwards: handed to a command line, renewed, and ended by the
//! provider's word. Every logout token that must not be believed.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests may panic")]

mod foreign;

use aws_lc_rs::digest::{SHA256, digest};
use bailiwick_ports::{
    AuthError, Authenticator, Clock, Role, SignIn, SignInError,
    sign_in::{Arrival, Destination, HandOver, Medium, PasswordAttempt, SignedIn},
};
use bailiwick_testkit::store::When;
use bailiwick_types::{Millis, Secret};
use foreign::{CALLBACK, House, ISSUER, START, base64, mapped};
use serde_json::{Value, json};
use std::{
    future::Future as _,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
};

const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn command_line(redirect_uri: &str) -> HandOver {
    HandOver {
        redirect_uri: redirect_uri.into(),
        state: "the-command-lines-state".into(),
        challenge: base64(digest(&SHA256, VERIFIER.as_bytes())),
    }
}

/// The code that the browser brings back to a command line.
async fn code(house: &House, more: Value) -> String {
    let destination = Destination::CommandLine(command_line("http://127.0.0.1:4321/"));
    let trip = house.trip(house.sign_ins.depart(None, CALLBACK, destination).await.unwrap());
    assert!(trip.prompt.contains("login"), "no page makes a browser hand a sign-in over by itself: {}", trip.prompt);
    let mut claims = house.claims(&trip);
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let token = house.provider.sign(&json!({"alg": "ES256", "kid": "one"}), &claims);
    match house.arrive_somewhere(&trip, token).await.unwrap() {
        Arrival::CommandLine { url } => {
            let rest = url.strip_prefix("http://127.0.0.1:4321/?code=").unwrap();
            rest.strip_suffix("&state=the-command-lines-state").unwrap().to_owned()
        }
        Arrival::Browser { .. } => panic!("a cookie in place of a code"),
    }
}

async fn at_command_line(house: &House, more: Value) -> SignedIn {
    let code = code(house, more).await;
    house.sign_ins.redeem(&code, &Secret::new(VERIFIER), None).await.unwrap()
}

/// Whether a command line's sign-in is good.
async fn is_in(house: &House, signed: &SignedIn) -> Result<(), AuthError> {
    house.reception.authenticate_bearer(signed.token.expose()).await.map(drop)
}

fn logout(house: &House, header: Value, more: Value) -> String {
    let now = house.clock.now().as_seconds();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let id = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
    let mut claims = json!({
        "iss": ISSUER, "aud": "bailiwick", "iat": now, "exp": now + 120, "jti": id,
        "sub": "u-1", "events": {EVENT: {}},
    });
    let fields = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        if value == "absent" {
            fields.remove(name)
        } else {
            fields.insert(name.clone(), value.clone())
        };
    }
    house.provider.sign(&header, &claims)
}

fn typed() -> Value {
    json!({"alg": "ES256", "kid": "one", "typ": "logout+jwt"})
}

#[tokio::test]
async fn a_command_line_redeems_its_code_once_and_nobody_elses() {
    let house = House::new(mapped()).await;
    let good = code(&house, json!({})).await;
    let signed = house.sign_ins.redeem(&good, &Secret::new(VERIFIER), None).await.unwrap();
    is_in(&house, &signed).await.unwrap();
    assert!(house.reception.authenticate_cookie(signed.token.expose()).await.is_err(), "a bearer token is no cookie");
    // Without a refresh token nobody asks the provider again: it lasts as a browser's sign-in does.
    assert_eq!(signed.expires, START + Millis::from_secs(12 * 3600));
    let (stolen, late) = (code(&house, json!({})).await, code(&house, json!({})).await);
    for (what, code, verifier) in [
        ("twice", good.as_str(), VERIFIER),
        ("by somebody else", &stolen, "another-verifier-of-forty-three-characters-or-so"),
        ("after somebody else tried", &stolen, VERIFIER),
        ("nonsense", "x", VERIFIER),
    ] {
        let refused = house.sign_ins.redeem(code, &Secret::new(verifier), None).await;
        assert!(matches!(refused, Err(SignInError::WrongCode)), "{what}");
    }
    house.clock.advance(Millis::from_secs(61));
    assert!(house.sign_ins.redeem(&late, &Secret::new(VERIFIER), None).await.is_err(), "late");
}

#[tokio::test]
async fn a_sign_in_is_handed_to_this_machine_only() {
    let house = House::new(mapped()).await;
    let ours = command_line("http://127.0.0.1:4321/");
    let depart = async |hand_over: HandOver| {
        house.sign_ins.depart(None, CALLBACK, Destination::CommandLine(hand_over)).await.map(drop)
    };
    depart(HandOver { redirect_uri: "http://[::1]:9/".into(), ..ours.clone() }).await.unwrap();
    for elsewhere in [
        "https://evil.example/",
        "http://127.0.0.1.evil.example:80/",
        "http://127.0.0.1:80@evil.example/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:80/x",
        "http://127.0.0.1/",
        "http://localhost:80/",
        "http://127.0.0.1:+80/",
        "",
    ] {
        let refused = depart(HandOver { redirect_uri: elsewhere.into(), ..ours.clone() }).await;
        assert!(matches!(refused, Err(SignInError::Provider(_))), "{elsewhere}");
    }
    for (state, challenge) in
        [("short", ours.challenge.as_str()), ("a&code=stolen&state=xxxx", &ours.challenge), (&ours.state, "plain")]
    {
        let hand_over = HandOver { state: state.into(), challenge: challenge.into(), ..ours.clone() };
        assert!(depart(hand_over).await.is_err(), "{state} {challenge}");
    }
}

#[tokio::test]
async fn the_provider_ends_one_session_or_all_of_one_person() {
    let house = House::new(mapped()).await;
    let one = at_command_line(&house, json!({"sid": "s-1"})).await;
    let two = at_command_line(&house, json!({"sid": "s-2"})).await;
    let old = at_command_line(&house, json!({})).await;
    let bea = at_command_line(&house, json!({"sub": "u-2", "sid": "s-3"})).await;
    let browser = house.come(json!({"sid": "s-1"})).await.unwrap();
    let waiting = code(&house, json!({"sid": "s-1"})).await;
    let token = logout(&house, typed(), json!({"sid": "s-1", "sub": "absent"}));
    house.sign_ins.logged_out(&token).await.unwrap();
    assert!(is_in(&house, &one).await.is_err());
    assert!(house.reception.authenticate_cookie(browser.token.expose()).await.is_err());
    assert!(house.sign_ins.redeem(&waiting, &Secret::new(VERIFIER), None).await.is_err(), "on the way in");
    for stays in [&two, &old, &bea] {
        is_in(&house, stays).await.unwrap();
    }
    // The same word again proves nothing more.
    let again = house.sign_ins.logged_out(&token).await;
    assert!(matches!(again, Err(SignInError::Provider(problem)) if problem.contains("before")));
    // Without a session, and with no type as older providers send it: all of this person, and of nobody else.
    house.sign_ins.logged_out(&logout(&house, json!({"alg": "ES256", "kid": "one"}), json!({}))).await.unwrap();
    assert!(is_in(&house, &two).await.is_err() && is_in(&house, &old).await.is_err());
    is_in(&house, &bea).await.unwrap();
    // Somebody else's session of the same name is not theirs.
    house.sign_ins.logged_out(&logout(&house, typed(), json!({"sid": "s-3", "sub": "u-1"}))).await.unwrap();
    is_in(&house, &bea).await.unwrap();
}

#[tokio::test]
async fn a_logout_token_that_proves_something_else_ends_nothing() {
    let house = House::new(mapped()).await;
    let signed = at_command_line(&house, json!({"sid": "s-1"})).await;
    let now = START.as_seconds();
    for (what, header, more) in [
        ("another audience", typed(), json!({"aud": "somebody-else"})),
        ("another issuer", typed(), json!({"iss": "https://id.example.evil"})),
        ("no event", typed(), json!({"events": {}})),
        ("another event", typed(), json!({"events": {"http://schemas.openid.net/secevent/risc": {}}})),
        ("an event that is no object", typed(), json!({"events": {EVENT: true}})),
        ("no events at all", typed(), json!({"events": "absent"})),
        ("a nonce", typed(), json!({"nonce": "n"})),
        ("a nonce of nothing", typed(), json!({"nonce": null})),
        ("expired", typed(), json!({"exp": now - 61})),
        ("without an end", typed(), json!({"exp": "absent"})),
        ("made long ago", typed(), json!({"iat": now - 3600, "exp": now + 3600})),
        ("made in the future", typed(), json!({"iat": now + 3600, "exp": now + 7200})),
        ("no id", typed(), json!({"jti": ""})),
        ("without an id", typed(), json!({"jti": "absent"})),
        ("nobody", typed(), json!({"sub": "absent"})),
        ("an ID token", json!({"alg": "ES256", "kid": "one", "typ": "JWT"}), json!({"events": "absent", "nonce": "n"})),
        ("an access token", json!({"alg": "ES256", "kid": "one", "typ": "at+jwt"}), json!({})),
        ("an unknown key", json!({"alg": "ES256", "kid": "two", "typ": "logout+jwt"}), json!({})),
        ("no algorithm", json!({"alg": "none", "typ": "logout+jwt"}), json!({})),
        ("a keyed hash", json!({"alg": "HS256", "kid": "shared", "typ": "logout+jwt"}), json!({})),
    ] {
        let refused = house.sign_ins.logged_out(&logout(&house, header, more)).await;
        assert!(matches!(refused, Err(SignInError::Provider(_))), "{what}: {refused:?}");
    }
    let good = logout(&house, typed(), json!({}));
    let (rest, _) = good.rsplit_once('.').unwrap();
    for token in [format!("{rest}."), rest.to_owned(), String::new(), "a.b.c".into()] {
        assert!(matches!(house.sign_ins.logged_out(&token).await, Err(SignInError::Provider(_))), "{token:.80}");
    }
    is_in(&house, &signed).await.unwrap();
    house.sign_ins.logged_out(&good).await.unwrap();
    assert!(is_in(&house, &signed).await.is_err());
}

#[tokio::test]
async fn who_is_disabled_at_the_provider_is_out_at_the_next_renewal() {
    let house = House::with(mapped(), &["email", "offline_access"]).await;
    let (ada, bea) = (at_command_line(&house, json!({})).await, at_command_line(&house, json!({"sub": "u-2"})).await);
    assert_eq!(ada.expires, START + Millis::from_secs(30 * 24 * 3600));
    house.clock.advance(Millis::from_secs(3599));
    is_in(&house, &ada).await.unwrap();
    assert_eq!(house.provider.times_asked("/token"), 2, "not before its time");
    // What the provider gives for the next renewal is what is shown then.
    *house.provider.renewed.lock().unwrap() = (200, json!({"access_token": "at", "refresh_token": "rt-2"}));
    house.clock.advance(Millis::from_secs(2));
    let (first, second) = tokio::join!(is_in(&house, &ada), is_in(&house, &ada));
    first.and(second).unwrap();
    assert_eq!(house.provider.times_asked("/token"), 3, "one asks at a time");
    *house.provider.renewed.lock().unwrap() = (400, json!({"error": "invalid_grant"}));
    is_in(&house, &ada).await.unwrap();
    house.clock.advance(Millis::from_secs(3601));
    for _ in 0..2 {
        assert!(matches!(is_in(&house, &ada).await, Err(AuthError::Unknown)));
    }
    let shown = house.provider.asked.lock().unwrap().last().unwrap().1.clone();
    assert!(shown.contains("refresh_token=rt-2") && !shown.contains("secret"), "{shown}");
    // It ended this sign-in and no other one: each is asked for by itself.
    *house.provider.renewed.lock().unwrap() = (200, json!({"access_token": "at"}));
    is_in(&house, &bea).await.unwrap();
}

/// The refresh token that was given is kept before anything is asked or believed that may fail.
#[tokio::test]
async fn a_fault_after_a_renewal_does_not_lose_the_next_refresh_token() {
    let house = House::with(mapped(), &["offline_access"]).await;
    let ada = at_command_line(&house, json!({})).await;
    *house.provider.rotation.lock().unwrap() = Some(1);
    let token = {
        let now = house.clock.now().as_seconds() + 3601;
        // Who belongs to what, this provider says in its own record only.
        let claims = json!({"iss": ISSUER, "sub": "u-1", "aud": "bailiwick", "exp": now + 300, "iat": now});
        house.provider.sign(&json!({"alg": "ES256", "kid": "one"}), &claims)
    };
    *house.provider.renewed.lock().unwrap() = (200, json!({"access_token": "at", "id_token": token}));
    *house.provider.user_info.lock().unwrap() = json!({"sub": "somebody else"});
    house.clock.advance(Millis::from_secs(3601));
    is_in(&house, &ada).await.unwrap();
    assert!(house.provider.shown().contains("refresh_token=rt-1&"), "{}", house.provider.shown());

    *house.provider.user_info.lock().unwrap() = json!({"sub": "u-1", "name": "Ada", "groups": ["staff"]});
    house.clock.advance(Millis::from_secs(61));
    is_in(&house, &ada).await.unwrap();
    assert!(house.provider.shown().contains("refresh_token=rt-2&"), "{}", house.provider.shown());
}

/// A browser is closed, or an action is cancelled, while the provider's answer is on its way.
#[tokio::test]
async fn whoever_leaves_while_a_sign_in_is_renewed_does_not_lose_the_next_refresh_token() {
    let house = House::with(mapped(), &["offline_access"]).await;
    let ada = at_command_line(&house, json!({})).await;
    *house.provider.rotation.lock().unwrap() = Some(1);
    *house.provider.renewed.lock().unwrap() = (200, json!({"access_token": "at"}));
    house.provider.slow.store(true, Ordering::Relaxed);
    house.clock.advance(Millis::from_secs(3601));
    let mut leaving = Box::pin(is_in(&house, &ada));
    while *house.provider.rotation.lock().unwrap() == Some(1) {
        let polled = std::future::poll_fn(|context| Poll::Ready(leaving.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "it waits for the provider");
        if *house.provider.rotation.lock().unwrap() == Some(1) {
            tokio::task::yield_now().await;
        }
    }
    drop(leaving);
    is_in(&house, &ada).await.unwrap();
    house.clock.advance(Millis::from_secs(3601));
    is_in(&house, &ada).await.unwrap();
    assert!(house.provider.shown().contains("refresh_token=rt-2&"), "{}", house.provider.shown());
    assert_eq!(*house.provider.rotation.lock().unwrap(), Some(3));
}

#[tokio::test]
async fn a_store_that_is_away_for_a_moment_does_not_lose_the_next_refresh_token() {
    for when in [When::Before, When::After] {
        let house = House::with(mapped(), &["offline_access"]).await;
        let ada = at_command_line(&house, json!({})).await;
        *house.provider.rotation.lock().unwrap() = Some(1);
        *house.provider.renewed.lock().unwrap() = (200, json!({"access_token": "at"}));
        house.clock.advance(Millis::from_secs(3601));
        house.faults.crash_after(1, when);
        is_in(&house, &ada).await.unwrap();
        house.clock.advance(Millis::from_secs(3601));
        is_in(&house, &ada).await.unwrap();
        assert!(house.provider.shown().contains("refresh_token=rt-2&"), "{when:?} {}", house.provider.shown());
    }
}

#[tokio::test]
async fn a_renewal_tells_what_a_person_has_become() {
    let house = House::with(mapped(), &["offline_access"]).await;
    let ada = at_command_line(&house, json!({"groups": ["it"]})).await;
    assert!(ada.user.roles.contains(&Role::Admin));
    let renewed = |groups: &str, sub: &str| {
        let now = house.clock.now().as_seconds();
        let claims = json!({
            "iss": ISSUER, "sub": sub, "aud": "bailiwick", "exp": now + 300, "iat": now, "name": "Ada", "email": "a@example.org",
            "groups": [groups],
        });
        let token = house.provider.sign(&json!({"alg": "ES256", "kid": "one"}), &claims);
        *house.provider.renewed.lock().unwrap() = (200, json!({"access_token": "at", "id_token": token}));
    };
    house.clock.advance(Millis::from_secs(3601));
    renewed("staff", "u-1");
    let caller = house.reception.authenticate_bearer(ada.token.expose()).await.unwrap();
    assert!(!caller.may(bailiwick_ports::Scope::Admin), "the role went with the group");
    // A renewal that speaks of somebody else is none.
    house.clock.advance(Millis::from_secs(3601));
    renewed("it", "u-2");
    assert!(is_in(&house, &ada).await.is_err());
}

#[tokio::test]
async fn a_provider_that_is_away_locks_nobody_out_at_once_and_a_clock_set_back_lets_nobody_stay() {
    let house = House::with(mapped(), &["offline_access"]).await;
    let ada = at_command_line(&house, json!({})).await;
    *house.provider.renewed.lock().unwrap() = (0, json!({}));
    house.clock.advance(Millis::from_secs(3601));
    is_in(&house, &ada).await.unwrap();
    let asked = house.provider.times_asked("/token");
    is_in(&house, &ada).await.unwrap();
    assert_eq!(house.provider.times_asked("/token"), asked, "not with each request");
    house.clock.advance(Millis::from_secs(4 * 3600));
    assert!(matches!(is_in(&house, &ada).await, Err(AuthError::Unavailable(_))));
    *house.provider.renewed.lock().unwrap() = (200, json!({"access_token": "at"}));
    house.clock.advance(Millis::from_secs(61));
    is_in(&house, &ada).await.unwrap();
    // A clock that is set back does not put off the next question.
    let asked = house.provider.times_asked("/token");
    house.clock.set_back(START);
    is_in(&house, &ada).await.unwrap();
    assert_eq!(house.provider.times_asked("/token"), asked + 1);
}

#[tokio::test]
async fn one_address_guesses_slowly_whatever_the_account_and_a_clock_set_back_gives_nothing() {
    let house = House::new(mapped()).await;
    let guess = async |number: u32, address: &str| {
        let attempt = PasswordAttempt {
            organisation: None,
            login: format!("somebody-{number}"),
            password: Secret::new("a guess of twelve"),
            address: Some(address.parse().unwrap()),
            medium: Medium::Bearer,
        };
        house.sign_ins.by_password(attempt).await
    };
    // A hundred at once, of whomever; codes count as well.
    for number in 0..99 {
        let address = format!("2001:db8:1:2::{number:x}");
        assert!(matches!(guess(number, &address).await, Err(SignInError::Wrong)), "{number}");
    }
    let address = Some("2001:db8:1:2::ffff".parse().unwrap());
    let refused = house.sign_ins.redeem("x", &Secret::new(VERIFIER), address).await;
    assert!(matches!(refused, Err(SignInError::WrongCode)));
    assert!(matches!(guess(100, "2001:db8:1:2::1").await, Err(SignInError::TooMany(2))));
    let refused = house.sign_ins.redeem("x", &Secret::new(VERIFIER), address).await;
    assert!(matches!(refused, Err(SignInError::TooMany(_))));
    // Another network is not held up, and the same address is one in both of its spellings.
    assert!(matches!(guess(101, "2001:db8:1:3::1").await, Err(SignInError::Wrong)));
    for number in 200..300 {
        let spelt = if number % 2 == 0 { "192.0.2.1" } else { "::ffff:192.0.2.1" };
        assert!(matches!(guess(number, spelt).await, Err(SignInError::Wrong)));
    }
    assert!(matches!(guess(300, "192.0.2.1").await, Err(SignInError::TooMany(_))));
    house.clock.advance(Millis::from_secs(1));
    house.clock.set_back(START);
    house.clock.advance(Millis::from_secs(1));
    assert!(matches!(guess(301, "192.0.2.1").await, Err(SignInError::TooMany(_))));
    house.clock.advance(Millis::from_secs(1));
    assert!(matches!(guess(302, "192.0.2.1").await, Err(SignInError::Wrong)));
    assert!(matches!(guess(303, "192.0.2.1").await, Err(SignInError::TooMany(_))));
}
