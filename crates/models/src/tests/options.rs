//! What the configuration may say, and what is said back where it is wrong.

use super::NOW;
use crate::{ModelOptions, Models, Options, OptionsError};
use bailiwick_ports::ModelCards as _;
use bailiwick_testkit::{clock::ManualClock, random::SeededRandom};
use bailiwick_types::{Millis, Secret};
use std::sync::Arc;

fn models(text: &str) -> Result<Models, OptionsError> {
    let options: Options = toml::from_str(text).unwrap();
    build(&options)
}

fn build(options: &Options) -> Result<Models, OptionsError> {
    Models::new(options, Arc::new(ManualClock::new(NOW)), Arc::new(SeededRandom::new(1)))
}

#[test]
fn a_configuration_gives_cards() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("demo.toml");
    std::fs::write(&scenario, "[[step]]\nsay = 'Hi'").unwrap();
    let models = models(&format!(
        r#"
        [models.main]
        provider = "openai-responses"
        base_url = "http://127.0.0.1:8000/v1/"
        model = "gpt-6-astra"
        api_key_env = "MAIN_KEY"
        context_tokens = 400000
        max_output_tokens = 32000
        retries = 2
        timeouts = {{ first_byte_ms = 60000 }}

        [models.local]
        provider = "openai-chat"
        base_url = "http://127.0.0.1:11434/v1"
        model = "qwen3"

        [models.demo]
        provider = "rehearsal"
        scenario = "{}"
        "#,
        scenario.display()
    ))
    .unwrap();
    let names: Vec<String> = models.cards().into_iter().map(|card| card.name).collect();
    assert_eq!(names, ["demo", "local", "main"]);
    let main = models.card("main").unwrap();
    assert_eq!((main.context_tokens, main.max_output_tokens, main.scripted), (400_000, Some(32_000), false));
    assert_eq!((main.provider.as_str(), main.model.as_str()), ("openai-responses", "gpt-6-astra"));
    let demo = models.card("demo").unwrap();
    assert_eq!((demo.provider.as_str(), demo.scripted, demo.context_tokens), ("rehearsal", true, 128_000));
    assert!(models.card("other").is_none());
}

#[test]
fn what_is_left_out_has_a_default() {
    let options: ModelOptions = toml::from_str("provider = \"openai-chat\"\ntimeouts = { stall_ms = 5 }").unwrap();
    assert_eq!(
        (options.timeouts.stall_ms, options.timeouts.connect_ms, options.retries),
        (Millis(5), Millis(10_000), 5)
    );
    assert!(
        toml::from_str::<ModelOptions>("provider = \"openai-chat\"\napi_key = \"x\"").is_err(),
        "keys are not written into files"
    );
}

#[test]
fn a_value_that_cannot_be_used_is_named_with_the_way_out() {
    let chat = "provider = \"openai-chat\"\nmodel = \"m\"\n";
    let served = "provider = \"openai-chat\"\nmodel = \"m\"\nbase_url = \"http://127.0.0.1/v1\"\n";
    for (text, wanted) in [
        (chat.to_owned(), "[models.main] base_url: `openai-chat` needs it: for example \"http://127.0.0.1:8000/v1\""),
        (format!("{chat}base_url = \"localhost:8000\""), "base_url: `localhost:8000` is not an http or https URL"),
        (format!("{chat}base_url = \"http://me:secret@host/v1\""), "base_url: must not hold a name or password"),
        (format!("{chat}base_url = \"ftp://me:secret@host/v1\""), "base_url: `host/v1` is not an http or https URL"),
        (format!("{chat}base_url = \"http://host/v1?a=b\""), "base_url: must end with its path"),
        ("provider = \"openai-chat\"\nbase_url = \"http://h/v1\"".to_owned(), "model: `openai-chat` needs it"),
        (format!("{served}proxy = \"nowhere\""), "proxy: `nowhere` is not"),
        (format!("{served}context_tokens = 0"), "context_tokens: must be above 0"),
        (format!("{served}max_output_tokens = 0"), "max_output_tokens: must be above 0"),
        (format!("{served}max_output_tokens = 200000"), "must not be above `context_tokens` (128000)"),
        (format!("{served}retries = 21"), "retries: must not be above 20"),
        (format!("{served}timeouts = {{ total_ms = 0 }}"), "timeouts.total_ms: must be 1 to 86400000 milliseconds"),
        (format!("{served}scenario = \"x.toml\""), "scenario: `openai-chat` has no scenario"),
        ("provider = \"rehearsal\"".to_owned(), "scenario: `rehearsal` needs the path of a scenario file"),
        (
            "provider = \"rehearsal\"\nscenario = \"x\"\nbase_url = \"http://h/v1\"".to_owned(),
            "base_url: `rehearsal` calls nobody",
        ),
        (
            "provider = \"rehearsal\"\nscenario = \"/does/not/exist.toml\"".to_owned(),
            "scenario: scenario /does/not/exist.toml: cannot be read",
        ),
    ] {
        let error = models(&format!("[models.main]\n{text}")).err().expect(wanted).to_string();
        assert!(error.starts_with("[models.main] ") && error.contains(wanted) && !error.contains("secret"), "{error}");
    }
    let error = models(&format!("[models.\"two words\"]\n{served}")).err().unwrap().to_string();
    assert!(error.contains("a model's name is 1 to 64 letters"), "{error}");
}

#[test]
fn a_key_that_no_header_can_hold_is_refused_without_showing_it() {
    for key in ["", "two words", "line\nbreak", "naïve"] {
        let mut options = super::options(crate::ProviderKind::OpenAiChat, "http://127.0.0.1/v1");
        options.api_key = Some(Secret::new(key));
        let options = Options { models: [("main".to_owned(), options)].into() };
        let error = build(&options).err().unwrap().to_string();
        assert!(error.starts_with("[models.main] api_key_env: `MAIN_KEY` is empty or holds blanks"), "{error}");
        assert!(key.is_empty() || !error.contains(key));
    }
}

#[test]
fn https_needs_no_server_to_be_configured() {
    assert!(
        models("[models.main]\nprovider = \"openai-responses\"\nbase_url = \"https://127.0.0.1:1/v1\"\nmodel = \"m\"")
            .is_ok()
    );
}
