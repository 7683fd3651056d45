//! The real policy, and over it rules that ask: in some seeds a person has a say before files are written and commands
//! are run, and in some of these they let their answer stand, and take that back.

use bailiwick_core::{Action, Approver, Grant, GrantReach, Shape, Standing, What};
use bailiwick_policy::AllowList;
use bailiwick_ports::{Policy, PolicyRequest, Verdict};
use bailiwick_types::{AgentId, GrantId, KeyId, Millis, Principal, Role, SessionId, TenantId, Timestamp};

/// The rule that asks.
const RULE: &str = "somebody-looks";

pub struct Asking {
    pub seed: u64,
}

impl Asking {
    /// Every third seed asks.
    fn asks(&self) -> bool {
        self.seed % 3 == 1
    }

    fn approver(&self, action: &Action) -> Option<Approver> {
        match action {
            Action::FileWrite { content, .. } if content.len() % 2 == 0 => Some(Approver::Person),
            Action::CommandRun(run) if run.command.len() % 2 == 0 => {
                Some(Approver::Second { role: Some(Role::Operator), team: None })
            }
            Action::EnvironmentStart { .. } if self.seed.is_multiple_of(2) => Some(Approver::Person),
            _ => None,
        }
    }
}

impl Policy for Asking {
    fn version(&self, tenant: TenantId) -> u64 {
        AllowList.version(tenant)
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        let verdict = AllowList.decide(request);
        match self.approver(request.action) {
            Some(approver) if self.asks() && !request.approved && matches!(verdict, Verdict::Allow { .. }) => {
                Verdict::Ask { rule: RULE.into(), reason: "it leaves a mark".into(), approver }
            }
            _ => verdict,
        }
    }
}

/// In every second seed that asks, the operator lets commands be run without asking again.
pub fn stands(seed: u64) -> bool {
    seed % 6 == 4
}

/// The standing answer of a seed: every command of the session, for a day.
pub fn standing(session: SessionId, agent: AgentId, key: KeyId, at: Timestamp) -> Grant {
    let shape = Shape::Tool { operation: "command.run".into(), name: None };
    let orderer = Principal::Service { key };
    let (reach, rule) = (GrantReach::Session { id: session }, RULE.into());
    let standing = Standing { shape, reach, agent, orderer, rule, label: Default::default() };
    Grant {
        id: GrantId::new(at, [3; 10]),
        what: What::Standing(standing),
        by: Principal::Operator,
        since: at,
        until: at + Millis::from_secs(24 * 3600),
        reason: None,
        question: None,
        revoked: None,
    }
}
