//! What the disk itself costs.

use anyhow::Result;
use std::{io::Write as _, path::Path, time::Instant};

const ROUNDS: usize = 400;

/// The median time of appending 512 bytes and syncing them, in microseconds.
pub fn fsync_micros(folder: &Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        file.write_all(&[7; 512])?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[ROUNDS / 2])
}
