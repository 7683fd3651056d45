//! What waits for a person's word: one list over all sessions, and the answer.
//!
//! Whoever may answer need not own the session; an approval that its reader neither may answer nor may see is unknown.

use super::{ok, sessions};
use crate::{
    app::Call,
    error::ApiError,
    query::bits,
    routes::Answer,
    types::{
        approval::{AnswerParam, Answered, Approval, DecisionParam},
        page::Page,
    },
};
use bailiwick_core::{approval::MAX_REASON, item::ApprovalView, record::Input};
use bailiwick_ports::store::{RowKind, RowQuery, StoredRow};
use bailiwick_types::{ActionId, SessionId};

/// Rows that one request looks at: those that are for others do not count for its page.
const MAX_SCANNED: u32 = 2_000;

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
    let (AnswerParam { decision, reason }, _) = call.json::<AnswerParam>().await?;
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON) {
        return Err(ApiError::invalid("reason", format!("`reason` is longer than {MAX_REASON} bytes.")));
    }
    if approval.may_answer != Some(true) {
        return Err(may_not(&approval));
    }
    let input = Input::Answer { action: view.action, approve: decision == DecisionParam::Approve, reason };
    sessions::submit(&call.app, &call.caller, view.session, input, None).await?;
    ok(Answered {
        id: approval.id,
        object: "bailiwick.approval.answer",
        session_id: view.session.to_string(),
        decision,
    })
}

/// Who may answer instead.
pub(crate) fn may_not(approval: &Approval) -> ApiError {
    use crate::types::approval::Approver;
    let who = match &approval.approver {
        Approver::Person => "only the one for whom the agent works may".to_owned(),
        Approver::Second { role: None, team: None } => "a second person must: an admin or an operator".to_owned(),
        Approver::Second { role, team } => {
            let role = role.map(|role| format!(" with the role `{role}`")).unwrap_or_default();
            let team = team.as_ref().map(|team| format!(" of {team}")).unwrap_or_default();
            format!("a second person must: somebody{role}{team}")
        }
    };
    ApiError::forbidden(format!("You may not answer this: {who} (rule `{}`).", approval.rule))
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
    let may_answer = handle.may_answer(caller.tenant, &view.question.approver, &view.principal, &caller.principal);
    let visible = may_answer || sessions::find(&call.app, caller, view.session).await.is_ok();
    Ok(visible.then(|| Approval::of(&view, Some(may_answer))))
}
