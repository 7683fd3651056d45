//! People of several organisations on one server: each comes in at their own, and nowhere else.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod foreign;

use bailiwick_ports::{
    Authenticator, People, Role, SignIn, SignInError,
    people::{Author, NewUser},
    sign_in::{Destination, Medium, PasswordAttempt, Return, SignedIn},
};
use bailiwick_types::{Principal, Secret, TenantId};
use foreign::{CALLBACK, House, ISSUER, OTHER, Trip, mapped};
use serde_json::{Value, json};

const PASSWORD: &str = "seven grey herons at dusk";
/// One whose people have passwords only.
const THIRD: &str = "Third Ltd";

async fn depart(house: &House, organisation: Option<&str>) -> Result<Trip, SignInError> {
    let departure = house.sign_ins.depart(organisation, CALLBACK, Destination::Page("/".into())).await?;
    Ok(house.trip(departure))
}

async fn come(house: &House, trip: &Trip, audience: &str) -> Result<SignedIn, SignInError> {
    let mut claims = house.claims(trip);
    claims["aud"] = json!(audience);
    let token = house.provider.sign(&json!({"alg": "ES256", "kid": "one"}), &claims);
    Ok(house.arrive(trip, token).await?.0)
}

/// Which organisation a browser is in.
async fn tenant_of(house: &House, signed: &SignedIn) -> Option<TenantId> {
    house.reception.authenticate_cookie(signed.token.expose()).await.ok().map(|caller| caller.tenant)
}

/// Adds somebody with a password.
async fn added(house: &House, tenant: TenantId, login: &str) {
    let author = Author { tenant, by: Principal::Operator, reason: None };
    let new = NewUser {
        name: login.into(),
        login: Some(login.into()),
        email: None,
        roles: vec![Role::Member],
        teams: Vec::new(),
        foreign: None,
    };
    let (_, set_up) = house.roster.create_user(author, new).await.unwrap();
    let code = set_up.unwrap().code;
    let user = house.sign_ins.set_password(code.expose(), Secret::new(PASSWORD), None).await.unwrap();
    assert_eq!(user.name, login);
}

async fn by_password(house: &House, organisation: Option<&str>, login: &str) -> Result<TenantId, SignInError> {
    let attempt = PasswordAttempt {
        organisation: organisation.map(str::to_owned),
        login: login.into(),
        password: Secret::new(PASSWORD),
        address: None,
        medium: Medium::Bearer,
    };
    let signed = house.sign_ins.by_password(attempt).await?;
    Ok(house.reception.authenticate_bearer(signed.token.expose()).await.unwrap().tenant)
}

#[tokio::test]
async fn a_password_opens_the_organisation_that_it_was_chosen_in() {
    let house = House::new(mapped()).await;
    let (other, third) = (house.found(OTHER, 2).await, house.found(THIRD, 3).await);
    added(&house, house.tenant, "ada").await;
    added(&house, other, "ada").await;
    added(&house, third, "grace").await;
    assert_eq!(by_password(&house, None, "ada").await, Ok(house.tenant));
    assert_eq!(by_password(&house, Some(OTHER), "ada").await, Ok(other));
    assert_eq!(by_password(&house, Some(&other.to_string()), "ada").await, Ok(other));
    assert_eq!(by_password(&house, Some(THIRD), "grace").await, Ok(third));
    // Nobody learns whether it is the organisation that there is not, or the person.
    for (organisation, login) in
        [(None, "grace"), (Some(OTHER), "grace"), (Some(THIRD), "ada"), (Some("Fourth"), "ada")]
    {
        assert_eq!(by_password(&house, organisation, login).await, Err(SignInError::Wrong), "{organisation:?} {login}");
    }
}

#[tokio::test]
async fn attempts_on_an_account_of_one_organisation_do_not_lock_its_namesake_in_another() {
    let house = House::new(mapped()).await;
    let third = house.found(THIRD, 3).await;
    added(&house, house.tenant, "ada").await;
    added(&house, third, "ada").await;
    loop {
        let attempt = PasswordAttempt {
            organisation: None,
            login: "ada".into(),
            password: Secret::new("a guess of twelve"),
            address: None,
            medium: Medium::Bearer,
        };
        if matches!(house.sign_ins.by_password(attempt).await, Err(SignInError::TooMany(_))) {
            break;
        }
    }
    assert_eq!(by_password(&house, Some(THIRD), "ada").await, Ok(third));
}

#[tokio::test]
async fn each_organisation_has_its_own_provider_and_another_ones_answer_opens_nothing() {
    let house = House::new(mapped()).await;
    let (other, third) = (house.found(OTHER, 2).await, house.found(THIRD, 3).await);
    for (organisation, has) in [(None, true), (Some(OTHER), true), (Some(THIRD), false), (Some("Fourth"), false)] {
        assert_eq!(house.sign_ins.has_provider(organisation).await, Ok(has), "{organisation:?}");
        assert_eq!(depart(&house, organisation).await.is_ok(), has, "{organisation:?}");
    }
    assert_eq!(house.sign_ins.provider_of(other).await, Ok(Some(ISSUER.to_owned())));
    assert_eq!(house.sign_ins.provider_of(third).await, Ok(None));

    let trip = depart(&house, Some(OTHER)).await.unwrap();
    let theirs = come(&house, &trip, "other").await.unwrap();
    let trip = depart(&house, None).await.unwrap();
    let ours = come(&house, &trip, "bailiwick").await.unwrap();
    assert_eq!((tenant_of(&house, &ours).await, tenant_of(&house, &theirs).await), (Some(house.tenant), Some(other)));
    assert_ne!(ours.user.id, theirs.user.id, "the same person there is somebody else here");
    assert!(house.roster.user(house.tenant, theirs.user.id).is_none());

    // What was said to one client is nothing to the other, and a way back leads where it began.
    let trip = depart(&house, Some(OTHER)).await.unwrap();
    assert!(matches!(come(&house, &trip, "bailiwick").await, Err(SignInError::Provider(_))));
    let trip = depart(&house, Some(OTHER)).await.unwrap();
    let (_, sealed) = trip.cookie.expose().split_once('.').unwrap();
    for tenant in [house.tenant.to_string(), third.to_string(), TenantId::from_u128(5).to_string(), String::new()] {
        let back = Return { code: Some("code".into()), state: Some(trip.state.clone()), ..Return::default() };
        let moved = house.sign_ins.arrive(&trip.callback, &format!("{tenant}.{sealed}"), back).await;
        assert!(matches!(moved, Err(SignInError::Provider(_) | SignInError::NotConfigured(_))), "{tenant}: {moved:?}");
    }
}

/// A hostile provider of one organisation sends the browser on to the provider of another: what that answers must not
/// be shown to the hostile one.
#[tokio::test]
async fn a_code_of_one_organisations_provider_is_never_shown_to_anothers() {
    let house = House::new(mapped()).await;
    let other = house.found(OTHER, 2).await;
    let (first, theirs) = (depart(&house, None).await.unwrap(), depart(&house, Some(OTHER)).await.unwrap());
    assert_eq!((first.callback.as_str(), &theirs.callback), (CALLBACK, &format!("{CALLBACK}/{other}")));
    house.provider.asked.lock().unwrap().clear();
    for (began, came) in [(&theirs, &first), (&first, &theirs)] {
        // The provider says nothing of who it is, as many do not.
        let back = Return { code: Some("code".into()), state: Some(began.state.clone()), ..Return::default() };
        let mixed = house.sign_ins.arrive(&came.callback, began.cookie.expose(), back).await;
        assert!(matches!(&mixed, Err(SignInError::Provider(text)) if text.contains("another sign-in")), "{mixed:?}");
    }
    assert_eq!(house.provider.times_asked("/token"), 0, "nobody was shown the code");
}

#[tokio::test]
async fn a_provider_that_says_who_it_is_in_its_answers_is_held_to_it() {
    let house = House::new(mapped()).await;
    house.provider.metadata.lock().unwrap()["authorization_response_iss_parameter_supported"] = json!(true);
    let trip = house.depart().await;
    let back = Return { code: Some("code".into()), state: Some(trip.state.clone()), ..Return::default() };
    let refused = house.sign_ins.arrive(&trip.callback, trip.cookie.expose(), back.clone()).await;
    assert!(matches!(&refused, Err(SignInError::Provider(text)) if text.contains("does not say")), "{refused:?}");
    assert_eq!(house.provider.times_asked("/token"), 0, "nobody was shown the code");
    come(&house, &trip, "bailiwick").await.unwrap();
}

fn logout_token(house: &House, audience: &str, id: &str) -> String {
    let now = bailiwick_ports::Clock::now(&*house.clock).as_seconds();
    let events: Value = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let claims = json!({
        "iss": ISSUER, "aud": audience, "iat": now, "exp": now + 120, "jti": id, "sub": "u-1", "events": events,
    });
    house.provider.sign(&json!({"alg": "ES256", "kid": "one", "typ": "logout+jwt"}), &claims)
}

#[tokio::test]
async fn a_providers_word_ends_the_sign_ins_of_the_organisation_that_it_is_for() {
    let house = House::new(mapped()).await;
    let other = house.found(OTHER, 2).await;
    let trip = depart(&house, Some(OTHER)).await.unwrap();
    let theirs = come(&house, &trip, "other").await.unwrap();
    let trip = depart(&house, None).await.unwrap();
    let ours = come(&house, &trip, "bailiwick").await.unwrap();
    assert!(house.sign_ins.logged_out(&logout_token(&house, "nobody", "a")).await.is_err());
    house.sign_ins.logged_out(&logout_token(&house, "bailiwick", "b")).await.unwrap();
    assert_eq!((tenant_of(&house, &ours).await, tenant_of(&house, &theirs).await), (None, Some(other)));
    house.sign_ins.logged_out(&logout_token(&house, "other", "c")).await.unwrap();
    assert_eq!(tenant_of(&house, &theirs).await, None);
}
