//! Compiled contracts, with the options of a pipeline.

use std::sync::Arc;

use crate::plan::{Plan, Privacy};
use crate::spec::contracts::Contracts;
use crate::spec::pipeline::OnBadValue;
use crate::spec::table::{RowsFrom, Table};
use crate::spec::yaml::diagnostic::Diagnostics;
use crate::transform::program::mapping::Programs;
use crate::transform::quality::privacy::Redaction;
use crate::transform::tables::shape::{Shape, shapes};

/// The compiled contracts: turns any number of runs into tables.
pub struct Transform {
    pub contracts: Arc<Contracts>,
    pub programs: Programs,
    /// In the order of the tables in the contracts.
    pub shapes: Vec<Shape>,
    pub redaction: Redaction,
    pub on_bad_value: OnBadValue,
}

impl Transform {
    /// # Errors
    /// Every mistake in the mappings of the source contracts.
    pub fn new(contracts: Arc<Contracts>, privacy: &Privacy) -> Result<Self, Diagnostics> {
        let programs = crate::transform::program::compile::compile(&contracts)?;
        let shapes = shapes(&contracts.tables);
        Ok(Transform {
            redaction: Redaction::new(&contracts, &shapes, privacy),
            on_bad_value: OnBadValue::default(),
            contracts,
            programs,
            shapes,
        })
    }

    /// Compiles the contracts of a plan, with its options.
    ///
    /// # Errors
    /// As [`Transform::new`].
    pub fn of(plan: &Plan) -> Result<Self, Diagnostics> {
        Ok(Transform {
            on_bad_value: plan.on_bad_value,
            ..Transform::new(Arc::clone(&plan.contracts), &plan.privacy)?
        })
    }

    /// Returns the rules that every row passes.
    pub fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// Returns whether flattening makes this table.
    pub fn makes(&self, table: &str) -> bool {
        self.table(table).is_some()
    }

    /// Returns the contract of a table that flattening makes.
    pub fn table(&self, name: &str) -> Option<&Table> {
        let contract = self.contracts.tables.get(name)?;
        let made =
            crate::transform::tables::shape::is_ours(name) || contract.rows_from == RowsFrom::Pages;
        made.then_some(contract)
    }

    /// Returns the names of all tables that flattening makes.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        let names = self.contracts.tables.keys().map(String::as_str);
        names.filter(|name| self.makes(name))
    }

    /// Returns the tables that pages feed, as indexes into the contracts.
    pub fn fed_by_pages(&self) -> impl Iterator<Item = usize> {
        let tables = self.contracts.tables.values().enumerate();
        tables
            .filter(|(_, table)| table.rows_from == RowsFrom::Pages)
            .map(|(at, _)| at)
    }
}
