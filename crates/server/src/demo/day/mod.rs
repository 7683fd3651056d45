//! The demo itself: a working day at the sample company.

mod claims;
mod morning;
mod setting;
mod work;

use super::{
    checks::Check,
    company::Company,
    consent::Consent,
    job,
    proof::{self, Proof, Verifier},
    sandbox,
    stage::{DATA, MODEL, Stage},
};
use crate::{
    child::Server,
    cli::Demo,
    commands::{Receipts, Saved, save_all},
    failure::{Doing as _, Exit, Failure, Outcome},
    files,
    runtime::SystemClock,
    scratch::Scratch,
    terminal::{Terminal, escape},
    watch::Screen,
};
use bailiwick_ports::Clock as _;
use bailiwick_sample::{
    Books, Opening,
    company::{Employee, NAME, PEOPLE, day},
};
use claims::Seen;
use morning::Morning;
use serde_json::{Value, json};
use setting::{SALARIES, Setting};
use std::path::PathBuf;
use work::{Kill, Work, Worked};

/// What the scripted model says and calls, and the script that it "writes".
const SCENARIO: &str = include_str!("../../../../../demo/day.toml");
const BRIEF: &str = include_str!("../../../../../demo/brief.py");
/// Groups whose data a model of one's own may see, so that it can be tried.
const CLEARED: [&str; 3] = ["finance", "sales", "people"];
const PAPERS: &str = "papers";

/// Everything that lives while a demo does. The server ends first, then the company, then the folders.
struct House {
    stage: Stage,
    people: Vec<Employee>,
    company: Company,
    scratch: Scratch,
    /// The books have a folder of their own: whoever runs PostgreSQL may go there and nowhere else.
    books: Scratch,
}

impl House {
    async fn build(options: &Demo, screen: &mut Screen) -> Outcome<Self> {
        let verifier = Verifier::find()?;
        let sandbox = sandbox().await?;
        let scratch = Scratch::new("bailiwick-demo").doing(|| "make a folder for the demo".to_owned())?;
        let books = Scratch::new("bw-books").doing(|| "make a folder for the books".to_owned())?;
        let papers = scratch.path().join(PAPERS);
        files::make_private_folder(&papers).doing(|| "make a folder for papers".to_owned())?;
        let now = SystemClock.now().to_string();
        let today = now.get(..10).and_then(|day| day.parse().ok());
        let today = today.ok_or_else(|| Failure::failed("this machine's clock gives no day"))?;
        let people: Vec<Employee> = PEOPLE
            .iter()
            .map(|(name, login, _)| Employee {
                name: (*name).to_owned(),
                login: (*login).to_owned(),
                secret: super::cast::secret(),
            })
            .collect();
        let scenario = SCENARIO
            .replace("@TODAY@", &day(today, 0))
            .replace("@TOMORROW@", &day(today, 1))
            .replace("@BRIEF.PY@", BRIEF);
        let stage = Stage::prepare(scratch.path(), options, verifier, &scenario, &CLEARED)?;
        screen.note(format!("● the model: {}", stage.model_in_words()));
        screen.note(format!("● the sandbox: isolation `{}`, no network", escape::line(&sandbox)));
        let place = books.path().to_owned();
        let opening = Opening { people: people.clone(), today, papers, books: place, server: true };
        let company = Company::open(&opening).await?;
        let at = &company.addresses;
        screen.note(format!(
            "● {NAME} is open on 127.0.0.1: mail (SMTP {}, IMAP {}), a calendar, an MCP server, an OpenAPI service, papers",
            at.smtp_port, at.imap_port
        ));
        screen.note(match &at.books {
            Books::Postgres { version, .. } => {
                format!(
                    "● its books: PostgreSQL {version} of this machine, on a socket, with a login for each employee"
                )
            }
            Books::Sqlite { why, .. } => format!(
                "● its books: a SQLite file, because {}. It knows nobody: what each may see is up to the rules alone",
                escape::brief(why, 200)
            ),
        });
        Ok(Self { stage, people, company, scratch, books })
    }

    fn papers(&self) -> PathBuf {
        self.scratch.path().join(PAPERS)
    }
}

/// What came of the day.
struct Played {
    setting: Setting,
    worked: Worked,
    morning: Morning,
    receipts: Receipts,
    memories: Vec<Value>,
    saved: Vec<Saved>,
    proof: Proof,
}

pub(super) async fn show(options: Demo, terminal: Terminal) -> Outcome {
    let began = SystemClock.now();
    let mut screen = Screen::new(terminal);
    screen.note(format!("A day at {NAME}: an agent prepares a meeting for an employee, and the server dies twice.\n"));
    let mut house = House::build(&options, &mut screen).await?;
    let mut server = Server::start(&house.stage.data, &house.stage.config).await?;
    screen.note(format!("● server started: process {}", server.id()));
    let played = tokio::select! {
        played = play(&mut server, &mut house, &options, &mut screen) => played,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "the demo was interrupted")),
    };
    if played.is_err() {
        job::wipe(&server).await;
    }
    server.stop().await;
    if options.keep {
        house.scratch.keep();
    }
    let played = played?;
    let checks = claims::all(&Seen {
        cast: &played.setting.cast,
        worked: &played.worked,
        morning: &played.morning,
        receipts: &played.receipts,
        books: &house.company.addresses.books,
        taken: &house.company.taken,
        memories: &played.memories,
        proof: &played.proof,
    });
    let seconds = SystemClock.now().since(began).0 as f64 / 1000.0;
    let folder = options.keep.then(|| house.scratch.path().to_owned());
    screen.note("");
    let shown = Shown { house: &house, played: &played, checks: &checks, seconds, folder };
    terminal.result(&shown.to_json(), || shown.text());
    match checks.iter().find(|check| !check.good) {
        Some(check) => Err(Failure::failed(format!("the demo did not show what it should: {}", check.text))),
        None => played.worked.ending.failure().map_or(Ok(()), Err),
    }
}

async fn play(server: &mut Server, house: &mut House, options: &Demo, screen: &mut Screen) -> Outcome<Played> {
    let admin = server.client()?;
    proof::keep_key(&admin, &house.stage.folder.join("log.pub"), screen).await?;
    let papers = house.papers();
    let setting = Setting::make(&admin, &server.url()?, MODEL, &house.company, &house.people, &papers, screen).await?;
    let work = Work { cast: &setting.cast, yes: options.yes };
    let worked = work.perform(server, &mut house.company, screen).await?;
    // The server is another one since.
    let admin = server.client()?;
    let morning = Morning::spend(&setting.cast, &admin, screen).await?;
    let memories = setting.cast.employee.list("/bailiwick/v1/memories", 100).await?;
    let receipts = Receipts::of(&admin, &worked.session).await?;
    let is_denied = |receipt: &&Value| receipt["rule"].as_str().is_some_and(|rule| rule.contains(SALARIES));
    let changed = receipts.iter().find(is_denied).or(receipts.iter().next());
    let position = changed.and_then(|receipt| receipt["position"].as_u64()).unwrap_or(1);
    let stage = &house.stage;
    let proof = proof::prove(&admin, &stage.verifier, &stage.folder, (&worked.session, position), screen).await?;
    let saved = save_all(&setting.cast.employee, &worked.session, &options.output).await?;
    if !options.keep {
        // The sandbox goes with its session.
        admin.delete(&format!("/v1/agents/sessions/{}", worked.session)).await?;
    }
    Ok(Played { setting, worked, morning, receipts, memories, saved, proof })
}

/// Everything that is shown at the end.
struct Shown<'a> {
    house: &'a House,
    played: &'a Played,
    checks: &'a [Check],
    seconds: f64,
    /// When it is kept.
    folder: Option<PathBuf>,
}

impl Shown<'_> {
    fn to_json(&self) -> Value {
        let Played { setting, worked, morning, receipts, memories, saved, proof } = self.played;
        let kill = |kill: &Option<Kill>| kill.as_ref().map(Kill::to_json);
        json!({
            "session_id": worked.session,
            "next_session_id": morning.session,
            "scripted": self.house.stage.scripted,
            "cast": setting.cast.to_json(),
            "books": self.house.company.addresses.books,
            "answer": worked.ending.answer,
            "next_answer": morning.ending.answer,
            "killed_between_mails": kill(&worked.between),
            "killed_inside_a_mail": kill(&worked.inside),
            "approvals": worked.consents.iter().map(Consent::to_json).collect::<Vec<_>>(),
            "mails": self.house.company.taken,
            "memories": memories,
            "budget": morning.stopped.to_json(),
            "verifier": proof.to_json(),
            "artifacts": saved.iter().map(Saved::to_json).collect::<Vec<_>>(),
            "receipts": receipts.to_json(),
            "checks": self.checks.iter().map(Check::to_json).collect::<Vec<_>>(),
            "data_folder": self.folder.as_ref().map(|folder| folder.join(DATA)),
            "seconds": self.seconds,
        })
    }

    fn text(&self) -> String {
        let Played { worked, receipts, saved, .. } = self.played;
        let whose =
            if self.house.stage.scripted { "The answer (scripted words around real numbers)" } else { "The answer" };
        let answer = escape::lines(worked.ending.answer.as_deref().unwrap_or("-"));
        let mut out = format!("{whose}\n\n{}\n\nWhat it published\n\n", answer.trim_end());
        for one in saved {
            out.push_str(&format!("  {}  {} bytes\n", escape::line(&one.saved_as.display().to_string()), one.size));
        }
        let tally = receipts.tally();
        out.push_str(&format!(
            "\nWhat was seen, and checked ({} actions of the session, each with a receipt)\n\n",
            tally.decided
        ));
        out.extend(self.checks.iter().map(Check::line));
        out.push_str(&format!(
            "\nDone in {:.1} s. `bailiwick demo --serve` leaves the company running for you to try.\n",
            self.seconds
        ));
        if let Some(folder) = &self.folder {
            let (data, receipts) = (folder.join(DATA), folder.join("receipts"));
            let (data, receipts) = (data.display(), receipts.display());
            out.push_str(&format!(
                "The data folder is {data}. Look at it: bailiwick serve --data {data}, then\nbailiwick session show {} \
                 --data {data}\nThe receipts are in {receipts}: bailiwick-verify {receipts}\n",
                worked.session
            ));
        }
        out
    }
}

/// Sets everything up, says where it is, and leaves it running until Ctrl-C.
pub(super) async fn serve(options: Demo, terminal: Terminal) -> Outcome {
    let mut screen = Screen::new(terminal);
    screen.note(format!("{NAME}, to be tried by hand\n"));
    let mut house = House::build(&options, &mut screen).await?;
    let server = Server::start(&house.stage.data, &house.stage.config).await?;
    let done = tokio::select! {
        done = open(&server, &house, &mut screen, terminal) => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "the demo was interrupted")),
    };
    if done.is_ok() {
        let _ = tokio::signal::ctrl_c().await;
        screen.note("\n● closing");
    }
    job::wipe(&server).await;
    server.stop().await;
    if options.keep {
        house.scratch.keep();
        house.books.keep();
    }
    done
}

async fn open(server: &Server, house: &House, screen: &mut Screen, terminal: Terminal) -> Outcome {
    let (admin, url) = (server.client()?, server.url()?);
    let setting = Setting::make(&admin, &url, MODEL, &house.company, &house.people, &house.papers(), screen).await?;
    let agent = setting.cast.agent.clone();
    let secrets = house.scratch.path().join("sign-ins.json");
    let kept = serde_json::to_vec_pretty(&house.people).doing(|| "write down the sign-ins".to_owned())?;
    files::write_whole(&secrets, &kept, 0o600).doing(|| "write down the sign-ins".to_owned())?;
    let at = &house.company.addresses;
    let data = house.stage.data.display().to_string();
    let document = json!({
        "server": url, "data_folder": data, "agent_id": agent, "login": "sofia", "password": setting.password,
        "connectors": setting.connectors.iter().map(|(name, kind, _)| json!({"name": name, "kind": kind})).collect::<Vec<_>>(),
        "addresses": at, "sign_ins": secrets, "scripted": house.stage.scripted,
    });
    terminal.result(&document, || {
        let mut out = format!("\nServer       {url}   (data folder {data})\nAgent        {agent}\n");
        out.push_str(&format!("Sign in as   sofia, password {}\n\nConnectors\n\n", setting.password));
        for (name, kind, place) in &setting.connectors {
            let place = match kind.as_str() {
                "mail" => format!("127.0.0.1, SMTP {}, IMAP {}", at.smtp_port, at.imap_port),
                "mcp" => at.minutes.clone(),
                "documents" => house.papers().display().to_string(),
                "database" => match &at.books {
                    Books::Postgres { socket, database, .. } => format!("postgres `{database}` at {}", socket.display()),
                    Books::Sqlite { path, .. } => path.display().to_string(),
                },
                "people" => "the organisation's own directory".to_owned(),
                _ => place.clone(),
            };
            out.push_str(&format!("  {name:<10} {kind:<9} {}\n", escape::line(&place)));
        }
        out.push_str(&format!(
            "\nEverybody's own sign-ins to these are in {}\n\nIn another terminal:\n\n  bailiwick login --login sofia --server {url}\n  \
             bailiwick run \"Prepare my three o'clock.\" --agent {agent} --server {url}\n  bailiwick approval list --server {url}\n\n\
             Ctrl-C ends everything{}.\n",
            secrets.display(),
            if house.stage.scripted { "" } else { "; the model is yours" }
        ));
        out
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenario_has_a_place_for_everything_that_is_put_into_it() {
        for marker in ["@TODAY@", "@TOMORROW@", "@BRIEF.PY@"] {
            assert!(SCENARIO.contains(marker), "{marker}");
        }
        // It stands between three quotes of TOML.
        assert!(!BRIEF.contains("'''") && !BRIEF.contains("{{"));
    }
}
