//! What these tests speak with, and to.

#![allow(dead_code, reason = "each test uses some of it")]

mod processes;

pub use processes::*;

use bailiwick_gate::Live;
use bailiwick_mail::{Account, Author, Limits, Patience, Security, Sent, Server};
use bailiwick_ports::{BoxFuture, Clock};
use bailiwick_types::{ActionId, Millis, Timestamp};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

pub const MARK: &str = "user_1 through agent_2 (session sess_3)";

/// The machine's clock: these tests speak to real servers.
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let span = until.since(self.now()).as_duration();
        Box::pin(tokio::time::sleep(span))
    }
}

pub fn patience() -> Patience {
    Patience::new(Arc::new(WallClock), Millis::from_secs(60), Live::unwatched())
}

/// A new id at each call.
pub fn action() -> ActionId {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    ActionId::new(WallClock.now(), [number; 10])
}

pub fn author() -> Author {
    Author {
        mark: MARK.into(),
        agent: Some("Nora".into()),
        person_name: Some("Anna Müller".into()),
        person_email: Some("anna@firma.example".into()),
    }
}

pub fn limits() -> Limits {
    Limits { answer: Millis::from_secs(60), ..Limits::default() }
}

pub fn plain(port: u16) -> Server {
    Server { host: "127.0.0.1".into(), port: Some(port), security: Security::None, ca_pem: None }
}

pub fn private(port: u16, security: Security) -> Server {
    let ca_pem = Some(fs::read_to_string(tls("ca.pem")).unwrap());
    Server { host: "localhost".into(), port: Some(port), security, ca_pem }
}

pub fn account(smtp: Option<Server>, imap: Option<Server>) -> Account {
    Account { smtp, imap, username: Some("anna".into()), sent: Sent::default(), ..Account::default() }
}
