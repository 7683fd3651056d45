//! The verifier against AWS's documented example and against requests captured from real clients
//! (`tests/fixtures/sigv4/capture.py`).

use super::*;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Clone, Deserialize)]
struct Captured {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Deserialize)]
struct Capture {
    access_key_id: String,
    secret_access_key: String,
    requests: Vec<Captured>,
}

impl Captured {
    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).unwrap().1
    }

    fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(one, _)| !one.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
    }

    fn verify_at(&self, secret: &str, now: Timestamp) -> Result<String, AuthError> {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let mut body_sha256 = [0; 32];
        body_sha256.copy_from_slice(digest(&SHA256, self.body.as_bytes()).as_ref());
        let parts =
            RequestParts { method: &self.method, path: &self.path, query: &self.query, headers: &headers, body_sha256 };
        let signed = SignedRequest::read(&parts, now)?;
        signed.verify(&Secret::new(secret))?;
        Ok(signed.access_key_id().to_owned())
    }

    /// At the time at which it was signed.
    fn verify(&self, secret: &str) -> Result<String, AuthError> {
        self.verify_at(secret, parse_date(self.header("x-amz-date")).unwrap())
    }
}

fn captures() -> [(&'static str, Capture); 3] {
    [
        ("botocore", include_str!("../../tests/fixtures/sigv4/botocore.json")),
        ("openai", include_str!("../../tests/fixtures/sigv4/openai.json")),
        ("codex", include_str!("../../tests/fixtures/sigv4/codex.json")),
    ]
    .map(|(name, text)| (name, serde_json::from_str(text).unwrap()))
}

/// The example of the AWS documentation on signing (IAM ListUsers).
fn documented() -> Captured {
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date, \
        Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    let headers = [
        ("authorization", authorization),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("host", "iam.amazonaws.com"),
        ("x-amz-date", "20150830T123600Z"),
    ];
    Captured {
        method: "GET".into(),
        path: "/".into(),
        query: "Action=ListUsers&Version=2010-05-08".into(),
        headers: headers.map(|(name, value)| (name.into(), value.into())).to_vec(),
        body: String::new(),
    }
}
const DOCUMENTED_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[test]
fn the_documented_example_is_accepted() {
    assert_eq!(documented().verify(DOCUMENTED_SECRET), Ok("AKIDEXAMPLE".into()));
}

#[test]
fn what_real_clients_sign_is_accepted() {
    for (client, capture) in captures() {
        assert!(!capture.requests.is_empty());
        for request in &capture.requests {
            let verified = request.verify(&capture.secret_access_key);
            assert_eq!(verified, Ok(capture.access_key_id.clone()), "{client} {} {}", request.path, request.query);
        }
    }
}

#[test]
fn another_secret_is_refused_everywhere() {
    for (client, capture) in captures() {
        for request in &capture.requests {
            let refused = request.verify("another-secret");
            assert!(matches!(refused, Err(AuthError::BadSignature(_))), "{client} {}", request.path);
        }
    }
}

#[test]
fn every_part_of_a_request_is_signed() {
    for (client, capture) in captures() {
        for request in &capture.requests {
            let refused = |what: &str, change: &dyn Fn(&mut Captured)| {
                let mut changed = request.clone();
                change(&mut changed);
                // Another date is refused before the signature is looked at.
                let now = parse_date(request.header("x-amz-date")).unwrap();
                assert!(
                    changed.verify_at(&capture.secret_access_key, now).is_err(),
                    "{client} {what} {}",
                    request.path
                );
            };
            refused("method", &|r| r.method = "PATCH".into());
            refused("path", &|r| r.path.push('x'));
            refused("path", &|r| r.path = r.path.replacen('/', "/%2e/", 1));
            refused("query", &|r| r.query.push_str("&admin=true"));
            refused("body", &|r| r.body.push(' '));
            refused("added header", &|r| r.headers.push(("X-Amz-Target".into(), "x".into())));
            let authorization = request.header("authorization").to_owned();
            let signed = authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap().to_owned();
            for name in signed.split(';') {
                refused(name, &|r| r.set(name, "20261121T101000Z"));
                refused(name, &|r| r.headers.retain(|(one, _)| !one.eq_ignore_ascii_case(name)));
                refused(name, &|r| r.headers.push((name.into(), "x".into())));
            }
            for digit in 0..64 {
                let at = authorization.len() - 64 + digit;
                let other = if &authorization[at..=at] == "0" { "1" } else { "0" };
                let changed = format!("{}{other}{}", &authorization[..at], &authorization[at + 1..]);
                refused("signature", &|r| r.set("authorization", &changed));
            }
        }
    }
}

#[test]
fn a_query_means_the_same_however_it_was_written_and_nothing_else() {
    let with = |query: &str| Captured { query: query.into(), ..documented() }.verify(DOCUMENTED_SECRET).is_ok();
    assert!(with("Version=2010-05-08&Action=ListUsers"));
    assert!(with("Action=List%55sers&Version=2010-05-08"));
    assert!(!with("Action=ListUsers&Version=2010-05-08&Version=2010-05-08"));
    assert!(!with("Action=ListUsers"));
    assert_eq!(canonical::queries("q=a+b"), ["q=a+b", "q=a%20b"]);
    assert_eq!(canonical::queries("b=%zz%4&a&b=%2f"), ["a=&b=%2f&b=%zz%4", "a=&b=%25zz%254&b=%2F"]);
}

#[test]
fn a_signature_is_good_for_five_minutes() {
    let request = documented();
    let signed = parse_date("20150830T123600Z").unwrap();
    let at = |offset: i64| {
        request.verify_at(DOCUMENTED_SECRET, Timestamp::from_millis(signed.as_millis() + offset)).map(|_| ())
    };
    assert_eq!((at(300_000), at(-300_000)), (Ok(()), Ok(())));
    for offset in [300_001, -300_001, 86_400_000] {
        let now = Timestamp::from_millis(signed.as_millis() + offset);
        assert_eq!(at(offset), Err(AuthError::ClockSkew { signed, now }));
    }
}

#[test]
fn what_cannot_be_verified_is_named() {
    let refused = |name: &str, value: &str| {
        let mut request = documented();
        request.set(name, value);
        request.verify_at(DOCUMENTED_SECRET, parse_date("20150830T123600Z").unwrap()).unwrap_err().to_string()
    };
    let authorization = documented().header("authorization").to_owned();
    let changed = |from: &str, to: &str| refused("authorization", &authorization.replace(from, to));
    for (error, wanted) in [
        (changed("HMAC", "ECDSA"), "the only signature algorithm"),
        (changed("Credential", "Crédential"), "holds more than"),
        (changed(", Signature", ", Signature=00, Signature"), "names a field twice"),
        (changed(", SignedHeaders=content-type;host;x-amz-date", ""), "has no `SignedHeaders`"),
        (changed("/iam/", "/iam/iam/"), "`Credential` is not of the form"),
        (changed("us-east-1", "us east"), "`Credential` is not of the form"),
        (changed("/iam/", "/s3/"), "the service `s3`"),
        (changed("20150830/", "20150831/"), "the date in `Credential`"),
        (changed(";x-amz-date", ""), "`SignedHeaders` must contain `x-amz-date`"),
        (changed("host;", ""), "`SignedHeaders` must contain `host`"),
        (changed("content-type;host", "host;content-type"), "not sorted"),
        (changed("content-type;host", "Content-Type;host"), "in lower case"),
        (changed("content-type;host", "content-type;gone;host"), "the signed header `gone` did not arrive"),
        (changed("b5d7", "b5d"), "64 hexadecimal digits"),
        (refused("x-amz-date", "20150230T123600Z"), "`x-amz-date` is not of the form"),
        (refused("x-amz-security-token", "token"), "the header `x-amz-security-token` must be signed"),
        (refused("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), "the header `x-amz-content-sha256` must be signed"),
    ] {
        assert!(error.contains(wanted), "{error}");
    }
    let mut without = documented();
    without.headers.remove(0);
    let now = parse_date("20150830T123600Z").unwrap();
    assert_eq!(without.verify_at(DOCUMENTED_SECRET, now), Err(AuthError::Missing));
    without.query = "X-Amz-Signature=00".into();
    assert!(without.verify_at(DOCUMENTED_SECRET, now).unwrap_err().to_string().contains("in the query"));
}

#[test]
fn unsigned_and_streamed_bodies_are_refused_even_when_that_is_signed() {
    let [_, (_, capture), _] = captures();
    for claimed in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", ""]
    {
        let mut request = capture.requests[0].clone();
        request.set("x-amz-content-sha256", claimed);
        let error = request.verify(&capture.secret_access_key).unwrap_err().to_string();
        assert!(error.contains("unsigned bodies are not accepted"), "{error}");
    }
}

#[test]
fn dates_are_read_strictly() {
    assert_eq!(parse_date("20261121T113045Z"), Some(Timestamp::from_millis(1_795_260_645_000)));
    assert_eq!(parse_date("20000229T000000Z"), Some(Timestamp::from_millis(951_782_400_000)));
    for text in ["20010229T000000Z", "20261321T113045Z", "20261100T113045Z", "20261121T243045Z", "20261121T113060Z"] {
        assert_eq!(parse_date(text), None, "{text}");
    }
    for text in ["", "20261121t113045Z", "20261121T113045+", "2026112éT113045Z", "+0261121T113045Z", "20261121T11304 Z"]
    {
        assert_eq!(parse_date(text), None, "{text}");
    }
}

/// Pieces of real requests and noise.
fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "AWS4-HMAC-SHA256 ",
        "Credential=",
        "BWAK/20150830/r/s/aws4_request",
        ", ",
        "SignedHeaders=",
        "host;x-amz-date",
        "Signature=",
        "20150830T123600Z",
        "/",
        "..",
        "%",
        "%2",
        "%zz",
        "+",
        "&",
        "=",
        ";",
        " ",
        "é",
        "\u{0}",
    ]);
    let piece = prop_oneof![3 => piece.prop_map(str::to_owned), 1 => ".{0,8}", 1 => "[0-9a-f]{64}"];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_request_panics_and_none_is_accepted_by_accident(
        method in text(), path in text(), query in text(), authorization in text(), date in text(), more in text(),
    ) {
        let mut request = documented();
        request.path = path;
        request.query = query;
        request.method = method;
        if !authorization.is_empty() {
            request.set("authorization", &authorization);
        }
        if !date.is_empty() {
            request.set("x-amz-date", &date);
        }
        request.set("accept", &more);
        let now = parse_date("20150830T123600Z").unwrap();
        prop_assert!(request.verify_at(DOCUMENTED_SECRET, now).is_err());
    }

    #[test]
    fn a_query_is_read_the_same_in_any_order(pairs in prop::collection::vec(("[a-z%+]{0,4}", "[a-z%+]{0,4}"), 1..6)) {
        let joined = |pairs: &[(String, String)]| {
            canonical::queries(&pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("&"))
        };
        let mut reversed = pairs.clone();
        reversed.reverse();
        prop_assert_eq!(joined(&pairs), joined(&reversed));
    }
}
