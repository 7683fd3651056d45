//! Names of folders in IMAP's own UTF-7 (RFC 3501, section 5.1.3).

use base64::{
    Engine,
    alphabet::IMAP_MUTF7,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const ENCODING: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// A name as it is sent.
pub(super) fn encoded(name: &str) -> String {
    let mut out = String::new();
    let mut other: Vec<u8> = Vec::new();
    let close = |other: &mut Vec<u8>, out: &mut String| {
        if !other.is_empty() {
            out.push('&');
            out.push_str(&ENCODING.encode(std::mem::take(other)));
            out.push('-');
        }
    };
    for char in name.chars() {
        match char {
            '&' => {
                close(&mut other, &mut out);
                out.push_str("&-");
            }
            ' '..='~' => {
                close(&mut other, &mut out);
                out.push(char);
            }
            _ => {
                let mut units = [0; 2];
                other.extend(char.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
            }
        }
    }
    close(&mut other, &mut out);
    out
}

/// A name as people read it. What is not in this encoding stays as it came.
pub(super) fn decoded(name: &[u8]) -> String {
    let raw = String::from_utf8_lossy(name).into_owned();
    let mut out = String::new();
    let mut rest = raw.as_str();
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((word, next)) = after.split_once('-') else { return raw };
        if word.is_empty() {
            out.push('&');
        } else {
            let Ok(bytes) = ENCODING.decode(word) else { return raw };
            let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            let Ok(text) = String::from_utf16(&units) else { return raw };
            out.push_str(&text);
        }
        rest = next;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_encoding() {
        // The first is RFC 3501's own example.
        assert_eq!(decoded(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"), "~peter/mail/台北/日本語");
        for name in ["INBOX", "Entwürfe", "R&D", "&", "a&b-ü-", "日本語/😀 x", "&amp;"] {
            let encoded = encoded(name);
            assert!(encoded.is_ascii());
            assert_eq!(decoded(encoded.as_bytes()), name);
        }
        for broken in ["&", "a&!-", "&AAA", "&2AA-"] {
            assert_eq!(decoded(broken.as_bytes()), broken);
        }
    }
}
