//! The tools that an agent with an environment has, and the way from a model's tool call to an [`Action`].
//!
//! A call becomes an action only in canonical form: known tool, known fields, right types, absolute paths without dot
//! segments. What does not is refused with a message that the model can act on.

use crate::{Action, AgentConfig, CommandRun, EnvironmentSpec, FunctionTool, ToolSpec, canonical, extract::Shape};
use bailiwick_types::{ActionId, EnvironmentId, Millis};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Longest command in bytes; the system's own limit for one argument is 128 KiB.
const MAX_COMMAND: usize = 100 * 1024;
/// Most lines that one `read_file` gives.
const MAX_LINES: u32 = 10_000;
const DEFAULT_LINES: u32 = 2_000;
const MAX_DEPTH: u32 = 16;
/// Longest wait of one `poll_command`.
const MAX_POLL: Millis = Millis::from_secs(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunCommand {
    command: String,
    cwd: Option<String>,
    timeout_seconds: Option<u64>,
    #[serde(default)]
    background: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PollCommand {
    process_id: ActionId,
    wait_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteToCommand {
    process_id: ActionId,
    input: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StopCommand {
    process_id: ActionId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadFile {
    path: String,
    offset: Option<u32>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteFile {
    path: String,
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditFile {
    path: String,
    old_text: String,
    new_text: String,
    #[serde(default)]
    replace_all: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFiles {
    path: Option<String>,
    depth: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchFiles {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewImage {
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtractValues {
    path: String,
    question: String,
    schema: Value,
}

/// Names that an application's function cannot take in a session with an environment.
pub const BUILT_IN: [&str; 12] = [
    "run_command",
    "poll_command",
    "write_to_command",
    "stop_command",
    "read_file",
    "write_file",
    "edit_file",
    "list_files",
    "search_files",
    "view_image",
    EXTRACT,
    HOLD,
];

/// The tools of an agent with memory.
pub const MEMORY: [&str; 4] = ["memory_search", "memory_read", "memory_write", "memory_forget"];

/// The tools of a session with skills.
pub const SKILLS: [&str; 2] = [LOAD_SKILL, LIST_SKILLS];
pub const LOAD_SKILL: &str = "load_skill";
pub const LIST_SKILLS: &str = "list_skills";

/// The tool by which a model that must not read something gets values out of it.
pub const EXTRACT: &str = "extract_values";
/// The tool by which a model moves a text that it must not read.
pub const HOLD: &str = "hold_value";
/// What stands in the place of lines that are not there, and begins the line after lines that are not all.
pub const FILE_IS_EMPTY: &str = "[the file is empty]";
pub const FILE_ENDS_BEFORE: &str = "[the file has fewer than ";
pub const FILE_GOES_ON: &str = "[the file goes on: read from line ";
/// Bytes of the question of an extraction, and of its schema.
const MAX_QUESTION: usize = 4 * 1024;
const MAX_SCHEMA: usize = 16 * 1024;

/// The tool by which a model finds others that it was not told of.
pub const TOOL_SEARCH: &str = "tool_search";

/// The agent's own functions and the tools of its environment, but for those that are deferred.
pub fn specs(agent: &AgentConfig, environment: &EnvironmentSpec) -> impl Iterator<Item = ToolSpec> {
    let built_in = if environment.id().is_some() { environment_tools() } else { Vec::new() };
    built_in.into_iter().chain(agent.tools.iter().filter(|tool| !tool.deferred).map(spec))
}

/// The agent's own functions that a search finds.
pub fn deferred(agent: &AgentConfig) -> impl Iterator<Item = ToolSpec> {
    agent.tools.iter().filter(|tool| tool.deferred).map(spec)
}

fn spec(tool: &FunctionTool) -> ToolSpec {
    let (name, description) = (tool.name.clone(), tool.description.clone());
    ToolSpec { name, description, parameters: tool.parameters.clone() }
}

fn environment_tools() -> Vec<ToolSpec> {
    let text = json!({"type": "string"});
    let process = json!({"type": "string", "description": "The process id that run_command answered."});
    let path = json!({"type": "string", "description": "Absolute, or relative to the working directory."});
    let tool = |name: &str, description: &str, properties: Value, required: &[&str]| ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        }),
    };
    vec![
        tool(
            "run_command",
            "Run a command in a shell and wait for it to end. With `background` it keeps running and a process id comes \
             back at once.",
            json!({
                "command": text,
                "cwd": path,
                "timeout_seconds": {"type": "integer", "minimum": 1, "description": "Default 120."},
                "background": {"type": "boolean"},
            }),
            &["command"],
        ),
        tool(
            "poll_command",
            "Read what a background command has printed since the last poll, and whether it has ended.",
            json!({"process_id": process, "wait_seconds": {"type": "integer", "minimum": 0, "maximum": 60}}),
            &["process_id"],
        ),
        tool(
            "write_to_command",
            "Write text to the standard input of a background command.",
            json!({"process_id": process, "input": text}),
            &["process_id", "input"],
        ),
        tool("stop_command", "Stop a background command.", json!({"process_id": process}), &["process_id"]),
        tool(
            "read_file",
            "Read lines of a text file.",
            json!({
                "path": path,
                "offset": {"type": "integer", "minimum": 1, "description": "First line, counted from 1."},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LINES, "description": "Default 2000 lines."},
            }),
            &["path"],
        ),
        tool(
            "write_file",
            "Create or replace a text file. Missing folders are made.",
            json!({"path": path, "content": text}),
            &["path", "content"],
        ),
        tool(
            "edit_file",
            "Replace a piece of text in a file. The old text must occur exactly once, unless `replace_all`.",
            json!({"path": path, "old_text": text, "new_text": text, "replace_all": {"type": "boolean"}}),
            &["path", "old_text", "new_text"],
        ),
        tool(
            "list_files",
            "List a folder.",
            json!({"path": path, "depth": {"type": "integer", "minimum": 1, "maximum": MAX_DEPTH}}),
            &[],
        ),
        tool(
            "search_files",
            "Find lines that match a regular expression in files below a folder.",
            json!({"pattern": text, "path": path, "glob": {"type": "string", "description": "Such as `*.py`."}}),
            &["pattern"],
        ),
        tool("view_image", "Look at an image file (PNG, JPEG, GIF or WebP).", json!({"path": path}), &["path"]),
        tool(
            EXTRACT,
            "Have a text file read for you, without reading it yourself, and get values out of it: for content that nobody \
             vouches for. `schema` is a JSON Schema object whose properties are booleans, integers or numbers with \
             `minimum` and `maximum`, strings with an `enum`, with `format: date`, or with a `pattern` of at most 32 \
             characters such as `[A-Z]{2}-[0-9]{6}`, or arrays of the first four with `maxItems`. Free text is not possible.",
            json!({"path": path, "question": text, "schema": {"type": "object"}}),
            &["path", "question", "schema"],
        ),
        tool(
            HOLD,
            "Pass a text file on without reading it: you get a handle such as {{held:act_…}}. Put the handle, exactly as it is, \
             into the content of write_file, the new text of edit_file, the input of write_to_command or a text argument of a \
             function or another tool, and the text is filled in there when the call is let through. You are not told what comes back from \
             such a call, only whether it was done.",
            json!({
                "path": path,
                "offset": {"type": "integer", "minimum": 1, "description": "First line, counted from 1."},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LINES, "description": "Default all lines."},
            }),
            &["path"],
        ),
    ]
}

/// Makes an action of a tool call. The error is for the model.
pub fn to_action(
    name: &str,
    arguments: &str,
    agent: &AgentConfig,
    environment: &EnvironmentSpec,
) -> Result<Action, String> {
    if let Some(tool) = agent.tools.iter().find(|tool| tool.name == name) {
        let arguments = canonical::arguments(arguments, &tool.parameters)?;
        return Ok(Action::FunctionCall { name: name.to_owned(), arguments });
    }
    match environment.id() {
        Some(id) if BUILT_IN.contains(&name) => {
            let place = Place { id, workspace: environment.workspace() };
            environment_action(name, arguments, &place, agent.limits.command_time_ms)
        }
        _ => Err(format!("There is no tool `{name}`. {}", known_tools(agent, environment))),
    }
}

struct Place<'a> {
    id: EnvironmentId,
    workspace: &'a str,
}

impl Place<'_> {
    fn path(&self, text: &str) -> Result<String, String> {
        canonical::path(text, self.workspace).map_err(|problem| format!("A path {problem}."))
    }
}

fn environment_action(name: &str, arguments: &str, place: &Place<'_>, longest: Millis) -> Result<Action, String> {
    let environment = place.id;
    Ok(match name {
        "run_command" => run_command(parse(arguments)?, place, longest)?,
        "poll_command" => {
            let call: PollCommand = parse(arguments)?;
            let wait_ms = Millis::from_secs(call.wait_seconds.unwrap_or(0).min(MAX_POLL.0 / 1000));
            Action::CommandPoll { environment, process: call.process_id, wait_ms }
        }
        "write_to_command" => {
            let call: WriteToCommand = parse(arguments)?;
            Action::CommandWrite { environment, process: call.process_id, input: call.input }
        }
        "stop_command" => {
            let call: StopCommand = parse(arguments)?;
            Action::CommandStop { environment, process: call.process_id }
        }
        "read_file" => {
            let call: ReadFile = parse(arguments)?;
            let limit = call.limit.unwrap_or(DEFAULT_LINES).clamp(1, MAX_LINES);
            let offset = call.offset.unwrap_or(1).max(1);
            Action::FileRead { environment, path: place.path(&call.path)?, offset, limit }
        }
        "write_file" => {
            let call: WriteFile = parse(arguments)?;
            Action::FileWrite { environment, path: place.path(&call.path)?, content: call.content }
        }
        "edit_file" => {
            let call: EditFile = parse(arguments)?;
            if call.old_text.is_empty() {
                return Err("`old_text` must not be empty; use write_file for a new file.".into());
            }
            let path = place.path(&call.path)?;
            Action::FileEdit { environment, path, old: call.old_text, new: call.new_text, all: call.replace_all }
        }
        "list_files" => {
            let call: ListFiles = parse(arguments)?;
            let path = place.path(call.path.as_deref().unwrap_or("."))?;
            Action::FileList { environment, path, depth: call.depth.unwrap_or(1).clamp(1, MAX_DEPTH), page: None }
        }
        "search_files" => {
            let call: SearchFiles = parse(arguments)?;
            let path = place.path(call.path.as_deref().unwrap_or("."))?;
            Action::FileSearch { environment, path, pattern: call.pattern, glob: call.glob }
        }
        EXTRACT => {
            let call: ExtractValues = parse(arguments)?;
            extraction(arguments)?;
            Action::FileRead { environment, path: place.path(&call.path)?, offset: 1, limit: MAX_LINES }
        }
        HOLD => {
            let call: ReadFile = parse(arguments)?;
            let (offset, limit) =
                (call.offset.unwrap_or(1).max(1), call.limit.unwrap_or(MAX_LINES).clamp(1, MAX_LINES));
            Action::FileRead { environment, path: place.path(&call.path)?, offset, limit }
        }
        _ => {
            let call: ViewImage = parse(arguments)?;
            Action::ImageView { environment, path: place.path(&call.path)? }
        }
    })
}

/// What an extraction asks, and the one form of its schema. The error is for the model.
pub(crate) fn extraction(arguments: &str) -> Result<(String, Value), String> {
    let ExtractValues { question, schema, .. } = parse(arguments)?;
    if question.trim().is_empty() || question.len() > MAX_QUESTION {
        return Err(format!("`question` must have 1 to {MAX_QUESTION} bytes."));
    }
    let shape = Shape::read(&schema).map_err(|problem| format!("{problem}."))?;
    let schema = shape.schema();
    if schema.to_string().len() > MAX_SCHEMA {
        return Err(format!("`schema` must have at most {MAX_SCHEMA} bytes."));
    }
    Ok((question, schema))
}

fn run_command(call: RunCommand, place: &Place<'_>, longest: Millis) -> Result<Action, String> {
    if call.command.trim().is_empty() {
        return Err("`command` must not be empty.".into());
    }
    if call.command.len() > MAX_COMMAND || call.command.contains('\0') {
        return Err(format!("`command` must be at most {MAX_COMMAND} bytes without a zero byte."));
    }
    let wanted =
        call.timeout_seconds.map_or(Millis::from_secs(120), |seconds| Millis(seconds.max(1).saturating_mul(1000)));
    Ok(Action::CommandRun(CommandRun {
        environment: place.id,
        command: call.command,
        cwd: place.path(call.cwd.as_deref().unwrap_or("."))?,
        timeout_ms: wanted.min(longest),
        background: call.background,
    }))
}

/// Reads a tool's arguments. The error is for the model.
pub(crate) fn parse<T: DeserializeOwned>(arguments: &str) -> Result<T, String> {
    let text = if arguments.trim().is_empty() { "{}" } else { arguments };
    serde_json::from_str(text).map_err(|error| format!("The arguments do not fit: {error}."))
}

fn known_tools(agent: &AgentConfig, environment: &EnvironmentSpec) -> String {
    let built_in: &[&str] = if environment.id().is_some() { &BUILT_IN } else { &[] };
    let memory: &[&str] = if agent.memory.is_some() { &MEMORY } else { &[] };
    let told = agent.tools.iter().filter(|tool| !tool.deferred).map(|tool| tool.name.as_str());
    let names: Vec<&str> = built_in.iter().chain(memory).copied().chain(told).collect();
    if names.is_empty() { "This session has no tools.".into() } else { format!("There are: {}.", names.join(", ")) }
}
