//! Bad configurations and bad data folders: a server says what is wrong and where, and does not start.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use support::{Place, ended, run};

fn refused(config: &str) -> String {
    let place = Place::new();
    place.write("bailiwick.toml", config);
    let (data, file) = (place.data(), place.text("bailiwick.toml"));
    let ended = run(&["serve", "--data", &data, "--listen", "127.0.0.1:0", "--config", &file]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert_eq!(ended.stdout, "");
    assert!(!place.path("data").exists(), "a wrong configuration must leave no trace");
    ended.stderr.replace(&file, "FILE").replace(&place.folder.path().display().to_string(), "FOLDER")
}

#[test]
fn each_mistake_names_its_place_and_the_way_out() {
    for (config, part) in [
        (
            "[server]\nlistn = \"127.0.0.1:1\"\n",
            "FILE:2:1: there is no key `listn` in `[server]`; did you mean `listen`?",
        ),
        ("[modles.main]\n", "did you mean `models`?"),
        ("[models.main]\nprovider = \"rehearsl\"\n", "FILE:2:12:"),
        (
            "[models.main]\nprovider = \"openai-chat\"\nmodel = \"m\"\n",
            "[models.main] base_url: `openai-chat` needs it",
        ),
        ("[models.main]\nprovider = \"rehearsal\"\nscenario = \"none.toml\"\n", "FILE:3:1: [models.main] scenario:"),
        (
            "[models.main]\nprovider = \"openai-chat\"\nmodel = \"m\"\nbase_url = \"http://x/v1\"\napi_key_env = \"NOT_SET_HERE\"\n",
            "FILE:5:1: [models.main] api_key_env: the environment variable `NOT_SET_HERE` is not set",
        ),
        ("not toml", "FILE:1:"),
        ("[limits]\nconnections = 0\n", "FILE:2:1: `connections` must be 1 to"),
    ] {
        let said = refused(config);
        assert!(said.contains(part), "{config}: {said}");
        assert!(said.contains("help: every key is described in docs/configuration.md"), "{said}");
    }
}

#[test]
fn a_wrong_scenario_names_its_line() {
    let place = Place::with_scenario("[[turn]]\n[[turn.step]]\nsay = 1\n");
    let (data, file) = (place.data(), place.text("bailiwick.toml"));
    let ended = run(&["serve", "--data", &data, "--config", &file]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("scenario.toml, line 3"), "{}", ended.stderr);
}

#[test]
fn a_missing_or_binary_file_is_named() {
    let place = Place::new();
    let data = place.data();
    for (name, bytes, part) in [("none", None, "No such file"), ("bin", Some(&b"\xff\xfe"[..]), "not UTF-8")] {
        let path = place.path(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let path = path.display().to_string();
        let ended = run(&["serve", "--data", &data, "--config", &path]);
        assert_eq!(ended.code, 2);
        assert!(ended.stderr.contains(&path) && ended.stderr.contains(part), "{ended:?}");
    }
}

#[test]
fn a_port_in_use_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    let ended = run(&["serve", "--data", &place.data(), "--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("cannot listen on") && ended.stderr.contains("choose another --listen"), "{ended:?}");
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let place = Place::new();
    place.serve().stop();
    let keys = place.path("data").join("keys");
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = run(&["serve", "--data", &place.data(), "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("chmod 600"), "{ended:?}");
}

#[test]
fn a_foreign_key_file_does_not_open_the_data() {
    let (one, other) = (Place::new(), Place::new());
    one.serve().stop();
    other.serve().stop();
    std::fs::copy(one.path("data").join("keys"), other.path("data").join("keys")).unwrap();
    let ended = run(&["serve", "--data", &other.data(), "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("the key file is not the one that this data was written with"), "{ended:?}");
}

#[test]
fn a_bootstrap_key_that_is_none_is_refused_without_being_shown() {
    let place = Place::new();
    let mut command = support::command(&["serve", "--data", &place.data(), "--listen", "127.0.0.1:0"]);
    let ended = ended(command.env("BAILIWICK_BOOTSTRAP_KEY", "short-one"));
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("BAILIWICK_BOOTSTRAP_KEY: the supplied key must have 16 to 256"), "{ended:?}");
    assert!(!ended.stderr.contains("short-one"), "{ended:?}");
}
