//! Encryption at rest, from outside: what opens, what must not, and the key file.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and makes its own files")]

use bailiwick_identity::{FileKek, KeyFileError, OsRandom, Sealing};
use bailiwick_ports::{Keys, KeysError, Random, SubjectKey, WrappedKey};
use bailiwick_types::{StreamId, TenantId, UserId};
use proptest::prelude::*;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const TENANT: TenantId = TenantId::from_u128(1);
const STREAM: StreamId = StreamId::from_u128(2);

/// Predictable bytes, so that layouts can be told exactly.
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0.fetch_add(1, Ordering::Relaxed) as u8;
        }
    }
}

fn keys_at(path: &Path) -> Sealing {
    Sealing::new(Arc::new(FileKek::open_or_create(path, &OsRandom).unwrap()), Arc::new(OsRandom))
}

fn wrong(path: &Path) -> String {
    FileKek::open_or_create(path, &OsRandom).err().unwrap().to_string()
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn what_is_sealed_opens_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let (wrapped, key) = keys_at(&path).create(TENANT, STREAM);
    let sealed = key.seal(b"record 1", b"hello");
    let digest = key.digest(b"hello");

    let key = keys_at(&path).open(TENANT, STREAM, &wrapped).unwrap();
    assert_eq!(key.unseal(b"record 1", &sealed).unwrap(), b"hello");
    assert_eq!(key.digest(b"hello"), digest);
    assert_eq!(key.key_id(), 1);
}

#[test]
fn nothing_opens_in_another_place() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys_at(&folder.path().join("keys"));
    let (wrapped, key) = keys.create(TENANT, STREAM);
    let (_, other) = keys.create(TENANT, StreamId::from_u128(3));
    let sealed = key.seal(b"record 1", b"hello");

    assert_eq!(key.unseal(b"record 2", &sealed), Err(KeysError::DoesNotOpen));
    assert_eq!(other.unseal(b"record 1", &sealed), Err(KeysError::DoesNotOpen));
    assert_ne!(other.digest(b"hello"), key.digest(b"hello"));
    let opened = |tenant, stream, wrapped: &WrappedKey| keys.open(tenant, stream, wrapped).err();
    assert_eq!(opened(TENANT, StreamId::from_u128(3), &wrapped), Some(KeysError::DoesNotOpen));
    assert_eq!(opened(TenantId::from_u128(9), STREAM, &wrapped), Some(KeysError::DoesNotOpen));
    let unknown = WrappedKey::new(7, wrapped.bytes.clone());
    assert_eq!(opened(TENANT, STREAM, &unknown), Some(KeysError::UnknownKey(7)));
}

#[test]
fn equal_text_is_never_sealed_to_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (_, key) = keys_at(&folder.path().join("keys")).create(TENANT, STREAM);
    assert_ne!(key.seal(b"", b"hello"), key.seal(b"", b"hello"));
}

proptest! {
    #[test]
    fn a_changed_bit_or_a_cut_never_opens(plain in proptest::collection::vec(any::<u8>(), 0..100), at: prop::sample::Index, bit in 0..8_u8) {
        let random = Arc::new(Counting(AtomicU64::new(0)));
        let folder = tempfile::tempdir().unwrap();
        let kek = FileKek::open_or_create(&folder.path().join("keys"), &*random).unwrap();
        let (_, key) = Sealing::new(Arc::new(kek), random).create(TENANT, STREAM);
        let sealed = key.seal(b"context", &plain);
        prop_assert_eq!(key.unseal(b"context", &sealed).unwrap(), plain);
        let at = at.index(sealed.len());
        let mut changed = sealed.clone();
        changed[at] ^= 1 << bit;
        prop_assert!(key.unseal(b"context", &changed).is_err());
        prop_assert!(key.unseal(b"context", &sealed[..at]).is_err());
    }
}

/// Fixes the layout: `fixtures/sealing.py` computed the expected bytes with an independent implementation.
#[test]
fn the_layout_is_the_documented_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let random = Arc::new(Counting(AtomicU64::new(0)));
    let kek = FileKek::open_or_create(&path, &*random).unwrap();
    random.0.store(100, Ordering::Relaxed);
    let (wrapped, key) = Sealing::new(Arc::new(kek), random).create(TENANT, STREAM);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&wrapped.bytes), include_str!("fixtures/wrapped.hex").trim());
    assert_eq!(hex(&key.seal(b"record 1", b"hello")), include_str!("fixtures/sealed.hex").trim());
    assert_eq!(hex(&key.digest(b"hello")), include_str!("fixtures/digest.hex").trim());
}

#[test]
fn the_key_file_is_private_and_made_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    keys_at(&path);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    keys_at(&path);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    keys_at(&path);
    for mode in [0o640, 0o604, 0o660, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = FileKek::open_or_create(&path, &OsRandom).err().unwrap();
        assert!(matches!(error, KeyFileError::Exposed { .. }));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn an_older_key_still_opens_and_the_newest_wraps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let (old, _) = keys_at(&path).create(TENANT, STREAM);
    let other = folder.path().join("other");
    keys_at(&other);
    let added = fs::read_to_string(&other).unwrap().lines().last().unwrap().replacen("key 1", "key 2", 1);
    put(&path, &format!("{}{added}\n", fs::read_to_string(&path).unwrap()));

    let keys = keys_at(&path);
    assert!(keys.open(TENANT, STREAM, &old).is_ok());
    let (new, _) = keys.create(TENANT, STREAM);
    assert_eq!((old.key_id, new.key_id), (1, 2));
    // The id is part of what is authenticated.
    assert!(keys.open(TENANT, STREAM, &WrappedKey { key_id: 1, ..new }).is_err());
}

#[test]
fn a_damaged_key_file_names_the_line_and_never_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    keys_at(&path);
    let good = fs::read_to_string(&path).unwrap();
    let line = good.lines().last().unwrap().to_owned();
    let digits = line.split(' ').nth(2).unwrap().to_owned();
    let flipped = if digits.starts_with('0') { "1" } else { "0" };
    let damaged = format!("{flipped}{}", &digits[1..]);
    for (text, wanted) in [
        (String::new(), "line 1: it does not begin with"),
        ("bailiwick-keys v1\n".into(), "line 1: it holds no key"),
        (good.replace("keys v1", "keys v2"), "line 1"),
        (good.replace("key 1", "key 0"), "line 3: the id is not a number from 1"),
        (good.replace(&digits, &damaged), "line 3: the key does not match its check digits"),
        (good.replace(&digits, &digits[2..]), "line 3: a key is 64 hexadecimal digits"),
        (good.replace(&digits, &format!("+{}", &digits[1..])), "line 3: a key is 64 hexadecimal digits"),
        (format!("{good}{line}\n"), "line 4: this id occurs twice"),
        (format!("{good}hello\n"), "line 4: a line is `key`"),
        ("#".repeat(70_000), "larger than 64 KiB"),
    ] {
        put(&path, &text);
        let error = wrong(&path);
        assert!(error.contains(wanted), "{error}");
        assert!(!error.contains(&digits[..16]));
    }
    put(&path, "bailiwick-keys v1\n\u{1}");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(wrong(&path).contains("cannot be used"));
}

#[test]
fn what_lies_under_a_persons_key_opens_with_it_and_never_without() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let keys = keys_at(&path);
    let (ada, bob) = (UserId::from_u128(7), UserId::from_u128(8));
    let (hers, his) = (keys.create_subject(TENANT, ada), keys.create_subject(TENANT, bob));
    let (wrapped, key) = keys.create_under(TENANT, STREAM, &hers).unwrap();
    let sealed = key.seal(b"record 1", b"hello");
    let file = keys.open_subject(TENANT, &hers).unwrap().seal(b"file", b"bytes");

    // After a restart, and with a newer key-encryption key.
    let other = folder.path().join("other");
    keys_at(&other);
    let added = fs::read_to_string(&other).unwrap().lines().last().unwrap().replacen("key 1", "key 2", 1);
    put(&path, &format!("{}\n{added}\n", fs::read_to_string(&path).unwrap().trim()));
    let keys = keys_at(&path);
    let open = |wrapped: &WrappedKey| keys.open(TENANT, STREAM, wrapped);
    assert_eq!(open(&wrapped).unwrap().unseal(b"record 1", &sealed).unwrap(), b"hello");
    assert_eq!(keys.open_subject(TENANT, &hers).unwrap().unseal(b"file", &file).unwrap(), b"bytes");
    assert_eq!(keys.create_subject(TENANT, ada).key_id, 2);

    let under = |subject: SubjectKey| WrappedKey { subject: Some(Box::new(subject)), ..wrapped.clone() };
    assert_eq!(open(&under(his.clone())).err(), Some(KeysError::DoesNotOpen), "another person's key");
    let stolen = SubjectKey { person: bob, ..hers.clone() };
    assert_eq!(open(&under(stolen)).err(), Some(KeysError::DoesNotOpen), "under another name");
    assert_eq!(keys.open(TENANT, StreamId::from_u128(3), &wrapped).err(), Some(KeysError::DoesNotOpen));
    let alone = WrappedKey { subject: None, ..wrapped.clone() };
    assert_eq!(open(&alone).err(), Some(KeysError::DoesNotOpen), "never around it");

    let destroyed = SubjectKey { bytes: vec![0; hers.bytes.len()], ..hers.clone() };
    assert_eq!(open(&under(destroyed.clone())).err(), Some(KeysError::Erased));
    assert_eq!(keys.create_under(TENANT, STREAM, &destroyed).err(), Some(KeysError::Erased));
    let own = WrappedKey { bytes: vec![0; wrapped.bytes.len()], ..wrapped.clone() };
    assert_eq!(open(&own).err(), Some(KeysError::Erased));
}
