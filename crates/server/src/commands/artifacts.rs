//! Saves what a session has published, without ever writing over a file or outside of the chosen folder.

use crate::{
    client::{Client, encode},
    failure::{Doing as _, Failure, Outcome},
    files,
};
use serde_json::{Value, json};
use std::{
    fs::File,
    io,
    path::{Component, Path, PathBuf},
};

/// Where hosted sandboxes keep what they publish.
const OUTPUTS: &str = "/workspace/outputs";
/// Artifacts of one session that are saved at most.
const MOST: usize = 1000;
/// Other names that are tried when a file is there already.
const MOST_NAMES: u32 = 1000;

/// One artifact on this machine.
#[derive(Debug, Clone)]
pub struct Saved {
    pub id: String,
    /// Its path in the sandbox.
    pub path: String,
    pub saved_as: PathBuf,
    pub size: u64,
}

impl Saved {
    pub fn to_json(&self) -> Value {
        json!({"id": self.id, "path": self.path, "saved_as": self.saved_as, "size_bytes": self.size})
    }
}

/// Saves every artifact of a session into `folder`.
pub async fn save_all(client: &Client, session: &str, folder: &Path) -> Outcome<Vec<Saved>> {
    let base = format!("/v1/agents/sessions/{}/artifacts", encode(session));
    let found = client.list(&format!("{base}?order=asc"), MOST).await?;
    let mut saved = Vec::new();
    for artifact in found {
        let (Some(id), Some(path)) = (artifact["id"].as_str(), artifact["path"].as_str()) else {
            return Err(Failure::failed("the server's list of artifacts cannot be read"));
        };
        let place = folder.join(safe_name(path));
        let (file, saved_as) = create(&place).doing(|| format!("save {}", place.display()))?;
        let size = client.download(&format!("{base}/{}/content", encode(id)), &file).await?;
        saved.push(Saved { id: id.to_owned(), path: path.to_owned(), saved_as, size });
    }
    Ok(saved)
}

/// A relative path without anything that leads elsewhere or that a shell or a terminal would trip over.
fn safe_name(path: &str) -> PathBuf {
    let inner = path.strip_prefix(OUTPUTS).unwrap_or(path);
    let parts: PathBuf = Path::new(inner)
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(plain(&name.to_string_lossy())),
            _ => None,
        })
        .collect();
    if parts.as_os_str().is_empty() { PathBuf::from("artifact") } else { parts }
}

fn plain(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if crate::terminal::escape::line(&c.to_string()).len() != c.len_utf8() { '_' } else { c })
        .collect();
    match plain.strip_prefix(['.', '-']) {
        // Nothing hidden, and nothing that a command would take for an option.
        Some(rest) => format!("_{rest}"),
        None => plain,
    }
}

/// A new file of this name, or of the nearest one that is free.
fn create(place: &Path) -> io::Result<(File, PathBuf)> {
    if let Some(folder) = place.parent() {
        files::make_folder(folder)?;
    }
    let stem = place.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = place.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    for number in 0..MOST_NAMES {
        let name =
            if number == 0 { place.to_owned() } else { place.with_file_name(format!("{stem}-{number}{extension}")) };
        match files::create_new(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (file, name)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many files of this name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_of_the_folder() {
        for (path, name) in [
            ("/workspace/outputs/report.md", "report.md"),
            ("/workspace/outputs/a/b.svg", "a/b.svg"),
            ("/workspace/outputs/../../etc/passwd", "etc/passwd"),
            ("/elsewhere/x", "elsewhere/x"),
            ("/workspace/outputs/.bashrc", "_bashrc"),
            ("/workspace/outputs/-rf", "_rf"),
            ("/workspace/outputs/a\u{1b}[2J", "a_[2J"),
            ("/workspace/outputs/", "artifact"),
        ] {
            assert_eq!(safe_name(path), Path::new(name), "{path}");
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<PathBuf> = (0..3).map(|_| create(&folder.path().join("r.md")).unwrap().1).collect();
        let names: Vec<_> = names.iter().map(|name| name.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["r.md", "r-1.md", "r-2.md"]);
    }
}
