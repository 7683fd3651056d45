//! Keeps streams, projections, documents and objects under one data folder. It decides and derives nothing: what it is
//! given is sealed, and what it is asked for it gives back.
//!
//! [`DataFolder`] is the exclusive right to a folder, and everything here is opened through it. [`SqliteStore`] is
//! `ports::Store` on one machine; all of its SQL is in `sqlite`, so that another database can stand beside it.
//! [`FolderObjects`] is `ports::Objects`, and [`SqliteMemories`] is `ports::memory::MemoryStore` in a file of its own.

mod folder;
mod memories;
mod objects;
mod sqlite;

pub use folder::{DataFolder, FolderError};
pub use memories::SqliteMemories;
pub use objects::FolderObjects;
pub use sqlite::{OpenError, Options, SqliteStore};
