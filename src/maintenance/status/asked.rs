//! The pipelines whose state is asked for.

use std::path::PathBuf;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::plan::schedule::Schedule;
use crate::plan::{Budgets, Plan, Price, Search, Shard};

/// A pipeline whose state is asked for.
#[derive(Clone, Debug)]
pub struct AskedPipeline {
    pub pipeline: String,
    pub file: Option<PathBuf>,
    /// Time of the last change of its file.
    pub changed_at: Option<DateTime<Utc>>,
    pub timezone: Tz,
    pub schedule: Option<Schedule>,
    pub budgets: Budgets,
    pub price: Option<Price>,
    pub simulated: bool,
    /// Its searches. `None` without its file.
    pub searches: Option<Vec<Search>>,
}

impl AskedPipeline {
    /// Returns the pipeline of a plan, from its file.
    pub fn of(plan: &Plan, file: PathBuf) -> Self {
        let changed = file.metadata().and_then(|file| file.modified()).ok();
        AskedPipeline {
            pipeline: plan.pipeline.clone(),
            changed_at: changed.map(|at: SystemTime| at.into()),
            file: Some(file),
            timezone: plan.timezone,
            schedule: plan.schedule.clone(),
            budgets: plan.limits.budgets,
            price: Some(plan.price.clone()),
            simulated: plan.is_simulated(),
            searches: Some(plan.searches.clone()),
        }
    }

    /// Returns a pipeline of which only the name is known. It has the default time zone.
    pub fn named(pipeline: &str) -> Self {
        AskedPipeline {
            pipeline: pipeline.to_owned(),
            file: None,
            changed_at: None,
            timezone: chrono_tz::Asia::Shanghai,
            schedule: None,
            budgets: Budgets::default(),
            price: None,
            simulated: false,
            searches: None,
        }
    }

    /// Returns true if a shard has searches. A shard without any makes no call, and so no run.
    pub fn has_work(&self, shard: Shard) -> bool {
        let mut searches = self.searches.iter().flatten();
        searches.any(|search| shard.has(search))
    }
}
