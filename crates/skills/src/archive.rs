//! ZIP archives, in and out. What an archive says of itself is not believed: entries are counted before it is opened, and
//! unpacked bytes as they come.

use crate::{MAX_ARCHIVE, MAX_BYTES, MAX_FILES, SkillError, path};
use std::{
    collections::BTreeMap,
    io::{Cursor, Read, Write},
};
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, write::SimpleFileOptions};

/// Entries of an archive, folders among them.
const MAX_ENTRIES: usize = 2 * MAX_FILES;
/// How an entry of an archive's directory begins. Counting these bounds what opening it may take, whatever it says.
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const MAX_SIGNS: usize = 16 * MAX_ENTRIES;
/// The bits of a Unix mode that say what kind of file it is, and the two kinds that are taken.
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

const PLACE: &str = "the archive";

pub(crate) fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, SkillError> {
    let wrong = |problem: String| SkillError::new(PLACE, problem);
    if bytes.len() > MAX_ARCHIVE {
        return Err(wrong(format!("is longer than {MAX_ARCHIVE} bytes")));
    }
    if bytes.windows(ENTRY.len()).filter(|window| *window == ENTRY).take(MAX_SIGNS + 1).count() > MAX_SIGNS {
        return Err(wrong(format!("has more than {MAX_ENTRIES} entries")));
    }
    let broken = |error: zip::result::ZipError| wrong(format!("cannot be read as ZIP: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > MAX_ENTRIES {
        return Err(wrong(format!("has more than {MAX_ENTRIES} entries")));
    }
    if archive.has_duplicate_names() {
        return Err(wrong("names the same file twice".into()));
    }
    let mut files = Vec::new();
    let mut room = MAX_BYTES;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(broken)?;
        let Ok(name) = std::str::from_utf8(entry.name_raw()).map(str::to_owned) else {
            let shown = String::from_utf8_lossy(entry.name_raw()).into_owned();
            return Err(SkillError::new(&shown, "must have a name in UTF-8"));
        };
        let whole = name.strip_suffix('/').unwrap_or(&name);
        path::check(whole)?;
        if entry.encrypted() {
            return Err(SkillError::new(whole, "must not be encrypted"));
        }
        let is_folder = name.ends_with('/');
        let kind = entry.unix_mode().map_or(0, |mode| mode & KIND);
        let fits = match kind {
            0 => true,
            FOLDER => is_folder,
            REGULAR => !is_folder,
            _ => false,
        };
        if entry.is_symlink() || !fits {
            return Err(SkillError::new(whole, "must be a plain file or a folder, not a link or a device"));
        }
        let mut content = Vec::new();
        let read = entry.take(room as u64 + 1).read_to_end(&mut content);
        read.map_err(|error| SkillError::new(whole, format!("cannot be unpacked: {error}")))?;
        if content.len() > room {
            return Err(wrong(format!("has more than {MAX_BYTES} bytes when it is unpacked")));
        }
        room -= content.len();
        match is_folder {
            true if content.is_empty() => {}
            true => return Err(SkillError::new(whole, "is a folder that has content of its own")),
            false => files.push((name, content)),
        }
        if files.len() > MAX_FILES {
            return Err(wrong(format!("has more than {MAX_FILES} files")));
        }
    }
    Ok(files)
}

/// The same files always make the same bytes.
pub(crate) fn write(folder: &str, files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        // INVARIANT: writing into memory cannot fail, and no file of a skill is as large as what would need ZIP64.
        writer.start_file(format!("{folder}/{path}"), options).expect("an entry of an archive in memory");
        writer.write_all(content).expect("content of an archive in memory");
    }
    // INVARIANT: as above.
    writer.finish().expect("an archive in memory").into_inner()
}
