//! Three departments and what each person sees of them, with everything that could lead out of a folder.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests lay out files")]

use bailiwick_core::{Confidentiality, FailureCode, Integrity, Label, joined_text};
use bailiwick_documents::{Access, Answer, Folder, Inner, Library, Limits, Reader, Readers, call};
use bailiwick_gate::Live;
use bailiwick_testkit::clock::ManualClock;
use bailiwick_types::{Millis, Role, TeamId, Timestamp, UserId};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::symlink, path::Path, process::Command, sync::Arc};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_millis(1_795_260_645_000);
const FINANCE: TeamId = TeamId::new(NOW, [1; 10]);
const SALES: TeamId = TeamId::new(NOW, [2; 10]);
const ANNA: UserId = UserId::new(NOW, [3; 10]);

struct Company {
    folder: TempDir,
    library: Arc<Library>,
}

fn groups(name: &str) -> Label {
    Label { integrity: Integrity::Trusted, confidentiality: Confidentiality::Groups([name.to_owned()].into()) }
}

fn company() -> Company {
    let folder = TempDir::new().unwrap();
    let put = |path: &str, content: &[u8]| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    put("finance/budget.md", b"# Budget\nThe budget for 2026 is 12 million.\n");
    put("finance/payroll/salaries.csv", b"name;salary\nAnna;budget secret\n");
    put("finance/Köln/notes.txt", "Notizen aus Köln\n".as_bytes());
    put("sales/plan.md", b"Sales plan\nbudget of sales\n");
    put("sales/.hidden/key.txt", b"budget");
    put("sales/.env", b"TOKEN=budget");
    put("shared/welcome.txt", b"Welcome\n");
    put("shared/chart.png", b"\x89PNG\r\n\x1a\n budget");
    put("outside/secret.txt", b"outside budget");
    let root = |name: &str| folder.path().join(name);
    symlink(root("outside/secret.txt"), root("shared/link.txt")).unwrap();
    symlink(root("outside"), root("shared/linked")).unwrap();
    symlink("../finance", root("sales/finance")).unwrap();
    symlink("loop", root("shared/loop")).unwrap();
    let teams = |teams: &[TeamId]| Readers { teams: teams.to_vec(), ..Readers::default() };
    let plain = |name: &str, readers: Readers, label: Label| Folder {
        name: name.into(),
        root: Some(root(name)),
        bucket: None,
        readers,
        label,
        inside: Vec::new(),
    };
    let mut finance = plain("finance", teams(&[FINANCE]), groups("finance"));
    let only_anna = Readers { users: vec![ANNA], roles: vec![Role::Auditor], ..Readers::default() };
    finance.inside = vec![Inner { path: "payroll".into(), readers: only_anna, label: Some(groups("hr")) }];
    let everybody = Readers { everybody: true, ..Readers::default() };
    let folders =
        vec![finance, plain("sales", teams(&[SALES]), groups("sales")), plain("shared", everybody, Label::default())];
    Company { folder, library: Arc::new(Library { folders }) }
}

fn reader(teams: &[TeamId], user: Option<UserId>) -> Reader {
    Reader { user, teams: teams.to_vec(), roles: Vec::new() }
}

impl Company {
    async fn run(&self, reader: Reader, tool: &str, arguments: Value) -> Result<Answer, (FailureCode, String)> {
        let access = Access {
            library: self.library.clone(),
            reader,
            stores: None,
            limits: Limits::default(),
            clock: Arc::new(ManualClock::new(NOW)),
        };
        let answer = call(&access, tool, &arguments, Live::unwatched()).await;
        answer.map_err(|failure| (failure.code, failure.message))
    }

    async fn shown(&self, reader: Reader, tool: &str, arguments: Value) -> String {
        joined_text(&self.run(reader, tool, arguments).await.unwrap().content)
    }
}

#[tokio::test]
async fn everybody_sees_their_own_folders_and_no_others() {
    let company = company();
    let (finance, sales) = (reader(&[FINANCE], None), reader(&[SALES], None));
    assert_eq!(company.shown(finance.clone(), "list_documents", json!({})).await, "/finance/\n/shared/\n");
    assert_eq!(company.shown(sales.clone(), "list_documents", json!({})).await, "/sales/\n/shared/\n");
    assert_eq!(company.shown(Reader::default(), "list_documents", json!({})).await, "/shared/\n");

    let listed = company.shown(finance.clone(), "list_documents", json!({"path": "/finance"})).await;
    assert!(listed.contains("/finance/budget.md (") && listed.contains("/finance/Köln/\n"), "{listed}");
    assert!(!listed.contains("payroll"), "what one may not read is not listed: {listed}");
    let read = company.run(finance, "read_document", json!({"path": "/finance/budget.md"})).await.unwrap();
    assert!(joined_text(&read.content).contains("12 million"));
    assert_eq!(read.label, groups("finance"));

    let anna = reader(&[FINANCE], Some(ANNA));
    let read = company.run(anna, "read_document", json!({"path": "/finance/payroll/salaries.csv"})).await.unwrap();
    let mut both = groups("finance");
    both.join(&groups("hr"));
    assert_eq!(read.label, both);
}

#[tokio::test]
async fn another_persons_document_is_not_there_by_any_path() {
    let company = company();
    let reader = || reader(&[SALES], None);
    let missing = company.run(reader(), "read_document", json!({"path": "/finance/never.md"})).await.unwrap_err();
    for path in [
        "/finance/budget.md",
        "/Finance/BUDGET.md",
        "/finance/payroll/salaries.csv",
        "/sales/../finance/budget.md",
        "/sales/finance/budget.md",
        "/sales/./plan.md",
        "/shared/link.txt",
        "/shared/linked/secret.txt",
        "/shared/linked",
        "/shared/loop",
        "/sales/.env",
        "/sales/.hidden/key.txt",
        "/..",
        "/../../etc/passwd",
        "/etc/passwd",
        "/sales//../../outside/secret.txt",
        "/sales/plan.md/..",
        "/sales/plan.md/x",
        "/sales/..\\finance\\budget.md",
        "/sales/%2e%2e/finance/budget.md",
        "/sales/plan.md\0",
        "/sales/\n",
        "",
    ] {
        for tool in ["read_document", "list_documents"] {
            if tool == "list_documents" && path.is_empty() {
                continue;
            }
            let (code, why) = company.run(reader(), tool, json!({"path": path})).await.unwrap_err();
            assert_eq!(code, missing.0, "{path}: {why}");
            assert!(why.starts_with("there is no document") && !why.contains("million"), "{path}: {why}");
        }
    }
    for path in ["/".repeat(5_000), "/a".repeat(40)] {
        let (code, why) = company.run(reader(), "read_document", json!({"path": path})).await.unwrap_err();
        assert_eq!(code, FailureCode::InvalidRequest, "{why}");
    }
}

#[tokio::test]
async fn another_persons_document_is_not_there_by_search() {
    let company = company();
    let found = company.run(reader(&[SALES], None), "search_documents", json!({"query": "budget"})).await.unwrap();
    let text = joined_text(&found.content);
    assert_eq!(text.lines().filter(|line| line.starts_with('/')).count(), 1, "{text}");
    assert!(text.starts_with("/sales/plan.md") && text.contains("> budget of sales"), "{text}");
    assert_eq!(found.label, groups("sales"), "only what is shown counts");

    let found =
        company.run(reader(&[FINANCE], None), "search_documents", json!({"query": "BUDGET 2026"})).await.unwrap();
    assert!(joined_text(&found.content).starts_with("/finance/budget.md"));
    let found = company
        .run(reader(&[FINANCE, SALES], Some(ANNA)), "search_documents", json!({"query": "budget"}))
        .await
        .unwrap();
    let text = joined_text(&found.content);
    assert_eq!(text.lines().filter(|line| line.starts_with('/')).count(), 3, "{text}");
    let mut all = groups("finance");
    all.join(&groups("hr"));
    all.join(&groups("sales"));
    assert_eq!(found.label, all);
    for path in ["/finance", "/finance/payroll", "/shared/linked"] {
        let asked = json!({"query": "budget", "path": path});
        let (_, why) = company.run(reader(&[SALES], None), "search_documents", asked).await.unwrap_err();
        assert!(why.starts_with("there is no document"), "{why}");
    }
    let none = company.shown(Reader::default(), "search_documents", json!({"query": "budget"})).await;
    assert!(none.starts_with("Nothing that this person may read"), "{none}");
}

#[tokio::test]
async fn what_is_huge_or_no_text_is_met_with_a_word() {
    let company = company();
    let shared = company.folder.path().join("shared");
    fs::write(shared.join("long.txt"), "line\n".repeat(10_000)).unwrap();
    fs::write(shared.join("one-line.txt"), "x".repeat(10_000_000)).unwrap();
    fs::File::create(shared.join("sparse.txt")).unwrap().set_len(1 << 40).unwrap();
    assert!(Command::new("mkfifo").arg(shared.join("pipe.txt")).status().unwrap().success());
    let read = async |path: &str| company.run(Reader::default(), "read_document", json!({"path": path})).await;

    let (_, why) = read("/shared/chart.png").await.unwrap_err();
    assert!(why.contains("an image"), "{why}");
    let (_, why) = read("/shared/sparse.txt").await.unwrap_err();
    assert!(why.contains("binary of 1099511627776 bytes"), "{why}");
    let (_, why) = read("/shared/pipe.txt").await.unwrap_err();
    assert!(why.starts_with("there is no document"), "{why}");
    let text = joined_text(&read("/shared/long.txt").await.unwrap().content);
    assert!(text.ends_with("[lines 1 to 2000 of 10000; go on with `offset` 2001]"), "{}", &text[text.len() - 80..]);
    let text = joined_text(&read("/shared/one-line.txt").await.unwrap().content);
    assert!(text.len() < 70_000 && text.ends_with("[cut here: more than may be shown at once]"));
    let some = json!({"path": "/shared/long.txt", "offset": 9_999, "limit": 5});
    assert_eq!(company.shown(Reader::default(), "read_document", some).await, "line\nline\n");
    let beyond = json!({"path": "/shared/long.txt", "offset": 10_001});
    assert!(company.run(Reader::default(), "read_document", beyond).await.unwrap_err().1.contains("10000 lines"));
    // All of this is searched in bounded time, and found by what it says.
    let found = company.shown(Reader::default(), "search_documents", json!({"query": "welcome"})).await;
    assert!(found.starts_with("/shared/welcome.txt"), "{found}");
}

#[tokio::test]
async fn office_documents_are_read_and_found_by_what_they_say() {
    let company = company();
    let path = company.folder.path().join("shared/Offer.docx");
    let mut writer = zip::ZipWriter::new(fs::File::create(path).unwrap());
    writer.start_file("word/document.xml", zip::write::SimpleFileOptions::default()).unwrap();
    let body = "<w:document><w:p><w:r><w:t>We offer twelve machines</w:t></w:r></w:p></w:document>";
    std::io::Write::write_all(&mut writer, body.as_bytes()).unwrap();
    writer.finish().unwrap();
    let read = company.shown(Reader::default(), "read_document", json!({"path": "/shared/Offer.docx"})).await;
    assert_eq!(read, "We offer twelve machines\n");
    let found = company.shown(Reader::default(), "search_documents", json!({"query": "machines TWELVE"})).await;
    assert!(found.starts_with("/shared/Offer.docx") && found.contains("> We offer twelve machines"), "{found}");
}

#[tokio::test]
async fn a_search_whose_time_is_over_says_so() {
    let company = company();
    let access = Access {
        library: company.library.clone(),
        reader: Reader::default(),
        stores: None,
        limits: Limits { time: Millis(0), ..Limits::default() },
        clock: Arc::new(ManualClock::new(NOW)),
    };
    let answer = call(&access, "search_documents", &json!({"query": "welcome"}), Live::unwatched()).await.unwrap();
    assert!(joined_text(&answer.content).contains("[not everything was searched: the time was over"));
}

#[tokio::test]
async fn a_name_is_found_in_the_form_that_a_model_writes() {
    let company = company();
    let finance = company.folder.path().join("finance");
    // As some systems keep it: an `o` and a mark above it.
    fs::write(finance.join("Gru\u{308}n.txt"), "decomposed").unwrap();
    for path in ["/finance/Grün.txt", "/FINANCE/grün.TXT", "/finance/Köln/notes.txt"] {
        let shown = company.shown(reader(&[FINANCE], None), "read_document", json!({"path": path})).await;
        assert!(!shown.is_empty(), "{path}");
    }
    // Two that read the same are told apart by their exact names only.
    fs::write(finance.join("A.txt"), "upper").unwrap();
    fs::write(finance.join("a.txt"), "lower").unwrap();
    let read = async |path: &str| company.run(reader(&[FINANCE], None), "read_document", json!({"path": path})).await;
    assert_eq!(joined_text(&read("/finance/A.txt").await.unwrap().content), "upper\n");
    assert_eq!(joined_text(&read("/finance/a.txt").await.unwrap().content), "lower\n");
    assert!(read("/finance/\u{ff21}.txt").await.is_err());
}

fn any_path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("finance".to_owned()),
        Just("FINANCE".to_owned()),
        Just("payroll".to_owned()),
        Just("linked".to_owned()),
        Just("secret.txt".to_owned()),
        Just("salaries.csv".to_owned()),
        Just("budget.md".to_owned()),
        Just("shared".to_owned()),
        Just("sales".to_owned()),
        "[^\u{0}]{0,4}",
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| format!("/{}", parts.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Whatever the path is, somebody in no team is shown nothing of finance and nothing from outside.
    #[test]
    fn no_path_leads_out(paths in proptest::collection::vec(any_path(), 20)) {
        let company = company();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for path in paths {
            for tool in ["read_document", "list_documents"] {
                if let Ok(answer) = runtime.block_on(company.run(Reader::default(), tool, json!({"path": path}))) {
                    let text = joined_text(&answer.content);
                    prop_assert!(!text.contains("million") && !text.contains("salar") && !text.contains("outside"), "{} {}", path, text);
                }
            }
        }
    }
}

#[test]
fn a_folder_that_is_not_there_is_said_to_be_away() {
    let company = company();
    fs::remove_dir_all(company.folder.path().join("shared")).unwrap();
    assert!(!Path::new(&company.folder.path().join("shared")).exists());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (_, why) =
        runtime.block_on(company.run(Reader::default(), "list_documents", json!({"path": "/shared"}))).unwrap_err();
    assert!(why.contains("not there now"), "{why}");
}
