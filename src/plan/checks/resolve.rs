//! Resolves the declared checks of a pipeline against the contracts.

use std::collections::BTreeSet;

use super::{CheckRule, DataCheck};
use crate::plan::check::{Checker, choose};
use crate::plan::privacy::Privacy;
use crate::plan::privacy::rule::PrivacyRule;
use crate::spec::checks::{self as spec, CheckValue, Freshness, RowCountChange};
use crate::spec::contracts::Contracts;
use crate::spec::table::{ColumnType, RowsFrom, Table};
use crate::spec::yaml::document::Spanned;

/// Resolves the key `checks`.
pub fn checks(
    check: &mut Checker<'_>,
    declared: &[Spanned<spec::Check>],
    contracts: &Contracts,
    privacy: &Privacy,
) -> Vec<DataCheck> {
    let mut names = BTreeSet::new();
    let mut resolver = Resolver {
        check,
        contracts,
        privacy,
    };
    let mut resolved = Vec::new();
    for (at, one) in declared.iter().enumerate() {
        // A check extends to the start of the next one.
        let end = declared
            .get(at + 1)
            .map_or(usize::MAX, |next| next.span().start);
        let rule = resolver.rule(one, end);
        resolver.name(one.name.as_ref(), &mut names);
        let Some(rule) = rule else { continue };
        let name = one.name.as_ref().map(|name| name.value.clone());
        resolved.push(DataCheck {
            name: name.unwrap_or_else(|| rule.to_string()),
            severity: one.severity,
            rule,
        });
    }
    resolved
}

struct Resolver<'r, 'c> {
    check: &'r mut Checker<'c>,
    contracts: &'r Contracts,
    privacy: &'r Privacy,
}

impl Resolver<'_, '_> {
    fn name(&mut self, name: Option<&Spanned<String>>, names: &mut BTreeSet<String>) {
        let Some(name) = name else { return };
        if name.trim().is_empty() {
            let hint = "write a name, or remove `name`";
            self.check.error(name, "this check has an empty name", hint);
        } else if !names.insert(name.value.clone()) {
            let message = format!("two checks are named `{}`", name.value);
            self.check.error(name, message, "give each its own name");
        }
    }

    /// Returns the rule of a check, if it declares exactly one and every name in it exists. `end`
    /// is the start offset of the next check.
    fn rule(&mut self, one: &Spanned<spec::Check>, end: usize) -> Option<CheckRule> {
        let asked = asked(one);
        if asked.is_empty() && self.check.is_told_in(one.span().start..end) {
            return None;
        }
        if asked.len() != 1 {
            let message = match asked.len() {
                0 => "this check has no condition".to_owned(),
                _ => format!("this check has several conditions: {}", asked.join(", ")),
            };
            let hint = format!("give exactly one of {}", KINDS.join(", "));
            self.check.error(one, message, hint);
        }
        if let Some(sql) = &one.sql {
            return self.sql(sql, one.table.as_ref());
        }
        let Some(name) = &one.table else {
            if !asked.is_empty() {
                let hint = "add `table:`, such as `table: notes`";
                self.check.error(one, "this check has no table", hint);
            }
            return None;
        };
        let tables = &self.contracts.tables;
        let names = tables.keys().map(String::as_str);
        let table = self
            .check
            .known("table", name, names, |name| tables.get(name))?;
        self.of_table(one, name, table).filter(|_| asked.len() == 1)
    }

    fn sql(&mut self, sql: &Spanned<String>, table: Option<&Spanned<String>>) -> Option<CheckRule> {
        if let Some(table) = table {
            let hint = "remove `table`; the query names its tables itself";
            self.check.error(table, "`sql` takes no table", hint);
        }
        let hint = "write a query whose rows are what is wrong, such as \
                    select * from run.engagement where liked_count < 0";
        self.check.query(sql, hint).map(CheckRule::Sql)
    }

    fn of_table(
        &mut self,
        one: &spec::Check,
        name: &Spanned<String>,
        contract: &Table,
    ) -> Option<CheckRule> {
        let table = name.value.clone();
        if let Some(columns) = &one.not_null {
            let columns = self.columns(contract, columns, true)?;
            return Some(CheckRule::NotNull { table, columns });
        }
        if let Some(columns) = &one.unique {
            let columns = self.columns(contract, columns, false)?;
            return Some(CheckRule::Unique { table, columns });
        }
        if let Some(rows) = &one.min_rows {
            if rows.value == 0 {
                self.check.too_small(rows, "min_rows");
            }
            let rows = rows.value;
            return Some(CheckRule::MinRows { table, rows });
        }
        if let Some(share) = &one.max_reject_share {
            if contract.rows_from != RowsFrom::Pages {
                let message = format!("no row of `{table}` can be rejected");
                let hint = "name a table that is made of pages, such as notes";
                self.check.error(name, message, hint);
            }
            if !(0.0..=1.0).contains(&share.value) {
                let message = "`max_reject_share` must be from 0 to 1";
                self.check
                    .error(share, message, "write 0.02 to allow 2 rows in 100");
            }
            let share = share.value;
            return Some(CheckRule::MaxRejectShare { table, share });
        }
        if let Some(values) = &one.accepted_values {
            if values.is_empty() {
                let hint = "write them by column: {note_type: [normal, video]}";
                self.check.error(values, "no accepted value is given", hint);
            }
            let columns = values.iter();
            let resolved: Vec<_> = columns
                .map(|(column, values)| self.accepted(contract, column, values))
                .collect();
            let values = resolved.into_iter().collect::<Option<_>>()?;
            return Some(CheckRule::AcceptedValues { table, values });
        }
        if let Some(freshness) = &one.freshness {
            return self.freshness(contract, freshness);
        }
        let change = one.row_count_change.as_ref()?;
        Some(self.row_count_change(table, change))
    }

    /// Returns the columns of a list; `None` if the table lacks one. With `filled`, dropped columns
    /// are reported.
    fn columns(
        &mut self,
        table: &Table,
        list: &Spanned<Vec<Spanned<String>>>,
        filled: bool,
    ) -> Option<Vec<String>> {
        if list.is_empty() {
            let hint = "name one, such as [note_id]";
            self.check.error(list, "no column is named", hint);
        }
        let named: Vec<_> = list
            .iter()
            .map(|name| {
                self.column(table, name)?;
                if filled {
                    self.not_dropped(table, name);
                }
                Some(name.value.clone())
            })
            .collect();
        named.into_iter().collect()
    }

    fn column(&mut self, table: &Table, name: &Spanned<String>) -> Option<ColumnType> {
        let names = table.columns.keys().map(String::as_str);
        let what = format!("column of {}", table.name());
        let column = self
            .check
            .known(&what, name, names, |name| table.columns.get(name))?;
        Some(column.kind)
    }

    fn not_dropped(&mut self, table: &Table, name: &Spanned<String>) {
        let mut rules = self.privacy.rules(table.name());
        let dropped = |(column, rule): (&str, &PrivacyRule)| {
            column == name.value && *rule == PrivacyRule::Drop
        };
        if rules.any(dropped) {
            let message = format!("`{}.{}` is dropped by `privacy`", table.name(), name.value);
            self.check
                .error(name, message, "do not drop it, or do not check it");
        }
    }

    fn accepted(
        &mut self,
        table: &Table,
        name: &Spanned<String>,
        values: &Spanned<Vec<Spanned<String>>>,
    ) -> Option<(String, Vec<CheckValue>)> {
        let kind = self.column(table, name)?;
        let Some(wanted) = wanted(kind) else {
            let message = format!(
                "accepted values cannot be instants or days, as in `{}`",
                name.value
            );
            let hint = "write `sql`, such as select * from run.notes where published_at < …";
            self.check.error(name, message, hint);
            return None;
        };
        if values.is_empty() {
            let message = format!("no accepted value of `{}` is given", name.value);
            self.check.error(values, message, "write at least one");
        }
        let mut accepted = Vec::new();
        for value in values.iter() {
            match scalar(value, kind) {
                Some(scalar) => accepted.push(scalar),
                None => {
                    let message = format!("`{}` is not a value of `{}`", value.value, name.value);
                    self.check.error(value, message, format!("write {wanted}"));
                }
            }
        }
        Some((name.value.clone(), accepted))
    }

    fn freshness(&mut self, table: &Table, freshness: &Freshness) -> Option<CheckRule> {
        let column = &freshness.column;
        if self.column(table, column)? != ColumnType::Timestamp {
            let message = format!("`{}` holds no instants", column.value);
            let instants = table.columns.iter();
            let instants = instants.filter(|(_, c)| c.kind == ColumnType::Timestamp);
            let hint = choose(column, instants.map(|(name, _)| name.as_str()));
            self.check.error(column, message, hint);
        }
        self.not_dropped(table, column);
        Some(CheckRule::Freshness {
            table: table.name().to_owned(),
            column: column.value.clone(),
            within_s: freshness.within.as_duration().as_secs(),
        })
    }

    fn row_count_change(&mut self, table: String, change: &RowCountChange) -> CheckRule {
        let at_most = &change.at_most;
        if !(at_most.value >= 0.0 && at_most.value.is_finite()) {
            let hint = "write 0.5 to allow 50% fewer or more rows";
            self.check
                .error(at_most, "`at_most` must be 0 or more", hint);
        }
        CheckRule::RowCountChange {
            table,
            last_runs: self.check.positive(&change.last_runs, "last_runs"),
            at_most: at_most.value,
        }
    }
}

const KINDS: [&str; 8] = [
    "not_null",
    "unique",
    "min_rows",
    "max_reject_share",
    "accepted_values",
    "freshness",
    "row_count_change",
    "sql",
];

/// Returns the kinds of check that an entry declares.
fn asked(one: &spec::Check) -> Vec<&'static str> {
    let given = [
        one.not_null.is_some(),
        one.unique.is_some(),
        one.min_rows.is_some(),
        one.max_reject_share.is_some(),
        one.accepted_values.is_some(),
        one.freshness.is_some(),
        one.row_count_change.is_some(),
        one.sql.is_some(),
    ];
    let all = KINDS.into_iter().zip(given);
    all.filter_map(|(kind, given)| given.then_some(kind))
        .collect()
}

/// Returns the words for a value of this type; `None` if its values cannot be listed.
fn wanted(kind: ColumnType) -> Option<&'static str> {
    match kind {
        ColumnType::String => Some("a text"),
        ColumnType::Int64 => Some("a whole number"),
        ColumnType::Float64 => Some("a number"),
        ColumnType::Bool => Some("true or false"),
        ColumnType::Timestamp | ColumnType::Date => None,
    }
}

/// Parses a text as a value of this type; `None` if it is none.
fn scalar(text: &str, kind: ColumnType) -> Option<CheckValue> {
    let number = || text.parse::<f64>().ok().filter(|number| number.is_finite());
    match kind {
        ColumnType::String => Some(CheckValue::Text(text.to_owned())),
        ColumnType::Int64 => text.parse().ok().map(CheckValue::Int),
        ColumnType::Float64 => number().map(CheckValue::Float),
        ColumnType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" => Some(CheckValue::Bool(true)),
            "false" => Some(CheckValue::Bool(false)),
            _ => None,
        },
        ColumnType::Timestamp | ColumnType::Date => None,
    }
}
