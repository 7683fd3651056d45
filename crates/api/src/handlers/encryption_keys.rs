//! The key-encryption key, for whoever runs the server: it is around everybody's data, so no organisation's own
//! administrator may replace it. Never a key, only their numbers.

use super::ok;
use crate::{app::Call, error::ApiError, routes::Answer};
use bailiwick_ports::rewrap::{EncryptionKeys, KeyRotation, RotationProgress, RotationRefused, RotationState};
use bailiwick_types::Principal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotateEncryptionKeyParam {
    /// Why, for the record; else the header `Bailiwick-Reason`.
    pub reason: Option<String>,
}

/// The keys under which all others lie.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EncryptionKeys)]
pub struct EncryptionKeysResource {
    pub object: &'static str,
    /// The number of the key that wraps.
    pub current: u32,
    /// Keys beside it that something may still lie under: until a rotation is finished.
    pub older: usize,
    /// The last rotation since the server started.
    pub rotation: Option<EncryptionKeyRotation>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EncryptionKeyRotation {
    /// `running`, `done` or `failed`. One that failed has lost nothing; to ask for it again goes on with it.
    pub status: &'static str,
    pub from: u32,
    pub to: u32,
    /// Keys wrapped anew so far.
    pub rewrapped: u64,
    /// Seconds since 1970.
    pub began_at: i64,
    pub ended_at: Option<i64>,
    pub problem: Option<String>,
}

/// Begins a rotation, or tells of the one that runs.
pub(crate) async fn rotate(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let desk = Arc::clone(desk(&call)?);
    let said = call.reason()?;
    let (param, _): (RotateEncryptionKeyParam, _) = call.json().await?;
    let reason = param.reason.or(said);
    match desk.begin(call.caller.principal.clone(), reason).await {
        Ok(keys) => ok(resource(keys)),
        Err(RotationRefused::Keys(problem)) => Err(ApiError::conflict("conflict", format!("{problem}."))),
        Err(RotationRefused::Store(error)) => Err(error.into()),
    }
}

pub(crate) async fn show(call: Call) -> Answer {
    call.query()?.finish()?;
    ok(resource(desk(&call)?.encryption_keys()))
}

fn desk(call: &Call) -> Result<&Arc<dyn KeyRotation>, ApiError> {
    if call.caller.principal != Principal::Operator {
        return Err(ApiError::forbidden(
            "The key-encryption key is kept by whoever runs the server: use `bailiwick key rotate --data DIR`, on its \
             machine.",
        ));
    }
    call.app.options.key_rotation.as_ref().ok_or_else(|| ApiError::not_built("key rotation"))
}

fn resource(keys: EncryptionKeys) -> EncryptionKeysResource {
    let EncryptionKeys { current, older, rotation } = keys;
    EncryptionKeysResource { object: "bailiwick.encryption_keys", current, older, rotation: rotation.map(shown) }
}

fn shown(rotation: RotationProgress) -> EncryptionKeyRotation {
    let RotationProgress { from, to, rewrapped, begun, state } = rotation;
    let (status, ended, problem) = match state {
        RotationState::Running => ("running", None, None),
        RotationState::Done(at) => ("done", Some(at), None),
        RotationState::Failed(at, problem) => ("failed", Some(at), Some(problem)),
    };
    let ended_at = ended.map(|at| at.as_seconds());
    EncryptionKeyRotation { status, from, to, rewrapped, began_at: begun.as_seconds(), ended_at, problem }
}
