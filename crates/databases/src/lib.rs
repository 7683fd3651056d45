//! A way to the databases of the company: PostgreSQL, MySQL and MariaDB, and SQLite files behind one connector.
//!
//! [`reading`] says what a statement does, from its text alone; [`Databases`] runs it under the login that the
//! configuration names. It must never run what the reading does not account for, unless the configuration trusts the
//! login alone, and never let two people use one connection.

mod admit;
mod call;
pub mod config;
mod driver;
mod hand;
mod pool;
pub mod reading;
mod rows;
mod sign_in;
mod tools;

pub use call::{Access, Called, Credential, Databases, Facts, Rights};
pub use hand::Hand;
pub use reading::Reader;
pub use sign_in::Person;
pub use tools::definitions;
