//! Pages of the files below a folder, as people are shown them: which of them, in which order.
//!
//! Nothing here looks anywhere. Whoever does (an environment's hand) and whoever has a list already order and cut alike.

use serde::{Deserialize, Serialize};

/// Which part of a listing is wanted. Files are ordered by the parts of their paths, by code point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// Absolute path: what comes after it in the order. It need not be there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    pub limit: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub descending: bool,
}

/// One page of the files below a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    pub files: Vec<FoundFile>,
    /// There is more after them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundFile {
    /// Absolute.
    pub path: String,
    pub size_bytes: u64,
}

impl ListPage {
    /// The files of this page, in its order, and whether there is more after them.
    pub fn cut<T>(&self, mut files: Vec<T>, path: impl Fn(&T) -> &str) -> (Vec<T>, bool) {
        let order = |one: &str, other: &str| {
            let order = one.split('/').cmp(other.split('/'));
            if self.descending { order.reverse() } else { order }
        };
        if let Some(after) = &self.after {
            files.retain(|file| order(path(file), after).is_gt());
        }
        files.sort_by(|one, other| order(path(one), path(other)));
        let limit = self.limit as usize;
        let more = files.len() > limit;
        files.truncate(limit);
        (files, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_whatever_vanishes_between() {
        let all = ["/w/b", "/w/a/z", "/w/a b", "/w/a", "/w/Ä"];
        let page = |after: Option<&str>, descending| {
            let page = ListPage { after: after.map(str::to_owned), limit: 2, descending };
            page.cut(all.to_vec(), |path| path)
        };
        assert_eq!(page(None, false), (vec!["/w/a", "/w/a/z"], true), "a folder's files before a name that goes on");
        assert_eq!(page(Some("/w/a/z"), false), (vec!["/w/a b", "/w/b"], true));
        assert_eq!(page(Some("/w/a/zz"), false).0, ["/w/a b", "/w/b"], "of one that is gone");
        assert_eq!(page(Some("/w/b"), false), (vec!["/w/Ä"], false));
        assert_eq!(page(None, true), (vec!["/w/Ä", "/w/b"], true));
        assert_eq!(page(Some("/w/a/z"), true), (vec!["/w/a"], false));
    }
}
