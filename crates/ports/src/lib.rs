//! The traits of what keeps and decides, with their plain data. No implementation lives here.
//!
//! What *performs* actions (models, executors, tools) is in `gate`, because its methods take a permit.

mod access;
mod administration;
mod directory;
mod keys;
mod ledger;
mod models;
pub mod objects;
mod policy;
mod runtime;
pub mod store;

pub use access::{
    AuthError, Authenticator, Caller, KeyDesk, KeyDeskError, KeyInfo, KeyKind, NewKey, RequestParts, Scope,
};
pub use administration::{Administration, Change, DocumentWrite};
pub use directory::{Colleague, ColleagueStatus, Directory, Person, Role, Strangers};
pub use keys::{Keys, KeysError, StreamKey, WrappedKey};
pub use ledger::{Exceeded, Ledger, Meter, Unit, Window};
pub use models::{ModelCard, ModelCards, Prices, Residency};
pub use objects::{ObjectError, Objects};
pub use policy::{Approver, Policy, PolicyRequest, Verdict};
pub use runtime::{BoxFuture, Clock, Random, TaskHandle, Tasks};
pub use store::{Store, StoreError};
