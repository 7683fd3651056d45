//! Crash points around a store: the process may die right before a write reaches the disk, or right after.

use crate::world::World;
use bailiwick_ports::{Around, StoreError};
use std::future::Future;

pub struct CrashPoints(pub World);

impl Around for CrashPoints {
    async fn write<T: Send>(
        &self,
        _: Option<u64>,
        write: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.0.step().await;
        let done = write.await;
        self.0.step().await;
        done
    }
}
