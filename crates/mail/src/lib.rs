//! Mail and calendars: sending by SMTP, reading by IMAP, events by CalDAV.
//!
//! Sending is done at most once, and its outcome is never better or worse than what is known: [`smtp`] says where the
//! line is. Nothing here decides whether something may be sent, keeps a secret longer than one call, or follows what a
//! server says to another server.

mod account;
mod address;
mod calendar;
mod connection;
mod hand;
pub mod imap;
mod letter;
mod reading;
mod sending;
pub mod smtp;
mod tools;

pub use account::{Account, Login, Security, Sent, Server, SignIn};
pub use address::{Address, Mailbox};
pub use calendar::{CalendarAccess, CalendarAccount, CalendarSignIn, calendar_definitions, call_calendar};
pub use connection::Patience;
pub use hand::MailTools;
pub use letter::{Attachment, Letter, Written, message_id};
pub use reading::{Reading, read_message};
pub use sending::{LookedUp, look_up, send};
pub use tools::{Access, Author, Limits, call, definitions, settle_lost};
