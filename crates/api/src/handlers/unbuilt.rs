//! Routes that the API has and this version has not.

use crate::{app::Call, error::ApiError, routes::Answer};

pub(crate) async fn answer(call: Call) -> Answer {
    let prefix = call.route.area.prefixes()[0];
    Err(ApiError::not_built(format!("{} {prefix}{}", call.route.method, call.route.path)))
}

/// An environment that no session has, made ahead so that it is warm, would need somebody who answers for what it uses,
/// and an end of its own. A sandbox starts in about a tenth of a second, so there is little to be had by it.
pub(crate) async fn environment(call: Call) -> Answer {
    let mut error = ApiError::not_built(format!("{} /v1{}", call.route.method, call.route.path));
    error.message = "Environments are made with their sessions in this version: name `environment` when a session is \
        created. It is started by the first action that needs it."
        .to_owned();
    Err(error)
}
