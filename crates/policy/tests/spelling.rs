//! Other spellings never widen what is allowed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod house;

use bailiwick_core::{EnvironmentSpec, environment::Hosted, tools};
use house::*;
use proptest::prelude::*;
use serde_json::json;

/// A rule about one folder, one address and one page, in the way in which everybody writes one.
const RULES: &str = r#"
@id("all") permit (principal, action, resource);
@id("secret") forbid (principal, action in [Action::"file.read", Action::"file.write"], resource)
  when { resource.path like "/secret/*" };
@id("secret-folder") forbid (principal, action in [Action::"file.read", Action::"file.write"], resource in Folder::"/vault");
@id("to") forbid (principal, action == Action::"tool.call", resource)
  when { context.text.hasTag("to") && context.text.getTag("to") == "boss@example.com" };
@id("file") forbid (principal, action == Action::"tool.call", resource)
  when { context.text.hasTag("file") && context.text.getTag("file") like "/secret/*" };
@id("page") forbid (principal, action == Action::"tool.call", resource)
  when { context.text.hasTag("page") && context.text.getTag("page") like "https://intranet.example/*" };
@id("rm") forbid (principal, action == Action::"command.run", resource) when { resource.text like "*rm -rf*" };
"#;

fn hosted() -> EnvironmentSpec {
    EnvironmentSpec::Hosted(Hosted {
        id: ENVIRONMENT,
        size: Default::default(),
        env: Default::default(),
        files: Vec::new(),
        setup_commands: Vec::new(),
        skills: Vec::new(),
        skill_folders: Vec::new(),
    })
}

/// Whether a path as a model writes it gets through.
fn reads(path: &str) -> bool {
    let arguments = json!({"path": path}).to_string();
    let agent = of(model()).agent;
    let action = tools::to_action("read_file", &arguments, &agent, &hosted());
    action.is_ok_and(|action| rule_of(&of(action).under(RULES)).0 == "allow")
}

fn calls(arguments: &str) -> bool {
    called("mail", arguments).is_ok_and(|action| rule_of(&of(action).under(RULES)).0 == "allow")
}

/// The measured ways past a plain rule (security.md).
#[test]
fn the_measured_spellings_do_not_walk_past_a_rule() {
    for path in [
        "/secret/x",
        "/Secret/x",
        "//secret/x",
        "/pub/../secret/x",
        "/\u{ff53}ecret/x",
        "/s\u{200b}ecret/x",
        "/secret/./x",
        "/SECRET/x",
        "/secret//x",
        "../secret/x",
        "/s\u{200d}ecret/x",
        "/\u{17f}ecret/x",
        "/secret/x/../y",
        "/vault",
        "/Vault/x",
        "/vault/a/b",
    ] {
        assert!(!reads(path), "{path:?}");
    }
    assert!(reads("/public/x") && reads("/Public/X") && reads("/vaults"));
    for arguments in [
        r#"{"to": "boss@example.com"}"#,
        r#"{"to": "Boss@Example.COM"}"#,
        r#"{"to": "boss@example.com."}"#,
        r#"{"to": "\uff42oss@example.com"}"#,
        r#"{"to": "a@b.example", "to": "boss@example.com"}"#,
        r#"{"to": "boss@ex\u00adample.com"}"#,
        r#"{"to": "The Boss <boss@example.com>"}"#,
        r#"{"to": "a@b.example", "TO": "boss@example.com"}"#,
        r#"{"to": ["boss@example.com"]}"#,
        r#"{"t\u006f": "boss@example.com"}"#,
        r#"{"to": null}"#,
        r#"{}"#,
        r#"{"to": "a@b.example", "file": "/%73ecret/x"}"#,
        r#"{"to": "a@b.example", "file": "/%2573ecret/x"}"#,
        r#"{"to": "a@b.example", "file": "/secret%2fx"}"#,
        r#"{"to": "a@b.example", "file": "\\secret\\x"}"#,
        r#"{"to": "a@b.example", "file": "/pub/..%2fsecret/x"}"#,
        r#"{"to": "a@b.example", "file": "/\uff53\uff45cret/x"}"#,
        r#"{"to": "a@b.example", "page": "HTTPS://INTRANET.example/x"}"#,
        r#"{"to": "a@b.example", "page": "https://intranet.example:443/x"}"#,
        r#"{"to": "a@b.example", "page": "https://intr%61net.example/x"}"#,
        r#"{"to": "a@b.example", "page": "https://intranet.example./x"}"#,
        r#"{"to": "a@b.example", "page": "https://public.example@intranet.example/x"}"#,
        r#"{"to": "a@b.example", "page": "https:\\\\intranet.example\\x"}"#,
    ] {
        assert!(!calls(arguments), "{arguments}");
    }
    assert!(calls(r#"{"to": "a@b.example", "file": "/public/x", "page": "https://public.example/"}"#));
    for command in ["rm -rf /", "RM -RF /", "\u{ff52}m -rf /"] {
        assert_eq!(rule_of(&of(run(command)).under(RULES)), ("deny", "rm"), "{command}");
    }
}

#[test]
fn a_forbid_can_be_about_the_exact_spelling() {
    let exact = RULES.replace("@id(\"secret\")", "@id(\"secret\") @spelling(\"exact\")");
    let verdict = |path: &str| of(read(path)).under(&exact);
    assert_eq!(rule_of(&verdict("/secret/x")), ("deny", "secret"));
    assert_eq!(rule_of(&verdict("/Secret/x")).0, "allow");
}

/// A path that no door let through is not judged by its spelling at all.
#[test]
fn a_path_that_is_not_canonical_is_denied() {
    for path in ["/a/../secret/x", "secret/x", "//secret/x", "", "/a/"] {
        assert_eq!(rule_of(&of(read(path)).under(RULES)), ("deny", "policy.error"), "{path}");
    }
    let deep = format!("/{}", vec!["a"; 200].join("/"));
    assert_eq!(rule_of(&of(read(&deep)).under(RULES)), ("deny", "policy.error"));
}

/// Ways of writing the same letter.
fn respelt(letter: char) -> impl Strategy<Value = String> {
    let wide = char::from_u32(u32::from(letter) + 0xfee0).filter(|_| letter.is_ascii_graphic()).unwrap_or(letter);
    prop_oneof![
        Just(letter.to_string()),
        Just(letter.to_ascii_uppercase().to_string()),
        Just(wide.to_string()),
        Just(format!("{letter}\u{200b}")),
        Just(format!("{letter}\u{200d}")),
        Just(format!("%{:02x}", u32::from(letter))),
    ]
}

fn spelling_of(text: &'static str) -> impl Strategy<Value = String> {
    text.chars().map(respelt).collect::<Vec<_>>().prop_map(|letters| letters.concat())
}

fn detour() -> impl Strategy<Value = String> {
    prop_oneof![Just("/"), Just("//"), Just("/./"), Just("/x/../"), Just("/../")].prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_spelling_of_a_path_that_an_application_would_decode_gets_through(
        start in detour(), name in spelling_of("secret"), middle in detour(), rest in spelling_of("plan"),
    ) {
        prop_assume!(!middle.contains(".."));
        let file = format!("{start}{name}{middle}{rest}");
        let arguments = json!({"to": "a@b.example", "file": file}).to_string();
        prop_assert!(!calls(&arguments), "{}", arguments);
    }

    #[test]
    fn no_spelling_of_a_path_in_the_sandbox_gets_through(
        start in detour(), name in spelling_of("secret").prop_filter("another file", |name| !name.contains('%')), middle in detour(),
    ) {
        prop_assume!(!middle.contains(".."));
        let path = format!("{start}{name}{middle}plan");
        prop_assert!(!reads(&path), "{}", path);
    }

    #[test]
    fn no_spelling_of_an_address_gets_through(local in spelling_of("boss"), domain in spelling_of("example")) {
        prop_assume!(!local.contains('%'));
        let arguments = json!({"to": format!("{local}@{domain}.com")}).to_string();
        prop_assert!(!calls(&arguments), "{}", arguments);
    }

    /// What a model writes is allowed in no spelling when it is allowed in none: permits by exact text.
    #[test]
    fn a_permit_is_not_widened_by_any_text(to in "\\PC{0,30}") {
        let rules = r#"@id("one") permit (principal, action == Action::"tool.call", resource)
            when { context.text.hasTag("to") && context.text.getTag("to") == "anna@example.com" };"#;
        if let Ok(action) = called("mail", &json!({"to": to}).to_string())
            && rule_of(&of(action.clone()).under(rules)).0 == "allow"
        {
            let bailiwick_core::Action::FunctionCall { arguments, .. } = action else { panic!() };
            prop_assert_eq!(&arguments["to"], "anna@example.com", "what is sent is what was allowed");
        }
    }
}
