//! Money in integer micro-units of one named currency, so that no sum is ever rounded.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// An amount in micro-units (millionths) of the tenant's currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(i64);

impl Money {
    pub const ZERO: Self = Self(0);

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The sum, or the largest amount there is: a sum that would overflow must never look small.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoneyError;

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an amount such as `2.50`: digits, and at most 6 decimals after a point")
    }
}

impl std::error::Error for MoneyError {}

impl FromStr for Money {
    type Err = MoneyError;

    /// Reads an amount of whole units with at most 6 decimals, exactly. There is no sign, no exponent and no grouping.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let (units, decimals) = text.split_once('.').map_or((text, "0"), |(units, decimals)| (units, decimals));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(units) || !digits(decimals) || decimals.len() > 6 {
            return Err(MoneyError);
        }
        let micros: i64 = format!("{decimals:0<6}").parse().map_err(|_| MoneyError)?;
        let units: i64 = units.parse().map_err(|_| MoneyError)?;
        units.checked_mul(1_000_000).and_then(|units| units.checked_add(micros)).map(Self).ok_or(MoneyError)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        for (text, micros) in [("0", 0), ("2.50", 2_500_000), ("0.000001", 1), ("9223372036854.775807", i64::MAX)] {
            assert_eq!(text.parse(), Ok(Money::from_micros(micros)), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.0000001", "1.2.3", " 1", "9223372036854.775808"]
        {
            assert_eq!(text.parse::<Money>(), Err(MoneyError), "{text}");
        }
        let shown = Money::from_micros(1_500_000).to_string();
        assert_eq!((shown.as_str(), shown.parse()), ("1.500000", Ok(Money::from_micros(1_500_000))));
    }
}
