//! A person of the organisation at a keyboard of their own.

use super::{Ended, Place, Server, command};
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::Stdio,
};

pub const PASSWORD: &str = "seven grey herons at dusk";

/// Somebody who has signed in.
pub struct Person {
    pub id: String,
    home: PathBuf,
    url: String,
}

impl Person {
    /// Takes them in as a member with this login, with what else `user create` is to be told, and signs them in.
    #[track_caller]
    pub fn join(place: &Place, server: &Server, name: &str, login: &str, more: &[&str]) -> Self {
        let made = [&["user", "create", name, "--login", login, "--json"], more].concat();
        let made = place.client(&made).good().json();
        let id = made["user"]["id"].as_str().or(made["id"].as_str()).unwrap_or_else(|| panic!("{made}")).to_owned();
        let person = Self { id, home: place.path(&format!("home-{login}")), url: server.url.clone() };
        let code = made["set_up"]["code"].as_str().unwrap();
        person.answering(&["login", "--set-up"], &format!("{code}\n{PASSWORD}\n{PASSWORD}\n")).good();
        person
    }

    /// The server answers elsewhere now; the sign-in is the same.
    pub fn moved_to(&mut self, server: &Server) {
        let file = self.home.join(".config/bailiwick/logins.json");
        let kept = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, kept.replace(&self.url, &server.url)).unwrap();
        self.url = server.url.clone();
    }

    /// A command of theirs.
    pub fn client(&self, arguments: &[&str]) -> Ended {
        self.answering(arguments, "")
    }

    fn answering(&self, arguments: &[&str], answers: &str) -> Ended {
        let all = [arguments, &["--server", &self.url]].concat();
        let mut command = command(&all);
        command.env("HOME", &self.home).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that asks nothing may have ended.
        let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What the API answers to a POST of theirs.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let kept = std::fs::read(self.home.join(".config/bailiwick/logins.json")).unwrap();
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        let token = kept[&self.url].as_str().unwrap();
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}
