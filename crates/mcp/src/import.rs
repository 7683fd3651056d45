//! The `mcpServers` file that other clients keep, as configurations of ours. A secret in it comes out apart, for a vault;
//! what cannot be taken over is named and never guessed.

use crate::configuration::{McpServer, TransportConfig};
use bailiwick_types::Secret;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use url::Url;

/// Servers of one file.
const MAX_SERVERS: usize = 256;
const MAX_FILE_BYTES: usize = 1 << 20;

/// One server of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    pub name: String,
    /// Or why there is none, in words for whoever has the file.
    pub server: Result<McpServer, String>,
    /// The token that stood in its headers: it belongs into a vault.
    pub bearer: Option<Secret>,
    /// What was left out, and what to do about it.
    pub notes: Vec<String>,
}

/// Reads a file. The error says what is wrong with the whole of it.
pub fn import(text: &str) -> Result<Vec<Imported>, String> {
    if text.len() > MAX_FILE_BYTES {
        return Err(format!("the file has more than {MAX_FILE_BYTES} bytes"));
    }
    let file: Value = serde_json::from_str(text).map_err(|error| format!("the file is not JSON: {error}"))?;
    let servers = file.get("mcpServers").or(file.get("servers")).and_then(Value::as_object);
    let servers = servers.ok_or("the file has no object `mcpServers`")?;
    if servers.len() > MAX_SERVERS {
        return Err(format!("the file has more than {MAX_SERVERS} servers"));
    }
    Ok(servers.iter().map(|(name, entry)| one(name, entry)).collect())
}

fn one(name: &str, entry: &Value) -> Imported {
    let mut imported = Imported { name: name.to_owned(), server: Err(String::new()), bearer: None, notes: Vec::new() };
    let none = Map::new();
    let entry = entry.as_object().unwrap_or(&none);
    let transport = match (entry.get("url").or(entry.get("serverUrl")), entry.get("command")) {
        (Some(url), None) => http(url, entry, &mut imported),
        (None, Some(command)) => stdio(command, entry, &mut imported),
        _ => Err("it must have either a `url` or a `command`".to_owned()),
    };
    imported.server = transport.map(McpServer::new).and_then(|server| match server.check() {
        Ok(()) => Ok(server),
        Err(problem) => Err(problem.to_string()),
    });
    let known = ["url", "serverUrl", "command", "args", "env", "headers", "type", "transport"];
    let others = entry.keys().filter(|key| !known.contains(&key.as_str()));
    imported.notes.extend(others.map(|key| format!("`{key}` means nothing here and was left out")));
    imported
}

fn http(url: &Value, entry: &Map<String, Value>, imported: &mut Imported) -> Result<TransportConfig, String> {
    let kind = entry.get("type").or(entry.get("transport")).and_then(Value::as_str).unwrap_or("http");
    if !matches!(kind, "http" | "streamable-http" | "streamableHttp" | "streamable_http") {
        return Err(format!("its transport `{kind}` is not one that is spoken here: only Streamable HTTP is"));
    }
    let url = url.as_str().and_then(|url| Url::parse(url).ok()).ok_or("`url` is not a URL")?;
    let mut headers = BTreeMap::new();
    for (name, value) in words(entry, "headers")? {
        let token = value.strip_prefix("Bearer ").filter(|_| name.eq_ignore_ascii_case("authorization"));
        if value.contains("${") {
            imported.notes.push(format!("the header `{name}` has a placeholder: fill it in, a secret from a vault"));
        } else if let Some(token) = token {
            imported.bearer = Some(Secret::new(token));
            imported.notes.push("its token belongs into a vault, as a `static_bearer` credential".into());
        } else if ["authorization", "cookie"].contains(&name.to_ascii_lowercase().as_str()) {
            imported.notes.push(format!("the header `{name}` is a secret of a kind that is not sent from here"));
        } else {
            headers.insert(name, value);
        }
    }
    Ok(TransportConfig::Http { url, headers })
}

fn stdio(command: &Value, entry: &Map<String, Value>, imported: &mut Imported) -> Result<TransportConfig, String> {
    let command = command.as_str().ok_or("`command` is not a text")?.to_owned();
    let args = match entry.get("args") {
        None => Vec::new(),
        Some(Value::Array(args)) => args
            .iter()
            .map(|arg| arg.as_str().map(str::to_owned).ok_or("`args` has something that is no text"))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("`args` is not a list".into()),
    };
    let mut env = words(entry, "env")?;
    env.retain(|name, value| {
        let open = value.contains("${");
        if open {
            imported.notes.push(format!("the variable `{name}` has a placeholder: fill it in"));
        }
        !open
    });
    if !env.is_empty() {
        imported.notes.push("its variables are kept in the open: put secrets among them into a vault".into());
    }
    Ok(TransportConfig::Stdio { command, args, env })
}

fn words(entry: &Map<String, Value>, field: &str) -> Result<BTreeMap<String, String>, String> {
    match entry.get(field) {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(words)) => words
            .iter()
            .map(|(name, value)| match value.as_str() {
                Some(value) => Ok((name.clone(), value.to_owned())),
                None => Err(format!("`{field}.{name}` is not a text")),
            })
            .collect(),
        Some(_) => Err(format!("`{field}` is not an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_of_other_clients_are_taken_over_without_their_secrets() {
        let file = json!({ "mcpServers": {
            "files": { "command": "npx", "args": ["-y", "server"], "env": { "A": "b", "KEY": "${KEY}" } },
            "hub": { "type": "http", "url": "https://mcp.example.com/mcp",
                     "headers": { "Authorization": "Bearer s3cret", "X-Team": "sales" }, "disabled": true },
            "old": { "type": "sse", "url": "https://mcp.example.com/sse" },
            "odd": {}, "none": 7,
            "bad": { "url": "ftp://mcp.example.com/" },
        } });
        let all = import(&file.to_string()).unwrap();
        let of = |name: &str| all.iter().find(|each| each.name == name).unwrap();
        let TransportConfig::Stdio { env, .. } = &of("files").server.as_ref().unwrap().transport else { panic!() };
        assert_eq!(env.keys().collect::<Vec<_>>(), ["A"]);
        assert!(of("files").notes.iter().any(|note| note.contains("`KEY`")));
        let hub = of("hub");
        assert_eq!(hub.bearer.as_ref().unwrap().expose(), "s3cret");
        assert!(!format!("{hub:?}").contains("s3cret"));
        let TransportConfig::Http { headers, .. } = &hub.server.as_ref().unwrap().transport else { panic!() };
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["X-Team"]);
        assert!(hub.notes.iter().any(|note| note.contains("`disabled`")));
        for name in ["old", "odd", "none", "bad"] {
            assert!(of(name).server.is_err(), "{name}");
        }
        assert!(import("{}").is_err() && import("[").is_err());
    }
}
