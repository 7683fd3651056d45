//! The traits of what keeps and decides, with their plain data. No implementation lives here.
//!
//! What *performs* actions (models, executors, tools) is in `gate`, because its methods take a permit.

mod access;
mod keys;
mod models;
pub mod objects;
mod policy;
mod runtime;
pub mod store;

pub use access::{
    AuthError, Authenticator, Caller, KeyDesk, KeyDeskError, KeyInfo, KeyKind, NewKey, RequestParts, Scope,
};
pub use keys::{Keys, KeysError, StreamKey, WrappedKey};
pub use models::{ModelCard, ModelCards};
pub use objects::{ObjectError, Objects};
pub use policy::{Policy, PolicyRequest, Verdict};
pub use runtime::{BoxFuture, Clock, Random, TaskHandle, Tasks};
pub use store::{Store, StoreError};
