//! Key-encryption keys as words: what the environment or a key service gives in place of a file.
//!
//! A word is 64 hexadecimal digits. Its id is made of the key itself (the first four bytes of SHA-256 over
//! `bailiwick.kek.id` and the key, with the highest bit set, which no id of a key file has), so that the same key has the
//! same id wherever it comes from. A key out of a key file keeps its id as `ID:DIGITS`.

use crate::{
    hex,
    key_file::FileKek,
    sealing::{KEY_LEN, Sealer},
};
use aws_lc_rs::digest::{Context, SHA256};
use bailiwick_types::Secret;
use std::{collections::BTreeMap, sync::Arc};
use zeroize::Zeroizing;

/// Keys that only unwrap.
const MAX_OLD: usize = 16;
/// What tells an id that is made of a key from one in a key file.
const MADE: u32 = 1 << 31;

/// Why there are no keys. Never holds any part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyWordsError {
    #[error("the key must be 64 hexadecimal digits, or `ID:` and 64 for a key out of a key file")]
    Malformed,
    #[error("one key wraps; the keys before it belong where the old ones are")]
    Several,
    #[error("at most {MAX_OLD} old keys are read")]
    TooMany,
    #[error("two different keys have the same id")]
    Ambiguous,
}

impl FileKek {
    /// `current` wraps; it and `old`, words with blanks between them, unwrap.
    pub fn of_words(current: &Secret, old: Option<&Secret>) -> Result<Self, KeyWordsError> {
        let mut words = current.expose().split_ascii_whitespace();
        let (newest, key) = read(words.next().ok_or(KeyWordsError::Malformed)?)?;
        if words.next().is_some() {
            return Err(KeyWordsError::Several);
        }
        let mut known = BTreeMap::from([(newest, key)]);
        for (index, word) in old.iter().flat_map(|old| old.expose().split_ascii_whitespace()).enumerate() {
            if index >= MAX_OLD {
                return Err(KeyWordsError::TooMany);
            }
            let (id, key) = read(word)?;
            if known.get(&id).is_some_and(|there| **there != *key) {
                return Err(KeyWordsError::Ambiguous);
            }
            known.insert(id, key);
        }
        let keys = known.into_iter().map(|(id, key)| (id, Arc::new(Sealer::new(&key)))).collect();
        Ok(Self::of_keys(keys, newest))
    }
}

fn read(word: &str) -> Result<(u32, Zeroizing<[u8; KEY_LEN]>), KeyWordsError> {
    let (id, digits) = match word.split_once(':') {
        Some((id, digits)) => {
            let id = id.parse::<u32>().ok().filter(|id| *id > 0);
            (Some(id.ok_or(KeyWordsError::Malformed)?), digits)
        }
        None => (None, word),
    };
    let key = hex::decode_32(digits).map(Zeroizing::new).ok_or(KeyWordsError::Malformed)?;
    Ok((id.unwrap_or_else(|| made_id(&key)), key))
}

fn made_id(key: &[u8; KEY_LEN]) -> u32 {
    let mut context = Context::new(&SHA256);
    context.update(b"bailiwick.kek.id");
    context.update(key);
    let mut id = [0; 4];
    id.copy_from_slice(&context.finish().as_ref()[..4]);
    u32::from_be_bytes(id) | MADE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyEncryption as _, OsRandom};
    use bailiwick_ports::KeysError;
    use bailiwick_types::{StreamId, TenantId};

    const TENANT: TenantId = TenantId::from_u128(1);
    const STREAM: StreamId = StreamId::from_u128(2);

    fn kek(current: &str, old: Option<&str>) -> Result<FileKek, KeyWordsError> {
        FileKek::of_words(&Secret::new(current), old.map(Secret::new).as_ref())
    }

    #[test]
    fn the_new_key_wraps_and_the_old_one_still_unwraps() {
        let (first, second) = ("11".repeat(32), "22".repeat(32));
        let before = kek(&first, None).unwrap().wrap(TENANT, STREAM, &[7; KEY_LEN], &OsRandom);
        let both = kek(&second, Some(&format!("{first}\n3:{}", "33".repeat(32)))).unwrap();
        assert_eq!(*both.unwrap(TENANT, STREAM, &before).unwrap(), [7; KEY_LEN]);
        let after = both.wrap(TENANT, STREAM, &[7; KEY_LEN], &OsRandom);
        assert_ne!(after.key_id, before.key_id);
        let alone = kek(&second, None).unwrap();
        assert_eq!(*alone.unwrap(TENANT, STREAM, &after).unwrap(), [7; KEY_LEN]);
        assert_eq!(alone.unwrap(TENANT, STREAM, &before).err(), Some(KeysError::UnknownKey(before.key_id)));
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let key = "11".repeat(32);
        assert_eq!(kek("", None).err(), Some(KeyWordsError::Malformed));
        assert_eq!(kek("secret", None).err(), Some(KeyWordsError::Malformed));
        assert_eq!(kek(&format!("0:{key}"), None).err(), Some(KeyWordsError::Malformed));
        assert_eq!(kek(&format!("{key} {key}"), None).err(), Some(KeyWordsError::Several));
        assert_eq!(
            kek(&format!("1:{key}"), Some(&format!("1:{}", "22".repeat(32)))).err(),
            Some(KeyWordsError::Ambiguous)
        );
        assert_eq!(kek(&key, Some(&vec![&*key; 17].join(" "))).err(), Some(KeyWordsError::TooMany));
    }
}
