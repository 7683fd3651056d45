//! `bailiwick demo`: the product's main job on real input, ordered by an employee through an agent, under rules and a
//! budget, with the server killed in the middle of it and the receipts checked by the separate verifier.
//!
//! Everything on the screen is taken from the session's stream, the API or an exit code. Only the model's part may be
//! scripted, and then the screen says so.

mod cast;
mod checks;
mod consent;
mod job;
mod money;
mod proof;
mod table_file;

use crate::child::Server;
use crate::{
    cli::Demo,
    client::Client,
    commands::{Receipts, Saved, save_all},
    doctor::machine,
    failure::{Doing as _, Exit, Failure, Outcome},
    files,
    scratch::Scratch,
    terminal::{Terminal, escape},
    variables,
    watch::Screen,
};
use bailiwick_ports::Clock as _;
use cast::{Cast, FORBIDS};
use checks::{Check, Seen};
use job::{Job, Told};
use money::Stopped;
use proof::{Proof, Verifier};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use table_file::TableFile;

/// What the scripted model says and calls, and the script that it "writes".
const SCENARIO: &str = include_str!("../../../../demo/scenario.toml");
const PROFILE: &str = include_str!("../../../../demo/profile.py");
const PLACE: &str = "@PROFILE.PY@";
/// The published name of the demo's model.
const MODEL: &str = "main";
const MODEL_KEY: &str = "BAILIWICK_DEMO_MODEL_KEY";
/// The data folder, below the demo's own.
const DATA: &str = "data";

/// The demo's own prices, for a million tokens: no provider is asked.
fn prices() -> toml::Table {
    let price = |price: &str| toml::Value::String(price.to_owned());
    toml::Table::from_iter([
        ("version".to_owned(), toml::Value::Integer(1)),
        ("input".to_owned(), price("2.50")),
        ("cached_input".to_owned(), price("0.25")),
        ("output".to_owned(), price("10.00")),
    ])
}

pub async fn show(options: Demo, terminal: Terminal) -> Outcome {
    let began = crate::runtime::SystemClock.now();
    let table = match &options.file {
        Some(path) => TableFile::read(path)?,
        None => TableFile::sample()?,
    };
    let verifier = Verifier::find()?;
    let sandbox = sandbox().await?;
    let mut scratch = Scratch::new("bailiwick-demo").doing(|| "make a folder for the demo".to_owned())?;
    let stage = Stage::prepare(scratch.path(), &options, verifier)?;
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

/// The isolation that this machine gives, tried out.
async fn sandbox() -> Outcome<String> {
    machine::probe().await?.isolation.map_err(|error| {
        let failure =
            Failure::failed(format!("this machine cannot run the demo's sandbox: {}: {}", error.step, error.cause));
        let failure = if error.remedy.is_empty() { failure } else { failure.help(error.remedy) };
        failure.help("`bailiwick doctor` says more about this machine")
    })
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
    let stopped = money::run_out(&admin, &cast, &session, screen).await?;
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

/// The files that the demo's server starts with.
struct Stage {
    folder: PathBuf,
    verifier: Verifier,
    data: PathBuf,
    config: PathBuf,
    scripted: bool,
    model: String,
}

impl Stage {
    fn prepare(folder: &Path, options: &Demo, verifier: Verifier) -> Outcome<Self> {
        let (data, config) = (folder.join(DATA), folder.join("bailiwick.toml"));
        let scripted = options.model_url.is_none();
        let mut model = toml::Table::new();
        let mut set = |key: &str, value: &str| model.insert(key.to_owned(), toml::Value::String(value.to_owned()));
        match (&options.model_url, &options.model) {
            (Some(url), Some(name)) => {
                set("provider", "openai-chat");
                set("base_url", url);
                set("model", name);
                if variables::read(MODEL_KEY).is_some() {
                    set("api_key_env", MODEL_KEY);
                }
            }
            _ => {
                set("provider", "rehearsal");
                set("scenario", "scenario.toml");
                let scenario = SCENARIO.replace(PLACE, PROFILE);
                files::write_whole(&folder.join("scenario.toml"), scenario.as_bytes(), 0o600)
                    .doing(|| "write the scenario".to_owned())?;
            }
        }
        model.insert("prices".to_owned(), toml::Value::Table(prices()));
        if scripted {
            // The longest answer of the scenario is shorter; what is reserved for a call is no more than it needs.
            model.insert("max_output_tokens".to_owned(), toml::Value::Integer(8000));
        }
        let models = toml::Table::from_iter([(MODEL.to_owned(), toml::Value::Table(model))]);
        let whole = toml::Table::from_iter([("models".to_owned(), toml::Value::Table(models))]);
        files::write_whole(&config, whole.to_string().as_bytes(), 0o600)
            .doing(|| "write the configuration".to_owned())?;
        let model = options.model.clone().unwrap_or_default();
        Ok(Self { folder: folder.to_owned(), verifier, data, config, scripted, model })
    }

    fn model_in_words(&self) -> String {
        if self.scripted {
            "scripted. What it says and calls comes from a scenario file; everything that it drives is real".to_owned()
        } else {
            format!("`{}`, real", escape::line(&self.model))
        }
    }
}
