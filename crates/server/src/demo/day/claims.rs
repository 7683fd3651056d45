//! What the day claims, each checked against something else than what claims it: the stream against the receipts, the
//! figures against the invoices counted anew, mails against the mail server's own journal, memory against the API.

use super::super::{
    cast::Cast,
    checks::{self, Check, decided, word},
    proof::Proof,
};
use super::{morning::Morning, setting::SALARIES, work::Worked};
use crate::commands::Receipts;
use bailiwick_sample::{
    Books, Taken,
    company::{self, AUDITOR},
};
use serde_json::Value;

/// Everything that was seen.
pub(super) struct Seen<'a> {
    pub cast: &'a Cast,
    pub worked: &'a Worked,
    pub morning: &'a Morning,
    pub receipts: &'a Receipts,
    pub books: &'a Books,
    /// What the company's mail server took on.
    pub taken: &'a [Taken],
    /// What the API says is remembered of the employee.
    pub memories: &'a [Value],
    pub proof: &'a Proof,
}

pub(super) fn all(seen: &Seen<'_>) -> Vec<Check> {
    let mut checks = vec![meeting(seen), material(seen), own_login(seen), denied(seen)];
    if matches!(seen.books, Books::Postgres { .. }) {
        checks.push(refused_by_the_database(seen));
    }
    checks.push(computed(seen));
    checks.push(asked(seen));
    checks.push(sent_once(seen));
    // Whoever said no has seen fewer mails, and nothing is claimed of those.
    if !seen.worked.is_denied_once() {
        checks.push(killed_between(seen));
        checks.push(killed_inside(seen));
    }
    checks.push(remembered(seen));
    checks.push(checks::settled_once(seen.receipts));
    checks.push(checks::told_once(&seen.worked.done));
    checks.push(checks::who(seen.cast, seen.receipts));
    checks.push(checks::refused(&seen.morning.stopped));
    checks.push(checks::verified(seen.proof));
    checks.push(checks::found(seen.proof));
    checks
}

/// The last answer of one tool of one connector.
fn output<'a>(seen: &Seen<'a>, connector: &'a str, tool: &'a str) -> &'a str {
    seen.worked.calls(connector, tool).last().and_then(|item| item["output"].as_str()).unwrap_or_default()
}

/// The action of a finished item.
fn action(item: &Value) -> &str {
    item["bailiwick"]["action"].as_str().unwrap_or("?")
}

fn attendees() -> [String; 3] {
    let at = |login: &str| format!("{login}@{}", company::DOMAIN);
    [at("ben"), at("noah"), AUDITOR.1.to_owned()]
}

fn meeting(seen: &Seen<'_>) -> Check {
    let told = output(seen, "calendar", "list_events");
    let title = told.lines().find_map(|line| line.split_once("): ")).map_or("nothing", |(_, title)| title);
    let found = attendees().iter().filter(|mail| told.contains(mail.as_str())).count();
    let text = format!("found in the calendar, by CalDAV: \"{title}\", {found} attendees");
    Check::new("meeting", found == 3 && title == "Receivables review", text)
}

/// Two departments' papers were read, and of the third one there was not even a name.
fn material(seen: &Seen<'_>) -> Check {
    let found = output(seen, "documents", "search_documents");
    let mine = ["/finance/", "/sales/"].iter().all(|folder| found.contains(folder));
    let reads = |folder: &str| {
        let of = move |item: &&Value| item["arguments"]["path"].as_str().is_some_and(|path| path.starts_with(folder));
        seen.worked.calls("documents", "read_document").find(of)
    };
    let hidden = reads("/people/").and_then(|item| item["error"].as_str().or(item["output"].as_str()));
    let there_is_none = hidden.is_some_and(|said| said.contains("there is no document"));
    let read = ["/finance/", "/sales/"]
        .iter()
        .filter(|folder| reads(folder).is_some_and(|item| item["status"] == "completed"))
        .count();
    let text = format!(
        "papers of {read} departments were read; of the third, which has the word too, a search found {} and reading said \"{}\"",
        if found.contains("/people/") { "something" } else { "nothing" },
        if there_is_none { "there is no document" } else { "something else" }
    );
    Check::new("material", mine && read == 2 && there_is_none && !found.contains("/people/"), text)
}

/// The receipts of the queries of one table.
fn queries<'a>(seen: &Seen<'a>, table: &'a str, decision: &'a str) -> Option<&'a Value> {
    let names = move |receipt: &&Value| {
        receipt["operation"] == "data.query" && receipt["arguments"].to_string().contains(table)
    };
    decided(seen.receipts, decision).find(names)
}

fn own_login(seen: &Seen<'_>) -> Check {
    let answer =
        seen.worked.calls("books", "query").find(|item| item["arguments"].to_string().contains("FROM invoices"));
    let output = answer.and_then(|item| item["output"].as_str()).unwrap_or_default();
    let was = queries(seen, "invoices", "allowed").is_some();
    let (good, text) = match seen.books {
        Books::Postgres { version, .. } => (
            output.contains("as: sofia (own rights)"),
            format!("PostgreSQL {version} knew her as `sofia`: {}", last_line(output)),
        ),
        Books::Sqlite { .. } => (
            output.contains("as: the service role file"),
            format!("the books are a file, which knows nobody: {}; rules alone keep people apart", last_line(output)),
        ),
    };
    Check::new("own_login", good && was, text)
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or("no answer")
}

fn denied(seen: &Seen<'_>) -> Check {
    let Some(receipt) = queries(seen, "salaries", "denied").filter(|receipt| word(receipt, "rule").contains(SALARIES))
    else {
        return Check::new("denied", false, format!("nothing was denied by rule `{SALARIES}`"));
    };
    let done = seen.receipts.settled(word(receipt, "action")).is_some();
    let text = format!(
        "denied: {} of the salaries, by rule `{}` ({}); it was {}",
        word(receipt, "operation"),
        word(receipt, "rule"),
        word(receipt, "reason"),
        if done { "done all the same" } else { "not done" }
    );
    Check::new("denied", !done, text)
}

/// No rule speaks of this table: the database knows whom it does not show it to.
fn refused_by_the_database(seen: &Seen<'_>) -> Check {
    let receipt = queries(seen, "bank_accounts", "allowed");
    let effect =
        receipt.and_then(|receipt| seen.receipts.settled(word(receipt, "action"))).map(|one| word(one, "effect"));
    let item = seen.worked.calls("books", "query").find(|item| item["arguments"].to_string().contains("bank_accounts"));
    let said = item.and_then(|item| item["error"].as_str().or(item["output"].as_str())).unwrap_or_default();
    let text = format!("allowed by every rule, and refused by the database itself: {}", last_line(said));
    Check::new("refused_by_the_database", effect == Some("failed") && said.contains("permission denied"), text)
}

/// Every figure of the answer, against the invoices themselves.
fn computed(seen: &Seen<'_>) -> Check {
    let overdue = company::overdue();
    let (cents, invoices) =
        overdue.values().fold((0, 0), |(cents, invoices), sum| (cents + sum.cents, invoices + sum.invoices));
    let most = overdue.values().map(|sum| sum.cents).max().unwrap_or(0);
    let answer = seen.worked.ending.answer.as_deref().unwrap_or_default();
    let wanted = [with_commas(cents), with_commas(most), format!("{invoices}")];
    let found = wanted.iter().filter(|figure| answer.contains(figure.as_str())).count();
    let text = format!(
        "{found} of {} figures of the answer are those of the {} invoices, counted here anew: {} overdue, {} of it in one region",
        wanted.len(),
        company::INVOICES,
        wanted[0],
        wanted[1]
    );
    Check::new("computed", found == wanted.len(), text)
}

fn with_commas(cents: u64) -> String {
    let whole = (cents / 100).to_string();
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{out}.{:02}", cents % 100)
}

/// Each mail was asked about, answered by the person, and then as was said.
fn asked(seen: &Seen<'_>) -> Check {
    let consents = &seen.worked.consents;
    let good = consents.iter().filter(|consent| {
        let of = |decision| decided(seen.receipts, decision).find(|one| one["action"] == consent.action.as_str());
        let after = of(if consent.approved { "allowed" } else { "denied" });
        let by = after.is_some_and(|one| one["answered"].to_string().contains(&seen.cast.person.id));
        let effect = seen.receipts.settled(&consent.action).map(|one| word(one, "effect"));
        by && of("asked").is_some() && if consent.approved { effect == Some("confirmed") } else { effect.is_none() }
    });
    let (good, approved) = (good.count(), consents.iter().filter(|consent| consent.approved).count());
    let mut rules: Vec<&str> = consents.iter().map(|consent| consent.rule.as_str()).collect();
    rules.dedup();
    let text = format!(
        "asked before each of {} mails, by rule `{}`; {} said yes to {approved}{}, and that is how it was done",
        consents.len(),
        rules.join("`, `"),
        seen.cast.person.name,
        if consents.iter().any(|consent| consent.by_option) { " (--yes)" } else { " (at the prompt)" }
    );
    Check::new("approved", good == 3 && consents.len() == 3, text)
}

/// The mail server's own journal has each approved mail once, to whom it was approved for.
fn sent_once(seen: &Seen<'_>) -> Check {
    let approved: Vec<&str> =
        seen.worked.consents.iter().filter(|one| one.approved).map(|one| one.action.as_str()).collect();
    let times = |action: &str| seen.taken.iter().filter(|taken| taken.id.contains(action)).count();
    let once = approved.iter().filter(|action| times(action) == 1).count();
    let mut to: Vec<&str> = seen.taken.iter().flat_map(|taken| &taken.to).map(String::as_str).collect();
    to.sort_unstable();
    let text = format!(
        "the mail server's own journal has {} mails, {once} of {} approved ones exactly once: to {}",
        seen.taken.len(),
        approved.len(),
        to.join(", ")
    );
    Check::new("sent_once", once == approved.len() && seen.taken.len() == approved.len(), text)
}

fn killed_between(seen: &Seen<'_>) -> Check {
    let Some(kill) = &seen.worked.between else {
        return Check::new("killed_between", false, "the server was not killed between two mails".into());
    };
    let mut sent = seen.worked.calls("mail", "send_mail");
    let first = sent.next().map(action).unwrap_or("?");
    let effect = seen.receipts.settled(first).map_or("no outcome", |one| word(one, "effect"));
    let again = seen.receipts.is_resumed(first);
    let text = format!(
        "killed between two mails: process {}, then {}. The first stays `{effect}`, was not looked at again, and was not sent again",
        kill.pid, kill.new_pid
    );
    Check::new("killed_between", effect == "confirmed" && !again, text)
}

/// It died in the middle of a mail: nobody knew, then it was looked for, and found.
fn killed_inside(seen: &Seen<'_>) -> Check {
    let Some(kill) = &seen.worked.inside else {
        return Check::new("killed_inside", false, "the server was not killed inside a mail".into());
    };
    let id = kill.mail.as_deref().unwrap_or_default();
    let consent = seen.worked.consents.iter().find(|consent| id.contains(&consent.action));
    let action_id = consent.map_or("?", |consent| consent.action.as_str());
    let resumed = seen.receipts.is_resumed(action_id);
    let effect = seen.receipts.settled(action_id).map_or("no outcome", |one| word(one, "effect"));
    let said = seen.worked.calls("mail", "send_mail").find(|item| action(item) == action_id);
    let said = said.and_then(|item| item["output"].as_str()).unwrap_or("nothing");
    let times = seen.taken.iter().filter(|taken| taken.id == id).count();
    let text = format!(
        "killed inside a mail, after its final dot: process {}, then {}. Nobody knew, so it was looked for: \"{}\". \
         `{effect}`, handed in {times} times",
        kill.pid,
        kill.new_pid,
        said.split(". ").next().unwrap_or(said)
    );
    Check::new(
        "killed_inside",
        resumed && effect == "confirmed" && times == 1 && said.contains("was found in `Sent`"),
        text,
    )
}

/// What the first session wrote is what the second one found, and the API says where it is from.
fn remembered(seen: &Seen<'_>) -> Check {
    let entry = seen.memories.iter().find(|one| one["source"]["session"] == seen.worked.session.as_str());
    let (text, state) = entry.map_or(("nothing", "not there"), |one| (word(one, "text"), word(one, "state")));
    let found = seen
        .morning
        .done
        .iter()
        .any(|item| names_memory(item) && item["output"].as_str().is_some_and(|output| output.contains(text)));
    let answer = seen.morning.ending.answer.as_deref().unwrap_or_default();
    let said = format!(
        "remembered ({state}) before anything from outside was read, and {} the next morning in another session: \"{text}\"",
        if found { "found" } else { "not found" }
    );
    Check::new("remembered", found && state == "confirmed" && answer.contains(text), said)
}

fn names_memory(item: &Value) -> bool {
    item["name"].as_str().is_some_and(|name| name.contains("memory_search"))
}
