//! The scenario file: its form, and everything about it that can be wrong. The page for users is docs/rehearsal.md.

use super::template::{Template, is_label};
use bailiwick_core::FailureCode;
use bailiwick_types::{Millis, TokenUsage};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::HashSet, fmt, path::Path};
use toml::de::{DeTable, DeValue};

/// The most bytes in a scenario file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The longest pause in a scenario.
const MAX_DELAY: Millis = Millis::from_secs(600);
/// The most tools that one step may call.
const MAX_CALLS: usize = 64;

/// What is wrong with a scenario file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    pub file: String,
    /// Counts from 1. Not known for a JSON file that is well formed.
    pub line: Option<usize>,
    /// `step 2`, or `step 2 of turn 3` where there are turns.
    pub step: Option<String>,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scenario {}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(step) = &self.step {
            write!(f, ", {step}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for ScenarioError {}

/// A checked scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub(super) file: String,
    pub(super) turns: Vec<Turn>,
    /// Whether the file speaks of turns, so that messages do too.
    pub(super) has_turns: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) contains: Option<String>,
    pub(super) matches: Option<Regex>,
    pub(super) instructions: Option<String>,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) reasoning: Option<Template>,
    pub(super) say: Option<Template>,
    pub(super) delay: Millis,
    pub(super) calls: Vec<Call>,
    pub(super) fail: Option<Fail>,
    pub(super) usage: TokenUsage,
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) tool: String,
    pub(super) label: String,
    pub(super) arguments: Arguments,
}

/// JSON whose texts are templates.
#[derive(Debug, Clone)]
pub(super) enum Arguments {
    Text(Template),
    List(Vec<Arguments>),
    Map(Vec<(String, Arguments)>),
    Plain(Value),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fail {
    pub(super) code: FailureCode,
    #[serde(default)]
    pub(super) message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    step: Vec<StepForm>,
    #[serde(default)]
    turn: Vec<TurnForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnForm {
    #[serde(default)]
    when: When,
    #[serde(default)]
    step: Vec<StepForm>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct When {
    #[serde(default)]
    user_contains: Option<String>,
    #[serde(default)]
    user_matches: Option<String>,
    #[serde(default)]
    instructions_contain: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepForm {
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    say: Option<String>,
    #[serde(default)]
    delay_ms: Millis,
    #[serde(default)]
    call: Vec<CallForm>,
    #[serde(default)]
    fail: Option<Fail>,
    #[serde(default)]
    usage: UsageForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallForm {
    tool: String,
    #[serde(default, rename = "as")]
    label: Option<String>,
    #[serde(default)]
    arguments: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct UsageForm {
    input: u64,
    cached_input: u64,
    output: u64,
    reasoning_output: u64,
}

impl Scenario {
    /// Reads and checks a file: JSON when its name ends in `.json`, else TOML.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let refuse = |problem: String| ScenarioError { file: file.clone(), line: None, step: None, problem };
        let unreadable = |error: std::io::Error| refuse(format!("cannot be read: {error}"));
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_FILE_BYTES {
            return Err(refuse(format!("has {size} bytes; the most is {MAX_FILE_BYTES}")));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 text".to_owned()))?;
        Self::parse(&file, &text)
    }

    /// Checks the text of a file; `file` is its name for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let refuse = |line, problem| ScenarioError { file: file.to_owned(), line, step: None, problem };
        let (form, lines): (FileForm, Lines) = if file.ends_with(".json") {
            let form = serde_json::from_str(text)
                .map_err(|error| refuse(Some(error.line()).filter(|line| *line > 0), error.to_string()))?;
            (form, Lines::default())
        } else {
            let form = toml::from_str(text).map_err(|error: toml::de::Error| {
                refuse(error.span().map(|span| line_at(text, span.start)), error.message().to_owned())
            })?;
            (form, Lines::of(text))
        };
        let has_turns = !form.turn.is_empty();
        if has_turns && !form.step.is_empty() {
            let problem = "has steps outside of its turns; put every `[[step]]` into a `[[turn]]` as `[[turn.step]]`";
            return Err(refuse(lines.step(0, 0), problem.to_owned()));
        }
        let turns = if has_turns { form.turn } else { vec![TurnForm { when: When::default(), step: form.step }] };
        let mut check = Check { file, lines, has_turns, labels: HashSet::new() };
        let turns =
            turns.into_iter().enumerate().map(|(at, turn)| check.turn(at, turn)).collect::<Result<Vec<_>, _>>()?;
        check.references(&turns)?;
        Ok(Self { file: file.to_owned(), turns, has_turns })
    }

    /// `step 2`, or `step 2 of turn 3`. Both count from 0 here and from 1 there.
    pub(super) fn step_name(&self, turn: usize, step: usize) -> String {
        step_name(self.has_turns, turn, step)
    }
}

fn step_name(has_turns: bool, turn: usize, step: usize) -> String {
    if has_turns { format!("step {} of turn {}", step + 1, turn + 1) } else { format!("step {}", step + 1) }
}

struct Check<'a> {
    file: &'a str,
    lines: Lines,
    has_turns: bool,
    labels: HashSet<String>,
}

impl Check<'_> {
    fn refuse(&self, turn: usize, step: Option<usize>, problem: String) -> ScenarioError {
        let line = match step {
            Some(step) => self.lines.step(turn, step),
            None => self.lines.turn(turn),
        };
        let step = match step {
            Some(step) => Some(step_name(self.has_turns, turn, step)),
            None if self.has_turns => Some(format!("turn {}", turn + 1)),
            None => None,
        };
        ScenarioError { file: self.file.to_owned(), line, step, problem }
    }

    fn turn(&mut self, at: usize, form: TurnForm) -> Result<Turn, ScenarioError> {
        let When { user_contains, user_matches, instructions_contain } = form.when;
        if form.step.is_empty() {
            let what = if self.has_turns { "[[turn.step]]" } else { "[[step]]" };
            return Err(self.refuse(at, None, format!("has no steps; write at least one `{what}`")));
        }
        let matches = match user_matches.map(|pattern| regex::RegexBuilder::new(&pattern).size_limit(1 << 20).build()) {
            None => None,
            Some(Ok(regex)) => Some(regex),
            Some(Err(error)) => return Err(self.refuse(at, None, format!("`when.user_matches`: {error}"))),
        };
        let steps = form.step.into_iter().enumerate().map(|(place, step)| self.step(at, place, step));
        let steps = steps.collect::<Result<_, _>>()?;
        Ok(Turn { contains: user_contains, matches, instructions: instructions_contain, steps })
    }

    fn step(&mut self, turn: usize, at: usize, form: StepForm) -> Result<Step, ScenarioError> {
        if form.say.is_none() && form.call.is_empty() && form.fail.is_none() {
            return Err(self.refuse(
                turn,
                Some(at),
                "does nothing; give it `say`, `[[…step.call]]` or `fail`".to_owned(),
            ));
        }
        if form.fail.is_some() && !form.call.is_empty() {
            return Err(self.refuse(turn, Some(at), "both calls and fails; a failed answer has no calls".to_owned()));
        }
        if form.delay_ms > MAX_DELAY {
            return Err(self.refuse(turn, Some(at), format!("`delay_ms` must not be above {}", MAX_DELAY.0)));
        }
        if form.call.len() > MAX_CALLS {
            return Err(self.refuse(turn, Some(at), format!("calls more than {MAX_CALLS} tools at once")));
        }
        let template = |check: &Self, key: &str, text: Option<String>| {
            let parsed = text.map(|text| Template::parse(&text)).transpose();
            parsed.map_err(|problem| check.refuse(turn, Some(at), format!("`{key}`: {problem}")))
        };
        let (reasoning, say) = (template(self, "reasoning", form.reasoning)?, template(self, "say", form.say)?);
        let calls = form.call.into_iter().map(|call| self.call(turn, at, call)).collect::<Result<_, _>>()?;
        let UsageForm { input, cached_input, output, reasoning_output } = form.usage;
        let usage = TokenUsage { input, cached_input, output, reasoning_output };
        Ok(Step { reasoning, say, delay: form.delay_ms, calls, fail: form.fail, usage })
    }

    fn call(&mut self, turn: usize, at: usize, form: CallForm) -> Result<Call, ScenarioError> {
        if form.tool.is_empty() {
            return Err(self.refuse(turn, Some(at), "`tool` is empty; name the tool to call".to_owned()));
        }
        let label = match form.label {
            Some(label) if !is_label(&label) => {
                let problem = format!("`as = \"{label}\"`: a label is 1 to 20 letters, digits or underscores");
                return Err(self.refuse(turn, Some(at), problem));
            }
            Some(label) if !self.labels.insert(label.clone()) => {
                let problem = format!("`as = \"{label}\"` is used twice; every label must be its own");
                return Err(self.refuse(turn, Some(at), problem));
            }
            Some(label) => label,
            None => String::new(),
        };
        let arguments = Arguments::parse(Value::Object(form.arguments))
            .map_err(|problem| self.refuse(turn, Some(at), format!("`arguments` of `{}`: {problem}", form.tool)))?;
        Ok(Call { tool: form.tool, label, arguments })
    }

    /// Every reference is to a call of an earlier step, or of another turn.
    fn references(&self, turns: &[Turn]) -> Result<(), ScenarioError> {
        let whose = |label: &str| {
            turns.iter().enumerate().find_map(|(turn, form)| {
                let step = form.steps.iter().position(|step| step.calls.iter().any(|call| call.label == label));
                step.map(|step| (turn, step))
            })
        };
        for (at, turn) in turns.iter().enumerate() {
            for (place, step) in turn.steps.iter().enumerate() {
                let arguments = step.calls.iter().flat_map(|call| call.arguments.labels());
                let texts = step.say.iter().chain(&step.reasoning).flat_map(|template| template.labels());
                for label in texts.chain(arguments) {
                    let problem = match whose(label) {
                        None => {
                            format!("`result {label}`: no call has the label `{label}`; add `as = \"{label}\"` to one")
                        }
                        Some((turn, from)) if turn == at && from >= place => {
                            format!(
                                "`result {label}`: that call is made in step {}, which is not before this one",
                                from + 1
                            )
                        }
                        Some(_) => continue,
                    };
                    return Err(self.refuse(at, Some(place), problem));
                }
            }
        }
        Ok(())
    }
}

impl Arguments {
    fn parse(value: Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(&text)?),
            Value::Array(list) => Self::List(list.into_iter().map(Self::parse).collect::<Result<_, _>>()?),
            // How the TOML parser hands on what it read as a date.
            Value::Object(map) if map.keys().any(|key| key.starts_with("$__toml_private")) => {
                return Err("a date is not JSON; write it in quotes".to_owned());
            }
            Value::Object(map) => Self::Map(
                map.into_iter().map(|(key, value)| Ok((key, Self::parse(value)?))).collect::<Result<_, String>>()?,
            ),
            plain => Self::Plain(plain),
        })
    }

    fn labels(&self) -> Vec<&str> {
        match self {
            Self::Text(template) => template.labels().collect(),
            Self::List(list) => list.iter().flat_map(Self::labels).collect(),
            Self::Map(map) => map.iter().flat_map(|(_, value)| value.labels()).collect(),
            Self::Plain(_) => Vec::new(),
        }
    }
}

/// On which line each turn and each step of a TOML file begins.
#[derive(Default)]
struct Lines {
    turns: Vec<usize>,
    steps: Vec<Vec<usize>>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let Ok(root) = DeTable::parse(text) else { return Self::default() };
        let list = |table: &DeTable<'_>, key: &str| -> Vec<(usize, Option<Vec<usize>>)> {
            let Some(DeValue::Array(list)) = table.get(key).map(|value| value.get_ref()) else { return Vec::new() };
            let inner = |value: &DeValue<'_>| match value {
                DeValue::Table(table) => match table.get("step").map(|value| value.get_ref()) {
                    Some(DeValue::Array(steps)) => {
                        Some(steps.iter().map(|step| line_at(text, step.span().start)).collect())
                    }
                    _ => None,
                },
                _ => None,
            };
            list.iter().map(|value| (line_at(text, value.span().start), inner(value.get_ref()))).collect()
        };
        let turns = list(root.get_ref(), "turn");
        if turns.is_empty() {
            let steps = list(root.get_ref(), "step").into_iter().map(|(line, _)| line).collect();
            return Self { turns: Vec::new(), steps: vec![steps] };
        }
        let (turns, steps) = turns.into_iter().map(|(line, steps)| (line, steps.unwrap_or_default())).unzip();
        Self { turns, steps }
    }

    fn turn(&self, turn: usize) -> Option<usize> {
        self.turns.get(turn).copied()
    }

    fn step(&self, turn: usize, step: usize) -> Option<usize> {
        self.steps.get(turn)?.get(step).copied()
    }
}

fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
