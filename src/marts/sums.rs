//! Sums and differences of int64 counts without overflow. A count is split into a high and a low
//! half, which are summed separately: the sum of 2^31 halves fits int64. A result that does not fit
//! int64 is null.

use polars::prelude::{DataType, Expr, NULL, col, lit, when};

/// Number of values of the low half.
const BASE: i64 = 1 << 32;

/// Magnitude of the high half of an int64.
const HIGH: i64 = 1 << 31;

/// The number `high * 2^32 + low`, which may be larger than an int64. Null where a half is null.
pub(super) struct Wide {
    pub(super) high: Expr,
    pub(super) low: Expr,
}

impl Wide {
    /// Converts an int64.
    fn of(count: Expr) -> Self {
        let (high, low) = split(count);
        Wide { high, low }
    }

    fn plus(self, other: Wide) -> Self {
        Wide {
            high: self.high + other.high,
            low: self.low + other.low,
        }
    }

    fn minus(self, other: Wide) -> Self {
        Wide {
            high: self.high - other.high,
            low: self.low - other.low,
        }
    }

    fn map(self, change: impl Fn(Expr) -> Expr) -> Self {
        Wide {
            high: change(self.high),
            low: change(self.low),
        }
    }

    /// Returns the number as int64. Null if it does not fit.
    fn exact(self) -> Expr {
        let (carry, low) = split(self.low);
        let high = self.high + carry;
        let fits = high
            .clone()
            .gt_eq(lit(-HIGH))
            .and(high.clone().lt(lit(HIGH)));
        when(fits).then(high).otherwise(lit(NULL)) * lit(BASE) + low
    }

    /// Returns the number as float64.
    pub(super) fn approximate(self) -> Expr {
        let [high, low] = [self.high, self.low].map(|half| half.cast(DataType::Float64));
        high * lit(BASE as f64) + low
    }
}

/// Splits an int64 into `(high, low)`. The low half is from 0 to 2^32 - 1.
fn split(count: Expr) -> (Expr, Expr) {
    let low = count.clone() % lit(BASE);
    let high = (count - low.clone()) / lit(BASE);
    (high, low)
}

/// Returns the sum of a group's values in these columns. Null if there is no value or the sum does
/// not fit int64.
pub(super) fn sum_if_any(names: &[&str]) -> Expr {
    wide_sum(names).exact()
}

/// Returns the sum of a group's values in these columns. Null if there is no value.
pub(super) fn wide_sum(names: &[&str]) -> Wide {
    let sum = |name: &&str| Wide::of(col(*name)).map(|half| half.sum());
    let sum = names.iter().map(sum).reduce(Wide::plus);
    let any = names.iter().map(|name| col(*name).count().gt(lit(0)));
    let (Some(sum), Some(any)) = (sum, any.reduce(Expr::or)) else {
        unreachable!("sums are of one column at least");
    };
    sum.map(|half| when(any.clone()).then(half).otherwise(lit(NULL)))
}

/// Returns `now - before` of a row. Null if one of them is null or the result does not fit int64.
pub(super) fn difference(now: &str, before: &str) -> Expr {
    Wide::of(col(now)).minus(Wide::of(col(before))).exact()
}
