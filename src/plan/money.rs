//! Amounts of money whose sums are exact, and numbers for people.

use std::fmt;

/// An amount of money in millionths of the currency's unit, so that sums of prices stay exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub u64);

impl Money {
    const UNIT: f64 = 1e6;

    /// Rounds a price to the nearest amount. A negative number or NaN gives 0.
    pub fn of(amount: f64) -> Self {
        Money((amount * Money::UNIT).round() as u64)
    }

    pub fn amount(self) -> f64 {
        self.0 as f64 / Money::UNIT
    }

    pub fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    pub fn times(self, number: u64) -> Money {
        Money(self.0.saturating_mul(number))
    }

    pub fn minus(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

/// Writes the amount with two decimal places, or with more if it has more.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 % 10_000 {
            0 => write!(f, "{:.2}", self.amount()),
            _ => write!(f, "{}", self.amount()),
        }
    }
}

/// Formats a number with a comma every three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
