//! The decision whether an action may be done.

use bailiwick_core::{Action, AgentConfig, FunctionTool, Remit};
use bailiwick_types::{Principal, TenantId};

/// Everything a decision may depend on.
#[derive(Debug)]
pub struct PolicyRequest<'a> {
    pub tenant: TenantId,
    /// The agent, on behalf of the turn's orderer.
    pub principal: &'a Principal,
    pub agent: &'a AgentConfig,
    pub action: &'a Action,
}

/// A decision with its reason. Anything that goes wrong while deciding is a denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `rule` names what allowed it.
    Allow { rule: String },
    /// `remedy` says what would have to change.
    Deny { rule: String, reason: String, remedy: String },
}

pub trait Policy: Send + Sync {
    /// Which policy decides now, for receipts.
    fn version(&self) -> u64;

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict;

    /// Refuses a remit that says something this policy does not understand, naming the entry and the nearest that it
    /// does. For the moment in which an agent is written; deciding never relies on it.
    fn check_remit(&self, _remit: &Remit) -> Result<(), String> {
        Ok(())
    }

    /// Refuses a function whose parameters it could not hold arguments against. For the moment in which an agent is
    /// written.
    fn check_tool(&self, _tool: &FunctionTool) -> Result<(), String> {
        Ok(())
    }
}
