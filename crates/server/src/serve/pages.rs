//! The pages for people, at the address where the API is.
//!
//! They are answered before the API is asked and without asking who it is: they hold nothing of anybody. The paths are
//! the console's own; every other goes on.

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};

/// Puts the pages before `router`.
pub(super) fn before(router: Router) -> Router {
    router.layer(middleware::from_fn(page))
}

async fn page(request: Request, next: Next) -> Response {
    match bailiwick_console::answer(request.method(), request.uri().path(), request.headers()) {
        Some(response) => response.map(Body::from),
        None => next.run(request).await,
    }
}
