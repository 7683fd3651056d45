//! Requests over real sockets: where they go, what they carry, and what a peer may do to them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a peer on loopback, and tasks that run it")]

mod peer;

use bailiwick_outbound::{
    Arrival, Credential, MAX_REDIRECTS, Method, Options, Outbound, OutboundError, Phase, Reach, Redirects, Request,
    Resolver, Timeouts,
};
use bailiwick_ports::proof::{Proofs, Shown};
use bailiwick_types::{Millis, Secret};
use peer::{Peer, Reply, answer};
use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex},
};

/// A way out to which the addresses 127.0.0.1 and no other of this machine is open.
fn outbound() -> Outbound {
    Outbound::new(Options { open: vec!["127.0.0.1".parse().unwrap()], ..Options::default() })
}

fn public(url: &str) -> Request {
    let mut request = Request::new(Method::GET, url, Reach::Public);
    request.redirects = Redirects::Anywhere;
    request
}

fn exact(url: &str) -> Request {
    Request::new(Method::GET, url, Reach::exact(url).unwrap())
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

async fn error(outbound: &Outbound, request: Request) -> OutboundError {
    match outbound.send(request).await {
        Ok(response) => response.bytes().await.unwrap_err(),
        Err(error) => error,
    }
}

/// Answers each question with the next of a list, and the last one for ever.
struct Script(Mutex<VecDeque<Vec<IpAddr>>>, Mutex<Vec<String>>);

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let one = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(one).collect()), Mutex::default()))
    }

    fn asked(&self) -> Vec<String> {
        self.1.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Resolver for Script {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        self.1.lock().unwrap().push(name.to_owned());
        let mut answers = self.0.lock().unwrap();
        Ok(if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() })
    }
}

#[tokio::test]
async fn a_request_says_who_and_what_and_no_more() {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", "hello")).await;
    let url = peer.url("/a?b=c#fragment");
    let request = exact(&url)
        .header("accept", "text/plain")
        .credential(Credential::bearer(&secret("hunter2")))
        .credential(Credential::Query { name: "key".into(), value: secret("p&w") })
        .credential(Credential::Cookie { name: "sid".into(), value: secret("s1") })
        .who("user_1 through agent_2\r\n(evil)");
    let response = outbound().send(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.url()), (200, peer.url("/a?b=c").as_str()));
    assert_eq!(response.bytes().await.unwrap(), "hello");
    let head = &peer.seen()[0].head;
    assert!(head.starts_with("GET /a?b=c&key=p%26w HTTP/1.1\r\n"), "{head}");
    for line in ["authorization: Bearer hunter2", "cookie: sid=s1", "accept: text/plain", "accept-encoding: identity"] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(head.contains(concat!(
        "user-agent: bailiwick/",
        env!("CARGO_PKG_VERSION"),
        " (user_1 through agent_2evil)\r\n"
    )));
    assert!(!head.contains("referer"), "{head}");
}

#[tokio::test]
async fn a_name_that_is_bound_again_leads_nowhere_else() {
    let outside = Peer::start("127.0.0.1", |_, _| Reply::Close(Vec::new())).await;
    let inside = Peer::start_at("127.0.0.2", outside.port(), |_, _| answer("200 OK", "secret")).await;
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let open = vec!["127.0.0.1".parse().unwrap()];
    let outbound = Outbound::new(Options { open, resolver: script.clone(), ..Options::default() });
    let url = format!("https://rebound.example.org:{}/", outside.port());
    // It speaks no TLS, but that it was connected to shows where the first answer led; and it was asked for once.
    assert!(matches!(error(&outbound, public(&url)).await, OutboundError::Unreachable { .. }));
    assert_eq!((outside.connections(), script.asked().len()), (1, 1));
    let refused = error(&outbound, public(&url)).await;
    assert!(matches!(&refused, OutboundError::Refused(reason) if reason.contains("127.0.0.2")), "{refused}");
    assert_eq!((refused.arrival(), inside.connections()), (Arrival::Never, 0));
}

#[tokio::test]
async fn one_inside_address_among_the_answers_closes_a_name() {
    let inside = Peer::start("127.0.0.1", |_, _| answer("200 OK", "secret")).await;
    for bad in ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "64:ff9b::7f00:1", "0.0.0.0"] {
        let script = Script::new(&[&["9.9.9.9", bad]]);
        let outbound = Outbound::new(Options { resolver: script.clone(), ..Options::default() });
        let refused = error(&outbound, public(&format!("https://mixed.example.org:{}/", inside.port()))).await;
        assert!(matches!(refused, OutboundError::Refused(_)), "{bad}: {refused}");
        // Asked with the root's dot, so that no search list makes another name of it.
        assert_eq!(script.asked(), ["mixed.example.org."]);
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn localhost_is_this_machine_whatever_a_resolver_says() {
    let script = Script::new(&[&["10.9.8.7"]]);
    let outbound = Outbound::new(Options { resolver: script, ..Options::default() });
    assert!(matches!(error(&outbound, exact("http://localhost:9/")).await, OutboundError::Refused(_)));
}

#[tokio::test]
async fn a_name_without_an_address_was_never_reached() {
    let outbound = Outbound::new(Options { resolver: Script::new(&[&[]]), ..Options::default() });
    let failed = error(&outbound, public("https://nowhere.example.org/?token=hunter2")).await;
    assert_eq!(failed.arrival(), Arrival::Never);
    assert!(failed.to_string().contains("nowhere.example.org") && !failed.to_string().contains("hunter2"), "{failed}");
}

#[tokio::test]
async fn a_redirect_leads_no_further_than_the_request_might_go() {
    let inside = Peer::start("127.0.0.2", |_, _| answer("200 OK", "secret")).await;
    let places = [
        inside.url("/"),
        format!("//127.0.0.2:{}/", inside.port()),
        "http://169.254.169.254/latest/meta-data".into(),
        "https://[::ffff:127.0.0.2]/".into(),
        "https://localhost/".into(),
        "http://example.org/".into(),
        "file:///etc/passwd".into(),
        "https://user:password@127.0.0.1/".into(),
        "https://".into(),
    ];
    for place in places {
        let to = place.clone();
        let peer = Peer::start("127.0.0.1", move |_, _| redirect("302 Found", &to)).await;
        let refused = error(&outbound(), public(&peer.url("/"))).await;
        assert!(matches!(refused, OutboundError::Redirected { .. }), "{place}: {refused}");
        assert_eq!(refused.arrival(), Arrival::Answered);
    }
    assert_eq!(inside.connections(), 0);
    // The server that an administrator named cannot send us to another either, not even to another port.
    let other = Peer::start("127.0.0.1", |_, _| answer("200 OK", "other")).await;
    let to = other.url("/");
    let peer = Peer::start("127.0.0.1", move |_, _| redirect("302 Found", &to)).await;
    let mut request = exact(&peer.url("/"));
    request.redirects = Redirects::Anywhere;
    assert!(matches!(error(&outbound(), request).await, OutboundError::Redirected { .. }));
    assert_eq!(other.connections(), 0);
}

fn redirect(status: &str, to: &str) -> Reply {
    Reply::Go(format!("HTTP/1.1 {status}\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes())
}

#[tokio::test]
async fn redirects_are_walked_as_far_as_was_asked() {
    let peer = Peer::start("127.0.0.1", |request, _| match request.path() {
        "/a" => redirect("302 Found", "b?c"),
        "/b?c" => answer("200 OK", "there"),
        _ => redirect("302 Found", "/loop"),
    })
    .await;
    for redirects in [Redirects::SameOrigin, Redirects::Anywhere] {
        let mut request = exact(&peer.url("/a")).credential(Credential::bearer(&secret("hunter2")));
        request.redirects = redirects;
        let response = outbound().send(request).await.unwrap();
        assert_eq!(response.url(), peer.url("/b?c"));
        assert!(peer.seen().last().unwrap().head.contains("hunter2"), "the same origin gets its credential");
    }
    let response = outbound().send(exact(&peer.url("/a"))).await.unwrap();
    assert_eq!((response.status().as_u16(), response.header("location")), (302, Some("b?c")));
    let before = peer.seen().len();
    assert!(matches!(error(&outbound(), public(&peer.url("/loop"))).await, OutboundError::Redirected { .. }));
    assert_eq!(peer.seen().len() - before, MAX_REDIRECTS + 1);
}

#[tokio::test]
async fn another_origin_gets_neither_credentials_nor_bodies() {
    let other = Peer::start("127.0.0.1", |_, _| answer("200 OK", "other")).await;
    let to = other.url("/");
    let peer = Peer::start("127.0.0.1", move |request, _| {
        let status = if request.path().starts_with("/keep") { "307 Temporary Redirect" } else { "303 See Other" };
        redirect(status, &to)
    })
    .await;
    let request = |path: &str| {
        public(&peer.url(path))
            .header("accept", "text/plain")
            .header("x-api-key", "hunter2")
            .header("authorization", "Basic hunter2")
            .credential(Credential::bearer(&secret("hunter2")))
            .credential(Credential::Query { name: "key".into(), value: secret("hunter2") })
            .credential(Credential::Cookie { name: "sid".into(), value: secret("hunter2") })
    };
    let mut posted = request("/see").body("text/plain", "confidential");
    posted.method = Method::POST;
    assert_eq!(outbound().send(posted).await.unwrap().bytes().await.unwrap(), "other");
    let seen = &other.seen()[0];
    assert!(seen.head.starts_with("GET / HTTP/1.1") && seen.head.contains("accept: text/plain"), "{}", seen.head);
    assert!(
        !seen.head.contains("hunter2") && !seen.head.contains("content-type") && seen.body.is_empty(),
        "{}",
        seen.head
    );
    let mut kept = request("/keep").body("text/plain", "confidential");
    kept.method = Method::POST;
    assert!(matches!(error(&outbound(), kept).await, OutboundError::Redirected { .. }));
    assert_eq!(other.seen().len(), 1);
}

#[tokio::test]
async fn connections_are_shared_under_the_same_credentials_only() {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", "hello")).await;
    let outbound = outbound();
    let request = |token: Option<&str>| {
        let request = exact(&peer.url("/"));
        token.map_or(request.clone(), |token| request.credential(Credential::bearer(&secret(token))))
    };
    for token in [Some("anna"), Some("anna"), Some("ben"), None, Some("anna"), None, Some("ben")] {
        outbound.send(request(token)).await.unwrap().bytes().await.unwrap();
    }
    let of = |token: &str| -> Vec<usize> {
        let seen = peer.seen();
        seen.iter().filter(|seen| seen.head.contains(token)).map(|seen| seen.connection).collect()
    };
    let (anna, ben) = (of("anna"), of("ben"));
    assert_eq!((anna.len(), ben.len()), (3, 2));
    assert!(anna.iter().all(|one| *one == anna[0]) && ben.iter().all(|one| *one == ben[0]) && anna[0] != ben[0]);
    assert_eq!(peer.connections(), 3);
}

#[tokio::test]
async fn a_body_has_its_limit_whatever_it_claims() {
    let long = "a".repeat(100_000);
    let peer = Peer::start("127.0.0.1", move |request, _| match request.path() {
        "/claimed" => answer("200 OK", &long),
        "/lied" => Reply::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nshort".to_vec()),
        _ => Reply::Hang(
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n", long.len()).into_bytes(),
        ),
    })
    .await;
    for path in ["/claimed", "/lied", "/chunked"] {
        let mut request = exact(&peer.url(path));
        request.max_body_bytes = 1000;
        assert_eq!(error(&outbound(), request).await, OutboundError::TooLong { limit_bytes: 1000 }, "{path}");
    }
    for path in ["/claimed", "/chunked"] {
        let mut request = exact(&peer.url(path));
        request.max_body_bytes = 1000;
        let (body, cut) = outbound().send(request).await.unwrap().bytes_cut().await.unwrap();
        assert_eq!((body.len(), cut), (1000, true), "{path}");
    }
    let mut request = exact(&peer.url("/claimed"));
    request.max_body_bytes = 100_000;
    assert!(!outbound().send(request).await.unwrap().bytes_cut().await.unwrap().1);
}

#[tokio::test]
async fn what_is_compressed_is_not_unpacked() {
    let bomb = b"HTTP/1.1 200 OK\r\ncontent-encoding: GZIP\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00".to_vec();
    let peer = Peer::start("127.0.0.1", move |_, _| Reply::Go(bomb.clone())).await;
    assert!(matches!(error(&outbound(), exact(&peer.url("/"))).await, OutboundError::Malformed { .. }));
}

#[tokio::test]
async fn an_answer_that_is_cut_garbled_or_endless_is_an_error_that_says_it_may_have_arrived() {
    let headers: String = (0..10_000).map(|number| format!("x-{number}: {}\r\n", "a".repeat(50))).collect();
    let many: String = (0..200).map(|number| format!("x-{number}: a\r\n")).collect();
    let big = format!("x-big: {}\r\n", "a".repeat(70_000));
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("cut", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".to_vec()),
        ("cut in a chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nshort".to_vec()),
        ("no chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec()),
        ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec()),
        ("negative", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".to_vec()),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ("nothing", Vec::new()),
        ("too many headers", format!("HTTP/1.1 200 OK\r\n{many}\r\n").into_bytes()),
        ("flood", format!("HTTP/1.1 200 OK\r\n{headers}\r\n").into_bytes()),
        ("one big header", format!("HTTP/1.1 200 OK\r\n{big}content-length: 0\r\n\r\n").into_bytes()),
    ];
    for (name, bytes) in broken {
        let peer = Peer::start("127.0.0.1", move |_, _| Reply::Close(bytes.clone())).await;
        let failed = error(&outbound(), exact(&peer.url("/"))).await;
        assert!(matches!(failed, OutboundError::Lost { .. } | OutboundError::Malformed { .. }), "{name}: {failed:?}");
        assert_eq!((failed.arrival(), peer.seen().len()), (Arrival::Unknown, 1), "{name}: asked once");
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_each_limit() {
    let peer = Peer::start("127.0.0.1", |request, _| match request.path() {
        "/silent" => Reply::Hang(Vec::new()),
        "/stands" => Reply::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nslow".to_vec()),
        _ => Reply::Drip(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
    })
    .await;
    let (short, long) = (Millis(60), Millis::from_secs(60));
    let usual = Timeouts { connect_ms: long, first_byte_ms: long, idle_ms: long, total_ms: long };
    // A connection may take its time and the answer its own: only both together can be seen from outside.
    let cases = [
        ("/silent", Timeouts { connect_ms: Millis(0), first_byte_ms: short, ..usual }, Phase::FirstByte),
        ("/silent", Timeouts { total_ms: short, ..usual }, Phase::Total),
        ("/stands", Timeouts { idle_ms: short, ..usual }, Phase::Body),
        ("/stands", Timeouts { total_ms: short, ..usual }, Phase::Total),
        ("/drips", Timeouts { total_ms: short, ..usual }, Phase::Total),
    ];
    for (path, timeouts, expected) in cases {
        let mut request = exact(&peer.url(path));
        request.timeouts = timeouts;
        request.timeouts.connect_ms = request.timeouts.connect_ms.max(Millis(50));
        let failed = error(&outbound(), request).await;
        assert!(matches!(failed, OutboundError::TimedOut { phase, .. } if phase == expected), "{path}: {failed:?}");
        assert_eq!(failed.arrival(), Arrival::Unknown);
    }
}

#[tokio::test]
async fn a_closed_port_was_never_reached() {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", "")).await;
    let url = peer.url("/");
    drop(peer);
    let failed = error(&outbound(), exact(&url)).await;
    assert!(matches!(failed, OutboundError::Unreachable { .. }), "{failed:?}");
    assert_eq!(failed.arrival(), Arrival::Never);
}

#[tokio::test]
async fn requests_under_way_are_counted_until_their_bodies_are_let_go() {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", "hello")).await;
    let outbound = Outbound::new(Options { max_requests: 1, ..Options::default() });
    let held = outbound.send(exact(&peer.url("/"))).await.unwrap();
    assert_eq!(error(&outbound, exact(&peer.url("/"))).await, OutboundError::Busy(1));
    drop(held);
    assert!(outbound.send(exact(&peer.url("/"))).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_with_the_field_named() {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", "hello")).await;
    let url = peer.url("/");
    let wrong = [
        exact(&url).header("x-note", "a\r\nx-evil: b"),
        exact(&url).header("x evil", "a"),
        exact(&url).header("Host", "inside"),
        exact(&url).header("Transfer-Encoding", "chunked"),
        exact(&url).header("x-much", "a".repeat(40_000)),
        exact(&url).credential(Credential::bearer(&secret("a\r\nb"))),
        exact(&url).credential(Credential::Cookie { name: "sid".into(), value: secret("a; admin=1") }),
    ];
    for request in wrong {
        let failed = error(&outbound(), request).await;
        assert!(matches!(failed, OutboundError::Invalid(_)), "{failed:?}");
        assert!(!failed.to_string().contains(['\r', '\n']), "{failed:?}");
    }
    assert_eq!(peer.connections(), 0);
    let shown = format!("{:?}", exact(&format!("{url}?key=hunter2")).header("x-key", "hunter2"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

/// Knows one token, and what servers said.
#[derive(Default)]
struct OneToken(Mutex<String>);

impl Proofs for OneToken {
    fn proof(&self, shown: Shown<'_>) -> Option<Result<String, String>> {
        let Shown { token, method, url } = shown;
        let word = self.0.lock().unwrap().clone();
        (token == "bound").then(|| Ok(format!("proof:{method}:{}:{word}", url.rsplit('/').next().unwrap())))
    }

    fn learn(&self, _: &str, nonce: &str) {
        *self.0.lock().unwrap() = nonce.to_owned();
    }
}

fn proving() -> Outbound {
    Outbound::new(Options { proofs: Some(Arc::new(OneToken::default())), ..Options::default() })
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_goes_with_a_proof_and_another_one_as_it_is() {
    let peer = Peer::start("127.0.0.1", |_, _| answer("200 OK", "hello")).await;
    let outbound = proving();
    for token in ["bound", "free"] {
        let request = exact(&peer.url("/a")).credential(Credential::bearer(&secret(token)));
        outbound.send(request).await.unwrap().bytes().await.unwrap();
    }
    outbound.send(exact(&peer.url("/a"))).await.unwrap().bytes().await.unwrap();
    let seen: Vec<String> = peer.seen().iter().map(|one| one.head.clone()).collect();
    assert!(
        seen[0].contains("authorization: DPoP bound\r\n") && seen[0].contains("dpop: proof:GET:a:\r\n"),
        "{seen:?}"
    );
    assert!(seen[1].contains("authorization: Bearer free\r\n") && !seen[1].contains("dpop"), "{seen:?}");
    assert!(!seen[2].contains("authorization") && !seen[2].contains("dpop"), "{seen:?}");
}

#[tokio::test]
async fn a_proof_gets_the_word_that_the_server_wants_once_and_a_request_without_proof_is_never_repeated() {
    // It never is content: who repeated for ever would never come back.
    let challenge = "401 Unauthorized\r\nwww-authenticate: DPoP error=\"use_dpop_nonce\"\r\ndpop-nonce: word-1";
    let peer = Peer::start("127.0.0.1", move |_, _| answer(challenge, "no")).await;
    let outbound = proving();
    let request = exact(&peer.url("/a")).credential(Credential::bearer(&secret("bound")));
    assert_eq!(outbound.send(request).await.unwrap().status(), 401);
    let heads: Vec<String> = peer.seen().iter().map(|one| one.head.clone()).collect();
    assert_eq!(heads.len(), 2);
    assert!(
        heads[0].contains("dpop: proof:GET:a:\r\n") && heads[1].contains("dpop: proof:GET:a:word-1\r\n"),
        "{heads:?}"
    );
    let request = exact(&peer.url("/a")).credential(Credential::bearer(&secret("free")));
    assert_eq!(outbound.send(request).await.unwrap().status(), 401);
    assert_eq!(peer.seen().len(), 3);
}

#[tokio::test]
async fn a_redirect_within_a_server_takes_a_proof_of_its_own() {
    let peer = Peer::start("127.0.0.1", |seen, _| match seen.path() {
        "/a" => answer("302 Found\r\nlocation: /b", ""),
        _ => answer("200 OK", "hello"),
    });
    let peer = peer.await;
    let mut request = exact(&peer.url("/a")).credential(Credential::bearer(&secret("bound")));
    request.redirects = Redirects::SameOrigin;
    assert_eq!(proving().send(request).await.unwrap().status(), 200);
    let heads: Vec<String> = peer.seen().iter().map(|one| one.head.clone()).collect();
    assert!(heads[0].contains("dpop: proof:GET:a:") && heads[1].contains("dpop: proof:GET:b:"), "{heads:?}");
}
