//! `cargo xtask openapi`: the committed OpenAPI document, made of the code.

use anyhow::{Context as _, Result, bail};
use std::{fs, path::Path, process::Command};

const DOCUMENT: &str = "docs/openapi.json";

/// Writes the document, or with `check` fails where it is not the one that is committed.
pub fn run(root: &Path, check: bool) -> Result<()> {
    let arguments = ["run", "--quiet", "--package", "bailiwick-api", "--example", "openapi"];
    let made = Command::new(env!("CARGO")).args(arguments).current_dir(root).output().context("cannot start cargo")?;
    if !made.status.success() {
        bail!("the document cannot be made:\n{}", String::from_utf8_lossy(&made.stderr));
    }
    let path = root.join(DOCUMENT);
    if check {
        let committed = fs::read(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
        if committed != made.stdout {
            bail!("{DOCUMENT} is not what the code says: run `cargo xtask openapi` and commit it");
        }
        println!("openapi: good");
    } else {
        fs::write(&path, made.stdout).with_context(|| format!("cannot write {DOCUMENT}"))?;
        println!("openapi: wrote {DOCUMENT}");
    }
    Ok(())
}
