//! Checkpoints as C2SP writes them: a signed note (<https://c2sp.org/signed-note>) over origin, size and root of a tree
//! (<https://c2sp.org/tlog-checkpoint>). The signature itself is made and checked elsewhere; here is only text.

use bailiwick_types::TenantId;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// Bytes of a note. A checkpoint has about 250.
pub const MAX_NOTE: usize = 64 * 1024;
/// Signature lines of a note; witnesses may have added theirs.
const MAX_SIGNATURES: usize = 64;
/// The algorithm byte of Ed25519 in key ids and verifier keys.
const ED25519: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("the note is no signed note: {0}")]
    Malformed(&'static str),
    #[error("the note is no checkpoint: {0}")]
    NoCheckpoint(&'static str),
    #[error("the public key does not read: it is one line `NAME+ID+KEY`")]
    Key,
}

/// The name that a tenant's log signs under, and the first line of its checkpoints.
pub fn origin(tenant: TenantId) -> String {
    format!("bailiwick/{tenant}")
}

/// What a log says of itself at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(NoteError::NoCheckpoint("it has no origin"))?;
        let size = lines.next().unwrap_or_default();
        let canonical = size == "0" || (!size.starts_with('0') && size.bytes().all(|byte| byte.is_ascii_digit()));
        let size = size.parse().ok().filter(|_| canonical).ok_or(NoteError::NoCheckpoint("its size is no number"))?;
        let root = lines.next().and_then(|line| STANDARD.decode(line).ok()).and_then(|root| root.try_into().ok());
        let root = root.ok_or(NoteError::NoCheckpoint("its root is no hash"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// A public key with the name that it signs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    pub name: String,
    pub public_key: [u8; 32],
}

impl VerifierKey {
    /// `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)`, the first four bytes.
    pub fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', ED25519]);
        hash.update(self.public_key);
        let digest: Hash = hash.finalize().into();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// One line: name, id in hexadecimal, and algorithm and key in base64, with plus signs between.
    pub fn line(&self) -> String {
        let key = [&[ED25519][..], &self.public_key].concat();
        format!("{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(key))
    }

    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let mut parts = line.trim().splitn(3, '+');
        let (name, id, key) = (parts.next(), parts.next(), parts.next());
        let (Some(name), Some(id), Some(key)) = (name, id, key) else { return Err(NoteError::Key) };
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let key = key.strip_prefix(&[ED25519]).and_then(|key| key.try_into().ok()).ok_or(NoteError::Key)?;
        let known = Self { name: name.to_owned(), public_key: key };
        match u32::from_str_radix(id, 16) == Ok(u32::from_be_bytes(known.id())) {
            true => Ok(known),
            false => Err(NoteError::Key),
        }
    }

    /// The note over `text` with this key's signature.
    pub fn note(&self, text: &str, signature: &[u8; 64]) -> String {
        let signature = STANDARD.encode([&self.id()[..], signature].concat());
        format!("{text}\n\u{2014} {} {signature}\n", self.name)
    }
}

/// A note taken apart. Whether a signature is right is for the reader to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    /// What is signed, with its last newline.
    pub text: &'a str,
    signatures: Vec<(&'a str, [u8; 4], Vec<u8>)>,
}

impl<'a> Note<'a> {
    pub fn parse(note: &'a str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::Malformed("it is too long"));
        }
        if note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::Malformed("it has control characters"));
        }
        let at = note.rfind("\n\n").ok_or(NoteError::Malformed("it has no signature"))?;
        let (text, below) = (&note[..=at], &note[at + 2..]);
        let below = below.strip_suffix('\n').ok_or(NoteError::Malformed("its last line is cut off"))?;
        let mut signatures = Vec::new();
        for line in below.split('\n') {
            let parts = line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' '));
            let (name, bytes) = parts.ok_or(NoteError::Malformed("a signature line does not read"))?;
            let bytes = STANDARD.decode(bytes).map_err(|_| NoteError::Malformed("a signature is no base64"))?;
            let Some((id, signature)) = bytes.split_first_chunk::<4>() else {
                return Err(NoteError::Malformed("a signature is too short"));
            };
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::Malformed("it has too many signatures"));
            }
            signatures.push((name, *id, signature.to_vec()));
        }
        Ok(Self { text, signatures })
    }

    /// The signature that says it is by this key.
    pub fn signature(&self, key: &VerifierKey) -> Option<[u8; 64]> {
        let by = |(name, id, _): &&(&str, [u8; 4], Vec<u8>)| *name == key.name && *id == key.id();
        self.signatures.iter().find(by).and_then(|(_, _, signature)| signature.as_slice().try_into().ok())
    }
}
