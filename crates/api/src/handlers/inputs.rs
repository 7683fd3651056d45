//! From what a client tells a session to inputs.

use crate::{
    app::App,
    error::ApiError,
    handlers::approvals::{may_not, no_word_helps, replies},
    types::approval::Approval,
    types::input::{
        ContentParam, EventParam, FirstInput, McpApprovalDecision, McpApprovalInput, MessageParam, OutputParam,
        ToolResultInput,
    },
};
use bailiwick_core::{
    Content,
    item::{RequiredAction, SessionStatus, SessionView},
    record::{Input, UserMessage},
};
use bailiwick_ports::Caller;
use bailiwick_types::{ItemId, Principal, TenantId, TurnId};

const MAX_EVENTS: usize = 64;
const MAX_MESSAGES: usize = 64;
const MAX_PARTS: usize = 256;
/// Bytes of a call's id, which the model's provider makes.
const MAX_CALL_ID: usize = 512;

/// The first input of a session, or `None` when there is none.
pub(crate) fn first(app: &App, input: Option<FirstInput>) -> Result<Option<Input>, ApiError> {
    let messages = match input {
        None => return Ok(None),
        Some(FirstInput::Text(text)) => {
            if text.is_empty() {
                return Err(ApiError::invalid("input", "`input` is empty."));
            }
            vec![UserMessage { item: item_id(app), content: vec![Content::text(text)] }]
        }
        Some(FirstInput::Messages(messages)) => messages_of(app, messages, "input")?,
    };
    Ok(Some(Input::Message { messages }))
}

fn item_id(app: &App) -> ItemId {
    ItemId::new(app.now(), app.random())
}

fn messages_of(app: &App, params: Vec<MessageParam>, path: &str) -> Result<Vec<UserMessage>, ApiError> {
    if params.is_empty() || params.len() > MAX_MESSAGES {
        return Err(ApiError::invalid(path, format!("`{path}` must have 1 to {MAX_MESSAGES} messages.")));
    }
    let message = |(index, param): (usize, MessageParam)| {
        let content = parts_of(param.content, &format!("{path}[{index}].content"))?;
        Ok(UserMessage { item: item_id(app), content })
    };
    params.into_iter().enumerate().map(message).collect()
}

fn parts_of(params: Vec<ContentParam>, path: &str) -> Result<Vec<Content>, ApiError> {
    if params.is_empty() || params.len() > MAX_PARTS {
        return Err(ApiError::invalid(path, format!("`{path}` must have 1 to {MAX_PARTS} parts.")));
    }
    let part = |(index, param): (usize, ContentParam)| match param {
        ContentParam::InputText(text) => Ok(Content::text(text.text)),
        ContentParam::InputImage(image) => {
            check_image(&image.image_url, &format!("{path}[{index}].image_url"))?;
            Ok(Content::Image { url: image.image_url })
        }
    };
    params.into_iter().enumerate().map(part).collect()
}

fn check_image(url: &str, path: &str) -> Result<(), ApiError> {
    let data = url.starts_with("data:image/") && url.contains(";base64,");
    let remote = url.starts_with("https://") && url.len() <= 8192 && !url.chars().any(|c| c.is_control() || c == ' ');
    if data || remote {
        return Ok(());
    }
    Err(ApiError::invalid(path, format!("`{path}` must be a `data:image/…;base64,` URL or an https URL.")))
}

/// Inputs for a session as it is now. `busy` says that inputs wait which the view does not show yet.
pub(crate) fn of_events(
    app: &App,
    caller: &Caller,
    answerer: &Principal,
    events: Vec<EventParam>,
    view: &SessionView,
    busy: bool,
) -> Result<Vec<Input>, ApiError> {
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(ApiError::invalid("events", format!("`events` must have 1 to {MAX_EVENTS} entries.")));
    }
    if view.status == SessionStatus::Failed {
        return Err(ApiError::conflict(
            "session_failed",
            "This session has failed and takes no more input: begin another.",
        ));
    }
    let mut active = busy || view.turn.is_some() || view.status != SessionStatus::Idle;
    let mut inputs = Vec::with_capacity(events.len());
    let mut answered: Vec<String> = Vec::new();
    for (index, event) in events.into_iter().enumerate() {
        let path = format!("events[{index}]");
        inputs.push(match event {
            EventParam::Message(message) => {
                active = true;
                Input::Message { messages: messages_of(app, message.input, &format!("{path}.input"))? }
            }
            EventParam::Cancel(_) if active => Input::Cancel,
            EventParam::Cancel(_) => {
                return Err(ApiError::conflict("no_active_turn", "There is no turn to cancel: the session is idle."));
            }
            EventParam::ToolResult(result) => tool_result(app, result, view, &mut answered, &path)?,
            EventParam::McpApproval(answer) => approval(app, caller.tenant, answerer, answer, view, &path)?,
            EventParam::ComputerUseApproval(_) => {
                return Err(ApiError::not_built(format!("{path}.type")));
            }
        });
    }
    Ok(inputs)
}

/// The answer to an action that is shown as a call of a tool.
fn approval(
    app: &App,
    tenant: TenantId,
    answerer: &Principal,
    answer: McpApprovalInput,
    view: &SessionView,
    path: &str,
) -> Result<Input, ApiError> {
    let McpApprovalInput { request_id, response } = answer;
    let asked = view.required_actions.iter().find_map(|required| match required {
        RequiredAction::Approval(asked) if asked.action.to_string() == request_id => Some(asked),
        _ => None,
    });
    let Some(asked) = asked else {
        let path = format!("{path}.request_id");
        return Err(ApiError::invalid(
            path.clone(),
            format!("`{path}`: nothing of this session with this id waits for an answer."),
        ));
    };
    let (approver, principal) = (&asked.question.approver, &asked.principal);
    if !app.options.handle.may_answer(tenant, approver, principal, answerer) {
        return Err(may_not(&Approval::of(asked, None, "")));
    }
    let reason = (response.decision == McpApprovalDecision::Cancel).then(|| "the request was dismissed".to_owned());
    let approve = response.decision == McpApprovalDecision::Approve;
    if approve {
        no_word_helps(asked)?;
    }
    let replies = replies(asked, approve, None)?;
    Ok(Input::Answer { action: asked.action, approve, reason, replies })
}

fn tool_result(
    app: &App,
    result: ToolResultInput,
    view: &SessionView,
    answered: &mut Vec<String>,
    path: &str,
) -> Result<Input, ApiError> {
    let ToolResultInput { call_id, turn_id, success, error, output } = result;
    if call_id.len() > MAX_CALL_ID || call_id.chars().any(char::is_control) {
        let path = format!("{path}.call_id");
        return Err(ApiError::invalid(path.clone(), format!("`{path}` is no id of a call.")));
    }
    // The SDK knows this text and tries again: the call's event may overtake its registration.
    let unknown = || ApiError::invalid(format!("{path}.call_id"), format!("Unknown pending tool call: {call_id}"));
    let turn: TurnId = turn_id.parse().map_err(|_| unknown())?;
    let pending = view.required_actions.iter().any(|required| {
        matches!(required, RequiredAction::FunctionCall { turn: of, call_id: known, .. } if *of == turn && *known == call_id)
    });
    if !pending || answered.contains(&call_id) {
        return Err(unknown());
    }
    answered.push(call_id.clone());
    let result = match (success, output) {
        (true, None) => Ok(Vec::new()),
        (true, Some(OutputParam::Text(text))) => Ok(vec![Content::text(text)]),
        (true, Some(OutputParam::Parts(parts))) if parts.is_empty() => Ok(Vec::new()),
        (true, Some(OutputParam::Parts(parts))) => Ok(parts_of(parts, &format!("{path}.output"))?),
        (false, _) => Err(error.filter(|text| !text.is_empty()).unwrap_or_else(|| "The function failed.".into())),
    };
    Ok(Input::ToolResult { turn, call_id, item: item_id(app), result })
}
