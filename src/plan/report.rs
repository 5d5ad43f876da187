//! The report that a pipeline makes after its runs.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::lake_layout;
use crate::spec::words::Language;

/// Place of the business date in the name of a report's file.
const DATE: &str = "{date}";
/// Place of the pipeline's name.
const PIPELINE: &str = "{pipeline}";

/// File and language of the report after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedReport {
    /// Path with its places.
    file: PathBuf,
    pub language: Option<Language>,
}

impl PlannedReport {
    /// Reads the name of a file as a pipeline has it. It is relative to the pipeline's file.
    ///
    /// # Errors
    /// It is not a path on this machine, it does not end with `.html`, or it has an unknown place.
    pub(super) fn parse(
        written: &str,
        language: Option<Language>,
        pipeline: &Path,
        home: Option<&str>,
    ) -> Result<Self, String> {
        let file = lake_layout::folder(Path::new(written), home).map_err(|e| e.to_string())?;
        let rest = written.replace(DATE, "").replace(PIPELINE, "");
        if rest.contains(['{', '}']) {
            return Err(format!(
                "`{written}` has a place other than {DATE} and {PIPELINE}"
            ));
        }
        if file.extension().is_none_or(|ending| ending != "html") {
            return Err(format!("`{written}` does not end with .html"));
        }
        Ok(PlannedReport {
            file: lake_layout::beside(pipeline, &file),
            language,
        })
    }

    /// Returns the file of a run's report.
    pub fn file_of(&self, pipeline: &str, date: NaiveDate) -> PathBuf {
        let file = self.file.to_string_lossy();
        let file = file.replace(DATE, &date.to_string());
        PathBuf::from(file.replace(PIPELINE, pipeline))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chrono::NaiveDate;

    use super::PlannedReport;

    #[test]
    fn a_report_is_named_after_the_date_and_the_pipeline() {
        let parse = |text| PlannedReport::parse(text, None, Path::new("a/p.yaml"), Some("/home"));
        let date = NaiveDate::from_ymd_opt(2026, 3, 9).unwrap_or_default();
        let named = |text| parse(text).map(|report| report.file_of("brand", date));
        let [dated, home] = ["../r/{pipeline}-{date}.html", "~/r.html"].map(named);
        assert_eq!(dated, Ok("r/brand-2026-03-09.html".into()));
        assert_eq!(home, Ok("/home/r.html".into()));
        for wrong in ["r.pdf", "{day}.html", "s3://bucket/r.html", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
