//! What is asked for on the command line.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

const USAGE: &str = "\
cargo bench --bench transform -- [WORD…] [FLAG…]

  speed, memory                 measure only this
  redlake, duckdb, polars, dlt  measure only these engines (redlake always, to compare with)
  tables, notes                 only the job of eight tables, or of notes alone
  smoke                         few pages, one round: see that all of it works
  generate DIR                  only write the pages

  --pages N      pages of 20 items (2000)
  --dlt-pages N  fewer pages for dlt, which is slow (as many as for all)
  --rounds N     how often each engine runs (3)";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Speed,
    Memory,
}

#[derive(Debug)]
pub struct Options {
    pub generate: Option<PathBuf>,
    pub parts: BTreeSet<Part>,
    /// In small letters; none means all.
    engines: BTreeSet<String>,
    /// None means all.
    jobs: BTreeSet<String>,
    pub pages: u64,
    /// At most as many.
    pub dlt_pages: u64,
    pub rounds: u32,
    pub threads: &'static [usize],
}

impl Options {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            generate: None,
            parts: BTreeSet::new(),
            engines: BTreeSet::new(),
            jobs: BTreeSet::new(),
            pages: 2_000,
            dlt_pages: u64::MAX,
            rounds: 3,
            threads: &[1, 2],
        };
        let mut args = args.peekable();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // cargo says this to every benchmark.
                "--bench" => {}
                "--pages" => options.pages = number(&arg, args.next())?,
                "--dlt-pages" => options.dlt_pages = number(&arg, args.next())?,
                "--rounds" => options.rounds = number(&arg, args.next())?,
                "speed" => _ = options.parts.insert(Part::Speed),
                "memory" => _ = options.parts.insert(Part::Memory),
                "redlake" | "duckdb" | "polars" | "dlt" => _ = options.engines.insert(arg),
                "tables" | "notes" => _ = options.jobs.insert(arg),
                "smoke" => {
                    (options.pages, options.rounds) = (5, 1);
                    options.threads = &[2];
                }
                "generate" => {
                    let folder = args.next().ok_or("generate needs a folder")?;
                    options.generate = Some(PathBuf::from(folder));
                }
                _ => return Err(format!("{arg} is not known\n\n{USAGE}")),
            }
        }
        if options.parts.is_empty() {
            options.parts = BTreeSet::from([Part::Speed, Part::Memory]);
        }
        options.dlt_pages = options.dlt_pages.min(options.pages);
        Ok(options)
    }

    pub fn wants(&self, engine: &str) -> bool {
        let engine = engine.to_lowercase();
        engine == "redlake" || self.engines.is_empty() || self.engines.contains(&engine)
    }

    pub fn wants_rivals(&self) -> bool {
        self.engines.is_empty() || self.engines.iter().any(|engine| engine != "redlake")
    }

    pub fn wants_job(&self, job: &str) -> bool {
        self.jobs.is_empty() || self.jobs.contains(job)
    }
}

fn number<N: FromStr + PartialOrd + From<u8>>(
    flag: &str,
    value: Option<String>,
) -> Result<N, String> {
    let value = value.and_then(|value| value.parse().ok());
    value
        .filter(|value| *value >= N::from(1))
        .ok_or_else(|| format!("{flag} needs a number, 1 or more"))
}
