use super::{known::Known, *};
use serde::de::DeserializeOwned;

fn load(text: &str) -> Result<Loaded, ConfigError> {
    Loaded::parse(Path::new("/etc/bailiwick.toml"), text.to_owned())
}

fn refused(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_every_default() {
    assert_eq!(load("").unwrap().config, Config::default());
}

#[test]
fn a_whole_file_is_read_and_its_paths_are_relative_to_it() {
    let loaded = load(
        "[server]\nlisten = \"0.0.0.0:80\"\npublic_url = \"https://agents.example.com\"\nlog_format = \"json\"\n\
         [limits]\ndriven_sessions = 8\n\
         [models.main]\nprovider = \"openai-chat\"\nbase_url = \"http://127.0.0.1:8000/v1\"\nmodel = \"m\"\napi_key_env = \"KEY\"\n\
         [models.script]\nprovider = \"rehearsal\"\nscenario = \"scenes/one.toml\"\n\
         [executors.lab]\nurl = \"wss://lab\"\ntoken_file = \"lab.token\"\n",
    )
    .unwrap();
    let config = &loaded.config;
    assert_eq!(config.server.listen.port(), 80);
    assert_eq!(config.limits, Limits { driven_sessions: 8, ..Limits::default() });
    assert_eq!(config.models["script"].scenario.as_deref(), Some(Path::new("/etc/scenes/one.toml")));
    assert_eq!(config.executors["lab"].token_file, Path::new("/etc/lab.token"));
    assert_eq!(loaded.key_variables().collect::<Vec<_>>(), ["KEY"]);
}

#[test]
fn an_unknown_key_names_its_place_and_the_nearest() {
    assert_eq!(
        refused("[server]\nlisen = \"127.0.0.1:1\"\n"),
        "/etc/bailiwick.toml:2:1: there is no key `lisen` in `[server]`; did you mean `listen`?"
    );
    assert_eq!(
        refused("\n[modls.main]\nprovider = \"rehearsal\"\n"),
        "/etc/bailiwick.toml:2:2: there is no key `modls` at the top of the file; did you mean `models`?"
    );
    assert_eq!(
        refused("[models.main.timeouts]\nstal_ms = 1\n"),
        "/etc/bailiwick.toml:2:1: there is no key `stal_ms` in `[models.main.timeouts]`; did you mean `stall_ms`?"
    );
    assert_eq!(
        refused("[executors.lab]\nzzz = 1\n"),
        "/etc/bailiwick.toml:2:1: there is no key `zzz` in `[executors.lab]`; known here: `url`, `token_file`"
    );
}

#[test]
fn every_unknown_key_is_listed_in_the_order_of_the_file() {
    let text = refused("[limits]\nzz = 1\nconections = 2\n[server]\nporrt = 3\n");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with("/etc/bailiwick.toml:2:1:") && lines[2].starts_with("/etc/bailiwick.toml:5:1:"),
        "{text}"
    );
}

#[test]
fn wrong_types_and_values_name_their_line() {
    for (text, place, part) in [
        ("[server\n", ":1:8:", "]"),
        ("[server]\nlisten = 7700\n", ":2:10:", "socket address"),
        ("[server]\nlisten = \"localhost\"\n", ":2:10:", "socket address"),
        ("[limits]\ndriven_sessions = 0\n", ":2:1:", "must be 1 to 100000"),
        ("[limits]\ndriven_sessions = -1\n", ":2:19:", "-1"),
        ("[limits]\nsandbox_idle_ms = 10\n", ":2:1:", "must be 1000 (one second)"),
        ("[models.main]\nprovider = \"openai\"\n", ":2:12:", "openai-responses"),
        ("[models.main]\nmodel = \"m\"\n", ":1:1:", "provider"),
        ("[money]\ncurrency = \"dollars\"\n", ":2:1:", "three capital letters"),
        ("[tools.send]\nprice = \"1.0000001\"\n", ":2:9:", "at most 6 decimals"),
        ("[tools.send]\ncost = \"1\"\n", ":2:1:", "price"),
        ("[money]\nunpriced = \"maybe\"\n", ":2:12:", "refuse"),
        (
            "[models.main]\nprovider = \"openai-chat\"\n[models.main.prices]\nversion = 1\ninput = 2.5\noutput = \"1\"\n",
            ":5:9:",
            "string",
        ),
        (
            "[models.main]\nprovider = \"openai-chat\"\n[models.main.prices]\nversion = 1\ninput = \"2,5\"\noutput = \"1\"\n",
            ":3:1:",
            "`input`: expected an amount such as `2.50`",
        ),
        ("[server]\npublic_url = \"agents\"\n", ":2:1:", "https://"),
        ("[executors.lab]\nurl = \"wss://lab\"\n", ":1:1:", "token_file"),
        ("[identity]\nbrowser_hours = 0\n", ":2:1:", "must be 1 to 720"),
        ("[identity.oidc]\nissuer = \"https://id\"\n", ":1:", "client_id"),
        ("[identity.oidc]\nissuer = \"https://id\"\nclient_id = \"b\"\ndefault_roles = [\"boss\"]\n", ":4:", "boss"),
        (
            "[identity.oidc]\nissuer = \"https://id\"\nclient_id = \"b\"\ndefault_roles = []\n",
            ":4:1:",
            "nobody would have a role",
        ),
        (
            "[identity.organisations.\"Other Ltd\".oidc]\nissuer = \"https://id\"\nclient_id = \"b\"\nrecheck_minutes = 0\n",
            ":4:1:",
            "`recheck_minutes` must be 1 to 1440",
        ),
        ("[identity.organisations.Other]\noidcc = 1\n", ":2:1:", "did you mean `oidc`?"),
        (
            "[identity.oidc]\nissuer = \"https://id\"\nclient_id = \"b\"\nclient_secret_env = \"s3cret-value\"\n",
            ":4:1:",
            "is not the name of an environment variable",
        ),
    ] {
        let error = refused(text);
        assert!(error.starts_with(&format!("/etc/bailiwick.toml{place}")) && error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_key_in_the_place_of_its_variables_name_is_not_shown() {
    let error = refused("[models.main]\nprovider = \"openai-chat\"\napi_key_env = \"sk-secret-key-value\"\n");
    assert!(error.contains("is not the name of an environment variable"), "{error}");
    assert!(!error.contains("secret-key"), "{error}");
}

#[test]
fn a_model_error_names_the_line_of_its_field() {
    let loaded = load("[models.main]\nprovider = \"openai-chat\"\nbase_url = \"x\"\nmodel = \"m\"\n").unwrap();
    let error = OptionsError { model: "main".into(), field: "base_url", problem: "is no URL".into() };
    assert_eq!(loaded.model_error(&error).to_string(), "/etc/bailiwick.toml:3:1: [models.main] base_url: is no URL");
}

/// serde lists the fields that a struct reads when it meets one that it does not.
fn read_by<T: DeserializeOwned>(table: &str) -> Vec<String> {
    let text = format!("{table}zzz_unknown = 1\n");
    let message = toml::from_str::<T>(&text).err().map(|error| error.message().to_owned()).unwrap();
    let listed =
        message.split_once("expected").map(|(_, listed)| listed.to_owned()).unwrap_or_else(|| panic!("{message}"));
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_known_keys_are_exactly_what_is_read() {
    for (known, read) in [
        (known::FILE, read_by::<Config>("")),
        (known::SERVER, read_by::<Server>("")),
        (known::LIMITS, read_by::<Limits>("")),
        (known::AUDIT, read_by::<Audit>("")),
        (keys::KEYS, read_by::<Keys>("")),
        (known::AUDIT_STREAM, read_by::<AuditStream>("")),
        (known::RETENTION, read_by::<Retention>("")),
        (known::VAULTS, read_by::<Vaults>("")),
        (known::MONEY, read_by::<Money>("")),
        (known::TOOL, read_by::<Tool>("price = \"1\"\n")),
        (identity::IDENTITY, read_by::<Identity>("")),
        (identity::OPEN_ID, read_by::<OpenId>("issuer = \"\"\nclient_id = \"\"\n")),
        (known::MODEL, read_by::<ModelOptions>("provider = \"rehearsal\"\n")),
        (known::TIMEOUTS, read_by::<bailiwick_models::Timeouts>("")),
        (known::EXECUTOR, read_by::<ListeningExecutor>("")),
    ] {
        let Known::Table(keys) = known else { panic!("a table") };
        let mut known: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
        let mut read: Vec<&str> = read.iter().map(String::as_str).collect();
        known.sort_unstable();
        read.sort_unstable();
        assert_eq!(known, read);
    }
}
