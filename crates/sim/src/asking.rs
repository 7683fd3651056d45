//! The real policy, and over it rules that ask: in some seeds a person has a say before files are written and commands
//! are run.

use bailiwick_core::{Action, Approver};
use bailiwick_policy::AllowList;
use bailiwick_ports::{Policy, PolicyRequest, Verdict};
use bailiwick_types::{Role, TenantId};

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
                Verdict::Ask { rule: "somebody-looks".into(), reason: "it leaves a mark".into(), approver }
            }
            _ => verdict,
        }
    }
}
