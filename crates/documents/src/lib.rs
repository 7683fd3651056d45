//! The company's documents: folders and parts of buckets by department, each with who may read it, listed, searched and read.
//!
//! What a person may not read is not there for whoever acts for that person: not in a list, not in a search, not by name.
//! Nothing here writes, follows a link, or leaves the folders that an administrator named.

mod bucket;
mod hand;
mod library;
mod office;
mod reading;
mod search;
mod source;
mod span;
mod tools;
mod tree;

pub use bucket::{AccessKey, Bucket, ObjectStores};
pub use hand::DocumentTools;
pub use library::{Folder, Inner, Library, Reader, Readers};
pub use tools::{Access, Answer, Limits, call, definitions};
