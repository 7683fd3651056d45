//! Documents and people through the whole server: two people of two departments and one agent.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make real files")]

mod support;

use support::{Place, person::Person, wait_for};

const SCENARIO: &str = r#"
[[turn]]
[[turn.step]]
[[turn.step.call]]
tool = "documents__search_documents"
as = "found"
arguments = { query = "overdue" }
[[turn.step.call]]
tool = "documents__read_document"
as = "read"
arguments = { path = "/FINANCE/../finance/budget.md" }
[[turn.step.call]]
tool = "people__find_people"
as = "people"
arguments = { team = "finance" }
[[turn.step]]
say = "Found: {{ result found }} Read: {{ result read }} People: {{ result people }}"
"#;

#[test]
fn a_department_s_documents_are_there_for_its_people_only_and_bring_their_label() {
    let place = Place::with_scenario(SCENARIO);
    // What finance keeps to itself goes to models inside only.
    let inside = "[models.main]\nprovider = \"rehearsal\"\nscenario = \"scenario.toml\"\nresidency = \"inside\"\n";
    place.write("bailiwick.toml", inside);
    let server = place.serve();
    place.client(&["team", "create", "Finance"]).good();
    let teams = place.client(&["team", "list", "--json"]).good().json();
    let team = teams["teams"][0]["id"].as_str().unwrap();
    for folder in ["finance", "shared"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    place.write("finance/budget.md", "Overdue in the north: 7 invoices of the secret kind\n");
    place.write("shared/notes.md", "Nothing is overdue here\n");
    let (finance, shared) = (place.text("finance"), place.text("shared"));
    place.write(
        "connectors.toml",
        &format!(
            "[documents]\nkind = \"documents\"\ninside = true\n\
             label = {{ integrity = \"trusted\", confidentiality = \"public\" }}\n\
             [[documents.settings.folders]]\nname = \"finance\"\nroot = \"{finance}\"\n\
             readers = {{ teams = [\"{team}\"] }}\n\
             label = {{ integrity = \"trusted\", confidentiality = {{ groups = [\"finance\"] }} }}\n\
             [[documents.settings.folders]]\nname = \"shared\"\nroot = \"{shared}\"\nreaders = {{ everybody = true }}\n\
             [people]\nkind = \"people\"\ninside = true\n"
        ),
    );
    place.client(&["connector", "apply", "-f", "connectors.toml"]).good();
    place.write(
        "agent.toml",
        "name = \"clerk\"\nmodel = \"main\"\n[[bailiwick.connectors]]\nname = \"documents\"\n\
         [[bailiwick.connectors]]\nname = \"people\"\n",
    );
    place.client(&["agent", "apply", "-f", "agent.toml"]).good();
    let finance = ["--team", "finance", "--email", "anna@firma.example"];
    let anna = Person::join(&place, &server, "Anna Müller", "anna", &finance);
    let ben = Person::join(&place, &server, "Ben Ito", "ben", &["--email", "ben@firma.example"]);

    let run = |person: &Person| {
        let done = person.client(&["run", "Look.", "--agent", "clerk", "--no-environment", "--json"]).good().json();
        let session = done["session_id"].as_str().unwrap().to_owned();
        let shown = person.client(&["session", "show", &session, "--json"]).good().json();
        (done["answer"].as_str().unwrap().to_owned(), shown)
    };
    let (answer, shown) = run(&anna);
    assert_eq!(answer.matches("7 invoices").count(), 2, "found and read: {answer}");
    assert!(answer.contains("/shared/notes.md") && answer.contains("Anna Müller"), "{answer}");
    let label = &shown["session"]["bailiwick"]["label"];
    assert!(label["confidentiality"].to_string().contains("finance"), "{label}");

    // For him it is not there: no name, no line, no word on why, and nothing to be kept from others.
    let (answer, shown) = run(&ben);
    assert!(!answer.contains("7 invoices") && !answer.contains("/finance/budget.md ("), "{answer}");
    assert!(answer.contains("/shared/notes.md") && answer.contains("there is no document"), "{answer}");
    let label = &shown["session"]["bailiwick"]["label"];
    assert!(!label["confidentiality"].to_string().contains("finance"), "{label}");

    // Who leaves the department has left its documents, in the next call.
    place.client(&["team", "create", "Sales"]).good();
    place.client(&["user", "change", "anna", "--team", "sales"]).good();
    assert!(!run(&anna).0.contains("7 invoices"));
    wait_for("the receipts", || {
        let listed = place.client(&["audit", "list", "--operation", "connector.call", "--json"]).good().json();
        (listed["receipts"].as_array()?.len() >= 9).then_some(())
    });
}
