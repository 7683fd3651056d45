//! Budgets, and what was spent.

use bailiwick_ports::{Payer, SpendSum, Window};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayerKind {
    Tenant,
    Team,
    User,
    Agent,
    Session,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Payer)]
pub struct PayerParam {
    pub r#type: PayerKind,
    /// The id of the team, user, agent or session; none for the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Over which time a limit counts, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    Day,
    Month,
    Total,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetKind {
    /// A call that would not fit is refused before it is made.
    Hard,
    /// It is made, and its receipt names the budget.
    Warning,
}

/// Sets the limit of the one budget with this payer, time and kind.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetParam {
    pub payer: PayerParam,
    pub per: Per,
    /// `hard` when left out.
    #[serde(default)]
    pub kind: Option<BudgetKind>,
    /// An amount of the server's currency as decimal text, such as `500.00`.
    pub limit: String,
}

/// A limit on what may be spent, with how much of it is used. Amounts are decimal text in `currency`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Budget {
    pub id: String,
    pub object: &'static str,
    pub payer: PayerParam,
    pub per: Per,
    pub kind: BudgetKind,
    pub currency: String,
    pub limit: String,
    /// What has settled in this window.
    pub spent: String,
    /// What is held for calls that have not.
    pub reserved: String,
    /// What the next call may take at most.
    pub remaining: String,
    /// Seconds since 1970; `null` where it counts for ever.
    pub window_start: Option<i64>,
    pub window_end: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A budget that was taken away.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BudgetRemoved {
    pub id: String,
    pub object: &'static str,
    pub deleted: bool,
}

/// What calls came to, summed. Amounts are decimal text in `currency`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SpendReport {
    pub object: &'static str,
    pub currency: String,
    /// Seconds since 1970.
    pub from: i64,
    pub until: i64,
    /// What `values` of each sum are, in their order.
    pub by: Vec<&'static str>,
    /// The dearest first.
    pub data: Vec<SpendLine>,
    pub total: SpendLine,
    /// There are more sums than `data` holds; `total` is of all.
    pub has_more: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SpendLine {
    pub values: Vec<String>,
    pub calls: u64,
    /// Calls of models that have no price; nothing of them is in `cost`.
    pub unpriced_calls: u64,
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    pub cost: String,
    /// How much of `cost` is an estimate: what was reserved for calls that were cut or lost.
    pub estimated: String,
}

impl From<SpendSum> for SpendLine {
    fn from(sum: SpendSum) -> Self {
        Self {
            values: sum.values,
            calls: sum.calls,
            unpriced_calls: sum.unpriced,
            input_tokens: sum.input,
            cached_input_tokens: sum.cached_input,
            output_tokens: sum.output,
            cost: sum.cost.to_string(),
            estimated: sum.estimated.to_string(),
        }
    }
}

/// What a run of an agent is likely to cost, from its past runs. A run is a session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SpendEstimate {
    pub object: &'static str,
    pub agent_id: String,
    pub currency: String,
    /// Past runs that it is made of.
    pub runs: usize,
    /// `null` without past runs.
    pub median: Option<String>,
    pub percentile_90: Option<String>,
    pub dearest: Option<String>,
}

impl PayerParam {
    /// The payer, or what is wrong with it.
    pub fn read(&self) -> Result<Payer, String> {
        let id = self.id.as_deref();
        match (self.r#type, id) {
            (PayerKind::Tenant, None) => Ok(Payer::Tenant),
            (PayerKind::Tenant, Some(_)) => Err("a tenant's budget has no `id`: leave it out".into()),
            (_, None) => Err("`id` is needed: whose budget is it?".into()),
            (PayerKind::Team, Some(id)) => id.parse().map(|id| Payer::Team { id }).map_err(|e| e.to_string()),
            (PayerKind::User, Some(id)) => id.parse().map(|id| Payer::User { id }).map_err(|e| e.to_string()),
            (PayerKind::Agent, Some(id)) => id.parse().map(|id| Payer::Agent { id }).map_err(|e| e.to_string()),
            (PayerKind::Session, Some(id)) => id.parse().map(|id| Payer::Session { id }).map_err(|e| e.to_string()),
        }
    }

    pub fn of(payer: &Payer) -> Self {
        let r#type = match payer {
            Payer::Tenant => PayerKind::Tenant,
            Payer::Team { .. } => PayerKind::Team,
            Payer::User { .. } => PayerKind::User,
            Payer::Agent { .. } => PayerKind::Agent,
            Payer::Session { .. } => PayerKind::Session,
        };
        Self { r#type, id: payer.id() }
    }
}

impl From<Per> for Window {
    fn from(per: Per) -> Self {
        match per {
            Per::Day => Self::Day,
            Per::Month => Self::Month,
            Per::Total => Self::Total,
        }
    }
}

impl From<Window> for Per {
    /// Budgets are not kept per hour; one that says so would count for longer, not for less.
    fn from(window: Window) -> Self {
        match window {
            Window::Hour | Window::Day => Self::Day,
            Window::Month => Self::Month,
            Window::Total => Self::Total,
        }
    }
}
