//! What was measured, as a table or as JSON.

use std::fmt::Write as _;

#[derive(Default)]
pub struct Report(Vec<(String, f64, &'static str)>);

impl Report {
    pub fn add(&mut self, what: &str, value: f64, unit: &'static str) {
        eprintln!("{what}: {value:.2} {unit}");
        self.0.push((what.to_owned(), value, unit));
    }

    pub fn table(&self) -> String {
        let width = self.0.iter().map(|(what, _, _)| what.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (what, value, unit) in &self.0 {
            let _ = writeln!(text, "{what:<width$}  {value:>12.2} {unit}");
        }
        text
    }

    pub fn json(&self) -> String {
        let rows =
            self.0.iter().map(|(what, value, unit)| serde_json::json!({"what": what, "value": value, "unit": unit}));
        serde_json::Value::Array(rows.collect()).to_string()
    }
}
