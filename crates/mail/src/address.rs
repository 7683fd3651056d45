//! Addresses as they go into headers and envelopes: one spelling, nothing that could end a line or begin another field.

use bailiwick_core::canonical;
use std::fmt;

/// Longest name beside an address, in characters.
const MAX_NAME: usize = 128;

/// One bare address in its one spelling: lower case, the domain as a host name in ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// Reads one bare address. Names around it, comments, quoted parts, address literals and letters outside of ASCII
    /// before the `@` are refused: not every server carries those.
    pub fn parse(text: &str) -> Result<Self, String> {
        let address = canonical::email(text)?;
        if !address.is_ascii() {
            return Err("has a letter outside of ASCII before the `@`, which not every mail server can carry".into());
        }
        Ok(Self(address))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address with the name that readers see beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub name: Option<String>,
    pub address: Address,
}

impl Mailbox {
    pub fn new(name: Option<&str>, address: Address) -> Result<Self, String> {
        if let Some(name) = name {
            check_name(name)?;
        }
        Ok(Self { name: name.map(str::to_owned), address })
    }
}

/// Refuses a name that could be read as something else than a name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(format!("must have 1 to {MAX_NAME} characters, and no line breaks or control characters"));
    }
    // A second address inside the name is how a sender is faked to whoever sees names only.
    if name.contains(['@', '<', '>']) {
        return Err("must not hold `@`, `<` or `>`".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        let parsed = |text: &str| Address::parse(text).map(|address| address.to_string());
        assert_eq!(parsed("Anna.Berg@Example.COM"), Ok("anna.berg@example.com".into()));
        assert_eq!(parsed("anna@bücher.example"), Ok("anna@xn--bcher-kva.example".into()));
        for text in [
            "",
            "anna",
            "anna@",
            "@example.com",
            "anna@example.com\r\nBcc: x@y.example",
            "anna@example.com\nRCPT TO:<x@y.example>",
            "Anna <anna@example.com>",
            "anna@example.com,ben@example.com",
            "\"anna berg\"@example.com",
            "anna@[127.0.0.1]",
            "anna@127.0.0.1",
            "anna berg@example.com",
            "anna@example.com>",
            "ann\u{e4}@example.com",
            "anna@exa mple.com",
            "anna\0@example.com",
        ] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
        assert!(parsed(&format!("{}@example.com", "a".repeat(65))).is_err());
    }

    #[test]
    fn a_name_is_no_second_address() {
        let address = Address::parse("a@b.example").unwrap();
        assert!(Mailbox::new(Some("Anna Berg, Müller & Co"), address.clone()).is_ok());
        for name in ["", "a\r\nb", "a\tb", "ceo@b.example", "x <y", &"a".repeat(129)] {
            assert!(Mailbox::new(Some(name), address.clone()).is_err(), "{name:?}");
        }
    }
}
