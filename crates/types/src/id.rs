//! Prefixed UUIDv7 newtypes (RFC 9562): `sess_` and 32 hexadecimal digits, so that an id sorts by the time it
//! was made, says what it names, and cannot be passed where another kind is meant.

use crate::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdError {
    prefix: &'static str,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an id of the form `{}_` and 32 hexadecimal digits", self.prefix)
    }
}

impl std::error::Error for IdError {}

/// Lays out a UUIDv7: 48 bits of milliseconds, version and variant, 74 random bits.
const fn uuid_v7(at: Timestamp, random: [u8; 10]) -> u128 {
    let millis = (at.as_millis() as u128) & 0xffff_ffff_ffff;
    let mut tail = 0_u128;
    let mut i = 0;
    while i < 10 {
        tail = (tail << 8) | random[i] as u128;
        i += 1;
    }
    let rand_a = (tail >> 64) & 0xfff;
    let rand_b = tail & 0x3fff_ffff_ffff_ffff;
    (millis << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// What every id of this kind starts with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from a time and ten random bytes (74 bits of them are used).
            pub const fn new(at: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid_v7(at, random))
            }

            /// The bare 128 bits, as a database keeps them.
            pub const fn to_u128(self) -> u128 {
                self.0
            }

            /// The id with these bare 128 bits.
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// The millisecond in which this id was made.
            pub const fn made_at(self) -> Timestamp {
                Timestamp::from_millis((self.0 >> 80) as i64)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{:032x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = IdError { prefix: $prefix };
                let digits = text
                    .strip_prefix($prefix)
                    .and_then(|rest| rest.strip_prefix('_'))
                    .filter(|digits| digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
                match digits.map(|digits| u128::from_str_radix(digits, 16)) {
                    Some(Ok(bits)) => Ok(Self(bits)),
                    _ => Err(wrong),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("an id that starts with `", $prefix, "_`"))
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    )*};
}

ids! {
    /// An organisation.
    TenantId = "tenant";
    /// A person.
    UserId = "user";
    /// People who work together: a department, a project.
    TeamId = "team";
    /// A saved colleague. Never reused.
    AgentId = "agent";
    /// One append-only log with one writer.
    StreamId = "strm";
    /// One durable piece of work. It shares its bits with its stream's id.
    SessionId = "sess";
    /// The work done in answer to one input.
    TurnId = "turn";
    /// One entry of the history that a client reads.
    ItemId = "item";
    /// One thing with an effect or a disclosure outside the engine; also the process id of a command.
    ActionId = "act";
    /// Where an agent's commands and files live.
    EnvironmentId = "env";
    /// An uploaded file.
    FileId = "file";
    /// An immutable file that a completed turn published.
    ArtifactId = "artf";
    /// An API key or an access key.
    KeyId = "key";
    /// A person's standing permission.
    GrantId = "grant";
    /// One rule set of a tenant's policy.
    PolicyId = "policy";
    /// A limit on what may be spent.
    BudgetId = "budget";
    /// A way to a system of the company.
    ConnectorId = "conn";
    /// A place for secrets.
    VaultId = "vault";
    /// One secret in a vault.
    CredentialId = "cred";
    /// Something that is remembered between sessions.
    MemoryId = "mem";
    /// A folder of instructions and files that agents are given.
    SkillId = "skill";
    /// One version of a skill. Never reused.
    SkillVersionId = "skillver";
    /// What somebody asks to be given of a connector.
    ConnectorRequestId = "creq";
    /// One running server process.
    NodeId = "node";
}

impl From<SessionId> for StreamId {
    fn from(session: SessionId) -> Self {
        Self(session.0)
    }
}

/// A tenant's administration has a stream of its own, under the tenant's bits.
impl From<TenantId> for StreamId {
    fn from(tenant: TenantId) -> Self {
        Self(tenant.0)
    }
}

impl From<StreamId> for SessionId {
    fn from(stream: StreamId) -> Self {
        Self(stream.0)
    }
}

/// An entry that an action writes has that action's bits: writing it again finds it there.
impl From<ActionId> for MemoryId {
    fn from(action: ActionId) -> Self {
        Self(action.0)
    }
}

impl ItemId {
    /// The id of the `index`-th output item of a model call. It is derived, so that a provisional delta, streamed
    /// before anything is stored, already names the item that the stored answer will hold.
    pub const fn of_output(action: ActionId, index: u16) -> Self {
        Self(derive(action.0, index as u64 + 1))
    }
}

impl ActionId {
    /// The `index`-th action caused by this one (a tool call in a model's answer).
    pub const fn caused(self, index: u16) -> Self {
        Self(derive(self.0, 0x1_0000 + index as u64))
    }
}

/// Another UUIDv7 of the same millisecond whose 62 low bits are mixed with `salt`. Mixing (splitmix64's finaliser,
/// a bijection) keeps distinct salts distinct.
const fn derive(bits: u128, salt: u64) -> u128 {
    const RAND_B: u128 = 0x3fff_ffff_ffff_ffff;
    let mut z = (bits & RAND_B) as u64 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (bits & !RAND_B) | (z as u128 & RAND_B)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_793_000_000_123);

    #[test]
    fn an_id_is_a_prefixed_uuid_v7_and_comes_back_from_its_text() {
        let id = SessionId::new(AT, [0xff; 10]);
        let text = id.to_string();
        assert_eq!(text, "sess_01a17720ca7b7fffbfffffffffffffff");
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(id.made_at(), AT);
        assert_eq!(serde_json::from_str::<SessionId>(&format!("\"{text}\"")).unwrap(), id);
    }

    #[test]
    fn another_kind_or_spelling_is_refused() {
        for text in [
            "",
            "sess",
            "sess_",
            "turn_01a17764be7b7fffbfffffffffffffff",
            "sess_01A17764BE7B7FFFBFFFFFFFFFFFFFFF",
            "sess_+1a17764be7b7fffbfffffffffffffff",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
    }

    #[test]
    fn derived_ids_differ_from_each_other_and_from_their_origin() {
        let action = ActionId::new(AT, [7; 10]);
        let mut seen = std::collections::HashSet::from([action.to_u128()]);
        for index in 0..1000 {
            assert!(seen.insert(ItemId::of_output(action, index).to_u128()));
            assert!(seen.insert(action.caused(index).to_u128()));
        }
    }
}
