//! Keeps streams, projections, documents and objects under one data folder. It decides and derives nothing: what it is
//! given is sealed, and what it is asked for it gives back.
//!
//! [`DataFolder`] is the exclusive right to a folder, and everything here is opened through it. [`SqliteStore`] is
//! `ports::Store` on one machine; all of its SQL is in `sqlite`, so that another database can stand beside it.
//! [`FolderObjects`] is `ports::Objects`.

mod folder;
mod objects;
mod sqlite;

pub use folder::{DataFolder, FolderError};
pub use objects::FolderObjects;
pub use sqlite::{OpenError, Options, SqliteStore};
