//! `redlake deploy`: the files that let a scheduler run a pipeline.

mod arguments;
mod bundle;
mod calendar;
mod facts;
mod pace;
mod quote;
mod targets;
mod templates;

use std::path::Path;

use crate::cli::Common;
use crate::cli::commands::init::write_new;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::{print_as_is, print_text};
use crate::cli::shell::{program, shell_word};
use crate::lake_layout::full_path;
pub use arguments::DeployArgs;
use arguments::Scheduler;
use facts::Facts;
use targets::NewFile;

/// Default folder of the files, beside the pipeline.
const FOLDER: &str = "deploy";

pub fn main(args: &DeployArgs, common: &Common) -> Result<ExitCode, CliError> {
    common.text_or_json()?;
    let beside = || args.pipeline.parent().unwrap_or(Path::new("")).join(FOLDER);
    let folder = full_path(&args.output.clone().unwrap_or_else(beside));
    let facts = Facts::of(args, &folder, common)?;
    let files = targets::files(args, &facts)?;
    match &args.output {
        None => print_files(&files, &folder)?,
        Some(_) => write_files(&files, &folder, args, &facts)?,
    }
    Ok(ExitCode::Complete)
}

/// Prints a file, or several ones under their paths.
fn print_files(files: &[NewFile], folder: &Path) -> Result<(), CliError> {
    if let [(_, text)] = files {
        return print_as_is(text);
    }
    let files = files.iter().map(|(name, text)| {
        let path = folder.join(name);
        format!("# ==> {} <==\n{text}", path.display())
    });
    let files: Vec<String> = files.collect();
    print_as_is(&files.join("\n"))
}

/// Writes all files, or none if one would replace another.
fn write_files(
    files: &[NewFile],
    folder: &Path,
    args: &DeployArgs,
    facts: &Facts,
) -> Result<(), CliError> {
    let mut changed = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        let exists = path.symlink_metadata().is_ok();
        if exists && std::fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        if exists && !args.force {
            return Err(CliError::usage(
                format!("{} exists and differs", path.display()),
                "nothing was written; give --force to replace it, or another folder",
            ));
        }
        changed.push((path, text, exists));
    }
    let mut told = String::new();
    for (path, text, exists) in changed {
        if exists {
            std::fs::remove_file(&path)?;
        }
        write_new(&path, text)?;
        told.push_str(&format!("wrote {}\n", path.display()));
    }
    if told.is_empty() {
        told.push_str("all files are there already\n");
    }
    told.push_str(&format!("\nNext:\n{}", next(args.scheduler, folder, facts)));
    print_text(&told)
}

/// Returns the commands that install the files.
fn next(scheduler: Scheduler, folder: &Path, facts: &Facts) -> String {
    let path = |name: &str| shell_word(&folder.join(name).to_string_lossy());
    let (unit, pipeline) = (&facts.unit, shell_word(&facts.pipeline));
    let check = format!(
        "  {} status {pipeline} --lake {}    # after its first time\n",
        program(),
        shell_word(&facts.lake)
    );
    let script = path(&facts.run_name());
    let runs = facts.shard_list.iter().map(|shard| {
        let part = if shard.is_empty() {
            String::new()
        } else {
            format!(" {shard}")
        };
        format!("  sh {script}{part}    # makes the run that is due\n")
    });
    let run: String = runs.collect();
    match scheduler {
        Scheduler::Cron => format!(
            "{run}  (crontab -l; cat {}) | crontab -\n{check}",
            path(&format!("{unit}.crontab"))
        ),
        Scheduler::Systemd => {
            let units = shell_word(&folder.to_string_lossy());
            let timers: Vec<String> = facts
                .shard_list
                .iter()
                .map(|shard| timer(unit, shard))
                .collect();
            format!(
                "{run}  sudo cp {units}/*.service {units}/*.timer /etc/systemd/system/\n  \
                 sudo systemctl daemon-reload\n  sudo systemctl enable --now {} \
                 {unit}-upkeep@daily.timer {unit}-upkeep@status.timer\n{check}",
                timers.join(" ")
            )
        }
        Scheduler::Airflow => format!(
            "  cp {} \"$AIRFLOW_HOME/dags/\"\n  airflow dags test {unit}\n{check}",
            path(&facts.dag_name())
        ),
        Scheduler::Kubernetes => format!(
            "  kubectl create secret generic {unit} --from-env-file=.env    # lines NAME=value, \
             without quotes\n  kubectl apply -f {}\n  kubectl create job {unit}-trial --from=cronjob/{unit}\n",
            path(&format!("{unit}.yaml"))
        ),
        Scheduler::GithubActions => format!(
            "{run}  cp {} .github/workflows/    # in a repository with a runner on this machine\n{check}",
            path(&format!("{unit}.yml"))
        ),
    }
}

/// Returns the name of the timer of a part, such as `2/4`, or of the whole pipeline.
fn timer(unit: &str, shard: &str) -> String {
    match shard.split_once('/') {
        Some((index, _)) => format!("{unit}@{index}.timer"),
        None => format!("{unit}.timer"),
    }
}
