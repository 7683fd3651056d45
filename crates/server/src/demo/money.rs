//! The budget, made so small that the next call of the model does not fit: the call is refused before it is made.

use super::cast::{Cast, budget, set_budget, text};
use crate::{
    client::{Client, encode},
    commands::Receipts,
    failure::{Failure, Outcome},
    terminal::escape,
    watch::{Screen, Watch},
};
use bailiwick_types::Money;
use serde_json::{Value, json};

/// What is left: less than the most that any call may cost.
const LEFT: Money = Money::from_micros(10_000);

/// What the API said of a turn that did not fit.
#[derive(Debug, Clone)]
pub(super) struct Stopped {
    pub turn: String,
    pub code: String,
    pub message: String,
    /// The budget before and after.
    pub before: Value,
    pub after: Value,
    /// The receipt of the refused call.
    pub receipt: Value,
    /// Calls of the model that were let through in that turn.
    pub made: usize,
}

impl Stopped {
    pub fn to_json(&self) -> Value {
        json!({
            "turn_id": self.turn, "code": self.code, "message": self.message, "limit": self.after["limit"],
            "spent_before": self.before["spent"], "spent_after": self.after["spent"],
            "exceeded": self.receipt["spending"]["exceeded"], "calls_made": self.made,
        })
    }
}

/// Lowers the budget to what is spent and a little more, and lets the employee ask for more work.
pub(super) async fn run_out(
    admin: &Client,
    cast: &Cast,
    session: &str,
    asks: &str,
    screen: &mut Screen,
) -> Outcome<Stopped> {
    let id = text(&cast.budget, "id")?;
    let now = budget(admin, &id).await?;
    let spent: Money = text(&now, "spent")?.parse().map_err(|error| Failure::failed(format!("`spent`: {error}")))?;
    let limit = spent.saturating_add(LEFT).to_string();
    let before = set_budget(admin, &cast.agent, &limit).await?;
    screen.note(format!(
        "\n● the budget is lowered to {} {}; {} are spent, {} are left",
        text(&before, "limit")?,
        text(&before, "currency")?,
        text(&before, "spent")?,
        text(&before, "remaining")?
    ));
    screen.note(format!("● {} asks for more: \"{asks}\"", cast.person.name));
    let mut watch = Watch::from_now(&cast.employee, session);
    watch.connect().await?;
    let message = json!({"role": "user", "content": [{"type": "input_text", "text": asks}]});
    let body = json!({"events": [{"type": "agent.session.input.message", "input": [message]}]});
    cast.employee.post(&format!("/v1/agents/sessions/{}/events", encode(session)), &body).await?;
    let ending = watch.until_rest(screen).await?;
    let turn = ending.turn.ok_or_else(|| Failure::failed("no turn came of the second message"))?;
    let id = text(&turn, "id")?;
    let receipts = Receipts::of(admin, session).await?;
    let of_turn = |receipt: &&Value| receipt["turn_id"] == id.as_str() && receipt["operation"] == "model.call";
    let calls: Vec<&Value> = receipts.iter().filter(of_turn).collect();
    let refused = calls.iter().find(|receipt| receipt["decision"] == "denied");
    let stopped = Stopped {
        code: turn["error"]["code"].as_str().unwrap_or("none").to_owned(),
        message: turn["error"]["message"].as_str().unwrap_or_default().to_owned(),
        after: budget(admin, &text(&cast.budget, "id")?).await?,
        receipt: refused.map_or(Value::Null, |receipt| (*receipt).clone()),
        made: calls.iter().filter(|receipt| receipt["decision"] == "allowed").count(),
        before,
        turn: id,
    };
    screen.note(format!("● error code of the turn: {}", escape::line(&stopped.code)));
    Ok(stopped)
}
