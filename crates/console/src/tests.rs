use super::*;

const TREE: &[Asset] = &[
    Asset { path: "/index.html", tag: "\"1\"", plain: b"<!doctype html>", brotli: Some(b"br"), gzip: Some(b"gz") },
    Asset { path: "/assets/a-1.js", tag: "\"2\"", plain: b"export {}", brotli: None, gzip: Some(b"gz") },
];

fn asked(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

fn get(path: &str, pairs: &[(&'static str, &'static str)]) -> Option<Response<Bytes>> {
    answer_from(TREE, &Method::GET, path, &asked(pairs))
}

fn header(response: &Response<Bytes>, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[test]
fn every_page_is_the_one_document_and_nothing_else_is_taken() {
    for page in ["/", "/inbox", "/work", "/work/sess_1", "/console/receipts/act_1", "/sign-in"] {
        assert_eq!(get(page, &[]).unwrap().body(), "<!doctype html>", "{page}");
    }
    for other in ["/v1/agents", "/bailiwick/v1/me", "/workshop", "/healthz", "/assets/none.js", "/mcp/agent_1", "/../x"]
    {
        assert!(get(other, &[]).is_none(), "{other}");
    }
    assert!(answer_from(TREE, &Method::POST, "/", &HeaderMap::new()).is_none());
}

#[test]
fn nothing_inline_runs_and_nothing_is_asked_of_another_host() {
    for path in ["/", "/assets/a-1.js"] {
        let response = get(path, &[]).unwrap();
        let policy = header(&response, "content-security-policy");
        for wanted in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.split("; ").any(|part| part == wanted), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
    }
    // The page that says how to build obeys the same policy.
    let unbuilt = answer_from(&[], &Method::GET, "/", &HeaderMap::new()).unwrap();
    assert!(unbuilt.headers().contains_key("content-security-policy"));
    assert!(!UNBUILT.contains("<script") && !UNBUILT.contains("<style") && !UNBUILT.contains("style="));
}

#[test]
fn what_has_a_digest_in_its_name_is_kept_and_the_document_is_asked_for_again() {
    assert!(header(&get("/assets/a-1.js", &[]).unwrap(), "cache-control").contains("immutable"));
    let page = get("/", &[]).unwrap();
    assert_eq!(header(&page, "cache-control"), "no-cache");
    let again = get("/inbox", &[("if-none-match", "W/\"0\", \"1\"")]).unwrap();
    assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
}

#[test]
fn each_gets_the_smallest_that_it_can_take() {
    for (path, accepted, encoding, body) in [
        ("/", "gzip, deflate, br", "br", "br"),
        ("/", "gzip;q=0.5, br;q=0", "gzip", "gz"),
        ("/", "identity", "", "<!doctype html>"),
        ("/assets/a-1.js", "br, gzip", "gzip", "gz"),
    ] {
        let response = get(path, &[("accept-encoding", accepted)]).unwrap();
        assert_eq!(
            (header(&response, "content-encoding").as_str(), response.body().as_ref()),
            (encoding, body.as_bytes())
        );
        assert_eq!(header(&response, "vary"), "accept-encoding");
        assert_eq!(header(&response, "content-length"), body.len().to_string());
    }
    let head = answer_from(TREE, &Method::HEAD, "/", &HeaderMap::new()).unwrap();
    assert_eq!((head.body().len(), header(&head, "content-length").as_str()), (0, "15"));
}

#[test]
fn without_pages_the_answer_says_how_to_build_them() {
    let response = answer_from(&[], &Method::GET, "/work/sess_1", &HeaderMap::new()).unwrap();
    assert!(String::from_utf8_lossy(response.body()).contains("npm --prefix console run build"));
    assert!(answer_from(&[], &Method::GET, "/assets/a-1.js", &HeaderMap::new()).is_none());
}
