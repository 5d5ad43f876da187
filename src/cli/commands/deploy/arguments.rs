//! Arguments of `redlake deploy`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct DeployArgs {
    /// Scheduler
    pub scheduler: Scheduler,
    /// Pipeline file with a `schedule`
    pub pipeline: PathBuf,
    /// Write the files into this folder, and print how to install them [default: print the files,
    /// with the paths that they have in a folder `deploy` beside the pipeline]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace files that differ
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Run the pipeline in N parts at the same time, each with its part of the limits and budgets
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub shards: u32,
    /// Container image, for kubernetes. Its redlake is /opt/redlake/bin/redlake
    #[arg(long, value_name = "IMAGE", default_value = concat!("redlake:", env!("CARGO_PKG_VERSION")))]
    pub image: String,
}

const NOTES: &str = "\
cron, systemd and github-actions have several files: a script that runs the pipeline with retries, a \
script for upkeep, and the files of the scheduler. airflow and kubernetes have one: \
`redlake deploy airflow watch.yaml > watch_dag.py`. Paths are absolute; the files hold no secrets.";

/// A scheduler that starts pipelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scheduler {
    /// A crontab of this account
    Cron,
    /// Services and timers of the system
    Systemd,
    /// A file with DAGs for Airflow 3
    Airflow,
    /// Manifests with CronJobs, for Kubernetes 1.29 or newer
    Kubernetes,
    /// A workflow for a self-hosted runner
    GithubActions,
}
