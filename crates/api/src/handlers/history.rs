//! A session's items and turns.

use super::{ok, sessions};
use crate::{
    app::{App, Call},
    error::ApiError,
    query::{bits, unknown_cursor},
    routes::Answer,
    types::{item::Item, page::Page, turn::Turn},
};
use bailiwick_core::item::TurnView;
use bailiwick_gate::Journal;
use bailiwick_ports::{
    Caller,
    store::{Page as StorePage, RowKind, RowQuery},
};
use bailiwick_types::{ItemId, SessionId, TurnId};
use serde::de::DeserializeOwned;

pub(crate) async fn items(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(ItemId))?;
    query.finish()?;
    let session = call.id("session_id", "session")?;
    let known = sessions::find(&call.app, &call.caller, session).await?;
    list_items(&call, session, &known.journal, None, page).await
}

pub(crate) async fn turn_items(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(ItemId))?;
    query.finish()?;
    let (session, turn) = (call.id("session_id", "session")?, call.id("turn_id", "turn")?);
    let known = sessions::find(&call.app, &call.caller, session).await?;
    find_turn(&call.app, &call.caller, session, turn, &known.journal).await?;
    list_items(&call, session, &known.journal, Some(turn), page).await
}

async fn list_items(
    call: &Call,
    session: SessionId,
    journal: &Journal,
    turn: Option<TurnId>,
    page: StorePage,
) -> Answer {
    let parent = turn.map(TurnId::to_u128);
    let (items, more) = rows::<bailiwick_core::item::Item>(call, session, journal, RowKind::Item, parent, page).await?;
    let items = items.iter().map(Item::of).collect();
    ok(Page::new(items, more, |item: &Item| item.id().to_owned()))
}

pub(crate) async fn turns(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(TurnId))?;
    query.finish()?;
    let session = call.id("session_id", "session")?;
    let known = sessions::find(&call.app, &call.caller, session).await?;
    let (turns, more) = rows::<TurnView>(&call, session, &known.journal, RowKind::Turn, None, page).await?;
    let turns = turns.iter().map(|turn| Turn::of(session, turn)).collect();
    ok(Page::new(turns, more, |turn: &Turn| turn.id.clone()))
}

pub(crate) async fn turn(call: Call) -> Answer {
    call.query()?.finish()?;
    let (session, turn) = (call.id("session_id", "session")?, call.id("turn_id", "turn")?);
    let known = sessions::find(&call.app, &call.caller, session).await?;
    let view = find_turn(&call.app, &call.caller, session, turn, &known.journal).await?;
    ok(Turn::of(session, &view))
}

/// A turn of this very session.
async fn find_turn(
    app: &App,
    caller: &Caller,
    session: SessionId,
    turn: TurnId,
    journal: &Journal,
) -> Result<TurnView, ApiError> {
    let row = app.options.store.row(caller.tenant, RowKind::Turn, turn.to_u128()).await?;
    let row = row.filter(|row| SessionId::from(row.stream) == session);
    let row = row.ok_or_else(|| ApiError::not_found("turn", &turn.to_string()))?;
    Ok(journal.open_row(RowKind::Turn, &row)?)
}

/// One page of a session's rows, opened.
pub(crate) async fn rows<T: DeserializeOwned>(
    call: &Call,
    session: SessionId,
    journal: &Journal,
    kind: RowKind,
    parent: Option<u128>,
    page: StorePage,
) -> Result<(Vec<T>, bool), ApiError> {
    let query = RowQuery {
        tenant: call.caller.tenant,
        kind,
        scope: session.to_u128(),
        parent,
        labels: Vec::new(),
        page: page.clone(),
    };
    let found = call.app.options.store.rows(query).await?;
    let (rows, more) = found.ok_or_else(|| unknown_cursor(&page))?;
    let opened = rows.iter().map(|row| journal.open_row(kind, row)).collect::<Result<_, _>>()?;
    Ok((opened, more))
}
