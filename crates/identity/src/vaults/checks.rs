//! What vaults and credentials may look like. Every bound has a name, and every complaint names its field.

use bailiwick_ports::vault::{Auth, EnterpriseManaged, McpOauth, Metadata, OauthRefresh, Secrets, VaultError};
use bailiwick_types::Secret;

/// Bytes of a name, after trimming.
pub(super) const MAX_NAME: usize = 256;
/// Bytes of one secret.
pub(super) const MAX_SECRET: usize = 16 * 1024;
const MAX_PAIRS: usize = 16;
const MAX_KEY_CHARS: usize = 64;
const MAX_VALUE_CHARS: usize = 512;
const MAX_HOSTS: usize = 16;
/// Bytes of what an OAuth server is told beside the secrets.
const MAX_WORD: usize = 2048;
const MAX_VARIABLE: usize = 128;
/// Variables that a sandbox needs for itself, and beginnings of such.
const RESERVED: [&str; 12] = [
    "PATH",
    "HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
];
const RESERVED_STARTS: [&str; 3] = ["CODEX_", "BAILIWICK_", "LD_"];

type Checked<T = ()> = Result<T, VaultError>;

fn invalid<T>(field: &'static str, problem: impl Into<String>) -> Checked<T> {
    Err(VaultError::Invalid { field, problem: problem.into() })
}

/// The name as it is kept.
pub(super) fn name(given: &str) -> Checked<String> {
    let name = given.trim();
    if !(1..=MAX_NAME).contains(&name.len()) || name.chars().any(char::is_control) {
        return invalid("name", format!("must have 1 to {MAX_NAME} bytes after trimming, and no control characters"));
    }
    Ok(name.to_owned())
}

pub(super) fn metadata(metadata: &Metadata) -> Checked {
    let fine = |(key, value): (&String, &String)| {
        (1..=MAX_KEY_CHARS).contains(&key.chars().count()) && value.chars().count() <= MAX_VALUE_CHARS
    };
    if metadata.len() > MAX_PAIRS || !metadata.iter().all(fine) {
        return invalid(
            "metadata",
            format!(
                "must have up to {MAX_PAIRS} pairs, with keys of 1 to {MAX_KEY_CHARS} and values of up to \
                 {MAX_VALUE_CHARS} characters"
            ),
        );
    }
    Ok(())
}

/// What is not secret of a credential.
pub(super) fn auth(auth: &Auth) -> Checked {
    match auth {
        Auth::McpOauth(oauth) => oauth.refresh.as_ref().map_or(Ok(()), refresh),
        Auth::StaticBearer { .. } => Ok(()),
        Auth::EnvironmentVariable { name, hosts } => {
            variable(name)?;
            hosts.as_ref().map_or(Ok(()), |hosts| allowed_hosts(hosts))
        }
        Auth::EnterpriseManaged(managed) => enterprise_managed(managed),
    }
}

fn enterprise_managed(managed: &EnterpriseManaged) -> Checked {
    let EnterpriseManaged { authorization_server, resource, client_id, scope, .. } = managed;
    let words = [
        ("auth.authorization_server", Some(authorization_server)),
        ("auth.resource", Some(resource)),
        ("auth.client_id", Some(client_id)),
        ("auth.scope", scope.as_ref()),
    ];
    words.into_iter().try_for_each(|(field, text)| text.map_or(Ok(()), |text| word(field, text)))
}

fn word(field: &'static str, text: &str) -> Checked {
    if text.is_empty() || text.len() > MAX_WORD || text.chars().any(char::is_control) {
        return invalid(field, format!("must have 1 to {MAX_WORD} bytes without control characters"));
    }
    Ok(())
}

fn refresh(refresh: &OauthRefresh) -> Checked {
    word("auth.refresh.client_id", &refresh.client_id)?;
    for (field, text) in [("auth.refresh.scope", &refresh.scope), ("auth.refresh.resource", &refresh.resource)] {
        text.as_ref().map_or(Ok(()), |text| word(field, text))?;
    }
    Ok(())
}

fn variable(name: &str) -> Checked {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !first || name.len() > MAX_VARIABLE || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let problem = format!(
            "must be the name of an environment variable: up to {MAX_VARIABLE} ASCII letters, digits and `_`, not \
             beginning with a digit"
        );
        return invalid("auth.secret_name", problem);
    }
    let upper = name.to_ascii_uppercase();
    if RESERVED.contains(&upper.as_str()) || RESERVED_STARTS.iter().any(|start| upper.starts_with(start)) {
        return invalid(
            "auth.secret_name",
            format!("`{name}` is reserved for the sandbox itself: choose another name"),
        );
    }
    Ok(())
}

fn allowed_hosts(hosts: &[String]) -> Checked {
    let distinct = hosts.iter().enumerate().all(|(at, host)| !hosts[..at].contains(host));
    if !(1..=MAX_HOSTS).contains(&hosts.len()) || !distinct {
        return invalid("auth.networking.allowed_hosts", format!("must name 1 to {MAX_HOSTS} different hosts"));
    }
    Ok(())
}

/// The secrets of a credential as it is after a change: all that its kind needs, and nothing else.
pub(super) fn secrets(auth: &Auth, secrets: &Secrets) -> Checked {
    let Secrets { value, refresh_token, client_secret, .. } = secrets;
    if let Auth::EnterpriseManaged(_) = auth {
        return client_secret.as_ref().map_or(Ok(()), |given| secret("auth.client_secret", given, false));
    }
    let (value_field, in_header) = match auth {
        Auth::McpOauth(_) => ("auth.access_token", true),
        Auth::StaticBearer { .. } => ("auth.token", true),
        Auth::EnvironmentVariable { .. } | Auth::EnterpriseManaged(_) => ("auth.secret_value", false),
    };
    let Some(value) = value else { return invalid(value_field, "is needed") };
    secret(value_field, value, in_header)?;
    let refresh = match auth {
        Auth::McpOauth(McpOauth { refresh, .. }) => refresh.as_ref(),
        _ => None,
    };
    for (field, given) in [
        ("auth.refresh.refresh_token", refresh_token),
        ("auth.refresh.token_endpoint_auth.client_secret", client_secret),
    ] {
        match (refresh, given) {
            (None, Some(_)) => return invalid(field, "there is no `refresh` that it could belong to"),
            (_, Some(given)) => secret(field, given, false)?,
            (_, None) => {}
        }
    }
    let Some(refresh) = refresh else { return Ok(()) };
    if refresh_token.is_none() {
        return invalid("auth.refresh.refresh_token", "is needed");
    }
    let wants_secret = refresh.client_auth != bailiwick_ports::vault::ClientAuth::None;
    match (wants_secret, client_secret.is_some()) {
        (true, false) => invalid("auth.refresh.token_endpoint_auth.client_secret", "is needed"),
        (false, true) => invalid("auth.refresh.token_endpoint_auth.client_secret", "`none` has no secret"),
        _ => Ok(()),
    }
}

fn secret(field: &'static str, secret: &Secret, in_header: bool) -> Checked {
    let text = secret.expose();
    if !(1..=MAX_SECRET).contains(&text.len()) {
        return invalid(field, format!("must have 1 to {MAX_SECRET} bytes"));
    }
    if in_header && !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return invalid(field, "must be printable ASCII without spaces: it is sent in a header");
    }
    if text.contains(['\r', '\n', '\0']) {
        return invalid(field, "must not hold line breaks or NUL");
    }
    Ok(())
}
