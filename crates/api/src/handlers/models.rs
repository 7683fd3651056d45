//! The published models.

use super::ok;
use crate::{
    app::Call,
    error::ApiError,
    routes::Answer,
    types::{
        file::{Model, ModelExtras},
        page::Page,
    },
};
use bailiwick_ports::ModelCard;

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    // All fit into one page, whatever page is asked for.
    let after = query.take("after");
    query.take("limit");
    query.finish()?;
    let mut cards = call.app.options.cards.cards();
    cards.sort_by(|a, b| a.name.cmp(&b.name));
    cards.retain(|card| after.as_ref().is_none_or(|after| card.name > *after));
    ok(Page::new(cards.into_iter().map(model).collect(), false, |model: &Model| model.id.clone()))
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let name = call.param("model");
    let card = call.app.options.cards.card(name).ok_or_else(|| ApiError::not_found("model", name))?;
    ok(model(card))
}

fn model(card: ModelCard) -> Model {
    Model {
        id: card.name,
        object: "model",
        // Models are published by the configuration, which knows no time of their making.
        created: 0,
        owned_by: card.provider,
        bailiwick: ModelExtras {
            model: card.model,
            context_tokens: card.context_tokens,
            max_output_tokens: card.max_output_tokens,
            scripted: card.scripted,
        },
    }
}
