//! Processes on certain cores, their time and their memory.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often memory is looked at. The kernel keeps the peak of a process, so that only what one
/// takes in its last moment is missed.
const EVERY: Duration = Duration::from_millis(2);

/// A process that has ended well.
pub struct Ended {
    pub seconds: f64,
    /// With the processes that it started, as far as they ran at once.
    pub peak_bytes: u64,
    pub stdout: String,
}

/// Runs a command on the first `threads` cores.
///
/// # Errors
/// A command that does not start or does not succeed, with the end of what it said.
pub fn run(command: &Command, threads: usize, scratch: &Path) -> Result<Ended, String> {
    let said = scratch.join("stderr");
    let printed = scratch.join("stdout");
    let create = |path: &Path| File::create(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut pinned = pinned(command, threads);
    pinned.stdin(Stdio::null());
    pinned.stdout(create(&printed)?).stderr(create(&said)?);
    let started = Instant::now();
    let mut child = pinned
        .spawn()
        .map_err(|error| format!("cannot run taskset, which keeps threads on a core: {error}"))?;
    let mut peak_bytes = 0;
    let status = loop {
        peak_bytes = peak_bytes.max(memory_of(child.id()));
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => std::thread::sleep(EVERY),
            Err(error) => return Err(format!("{command:?}: {error}")),
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    match status.success() {
        true => Ok(Ended {
            seconds,
            peak_bytes,
            stdout: text(printed),
        }),
        false => Err(format!("{command:?} ended with {status}\n{}", text(said))),
    }
}

/// The same command under `taskset`, which becomes it.
fn pinned(command: &Command, threads: usize) -> Command {
    let cores = format!("0-{}", threads - 1);
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &cores]);
    pinned.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    pinned
}

/// The peaks of a process and of those below it, added up; 0 once it has ended.
fn memory_of(process: u32) -> u64 {
    let own = peak(process).unwrap_or_default();
    own + children(process).into_iter().map(memory_of).sum::<u64>()
}

fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

fn children(process: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    let lists = tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let children = list.split_whitespace().filter_map(|id| id.parse().ok());
            children.collect::<Vec<u32>>()
        })
        .collect()
}
