//! `bailiwick skill …`: instructions with their files that agents load when they need them.

use super::{text, time};
use crate::{
    cli::Skill,
    client::{Client, encode},
    failure::{Doing as _, Failure, Outcome},
    files,
    terminal::{Table, Terminal, escape},
};
use bailiwick_skills::{Bundle, MAX_ARCHIVE, MAX_BYTES, MAX_FILES};
use serde_json::{Value, json};
use std::path::Path;

const SKILLS: &str = "/v1/skills";

pub async fn perform(command: Skill, terminal: Terminal) -> Outcome {
    match command {
        Skill::Add { path, to, default, target, .. } => {
            let bundle = read(&path)?;
            add(&Client::of(&target)?, &bundle, to.as_deref(), default, terminal).await
        }
        Skill::List { target, .. } => list(&Client::of(&target)?, terminal).await,
        Skill::Show { skill, target, .. } => show(&Client::of(&target)?, &skill, terminal).await,
        Skill::Remove { skill, version, reason, target, .. } => {
            remove(&Client::of(&target)?, &skill, version, &reason, terminal).await
        }
    }
}

/// Reads what the server would refuse here already, where its name says more.
fn read(path: &Path) -> Outcome<Bundle> {
    let place = || format!("read {}", path.display());
    let bundle = if path.is_dir() {
        let files = files::read_tree(path, MAX_FILES, MAX_BYTES).doing(place)?;
        let name = path.canonicalize().doing(place)?;
        let name = name.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        Bundle::of_folder(name.as_deref(), files)
    } else {
        Bundle::of_zip(&files::read_bounded(path, MAX_ARCHIVE as u64).doing(place)?)
    };
    bundle.map_err(|error| {
        Failure::usage(format!("{}: {error}", path.display()))
            .help("docs/skills.md says what a skill is, and agentskills.io/specification in full")
    })
}

async fn add(client: &Client, bundle: &Bundle, to: Option<&str>, default: bool, terminal: Terminal) -> Outcome {
    let name = &bundle.manifest().name;
    let known = match to {
        Some(wanted) => Some(find(client, wanted).await?),
        None => {
            let mut same: Vec<Value> = client.list(SKILLS, usize::MAX).await?;
            same.retain(|skill| text(skill, "name") == name);
            if same.len() > 1 {
                return Err(Failure::failed(format!("several skills are called `{name}`"))
                    .help("say with --to which one gets the new version"));
            }
            same.pop()
        }
    };
    let (path, texts): (String, &[(&str, &str)]) = match &known {
        None => (SKILLS.to_owned(), &[]),
        Some(skill) => {
            let path = format!("{SKILLS}/{}/versions", encode(text(skill, "id")));
            (path, if default { &[("default", "true")] } else { &[] })
        }
    };
    let added = client.send_form(&path, texts, ("files", &format!("{name}.zip")), bundle.to_zip()).await?;
    terminal.result(&added, || match &known {
        None => format!("kept {} {}\n", escape::line(text(&added, "id")), escape::line(name)),
        Some(skill) => format!(
            "kept version {} of {} {}\n",
            escape::line(text(&added, "version")),
            escape::line(text(skill, "id")),
            escape::line(name)
        ),
    });
    Ok(())
}

async fn find(client: &Client, wanted: &str) -> Outcome<Value> {
    if wanted.parse::<bailiwick_types::SkillId>().is_ok() {
        return client.get(&format!("{SKILLS}/{}", encode(wanted))).await;
    }
    let mut named: Vec<Value> = client.list(SKILLS, usize::MAX).await?;
    let names: Vec<String> = named.iter().map(|skill| text(skill, "name").to_owned()).collect();
    named.retain(|skill| text(skill, "name") == wanted);
    match named.len() {
        1 => Ok(named.remove(0)),
        0 => {
            let failure = Failure::failed(format!("there is no skill `{}`", escape::line(wanted)));
            Err(match crate::config::nearest(wanted, names.iter().map(String::as_str)) {
                Some(near) => failure.help(format!("did you mean `{near}`?")),
                None => failure.help("list them with `bailiwick skill list`"),
            })
        }
        several => {
            let ids: Vec<&str> = named.iter().map(|skill| text(skill, "id")).collect();
            Err(Failure::failed(format!("{several} skills are called `{}`", escape::line(wanted)))
                .help(format!("take an id: {}", ids.join(", "))))
        }
    }
}

async fn list(client: &Client, terminal: Terminal) -> Outcome {
    let skills = client.list(SKILLS, usize::MAX).await?;
    terminal.result(&json!({"skills": skills}), || {
        if skills.is_empty() {
            return "There are no skills. Keep one with `bailiwick skill add FOLDER`.\n".to_owned();
        }
        let mut table = Table::new(&["ID", "NAME", "DEFAULT", "LATEST", "FOR"]);
        for skill in &skills {
            let words = escape::brief(text(skill, "description"), 60);
            let version = |field| text(skill, field);
            table.row([
                text(skill, "id"),
                text(skill, "name"),
                version("default_version"),
                version("latest_version"),
                &words,
            ]);
        }
        table.render()
    });
    Ok(())
}

async fn show(client: &Client, wanted: &str, terminal: Terminal) -> Outcome {
    let skill = find(client, wanted).await?;
    let path = format!("{SKILLS}/{}/versions", encode(text(&skill, "id")));
    let versions = client.list(&path, usize::MAX).await?;
    terminal.result(&json!({"skill": skill, "versions": versions}), || {
        let lines = [
            ("id", escape::line(text(&skill, "id"))),
            ("name", escape::line(text(&skill, "name"))),
            ("for", escape::line(text(&skill, "description"))),
            ("default", escape::line(text(&skill, "default_version"))),
            ("by", escape::line(text(&skill["bailiwick"], "by"))),
        ];
        let mut shown: String = lines.iter().map(|(name, value)| format!("{name:<10}{value}\n")).collect();
        let mut table = Table::new(&["VERSION", "CREATED", "FILES", "BYTES", "DIGEST", "BY"]);
        for version in &versions {
            let told = &version["bailiwick"];
            let (files, bytes) = (told["files"].to_string(), told["bytes"].to_string());
            let digest = text(told, "digest").chars().take(16).collect::<String>();
            let made = time(&version["created_at"]);
            table.row([text(version, "version"), &made, &files, &bytes, &digest, text(told, "by")]);
        }
        shown.push('\n');
        shown.push_str(&table.render());
        shown
    });
    Ok(())
}

async fn remove(client: &Client, wanted: &str, version: Option<u32>, reason: &str, terminal: Terminal) -> Outcome {
    let skill = find(client, wanted).await?;
    let id = text(&skill, "id");
    let path = match version {
        None => format!("{SKILLS}/{}", encode(id)),
        Some(number) => format!("{SKILLS}/{}/versions/{number}", encode(id)),
    };
    let removed = client.delete_because(&path, reason).await?;
    terminal.result(&removed, || match version {
        None => format!("Removed: {} {}.\n", escape::line(id), escape::line(text(&skill, "name"))),
        Some(number) => format!("Removed: version {number} of {}.\n", escape::line(id)),
    });
    Ok(())
}
