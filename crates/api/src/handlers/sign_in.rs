//! Coming in and going out. These routes are the only ones that nobody needs to be known for, so each gives away as
//! little as it can and is counted by the address it is asked from.

use super::ok;
use crate::{
    app::{Call, Visit},
    auth,
    cookies::Cookies,
    error::ApiError,
    routes::Answer,
    types::{
        people::{Me, MediumParam, SetUpParam, SignInParam, SignInResource, SignInWays, SignedOut, UserResource},
        tokens::RedeemParam,
    },
};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bailiwick_ports::{
    Scope, SignInError,
    sign_in::{Arrival, Destination, HandOver, Medium, PasswordAttempt, Return, SignedIn},
};
use bailiwick_types::{Principal, Secret};
use serde_json::json;

/// Of the first organisation; another's has its id after it.
const RETURN_PATH: &str = "/bailiwick/v1/sign-in/provider/return";

pub(crate) async fn ways(visit: Visit) -> Answer {
    let mut query = visit.query()?;
    let organisation = query.take("organisation");
    query.finish()?;
    let provider = visit.app.options.sign_in.has_provider(organisation.as_deref()).await?;
    ok(SignInWays { object: "bailiwick.sign_in_ways", password: true, provider })
}

pub(crate) async fn by_password(mut visit: Visit) -> Answer {
    visit.query()?.finish()?;
    let param: SignInParam = visit.json().await?;
    let medium = match param.medium {
        MediumParam::Browser => Medium::Browser,
        MediumParam::Bearer => Medium::Bearer,
    };
    let (password, address) = (Secret::new(param.password.as_str()), visit.address());
    let SignInParam { organisation, login, .. } = param;
    let attempt = PasswordAttempt { organisation, login, password, address, medium };
    let signed = visit.app.options.sign_in.by_password(attempt).await?;
    let body = resource(&visit, &signed, medium);
    let mut response = Json(body).into_response();
    no_store(&mut response);
    if medium == Medium::Browser {
        keep(&visit, &mut response, &signed);
    }
    Ok(response)
}

pub(crate) async fn set_up(mut visit: Visit) -> Answer {
    visit.query()?.finish()?;
    let param: SetUpParam = visit.json().await?;
    let sign_in = &visit.app.options.sign_in;
    let user = sign_in.set_password(&param.code, Secret::new(param.password), visit.address()).await?;
    ok(UserResource::of(user, None))
}

/// Leads a browser to the identity provider.
pub(crate) async fn depart(visit: Visit) -> Answer {
    let mut query = visit.query()?;
    let (organisation, next) = (query.take("organisation"), query.take("next"));
    let command_line = query.take("redirect_uri");
    let [state, challenge, method] = ["state", "code_challenge", "code_challenge_method"].map(|name| query.take(name));
    query.finish()?;
    let destination = match command_line {
        None => Destination::Page(next.unwrap_or_else(|| "/".into())),
        Some(redirect_uri) if method.as_deref() == Some("S256") => {
            let (state, challenge) = (state.unwrap_or_default(), challenge.unwrap_or_default());
            Destination::CommandLine(HandOver { redirect_uri, state, challenge })
        }
        Some(_) => return Err(ApiError::invalid("code_challenge_method", "`code_challenge_method` must be `S256`.")),
    };
    let callback = format!("{}{RETURN_PATH}", visit.base_url);
    let departure = visit.app.options.sign_in.depart(organisation.as_deref(), &callback, destination).await?;
    let mut response = leads_to(&departure.url)?;
    let cookies = Cookies::of(&visit.base_url);
    response.headers_mut().append(header::SET_COOKIE, cookies.departure(departure.cookie.expose()));
    Ok(response)
}

/// Where the identity provider sends it back to. Each organisation's has an address of its own.
pub(crate) async fn arrive(visit: Visit) -> Answer {
    let mut query = visit.query()?;
    let back = Return {
        code: query.take("code"),
        state: query.take("state"),
        issuer: query.take("iss"),
        error: query.take("error"),
    };
    let cookies = Cookies::of(&visit.base_url);
    let cookie = cookies.find_departure(&visit.parts.headers).unwrap_or_default();
    // As it was reached: who it belongs to is compared with where the browser was sent from.
    let callback = format!("{}{}", visit.base_url, visit.parts.uri.path());
    let mut response = match visit.app.options.sign_in.arrive(&callback, cookie, back).await? {
        Arrival::Browser { signed, next } => {
            let mut response = leads_to(&next)?;
            keep(&visit, &mut response, &signed);
            response
        }
        Arrival::CommandLine { url } => leads_to(&url)?,
    };
    response.headers_mut().append(header::SET_COOKIE, cookies.no_departure());
    Ok(response)
}

/// A command line takes the sign-in for which the browser brought it a code.
pub(crate) async fn redeem(mut visit: Visit) -> Answer {
    visit.query()?.finish()?;
    let param: RedeemParam = visit.json().await?;
    let (verifier, address) = (Secret::new(param.code_verifier), visit.address());
    let signed = visit.app.options.sign_in.redeem(&param.code, &verifier, address).await?;
    let mut response = Json(resource(&visit, &signed, Medium::Bearer)).into_response();
    no_store(&mut response);
    Ok(response)
}

/// The identity provider says whose sign-ins are over. Its errors have the shape of RFC 6749, because it reads them
/// (OpenID Connect Back-Channel Logout 1.0, section 2.8).
pub(crate) async fn logged_out(mut visit: Visit) -> Answer {
    visit.query()?.finish()?;
    let form = visit.form().await?;
    let token = form.iter().find(|(name, _)| name == "logout_token").map_or("", |(_, token)| token);
    let mut response = match visit.app.options.sign_in.logged_out(token).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(SignInError::Provider(problem)) => {
            let body = json!({"error": "invalid_request", "error_description": problem});
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
        Err(error) => return Err(error.into()),
    };
    no_store(&mut response);
    Ok(response)
}

pub(crate) async fn sign_out(call: Call) -> Answer {
    call.query()?.finish()?;
    let sign_in = &call.app.options.sign_in;
    let cookies = Cookies::of(&call.base_url);
    let in_cookie = cookies.find(&call.parts.headers).filter(|_| !auth::has_authorization(&call.parts));
    let token = in_cookie.or_else(|| auth::bearer(&call.parts));
    let by_provider = match token {
        Some(token) => sign_in.sign_out(token).await?,
        None => false,
    };
    let provider_url = match by_provider {
        true => sign_in.farewell(call.caller.tenant, &format!("{}/", call.base_url)).await,
        false => None,
    };
    let mut response = Json(SignedOut { object: "bailiwick.signed_out", provider_url }).into_response();
    no_store(&mut response);
    if in_cookie.is_some() {
        response.headers_mut().append(header::SET_COOKIE, cookies.nothing());
    }
    Ok(response)
}

/// Who is asking, and what they may do.
pub(crate) async fn me(call: Call) -> Answer {
    call.query()?.finish()?;
    let (app, caller) = (&call.app, &call.caller);
    let user = caller.principal.person().and_then(|id| app.options.people.user(caller.tenant, id));
    let cookie =
        Cookies::of(&call.base_url).find(&call.parts.headers).filter(|_| !auth::has_authorization(&call.parts));
    let body = Me {
        object: "bailiwick.me",
        r#type: match caller.principal {
            Principal::User { .. } => "user",
            Principal::Service { .. } | Principal::Delegate { .. } => "service",
            Principal::Agent { .. } => "agent",
            Principal::Operator => "operator",
        },
        organisation: caller.tenant.to_string(),
        principal: caller.principal.to_string(),
        scopes: Scope::ALL.into_iter().filter(|scope| caller.may(*scope)).map(Scope::name).collect(),
        currency: app.options.handle.gate().money().currency.clone(),
        user: user.map(|user| UserResource::of(user, None)),
        page_token: cookie.map(|cookie| app.options.sign_in.page_token(cookie)),
    };
    let mut response = Json(body).into_response();
    no_store(&mut response);
    Ok(response)
}

fn resource(visit: &Visit, signed: &SignedIn, medium: Medium) -> SignInResource {
    let token = signed.token.expose();
    let (token, page_token) = match medium {
        Medium::Bearer => (Some(token.to_owned()), None),
        Medium::Browser => (None, Some(visit.app.options.sign_in.page_token(token))),
    };
    SignInResource {
        object: "bailiwick.sign_in",
        user: UserResource::of(signed.user.clone(), None),
        expires_at: signed.expires.as_seconds(),
        token,
        page_token,
    }
}

/// Puts a sign-in into the browser's cookie.
fn keep(visit: &Visit, response: &mut Response, signed: &SignedIn) {
    let seconds = signed.expires.since(visit.app.now()).0 / 1000;
    let cookie = Cookies::of(&visit.base_url).sign_in(signed.token.expose(), seconds);
    response.headers_mut().append(header::SET_COOKIE, cookie);
}

pub(crate) fn leads_to(url: &str) -> Answer {
    let place = HeaderValue::try_from(url).map_err(ApiError::internal)?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, place);
    no_store(&mut response);
    Ok(response)
}

/// Answers that hold a secret are kept nowhere on the way.
fn no_store(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        let text = crate::error::sentence(&error);
        match error {
            SignInError::Wrong | SignInError::WrongCode | SignInError::Provider(_) => Self::sign_in_failed(text),
            SignInError::TooMany(seconds) => Self { message: text, ..Self::rate_limited(seconds) },
            SignInError::Password(_) => Self::invalid("password", text),
            SignInError::Refused(_) => Self::forbidden(text),
            SignInError::NotConfigured(_) => {
                Self { message: text, ..Self::not_built("GET /bailiwick/v1/sign-in/provider") }
            }
            SignInError::Unavailable(_) => Self::overloaded(text),
        }
    }
}
