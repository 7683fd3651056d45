//! How long the separate verifier takes over very many receipts.

use crate::report::Report;
use anyhow::{Context as _, Result, ensure};
use bailiwick_testkit::export::Sample;
use std::{path::Path, process::Command, time::Instant};

/// Bytes of a sealed body: what the records of small steps have.
const BODY_BYTES: usize = 600;

/// A whole export, and one in which every record has a proof of its own.
pub fn measure(verifier: &Path, folder: &Path, records: u64, report: &mut Report) -> Result<()> {
    for (what, with_proofs) in [("whole", false), ("each with its proof", true)] {
        let export = tempfile::tempdir_in(folder)?;
        let sample = Sample { records, body_bytes: BODY_BYTES, checkpoint_every: 1000, with_proofs, seed: 1 };
        sample.write(export.path())?;
        let begun = Instant::now();
        let output = Command::new(verifier).arg(export.path()).output().context("the verifier")?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        report.add(&format!("verifying {records} receipts, {what}"), seconds, "s");
    }
    Ok(())
}
