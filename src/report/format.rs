//! Numbers as people read them. An unknown one is a dash.

use super::texts::Texts;
use crate::plan::money;

/// Formats numbers with the words of a language.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'t> {
    pub texts: &'t Texts,
}

impl Numbers<'_> {
    fn or_unknown(self, text: Option<String>) -> String {
        text.unwrap_or_else(|| self.texts.get("unknown").to_owned())
    }

    /// Returns a count with separators of thousands: `12,345`.
    pub(super) fn count(self, count: Option<i64>) -> String {
        self.or_unknown(count.map(grouped))
    }

    /// Returns a change with its sign: `+1,234`.
    pub(super) fn change(self, change: i64) -> String {
        let sign = if change > 0 { "+" } else { "" };
        format!("{sign}{}", grouped(change))
    }

    /// Returns a share of 1 as a percentage: `43.2%`.
    pub(super) fn share(self, share: Option<f64>) -> String {
        self.or_unknown(share.map(|share| format!("{:.1}%", share * 100.0)))
    }

    /// Returns the difference of two shares in percentage points: `+2.1 points`.
    pub(super) fn points(self, share: Option<f64>, before: Option<f64>) -> String {
        let points = share.zip(before).map(|(share, before)| {
            let change = signed((share - before) * 100.0, 1);
            self.texts.fill("points", &[("change", &change)])
        });
        self.or_unknown(points)
    }

    /// Returns a number without its fraction, with separators of thousands.
    pub(super) fn rounded(self, number: Option<f64>) -> String {
        self.or_unknown(number.map(|number| {
            let digits = format!("{number:.0}");
            digits.parse().map_or(digits, grouped)
        }))
    }

    /// Returns a time that was covered: `36 h`, `7 days`.
    pub(super) fn hours(self, hours: Option<f64>) -> String {
        self.or_unknown(hours.map(|hours| {
            let (name, number) = if hours >= 48.0 {
                ("in_days", hours / 24.0)
            } else {
                ("in_hours", hours)
            };
            // Half a day counts.
            let number = (number * 10.0).round() / 10.0;
            self.texts.fill(name, &[("number", &number.to_string())])
        }))
    }

    /// Returns an amount of money with its currency: `4.70 CNY`. Small amounts keep four decimals.
    pub(super) fn money(self, amount: Option<f64>, currency: Option<&str>) -> String {
        self.or_unknown(amount.map(|amount| {
            let digits = if amount != 0.0 && amount.abs() < 0.1 {
                format!("{amount:.4}")
            } else {
                format!("{amount:.2}")
            };
            let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, "0"));
            let whole = whole.parse().map_or(whole.to_owned(), grouped);
            format!("{whole}.{fraction} {}", currency.unwrap_or_default())
                .trim_end()
                .to_owned()
        }))
    }
}

/// Returns a number with its sign, of which a rounded zero has none.
pub(super) fn signed(number: f64, decimals: usize) -> String {
    let digits = format!("{:.decimals$}", number.abs());
    let is_zero = digits.trim_matches(['0', '.']).is_empty();
    match (is_zero, number > 0.0) {
        (true, _) => digits,
        (false, true) => format!("+{digits}"),
        (false, false) => format!("−{digits}"),
    }
}

fn grouped(number: i64) -> String {
    let sign = if number < 0 { "−" } else { "" };
    format!("{sign}{}", money::grouped(number.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::Numbers;
    use crate::report::texts::Texts;
    use crate::spec::words::Language;

    #[test]
    fn numbers_are_grouped_and_unknown_ones_are_a_dash() {
        let texts = Texts::of(Language::En);
        let numbers = Numbers { texts: &texts };
        assert_eq!(numbers.count(Some(1_234_567)), "1,234,567");
        assert_eq!(numbers.count(Some(i64::MIN)), "−9,223,372,036,854,775,808");
        assert_eq!(numbers.count(None), "–");
        assert_eq!(numbers.change(999), "+999");
        assert_eq!(numbers.change(-1_000), "−1,000");
        assert_eq!(numbers.share(Some(0.4321)), "43.2%");
        assert_eq!(numbers.points(Some(0.5), Some(0.52)), "−2.0 points");
        assert_eq!(numbers.points(Some(0.5), Some(0.500_1)), "0.0 points");
        assert_eq!(numbers.points(Some(0.5), None), "–");
        assert_eq!(numbers.hours(Some(24.0)), "24 h");
        assert_eq!(numbers.hours(Some(168.0)), "7 days");
        assert_eq!(numbers.hours(Some(60.0)), "2.5 days");
        assert_eq!(numbers.rounded(Some(12_345.6)), "12,346");
        assert_eq!(numbers.money(Some(4.7), Some("CNY")), "4.70 CNY");
        assert_eq!(numbers.money(Some(0.0123), Some("CNY")), "0.0123 CNY");
        assert_eq!(numbers.money(Some(12_345.0), None), "12,345.00");
    }
}
