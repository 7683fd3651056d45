//! `cargo xtask openapi`: the committed OpenAPI document, made of the code.

use anyhow::{Context as _, Result, bail};
use std::{fs, path::Path};

const DOCUMENT: &str = "docs/openapi.json";

/// Writes the document, or with `check` fails where it is not the one that is committed.
pub fn run(root: &Path, check: bool) -> Result<()> {
    let (path, made) = (root.join(DOCUMENT), bailiwick_api::openapi());
    if !check {
        fs::write(&path, made).with_context(|| format!("cannot write {DOCUMENT}"))?;
        println!("openapi: wrote {DOCUMENT}");
        return Ok(());
    }
    let committed = fs::read_to_string(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
    if committed != made {
        bail!("{DOCUMENT} is not what the code says: run `cargo xtask openapi` and commit it");
    }
    println!("openapi: good");
    Ok(())
}
