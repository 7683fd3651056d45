//! The signature of what is posted to somebody else: HMAC-SHA-256 over the time and the body.

use crate::hex;
use aws_lc_rs::hmac;
use bailiwick_types::Secret;

/// The value of `Bailiwick-Signature` for a body posted at `seconds` (since 1970): `v1=` and, in hexadecimal, the
/// HMAC-SHA-256 under the secret over the decimal seconds, a full stop and the body.
pub fn webhook_signature(secret: &Secret, seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(seconds.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    format!("v1={}", hex::encode(context.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac.new(b"key", b"1795260645.line\n", "sha256")`.
    #[test]
    fn it_is_the_hmac_of_time_and_body() {
        let signature = webhook_signature(&Secret::new("key"), 1_795_260_645, b"line\n");
        assert_eq!(signature, SIGNATURE);
        assert_ne!(webhook_signature(&Secret::new("key"), 1_795_260_646, b"line\n"), SIGNATURE);
    }

    const SIGNATURE: &str = "v1=ede493c46fe165eb378e6eedd2bf0d79a18553ef251698642e703017ffe75f2f";
}
