//! A key-encryption key that a program prints: at the start, and for a rotation while the server works.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _};
use support::Place;

/// A program that prints what is in a file beside it, and says that it was asked.
fn program(place: &Place, name: &str) -> String {
    let path = place
        .write(name, &format!("#!/bin/sh\nenv > {0}.env\necho asked >> {0}.asked\ncat {0}.key\n", place.text(name)));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path.display().to_string()
}

fn place() -> Place {
    let place = Place::with_scenario("[[turn]]\n[[turn.step]]\nsay = \"Hello.\"\n");
    let config = fs::read_to_string(place.path("bailiwick.toml")).unwrap();
    let (now, old) = (program(&place, "now"), program(&place, "old"));
    let keys = format!("[keys]\ncommand = [\"{now}\", \"--current\"]\nold_command = [\"{old}\"]\n");
    place.write("bailiwick.toml", &format!("{keys}\n{config}"));
    place.write("old.key", "");
    place
}

fn asked(place: &Place, name: &str) -> usize {
    fs::read_to_string(place.path(&format!("{name}.asked"))).unwrap_or_default().lines().count()
}

#[test]
fn a_program_gives_the_key_and_another_one_while_the_server_works() {
    let place = place();
    let (first, second) = ("1a".repeat(32), "2b".repeat(32));
    place.write("now.key", &format!("{first}\n"));
    let server = place.serve_with(&[], &[("SOME_SECRET", "of-the-server")]);
    let run = || place.client(&["run", "go", "--model", "main", "--json"]).good();
    run();
    assert!(!place.path("data/keys").exists(), "there is no key file beside it");
    let environment = fs::read_to_string(place.path("now.env")).unwrap();
    assert!(environment.contains("PATH=") && !environment.contains("of-the-server"), "{environment}");

    // A new key without the one before is refused, and nothing is changed.
    place.write("now.key", &second);
    let refused = place.client(&["key", "rotate"]);
    assert!(refused.code == 1 && refused.stderr.contains("give it as an old one"), "{refused:?}");
    run();
    place.write("old.key", &first);
    let rotated = place.client(&["key", "rotate", "--json"]).good().json();
    assert!(rotated["rewrapped"].as_u64().unwrap() >= 2, "{rotated}");
    run();
    let before = place.client(&["session", "list", "--json"]).good().json();
    assert_eq!(server.stop(), 0);

    // The new one is enough from now on, and the old one for nothing.
    place.write("old.key", "");
    let server = place.serve();
    assert_eq!(place.client(&["session", "list", "--json"]).good().json(), before);
    assert_eq!(server.stop(), 0);
    place.write("now.key", &first);
    let data = place.data();
    let config = place.text("bailiwick.toml");
    let foreign = support::run(&["serve", "--data", &data, "--config", &config, "--listen", "127.0.0.1:0"]);
    assert!(foreign.code == 1 && foreign.stderr.contains("not the one that this data was written with"), "{foreign:?}");
    assert!(asked(&place, "now") >= 4 && asked(&place, "old") >= 3);
    let log = place.log() + &format!("{refused:?}{foreign:?}");
    assert!(!log.contains(&first) && !log.contains(&second), "no key is repeated");
}

#[test]
fn a_program_that_fails_or_prints_no_key_stops_the_start_with_its_name() {
    let place = place();
    let (data, config) = (place.data(), place.text("bailiwick.toml"));
    let start = || support::run(&["serve", "--data", &data, "--config", &config, "--listen", "127.0.0.1:0"]);
    place.write("now.key", "a-secret-that-is-no-key");
    let wrong = start();
    assert!(wrong.code == 2 && wrong.stderr.contains("64 hexadecimal digits"), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("a-secret-that-is-no-key"), "{wrong:?}");
    fs::remove_file(place.path("now.key")).unwrap();
    let failed = start();
    assert!(
        failed.code == 1 && failed.stderr.contains("the key command") && failed.stderr.contains("failed"),
        "{failed:?}"
    );
}
