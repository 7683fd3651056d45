//! What a call may have to be paid for, beyond its answer: attempts that broke after they were sent.

use super::{ACTION, NOW, options, remote, request, user};
use crate::{
    attempts::Attempts,
    options::{ModelOptions, ProviderKind},
    remote::{Asked, Provider as _},
};
use bailiwick_core::{Failure, FailureCode, Lost, ModelAnswer, Prices};
use bailiwick_gate::Live;
use bailiwick_testkit::{
    clock::ManualClock,
    model_server::{Answer, Behaviour, ModelServer},
};
use bailiwick_types::{Millis, Money, Principal};

const BOTH: [ProviderKind; 2] = [ProviderKind::OpenAiResponses, ProviderKind::OpenAiChat];
const CUT: &str = "Half of a thing";

fn priced(kind: ProviderKind, base_url: &str) -> ModelOptions {
    let price = Money::from_micros(1_000_000);
    let prices = Prices { version: 1, input: price, cached_input: None, output: price };
    ModelOptions { prices: Some(prices), ..options(kind, base_url) }
}

async fn ask(options: &ModelOptions) -> (Result<ModelAnswer, Failure>, Option<Lost>) {
    let attempts = Attempts::default();
    let asked = Asked { action: ACTION, by: &Principal::Operator, key: None, attempts: Some(&attempts) };
    let provider = remote(options, &ManualClock::skipping(NOW, Millis::from_secs(100)));
    let answer = provider.call(&request(vec![user("Hello")]), asked, &Live::unwatched()).await;
    (answer, attempts.account())
}

/// First `first` so many times, then an answer.
async fn serve(first: Behaviour, times: u64) -> ModelServer {
    let script = move |seen: &bailiwick_testkit::model_server::Seen| match seen.number < times {
        true => first.clone(),
        false => Behaviour::text("All is well."),
    };
    ModelServer::start(script).await
}

#[tokio::test]
async fn an_attempt_that_broke_is_counted_as_far_as_it_was_heard() {
    let heard = |output_tokens| Lost { heard: 1, output_tokens, unheard: 0 };
    for kind in BOTH {
        for (first, lost) in [
            (Behaviour::Cut(Answer::text(CUT)), heard(CUT.len() as u64)),
            (Behaviour::server_error(), heard(0)),
            (Behaviour::garbage(), Lost { unheard: 1, ..Lost::default() }),
            (Behaviour::rate_limited(Some(1)), Lost::default()),
        ] {
            let server = serve(first.clone(), 1).await;
            let (answer, counted) = ask(&priced(kind, &server.base_url())).await;
            assert!(answer.is_ok(), "{first:?}: {answer:?}");
            assert_eq!((counted, server.count()), (Some(lost), 2), "{first:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_never_stood_costs_nothing() {
    let options = ModelOptions { retries: 1, ..priced(ProviderKind::OpenAiChat, "http://127.0.0.1:1/v1") };
    let (answer, counted) = ask(&options).await;
    assert_eq!(answer.unwrap_err().code, FailureCode::ConnectionFailed);
    assert_eq!(counted, Some(Lost::default()));
}

#[tokio::test]
async fn retries_stop_where_what_is_held_covers_no_more() {
    for kind in BOTH {
        for (paid_retries, tries) in [(0, 1), (1, 2), (2, 3)] {
            let server = serve(Behaviour::Cut(Answer::text(CUT)), u64::MAX).await;
            let options = ModelOptions { paid_retries, ..priced(kind, &server.base_url()) };
            let (answer, counted) = ask(&options).await;
            assert_eq!(answer.unwrap_err().code, FailureCode::StreamCut);
            assert_eq!((server.count(), counted.unwrap().attempts()), (tries, options.paid_attempts()));
        }
        // A refusal is free, and is tried again as often as configured; so is everything of a model without prices.
        let server = serve(Behaviour::rate_limited(Some(1)), u64::MAX).await;
        let (_, counted) = ask(&ModelOptions { retries: 3, ..priced(kind, &server.base_url()) }).await;
        assert_eq!((server.count(), counted), (4, Some(Lost::default())));
        let server = serve(Behaviour::Cut(Answer::text(CUT)), u64::MAX).await;
        let (_, counted) = ask(&ModelOptions { retries: 3, ..options(kind, &server.base_url()) }).await;
        assert_eq!((server.count(), counted.unwrap().heard), (4, 4));
    }
}
