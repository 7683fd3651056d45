//! How much at once: requests, streams, transfers, and the rate of each key.

use crate::{error::ApiError, options::Limits};
use bailiwick_types::{Principal, TenantId, Timestamp};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Keys whose rate is remembered; the one that was quiet longest is forgotten first.
const MAX_BUCKETS: usize = 10_000;

pub(crate) struct Bounds {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    stream_limit: usize,
    transfers: Arc<Semaphore>,
    buckets: Mutex<HashMap<(TenantId, Principal), Bucket>>,
    rate: f64,
    burst: f64,
    closing: watch::Sender<bool>,
}

/// A token bucket.
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Bounds {
    pub fn new(limits: &Limits) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(limits.requests)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            stream_limit: limits.streams,
            transfers: Arc::new(Semaphore::new(limits.transfers)),
            buckets: Mutex::default(),
            rate: f64::from(limits.rate_per_second),
            burst: f64::from(limits.burst.max(1)),
            closing: watch::Sender::new(false),
        }
    }

    pub fn request(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Self::take(&self.requests, "The server is answering as many requests as it can: try again in a moment.")
    }

    pub fn stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Self::take(&self.streams, "As many event streams are open as this server allows: close one, or try again.")
    }

    pub fn transfer(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Self::take(&self.transfers, "As many files are being moved as this server allows: try again in a moment.")
    }

    fn take(semaphore: &Arc<Semaphore>, message: &str) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(semaphore).try_acquire_owned().map_err(|_| ApiError::overloaded(message))
    }

    pub fn open_streams(&self) -> usize {
        self.stream_limit - self.streams.available_permits()
    }

    /// Counts one request of this caller, or says when the next may come.
    pub fn rate(&self, tenant: TenantId, principal: &Principal, now: Timestamp) -> Result<(), ApiError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant, principal.clone());
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            let quiet = buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| key.clone());
            quiet.map(|key| buckets.remove(&key));
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: self.burst, at: now });
        let passed = now.since(bucket.at).0 as f64 / 1000.0;
        bucket.tokens = (bucket.tokens + passed * self.rate).min(self.burst);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = ((1.0 - bucket.tokens) / self.rate.max(0.001)).ceil().clamp(1.0, 60.0);
        Err(ApiError::rate_limited(wait as u32))
    }

    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }
}
