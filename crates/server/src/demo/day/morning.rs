//! The next morning: another session of the same two, which knows what was remembered, and in which the money runs out.

use super::super::{
    cast::{Cast, text},
    money::{self, Stopped},
};
use super::work::show_answer;
use crate::{
    client::Client,
    failure::Outcome,
    terminal::escape,
    watch::{Ending, Screen, Watch},
};
use serde_json::{Value, json};

const TASK: &str = "Good morning. Prepare my nine o'clock.";
const MORE: &str = "And the same for my eleven o'clock.";

/// What the second session told.
#[derive(Debug, Clone)]
pub(super) struct Morning {
    pub session: String,
    pub ending: Ending,
    pub done: Vec<Value>,
    pub stopped: Stopped,
}

impl Morning {
    /// `admin` is whoever keeps the budget.
    pub async fn spend(cast: &Cast, admin: &Client, screen: &mut Screen) -> Outcome<Self> {
        screen.note(format!("\n● Next morning, in another session, {} writes: \"{TASK}\"\n", cast.person.name));
        let client = &cast.employee;
        let session = json!({"agent_id": cast.agent, "environment": {"type": "none"}, "input": TASK});
        let session = text(&client.post("/v1/agents/sessions", &session).await?, "id")?;
        let mut watch = Watch::from_start(client, &session);
        let (mut ending, mut done) = (Ending::default(), Vec::new());
        loop {
            let Some(event) = watch.next().await? else { continue };
            screen.show(&event, std::mem::take(&mut watch.resumed));
            if event.kind() == "agent.session.turn.item.done" {
                show_answer(&event.data["item"], screen);
                done.push(event.data["item"].clone());
            }
            if ending.take_in(&event) {
                break;
            }
        }
        drop(watch);
        if let Some(failure) = ending.failure() {
            screen.note(format!("✗ {}", escape::lines(&failure.message)));
        }
        let stopped = money::run_out(admin, cast, &session, MORE, screen).await?;
        Ok(Self { session, ending, done, stopped })
    }
}
