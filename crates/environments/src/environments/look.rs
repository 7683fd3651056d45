//! `file.list` for a person who looks: one page of the files below a folder, each with its size.
//!
//! The whole tree is walked for every page, and only the files of the page are asked for their size: what a page costs is
//! bounded, and no listing is kept between two.

use super::perform::{failed, tool_error};
use crate::hands::Hands;
use bailiwick_core::{ActionResult, FoundFile, ListPage, Listing, Outcome};
use futures_util::{StreamExt, stream};

/// Files and folders below what one look may begin at.
const MAX_WALKED: usize = 20_000;
/// Files of a page whose sizes are asked for at the same time.
const AT_ONCE: usize = 8;
/// Files of a page, whatever was asked for.
const MAX_FILES: u32 = 1_000;

pub(super) async fn look(hands: &Hands, folder: &str, depth: u32, page: &ListPage) -> Outcome {
    let (listed, truncated) = match hands.list(folder, depth, MAX_WALKED).await {
        Ok(found) => found,
        // A folder that is not there has no files.
        Err(error) if error.is_not_found() => (Vec::new(), false),
        Err(error) => return failed(folder, &error),
    };
    // Into a folder at the last level nobody has looked.
    let deeper = listed.iter().any(|entry| entry.is_folder && entry.path.split('/').count() >= depth as usize);
    if truncated || deeper {
        return tool_error(format!(
            "there is more below {folder} than the {MAX_WALKED} entries, {depth} folders deep, that a listing may have: \
             give the `path` of a folder further down"
        ));
    }
    let root = folder.trim_end_matches('/');
    let files = listed.into_iter().filter(|entry| !entry.is_folder).map(|entry| format!("{root}/{}", entry.path));
    let page = ListPage { limit: page.limit.min(MAX_FILES), ..page.clone() };
    let (paths, more) = page.cut(files.collect(), String::as_str);
    let sizes = stream::iter(paths).map(|path| async move { (hands.metadata(&path).await, path) }).buffered(AT_ONCE);
    let sized: Vec<_> = sizes.collect().await;
    let mut files = Vec::with_capacity(sized.len());
    for (found, path) in sized {
        match found {
            Ok(found) => files.push(FoundFile { path, size_bytes: found.size }),
            // It has gone since.
            Err(error) if error.is_not_found() => {}
            Err(error) => return failed(&path, &error),
        }
    }
    Outcome::Confirmed { result: ActionResult::Files(Listing { files, more }) }
}
