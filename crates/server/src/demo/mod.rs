//! `bailiwick demo`: the product's main job on real input, with the server killed in the middle of it.
//!
//! Everything on the screen is taken from the session's stream or the API. Only the model's part may be scripted, and
//! then the screen says so.

mod checks;

mod job;
mod table_file;

use crate::child::Server;
use crate::{
    cli::Demo,
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
use checks::Check;
use job::{Job, Told};
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

pub async fn show(options: Demo, terminal: Terminal) -> Outcome {
    let began = crate::runtime::SystemClock.now();
    let table = match &options.file {
        Some(path) => TableFile::read(path)?,
        None => TableFile::sample()?,
    };
    let sandbox = sandbox().await?;
    let mut scratch = Scratch::new("bailiwick-demo").doing(|| "make a folder for the demo".to_owned())?;
    let stage = Stage::prepare(scratch.path(), &options)?;
    let mut screen = Screen::new(terminal);
    screen.note("A colleague examines a ledger, and the server is killed in the middle of the work.\n");
    screen.note(format!(
        "● the table: {}, {} rows, {} KiB",
        escape::line(&table.origin),
        table.rows,
        table.bytes.len() >> 10
    ));
    screen.note(format!("● the model: {}", stage.model_in_words()));
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
    let (told, receipts, saved) = played?;
    let checks = checks::all(&told, &receipts, stage.scripted);
    let seconds = crate::runtime::SystemClock.now().since(began).0 as f64 / 1000.0;
    let data_folder = options.keep.then_some(stage.data.as_path());
    screen.note("");
    let shown = Shown {
        scripted: stage.scripted,
        data_folder,
        told: &told,
        receipts: &receipts,
        saved: &saved,
        checks: &checks,
        seconds,
    };
    terminal.result(&shown.to_json(), || shown.text());
    match checks.iter().find(|check| !check.good) {
        Some(check) => Err(Failure::failed(format!("the demo did not show what it should: {}", check.text))),
        None => told.ending.failure().map_or(Ok(()), Err),
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
    data_folder: Option<&'a Path>,
    told: &'a Told,
    receipts: &'a Receipts,
    saved: &'a [Saved],
    checks: &'a [Check],
    seconds: f64,
}

impl Shown<'_> {
    fn to_json(&self) -> Value {
        json!({
            "session_id": self.told.session,
            "scripted": self.scripted,
            "answer": self.told.ending.answer,
            "kill": self.told.kill.as_ref().map(job::Kill::to_json),
            "artifacts": self.saved.iter().map(Saved::to_json).collect::<Vec<_>>(),
            "receipts": self.receipts.to_json(),
            "checks": self.checks.iter().map(Check::to_json).collect::<Vec<_>>(),
            "data_folder": self.data_folder,
            "seconds": self.seconds,
        })
    }

    fn text(&self) -> String {
        let whose = if self.scripted { "The answer (scripted words around real numbers)" } else { "The answer" };
        let answer = escape::lines(self.told.ending.answer.as_deref().unwrap_or("-"));
        let mut out = format!("{whose}\n\n{}\n\nWhat it published\n\n", answer.trim_end());
        for one in self.saved {
            out.push_str(&format!("  {}  {} bytes\n", escape::line(&one.saved_as.display().to_string()), one.size));
        }
        out.push_str(&format!("\nThe session's receipts\n\n{}\nChecked against the stream\n\n", self.receipts.table()));
        out.extend(self.checks.iter().map(Check::line));
        out.push_str(&format!("\nDone in {:.1} s.\n", self.seconds));
        if let Some(data) = self.data_folder {
            out.push_str(&kept(data, &self.told.session));
        }
        out
    }
}

fn kept(data: &Path, session: &str) -> String {
    let data = data.display();
    format!(
        "The data folder is {data}. Look at it: bailiwick serve --data {data}, then\nbailiwick session show {session} --data {data}\n"
    )
}

/// The work itself, from the upload to the receipts.
async fn play(
    server: &mut Server,
    table: &TableFile,
    stage: &Stage,
    options: &Demo,
    screen: &mut Screen,
) -> Outcome<(Told, Receipts, Vec<Saved>)> {
    let job = Job { model: MODEL, scripted: stage.scripted };
    let session = job.begin(&server.client()?, table, screen).await?;
    let told = job.follow(server, session, screen).await?;
    let client = server.client()?;
    let receipts = Receipts::of(&client, &told.session).await?;
    let saved = save_all(&client, &told.session, &options.output).await?;
    if !options.keep {
        // The sandbox goes with its session.
        client.delete(&format!("/v1/agents/sessions/{}", told.session)).await?;
    }
    Ok((told, receipts, saved))
}

/// The files that the demo's server starts with.
struct Stage {
    data: PathBuf,
    config: PathBuf,
    scripted: bool,
    model: String,
}

impl Stage {
    fn prepare(folder: &Path, options: &Demo) -> Outcome<Self> {
        let (data, config) = (folder.join("data"), folder.join("bailiwick.toml"));
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
        let models = toml::Table::from_iter([(MODEL.to_owned(), toml::Value::Table(model))]);
        let whole = toml::Table::from_iter([("models".to_owned(), toml::Value::Table(models))]);
        files::write_whole(&config, whole.to_string().as_bytes(), 0o600)
            .doing(|| "write the configuration".to_owned())?;
        let model = options.model.clone().unwrap_or_default();
        Ok(Self { data, config, scripted, model })
    }

    fn model_in_words(&self) -> String {
        if self.scripted {
            "scripted. What it says and calls comes from a scenario file; everything that it drives is real".to_owned()
        } else {
            format!("`{}`, real", escape::line(&self.model))
        }
    }
}
