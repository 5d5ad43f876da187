//! Facts about a pipeline for the files of a scheduler.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use chrono_tz::Tz;
use serde::Serialize;

use super::arguments::DeployArgs;
use super::bundle::Bundle;
use super::calendar::{self, Converted};
use super::pace::RetryPace;
use super::quote::utf8;
use crate::cli::Common;
use crate::cli::commands::checks::{OnBrokenFinding, checked_plan};
use crate::cli::commands::run::part;
use crate::cli::commands::schedule::no_schedule;
use crate::cli::environment::{self, Environment, variable};
use crate::cli::error::CliError;
use crate::clock;
use crate::lake_layout::full_path;
use crate::plan::schedule::{CronFields, Schedule};
use crate::plan::{Plan, RawRetention, Shard};
use crate::spec::contracts::Contracts;
use crate::spec::load::load_pipeline;
use crate::spec::yaml::secret::SECRETS;
use crate::spec::yaml::text_file::read_text;

/// Time of the daily upkeep, in the pipeline's zone.
const DAILY: &str = "25 5 * * *";

/// Most characters of a name in Kubernetes, which adds up to 11 to the name of a CronJob, after the
/// longest suffix of ours, `-upkeep`.
const LONGEST_UNIT: usize = 45;

/// Paths of the files in the image and in the manifests of Kubernetes.
const IMAGE_BINARY: &str = "/opt/redlake/bin/redlake";
const MOUNT: &str = "/etc/redlake";
const IMAGE_LAKE: &str = "/data/lake";

/// Values of the templates.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    pub name: String,
    /// Name of the units: `redlake-` and that of the pipeline.
    pub unit: String,
    pub redlake: String,
    pub pipeline: String,
    pub lake: String,
    /// True if there is a file `.env` beside the pipeline.
    pub env_file: bool,
    /// The expression as the pipeline has it.
    pub schedule: String,
    pub timezone: String,
    #[serde(flatten)]
    pub pace: RetryPace,
    pub shards: u32,
    /// The parts, such as `2/4`; one empty text for a whole pipeline.
    pub shard_list: Vec<String>,
    pub run_script: String,
    pub upkeep_script: String,
    pub image: String,
    /// Variables that hold tokens, that the pipeline names, or that its sources read if they are set.
    pub variables: Vec<String>,
    /// The key that lets runs remove raw pages, if the pipeline has it.
    pub keeps_raw: Option<String>,
    pub kind: String,
    #[serde(skip)]
    pub zone: Tz,
    #[serde(skip)]
    pub run_fields: CronFields,
    #[serde(skip)]
    pub daily_fields: CronFields,
    #[serde(skip)]
    pub status_fields: CronFields,
    /// Those of the variables that hold secrets.
    pub secrets: Vec<String>,
    /// True if a secret is written in the pipeline.
    #[serde(skip)]
    pub has_secret: bool,
    #[serde(skip)]
    pub lists: Vec<PathBuf>,
    #[serde(skip)]
    pub schemas: Option<PathBuf>,
}

impl Facts {
    /// Reads a pipeline. `folder` has the scripts.
    ///
    /// # Errors
    /// The pipeline has mistakes, no schedule or one that other schedulers do not know, or a path
    /// cannot be written.
    pub fn of(args: &DeployArgs, folder: &Path, common: &Common) -> Result<Self, CliError> {
        if common.schemas.is_some() {
            return Err(CliError::usage(
                "--schemas and REDLAKE_SCHEMAS are not passed on to a scheduler",
                "name the folder in the pipeline: schemas: DIR",
            ));
        }
        let environment = Environment::beside(&args.pipeline)?;
        let loaded = load_pipeline(&args.pipeline, &|name| environment.get(name))?;
        let mut variables: BTreeSet<String> =
            loaded.uses.iter().map(|used| used.name.clone()).collect();
        // The text of a loaded pipeline has asterisks in the place of a secret.
        let text = read_text(&args.pipeline)?;
        let has_secret = loaded.file.text() != text;
        let uses = loaded.uses.iter();
        let secret_uses = uses.filter(|used| SECRETS.iter().any(|keys| used.keys == *keys));
        let mut secrets: BTreeSet<String> = secret_uses.map(|used| used.name.clone()).collect();
        let lists = loaded.lists.values();
        let lists = lists.map(|list| full_path(list.file.path())).collect();
        let schemas = common.schemas_of(&loaded).map(full_path);
        let contracts = Contracts::load(schemas.as_deref())?;
        let plan = checked_plan(
            loaded,
            Arc::new(contracts),
            common.lake.as_deref(),
            OnBrokenFinding::Refuse,
        )?;
        common.warn(&plan);
        let schedule = plan
            .schedule
            .clone()
            .ok_or_else(|| no_schedule(&plan.pipeline))?;
        let lake = direct(&full_path(&common.lake_of(&plan)));
        for name in plan.sources.keys().filter(|_| !plan.is_simulated()) {
            let source = plan.source(name);
            variables.insert(source.auth.env.clone());
            secrets.insert(source.auth.env.clone());
            let signing = source.signing.iter();
            let signing = signing.flat_map(|signing| [&signing.app_id_env, &signing.secret_env]);
            let signing = signing.filter(|name| environment.get(name).is_some());
            secrets.extend(signing.clone().cloned());
            let address = [&source.base_url_env];
            let address = address
                .into_iter()
                .filter(|name| environment.get(name).is_some());
            variables.extend(signing.chain(address).cloned());
        }
        for name in variables
            .iter()
            .filter(|name| environment.is_of_process(name))
        {
            tracing::warn!(
                "{name} is set in this shell, which no scheduler has: write it into the file .env beside the \
                 pipeline"
            );
        }
        let (name, zone) = (plan.pipeline.clone(), plan.timezone);
        let keeps_raw = keeps_raw(plan.raw);
        let shard_list = shards(plan, args.shards)?;
        let run = schedule.fields().ok_or_else(|| unknown_days(&schedule))?;
        let gaps = schedule.gaps(clock::now());
        let gaps = gaps.ok_or_else(|| rare(&schedule))?;
        let is_frequent = gaps.shortest.num_hours() < 6;
        let upkeep = |cron: &str| {
            let schedule = Schedule::parse(cron, zone).expect("a constant expression");
            schedule.fields().expect("plain fields")
        };
        let unit = unit(&name);
        let script = |ending: &str| utf8(&folder.join(format!("{unit}{ending}.sh")));
        let binary = binary()?;
        let pipeline = full_path(&args.pipeline);
        Ok(Facts {
            redlake: utf8(&binary)?,
            pipeline: utf8(&pipeline)?,
            lake: utf8(&lake)?,
            env_file: pipeline.with_file_name(environment::FILE).is_file(),
            schedule: schedule.as_str().to_owned(),
            timezone: zone.to_string(),
            pace: RetryPace::of(gaps),
            shards: args.shards,
            shard_list,
            run_script: script("")?,
            upkeep_script: script("-upkeep")?,
            image: args.image.clone(),
            variables: variables.into_iter().collect(),
            keeps_raw,
            kind: "host".to_owned(),
            zone,
            run_fields: run,
            daily_fields: upkeep(DAILY),
            status_fields: upkeep(if is_frequent {
                "50 * * * *"
            } else {
                "50 */6 * * *"
            }),
            has_secret,
            secrets: secrets.into_iter().collect(),
            lists,
            schemas,
            name,
            unit,
        })
    }

    pub fn run_name(&self) -> String {
        format!("{}.sh", self.unit)
    }

    pub fn upkeep_name(&self) -> String {
        format!("{}-upkeep.sh", self.unit)
    }

    pub fn dag_name(&self) -> String {
        format!("{}_dag.py", self.unit.replace('-', "_"))
    }

    /// Returns the facts of a pod, and the files of its ConfigMap.
    ///
    /// # Errors
    /// A file of the pipeline cannot be read, is too large, or has a secret.
    pub fn in_a_pod(&self) -> Result<(Self, Bundle), CliError> {
        if self.has_secret {
            return Err(CliError::usage(
                "a secret is written in the pipeline, and a ConfigMap is no place for it",
                "put the salt, and addresses and secrets of webhooks, into variables, such as salt: \
                 \"${REDLAKE_SALT}\"",
            ));
        }
        let schemas = self.schemas.as_deref();
        let pipeline = Path::new(&self.pipeline);
        let bundle = Bundle::read(pipeline, &self.lists, schemas, "pipeline")?;
        let facts = Facts {
            redlake: IMAGE_BINARY.to_owned(),
            pipeline: format!("{MOUNT}/{}", bundle.pipeline),
            lake: IMAGE_LAKE.to_owned(),
            run_script: format!("{MOUNT}/run.sh"),
            upkeep_script: format!("{MOUNT}/upkeep.sh"),
            kind: "kubernetes".to_owned(),
            ..self.clone()
        };
        Ok((facts, bundle))
    }

    /// Returns expressions of cron for the run, the upkeep and the status, in another zone.
    pub fn in_zone(&self, zone: Tz) -> (Calendar, bool) {
        let mut is_exact = true;
        let mut lines = |fields: &CronFields| {
            let converted = calendar::convert(fields, self.zone, zone, clock::now());
            let Converted {
                all,
                is_exact: exact,
            } = converted;
            is_exact &= exact;
            all.iter().map(calendar::cron).collect()
        };
        let calendar = Calendar {
            run: lines(&self.run_fields),
            daily: lines(&self.daily_fields),
            status: lines(&self.status_fields),
        };
        (calendar, is_exact)
    }

    /// Returns the times as `OnCalendar=` of systemd takes them.
    pub fn on_calendar(&self) -> Calendar {
        let lines = |fields| calendar::on_calendar(fields, self.zone);
        Calendar {
            run: lines(&self.run_fields),
            daily: lines(&self.daily_fields),
            status: lines(&self.status_fields),
        }
    }
}

/// Times in the form of a scheduler. Several lines together are the times of one task.
#[derive(Clone, Debug, Serialize)]
pub struct Calendar {
    pub run: Vec<String>,
    pub daily: Vec<String>,
    pub status: Vec<String>,
}

/// Returns the time zone of this machine, which its cron has, too.
///
/// # Errors
/// The zone is unknown.
pub fn machine_zone() -> Result<Tz, CliError> {
    let name = variable("TZ").filter(|name| !name.is_empty());
    let name = name.or_else(|| iana_time_zone::get_timezone().ok());
    let name = name.unwrap_or_else(|| "UTC".to_owned());
    name.trim_start_matches(':').parse().map_err(|_| {
        CliError::usage(
            format!("the time zone of this machine, {name}, has no IANA name"),
            "set TZ to the zone of the cron daemon, such as TZ=Asia/Shanghai",
        )
    })
}

fn unknown_days(schedule: &Schedule) -> CliError {
    let written = schedule.as_str();
    CliError::usage(
        format!("other schedulers do not know the days of the schedule `{written}`"),
        "use numbers, names, lists, ranges and steps in `schedule`, not L, W, # or +",
    )
}

fn rare(schedule: &Schedule) -> CliError {
    let written = schedule.as_str();
    CliError::usage(
        format!("the schedule `{written}` comes due less than twice a year"),
        "start such a pipeline by hand, or choose more times",
    )
}

/// Returns the parts of a pipeline, or an empty text if it is not divided.
fn shards(plan: Plan, count: u32) -> Result<Vec<String>, CliError> {
    if count == 1 {
        return Ok(vec![String::new()]);
    }
    part(plan, Some(Shard { index: 1, count }))?;
    Ok((1..=count)
        .map(|index| format!("{index}/{count}"))
        .collect())
}

/// Returns the path of redlake as it was called: an upgrade may replace what a link leads to.
fn binary() -> std::io::Result<PathBuf> {
    let running = std::env::current_exe()?;
    let called = std::env::args_os().next().map(PathBuf::from);
    let called = called.unwrap_or_default();
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = if called.components().count() > 1 {
        vec![full_path(&called)]
    } else {
        let folders = std::env::split_paths(&folders);
        folders
            .map(|folder| full_path(&folder.join(&called)))
            .collect()
    };
    let is_it = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == running);
    Ok(places.into_iter().find(is_it).unwrap_or(running))
}

/// Returns a path without `..`, also if its last folders do not exist yet.
fn direct(path: &Path) -> PathBuf {
    if !path.components().any(|part| part == Component::ParentDir) {
        return path.to_owned();
    }
    let above = path.parent().zip(path.file_name());
    path.canonicalize().unwrap_or_else(|_| {
        above.map_or_else(
            || path.to_owned(),
            |(folder, name)| direct(folder).join(name),
        )
    })
}

/// Hexadecimal digits that keep apart pipelines with the same beginning.
const HASH: usize = 8;

/// Returns the name of the units of a pipeline. Pipelines whose names differ have other units.
fn unit(pipeline: &str) -> String {
    let unit = format!("redlake-{}", pipeline.replace('_', "-"));
    let unit = unit.trim_end_matches('-');
    if unit.len() <= LONGEST_UNIT && unit != "redlake" {
        return unit.to_owned();
    }
    let hash = blake3::hash(pipeline.as_bytes()).to_hex();
    let most = unit.len().min(LONGEST_UNIT - HASH - 1);
    let begin = unit[..most].trim_end_matches('-');
    format!("{begin}-{}", &hash[..HASH])
}

/// Returns the key of a pipeline whose runs remove raw pages.
fn keeps_raw(raw: RawRetention) -> Option<String> {
    match raw {
        RawRetention::Forever => None,
        RawRetention::For(time) => {
            let hours = time.as_secs() / 3600;
            let time = if hours.is_multiple_of(24) {
                format!("{}d", hours / 24)
            } else {
                format!("{hours}h")
            };
            Some(format!("`raw: {{keep: {time}}}`"))
        }
        RawRetention::UntilTables => Some("`raw: none`".to_owned()),
    }
}
