//! A person's standing permission: what it is for, how long it holds, and in which words it is shown before it is made.
//!
//! A grant never allows anything by itself. It stands in for a word that would be asked for: who orders for whom, who
//! passes an answer on, or the answer itself. Whether it still counts is judged by the gate, each time it is used.

use crate::{Action, Label, item::ApprovalView, session::describe, shell};
use bailiwick_types::{ActionId, AgentId, GrantId, KeyId, Millis, Principal, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest life of an answer that was given for more than one action.
pub const MAX_STANDING: Millis = Millis::from_secs(30 * 24 * 3600);
/// Longest life of a program's permission to speak for a person.
pub const MAX_SPEAKING: Millis = Millis::from_secs(365 * 24 * 3600);
/// Bytes of the reason that a person gives.
pub const MAX_GRANT_REASON: usize = 2048;
/// Characters of an action that the words of a grant quote.
const MAX_QUOTED: usize = 1000;
/// Programs that run whatever their arguments say: that a command begins with one says nothing of what it does.
const RUNNERS: [&str; 28] = [
    "ash", "awk", "bash", "bun", "busybox", "dash", "deno", "docker", "doas", "env", "find", "fish", "ksh", "nice",
    "node", "nohup", "perl", "php", "podman", "ruby", "setsid", "sh", "ssh", "sudo", "su", "timeout", "xargs", "zsh",
];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub id: GrantId,
    pub what: What,
    /// Who gave it. It is worth what this person may give at the moment in which it is used.
    pub by: Principal,
    pub since: Timestamp,
    /// It does not hold at this moment any more.
    pub until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The question that it was the answer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<ActionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revocation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub by: Principal,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a grant is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// A program may order work for a person.
    Subject {
        person: UserId,
        key: KeyId,
        /// Only from this agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentId>,
        /// Operations (`file.read`) or kinds (`file.*`) that may be done in such work; with none, whatever the agent and
        /// the person may.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
    },
    /// A program may pass on what a person answers.
    Relay {
        person: UserId,
        key: KeyId,
        /// Only to this agent's questions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentId>,
    },
    /// An answer for more than one action.
    Standing(Standing),
}

/// An answer that was given for more than the action that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub shape: Shape,
    pub reach: GrantReach,
    pub agent: AgentId,
    /// Whom the agent worked for, and must work for.
    pub orderer: Principal,
    /// The rule that asked. What another one asks is another question.
    pub rule: String,
    /// Of the session when it was answered. With worse in it the question is another one, too.
    #[serde(default, skip_serializing_if = "Label::is_usual")]
    pub label: Label,
}

impl Standing {
    /// Whether it may be an answer to a question that waits. Whether it is one is for the gate to say.
    pub fn may_answer(&self, asked: &ApprovalView) -> bool {
        let Principal::Agent { id, on_behalf_of: Some(orderer), .. } = &asked.principal else { return false };
        let here = match self.reach {
            GrantReach::Session { id } => id == asked.session,
            GrantReach::Agent => true,
        };
        let asks = self.agent == *id && self.orderer == **orderer && self.rule == asked.question.rule;
        here && asks && self.shape.covers(&asked.arguments)
    }
}

/// Which actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Shape {
    /// These very arguments, in whichever environment of the agent.
    Exact {
        /// SHA-256 over the canonical arguments without the environment's id, in hexadecimal.
        digest: String,
        /// In plain words.
        what: String,
    },
    /// One plain command (no list, pipe, substitution or redirection) that begins with these words.
    Command { words: Vec<String> },
    /// The same operation on the same path.
    Path { operation: String, path: String },
    /// The same operation; of a function of the application, the same function.
    Tool {
        operation: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

/// Where and for how long at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GrantReach {
    /// In this session.
    Session { id: SessionId },
    /// Wherever the agent works for whoever it worked for.
    Agent,
}

impl Grant {
    /// Whether it holds at `now`, whoever gave it.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.until
    }

    /// The program that it lets speak.
    pub fn key(&self) -> Option<KeyId> {
        match &self.what {
            What::Subject { key, .. } | What::Relay { key, .. } => Some(*key),
            What::Standing(_) => None,
        }
    }

    /// The person whose work or word it is about.
    pub fn person(&self) -> Option<UserId> {
        match &self.what {
            What::Subject { person, .. } | What::Relay { person, .. } => Some(*person),
            What::Standing(standing) => standing.orderer.person(),
        }
    }
}

impl What {
    /// Longest life of such a grant.
    pub fn longest(&self) -> Millis {
        match self {
            Self::Subject { .. } | Self::Relay { .. } => MAX_SPEAKING,
            Self::Standing(_) => MAX_STANDING,
        }
    }

    /// In plain words, without who gives it: shown before it is made, and ever after. `name` names a person.
    pub fn words(&self, name: &dyn Fn(&Principal) -> String) -> String {
        let person = |id: &UserId| name(&Principal::User { id: *id });
        let from = |agent: &Option<AgentId>| agent.map_or("any agent".to_owned(), |id| format!("the agent {id}"));
        match self {
            Self::Subject { person: id, key, agent, scopes } => {
                let scopes = match &scopes[..] {
                    [] => "whatever both may".to_owned(),
                    some => format!("no more than {}", some.join(", ")),
                };
                format!("the program {key} may order work from {} for {}: {scopes}", from(agent), person(id))
            }
            Self::Relay { person: id, key, agent } => {
                format!("the program {key} may pass on what {} answers to questions of {}", person(id), from(agent))
            }
            Self::Standing(Standing { shape, reach, agent, orderer, rule, .. }) => {
                let place = match reach {
                    GrantReach::Session { id } => format!("in the session {id}"),
                    GrantReach::Agent => "in every session".to_owned(),
                };
                let orderer = name(orderer);
                format!(
                    "{}, whenever the agent {agent} wants that {place} while it works for {orderer} and the rule \
                     `{rule}` asks, as long as nothing less trusted or more confidential is in the session than now",
                    shape.words()
                )
            }
        }
    }
}

impl Shape {
    /// The shapes that a person may be offered for an action, the narrowest first.
    pub fn of(action: &Action) -> Vec<Self> {
        let mut shapes = vec![Self::exact(action)];
        shapes.extend(command_words(action).map(|words| Self::Command { words }));
        let operation = action.operation().to_owned();
        shapes.extend(path(action).map(|path| Self::Path { operation: operation.clone(), path: path.to_owned() }));
        let name = match action {
            Action::FunctionCall { name, .. } => Some(name.clone()),
            _ => None,
        };
        shapes.push(Self::Tool { operation, name });
        shapes
    }

    fn exact(action: &Action) -> Self {
        Self::Exact { digest: digest(action), what: quoted(&describe(action)) }
    }

    /// Its name where one of several is chosen.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exact { .. } => "exact",
            Self::Command { .. } => "command",
            Self::Path { .. } => "path",
            Self::Tool { .. } => "tool",
        }
    }

    pub fn covers(&self, action: &Action) -> bool {
        match self {
            Self::Exact { digest: known, .. } => *known == digest(action),
            Self::Command { words } => program_and_arguments(action).is_some_and(|theirs| theirs.starts_with(words)),
            Self::Path { operation, path: known } => action.operation() == operation && path(action) == Some(known),
            Self::Tool { operation, name } => {
                let theirs = match action {
                    Action::FunctionCall { name, .. } => Some(name),
                    _ => None,
                };
                action.operation() == operation && theirs == name.as_ref()
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Exact { what, .. } => format!("exactly this, with these very arguments: {what}"),
            Self::Command { words } => {
                format!("every plain command that begins with `{}`, with whatever arguments", words.join(" "))
            }
            Self::Path { operation, path } => format!("every `{operation}` of {path}, whatever else it says"),
            Self::Tool { operation, name: None } => format!("every `{operation}`, with whatever arguments"),
            Self::Tool { name: Some(name), .. } => {
                format!("every call of the function `{name}`, with whatever arguments")
            }
        }
    }
}

/// A plain command that runs in the foreground. `None` for everything else, and for programs that run others.
fn program_and_arguments(action: &Action) -> Option<Vec<String>> {
    let Action::CommandRun(run) = action else { return None };
    let words = shell::plain(&run.command).filter(|_| !run.background)?;
    let program = words.first()?;
    let name = program.rsplit('/').next().unwrap_or(program);
    let runs_others = RUNNERS.contains(&name) || name.starts_with("python") || name.starts_with("pypy");
    // What lies at a relative path is another program in another folder.
    let anywhere = !program.contains('/') || program.starts_with('/');
    (anywhere && !runs_others).then_some(words)
}

/// The words that say what a command does: its program, and the subcommand where there is one.
fn command_words(action: &Action) -> Option<Vec<String>> {
    let mut words = program_and_arguments(action)?;
    let plain = |word: &String| word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains(['.', '/', '=']);
    let keep = if words.get(1).is_some_and(plain) { 2 } else { 1 };
    words.truncate(keep);
    Some(words)
}

/// The file or folder that an operation is about.
fn path(action: &Action) -> Option<&str> {
    match action {
        Action::FileRead { path, .. }
        | Action::FileWrite { path, .. }
        | Action::FileAdd { path, .. }
        | Action::FileEdit { path, .. }
        | Action::FileList { path, .. }
        | Action::FileSearch { path, .. }
        | Action::ImageView { path, .. } => Some(path),
        _ => None,
    }
}

/// The same in every environment, because an agent has another one in each session.
fn digest(action: &Action) -> String {
    // INVARIANT: an action is JSON in canonical form already (see `Action::canonical`).
    let mut value = serde_json::to_value(action).expect("an action is JSON");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("environment");
    }
    let canonical = serde_jcs::to_vec(&value).expect("an action is JSON");
    Sha256::digest(&canonical).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((cut, _)) => format!("{} … and {} bytes more, which count too", &text[..cut], text.len() - cut),
        None => text.to_owned(),
    }
}

/// Whether an entry of a grant's scopes lists an operation: by its name, or by its kind and a star (`file.*`).
pub fn is_in_scope(entry: &str, operation: &str) -> bool {
    match entry.strip_suffix(".*") {
        Some(kind) => operation.split_once('.').is_some_and(|(of, _)| of == kind),
        None => entry == operation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CommandRun;
    use bailiwick_types::EnvironmentId;

    fn command(text: &str, environment: u128) -> Action {
        Action::CommandRun(CommandRun {
            environment: EnvironmentId::from_u128(environment),
            command: text.into(),
            cwd: "/workspace".into(),
            timeout_ms: Millis(1000),
            background: false,
        })
    }

    fn offered(action: &Action, kind: &str) -> Option<Shape> {
        Shape::of(action).into_iter().find(|shape| shape.kind() == kind)
    }

    #[test]
    fn a_command_shape_is_its_first_words_and_no_shell_gets_behind_them() {
        let shape = offered(&command("git push origin main", 1), "command").unwrap();
        assert_eq!(shape, Shape::Command { words: vec!["git".into(), "push".into()] });
        for fits in ["git push", "git push --force elsewhere", " git  'push' x"] {
            assert!(shape.covers(&command(fits, 2)), "{fits}");
        }
        for other in
            ["git pull", "git push; rm -rf /", "git push && ls", "git push $(ls)", "git push > x", "git", "gitx push"]
        {
            assert!(!shape.covers(&command(other, 1)), "{other}");
        }
        for runner in ["bash -c ls", "sudo ls", "/usr/bin/env ls", "python3 x.py", "./deploy", "ls | sh", "ls; ls"] {
            assert_eq!(offered(&command(runner, 1), "command"), None, "{runner}");
        }
    }

    #[test]
    fn exact_is_every_argument_and_not_the_environment() {
        let shape = offered(&command("ls a", 1), "exact").unwrap();
        assert!(shape.covers(&command("ls a", 2)) && !shape.covers(&command("ls b", 1)));
        let call = |name: &str| Action::FunctionCall { name: name.into(), arguments: serde_json::json!({}) };
        let tool = offered(&call("pay"), "tool").unwrap();
        assert!(tool.covers(&call("pay")) && !tool.covers(&call("refund")) && !tool.covers(&command("pay", 1)));
    }

    #[test]
    fn long_actions_are_not_cut_in_silence() {
        let words = offered(&command(&"x".repeat(5000), 1), "exact").unwrap().words();
        assert!(words.contains("… and 4000 bytes more"), "{words}");
    }
}
