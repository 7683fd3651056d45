//! Lists what lies in `console/dist/pages`, so that it is compiled into the binary. It starts nothing and needs no Node:
//! where nothing was built, the list is empty, and the server shows a page that says how.

use std::{
    env,
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

/// Copies of an asset that are smaller, by what their names end with.
const COMPRESSED: [&str; 2] = ["br", "gz"];

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    #[allow(clippy::disallowed_methods, reason = "cargo says only so where a build script writes")]
    let out = env::var_os("OUT_DIR");
    // INVARIANT: cargo sets it for every build script.
    let out = PathBuf::from(out.expect("cargo says where to write"));
    // This folder is always there; what is built lies below it.
    let dist = here.join("../../console/dist");
    println!("cargo:rerun-if-changed={}", dist.display());
    let built = dist.join("pages");
    let mut files = Vec::new();
    if built.join("index.html").is_file() {
        collect(&built, &mut files);
    }
    files.sort();
    let mut list = String::from("pub(crate) static ASSETS: &[Asset] = &[\n");
    for file in files.iter().filter(|file| !is_copy(file, &files)) {
        list.push_str(&entry(&built, file, &files));
    }
    list.push_str("];\n");
    #[allow(clippy::disallowed_methods, reason = "what a build script makes goes into cargo's own folder")]
    let written = fs::write(out.join("assets.rs"), list);
    // INVARIANT: cargo made the folder for this script alone.
    written.expect("cargo's own folder can be written");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Whether this is only another one, compressed.
fn is_copy(file: &Path, files: &[PathBuf]) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    COMPRESSED.contains(&ending) && files.contains(&file.with_extension(""))
}

fn entry(built: &Path, file: &Path, files: &[PathBuf]) -> String {
    // INVARIANT: nobody takes away what is built while cargo builds.
    let bytes = fs::read(file).expect("what was just listed can be read");
    // It is compared only with what the same binary said.
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    // INVARIANT: `collect` began there.
    let path = file.strip_prefix(built).expect("it was found below").to_string_lossy().replace('\\', "/");
    let mut text = format!("    Asset {{ path: {:?}, tag: \"\\\"{:016x}\\\"\"", format!("/{path}"), hasher.finish());
    let _ = write!(text, ", plain: include_bytes!({file:?})");
    for (field, ending) in [("brotli", COMPRESSED[0]), ("gzip", COMPRESSED[1])] {
        let mut copy = file.as_os_str().to_owned();
        copy.push(format!(".{ending}"));
        let copy = PathBuf::from(copy);
        let value = if files.contains(&copy) { format!("Some(include_bytes!({copy:?}))") } else { "None".to_owned() };
        let _ = write!(text, ", {field}: {value}");
    }
    text.push_str(" },\n");
    text
}
