//! Tests of the room as a whole. They call providers directly, since only a gate can make a permit; what `Models` adds
//! to a provider is opening the permit and settling it.

#![allow(clippy::disallowed_methods, reason = "tests read and write files and start tasks")]

mod golden;
mod options;
mod paid;
mod probe;
mod rehearsal;
mod remote;

use crate::{
    http::Clients,
    options::{ModelOptions, ProviderKind, Timeouts},
    remote::{Asked, Remote},
};
use bailiwick_core::{
    Content, Entry, EntryBody, ModelRequest,
    model::{Reasoning, TextOptions},
};
use bailiwick_gate::{Delta, Live, Stopper};
use bailiwick_testkit::{clock::ManualClock, random::SeededRandom};
use bailiwick_types::{ActionId, ItemId, Millis, Principal, Secret, Timestamp};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_793_000_000_000);
pub(crate) const ACTION: ActionId = ActionId::new(NOW, [7; 10]);
pub(crate) const ASKED: Asked<'static> = Asked { action: ACTION, by: &Principal::Operator, key: None, attempts: None };
pub(crate) const KEY: &str = "sk-test-1234567890";

/// A model that is served at `base_url`.
pub(crate) fn options(provider: ProviderKind, base_url: &str) -> ModelOptions {
    ModelOptions {
        base_url: Some(base_url.to_owned()),
        model: Some("served-model".to_owned()),
        api_key_env: Some("MAIN_KEY".to_owned()),
        api_key: Some(Secret::new(KEY)),
        timeouts: Timeouts { connect_ms: Millis::from_secs(5), ..Timeouts::default() },
        ..ModelOptions::new(provider)
    }
}

/// The provider of the published name `main`.
pub(crate) fn remote(options: &ModelOptions, clock: &ManualClock) -> Remote {
    Remote {
        endpoint: crate::endpoint::Endpoint::new("main", options).unwrap(),
        dialect: match options.provider {
            ProviderKind::OpenAiResponses => Box::<crate::responses::Responses>::default(),
            _ => Box::new(crate::chat::Chat),
        },
        client: Clients::default().client("main", options).unwrap(),
        clock: Arc::new(clock.clone()),
        random: Arc::new(SeededRandom::new(1)),
        manner: Mutex::default(),
    }
}

pub(crate) fn entry(place: u16, body: EntryBody) -> Arc<Entry> {
    let action = ActionId::new(NOW, [1; 10]);
    Arc::new(Entry { id: ItemId::of_output(action, place), body, native: None })
}

pub(crate) fn user(text: &str) -> EntryBody {
    EntryBody::User { content: vec![Content::text(text)] }
}

pub(crate) fn request(input: Vec<EntryBody>) -> ModelRequest {
    ModelRequest {
        model: "main".to_owned(),
        instructions: String::new(),
        input: input.into_iter().enumerate().map(|(place, body)| entry(place as u16, body)).collect(),
        tools: Arc::new([]),
        parallel_tool_calls: true,
        reasoning: Reasoning::default(),
        text: TextOptions::default(),
        service_tier: "auto".to_owned(),
        max_output_tokens: None,
        cache_key: String::new(),
    }
}

/// Keeps the deltas of a call, and lets a test wait for them.
#[derive(Clone)]
pub(crate) struct Heard {
    deltas: Arc<Mutex<Vec<Delta>>>,
    count: watch::Receiver<usize>,
}

impl Heard {
    pub(crate) fn live() -> (Live, Stopper, Self) {
        let deltas = Arc::new(Mutex::new(Vec::new()));
        let (sender, count) = watch::channel(0);
        let kept = Arc::clone(&deltas);
        let (live, stopper) = Live::new(move |delta| {
            let mut kept = kept.lock().unwrap();
            kept.push(delta);
            sender.send_replace(kept.len());
        });
        (live, stopper, Self { deltas, count })
    }

    pub(crate) fn deltas(&self) -> Vec<Delta> {
        self.deltas.lock().unwrap().clone()
    }

    /// The text that was streamed since the last restart.
    pub(crate) fn text(&self) -> String {
        self.deltas().iter().fold(String::new(), |mut text, delta| {
            match delta {
                Delta::Text { text: more, .. } => text.push_str(more),
                Delta::Restarted => text.clear(),
                _ => {}
            }
            text
        })
    }

    pub(crate) fn restarts(&self) -> usize {
        self.deltas().iter().filter(|delta| **delta == Delta::Restarted).count()
    }

    pub(crate) async fn wait_for(&self, count: usize) {
        self.count.clone().wait_for(|heard| *heard >= count).await.unwrap();
    }
}
