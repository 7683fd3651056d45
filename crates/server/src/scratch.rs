//! A private folder under the system's temporary folder, removed when it is no longer needed.

use crate::files;
use bailiwick_identity::OsRandom;
use bailiwick_ports::Random as _;
use std::{
    io,
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// A new folder that only this user may enter.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut tag = [0; 6];
        OsRandom.fill(&mut tag);
        let tag: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = std::env::temp_dir();
        let path = folder.join(format!("{name}-{tag}"));
        files::make_private_folder(&path)?;
        Ok(Self { path, keep: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder where it is.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            let _ = files::remove_folder(&self.path);
        }
    }
}
