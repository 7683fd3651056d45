//! Bytes as text, in the encoding that is said, or that is likeliest (Encoding Standard; WHATWG HTML, "Determining the
//! character encoding").

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Where a page may say its own encoding.
const PRESCAN: usize = 1024;

/// A text by its content type. What cannot be read becomes U+FFFD.
pub(crate) fn decoded(bytes: &[u8], content_type: &str) -> String {
    let said = parameter(content_type).and_then(|label| Encoding::for_label(label.as_bytes()));
    said.unwrap_or_else(|| likely(bytes)).decode(bytes).0.into_owned()
}

/// A page by its content type, or else by its own `meta`.
pub(super) fn decoded_page(bytes: &[u8], content_type: &str) -> String {
    let said = parameter(content_type).and_then(|label| Encoding::for_label(label.as_bytes()));
    let meta = || {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(PRESCAN)]).to_ascii_lowercase();
        let encoding = Encoding::for_label(parameter(&head)?.as_bytes())?;
        // A page that says so in plain bytes is not in two-byte ones.
        Some(if encoding.output_encoding() == encoding { encoding } else { UTF_8 })
    };
    // `decode` heeds a byte order mark before all of this.
    said.or_else(meta).unwrap_or_else(|| likely(bytes)).decode(bytes).0.into_owned()
}

fn likely(bytes: &[u8]) -> &'static Encoding {
    match std::str::from_utf8(bytes) {
        // A text that was cut inside a letter is one all the same.
        Ok(_) => UTF_8,
        Err(error) if error.error_len().is_none() => UTF_8,
        Err(_) => WINDOWS_1252,
    }
}

/// The value behind `charset=`.
fn parameter(text: &str) -> Option<&str> {
    let at = text.find("charset=")? + "charset=".len();
    let rest = text[at..].trim_start_matches(['"', '\'', ' ']);
    let end = rest.find(|char: char| !(char.is_ascii_alphanumeric() || "-_:.".contains(char))).unwrap_or(rest.len());
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_in_the_encoding_that_it_says() {
        assert_eq!(decoded(b"Gr\xf6\xdfe", "text/plain; charset=\"iso-8859-1\""), "Größe");
        assert_eq!(decoded(b"Gr\xf6\xdfe", "text/plain"), "Größe");
        assert_eq!(decoded("Größe".as_bytes(), "text/plain; charset=nonsense"), "Größe");
        assert_eq!(
            decoded_page(b"<meta charset='shift_jis'>\x93\xfa\x96{", "text/html"),
            "<meta charset='shift_jis'>日本"
        );
        assert_eq!(decoded_page("\u{feff}ä".as_bytes(), "text/html; charset=latin1"), "ä");
        assert_eq!(decoded_page(b"<meta charset=utf-16>a\xc3\xa4", "text/html"), "<meta charset=utf-16>aä");
    }
}
