//! Views that are derived from one table: `<table>_latest` and `<table>_delta`. Pure.

use indexmap::IndexMap;

use crate::query::sql::{identifier, literal};
use crate::spec::table::{Column, ColumnType, LatestView, Table};

/// A derived view with its documentation.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub description: String,
    pub columns: IndexMap<String, Column>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Latest(LatestView),
    Delta,
}

/// Returns the derived views that a table's contract declares.
pub fn derived(table: &Table) -> Vec<View> {
    let latest = table.latest_view.as_ref().map(|view| latest(table, view));
    let delta = (!table.delta_by.is_empty()).then(|| delta(table));
    latest.into_iter().chain(delta).collect()
}

fn latest(table: &Table, view: &LatestView) -> View {
    let id = view.id.value.as_str();
    let mut columns = named(table, [id]);
    let rest = table.columns.keys().map(String::as_str);
    columns.extend(named(
        table,
        rest.filter(|name| ![id, "endpoint"].contains(name)),
    ));
    let endpoints = "Endpoints whose observations were merged, separated by commas, in order of \
                     precedence.";
    columns.insert(
        "endpoints".to_owned(),
        required(ColumnType::String, None, endpoints),
    );
    View {
        name: format!("{}_latest", table.name()),
        description: format!(
            "The newest observation of each {id} in {}, endpoints merged.",
            table.name()
        ),
        columns,
        form: Form::Latest(view.clone()),
    }
}

fn delta(table: &Table) -> View {
    let mut columns = named(table, table.delta_by.iter().map(|key| key.value.as_str()));
    let before = "snapshot_at of the row before this one.";
    columns.insert(
        "previous_snapshot_at".to_owned(),
        required(ColumnType::Timestamp, None, before),
    );
    columns.extend(named(table, ["snapshot_at"]));
    let hours = "Time from the snapshot before to this one.";
    columns.insert(
        "hours".to_owned(),
        required(ColumnType::Float64, Some("h"), hours),
    );
    for (count, column) in counts(table) {
        let change = change_of(count);
        let unit = column.unit.as_deref();
        columns.insert(count.clone(), column.clone());
        let told = format!(
            "Change of {count} since the snapshot before, negative where it fell; null where one of \
             the two has none, and null where it does not fit int64."
        );
        columns.insert(
            change.delta.clone(),
            optional(ColumnType::Int64, unit, &told),
        );
        let told = format!("{} for each hour; null where no time passed.", change.delta);
        let unit = unit.map(|unit| format!("{unit}/h"));
        columns.insert(
            change.per_hour,
            optional(ColumnType::Float64, unit.as_deref(), &told),
        );
    }
    columns.extend(named(table, ["run_id", "pipeline", "source"]));
    let dt = "Folder of the row's file, the same date as snapshot_date.";
    columns.insert("dt".to_owned(), required(ColumnType::Date, None, dt));
    View {
        name: format!("{}_delta", table.name()),
        description: format!(
            "Change of each row of {} since the snapshot before it, also per hour.",
            table.name()
        ),
        columns,
        form: Form::Delta,
    }
}

/// Returns these columns of a table, as its contract declares them.
fn named<'n>(table: &Table, names: impl IntoIterator<Item = &'n str>) -> IndexMap<String, Column> {
    let column = |name: &str| Some((name.to_owned(), table.columns.get(name)?.clone()));
    names.into_iter().filter_map(column).collect()
}

fn required(kind: ColumnType, unit: Option<&str>, description: &str) -> Column {
    Column {
        required: true,
        ..optional(kind, unit, description)
    }
}

fn optional(kind: ColumnType, unit: Option<&str>, description: &str) -> Column {
    Column {
        kind,
        was: Vec::new(),
        required: false,
        unit: unit.map(str::to_owned),
        decimals: None,
        personal: false,
        free_text: false,
        identity: None,
        identity_by: None,
        fill: None,
        description: description.to_owned(),
    }
}

/// Returns the columns whose change the delta view has: all of type int64.
fn counts(table: &Table) -> impl Iterator<Item = (&String, &Column)> {
    let all = table.columns.iter();
    all.filter(|(_, column)| column.kind == ColumnType::Int64)
}

/// Names of the columns with the change of a count.
struct Change {
    delta: String,
    per_hour: String,
}

fn change_of(count: &str) -> Change {
    let stem = count.strip_suffix("_count").unwrap_or(count);
    Change {
        delta: format!("{stem}_delta"),
        per_hour: format!("{stem}_per_hour"),
    }
}

/// Returns the expression that replaces a column that cannot be read, or `None` if it can be read.
type Failing<'f> = dyn Fn(&str) -> Option<String> + 'f;

impl View {
    /// Returns the columns that the view cannot do without.
    pub(super) fn needs<'t>(&'t self, table: &'t Table) -> impl Iterator<Item = &'t str> {
        let (keys, more): (Vec<&str>, &[&str]) = match &self.form {
            Form::Latest(view) => (vec![&view.id.value], &["endpoint"]),
            Form::Delta => (
                table
                    .delta_by
                    .iter()
                    .map(|key| key.value.as_str())
                    .collect(),
                &["pipeline", "source"],
            ),
        };
        let both = ["snapshot_at", "fetched_at", "run_id"];
        keys.into_iter().chain(more.iter().copied()).chain(both)
    }

    /// Returns the statement that creates the view. A window is computed even if its column is not
    /// selected, so no failing expression goes into one.
    pub(super) fn statement(&self, table: &Table, failing: &Failing<'_>) -> String {
        let select = match &self.form {
            Form::Latest(view) => select_latest(table, view, failing),
            Form::Delta => select_delta(table, failing),
        };
        format!(
            "CREATE OR REPLACE VIEW {} AS {select}",
            identifier(&self.name)
        )
    }
}

/// Returns the SELECT of a latest view. It takes the newest row per id and endpoint. Then each
/// column has the value of the newest snapshot that has one. For equal snapshots, the endpoint that
/// the contract names first wins.
fn select_latest(table: &Table, view: &LatestView, failing: &Failing<'_>) -> String {
    let id = identifier(&view.id);
    let priority: String = view
        .endpoints
        .iter()
        .enumerate()
        .map(|(i, endpoint)| format!(" WHEN {} THEN {i}", literal(endpoint)))
        .collect();
    let merged = |name: &String| match (failing(name), identifier(name)) {
        (None, name) => format!("arg_min({name}, nth) AS {name}"),
        (Some(value), name) => format!("{value} AS {name}"),
    };
    let merged: Vec<String> = table
        .columns
        .keys()
        .filter(|name| **name != view.id.value && *name != "endpoint")
        .map(merged)
        .collect();
    format!(
        "WITH newest AS (SELECT * FROM {name} QUALIFY row_number() OVER \
         (PARTITION BY {id}, endpoint ORDER BY snapshot_at DESC, fetched_at DESC, run_id DESC) = 1), \
         ordered AS (SELECT *, row_number() OVER (PARTITION BY {id} ORDER BY snapshot_at DESC, \
         CASE endpoint{priority} ELSE {last} END, fetched_at DESC, run_id DESC) AS nth FROM newest) \
         SELECT {id}, {columns}, string_agg(endpoint, ',' ORDER BY nth) AS endpoints \
         FROM ordered GROUP BY {id}",
        name = identifier(table.name()),
        last = view.endpoints.len(),
        columns = merged.join(", "),
    )
}

/// Returns the SELECT of a delta view: every row beside the row of the snapshot before it. Of several
/// rows of one snapshot, the one that was fetched last counts.
fn select_delta(table: &Table, failing: &Failing<'_>) -> String {
    let keys: Vec<String> = table.delta_by.iter().map(|k| identifier(k)).collect();
    let previous = |count: &str| identifier(&format!("previous_{count}"));
    let lagged: String = counts(table)
        .filter(|(count, _)| failing(count).is_none())
        .map(|(c, _)| format!(", lag({}) OVER w AS {}", identifier(c), previous(c)))
        .collect();
    let told = |count: &String| {
        let Change { delta, per_hour } = change_of(count);
        let (value, change) = match failing(count) {
            None => (
                identifier(count),
                // The difference of two int64 may overflow int64.
                format!(
                    "try_cast({}::hugeint - {} AS bigint)",
                    identifier(count),
                    previous(count)
                ),
            ),
            Some(value) => (value.clone(), value),
        };
        format!(
            ", {value} AS {}, {change} AS {}, {change} / nullif(hours, 0) AS {}",
            identifier(count),
            identifier(&delta),
            identifier(&per_hour)
        )
    };
    let deltas: String = counts(table).map(|(count, _)| told(count)).collect();
    format!(
        "WITH once AS (SELECT * FROM {name} QUALIFY row_number() OVER \
         (PARTITION BY {keys}, snapshot_at ORDER BY fetched_at DESC, run_id DESC) = 1), \
         lagged AS (SELECT *, lag(snapshot_at) OVER w AS previous_snapshot_at{lagged} \
         FROM once WINDOW w AS (PARTITION BY {keys} ORDER BY snapshot_at)), \
         timed AS (SELECT *, date_diff('second', previous_snapshot_at, snapshot_at) / 3600.0 AS hours \
         FROM lagged WHERE previous_snapshot_at IS NOT NULL) \
         SELECT {keys}, previous_snapshot_at, snapshot_at, hours{deltas}, run_id, pipeline, source, dt \
         FROM timed",
        name = identifier(table.name()),
        keys = keys.join(", "),
    )
}
