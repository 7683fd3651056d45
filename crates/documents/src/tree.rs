//! Walking below one folder, step by step from an open directory: no step follows a link or goes up, so that whatever
//! happens to the folder meanwhile, nothing outside of it is opened.

use crate::library::is_name;
use bailiwick_core::canonical;
use bailiwick_types::Timestamp;
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// How deep a path may go.
pub(crate) const MAX_DEPTH: usize = 32;
/// Entries of one folder that are looked at.
pub(crate) const MAX_ENTRIES: usize = 20_000;
/// Names of one folder among which one is looked for.
const MAX_NAMES: usize = 500_000;

/// Why something cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is not there, or is no plain file or folder.
    NotThere,
    /// The system says no.
    Failed(String),
    /// The call is over.
    Over,
}

/// What lies in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_folder: bool,
    pub(crate) size_bytes: u64,
    pub(crate) modified: Timestamp,
}

/// An open folder.
pub(crate) struct Open(OwnedFd);

/// The front of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// There is more than that.
    pub(crate) more: bool,
    /// Of the whole document.
    pub(crate) size_bytes: u64,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Without waiting: a pipe would wait for whoever writes into it.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

impl Open {
    /// The folder that an administrator named; its own path may go through links.
    pub(crate) fn root(path: &Path) -> Result<Self, Missing> {
        rustix::fs::openat(CWD, path, FOLDER, Mode::empty()).map(Self).map_err(missing)
    }

    /// A folder in this one.
    pub(crate) fn folder(&self, name: &str) -> Result<Self, Missing> {
        rustix::fs::openat(&self.0, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()).map(Self).map_err(missing)
    }

    /// The first `max` bytes of a plain file in this one.
    pub(crate) fn read(&self, name: &str, max: u64) -> Result<Piece, Missing> {
        let file = rustix::fs::openat(&self.0, name, FILE | OFlags::NOFOLLOW, Mode::empty()).map_err(missing)?;
        let stat = rustix::fs::fstat(&file).map_err(missing)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Missing::NotThere);
        }
        let mut bytes = Vec::new();
        let read = File::from(file).take(max.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| Missing::Failed(error.to_string()))?;
        let more = bytes.len() as u64 > max;
        bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        Ok(Piece { bytes, more, size_bytes: size(&stat) })
    }

    /// What lies here, by name; and whether there is more than that. Links, pipes and what has no name that can be told
    /// are left out.
    pub(crate) fn entries(&self) -> Result<(Vec<Entry>, bool), Missing> {
        let mut entries = Vec::new();
        let mut looked = 0;
        for entry in Dir::read_from(&self.0).map_err(missing)? {
            let entry = entry.map_err(missing)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !is_name(name) {
                continue;
            }
            looked += 1;
            if looked > MAX_ENTRIES {
                sort(&mut entries);
                return Ok((entries, true));
            }
            let Ok(stat) = rustix::fs::statat(self.0.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let is_folder = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => true,
                FileType::RegularFile => false,
                _ => continue,
            };
            let size_bytes = if is_folder { 0 } else { size(&stat) };
            entries.push(Entry { name: name.to_owned(), is_folder, size_bytes, modified: modified(&stat) });
        }
        sort(&mut entries);
        Ok((entries, false))
    }

    /// The name here that is spelt as `wanted`, or the only one that reads the same: a model writes names in another form
    /// than some systems keep them in. Only names that the folder lists: some systems open a file by further ones (short
    /// names, dots at the end, another case), which would walk around a rule for the listed name.
    pub(crate) fn spelling(&self, wanted: &str) -> Result<String, Missing> {
        let folded = canonical::folded(wanted);
        let mut alike = Vec::new();
        for entry in Dir::read_from(&self.0).map_err(missing)?.take(MAX_NAMES) {
            let entry = entry.map_err(missing)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == wanted {
                return Ok(name.to_owned());
            }
            if is_name(name) && alike.len() < 2 && canonical::folded(name) == folded {
                alike.push(name.to_owned());
            }
        }
        match alike.pop() {
            Some(name) if alike.is_empty() => Ok(name),
            _ => Err(Missing::NotThere),
        }
    }
}

fn sort(entries: &mut [Entry]) {
    entries.sort_by(|one, other| one.name.cmp(&other.name));
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn modified(stat: &Stat) -> Timestamp {
    Timestamp::from_millis(stat.st_mtime.saturating_mul(1000))
}

fn missing(errno: Errno) -> Missing {
    match errno {
        // A link where none may be, a file where a folder must be, a name that is too long, and what is not there: all
        // the same to whoever asks.
        Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL | Errno::NXIO | Errno::MLINK => {
            Missing::NotThere
        }
        other => Missing::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads of a process can be opened below /proc by their ids, and are not listed there: as with the short names of
    /// some file systems.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "it is a second thread that is looked for")]
    fn a_name_that_the_system_knows_and_the_folder_does_not_list_is_not_there() {
        let proc = Open::root(Path::new("/proc")).unwrap();
        let process = std::process::id().to_string();
        assert_eq!(proc.spelling(&process), Ok(process));
        let (sender, end) = std::sync::mpsc::channel::<()>();
        let (told, name) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            let own = std::fs::read_link("/proc/thread-self").unwrap();
            told.send(own.file_name().unwrap().to_str().unwrap().to_owned()).unwrap();
            let _ = end.recv();
        });
        let thread = name.recv().unwrap();
        assert!(proc.folder(&thread).is_ok());
        assert_eq!(proc.spelling(&thread), Err(Missing::NotThere));
        drop(sender);
        other.join().unwrap();
    }
}
