//! `/healthz`, `/readyz` and `/metrics`, and the counting of requests. None of them needs a key: they tell nothing about
//! anybody's work.

use super::{compose::House, metrics::Metrics};
use crate::runtime::within;
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use bailiwick_engine::Handle;
use bailiwick_ports::Store;
use std::{sync::Arc, time::Duration};

/// How long the store may take to answer before the server counts as not ready.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Health {
    store: Arc<dyn Store>,
    engine: Handle,
    metrics: Arc<Metrics>,
}

pub(super) fn routes(house: &House) -> Router {
    let health = Health { store: house.metered(), engine: house.handle(), metrics: Arc::clone(&house.metrics) };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> Response {
    match within(PATIENCE, health.store.tenants()).await {
        Some(Ok(_)) => "ready\n".into_response(),
        Some(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {error}\n")).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "not ready: the store does not answer\n").into_response(),
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    let page = health.metrics.render(health.engine.driven());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response()
}

/// Counts every request of `router` by its route.
pub(super) fn counted(router: Router, metrics: &Arc<Metrics>) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::clone(metrics), count))
}

async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    metrics.request(&route, &method, response.status().as_u16());
    response
}
