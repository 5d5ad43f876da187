//! Shards of a plan, so that several machines share its searches.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::limits::{Budgets, Limits};
use super::money::Money;
use super::{Plan, Search};

/// Shard `index` (from 1) of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    pub index: u32,
    pub count: u32,
}

/// Error of a limit that cannot be divided among shards.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit}: {value} cannot be divided among {count} shards{why}")]
pub struct Indivisible {
    limit: &'static str,
    value: String,
    count: u32,
    why: &'static str,
}

impl Shard {
    /// Returns true if a search belongs to this shard.
    ///
    /// The search id alone decides. So every machine agrees, and a search keeps its shard when
    /// others are added or removed.
    pub fn has(self, search: &Search) -> bool {
        let digits = search.search_id.get(..16).unwrap_or(&search.search_id);
        let number = u64::from_str_radix(digits, 16).unwrap_or_default();
        number % u64::from(self.count) == u64::from(self.index - 1)
    }

    /// Returns this shard's share of a whole number. The first shards take the remainder.
    pub fn share(self, whole: u64) -> u64 {
        let (count, index) = (u64::from(self.count), u64::from(self.index));
        whole / count + u64::from(index <= whole % count)
    }
}

impl Plan {
    /// Returns the shard of this plan that one of several machines runs, with its share of the
    /// limits and budgets.
    ///
    /// # Errors
    /// Fails if a limit is too small to be divided, so that a machine would get nothing.
    pub fn shard(mut self, shard: Shard) -> Result<Plan, Indivisible> {
        let Limits {
            concurrency,
            budgets,
            ..
        } = self.limits;
        let divided = |limit: &'static str, value: u64| {
            if value < u64::from(shard.count) {
                Err(Indivisible {
                    limit,
                    value: value.to_string(),
                    count: shard.count,
                    why: "",
                })
            } else {
                Ok(shard.share(value))
            }
        };
        let calls = |limit, value: Option<u64>| value.map(|v| divided(limit, v)).transpose();
        // A share below the price of a call would always end the run with its budget used up.
        let called = self.searches.iter().map(|search| &search.endpoint);
        let called = called.chain(self.follow_ups.iter().map(|f| &f.endpoint));
        let dearest = called.filter_map(|endpoint| self.price.of(endpoint));
        let dearest = dearest.map(Money::of).max().unwrap_or_default();
        let money = |limit: &'static str, value: Option<Money>| {
            let Some(value) = value else { return Ok(None) };
            let part = Money(shard.share(value.0));
            if part < dearest {
                Err(Indivisible {
                    limit,
                    value: value.to_string(),
                    count: shard.count,
                    why: ": a part could not pay for one call",
                })
            } else {
                Ok(Some(part))
            }
        };
        self.limits.concurrency = divided("concurrency", concurrency.into())? as u32;
        self.limits.requests_per_second /= f64::from(shard.count);
        self.limits.burst = (self.limits.burst / shard.count).max(1);
        self.limits.budgets = Budgets {
            requests_per_run: calls("requests_per_run", budgets.requests_per_run)?,
            requests_per_day: calls("requests_per_day", budgets.requests_per_day)?,
            cost_per_run: money("cost_per_run", budgets.cost_per_run)?,
            cost_per_day: money("cost_per_day", budgets.cost_per_day)?,
        };
        for follow_up in &mut self.follow_ups {
            follow_up.top = divided("top", follow_up.top.into())? as u32;
        }
        self.searches.retain(|search| shard.has(search));
        self.shard = Some(shard);
        Ok(self)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Parses a shard such as `2/4`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a shard; write 1/4 to 4/4 on four machines");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let (index, count) = (index.parse(), count.parse());
        match (index, count) {
            (Ok(index), Ok(count)) if (1..=count).contains(&index) => Ok(Shard { index, count }),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> String {
        shard.to_string()
    }
}
