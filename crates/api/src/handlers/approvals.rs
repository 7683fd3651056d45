//! What waits for a person's word: one list over all sessions, and the answer.
//!
//! Whoever may answer need not own the session; an approval that its reader neither may answer nor may see is unknown.

use super::{grants, ok, sessions};
use crate::{
    app::Call,
    error::ApiError,
    query::bits,
    routes::Answer,
    types::{
        approval::{AnswerParam, Answered, Approval, Approver, DecisionParam},
        page::Page,
    },
};
use bailiwick_core::{
    Standing, What,
    approval::MAX_REASON,
    elicitation::{self, Replies},
    item::{ApprovalView, SessionView},
    record::{Input, InputEnvelope},
};
use bailiwick_ports::store::{Page as PageOf, RowKind, RowQuery, StoredRow};
use bailiwick_types::{ActionId, Principal, SessionId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Rows that one request looks at: those that are for others do not count for its page.
const MAX_SCANNED: u32 = 2_000;
/// Questions that are held against a new standing answer at once.
const RECONSIDERED_AT_ONCE: u32 = 100;

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let mut page = query.page(bits!(ActionId))?;
    query.finish()?;
    let (limit, tenant) = (page.limit as usize, call.caller.tenant);
    let mut found = Vec::new();
    let mut scanned = 0;
    loop {
        let rows = RowQuery {
            tenant,
            kind: RowKind::Approval,
            scope: tenant.to_u128(),
            parent: None,
            labels: Vec::new(),
            page: page.clone(),
        };
        let Some((rows, more)) = call.app.options.store.rows(rows).await? else {
            return Err(ApiError::invalid("after", "`after` and `before` must be ids of this list."));
        };
        scanned += rows.len() as u32;
        for row in &rows {
            page.after = Some(row.id);
            if let Some(approval) = show(&call, row).await? {
                if found.len() == limit {
                    return ok(Page::new(found, true, |approval: &Approval| approval.id.clone()));
                }
                found.push(approval);
            }
        }
        if !more || rows.is_empty() || scanned >= MAX_SCANNED {
            return ok(Page::new(found, more && !rows.is_empty(), |approval: &Approval| approval.id.clone()));
        }
    }
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let (_, approval) = find(&call).await?;
    ok(approval)
}

pub(crate) async fn answer(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (view, approval) = find(&call).await?;
    let (AnswerParam { decision, reason, content, answered_by, widen }, _) = call.json::<AnswerParam>().await?;
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON) {
        return Err(ApiError::invalid("reason", format!("`reason` is longer than {MAX_REASON} bytes.")));
    }
    let (app, caller) = (&*call.app, &call.caller);
    let by = match &answered_by {
        None => caller.principal.clone(),
        Some(person) => grants::answerer(app, caller, person, view.agent, "answered_by").await?,
    };
    if !app.options.handle.may_answer(caller.tenant, &view.question.approver, &view.principal, &by) {
        return Err(may_not(&approval));
    }
    let approve = decision == DecisionParam::Approve;
    if approve {
        no_word_helps(&view)?;
    }
    let replies = replies(&view, approve, content)?;
    if widen.is_some() && view.question.form.is_some() {
        return Err(ApiError::invalid("widen", "`widen`: what a system asks is answered each time."));
    }
    // What stands for more is on disk before the answer that it came with.
    let grant = match &widen {
        None => None,
        Some(_) if !approve => {
            return Err(ApiError::invalid("widen", "`widen` goes with `approve`: a denial is for this action."));
        }
        Some(param) => {
            let session = session(&call, &view).await?.ok_or_else(|| ApiError::not_found("approval", &approval.id))?;
            let grant = grants::widened(app, caller, &view, &session, param)?;
            Some(grants::give(app, caller, grant).await?)
        }
    };
    let input = Input::Answer { action: view.action, approve, reason, replies };
    sessions::submit_as(app, caller, by, view.session, input, None).await?;
    if let Some(What::Standing(standing)) = grant.as_ref().map(|grant| &grant.what) {
        reconsider(&call, standing, view.action).await?;
    }
    ok(Answered {
        id: approval.id,
        object: "bailiwick.approval.answer",
        session_id: view.session.to_string(),
        decision,
        grant: grant.map(|grant| grants::show(app, caller.tenant, &grant)),
    })
}

/// Other questions that a standing answer may be one to are decided on again at once.
async fn reconsider(call: &Call, standing: &Standing, answered: ActionId) -> Result<(), ApiError> {
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let mut page = PageOf { after: None, before: None, limit: RECONSIDERED_AT_ONCE, descending: false };
    for _ in 0..MAX_SCANNED / RECONSIDERED_AT_ONCE {
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
            let Ok(view) = open(call, row).await else { continue };
            if view.action != answered && standing.may_answer(&view) {
                let (orderer, input) = (call.caller.principal.clone(), Input::Reconsider { action: view.action });
                let input = InputEnvelope { orderer, input };
                app.options.handle.submit(tenant, view.session, vec![input], None).await?;
            }
        }
        if !more || rows.is_empty() {
            break;
        }
    }
    Ok(())
}

/// What is said to the questions of a system, where it fits them.
pub(crate) fn replies(
    view: &ApprovalView,
    approve: bool,
    content: Option<Map<String, Value>>,
) -> Result<Option<Replies>, ApiError> {
    let Some(questions) = view.question.form.as_deref().filter(|_| approve) else {
        return match content {
            Some(_) => Err(ApiError::invalid("content", "`content` goes with a yes to what a system asks.")),
            None => Ok(None),
        };
    };
    let given = content.unwrap_or_default();
    let each = match questions {
        [one] => BTreeMap::from([(one.key.clone(), given)]),
        _ => {
            let object = |(key, value): (String, Value)| match value {
                Value::Object(fields) => Ok((key, fields)),
                _ => Err(ApiError::invalid("content", format!("`content.{key}` must be an object."))),
            };
            given.into_iter().map(object).collect::<Result<_, _>>()?
        }
    };
    let replies = elicitation::accepted(questions, &each);
    replies.map(Some).map_err(|wrong| ApiError::invalid("content", format!("`content`: {wrong}.")))
}

/// An account is connected by signing in there, and by no word.
pub(crate) fn no_word_helps(view: &ApprovalView) -> Result<(), ApiError> {
    let Some(account) = &view.question.account else { return Ok(()) };
    let message = format!(
        "This waits for an account at {}: it goes on by itself once the person has connected it          (`bailiwick connector connect {}`). It can be denied.",
        account.host, account.connector
    );
    Err(ApiError::conflict("account_missing", message))
}

/// Who may answer instead.
pub(crate) fn may_not(approval: &Approval) -> ApiError {
    let who: Vec<String> = approval.approvers.iter().map(words).collect();
    ApiError::forbidden(format!("You may not answer this: {} (rule `{}`).", who.join("; "), approval.rule))
}

fn words(approver: &Approver) -> String {
    match approver {
        Approver::Person => "only the one for whom the agent works may".to_owned(),
        Approver::Second { role: None, team: None } => "a second person must: an admin or an operator".to_owned(),
        Approver::Second { role, team } => {
            let role = role.map(|role| format!(" with the role `{role}`")).unwrap_or_default();
            let team = team.as_ref().map(|team| format!(" of {team}")).unwrap_or_default();
            format!("a second person must: somebody{role}{team}")
        }
    }
}

async fn find(call: &Call) -> Result<(ApprovalView, Approval), ApiError> {
    let action: ActionId = call.id("approval_id", "approval")?;
    let unknown = || ApiError::not_found("approval", &action.to_string());
    let row = call.app.options.store.row(call.caller.tenant, RowKind::Approval, action.to_u128()).await?;
    let row = row.ok_or_else(unknown)?;
    let view = open(call, &row).await?;
    let approval = show(call, &row).await?.ok_or_else(unknown)?;
    Ok((view, approval))
}

async fn open(call: &Call, row: &StoredRow) -> Result<ApprovalView, ApiError> {
    let (_, journal) = call.app.open(&call.caller, SessionId::from(row.stream)).await?;
    Ok(journal.open_row(RowKind::Approval, row)?)
}

/// `None` when it is not for this caller.
async fn show(call: &Call, row: &StoredRow) -> Result<Option<Approval>, ApiError> {
    let view = open(call, row).await?;
    let (caller, handle) = (&call.caller, &call.app.options.handle);
    let may = |by: &Principal| handle.may_answer(caller.tenant, &view.question.approver, &view.principal, by);
    let may_answer = may(&caller.principal);
    let relayed = grants::relayed_by(&call.app, caller, view.agent).await?;
    let relayed = relayed.iter().filter(|by| may(by)).filter_map(Principal::person);
    let may_relay: Vec<String> = relayed.map(|person| person.to_string()).collect();
    let visible = may_answer || !may_relay.is_empty() || sessions::find(&call.app, caller, view.session).await.is_ok();
    if !visible {
        return Ok(None);
    }
    // What only an account or an answer to a system helps is no question that could be answered for good.
    let is_plain = view.question.account.is_none() && view.question.form.is_none();
    let widen = match may_answer && is_plain && grants::check_person(caller, "").is_ok() {
        true => session(call, &view).await?.map(|session| grants::options(&call.app, caller.tenant, &view, &session)),
        false => None,
    };
    let widen = widen.unwrap_or_default();
    Ok(Some(Approval { may_relay, widen, ..Approval::of(&view, Some(may_answer), &call.base_url) }))
}

/// The session that asks, also for who may answer and not see it: only its label goes into a wider answer.
async fn session(call: &Call, view: &ApprovalView) -> Result<Option<SessionView>, ApiError> {
    let (_, journal) = call.app.open(&call.caller, view.session).await?;
    let row = call.app.options.store.row(call.caller.tenant, RowKind::Session, view.session.to_u128()).await?;
    row.map(|row| journal.open_row(RowKind::Session, &row)).transpose().map_err(ApiError::from)
}
