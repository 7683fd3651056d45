//! The smaller job of the demo: an employee has a colleague examine a table, the server is killed in the middle of it, and
//! the receipts are checked. With the user's own table, or with a model of the user's own.

use super::{
    cast::{self, Cast, FORBIDS},
    checks::{self, Check, Seen},
    consent,
    job::{self, Job, Told},
    money::{self, Stopped},
    proof::{self, Proof, Verifier},
    sandbox,
    stage::{DATA, MODEL, Stage},
    table_file::TableFile,
};
use crate::child::Server;
use crate::{
    cli::Demo,
    client::Client,
    commands::{Receipts, Saved, save_all},
    failure::{Doing as _, Exit, Failure, Outcome},
    scratch::Scratch,
    terminal::{Terminal, escape},
    watch::Screen,
};
use bailiwick_ports::Clock as _;
use serde_json::{Value, json};
use std::path::Path;

/// What the scripted model says and calls, and the script that it "writes".
const SCENARIO: &str = include_str!("../../../../demo/scenario.toml");
const PROFILE: &str = include_str!("../../../../demo/profile.py");
const PLACE: &str = "@PROFILE.PY@";
pub async fn show(options: Demo, terminal: Terminal) -> Outcome {
    let began = crate::runtime::SystemClock.now();
    let table = match &options.file {
        Some(path) => TableFile::read(path)?,
        None => TableFile::sample()?,
    };
    let verifier = Verifier::find()?;
    let sandbox = sandbox().await?;
    let mut scratch = Scratch::new("bailiwick-demo").doing(|| "make a folder for the demo".to_owned())?;
    let stage = Stage::prepare(scratch.path(), &options, verifier, &SCENARIO.replace(PLACE, PROFILE), &[])?;
    let mut screen = Screen::new(terminal);
    screen.note(
        "An employee has a colleague examine a ledger, under rules and a budget; the server is killed in the middle.\n",
    );
    screen.note(format!(
        "● the table: {}, {} rows, {} KiB",
        escape::line(&table.origin),
        table.rows,
        table.bytes.len() >> 10
    ));
    screen.note(format!("● the model: {}", stage.model_in_words()));
    screen.note("● prices: the demo's own, 2.50 in and 10.00 out for a million tokens");
    screen.note(format!("● the sandbox: isolation `{}`, no network", escape::line(&sandbox)));
    let mut server = Server::start(&stage.data, &stage.config).await?;
    screen.note(format!("● server started: process {}, data folder {}", server.id(), stage.data.display()));
    let played = tokio::select! {
        played = play(&mut server, &table, &stage, &options, &mut screen) => played,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "the demo was interrupted")),
    };
    if played.is_err() {
        job::wipe(&server).await;
    }
    server.stop().await;
    if options.keep {
        scratch.keep();
    }
    let played = played?;
    let seen = Seen {
        cast: &played.cast,
        told: &played.told,
        receipts: &played.receipts,
        stopped: &played.stopped,
        proof: &played.proof,
        scripted: stage.scripted,
    };
    let checks = checks::all(&seen);
    let seconds = crate::runtime::SystemClock.now().since(began).0 as f64 / 1000.0;
    let folder = options.keep.then(|| scratch.path());
    screen.note("");
    let shown = Shown { scripted: stage.scripted, folder, played: &played, checks: &checks, seconds };
    terminal.result(&shown.to_json(), || shown.text());
    match checks.iter().find(|check| !check.good) {
        Some(check) => Err(Failure::failed(format!("the demo did not show what it should: {}", check.text))),
        None => played.told.ending.failure().map_or(Ok(()), Err),
    }
}

/// Everything that is shown at the end.
struct Shown<'a> {
    scripted: bool,
    /// When it is kept.
    folder: Option<&'a Path>,
    played: &'a Played,
    checks: &'a [Check],
    seconds: f64,
}

impl Shown<'_> {
    fn to_json(&self) -> Value {
        let Played { cast, told, receipts, saved, stopped, proof } = self.played;
        json!({
            "session_id": told.session,
            "scripted": self.scripted,
            "cast": cast.to_json(),
            "answer": told.ending.answer,
            "kill": told.kill.as_ref().map(job::Kill::to_json),
            "approval": told.consent.as_ref().map(consent::Consent::to_json),
            "budget": stopped.to_json(),
            "verifier": proof.to_json(),
            "artifacts": saved.iter().map(Saved::to_json).collect::<Vec<_>>(),
            "receipts": receipts.to_json(),
            "checks": self.checks.iter().map(Check::to_json).collect::<Vec<_>>(),
            "data_folder": self.folder.map(|folder| folder.join(DATA)),
            "seconds": self.seconds,
        })
    }

    fn text(&self) -> String {
        let Played { told, receipts, saved, .. } = self.played;
        let whose = if self.scripted { "The answer (scripted words around real numbers)" } else { "The answer" };
        let answer = escape::lines(told.ending.answer.as_deref().unwrap_or("-"));
        let mut out = format!("{whose}\n\n{}\n\nWhat it published\n\n", answer.trim_end());
        for one in saved {
            out.push_str(&format!("  {}  {} bytes\n", escape::line(&one.saved_as.display().to_string()), one.size));
        }
        out.push_str(&format!("\nThe session's receipts\n\n{}\nWhat was seen, and checked\n\n", receipts.table()));
        out.extend(self.checks.iter().map(Check::line));
        out.push_str(&format!("\nDone in {:.1} s.\n", self.seconds));
        if let Some(folder) = self.folder {
            out.push_str(&kept(folder, &told.session));
        }
        out
    }
}

fn kept(folder: &Path, session: &str) -> String {
    let (data, receipts) = (folder.join(DATA), folder.join("receipts"));
    let (data, receipts) = (data.display(), receipts.display());
    format!(
        "The data folder is {data}. Look at it: bailiwick serve --data {data}, then\nbailiwick session show {session} \
         --data {data}\nThe receipts are in {receipts}: bailiwick-verify {receipts}\n"
    )
}

/// What came of it.
struct Played {
    cast: Cast,
    told: Told,
    receipts: Receipts,
    saved: Vec<Saved>,
    stopped: Stopped,
    proof: Proof,
}

/// The work itself, from the people to the verifier.
async fn play(
    server: &mut Server,
    table: &TableFile,
    stage: &Stage,
    options: &Demo,
    screen: &mut Screen,
) -> Outcome<Played> {
    let admin = server.client()?;
    proof::keep_key(&admin, &stage.folder.join("log.pub"), screen).await?;
    let cast = Cast::gather(&admin, &server.url()?, MODEL, screen).await?;
    let job = Job { cast: &cast, scripted: stage.scripted, yes: options.yes };
    let begun = job.begin(table, screen).await?;
    let session = cast::text(&begun, "id")?;
    let mut told = job.follow(server, session.clone(), screen).await?;
    // The server is another one since.
    let admin = server.client()?;
    if told.ending.failure().is_none() {
        tempt(&job, &admin, &begun, &mut told, screen).await?;
    }
    let stopped = money::run_out(&admin, &cast, &session, "Examine it once more.", screen).await?;
    let receipts = Receipts::of(&admin, &session).await?;
    let is_denied = |receipt: &&Value| receipt["rule"].as_str().is_some_and(|rule| rule.contains(FORBIDS));
    let changed = receipts.iter().find(is_denied).or(receipts.iter().next());
    let position = changed.and_then(|receipt| receipt["position"].as_u64()).unwrap_or(1);
    let proof = proof::prove(&admin, &stage.verifier, &stage.folder, (&session, position), screen).await?;
    let saved = save_all(&cast.employee, &session, &options.output).await?;
    if !options.keep {
        // The sandbox goes with its session.
        admin.delete(&format!("/v1/agents/sessions/{session}")).await?;
    }
    Ok(Played { cast, told, receipts, saved, stopped, proof })
}

/// What the model left out of what the rules are about is tried by giving files: those actions pass the same gate.
async fn tempt(job: &Job<'_>, admin: &Client, begun: &Value, told: &mut Told, screen: &mut Screen) -> Outcome {
    let environment = cast::text(&begun["environment"], "id")?;
    let receipts = Receipts::of(admin, &told.session).await?;
    let denied = |receipt: &Value| receipt["rule"].as_str().is_some_and(|rule| rule.contains(FORBIDS));
    if !receipts.iter().any(denied) {
        job.give_what_is_forbidden(&environment, screen).await?;
    }
    if told.consent.is_none() {
        told.consent = Some(job.give_what_is_asked(&told.session, &environment, screen).await?);
    }
    Ok(())
}
