//! Key-encryption keys in a file of mode 0600, made at the first start.
//!
//! # Format
//!
//! Text. The first line is `bailiwick-keys v1`. Then one line for each key, `key ID HEX CHECK`: a decimal id (from 1,
//! each once), the 32 bytes of the key, and the first four bytes of SHA-256 over `bailiwick.kek.check` and the key, so
//! that a damaged line is told apart from a foreign one. The key with the highest id wraps; all of them unwrap, so a
//! key is rotated by adding a line. Blank lines and lines that begin with `#` are ignored.
//!
//! Without this file nothing that was sealed can be read, and backups of the data leave it out: keep a copy elsewhere.

use crate::{
    hex,
    sealing::{KEY_LEN, KeyEncryption, Sealer, wrap_context},
};
use aws_lc_rs::digest::{Context, SHA256};
use bailiwick_ports::{KeysError, Random, WrappedKey};
use bailiwick_types::{StreamId, TenantId};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

const HEADER: &str = "bailiwick-keys v1";
/// A file with more than this is not one of ours.
const MAX_BYTES: u64 = 64 * 1024;

/// Why there are no key-encryption keys. Never holds any part of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("the key file `{path}` can be read by others (mode {mode:04o}): run `chmod 600 {path}`")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the key file `{path}` belongs to user {owner}, not to the user that runs the server ({user})")]
    ForeignOwner { path: PathBuf, owner: u32, user: u32 },
    #[error("the key file `{path}` is damaged at line {line}: {reason}; put back the copy that you keep of it")]
    Damaged { path: PathBuf, line: usize, reason: &'static str },
    #[error("the key file `{path}` cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Key-encryption keys: from a file, or from words.
#[derive(Clone)]
pub struct FileKek {
    keys: BTreeMap<u32, Arc<Sealer>>,
    newest: u32,
}

impl FileKek {
    /// Reads the file, or makes it with one fresh key when there is none. Two servers that start at the same time on one
    /// folder end up with the same key.
    pub fn open_or_create(path: &Path, random: &dyn Random) -> Result<Self, KeyFileError> {
        match Self::open(path) {
            Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path, random).map_err(|source| KeyFileError::Io { path: path.into(), source })?;
                Self::open(path)
            }
            other => other,
        }
    }

    pub(crate) fn of_keys(keys: BTreeMap<u32, Arc<Sealer>>, newest: u32) -> Self {
        Self { keys, newest }
    }

    pub(crate) fn newest(&self) -> u32 {
        self.newest
    }

    /// These, and those of `before` that are not among them, for what was wrapped under one and is still in memory.
    pub(crate) fn after(mut self, before: &Self) -> Self {
        for (id, key) in &before.keys {
            self.keys.entry(*id).or_insert_with(|| Arc::clone(key));
        }
        self
    }

    /// The one that the newest follows, if it is still here.
    pub(crate) fn before_newest(&self) -> Option<u32> {
        self.keys.keys().rev().copied().find(|id| *id != self.newest)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds a fresh key, which wraps from now on.
    pub(crate) fn add_key(path: &Path, random: &dyn Random) -> Result<(), KeyFileError> {
        let next = Self::open(path)?.newest + 1;
        let mut text = read(path)?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        add_line(&mut text, next, random);
        replace(path, &text, random).map_err(|source| KeyFileError::Io { path: path.into(), source })
    }

    /// Writes the file with its newest key alone.
    pub(crate) fn keep_newest(path: &Path, random: &dyn Random) -> Result<(), KeyFileError> {
        let newest = Self::open(path)?.newest;
        let text = read(path)?;
        let mut kept = Zeroizing::new(String::with_capacity(text.len()));
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let other = words.next() == Some("key") && words.next().and_then(|id| id.parse().ok()) != Some(newest);
            if !other {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        replace(path, &kept, random).map_err(|source| KeyFileError::Io { path: path.into(), source })
    }

    /// Reads the file, which must be there.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let text = read(path)?;
        let keys = parse(&text).map_err(|(line, reason)| KeyFileError::Damaged { path: path.into(), line, reason })?;
        // INVARIANT: `parse` gives at least one key.
        let newest = *keys.keys().next_back().expect("a key file has a key");
        Ok(Self { keys, newest })
    }
}

/// The text of a file that nobody else may read.
fn read(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let io_error = |source| KeyFileError::Io { path: path.into(), source };
    // The checks are made on the open file, so that nobody can put another in its place between them.
    #[allow(clippy::disallowed_methods, reason = "the one place where the key file is read")]
    let file = File::open(path).map_err(io_error)?;
    let facts = file.metadata().map_err(io_error)?;
    let mode = facts.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.into(), mode });
    }
    let user = rustix::process::geteuid().as_raw();
    if facts.uid() != user && facts.uid() != 0 {
        return Err(KeyFileError::ForeignOwner { path: path.into(), owner: facts.uid(), user });
    }
    let mut text = Zeroizing::new(String::with_capacity(4096));
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(io_error)?;
    if read as u64 > MAX_BYTES {
        return Err(KeyFileError::Damaged { path: path.into(), line: 1, reason: "it is larger than 64 KiB" });
    }
    Ok(text)
}

impl KeyEncryption for FileKek {
    fn wrap(&self, tenant: TenantId, stream: StreamId, data_key: &[u8; KEY_LEN], random: &dyn Random) -> WrappedKey {
        let key_id = self.newest;
        let bytes = self.keys[&key_id].seal(&wrap_context(key_id, tenant, stream), data_key, random);
        WrappedKey::new(key_id, bytes)
    }

    fn unwrap(
        &self,
        tenant: TenantId,
        stream: StreamId,
        wrapped: &WrappedKey,
    ) -> Result<Zeroizing<[u8; KEY_LEN]>, KeysError> {
        let kek = self.keys.get(&wrapped.key_id).ok_or(KeysError::UnknownKey(wrapped.key_id))?;
        let plain = Zeroizing::new(kek.unseal(&wrap_context(wrapped.key_id, tenant, stream), &wrapped.bytes)?);
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        if plain.len() != KEY_LEN {
            return Err(KeysError::DoesNotOpen);
        }
        data_key.copy_from_slice(&plain);
        Ok(data_key)
    }
}

/// Makes the file whole or not at all, and never over one that is there.
#[allow(clippy::disallowed_methods, reason = "the one place where the key file is written")]
fn create(path: &Path, random: &dyn Random) -> io::Result<()> {
    let mut text = Zeroizing::new(String::with_capacity(512));
    text.push_str(HEADER);
    text.push_str(
        "\n# Keep this file secret, and keep a copy apart from the backups of the data: nothing opens without it.\n",
    );
    add_line(&mut text, 1, random);
    drafted(path, &text, random, |draft| {
        // A link, unlike a rename, never replaces: whoever comes second keeps the first one's key.
        let linked = match fs::hard_link(draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        };
        let removed = fs::remove_file(draft);
        linked.and(removed)
    })
}

/// Puts another text in the place of the file's, whole or not at all.
#[allow(clippy::disallowed_methods, reason = "the one place where the key file is written")]
fn replace(path: &Path, text: &str, random: &dyn Random) -> io::Result<()> {
    drafted(path, text, random, |draft| fs::rename(draft, path))
}

/// Writes a draft beside the file, lets `place` put it in its place, and waits until all of that is on disk.
#[allow(clippy::disallowed_methods, reason = "the one place where the key file is written")]
fn drafted(
    path: &Path,
    text: &str,
    random: &dyn Random,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut tag = [0; 8];
    random.fill(&mut tag);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}", hex::encode(&tag)));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })();
    if let Err(error) = written.and_then(|()| place(&draft)) {
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

/// Adds a fresh key under this id.
fn add_line(text: &mut String, id: u32, random: &dyn Random) {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    random.fill(key.as_mut());
    let digits = Zeroizing::new(hex::encode(key.as_ref()));
    // INVARIANT: writing to a string cannot fail.
    writeln!(text, "key {id} {} {}", *digits, check(&key)).expect("a string takes text");
}

/// The keys of a file's text, or the line at which it is wrong.
fn parse(text: &str) -> Result<BTreeMap<u32, Arc<Sealer>>, (usize, &'static str)> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    match lines.next() {
        Some((_, HEADER)) => {}
        _ => return Err((1, "it does not begin with `bailiwick-keys v1`")),
    }
    let mut keys = BTreeMap::new();
    for (line, content) in lines.filter(|(_, content)| !content.is_empty() && !content.starts_with('#')) {
        let wrong = |reason| (line, reason);
        let mut words = content.split_ascii_whitespace();
        let fields = (words.next(), words.next(), words.next(), words.next(), words.next());
        let (Some("key"), Some(id), Some(key), Some(given), None) = fields else {
            return Err(wrong("a line is `key`, an id, 64 hexadecimal digits and 8 more"));
        };
        let id: u32 = id.parse().ok().filter(|id| *id > 0).ok_or(wrong("the id is not a number from 1"))?;
        let key = hex::decode_32(key).map(Zeroizing::new).ok_or(wrong("a key is 64 hexadecimal digits"))?;
        if check(&key) != given {
            return Err(wrong("the key does not match its check digits"));
        }
        if keys.insert(id, Arc::new(Sealer::new(&key))).is_some() {
            return Err(wrong("this id occurs twice"));
        }
    }
    if keys.is_empty() { Err((1, "it holds no key")) } else { Ok(keys) }
}

fn check(key: &[u8; KEY_LEN]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"bailiwick.kek.check");
    context.update(key);
    hex::encode(&context.finish().as_ref()[..4])
}
