//! Search in the files below a folder, by reading them: no program is started for it.

use super::{Hands, Listed};
use crate::error::ExecutorError;
use bailiwick_executor_protocol::{FsReadFile, PathParams, RpcError, code};
use futures_util::{StreamExt, stream};
use regex::{Regex, RegexBuilder};

const MAX_PATTERN_BYTES: usize = 1_000;
/// Of a compiled pattern.
const MAX_PATTERN_MEMORY: usize = 1024 * 1024;
const MAX_WALKED: usize = 10_000;
const MAX_FILES: usize = 3_000;
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;
const MAX_SEARCHED_BYTES: usize = 64 * 1024 * 1024;
const MAX_LINE_CHARS: usize = 300;
const MAX_DEPTH: usize = 32;
/// Files that are read at the same time.
const CONCURRENT_READS: usize = 4;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// A folder or a file; absolute.
    pub path: String,
    /// A regular expression without look-around (crate `regex`).
    pub pattern: String,
    /// `*` and `?` for parts of a name, `**` for any folders. Without a slash it is matched against names.
    pub glob: Option<String>,
    pub max_hits: usize,
}

/// What was found: `path:line: text` each, the path relative to the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits {
    pub lines: Vec<String>,
    pub files_searched: usize,
    /// Something was left out: too many files, hits or bytes.
    pub truncated: bool,
}

fn refuse(message: String) -> ExecutorError {
    ExecutorError::Refused(RpcError::new(code::INVALID_PARAMS, message))
}

impl Hands {
    pub async fn search(&self, request: &SearchRequest) -> Result<Hits, ExecutorError> {
        let pattern = compile(&request.pattern)?;
        let glob = request.glob.as_deref().map(Glob::new).transpose()?;
        let (files, mut truncated) = self.files_below(&request.path, glob.as_ref()).await?;
        let mut hits = Hits::default();
        let mut bytes = 0;
        let mut contents = stream::iter(files)
            .map(|file| async move { (self.small_file(&file.absolute).await, file.relative) })
            .buffered(CONCURRENT_READS);
        while let Some((content, name)) = contents.next().await {
            // A file may vanish or be closed to us while we look.
            let content = match content {
                Ok(Some(content)) => content,
                Ok(None) => continue,
                Err(ExecutorError::Refused(_)) => continue,
                Err(error) => return Err(error),
            };
            bytes += content.len();
            hits.files_searched += 1;
            if !find(&content, &pattern, &name, request.max_hits, &mut hits.lines) || bytes > MAX_SEARCHED_BYTES {
                truncated = true;
                break;
            }
        }
        hits.truncated = truncated;
        Ok(hits)
    }

    async fn files_below(&self, path: &str, glob: Option<&Glob>) -> Result<(Vec<Found>, bool), ExecutorError> {
        if !self.metadata(path).await?.is_directory {
            let relative = path.rsplit('/').next().unwrap_or(path).to_owned();
            return Ok((vec![Found { absolute: path.to_owned(), relative }], false));
        }
        let (entries, mut truncated) = self.walk(path, MAX_DEPTH, MAX_WALKED).await?;
        let wanted = |entry: &Listed| !entry.is_folder && glob.is_none_or(|glob| glob.matches(&entry.path));
        let mut files: Vec<Found> = entries
            .into_iter()
            .filter(wanted)
            .map(|entry| Found {
                absolute: format!("{}/{}", path.trim_end_matches('/'), entry.path),
                relative: entry.path,
            })
            .collect();
        truncated |= files.len() > MAX_FILES;
        files.truncate(MAX_FILES);
        Ok((files, truncated))
    }

    /// The content of a file, unless it is large or not text.
    async fn small_file(&self, path: &str) -> Result<Option<String>, ExecutorError> {
        if self.metadata(path).await?.size > MAX_FILE_BYTES {
            return Ok(None);
        }
        let file = self.client.call_again::<FsReadFile>(&PathParams { path: super::uri(path)? }).await?;
        let text = (!file.data.0.contains(&0)).then(|| String::from_utf8_lossy(&file.data.0).into_owned());
        Ok(text)
    }
}

struct Found {
    absolute: String,
    relative: String,
}

fn compile(pattern: &str) -> Result<Regex, ExecutorError> {
    if pattern.is_empty() || pattern.len() > MAX_PATTERN_BYTES {
        return Err(refuse(format!("a pattern must have 1 to {MAX_PATTERN_BYTES} bytes")));
    }
    RegexBuilder::new(pattern)
        .size_limit(MAX_PATTERN_MEMORY)
        .build()
        .map_err(|error| refuse(format!("`{pattern}` is not a regular expression that can be used: {error}")))
}

/// Adds what matches; `false` when there is no room for more.
fn find(content: &str, pattern: &Regex, name: &str, max_hits: usize, hits: &mut Vec<String>) -> bool {
    for (index, line) in content.lines().enumerate() {
        if !pattern.is_match(line) {
            continue;
        }
        if hits.len() >= max_hits {
            return false;
        }
        let mut shown: String = line.chars().take(MAX_LINE_CHARS).collect();
        if shown.len() < line.len() {
            shown.push('…');
        }
        hits.push(format!("{name}:{}: {shown}", index + 1));
    }
    true
}

/// A shell-like pattern for paths.
struct Glob {
    pattern: Regex,
    names_only: bool,
}

impl Glob {
    fn new(text: &str) -> Result<Self, ExecutorError> {
        let mut pattern = String::from("^");
        let mut rest = text.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '*' if rest.next_if_eq(&'*').is_some() => {
                    // `**/` also stands for no folder at all.
                    pattern.push_str(if rest.next_if_eq(&'/').is_some() { "(?:.*/)?" } else { ".*" });
                }
                '*' => pattern.push_str("[^/]*"),
                '?' => pattern.push_str("[^/]"),
                other => pattern.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
        }
        pattern.push('$');
        Ok(Self { pattern: compile(&pattern)?, names_only: !text.contains('/') })
    }

    fn matches(&self, path: &str) -> bool {
        let subject = if self.names_only { path.rsplit('/').next().unwrap_or(path) } else { path };
        self.pattern.is_match(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_names_or_paths() {
        for (glob, path, expected) in [
            ("*.py", "a/b.py", true),
            ("*.py", "a/b.pyc", false),
            ("a/*.py", "a/b.py", true),
            ("a/*.py", "a/x/b.py", false),
            ("a/**/*.py", "a/x/y/b.py", true),
            ("a/**/*.py", "a/b.py", true),
            ("**", "a/b", true),
            ("?.[x]", "a.[x]", true),
            ("?.[x]", "a.x", false),
        ] {
            assert_eq!(Glob::new(glob).map(|glob| glob.matches(path)), Ok(expected), "{glob} {path}");
        }
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(compile("").is_err());
        assert!(compile(&"a".repeat(2_000)).is_err());
        assert!(compile("(a{1000}){1000}").is_err());
        assert!(compile("(").is_err());
        let mut hits = Vec::new();
        assert!(!find("a\nb\na\na", &compile("a").expect("pattern"), "f", 2, &mut hits));
        assert_eq!(hits, ["f:1: a", "f:3: a"]);
    }
}
