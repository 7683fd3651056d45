//! A folder, wherever it lies: on this machine or in an object store. Both are walked name by name.

use crate::{
    Folder,
    bucket::{Prefix, Way},
    tree::{self, Entry, Missing, Piece},
};

/// An open folder.
pub(crate) enum Open {
    Disk(tree::Open),
    Bucket(Prefix),
}

impl Open {
    /// The folder that an administrator named.
    pub(crate) fn root(folder: &Folder, way: Option<&Way>) -> Result<Self, Missing> {
        match (&folder.root, &folder.bucket, way) {
            (Some(root), None, _) => tree::Open::root(root).map(Self::Disk),
            (None, Some(bucket), Some(way)) => Ok(Self::Bucket(Prefix::root(bucket, way))),
            _ => Err(Missing::Failed("nothing says where it lies".into())),
        }
    }

    pub(crate) fn folder(&self, name: &str) -> Result<Self, Missing> {
        match self {
            Self::Disk(open) => open.folder(name).map(Self::Disk),
            Self::Bucket(prefix) => prefix.folder(name).map(Self::Bucket),
        }
    }

    /// The first `max` bytes of a document in this folder.
    pub(crate) fn read(&self, name: &str, max: u64) -> Result<Piece, Missing> {
        match self {
            Self::Disk(open) => open.read(name, max),
            Self::Bucket(prefix) => prefix.read(name, max),
        }
    }

    /// What lies here, by name; and whether there is more than that.
    pub(crate) fn entries(&self) -> Result<(Vec<Entry>, bool), Missing> {
        match self {
            Self::Disk(open) => open.entries(),
            Self::Bucket(prefix) => prefix.entries(),
        }
    }

    /// The name here that is spelt as `wanted`, or the only one that reads the same.
    pub(crate) fn spelling(&self, wanted: &str) -> Result<String, Missing> {
        match self {
            Self::Disk(open) => open.spelling(wanted),
            Self::Bucket(prefix) => prefix.spelling(wanted),
        }
    }
}
