//! Derived rows: written with their append, listed by cursors, seen by their tenant only.

use super::{Check, checks, kit::*};
use bailiwick_ports::{
    StoreError,
    store::{Page, Row, RowKind, RowQuery},
};
use bailiwick_types::{StreamId, TenantId};
use bytes::Bytes;

pub const CHECKS: &[Check] = checks![
    a_row_is_written_over_and_removed,
    a_rows_place_is_fixed_when_it_is_first_written,
    another_streams_row_is_a_conflict,
    another_tenants_rows_are_not_seen,
    pages_follow_cursors_in_both_orders,
    a_cursor_of_another_list_is_unknown,
    the_second_filter_narrows_a_list,
    labels_must_all_match,
    labels_are_replaced_and_removed_with_their_row,
    labelled_lists_have_pages,
    a_streams_own_lists_can_be_cleared,
];

/// A stream under a lease that rows are written to.
struct Writer {
    kit: Kit,
    tenant: TenantId,
    stream: StreamId,
    epoch: u64,
}

impl Writer {
    async fn new(kit: Kit) -> Self {
        let (tenant, stream) = kit.stream().await;
        let epoch = kit.leased(stream, LONG).await.epoch;
        Self { kit, tenant, stream, epoch }
    }

    async fn write(&self, rows: Vec<Row>) {
        let mut append = append(self.tenant, self.stream, self.epoch, 0, 0);
        append.rows = rows;
        self.kit.append(append).await.unwrap();
    }

    fn scope(&self) -> u128 {
        self.stream.to_u128()
    }

    fn items(&self, page: Page) -> RowQuery {
        RowQuery { page, ..query(self.tenant, RowKind::Item, self.scope()) }
    }

    async fn body(&self, kind: RowKind, id: u128) -> Option<Bytes> {
        self.kit.row(self.tenant, kind, id).await.unwrap().map(|row| row.sealed)
    }
}

async fn a_row_is_written_over_and_removed(kit: Kit) {
    let w = Writer::new(kit).await;
    let mut item = row(RowKind::Item, 5, w.scope(), 1);
    w.write(vec![item.clone(), row(RowKind::Turn, 5, w.scope(), 1)]).await;
    assert_eq!(w.body(RowKind::Item, 5).await, item.sealed);
    item.sealed = Some(Bytes::new());
    w.write(vec![row(RowKind::Item, 5, w.scope(), 1), item.clone()]).await;
    assert_eq!(w.body(RowKind::Item, 5).await, Some(Bytes::new()), "the last of one append counts");
    item.sealed = None;
    w.write(vec![row(RowKind::Item, 6, w.scope(), 2), item.clone(), row(RowKind::Item, 7, w.scope(), 3)]).await;
    assert_eq!(w.body(RowKind::Item, 5).await, None);
    assert!(w.body(RowKind::Turn, 5).await.is_some(), "another kind is another row");
    assert_eq!(w.kit.ids(&w.items(page(9))).await, Some((vec![6, 7], false)));
    w.write(vec![item]).await;
}

async fn a_rows_place_is_fixed_when_it_is_first_written(kit: Kit) {
    let w = Writer::new(kit).await;
    w.write(vec![row(RowKind::Item, 1, w.scope(), 10), row(RowKind::Item, 2, w.scope(), 20)]).await;
    let mut moved = row(RowKind::Item, 1, 99, 30);
    moved.parent = 7;
    w.write(vec![moved]).await;
    assert_eq!(w.kit.ids(&w.items(page(9))).await, Some((vec![1, 2], false)));
    let kept = w.kit.row(w.tenant, RowKind::Item, 1).await.unwrap().unwrap();
    assert_eq!((kept.ordinal, kept.stream), (10, w.stream));
}

async fn another_streams_row_is_a_conflict(kit: Kit) {
    let w = Writer::new(kit).await;
    w.write(vec![row(RowKind::Item, 1, w.scope(), 1)]).await;
    let thief = w.kit.stream_of(w.tenant).await;
    let epoch = w.kit.leased(thief, LONG).await.epoch;
    let mut theft = append(w.tenant, thief, epoch, 0, 1);
    let mut changed = row(RowKind::Item, 1, w.scope(), 1);
    changed.sealed = Some(Bytes::from_static(b"stolen"));
    theft.rows = vec![row(RowKind::Item, 2, thief.to_u128(), 1), changed];
    assert_eq!(w.kit.append(theft.clone()).await, Err(StoreError::Conflict));
    theft.rows[1].sealed = None;
    assert_eq!(w.kit.append(theft).await, Err(StoreError::Conflict));
    assert_eq!(w.body(RowKind::Item, 1).await, row(RowKind::Item, 1, 0, 0).sealed);
    assert_eq!(w.body(RowKind::Item, 2).await, None);
    assert!(w.kit.positions(thief).await.is_empty());
    let mut new = w.kit.new_stream(w.tenant);
    new.rows = vec![row(RowKind::Item, 1, new.stream.to_u128(), 1)];
    let id = new.stream;
    assert_eq!(w.kit.create_stream(new).await, Err(StoreError::Conflict));
    assert_eq!(w.kit.head(id).await, Ok(None));
}

async fn another_tenants_rows_are_not_seen(kit: Kit) {
    let w = Writer::new(kit).await;
    w.write(vec![row(RowKind::Item, 1, w.scope(), 1), row(RowKind::Session, 1, w.tenant.to_u128(), 1)]).await;
    let foreign = w.kit.tenant();
    assert_eq!(w.kit.row(foreign, RowKind::Item, 1).await, Ok(None));
    assert_eq!(w.kit.row(foreign, RowKind::Session, 1).await, Ok(None));
    assert_eq!(w.kit.ids(&query(foreign, RowKind::Item, w.scope())).await, Some((vec![], false)));
    assert_eq!(w.kit.ids(&query(foreign, RowKind::Session, w.tenant.to_u128())).await, Some((vec![], false)));
    let mut cursor = query(foreign, RowKind::Item, w.scope());
    cursor.page.after = Some(1);
    assert_eq!(w.kit.ids(&cursor).await, None);
}

async fn pages_follow_cursors_in_both_orders(kit: Kit) {
    let w = Writer::new(kit).await;
    // Two share an ordinal: the id decides. Written in another order than listed.
    let places = [(5, 50), (3, 30), (1, -10), (4, 30), (2, 20)];
    w.write(places.into_iter().map(|(id, ordinal)| row(RowKind::Item, id, w.scope(), ordinal)).collect()).await;
    let list =
        async |limit, after, before, descending| w.kit.ids(&w.items(Page { limit, after, before, descending })).await;
    let up = [1, 2, 3, 4, 5];
    let down = [5, 4, 3, 2, 1];
    for (descending, order) in [(false, up), (true, down)] {
        let place = |at: usize| Some(order[at]);
        let part = |from: usize, to: usize, more| Some((order[from..to].to_vec(), more));
        assert_eq!(list(5, None, None, descending).await, part(0, 5, false));
        assert_eq!(list(2, None, None, descending).await, part(0, 2, true));
        assert_eq!(list(2, place(1), None, descending).await, part(2, 4, true));
        assert_eq!(list(2, place(2), None, descending).await, part(3, 5, false));
        assert_eq!(list(2, place(4), None, descending).await, part(5, 5, false));
        assert_eq!(list(2, None, place(4), descending).await, part(2, 4, true));
        assert_eq!(list(2, None, place(2), descending).await, part(0, 2, false));
        assert_eq!(list(2, None, place(0), descending).await, part(0, 0, false));
        assert_eq!(list(9, place(0), place(4), descending).await, part(1, 4, false));
        assert_eq!(list(2, place(0), place(4), descending).await, part(1, 3, true));
        assert_eq!(list(2, place(3), place(1), descending).await, part(0, 0, false));
        assert_eq!(list(0, None, None, descending).await, part(0, 0, true));
    }
}

async fn a_cursor_of_another_list_is_unknown(kit: Kit) {
    let w = Writer::new(kit).await;
    let mut child = row(RowKind::Item, 3, w.scope(), 2);
    child.parent = 8;
    w.write(vec![row(RowKind::Item, 1, w.scope(), 1), row(RowKind::Item, 2, 99, 1), child]).await;
    w.write(vec![row(RowKind::Turn, 4, w.scope(), 1)]).await;
    for cursor in [2, 4, 5] {
        assert_eq!(w.kit.ids(&w.items(Page { after: Some(cursor), ..page(9) })).await, None, "{cursor}");
        assert_eq!(w.kit.ids(&w.items(Page { before: Some(cursor), ..page(9) })).await, None, "{cursor}");
    }
    let mut of_parent = w.items(Page { after: Some(1), ..page(9) });
    of_parent.parent = Some(8);
    assert_eq!(w.kit.ids(&of_parent).await, None);
    let mut gone = row(RowKind::Item, 1, w.scope(), 1);
    gone.sealed = None;
    w.write(vec![gone]).await;
    assert_eq!(w.kit.ids(&w.items(Page { after: Some(1), ..page(9) })).await, None);
}

async fn the_second_filter_narrows_a_list(kit: Kit) {
    let w = Writer::new(kit).await;
    let item = |id: u128| Row { parent: id % 2, ..row(RowKind::Item, id, w.scope(), id as i64) };
    w.write((1..=6).map(item).collect()).await;
    let odd = |page| RowQuery { parent: Some(1), ..w.items(page) };
    assert_eq!(w.kit.ids(&odd(page(9))).await, Some((vec![1, 3, 5], false)));
    assert_eq!(w.kit.ids(&odd(Page { after: Some(1), ..page(1) })).await, Some((vec![3], true)));
}

fn session(w: &Writer, id: u128, of: &[(&str, &str)]) -> Row {
    Row { labels: labels(of), ..row(RowKind::Session, id, w.tenant.to_u128(), id as i64) }
}

fn labelled(w: &Writer, of: &[(&str, &str)]) -> RowQuery {
    RowQuery { labels: labels(of), ..query(w.tenant, RowKind::Session, w.tenant.to_u128()) }
}

async fn labels_must_all_match(kit: Kit) {
    let w = Writer::new(kit).await;
    let rows = vec![
        session(&w, 1, &[("team", "red"), ("stage", "one")]),
        session(&w, 2, &[("team", "red"), ("stage", "two")]),
        session(&w, 3, &[("team", "blue"), ("stage", "one")]),
        session(&w, 4, &[]),
    ];
    w.write(rows).await;
    let ids = async |of: &[(&str, &str)]| w.kit.ids(&labelled(&w, of)).await.unwrap().0;
    assert_eq!(ids(&[]).await, [1, 2, 3, 4]);
    assert_eq!(ids(&[("team", "red")]).await, [1, 2]);
    assert_eq!(ids(&[("stage", "one"), ("team", "red")]).await, [1]);
    assert!(ids(&[("team", "red"), ("team", "blue")]).await.is_empty());
    assert!(ids(&[("team", "Red")]).await.is_empty());
    assert!(ids(&[("red", "team")]).await.is_empty());
    let foreign = RowQuery { tenant: w.kit.tenant(), ..labelled(&w, &[("team", "red")]) };
    assert_eq!(w.kit.ids(&foreign).await, Some((vec![], false)));
}

async fn labels_are_replaced_and_removed_with_their_row(kit: Kit) {
    let w = Writer::new(kit).await;
    let ids = async |of: &[(&str, &str)]| w.kit.ids(&labelled(&w, of)).await.unwrap().0;
    w.write(vec![session(&w, 1, &[("a", "1"), ("b", "1")])]).await;
    w.write(vec![session(&w, 1, &[("a", "1"), ("b", "1")])]).await;
    assert_eq!(ids(&[("a", "1"), ("b", "1")]).await, [1]);
    w.write(vec![session(&w, 1, &[("b", "2"), ("c", "1")])]).await;
    assert!(ids(&[("a", "1")]).await.is_empty());
    assert!(ids(&[("b", "1")]).await.is_empty());
    assert_eq!(ids(&[("b", "2"), ("c", "1")]).await, [1]);
    w.write(vec![session(&w, 1, &[])]).await;
    assert!(ids(&[("b", "2")]).await.is_empty());
    w.write(vec![session(&w, 1, &[("b", "2")])]).await;
    let gone = Row { sealed: None, ..session(&w, 1, &[]) };
    w.write(vec![gone]).await;
    assert!(ids(&[("b", "2")]).await.is_empty());
    w.write(vec![session(&w, 1, &[("b", "2")])]).await;
    assert_eq!(ids(&[("b", "2")]).await, [1]);
}

async fn labelled_lists_have_pages(kit: Kit) {
    let w = Writer::new(kit).await;
    let kind = |id: u128| if id.is_multiple_of(2) { "even" } else { "odd" };
    w.write((1..=7).map(|id| session(&w, id, &[("kind", kind(id)), ("all", "yes")])).collect()).await;
    let even = |page| RowQuery { page, ..labelled(&w, &[("kind", "even"), ("all", "yes")]) };
    assert_eq!(w.kit.ids(&even(page(2))).await, Some((vec![2, 4], true)));
    let after = |after, descending| Page { after: Some(after), descending, ..page(2) };
    assert_eq!(w.kit.ids(&even(after(4, false))).await, Some((vec![6], false)));
    assert_eq!(w.kit.ids(&even(after(3, false))).await, Some((vec![4, 6], false)), "any row of the list is a cursor");
    assert_eq!(w.kit.ids(&even(after(6, true))).await, Some((vec![4, 2], false)));
    let before = Page { before: Some(6), ..page(1) };
    assert_eq!(w.kit.ids(&even(before)).await, Some((vec![4], true)));
}

async fn a_streams_own_lists_can_be_cleared(kit: Kit) {
    let w = Writer::new(kit).await;
    let neighbour = w.kit.stream_of(w.tenant).await;
    let epoch = w.kit.leased(neighbour, LONG).await.epoch;
    let session = |stream: StreamId| row(RowKind::Session, stream.to_u128(), w.tenant.to_u128(), 1);
    let mut rows = vec![session(w.stream)];
    for (number, kind) in (100..).zip([RowKind::Turn, RowKind::Item, RowKind::Item, RowKind::Artifact]) {
        rows.push(row(kind, number, w.scope(), 1));
    }
    w.write(rows).await;
    let mut theirs = append(w.tenant, neighbour, epoch, 0, 0);
    theirs.rows = vec![session(neighbour), row(RowKind::Item, 200, neighbour.to_u128(), 1)];
    w.kit.append(theirs).await.unwrap();

    assert_eq!(w.kit.clear_rows(w.stream, 3).await, Ok(true));
    assert_eq!(w.kit.clear_rows(w.stream, 3).await, Ok(false));
    assert_eq!(w.kit.clear_rows(w.stream, 3).await, Ok(false));
    for kind in [RowKind::Turn, RowKind::Item, RowKind::Artifact] {
        assert_eq!(w.kit.ids(&query(w.tenant, kind, w.scope())).await, Some((vec![], false)));
    }
    assert!(w.body(RowKind::Session, w.scope()).await.is_some(), "that goes with its record");
    assert!(w.body(RowKind::Item, 200).await.is_some());
    let nobody = StreamId::from_u128(w.kit.fresh());
    assert_eq!(w.kit.clear_rows(nobody, 3).await, Err(StoreError::UnknownStream(nobody)));
}
