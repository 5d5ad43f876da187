//! The figures of a report: rows of the lake's views and marts.

use super::error::ReportError;
use super::rows::{
    CostRow, CreatorRow, GrowthRow, HashtagRow, HealthRow, HourRow, PaidRow, RankRow, RisingRow,
    Rows, Section, VoiceRow, WeekRow, read,
};
use super::scope::Scope;
use crate::query::duckdb::Database;

/// All figures of a report.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub weeks: Vec<WeekRow>,
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
    /// Reads the figures. The scope gets the weeks that are compared, and the rising notes.
    ///
    /// # Errors
    /// A query fails.
    pub(super) fn read(database: &Database, scope: &mut Scope) -> Result<Self, ReportError> {
        let weeks: Rows<WeekRow> = read(database, Section::Weeks, &scope.relation())?;
        scope.weeks.clone_from(&weeks.rows);
        let rising: Rows<RisingRow> = read(database, Section::Rising, &scope.relation())?;
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
