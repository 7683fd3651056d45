//! The handshake.

use crate::{Empty, FileUri, Method, Notice};
use serde::{Deserialize, Serialize};

/// The first request on every connection.
#[derive(Debug)]
pub struct Initialize;

impl Method for Initialize {
    const NAME: &'static str = "initialize";
    type Params = InitializeParams;
    type Result = InitializeResult;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    pub client_name: String,
    /// Takes up this session with its processes, instead of beginning a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_session_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    pub session_id: String,
    #[serde(default)]
    pub environment_info: Option<EnvironmentInfo>,
}

/// Sent by the client after the answer to `initialize`. Any other notification from a client makes the stock executor
/// drop the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initialized {}

impl Notice for Initialized {
    const NAME: &'static str = "initialized";
}

/// Asks for what `initialize` said of the environment.
#[derive(Debug)]
pub struct GetEnvironmentInfo;

impl Method for GetEnvironmentInfo {
    const NAME: &'static str = "environment/info";
    type Params = Empty;
    type Result = EnvironmentInfo;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentInfo {
    pub shell: Shell,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_version: Option<String>,
    /// The folder that the executor was started in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<FileUri>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_home_dir: Option<FileUri>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_os: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temp_dir: Option<FileUri>,
    /// What this executor can do beyond the basics, by name.
    #[serde(default)]
    pub capabilities: serde_json::Map<String, serde_json::Value>,
}

impl EnvironmentInfo {
    /// Whether it takes `fs/open` in mode `replace` and `fs/writeBlock`.
    pub fn streams_writes(&self) -> bool {
        self.capabilities.get("fileWriteStreaming").and_then(serde_json::Value::as_bool).unwrap_or(false)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shell {
    /// `bash`, `sh`, `zsh` …
    pub name: String,
    /// A path on the executor's machine.
    pub path: String,
}
