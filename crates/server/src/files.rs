//! Reading and writing files on behalf of the operator: bounded, and whole or not at all.

#![allow(clippy::disallowed_methods, reason = "the one place where the binary itself touches files")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Reads a regular file of at most `most` bytes.
pub fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Non-blocking, so that a pipe without a writer is an error and not a wait.
    let file = OpenOptions::new().read(true).custom_flags(nonblocking()).open(path)?;
    let facts = file.metadata()?;
    if facts.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder, not a file"));
    }
    if !facts.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    let mut bytes = Vec::with_capacity(facts.len().min(most) as usize);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("this file has more than {most} bytes")));
    }
    Ok(bytes)
}

/// The regular files below a folder with their paths in it, at most so many files and bytes. A link is an error: what it
/// leads to is not in the folder.
pub fn read_tree(folder: &Path, most_files: usize, most_bytes: usize) -> io::Result<Vec<(String, Vec<u8>)>> {
    let wrong = |path: &Path, problem: &str| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {problem}", path.display()))
    };
    let (mut files, mut folders, mut room) = (Vec::new(), vec![folder.to_owned()], most_bytes);
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(&here)? {
            let path = entry?.path();
            let kind = fs::symlink_metadata(&path)?.file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if !kind.is_file() {
                return Err(wrong(&path, "this is neither a plain file nor a folder"));
            } else {
                let inside = path.strip_prefix(folder).ok().and_then(Path::to_str);
                let inside = inside.ok_or_else(|| wrong(&path, "its name is not UTF-8"))?.to_owned();
                let bytes = read_bounded(&path, room as u64).map_err(|error| wrong(&path, &error.to_string()))?;
                room -= bytes.len();
                files.push((inside, bytes));
            }
            if files.len() + folders.len() > 2 * most_files {
                return Err(wrong(folder, &format!("there are more than {most_files} files")));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn nonblocking() -> i32 {
    rustix::fs::OFlags::NONBLOCK.bits() as i32
}

/// Writes a file whole or not at all, in the place of any that is there.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let draft = path.with_file_name(format!(
        ".{}.{}",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// A new file; fails when there is one.
pub fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)
}

/// Makes a folder and those above it.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Makes a folder that only its owner may enter.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
}

/// Removes a file; succeeds when there is none.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it; succeeds when there is none.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens a file for adding to its end, made where it is missing.
pub fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// A file's or folder's permission bits.
pub fn mode(path: &Path) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// Bytes that an ordinary user may still write to the disk of `folder`.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Gives a file another name, in the place of any that is there; one that is not there is no error.
pub fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The last bytes of a file, at most `most`, and where they begin; `None` where there is no file.
pub fn tail(path: &Path, most: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let from = file.metadata()?.len().saturating_sub(most);
    file.seek(io::SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some((bytes, from)))
}

/// Cuts a file off behind its first `length` bytes.
pub fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}
