//! Who works at the sample company and what it is owed. Nothing here is drawn at random: two days of the demonstration
//! differ by their date only, so that whoever checks a number can count it again.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const NAME: &str = "Halden Instruments";
pub const DOMAIN: &str = "halden.example";
/// Somebody at the meeting who works for another company.
pub const AUDITOR: (&str, &str) = ("Iris Vogel", "iris.vogel@cordis-audit.example");

/// Somebody who works there, as systems know them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Employee {
    pub name: String,
    /// The login of every system, and the part of the mail address before its `@`.
    pub login: String,
    /// The password and token of every system: made for one run, and told to nobody but the systems and a vault.
    pub secret: String,
}

impl Employee {
    pub fn email(&self) -> String {
        format!("{}@{DOMAIN}", self.login)
    }
}

/// Everybody: a name, a login, and a department.
pub const PEOPLE: [(&str, &str, Department); 4] = [
    ("Sofia Brandt", "sofia", Department::Finance),
    ("Ben Ito", "ben", Department::Sales),
    ("Mara Okafor", "mara", Department::People),
    ("Noah Lind", "noah", Department::Operations),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Department {
    Finance,
    Sales,
    People,
    Operations,
}

impl Department {
    pub fn name(self) -> &'static str {
        match self {
            Self::Finance => "Finance",
            Self::Sales => "Sales",
            Self::People => "People",
            Self::Operations => "Operations",
        }
    }
}

/// A customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub id: &'static str,
    pub name: &'static str,
    pub region: &'static str,
    /// Days that it has to pay.
    pub terms: u32,
    pub rating: &'static str,
    /// The account that it belongs to.
    pub parent: Option<&'static str>,
}

const fn account(
    id: &'static str,
    name: &'static str,
    region: &'static str,
    terms: u32,
    rating: &'static str,
    parent: Option<&'static str>,
) -> Account {
    Account { id, name, region, terms, rating, parent }
}

pub const ACCOUNTS: [Account; 10] = [
    account("A-101", "Nordic Robotics AB", "North", 30, "B", None),
    account("A-102", "Fjord Marine AS", "North", 60, "D", Some("A-101")),
    account("A-103", "Aurora Energi Oy", "North", 30, "C", None),
    account("A-104", "Delta Foods GmbH", "South", 30, "A", None),
    account("A-105", "Granite Pharma S.p.A.", "South", 45, "B", None),
    account("A-106", "Ember Glassworks S.A.", "East", 30, "C", None),
    account("A-107", "Vistula Rail Sp. z o.o.", "East", 45, "B", None),
    account("A-108", "Celtic Brewing Ltd", "West", 30, "A", None),
    account("A-109", "Harbour Optics Ltd", "West", 30, "B", Some("A-108")),
    account("A-110", "Lumen Hospital Trust", "West", 60, "A", None),
];

/// An invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoice {
    pub number: u32,
    pub account: Account,
    pub cents: u64,
    /// When it is due, in days from the day of the demonstration: before it when negative.
    pub due_in_days: i64,
    pub is_paid: bool,
}

pub const INVOICES: u32 = 320;

/// All invoices. Each number is made of the invoice's own number by the same few steps.
pub fn invoices() -> impl Iterator<Item = Invoice> {
    (0..INVOICES).map(|number| {
        // Knuth's multiplicative hash: spreads, and is the same everywhere.
        let mix = |salt: u32| u64::from((number + 1).wrapping_mul(2_654_435_761).rotate_left(salt).wrapping_add(salt));
        let account = ACCOUNTS[usize::try_from(mix(3) % 10).unwrap_or(0)];
        let due_in_days = i64::try_from(mix(7) % 140).unwrap_or(0) - 100;
        // Who is rated worse pays later, and the north waits longest.
        let slow = match account.rating {
            "A" => 12,
            "B" => 22,
            "C" => 38,
            _ => 60,
        };
        let is_paid = due_in_days < 0 && mix(11) % 100 >= slow;
        let cents = 40_000 + mix(13) % 960_000;
        Invoice { number: 20_000 + number, account, cents, due_in_days, is_paid }
    })
}

/// What is overdue in a region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overdue {
    pub invoices: u32,
    pub cents: u64,
}

/// What is overdue by region, counted from the invoices and not from any database.
pub fn overdue() -> BTreeMap<&'static str, Overdue> {
    let mut found: BTreeMap<&'static str, Overdue> = BTreeMap::new();
    for invoice in invoices().filter(|invoice| !invoice.is_paid && invoice.due_in_days < 0) {
        let sum = found.entry(invoice.account.region).or_default();
        sum.invoices += 1;
        sum.cents += invoice.cents;
    }
    found
}

/// `today` and so many days, as ISO 8601. A date without an end is today's.
pub fn day(today: NaiveDate, days: i64) -> String {
    let span = Days::new(days.unsigned_abs());
    let moved = if days < 0 { today.checked_sub_days(span) } else { today.checked_add_days(span) };
    moved.unwrap_or(today).format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_is_owed_something_and_not_everything() {
        let overdue = overdue();
        assert_eq!(overdue.len(), 4);
        assert!(overdue.values().all(|sum| sum.invoices >= 4 && sum.cents > 0), "{overdue:?}");
        let late: u32 = overdue.values().map(|sum| sum.invoices).sum();
        assert!(late < INVOICES / 2, "{late}");
        assert!(invoices().any(|invoice| invoice.is_paid) && invoices().any(|invoice| invoice.due_in_days >= 0));
    }

    #[test]
    fn the_south_and_the_north_are_told_apart() {
        let overdue = overdue();
        assert!(overdue["North"].cents > overdue["South"].cents, "{overdue:?}");
        let day = |days| day(NaiveDate::from_ymd_opt(2026, 3, 1).unwrap(), days);
        assert_eq!((day(-1).as_str(), day(31).as_str()), ("2026-02-28", "2026-04-01"));
    }
}
