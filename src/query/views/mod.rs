//! Views that are derived from one table: the latest rows and the changes between snapshots. Pure.

mod columns;
mod delta;
mod latest;

use indexmap::IndexMap;

use crate::query::sql::{identifier, literal};
use crate::spec::table::{Column, DerivedKind, LatestView, Table};

/// A derived view with its documentation.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub description: String,
    pub columns: IndexMap<String, Column>,
    kind: DerivedKind,
}

/// Returns the derived views that a table's contract declares.
pub fn derived(table: &Table) -> Vec<View> {
    let views = table.derived_views().into_iter();
    let view = |name: String, kind| {
        let (description, columns) = match kind {
            DerivedKind::Latest | DerivedKind::LatestByPipeline => latest::document(table, kind),
            DerivedKind::Delta | DerivedKind::DeltaByKey => delta::document(table, kind),
        };
        View {
            name,
            description,
            columns,
            kind,
        }
    };
    views
        .map(|derived| view(derived.name, derived.kind))
        .collect()
}

/// Returns the expression that replaces a column that cannot be read, or `None` if it can be read.
pub(super) type Failing<'f> = dyn Fn(&str) -> Option<String> + 'f;

impl View {
    /// Returns the columns that the view cannot do without.
    pub(super) fn needs<'t>(&'t self, table: &'t Table) -> impl Iterator<Item = &'t str> {
        let id = table
            .latest_view
            .as_ref()
            .map(|view| view.id.value.as_str());
        let keys = table.delta_by.iter().map(|key| key.value.as_str());
        let (keys, more): (Vec<&str>, &[&str]) = match self.kind {
            DerivedKind::Latest => (id.into_iter().collect(), &["endpoint"]),
            DerivedKind::LatestByPipeline | DerivedKind::Delta => {
                (id.into_iter().collect(), &["endpoint", "pipeline"])
            }
            DerivedKind::DeltaByKey => (keys.collect(), &["pipeline", "source"]),
        };
        let all = ["snapshot_at", "fetched_at", "run_id"];
        keys.into_iter().chain(more.iter().copied()).chain(all)
    }

    /// Returns the statement that creates the view.
    pub(super) fn statement(&self, table: &Table, failing: &Failing<'_>) -> String {
        let select = match self.kind {
            DerivedKind::Latest | DerivedKind::LatestByPipeline => {
                latest::select(table, self.kind, failing)
            }
            DerivedKind::Delta | DerivedKind::DeltaByKey => {
                delta::select(table, self.kind, failing)
            }
        };
        format!(
            "CREATE OR REPLACE VIEW {} AS {select}",
            identifier(&self.name)
        )
    }
}

/// Returns an expression with the rank of a row's endpoint: 0 for the one that the contract names
/// first. Endpoints that it does not name come last.
fn endpoint_rank(view: &LatestView) -> String {
    let ranks = view.endpoints.iter().enumerate();
    let ranks = ranks.map(|(i, endpoint)| format!(" WHEN {} THEN {i}", literal(endpoint)));
    let ranks: String = ranks.collect();
    let last = view.endpoints.len();
    if ranks.is_empty() {
        last.to_string()
    } else {
        format!("CASE endpoint{ranks} ELSE {last} END")
    }
}
