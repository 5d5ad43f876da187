//! The figures of a report: rows of the lake's views and marts.

use std::collections::BTreeSet;

use super::error::ReportError;
use super::rows::{
    CostRow, CreatorRow, GrowthRow, HashtagRow, HealthRow, HourRow, PaidRow, RankRow, RisingRow,
    Rows, Section, Span, VoiceRow, read,
};
use super::scope::Scope;
use crate::query::duckdb::Database;

/// All figures of a report.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub span: Span,
    pub voice: Rows<VoiceRow>,
    pub rising: Rows<RisingRow>,
    pub growth: Rows<GrowthRow>,
    pub creators: Rows<CreatorRow>,
    pub hashtags: Rows<HashtagRow>,
    pub ranks: Rows<RankRow>,
    pub paid: Rows<PaidRow>,
    pub hours: Rows<HourRow>,
    pub costs: Rows<CostRow>,
    pub health: Rows<HealthRow>,
}

impl Figures {
    /// Reads the figures. The scope gets the week that is compared, and the rising notes.
    ///
    /// # Errors
    /// A query fails.
    pub(super) fn read(database: &Database, scope: &mut Scope) -> Result<Self, ReportError> {
        let span: Rows<Span> = read(database, Section::Span, &scope.relation())?;
        let span = span.rows.into_iter().next().unwrap_or_default();
        scope.week = span.week;
        let rising: Rows<RisingRow> = read(database, Section::Rising, &scope.relation())?;
        scope.rising_notes = rising.rows.iter().map(|row| row.note_id.clone()).collect();
        let relation = scope.relation();
        Ok(Figures {
            span,
            rising,
            voice: read(database, Section::Voice, &relation)?,
            growth: read(database, Section::Growth, &relation)?,
            creators: read(database, Section::Creators, &relation)?,
            hashtags: read(database, Section::Hashtags, &relation)?,
            ranks: read(database, Section::Ranks, &relation)?,
            paid: read(database, Section::Paid, &relation)?,
            hours: read(database, Section::Hours, &relation)?,
            costs: read(database, Section::Costs, &relation)?,
            health: read(database, Section::Health, &relation)?,
        })
    }

    /// Returns the pipelines with any row.
    pub(super) fn pipelines(&self) -> BTreeSet<&str> {
        let health = self.health.rows.iter().map(|row| row.pipeline.as_str());
        let voice = self.voice.rows.iter().map(|row| row.pipeline.as_str());
        health.chain(voice).collect()
    }
}
