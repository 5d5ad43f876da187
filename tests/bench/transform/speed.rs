//! The engines in turn, on the same pages, and the table of what came out.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Data;
use crate::engines::{ENGINES, Engine, GOALS, JOBS, Job, Run};
use crate::options::Options;
use crate::python::Python;

/// An engine's runs on so many threads.
struct Series<'a> {
    engine: &'a Engine,
    threads: usize,
    data: &'a Data,
    runs: Vec<Run>,
}

/// # Errors
/// An engine that fails, or one whose rows differ from redlake's.
pub fn measure(options: &Options, python: Option<&Python>, folder: &Path) -> Result<(), String> {
    let data = Data::generate(&folder.join("pages"), options.pages, python.is_some())?;
    println!("{}", data.described());
    let fewer = match python {
        Some(_) if options.wants("dlt") && options.dlt_pages < options.pages => {
            let fewer = Data::generate(&folder.join("dlt"), options.dlt_pages, true)?;
            println!("for dlt: {}", fewer.described());
            Some(fewer)
        }
        _ => None,
    };
    let pages_of = |engine: &Engine| match &fewer {
        Some(fewer) if engine.name == "dlt" => fewer,
        _ => &data,
    };
    for job in JOBS.iter().filter(|job| options.wants_job(job.name)) {
        let wanted = |engine: &&Engine| {
            let can_run = engine.is_redlake() || python.is_some();
            can_run && engine.does(job) && options.wants(engine.name)
        };
        let engines = ENGINES.iter().filter(wanted);
        let mut all: Vec<_> = engines
            .flat_map(|engine| {
                options
                    .threads
                    .iter()
                    .map(move |threads| (engine, *threads))
            })
            .map(|(engine, threads)| Series {
                engine,
                threads,
                data: pages_of(engine),
                runs: Vec::new(),
            })
            .collect();
        let out = folder.join("out");
        take_turns(&mut all, job, python, options.rounds, &out)?;
        let _ = std::fs::remove_dir_all(&out);
        report(&all, job, options.rounds);
    }
    Ok(())
}

fn take_turns(
    all: &mut [Series],
    job: &Job,
    python: Option<&Python>,
    rounds: u32,
    out: &Path,
) -> Result<(), String> {
    let mut expected: Vec<(PathBuf, Value)> = Vec::new();
    for _ in 0..rounds {
        for series in &mut *all {
            let Series { engine, data, .. } = series;
            let run = engine.run(job, data, python, series.threads, out)?;
            series.runs.push(run);
            if let Some(python) = python {
                let found = engine.check(job, python, out)?;
                let wanted = expected_of(&mut expected, job, data, python, out)?;
                compare(engine, &found, wanted)?;
            }
        }
    }
    Ok(())
}

/// What redlake makes of these pages.
fn expected_of<'e>(
    known: &'e mut Vec<(PathBuf, Value)>,
    job: &Job,
    data: &Data,
    python: &Python,
    out: &Path,
) -> Result<&'e Value, String> {
    let at = known.iter().position(|(raw, _)| *raw == data.raw);
    let at = match at {
        Some(at) => at,
        None => {
            let redlake = &ENGINES[0];
            redlake.run(job, data, None, 1, out)?;
            known.push((data.raw.clone(), redlake.check(job, python, out)?));
            known.len() - 1
        }
    };
    Ok(&known[at].1)
}

/// Nobody is fast by doing less.
fn compare(engine: &Engine, found: &Value, wanted: &Value) -> Result<(), String> {
    let tables = wanted.as_object().into_iter().flatten();
    let differences: Vec<_> = tables
        .flat_map(|(table, columns)| {
            let columns = columns.as_object().into_iter().flatten();
            columns.map(move |(column, value)| (table, column, value))
        })
        .filter(|(table, column, value)| found[table][column] != **value)
        .map(|(table, column, value)| {
            format!(
                "{table}.{column}: {}, redlake: {value}",
                found[table][column]
            )
        })
        .collect();
    match differences.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{} {} wrote other rows than redlake:\n{}",
            engine.name,
            engine.form,
            differences.join("\n")
        )),
    }
}

fn report(all: &[Series], job: &Job, rounds: u32) {
    println!("\n{} (median of {rounds})\n", job.title);
    println!(
        "| engine | threads | MB of JSON a second | lowest to highest | redlake is | peak MB |"
    );
    println!("|---|---|---|---|---|---|");
    for series in all {
        let redlake = all
            .iter()
            .find(|other| other.engine.is_redlake() && other.threads == series.threads);
        let ratio = redlake.map_or(f64::NAN, |redlake| redlake.speed() / series.speed());
        let ratio = match series.engine.is_redlake() && series.engine.form.is_empty() {
            true => String::new(),
            false => format!("{ratio:.2} × as fast"),
        };
        println!(
            "| {} | {} | {:.1} | {:.1} to {:.1} | {ratio} | {:.0} |",
            series.name(),
            series.threads,
            series.speed(),
            series.rate(series.slowest()),
            series.rate(series.fastest()),
            series.peak_megabytes(),
        );
    }
    println!();
    let redlake = all.iter().find(|s| s.engine.is_redlake() && s.threads == 2);
    for (rival, form, goal) in GOALS {
        let is_meant =
            |engine: &Engine| engine.name == rival && form.is_none_or(|form| engine.form == form);
        let forms = all.iter().filter(|s| is_meant(s.engine) && s.threads == 2);
        let fastest = forms.max_by(|a, b| a.speed().total_cmp(&b.speed()));
        if let (Some(redlake), Some(fastest)) = (redlake, fastest) {
            let ratio = redlake.speed() / fastest.speed();
            let met = if ratio >= goal { "met" } else { "not met" };
            println!(
                "{goal} × {} on two threads: {ratio:.2} ×, {met}",
                fastest.name()
            );
        }
    }
}

impl Series<'_> {
    fn name(&self) -> String {
        let version = self.runs.first().map_or("", |run| run.version.as_str());
        let name = format!("{} {version}", self.engine.name);
        match self.engine.form {
            "" => name,
            form => format!("{name} ({form})"),
        }
    }

    fn speed(&self) -> f64 {
        let seconds = self.seconds();
        self.rate(seconds[seconds.len() / 2])
    }

    fn rate(&self, seconds: f64) -> f64 {
        self.data.written.megabytes() / seconds
    }

    fn slowest(&self) -> f64 {
        self.seconds().last().copied().unwrap_or(f64::NAN)
    }

    fn fastest(&self) -> f64 {
        self.seconds().first().copied().unwrap_or(f64::NAN)
    }

    /// In order; there is one at least.
    fn seconds(&self) -> Vec<f64> {
        let mut seconds: Vec<_> = self.runs.iter().map(|run| run.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        seconds
    }

    fn peak_megabytes(&self) -> f64 {
        let peak = self.runs.iter().map(|run| run.peak_bytes).max();
        peak.unwrap_or(0) as f64 / 1e6
    }
}
