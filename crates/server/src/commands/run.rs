//! `bailiwick run`: one task, from words to files.

use super::{find_agent, is_scripted, save_all, text};
use crate::{
    cli::Run,
    client::{Client, encode},
    failure::{Doing as _, Exit, Failure, Outcome},
    files,
    runtime::{rest, within},
    terminal::{Terminal, escape},
    watch::{Ending, Screen, Watch},
};
use serde_json::{Value, json};
use std::{collections::HashSet, future, io::Read as _, path::Path, time::Duration};

/// The longest task, in bytes.
const MAX_TASK: u64 = 1024 * 1024;
/// The largest file that is uploaded; the server has a limit of its own.
const MAX_FILE: u64 = 512 * 1024 * 1024;
/// How long a cancelled session may take to come to rest.
const CANCEL: Duration = Duration::from_secs(15);

pub async fn run(options: Run, terminal: Terminal) -> Outcome {
    let task = task(&options.task)?;
    let client = Client::of(&options.target)?;
    let names = names(&options)?;
    let mut body = json!({"input": task});
    match (&options.agent, &options.model) {
        (Some(agent), _) => body["agent_id"] = find_agent(&client, agent).await?["id"].clone(),
        (None, Some(model)) => {
            body["agent"] = json!({"model": model});
            if let Some(instructions) = &options.instructions {
                body["agent"]["instructions"] = json!(instructions);
            }
        }
        (None, None) => return Err(Failure::usage("name an --agent or a --model")),
    }
    body["environment"] = environment(&client, &options, &names, terminal).await?;
    let session = client.post("/v1/agents/sessions", &body).await?;
    let id = text(&session, "id").to_owned();
    let mut screen = Screen::new(terminal);
    screen.note(format!("● session {}", escape::line(&id)));
    let model = text(&session["agent"], "model");
    let scripted = is_scripted(&client, model).await;
    if scripted {
        screen.note(format!("● the model `{}` is scripted: its part comes from a scenario file", escape::line(model)));
    }
    let ending = follow(&client, &id, &mut screen, options.timeout).await?;
    let saved = save_all(&client, &id, &options.output).await?;
    for one in &saved {
        screen.note(format!("● saved {} ({} bytes)", escape::line(&one.saved_as.display().to_string()), one.size));
    }
    let failure = ending.failure();
    if failure.is_none() || !terminal.is_json() {
        let document = json!({
            "session_id": id,
            "status": ending.session["status"],
            "turn": ending.turn,
            "answer": ending.answer,
            "scripted": scripted,
            "artifacts": saved.iter().map(super::Saved::to_json).collect::<Vec<_>>(),
            "usage": ending.session["usage"],
        });
        terminal.result(&document, || answer(&ending));
    }
    failure.map_or(Ok(()), Err)
}

fn answer(ending: &Ending) -> String {
    match &ending.answer {
        Some(text) => format!("{}\n", escape::lines(text).trim_end()),
        None => String::new(),
    }
}

fn task(given: &str) -> Outcome<String> {
    let mut task = given.to_owned();
    if given == "-" {
        task.clear();
        std::io::stdin()
            .take(MAX_TASK + 1)
            .read_to_string(&mut task)
            .doing(|| "read the task from standard input".into())?;
    }
    if task.trim().is_empty() {
        return Err(Failure::usage("the task is empty: say what is to be done"));
    }
    if task.len() as u64 > MAX_TASK {
        return Err(Failure::usage("the task has more than 1 MiB: put it into a file and give it with --file"));
    }
    Ok(task)
}

/// The files' names in the workspace; each once.
fn names(options: &Run) -> Outcome<Vec<String>> {
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for path in &options.files {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(Failure::usage(format!("`{}` has no file name that can be used", path.display())));
        };
        if !seen.insert(name) {
            return Err(Failure::usage(format!("two files are called `{name}`: rename one of them")));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

async fn environment(client: &Client, options: &Run, names: &[String], terminal: Terminal) -> Outcome<Value> {
    // A saved agent or a model may have one; a session says so each time.
    if options.no_environment {
        return Ok(json!({"type": "none"}));
    }
    let mut files = Vec::new();
    for (path, name) in options.files.iter().zip(names) {
        let file = upload(client, path, name).await?;
        terminal.progress(format!("● uploaded {}", escape::line(name)));
        files.push(json!({"type": "file_id", "file_id": file, "path": format!("/workspace/{name}")}));
    }
    Ok(json!({"type": "openai_hosted", "files": files}))
}

async fn upload(client: &Client, path: &Path, name: &str) -> Outcome<String> {
    let bytes = files::read_bounded(path, MAX_FILE)
        .map_err(|error| Failure::new(Exit::Usage, format!("the file `{}` cannot be read: {error}", path.display())))?;
    client.upload(name, bytes).await
}

/// Watches until the session rests. Ctrl-C and a time-out cancel it first.
async fn follow(client: &Client, session: &str, screen: &mut Screen, timeout: Option<u64>) -> Outcome<Ending> {
    let mut watch = Watch::from_start(client, session);
    let limit = async {
        match timeout {
            Some(seconds) => rest(Duration::from_secs(seconds)).await,
            None => future::pending().await,
        }
    };
    let exit = tokio::select! {
        ending = watch.until_rest(screen) => return ending,
        _ = tokio::signal::ctrl_c() => Exit::Interrupted,
        () = limit => Exit::TimedOut,
    };
    screen.note("● cancelling; press Ctrl-C again to leave at once");
    let path = format!("/v1/agents/sessions/{}/events", encode(session));
    client.post(&path, &json!({"events": [{"type": "agent.session.input.cancel"}]})).await?;
    tokio::select! {
        _ = within(CANCEL, watch.until_rest(screen)) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    let why = if exit == Exit::TimedOut { "it took longer than --timeout allows" } else { "it was interrupted" };
    Err(Failure::new(exit, format!("the session was cancelled: {why}"))
        .help(format!("look at it: bailiwick session show {session}")))
}
