//! Accounts that people connect at the company's systems, each for themselves: the link, the journey to the
//! authorization server and back, what is connected, and its end.
//!
//! Only somebody who is signed in here in the very browser that travels connects an account, and only for themselves:
//! whoever opens a link of somebody else gets nothing, and nobody's sign-in there ends up with anybody else. What lies
//! between the two halves is in a cookie, sealed, for that person, that connector and an hour.

use super::{ok, sign_in::leads_to};
use crate::{
    app::{App, Call, Visit},
    cookies::Cookies,
    error::{ApiError, sentence},
    query::Query,
    routes::Answer,
    types::{
        connection::{Connection, Disconnected, link},
        page::Page,
    },
};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bailiwick_core::{
    ConnectorKind,
    connector::{CredentialChoice, is_label},
    item::ApprovalView,
    record::{Input, InputEnvelope},
};
use bailiwick_gate::{Connector, Journal};
use bailiwick_ports::{
    Caller,
    account::{AccountDesk, AccountError, AccountPlace},
    people::Author,
    store::{Page as PageOf, RowKind, RowQuery, StoredRow},
    vault::Credential,
};
use bailiwick_types::{Millis, Principal, Secret, TenantId, Timestamp, UserId};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const BASE: &str = "/bailiwick/v1/connections";
/// How long a link that somebody asks for is good. One that a session shows is as long as its question.
const LINK: Millis = Millis::from_secs(3_600);
/// Rows that are looked at for what waits for an account, and how many at once.
const MAX_SCANNED: u32 = 20_000;
const SCANNED_AT_ONCE: u32 = 100;
/// Binds the seal of a journey to what it is.
const JOURNEY: &[u8] = b"bailiwick.account-journey.v1";

/// A journey as the cookie carries it, sealed under the organisation's key.
#[derive(Serialize, Deserialize)]
struct Journey {
    person: UserId,
    connector: String,
    until: Timestamp,
    kept: String,
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        let text = sentence(&error);
        match error {
            AccountError::Again(_) | AccountError::Refused(_) => Self::conflict("not_connected", text),
            AccountError::Misconfigured(_) => Self::conflict("connector_misconfigured", text),
            AccountError::Unavailable(_) => Self::overloaded(text),
            AccountError::Vault(error) => error.into(),
        }
    }
}

fn desk(app: &App) -> Result<&dyn AccountDesk, ApiError> {
    app.options.accounts.as_deref().ok_or_else(|| ApiError::not_built(format!("GET {BASE}")))
}

/// Only a person has accounts, and only the person themself sees them.
fn person(caller: &Caller) -> Result<UserId, ApiError> {
    match caller.principal {
        Principal::User { id } => Ok(id),
        _ => Err(ApiError::forbidden("Accounts are connected by people, each for themselves: sign in as yourself.")),
    }
}

fn author(caller: &Caller) -> Author {
    Author { tenant: caller.tenant, by: caller.principal.clone(), reason: None }
}

/// A connector that people have accounts at.
async fn connector(app: &App, tenant: TenantId, name: &str) -> Result<Connector, ApiError> {
    let found = app.options.handle.gate().connectors().find(tenant, name).await?;
    found.filter(has_accounts).ok_or_else(|| ApiError::not_found("connector with accounts", name))
}

fn has_accounts(connector: &Connector) -> bool {
    connector.spec.kind == ConnectorKind::Mcp && connector.spec.credential == CredentialChoice::Account
}

fn place(app: &App, base_url: &str, connector: &Connector) -> AccountPlace {
    let name = &connector.name;
    AccountPlace {
        connector: name.clone(),
        settings: connector.spec.settings.clone(),
        redirect_uri: format!("{base_url}{BASE}/{name}/return"),
        // Only under an address that others can find.
        document_url: app.options.public_url.as_ref().map(|_| format!("{base_url}{BASE}/{name}/client")),
    }
}

// ---- what is connected ----

pub(crate) async fn list(call: Call) -> Answer {
    call.query()?.finish()?;
    let (app, me) = (&*call.app, person(&call.caller)?);
    let all = app.options.handle.gate().connectors().list(call.caller.tenant).await?;
    let mut shown = Vec::new();
    for one in all.iter().filter(|one| has_accounts(one)) {
        let account = desk(app)?.account(&author(&call.caller), me, &place(app, &call.base_url, one));
        // What is not published is nobody's business before they have an account there.
        if one.published || account.is_some() {
            shown.push(show(&call, me, one, account.as_deref()));
        }
    }
    ok(Page::new(shown, false, |one: &Connection| one.connector.clone()))
}

fn show(call: &Call, me: UserId, connector: &Connector, account: Option<&Credential>) -> Connection {
    let until = call.app.now() + LINK;
    Connection::of(connector, account, link(&call.base_url, &connector.name, me, until), until)
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let (app, me) = (&*call.app, person(&call.caller)?);
    let found = connector(app, call.caller.tenant, call.param("connector")).await?;
    let account = desk(app)?.account(&author(&call.caller), me, &place(app, &call.base_url, &found));
    ok(show(&call, me, &found, account.as_deref()))
}

pub(crate) async fn remove(call: Call) -> Answer {
    call.query()?.finish()?;
    let (app, me) = (&*call.app, person(&call.caller)?);
    let found = connector(app, call.caller.tenant, call.param("connector")).await?;
    let (at, author) = (place(app, &call.base_url, &found), author(&call.caller));
    let account = desk(app)?.account(&author, me, &at);
    let account = account.ok_or_else(|| ApiError::not_found("connected account at", &found.name))?;
    let author = Author { reason: call.reason()?, ..author };
    let told = desk(app)?.remove(author, &at, &account).await?;
    ok(Disconnected {
        object: "bailiwick.connection.deleted",
        connector: found.name,
        credential_id: account.id.to_string(),
        deleted: true,
        revoked: told,
    })
}

// ---- the journey ----

/// Our client id metadata document. It says the same about every name, so that it tells nothing of which there are.
pub(crate) async fn document(visit: Visit) -> Answer {
    visit.query()?.finish()?;
    let name = named(&visit)?;
    let at = AccountPlace {
        connector: name.clone(),
        settings: serde_json::Value::Null,
        redirect_uri: format!("{}{BASE}/{name}/return", visit.base_url),
        document_url: visit.app.options.public_url.as_ref().map(|_| format!("{}{BASE}/{name}/client", visit.base_url)),
    };
    let document = desk(&visit.app)?.document(&at);
    ok(document.ok_or_else(|| ApiError::not_found("client document", &name))?)
}

/// Leads the person for whom the link is to the authorization server.
pub(crate) async fn depart(visit: Visit) -> Answer {
    let (name, app) = (named(&visit)?, Arc::clone(&visit.app));
    let mut query = visit.query()?;
    let (whose, until) = (query.take("person"), query.take("until"));
    query.finish()?;
    let caller = match by_cookie(&visit).await {
        Ok(caller) => caller,
        Err(error) => return to_sign_in(&visit, error).await,
    };
    let me = person(&caller)?;
    if whose.as_deref() != Some(&me.to_string()) {
        let message = "This link is for somebody else, and connects nothing for you. Your own links are under \
                       `bailiwick connector accounts`.";
        return Err(ApiError::forbidden(message));
    }
    let until = until.and_then(|until| until.parse::<i64>().ok()).and_then(|seconds| seconds.checked_mul(1000));
    if until.is_none_or(|until| Timestamp::from_millis(until) <= app.now()) {
        let message = format!("This link is not good any more: `bailiwick connector connect {name}` gives another.");
        return Err(ApiError::conflict("link_expired", message));
    }
    let found = connector(&app, caller.tenant, &name).await?;
    let departing = desk(&app)?.begin(&author(&caller), me, &place(&app, &visit.base_url, &found)).await?;
    let journey =
        Journey { person: me, connector: name, until: app.now() + LINK, kept: departing.kept.expose().to_owned() };
    let plain = serde_json::to_vec(&journey).map_err(ApiError::internal)?;
    let sealed = BASE64_URL_SAFE_NO_PAD.encode(app.tenant_keys.get(caller.tenant).await?.seal(JOURNEY, &plain));
    let mut response = leads_to(&departing.url)?;
    let cookie = Cookies::of(&visit.base_url).journey(&sealed, LINK.0 / 1000);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Where the authorization server sends the person back to.
pub(crate) async fn arrive(visit: Visit) -> Answer {
    let (name, app) = (named(&visit)?, Arc::clone(&visit.app));
    let caller = by_cookie(&visit).await?;
    let me = person(&caller)?;
    let answer = arrived(&visit, &caller, me, &name).await;
    // Whatever came of it, this journey is over.
    let gone = Cookies::of(&visit.base_url).no_journey();
    let mut response = match answer {
        Ok(account) => {
            release(&app, caller.tenant, Some((me, &name))).await?;
            said(&format!("Your account at {} is connected. You can close this page.\n", hosts(&account)))
        }
        Err(error) => error.into_response(),
    };
    response.headers_mut().append(header::SET_COOKIE, gone);
    Ok(response)
}

async fn arrived(visit: &Visit, caller: &Caller, me: UserId, name: &str) -> Result<Arc<Credential>, ApiError> {
    let app = &*visit.app;
    let over = || {
        let message = format!(
            "No sign-in of yours at this connector is under way in this browser. Begin again: `bailiwick connector connect \
             {name}`."
        );
        ApiError::conflict("not_connected", message)
    };
    let cookie = Cookies::of(&visit.base_url).find_journey(&visit.parts.headers).ok_or_else(over)?;
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(cookie).map_err(|_| over())?;
    let plain = app.tenant_keys.get(caller.tenant).await?.unseal(JOURNEY, &sealed).map_err(|_| over())?;
    let journey: Journey = serde_json::from_slice(&plain).map_err(|_| over())?;
    if journey.person != me || journey.connector != name || journey.until <= app.now() {
        return Err(over());
    }
    let found = connector(app, caller.tenant, name).await?;
    let query = visit.parts.uri.query().unwrap_or_default();
    // It is bounded and in no word twice.
    Query::parse(query)?;
    let (at, kept) = (place(app, &visit.base_url, &found), Secret::new(journey.kept));
    let author = Author { reason: Some(format!("connected through {name}")), ..author(caller) };
    Ok(desk(app)?.finish(author, me, &at, &kept, query).await?)
}

/// A browser in which nobody is signed in signs in first, where the organisation's provider does that, and comes back.
async fn to_sign_in(visit: &Visit, error: ApiError) -> Answer {
    let known = error.status == StatusCode::UNAUTHORIZED && visit.app.options.sign_in.has_provider(None).await?;
    let here = visit.parts.uri.path_and_query().map_or("/", |here| here.as_str());
    match known {
        true => {
            let next: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
            leads_to(&format!("{}/bailiwick/v1/sign-in/provider?next={next}", visit.base_url))
        }
        false => Err(error),
    }
}

/// Who is signed in in this browser. Nothing else counts here: a link is opened by a person.
async fn by_cookie(visit: &Visit) -> Result<Caller, ApiError> {
    let none = || ApiError::unauthenticated("Sign in in this browser first, and open the link again.");
    let cookie = Cookies::of(&visit.base_url).find(&visit.parts.headers).ok_or_else(none)?;
    let caller = visit.app.options.authenticator.authenticate_cookie(cookie).await?;
    visit.app.bounds.rate(caller.tenant, &caller.principal, visit.app.now())?;
    Ok(caller)
}

/// The connector that the path names.
fn named(visit: &Visit) -> Result<String, ApiError> {
    let path = visit.parts.uri.path();
    let name = path.strip_prefix(BASE).and_then(|rest| rest.trim_start_matches('/').split('/').next());
    let name = name.filter(|name| is_label(name));
    name.map(str::to_owned).ok_or_else(|| ApiError::no_route(visit.parts.method.as_str(), path))
}

fn hosts(account: &Credential) -> String {
    account.hosts().unwrap_or_default().join(", ")
}

fn said(text: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    (StatusCode::OK, headers, text.to_owned()).into_response()
}

// ---- what waits for it ----

/// Has every action decided on again that waits for an account which is there: of one person at one connector, or of
/// everybody.
pub(crate) async fn release(app: &App, tenant: TenantId, whose: Option<(UserId, &str)>) -> Result<(), ApiError> {
    let mut page = PageOf { after: None, before: None, limit: SCANNED_AT_ONCE, descending: false };
    for _ in 0..MAX_SCANNED / SCANNED_AT_ONCE {
        let rows = RowQuery {
            tenant,
            kind: RowKind::Approval,
            scope: tenant.to_u128(),
            parent: None,
            labels: Vec::new(),
            page: page.clone(),
        };
        let Some((rows, more)) = app.options.store.rows(rows).await? else { return Ok(()) };
        for row in &rows {
            page.after = Some(row.id);
            // What cannot be read was erased meanwhile.
            let Some(view) = open(app, tenant, row).await else { continue };
            if waits(app, tenant, &view, whose) {
                let input = Input::Reconsider { action: view.action };
                let input = InputEnvelope { orderer: Principal::Operator, input };
                app.options.handle.submit(tenant, view.session, vec![input], None).await?;
            }
        }
        if !more || rows.is_empty() {
            break;
        }
    }
    Ok(())
}

fn waits(app: &App, tenant: TenantId, view: &ApprovalView, whose: Option<(UserId, &str)>) -> bool {
    let Some(account) = &view.question.account else { return false };
    let theirs = whose
        .is_none_or(|(person, connector)| view.principal.person() == Some(person) && account.connector == connector);
    theirs && app.options.handle.gate().is_connected(tenant, &view.principal, account)
}

async fn open(app: &App, tenant: TenantId, row: &StoredRow) -> Option<ApprovalView> {
    let head = app.options.store.head(row.stream).await.ok()?.filter(|head| head.tenant == tenant)?;
    let journal = Journal::open(&*app.options.keys, tenant, row.stream, &head.key).ok()?;
    journal.open_row(RowKind::Approval, row).ok()
}
