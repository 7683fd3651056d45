//! Routes that the API has and this version has not.

use crate::{app::Call, error::ApiError, routes::Answer};

pub(crate) async fn answer(call: Call) -> Answer {
    let prefix = call.route.area.prefixes()[0];
    Err(ApiError::not_built(format!("{} {prefix}{}", call.route.method, call.route.path)))
}
