//! Counts what goes through a store. It changes nothing.

use super::metrics::Metrics;
use bailiwick_ports::{Around, StoreError};
use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
};

/// Stands around a store's writes.
pub struct Metered(pub Arc<Metrics>);

impl Around for Metered {
    async fn write<T: Send>(
        &self,
        records: Option<u64>,
        write: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let waits = self.0.write_waits();
        let done = write.await;
        // It waited for the disk until it was answered.
        drop(waits);
        if let Some(records) = records {
            match &done {
                Ok(_) => {
                    self.0.commits.fetch_add(1, Ordering::Relaxed);
                    self.0.records.fetch_add(records, Ordering::Relaxed);
                }
                Err(_) => {
                    self.0.commit_failures.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        done
    }
}
