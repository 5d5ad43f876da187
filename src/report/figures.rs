//! The figures of a report: rows of the lake's views and marts.

use super::error::ReportError;
use super::rows::{
    CostRow, CreatorRow, GrowthRow, HashtagRow, HealthRow, HourRow, PaidRow, RankRow, RisingRow,
    Section, SectionRows, VoiceRow, WeekRow, read,
};
use super::scope::ReportScope;
use crate::query::duckdb::Database;

/// All figures of a report.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub weeks: Vec<WeekRow>,
    pub voice: SectionRows<VoiceRow>,
    pub rising: SectionRows<RisingRow>,
    pub growth: SectionRows<GrowthRow>,
    pub creators: SectionRows<CreatorRow>,
    pub hashtags: SectionRows<HashtagRow>,
    pub ranks: SectionRows<RankRow>,
    pub paid: SectionRows<PaidRow>,
    pub hours: SectionRows<HourRow>,
    pub costs: SectionRows<CostRow>,
    pub health: SectionRows<HealthRow>,
}

impl Figures {
    /// Reads the figures. The scope gets the weeks that are compared, and the rising notes.
    ///
    /// # Errors
    /// A query fails.
    pub(super) fn read(database: &Database, scope: &mut ReportScope) -> Result<Self, ReportError> {
        let weeks: SectionRows<WeekRow> = read(database, Section::Weeks, &scope.relation())?;
        scope.weeks.clone_from(&weeks.rows);
        let rising: SectionRows<RisingRow> = read(database, Section::Rising, &scope.relation())?;
        scope.rising_notes = rising.rows.iter().map(|row| row.note_id.clone()).collect();
        let relation = scope.relation();
        Ok(Figures {
            weeks: weeks.rows,
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

    /// Returns the week of a pipeline that is compared.
    pub(super) fn week_of(&self, pipeline: &str) -> Option<&WeekRow> {
        self.weeks.iter().find(|row| row.pipeline == pipeline)
    }
}
