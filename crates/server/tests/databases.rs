//! A database through the whole server: what an agent asks of it, what policy sees, what is refused.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make real files")]

mod support;

use support::{Place, wait_for};

const SCENARIO: &str = r#"
[[turn]]
[[turn.step]]
[[turn.step.call]]
tool = "books__query"
as = "overdue"
arguments = { statement = "SELECT region, sum(amount) AS total FROM invoices GROUP BY region ORDER BY region" }

[[turn.step.call]]
tool = "books__query"
as = "salaries"
arguments = { statement = "SELECT * FROM salaries" }

[[turn.step]]
say = "Overdue: {{ result overdue }} Salaries: {{ result salaries }}"
"#;

const RULE: &str = r#"
@id("no-salaries")
@reason("salaries are for the head of people")
@remedy("ask the head of people")
forbid (principal, action == Action::"data.query", resource == Connector::"books")
when { context.tables.contains("salaries") };
"#;

#[test]
fn an_agent_asks_a_database_and_is_denied_a_table_by_the_rule_that_names_it() {
    let place = Place::with_scenario(SCENARIO);
    let _server = place.serve();
    let starter = place.client(&["policy", "show"]).good().stdout;
    place.write("mine.cedar", &format!("{starter}\n{RULE}"));
    place.client(&["policy", "apply", "mine.cedar", "--reason", "A test"]).good();
    let made = std::process::Command::new("python3").args(["-c", MAKE, &place.text("books.db")]).status().unwrap();
    assert!(made.success());
    let file = place.text("books.db");
    let settings = format!(
        "server = {{ kind = \"sqlite\", path = \"{file}\" }}\nsign_in = {{ as = \"service\", login = \"file\" }}"
    );
    place.write(
        "connectors.toml",
        &format!("[books]\nkind = \"database\"\ninside = true\n[books.settings]\n{settings}\n"),
    );
    place.client(&["connector", "apply", "-f", "connectors.toml"]).good();
    place.write("agent.toml", "name = \"clerk\"\nmodel = \"main\"\n[[bailiwick.connectors]]\nname = \"books\"\n");
    place.client(&["agent", "apply", "-f", "agent.toml"]).good();

    let done = place.client(&["run", "Who owes us?", "--agent", "clerk", "--json"]).good().json();
    let said = done.to_string();
    assert!(said.contains("north,7") && said.contains("south,12"), "{said}");
    assert!(said.contains("no-salaries") && said.contains("ask the head of people"), "{said}");
    assert!(!said.contains("90000"), "{said}");
    let session = done["session_id"].as_str().unwrap();
    wait_for("the receipts", || {
        let listed = place.client(&["audit", "list", "--session", session, "--operation", "data.query", "--json"]);
        let receipts = listed.good().json().to_string();
        (receipts.contains("\"denied\"") && receipts.contains("\"allowed\"")).then_some(())
    });
}

const MAKE: &str = "
import sqlite3, sys
books = sqlite3.connect(sys.argv[1])
books.executescript('''
  create table invoices (region text, amount integer);
  insert into invoices values ('north', 3), ('north', 4), ('south', 12);
  create table salaries (name text, amount integer);
  insert into salaries values ('Ada', 90000);
''')
books.commit()
";
