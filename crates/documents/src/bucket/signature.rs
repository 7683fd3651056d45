//! AWS Signature Version 4 for requests without a body, as S3 has it: a path is encoded once and stays as it is.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use bailiwick_types::{Secret, Timestamp};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// SHA-256 of nothing.
const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What a signed request carries beside its own.
pub(super) struct Signed {
    pub(super) headers: [(&'static str, String); 2],
    pub(super) authorization: Secret,
}

/// Signs a GET. `path` and `query` are as they are sent, the query's parameters in the order of their names.
pub(super) fn sign(
    key_id: &str,
    secret: &Secret,
    region: &str,
    now: Timestamp,
    host: &str,
    path: &str,
    query: &str,
) -> Signed {
    let time = stamp(now);
    let scope = format!("{}/{region}/s3/aws4_request", &time[..8]);
    let names = "host;x-amz-content-sha256;x-amz-date";
    let request = format!(
        "GET\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{NO_BODY}\nx-amz-date:{time}\n\n{names}\n{NO_BODY}"
    );
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex(&Sha256::digest(request)));
    // Whoever has one of the keys on the way can sign for a day: each is wiped.
    let start = Zeroizing::new(format!("AWS4{}", secret.expose()).into_bytes());
    let parts = [&time[..8], region, "s3", "aws4_request", &to_sign];
    let signature = parts.iter().fold(start, |key, part| mac(&key, part.as_bytes()));
    let authorization =
        format!("{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={}", hex(&signature));
    Signed {
        headers: [("x-amz-content-sha256", NO_BODY.to_owned()), ("x-amz-date", time)],
        authorization: Secret::new(authorization),
    }
}

/// `20261121T113045Z`.
fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.split('.').next().unwrap_or_default().trim_end_matches('Z');
    whole.chars().filter(|char| !matches!(char, '-' | ':')).chain(['Z']).collect()
}

fn mac(key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
    // INVARIANT: HMAC takes keys of every length (RFC 2104).
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The path of a key, encoded: everything but letters, digits, `-._~` and the slashes.
pub(super) fn path_of(bucket: &str, key: &str) -> String {
    let parts: Vec<String> = key.split('/').map(encoded).collect();
    format!("/{}/{}", encoded(bucket), parts.join("/"))
}

/// Everything but letters, digits and `-._~` becomes `%XX`.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Amazon's own page ("GET Bucket (List Objects)"), 24 May 2013.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let at = Timestamp::from_millis(1_369_353_600_000);
        let host = "examplebucket.s3.amazonaws.com";
        let signed = sign("AKIAIOSFODNN7EXAMPLE", &secret, "us-east-1", at, host, "/", "max-keys=2&prefix=J");
        assert_eq!(signed.headers[1].1, "20130524T000000Z");
        let authorization = signed.authorization.expose();
        assert!(
            authorization.ends_with("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
            "{authorization}"
        );
        assert!(authorization.contains("Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"));
    }

    #[test]
    fn keys_are_encoded_once() {
        assert_eq!(path_of("docs", "a b/Köln+100%.txt"), "/docs/a%20b/K%C3%B6ln%2B100%25.txt");
        assert_eq!(path_of("docs", ""), "/docs/");
    }
}
