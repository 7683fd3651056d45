//! What each route does.

pub(crate) mod agent_config;
pub(crate) mod agents;
pub(crate) mod approvals;
pub(crate) mod artifacts;
pub(crate) mod audit;
pub(crate) mod budgets;
pub(crate) mod catalogue;
pub(crate) mod connections;
pub(crate) mod connectors;
pub(crate) mod encryption_keys;
pub(crate) mod environment_config;
pub(crate) mod environment_files;
pub(crate) mod environments;
pub(crate) mod errands;
pub(crate) mod events;
pub(crate) mod executors;
pub(crate) mod files;
pub(crate) mod grants;
pub(crate) mod history;
pub(crate) mod holds;
pub(crate) mod inputs;
pub(crate) mod keys;
pub(crate) mod labels;
pub(crate) mod memories;
pub(crate) mod models;
pub(crate) mod people;
pub(crate) mod policy;
pub(crate) mod policy_simulation;
pub(crate) mod receipts;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod skills;
pub(crate) mod spend;
pub(crate) mod stops;
pub(crate) mod teams;
pub(crate) mod tenants;
pub(crate) mod tokens;
pub(crate) mod toolsets;
pub(crate) mod unbuilt;
pub(crate) mod vaults;

use axum::{Json, response::IntoResponse};
use serde::Serialize;

/// 200 with a JSON body.
pub(crate) fn ok<T: Serialize>(body: T) -> crate::routes::Answer {
    Ok(Json(body).into_response())
}
