//! The traits of what keeps and decides, with their plain data. No implementation lives here.
//!
//! What *performs* actions (models, executors, tools) is in `gate`, because its methods take a permit.

mod access;
pub mod account;
mod administration;
mod around;
pub mod connector;
mod directory;
mod erasure;
mod keys;
mod ledger;
pub mod log;
pub mod memory;
mod models;
pub mod objects;
pub mod people;
mod policy;
pub mod policy_desk;
pub mod proof;
pub mod rewrap;
mod runtime;
pub mod sign_in;
pub mod store;
mod tenant_keys;
mod tenants;
pub mod tokens;
pub mod toolset;
pub mod vault;

pub use access::{
    AuthError, Authenticator, Caller, KeyDesk, KeyDeskError, KeyEnd, KeyInfo, KeyKind, NewKey, Reach, RequestParts,
    Revocations, Scope,
};
pub use administration::{Administration, Change, DocumentWrite};
pub use around::{Around, Fronted};
pub use bailiwick_core::Approver;
pub use bailiwick_types::Role;
pub use connector::{CheckedSettings, ConnectorRooms, NoConnectorRooms, SettingsProblem};
pub use directory::{Colleague, ColleagueStatus, Directory, Person, Strangers, addresses};
pub use erasure::{ErasedPerson, ErasureList};
pub use keys::{Keys, KeysError, StreamKey, SubjectKey, WrappedKey};
pub use ledger::{
    AccountKey, Balance, BalanceChange, Budget, Cost, Ending, Exceeded, MAX_SPEND_SUMS, Meter, Payer, Spend, SpendBy,
    SpendEntry, SpendQuery, SpendSum, TurnOutcome, Unit, Window,
};
pub use log::{AuditError, Auditor, LogStore, SecondPlace, Signer, Signers};
pub use models::{CredentialNeed, ModelCard, ModelCards, Prices, Residency};
pub use objects::{ObjectError, Objects};
pub use people::{Colleagues, People, PeopleError};
pub use policy::{ConnectorFacts, Policy, PolicyRequest, VAULT_USE, Verdict};
pub use policy_desk::{
    Described, Draft, Explains, Explanation, PolicyDesk, PolicyDeskError, PolicyProblem, PolicyVersion, RuleSummary,
    Side,
};
pub use runtime::{BoxFuture, Clock, Random, TaskHandle, Tasks};
pub use sign_in::{SignIn, SignInError};
pub use store::{Store, StoreError};
pub use tenant_keys::{TenantKeyError, TenantKeys, tenant_key};
pub use tenants::{TenantDesk, TenantError, TenantInfo};
pub use vault::{NoVaults, VaultDesk, VaultError, Vaults};
