use axum::Router;
use bailiwick_engine::Handle;
use bailiwick_gate::{Archive, ExecutorDoor};
use bailiwick_ports::{Authenticator, Caller, Clock, KeyDesk, Keys, ModelCards, Policy, Random, Store, Tasks};
use std::sync::Arc;
pub struct Options {
    pub handle: Handle,
    pub store: Arc<dyn Store>,
    pub keys: Arc<dyn Keys>,
    pub archive: Archive,
    pub cards: Arc<dyn ModelCards>,
    pub policy: Arc<dyn Policy>,
    pub authenticator: Arc<dyn Authenticator>,
    pub key_desk: Arc<dyn KeyDesk>,
    pub executor_door: Option<Arc<dyn ExecutorDoor>>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub tasks: Arc<dyn Tasks>,
    pub executors: Vec<String>,
    pub public_url: Option<String>,
    pub limits: Limits,
}
#[derive(Default)]
pub struct Limits;
impl Options {
    pub fn build(self) -> Api {
        Api
    }
}
pub struct Api;
impl Api {
    pub fn router(&self) -> Router {
        Router::new()
    }
    pub fn router_for(&self, _c: Caller) -> Router {
        Router::new()
    }
    pub fn close_streams(&self) {}
}
