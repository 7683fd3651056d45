//! Both dialects against a real HTTP server that answers, fails, stalls and cuts, with a clock in the test's hands.

use super::{ACTION, ASKED, Heard, KEY, NOW, options, remote, request, user};
use crate::{
    mark::Told,
    options::{ModelOptions, ProviderKind},
    remote::{Asked, Provider, Remote},
};
use bailiwick_core::{EntryBody, Failure, FailureCode, ModelAnswer, ModelRequest, Native, Phase, Stop, ToolSpec};
use bailiwick_gate::Live;
use bailiwick_ports::Clock as _;
use bailiwick_testkit::{
    clock::ManualClock,
    model_server::{Answer, Behaviour, Finish, Kept, ModelServer, Seen},
};
use bailiwick_types::{AgentId, ItemId, Millis, Principal, SessionId, TokenUsage, UserId};
use std::{future::Future, sync::Arc};

const BOTH: [ProviderKind; 2] = [ProviderKind::OpenAiResponses, ProviderKind::OpenAiChat];

/// Pauses between retries go by themselves; time-outs, which are longer, do not.
fn clock() -> ManualClock {
    ManualClock::skipping(NOW, Millis::from_secs(100))
}

async fn serve(script: impl Fn(&Seen) -> Behaviour + Send + Sync + 'static) -> ModelServer {
    ModelServer::start(script).await
}

/// First `first`, then an answer.
async fn serve_then_answer(first: Behaviour) -> ModelServer {
    serve(move |seen| if seen.number == 0 { first.clone() } else { Behaviour::text("All is well.") }).await
}

async fn ask(provider: &Remote, live: &Live) -> Result<ModelAnswer, Failure> {
    provider.call(&request(vec![user("Hello")]), ASKED, live).await
}

/// Asks once, with the options as they are.
async fn once(options: &ModelOptions) -> Result<ModelAnswer, Failure> {
    ask(&remote(options, &clock()), &Live::unwatched()).await
}

fn said(answer: &ModelAnswer) -> &str {
    answer
        .entries
        .iter()
        .find_map(|entry| match &entry.body {
            EntryBody::Assistant { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .unwrap_or_default()
}

#[tokio::test]
async fn an_answer_is_streamed_and_whole() {
    for kind in BOTH {
        let server = serve(|_| {
            let answer =
                Answer::text("I will look.").and_call("get_weather", r#"{"city":"Paris"}"#).and_call("now", "{}");
            Answer { reasoning: Some("A tool is best.".to_owned()), ..answer }.into()
        })
        .await;
        let provider = remote(&options(kind, &server.base_url()), &clock());
        let (live, _stopper, heard) = Heard::live();
        let mut asked = request(vec![user("Weather?")]);
        asked.tools =
            Arc::new([ToolSpec { name: "now".into(), description: "".into(), parameters: serde_json::json!({}) }]);
        let answer = provider.call(&asked, ASKED, &live).await.unwrap();

        let bodies: Vec<&EntryBody> = answer.entries.iter().map(|entry| &entry.body).collect();
        let [
            EntryBody::Reasoning { summary },
            EntryBody::Assistant { text, phase },
            EntryBody::ToolCall { name, arguments, .. },
            EntryBody::ToolCall { .. },
        ] = bodies[..]
        else {
            panic!("{kind:?}: {bodies:?}");
        };
        assert_eq!(
            (summary.concat().as_str(), text.as_str(), *phase),
            ("A tool is best.", "I will look.", Some(Phase::Commentary))
        );
        assert_eq!((name.as_str(), arguments.as_str()), ("get_weather", r#"{"city":"Paris"}"#));
        for (index, entry) in answer.entries.iter().enumerate() {
            assert_eq!(entry.id, ItemId::of_output(ACTION, index as u16));
        }
        assert_eq!(answer.usage, TokenUsage { input: 100, cached_input: 40, output: 20, reasoning_output: 5 });
        assert_eq!((answer.provider_model.as_str(), answer.stop), ("served-model-2026", Stop::Completed));
        assert!(answer.response_id.is_some() && !answer.scripted);
        assert_eq!(heard.text(), "I will look.");
        assert_eq!(heard.deltas().len(), 7, "every word of both texts came by itself");

        let kept = server.kept();
        assert_eq!(kept[0].headers["authorization"], format!("Bearer {KEY}"));
        assert_eq!(kept[0].headers["x-client-request-id"], ACTION.to_string());
        assert_eq!(kept[0].headers["user-agent"], concat!("bailiwick/", env!("CARGO_PKG_VERSION"), " (operator)"));
        assert_eq!((kept[0].seen.user.as_str(), &kept[0].seen.tools[..]), ("Weather?", &["now".to_owned()][..]));
    }
}

#[tokio::test]
async fn limits_and_filters_end_an_answer_and_are_told() {
    for kind in BOTH {
        for (finish, stop) in
            [(Finish::MaxOutputTokens, Stop::MaxOutputTokens), (Finish::ContentFilter, Stop::ContentFilter)]
        {
            let server = serve(move |_| Answer { finish, ..Answer::text("One, two") }.into()).await;
            let answer = once(&options(kind, &server.base_url())).await.unwrap();
            assert_eq!((answer.stop, said(&answer)), (stop, "One, two"));
        }
    }
}

#[tokio::test]
async fn calls_share_a_connection() {
    for kind in BOTH {
        let server = serve(|_| Behaviour::text("Hi")).await;
        let provider = remote(&options(kind, &server.base_url()), &ManualClock::new(NOW));
        for _ in 0..3 {
            ask(&provider, &Live::unwatched()).await.unwrap();
        }
        let kept = server.kept();
        assert!(kept.iter().all(|one| one.peer == kept[0].peer), "{kind:?} opens a connection for each call");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for kind in BOTH {
        for first in [
            Behaviour::rate_limited(None),
            Behaviour::server_error(),
            Behaviour::error(503, "overloaded", "busy"),
            Behaviour::error(529, "overloaded_error", "busy"),
            Behaviour::error(408, "timeout", "slow"),
            Behaviour::events("data: {\"error\":{\"code\":\"server_error\",\"message\":\"oops\"}}\n\n"),
            Behaviour::events(""),
            Behaviour::garbage(),
        ] {
            let server = serve_then_answer(first.clone()).await;
            let answer = once(&options(kind, &server.base_url())).await;
            assert_eq!(answer.as_ref().map(said), Ok("All is well."), "{kind:?} after {first:?}");
            assert_eq!(server.count(), 2);
        }
    }
}

#[tokio::test]
async fn the_time_that_the_provider_asks_for_is_kept() {
    for kind in BOTH {
        let server = serve_then_answer(Behaviour::rate_limited(Some(7))).await;
        let clock = clock();
        ask(&remote(&options(kind, &server.base_url()), &clock), &Live::unwatched()).await.unwrap();
        let waited = clock.now().since(NOW);
        assert!((7000..=8400).contains(&waited.0), "waited {} ms", waited.0);
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_fails_at_once_and_is_told() {
    for kind in BOTH {
        let server = serve(|_| Behaviour::rate_limited(Some(3600))).await;
        let failure = once(&options(kind, &server.base_url())).await.unwrap_err();
        assert_eq!((failure.code, server.count()), (FailureCode::RateLimited, 1));
        assert!(failure.message.contains("asks to wait 3600 s"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_cut_stream_is_tried_again_and_what_was_streamed_is_taken_back() {
    for kind in BOTH {
        let server = serve_then_answer(Behaviour::Cut(Answer::text("Half of a thing"))).await;
        let (live, _stopper, heard) = Heard::live();
        let answer = ask(&remote(&options(kind, &server.base_url()), &clock()), &live).await.unwrap();
        assert_eq!((said(&answer), heard.text().as_str(), heard.restarts()), ("All is well.", "All is well.", 1));
    }
}

#[tokio::test]
async fn nothing_is_taken_back_where_nothing_was_streamed() {
    for kind in BOTH {
        let server = serve_then_answer(Behaviour::server_error()).await;
        let (live, _stopper, heard) = Heard::live();
        ask(&remote(&options(kind, &server.base_url()), &clock()), &live).await.unwrap();
        assert_eq!(heard.restarts(), 0);
    }
}

#[tokio::test]
async fn retries_have_a_budget() {
    for kind in BOTH {
        let server = serve(|_| Behaviour::server_error()).await;
        let options = ModelOptions { retries: 3, ..options(kind, &server.base_url()) };
        let failure = once(&options).await.unwrap_err();
        assert_eq!((failure.code, server.count()), (FailureCode::ServerError, 4));
        assert!(failure.message.contains("tried 4 times") && failure.message.contains("500"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_malformed_answer_is_tried_again_once() {
    for kind in BOTH {
        for (behaviour, part) in [
            (Behaviour::garbage(), "not as expected"),
            (Behaviour::huge_line(17 << 20), "longer than 16 MiB"),
            (
                Behaviour::Raw { content_type: "text/html", body: "<html>".into() },
                "`text/html` in place of an event stream",
            ),
            (
                Behaviour::Raw { content_type: "text/event-stream", body: b"data: \xff\n\n".as_slice().into() },
                "not UTF-8",
            ),
        ] {
            let server = serve(move |_| behaviour.clone()).await;
            let failure = once(&options(kind, &server.base_url())).await.unwrap_err();
            assert_eq!((failure.code, server.count()), (FailureCode::MalformedAnswer, 2), "{}", failure.message);
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }
}

#[tokio::test]
async fn what_cannot_pass_is_not_tried_again_and_says_what_to_do() {
    use FailureCode::*;
    for kind in BOTH {
        for (behaviour, code, part) in [
            (
                Behaviour::error(400, "invalid_request_error", "Unknown parameter: 'x'"),
                InvalidRequest,
                "Unknown parameter: 'x'",
            ),
            (
                Behaviour::error(401, "invalid_api_key", "Incorrect API key: sk-test-1***"),
                AuthenticationFailed,
                "`MAIN_KEY`",
            ),
            (Behaviour::error(403, "permission_denied", "No"), AuthenticationFailed, "`MAIN_KEY`"),
            (Behaviour::error(404, "model_not_found", "No such model"), UnknownModel, "`served-model`"),
            (Behaviour::context_overflow(), ContextOverflow, "Lower `context_tokens`"),
            (Behaviour::content_filter(), ContentFilter, "Change the input"),
            (Behaviour::error(429, "insufficient_quota", "Pay"), RateLimited, "quota"),
            (
                Behaviour::Status {
                    status: 307,
                    headers: vec![("location", "/v1/elsewhere".into())],
                    body: String::new(),
                },
                InvalidRequest,
                "final address",
            ),
            (
                Behaviour::Raw {
                    content_type: "application/json",
                    body: r#"{"error":{"code":"content_filter","message":"no"}}"#.into(),
                },
                ContentFilter,
                "Change the input",
            ),
        ] {
            let server = serve(move |_| behaviour.clone()).await;
            let failure = once(&options(kind, &server.base_url())).await.unwrap_err();
            assert_eq!((failure.code, server.count()), (code, 1), "{}", failure.message);
            assert!(failure.message.contains(part), "{}", failure.message);
            assert!(
                failure.message.starts_with("model `main`: ") && !failure.message.contains("sk-test"),
                "{}",
                failure.message
            );
        }
    }
}

#[tokio::test]
async fn the_key_is_in_no_message_whatever_the_provider_says() {
    for kind in BOTH {
        let server =
            serve(|_| Behaviour::error(400, "bad", &format!("your key {KEY} is\n\u{1b}[31mbad {}", "x".repeat(5000))))
                .await;
        let failure = once(&options(kind, &server.base_url())).await.unwrap_err();
        assert!(failure.message.contains("your key [redacted] is [31mbad"), "{}", failure.message);
        assert!(!failure.message.contains(KEY) && failure.message.len() < 1000, "{}", failure.message);
    }
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_given_up() {
    for kind in BOTH {
        let server = serve(|_| Behaviour::Silence).await;
        let clock = clock();
        let provider = remote(&ModelOptions { retries: 1, ..options(kind, &server.base_url()) }, &clock);
        let live = Live::unwatched();
        let times = async {
            for attempt in 1..=2 {
                server.wait_for(attempt).await;
                clock.step().await;
            }
        };
        let (answer, ()) = tokio::join!(ask(&provider, &live), times);
        let failure = answer.unwrap_err();
        assert_eq!(failure.code, FailureCode::FirstByteTimeout);
        assert!(failure.message.contains("within 180 s (tried 2 times)"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_stalled_stream_is_tried_again() {
    for kind in BOTH {
        let server = serve_then_answer(Behaviour::Stall(Answer::text("Wait a"))).await;
        let clock = clock();
        let options = options(kind, &server.base_url());
        let provider = remote(&options, &clock);
        let (live, _stopper, heard) = Heard::live();
        let time = async {
            heard.wait_for(2).await;
            clock.advance(options.timeouts.stall_ms);
        };
        let (answer, ()) = tokio::join!(ask(&provider, &live), time);
        assert_eq!((said(&answer.unwrap()), heard.restarts()), ("All is well.", 1));
    }
}

#[tokio::test]
async fn a_stall_without_retries_left_is_told() {
    for kind in BOTH {
        let server = serve(|_| Behaviour::Stall(Answer::text("Wait a"))).await;
        let clock = clock();
        let options = ModelOptions { retries: 0, ..options(kind, &server.base_url()) };
        let provider = remote(&options, &clock);
        let (live, _stopper, heard) = Heard::live();
        let time = async {
            heard.wait_for(2).await;
            clock.advance(options.timeouts.stall_ms);
        };
        let failure = tokio::join!(ask(&provider, &live), time).0.unwrap_err();
        assert_eq!(failure.code, FailureCode::StreamStalled);
        assert!(failure.message.contains("silent for 300 s"), "{}", failure.message);
    }
}

#[tokio::test]
async fn the_whole_call_has_a_limit() {
    for kind in BOTH {
        let server = serve(|_| Behaviour::Silence).await;
        let clock = ManualClock::new(NOW);
        let mut options = options(kind, &server.base_url());
        options.timeouts.total_ms = Millis::from_secs(60);
        let provider = remote(&options, &clock);
        let live = Live::unwatched();
        let time = async {
            server.wait_for(1).await;
            clock.advance(Millis::from_secs(60));
        };
        let failure = tokio::join!(ask(&provider, &live), time).0.unwrap_err();
        assert!(failure.message.contains("not done after 60 s"), "{}", failure.message);
    }
}

#[tokio::test]
async fn no_retry_is_begun_that_could_not_end_in_time() {
    for kind in BOTH {
        let server = serve(|_| Behaviour::rate_limited(Some(30))).await;
        let mut options = options(kind, &server.base_url());
        options.timeouts.total_ms = Millis::from_secs(20);
        // The limit of the call is longer than any skipped sleep here.
        let clock = ManualClock::new(NOW);
        let failure = ask(&remote(&options, &clock), &Live::unwatched()).await.unwrap_err();
        assert_eq!((failure.code, server.count(), clock.now()), (FailureCode::RateLimited, 1, NOW));
    }
}

/// Runs a call that `when` cancels.
async fn cancelled(
    provider: &Remote,
    when: impl Future<Output = ()>,
    live: Live,
    stop: bailiwick_gate::Stopper,
) -> Failure {
    let stopping = async {
        when.await;
        stop.stop();
    };
    tokio::join!(ask(provider, &live), stopping).0.unwrap_err()
}

#[tokio::test]
async fn a_call_can_be_cancelled_at_any_time() {
    for kind in BOTH {
        let silent = serve(|_| Behaviour::Silence).await;
        let stalled = serve(|_| Behaviour::Stall(Answer::text("Wait a"))).await;
        let limited = serve(|_| Behaviour::rate_limited(Some(50))).await;
        let clock = ManualClock::new(NOW);

        let (live, stopper, _) = Heard::live();
        stopper.stop();
        let provider = remote(&options(kind, &silent.base_url()), &clock);
        let failure = ask(&provider, &live).await.unwrap_err();
        assert_eq!((failure.code, silent.count()), (FailureCode::Cancelled, 0), "before it begins");

        let (live, stopper, _) = Heard::live();
        let failure = cancelled(&provider, silent.wait_for(1), live, stopper).await;
        assert_eq!(failure.code, FailureCode::Cancelled, "while it waits for an answer");

        let (live, stopper, heard) = Heard::live();
        let provider = remote(&options(kind, &stalled.base_url()), &clock);
        let failure = cancelled(&provider, heard.wait_for(2), live, stopper).await;
        assert_eq!(failure.code, FailureCode::Cancelled, "in the middle of an answer");

        let (live, stopper, _) = Heard::live();
        let provider = remote(&options(kind, &limited.base_url()), &clock);
        let pausing = async {
            while clock.next_wake().await.since(NOW) > Millis::from_secs(60) {
                tokio::task::yield_now().await;
            }
        };
        let failure = cancelled(&provider, pausing, live, stopper).await;
        assert_eq!(failure.code, FailureCode::Cancelled, "in a pause between retries");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for kind in BOTH {
        let base_url = format!("http://{free}/v1");
        let failure = once(&ModelOptions { retries: 2, ..options(kind, &base_url) }).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::ConnectionFailed);
        assert!(
            failure.message.contains(&format!("no connection to {base_url}: Connection refused")),
            "{}",
            failure.message
        );
        assert!(failure.message.contains("tried 3 times"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_a_failed_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    for kind in BOTH {
        let options = ModelOptions { retries: 1, ..options(kind, &base_url) };
        let (provider, live) = (remote(&options, &clock()), Live::unwatched());
        let failure = tokio::select! {
            answer = ask(&provider, &live) => answer.unwrap_err(),
            () = hang_up(&listener) => unreachable!(),
        };
        assert_eq!(failure.code, FailureCode::ConnectionFailed, "{}", failure.message);
    }
}

async fn hang_up(listener: &tokio::net::TcpListener) {
    loop {
        drop(listener.accept().await.unwrap());
    }
}

#[tokio::test]
async fn a_connection_that_never_stands_is_given_up() {
    // A listener whose queue is full drops what comes, so that a connection neither stands nor is refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _waiting = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut options = ModelOptions { retries: 0, ..options(ProviderKind::OpenAiChat, &format!("http://{address}/v1")) };
    options.timeouts.connect_ms = Millis(50);
    let failure = once(&options).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::ConnectionFailed);
    assert!(failure.message.contains("did not stand after 0.05 s"), "{}", failure.message);
}

#[tokio::test]
async fn a_proxy_is_used_where_one_is_configured() {
    for kind in BOTH {
        let server = serve(|_| Behaviour::text("Through the proxy.")).await;
        let proxy = server.base_url().trim_end_matches("/v1").to_owned();
        let options = ModelOptions { proxy: Some(proxy), ..options(kind, "http://model.invalid/v1") };
        let answer = once(&options).await.unwrap();
        assert_eq!(
            (said(&answer), &server.kept()[0].headers["host"]),
            ("Through the proxy.", &"model.invalid".parse().unwrap())
        );
    }
}

/// What one call, and another after it, sent to a server that refuses the first request with these words.
async fn conceded(kind: ProviderKind, said: &'static str, request: ModelRequest) -> Vec<serde_json::Value> {
    let server = serve_then_answer(Behaviour::error(400, "invalid_request_error", said)).await;
    let options = ModelOptions { retries: 0, max_output_tokens: Some(9), ..options(kind, &server.base_url()) };
    let provider = remote(&options, &ManualClock::new(NOW));
    let mut request = request;
    for entry in &mut request.input {
        if let Some(native) = &mut Arc::make_mut(entry).native {
            native.origin = Arc::clone(&provider.endpoint.origin);
        }
    }
    for _ in 0..2 {
        provider.call(&request, ASKED, &Live::unwatched()).await.unwrap();
    }
    let sent: Vec<_> = server.kept().iter().map(Kept::json).collect();
    assert_eq!(sent.len(), 3);
    sent
}

#[tokio::test]
async fn a_provider_is_told_for_whom_as_much_as_the_card_says_and_never_a_name() {
    let person = Principal::User { id: UserId::new(NOW, [1; 10]) };
    let (id, session) = (AgentId::new(NOW, [2; 10]), SessionId::new(NOW, [3; 10]));
    let by = Principal::Agent { id, session, on_behalf_of: Some(Box::new(person.clone())) };
    let product = concat!("bailiwick/", env!("CARGO_PKG_VERSION"));
    for (mark, told) in [
        (Told::default(), format!("{product} ({person} through {id})")),
        (Told::Agent, format!("{product} ({id})")),
        (Told::Product, product.to_owned()),
    ] {
        let server = serve(|_| Behaviour::text("Yes.")).await;
        let options = ModelOptions { mark, ..options(ProviderKind::OpenAiResponses, &server.base_url()) };
        let asked = Asked { action: ACTION, by: &by, key: None, attempts: None };
        remote(&options, &clock()).call(&request(vec![user("Hello")]), asked, &Live::unwatched()).await.unwrap();
        let sent = &server.kept()[0].headers;
        assert_eq!(sent.get_all("user-agent").iter().collect::<Vec<_>>(), [told.as_str()]);
    }
}

#[tokio::test]
async fn a_model_without_encrypted_reasoning_is_asked_without_it_from_then_on() {
    let said = "Encrypted content is not supported with this model.";
    let sent = conceded(ProviderKind::OpenAiResponses, said, request(vec![user("Hello")])).await;
    let asked: Vec<bool> = sent.iter().map(|body| body.get("include").is_some()).collect();
    assert_eq!(asked, [true, false, false]);
}

#[tokio::test]
async fn reasoning_that_the_server_cannot_read_any_more_is_left_out_of_that_call() {
    let said = "The encrypted content gAAA...ng== could not be verified.";
    let mut asked = request(vec![user("Hello"), EntryBody::Reasoning { summary: vec![] }]);
    let value = serde_json::json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA" });
    Arc::make_mut(&mut asked.input[1]).native = Some(Native { origin: "".into(), value });
    let answer = EntryBody::Assistant { text: "Hi".into(), phase: None };
    asked.input.push(super::entry(2, answer));
    let sent = conceded(ProviderKind::OpenAiResponses, said, asked).await;
    let items: Vec<usize> = sent.iter().map(|body| body["input"].as_array().unwrap().len()).collect();
    assert_eq!(items, [3, 2, 3]);
}

#[tokio::test]
async fn a_server_that_wants_the_newer_name_of_the_output_limit_gets_it_from_then_on() {
    let said =
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    let sent = conceded(ProviderKind::OpenAiChat, said, request(vec![user("Hello")])).await;
    let names: Vec<bool> =
        sent.iter().map(|body| body["max_completion_tokens"] == 9 && body.get("max_tokens").is_none()).collect();
    assert_eq!(names, [false, true, true]);
}

#[tokio::test]
async fn a_server_that_is_never_content_is_not_asked_for_ever() {
    for (kind, said) in [
        (ProviderKind::OpenAiResponses, "Encrypted content is not supported with this model."),
        (ProviderKind::OpenAiChat, "Use 'max_completion_tokens' instead."),
    ] {
        let server = serve(move |_| Behaviour::error(400, "invalid_request_error", said)).await;
        let failure = once(&options(kind, &server.base_url())).await.unwrap_err();
        assert_eq!((failure.code, server.count()), (FailureCode::InvalidRequest, 2));
    }
}
