//! What `model test` finds out.

use super::{ASKED, Heard as Live, NOW, options, remote};
use crate::{Feature, Heard, ProbeReport, ProviderKind, Verdict, probe, remote::Provider};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_gate::Delta;
use bailiwick_ports::ModelCard;
use bailiwick_testkit::{
    clock::ManualClock,
    model_server::{Answer, Behaviour, ModelServer, Seen},
};

fn card(scripted: bool) -> ModelCard {
    ModelCard {
        name: "main".into(),
        provider: "openai-chat".into(),
        model: "served-model".into(),
        context_tokens: 128_000,
        max_output_tokens: None,
        scripted,
        prices: None,
        residency: bailiwick_ports::Residency::Outside,
        clearance: Vec::new(),
    }
}

async fn probed(kind: ProviderKind, script: impl Fn(&Seen) -> Behaviour + Send + Sync + 'static) -> ProbeReport {
    let server = ModelServer::start(script).await;
    let provider = remote(&options(kind, &server.base_url()), &ManualClock::new(NOW));
    probe(&card(false), async |request| {
        let (live, _stopper, heard) = Live::live();
        let answer = provider.call(&request, ASKED, &live).await?;
        let text_deltas = heard.deltas().iter().filter(|delta| matches!(delta, Delta::Text { .. })).count();
        Ok(Heard { answer, text_deltas: text_deltas as u32 })
    })
    .await
}

fn verdicts(report: &ProbeReport) -> Vec<(Feature, Verdict)> {
    report.findings.iter().map(|finding| (finding.feature, finding.verdict)).collect()
}

#[tokio::test]
async fn a_capable_model_is_told_to_be_one() {
    for kind in [ProviderKind::OpenAiResponses, ProviderKind::OpenAiChat] {
        let report = probed(kind, |seen| match seen.user.as_str() {
            text if text.contains("Oslo") => {
                Answer::call("get_weather", r#"{"city":"Paris"}"#).and_call("get_weather", r#"{"city":"Oslo"}"#).into()
            }
            text if text.contains("Paris") => Behaviour::call("get_weather", r#"{"city":"Paris"}"#),
            text if text.contains("invoice") => Behaviour::text(r#"{"number":"A-17","amount":12}"#),
            text if text.contains("colour") => Behaviour::text("Red."),
            _ => Behaviour::text("one, two, three"),
        })
        .await;
        assert!(report.findings.iter().all(|finding| finding.verdict == Verdict::Yes), "{report:#?}");
        assert_eq!((report.findings.len(), report.calls, report.usage.input), (5, 5, 500));
        assert_eq!(report.answered_by.as_deref(), Some("served-model-2026"));
    }
}

#[tokio::test]
async fn a_model_that_only_talks_is_told_to_do_no_more() {
    let report = probed(ProviderKind::OpenAiChat, |_| Behaviour::text("Hello")).await;
    let no = |feature| (feature, Verdict::No);
    use Feature::*;
    assert_eq!(verdicts(&report), [no(Streaming), no(Tools), no(ParallelTools), no(StructuredOutput), no(Images)]);
    assert_eq!(report.findings[1].note, "it called no tool and said `Hello`");
}

#[tokio::test]
async fn a_call_that_fails_is_told_with_its_reason() {
    let report = probe(&card(false), async |_| Err(Failure::new(FailureCode::AuthenticationFailed, "no key"))).await;
    assert!(report.findings.iter().all(|finding| finding.verdict == Verdict::Failed && finding.note == "no key"));
}

#[tokio::test]
async fn a_scripted_model_is_not_asked() {
    let report = probe(&card(true), async |_| panic!("it was called")).await;
    assert!(report.scripted && report.findings.is_empty());
}
