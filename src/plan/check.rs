//! The single checks of a plan.
//!
//! Each check reports its mistakes and returns a value to continue with, so that one run of
//! `validate` shows all mistakes.

use std::ops::Range;
use std::path::Path;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use indexmap::IndexMap;

use super::address::unusable;
use super::{currency, zones};
use crate::plan::parts::{Address, Compression, Price, SimulatedWorld};
use crate::plan::report::PlannedReport;
use crate::plan::schedule::Schedule;
use crate::spec::contracts::Contracts;
use crate::spec::load::LoadedPipeline;
use crate::spec::pipeline::{ReportOptions, SourceRef};
use crate::spec::source::Source;
use crate::spec::source::sandbox::SandboxOptions;
use crate::spec::words::{Instant, NoInstant, TimeSpan};
use crate::spec::yaml::diagnostic::{Diagnostic, Diagnostics, SourceFile, nearest};
use crate::spec::yaml::document::Spanned;
use crate::spec::yaml::env::{VariableUse, Variables};
use crate::spec::yaml::secret::SECRETS;

pub(super) struct Checker<'a> {
    file: &'a SourceFile,
    variables: &'a Variables,
    found: Vec<Diagnostic>,
    /// Number of diagnostics from before planning.
    read: usize,
}

/// Largest price of a call. Sums of such prices fit the type that views show costs in.
const MOST_PRICE: f64 = 1e6;

impl<'a> Checker<'a> {
    pub fn new(loaded: &'a LoadedPipeline) -> Self {
        Checker {
            file: &loaded.file,
            variables: &loaded.variables,
            found: loaded.found.clone(),
            read: loaded.found.len(),
        }
    }

    pub fn error<T>(
        &mut self,
        at: &Spanned<T>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        // A value that could not be read is reported already.
        let mut read = self.found[..self.read].iter();
        if !read.any(|d| d.span == Some(at.span())) {
            self.found
                .push(Diagnostic::error(self.file, Some(at.span()), message).hint(hint));
        }
    }

    /// Adds a warning about a valid but probably unintended part.
    pub fn warn(
        &mut self,
        file: &SourceFile,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.found
            .push(Diagnostic::warning(file, Some(span), message).hint(hint));
    }

    /// Reports secrets that would leave the pipeline: the variable of a token or of a signing
    /// secret anywhere, and that of another secret outside its place. A keyword, for example, is
    /// sent to the provider and written to tables.
    pub fn secrets(&mut self, uses: &[VariableUse], contracts: &Contracts) {
        let is_secret = |found: &VariableUse| SECRETS.iter().any(|keys| found.keys == *keys);
        let of_file: Vec<&VariableUse> = uses.iter().filter(|found| is_secret(found)).collect();
        for found in uses {
            let name = found.name.as_str();
            let mut sources = contracts.sources.values();
            let is_token = sources.any(|s| s.auth.env == name);
            let mut signings = contracts
                .sources
                .values()
                .filter_map(|s| s.signing.as_ref());
            let of_file = of_file.iter().find(|secret| secret.name == name);
            let (what, hint) = if is_token {
                let hint = "remove it: the token is read from the environment";
                ("holds a token", hint)
            } else if signings.any(|signing| signing.secret_env == name) {
                let hint = "remove it: the secret is read from the environment";
                ("holds a secret", hint)
            } else if let Some(secret) = of_file.filter(|_| !is_secret(found)) {
                let is_salt = secret.keys.last().is_some_and(|key| key == "salt");
                let what = if is_salt {
                    "holds the salt"
                } else {
                    "holds the secret of a webhook"
                };
                (what, "use another variable here")
            } else {
                continue;
            };
            let message = format!("the variable {name} {what}, which must not be written here");
            let span = Some(found.span.clone());
            let diagnostic = Diagnostic::error(self.file, span, message);
            self.found.push(diagnostic.hint(hint));
        }
    }

    /// Returns true if a mistake is reported in this byte range. A part that seems to be missing
    /// there may have been removed with it.
    pub fn is_told_in(&self, places: Range<usize>) -> bool {
        let mistakes = self.found.iter().filter(|d| !d.is_warning);
        let mut spans = mistakes.filter_map(|d| d.span.as_ref());
        spans.any(|span| places.contains(&span.start))
    }

    /// Returns the warnings.
    ///
    /// # Errors
    /// Returns all diagnostics, warnings included, if one of them is a mistake.
    pub fn finish(mut self) -> Result<Vec<Diagnostic>, Diagnostics> {
        let own = self.file.path().to_owned();
        // Parts that two entries share are checked twice.
        self.found.sort_by_key(|d| {
            let path = Some(d.file.path()).filter(|path| *path != own);
            let start = d.span.as_ref().map(|s| s.start);
            (path.map(Path::to_owned), start, d.message.clone())
        });
        self.found.dedup_by(|a, b| {
            a.span == b.span && a.message == b.message && a.file.path() == b.file.path()
        });
        self.variables.hide(&mut self.found);
        let found = Diagnostics(self.found);
        if found.mistakes() == 0 {
            Ok(found.0)
        } else {
            Err(found)
        }
    }

    /// Returns the value that `name` stands for, or reports an error with the nearest known name.
    pub fn known<'c, T: 'c + ?Sized>(
        &mut self,
        what: &str,
        name: &Spanned<String>,
        names: impl Iterator<Item = &'c str>,
        find: impl FnOnce(&str) -> Option<&'c T>,
    ) -> Option<&'c T> {
        let value = find(name);
        if value.is_none() {
            self.error(
                name,
                format!("unknown {what} `{}`", name.value),
                choose(name, names),
            );
        }
        value
    }

    pub fn version(&mut self, version: &Spanned<u32>) {
        if version.value != 1 {
            let message = format!("unknown version {} of the pipeline format", version.value);
            self.error(version, message, "write `version: 1`");
        }
    }

    /// Checks the name of a pipeline. It becomes part of file names and SQL.
    pub fn name(&mut self, name: &Spanned<String>) {
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            let message = format!("`{}` cannot be the name of a pipeline", name.value);
            self.error(name, message, "use 1 to 64 of a-z, 0-9, `_` and `-`");
        }
    }

    pub fn timezone(&mut self, name: &Spanned<String>) -> Tz {
        name.parse().unwrap_or_else(|_| {
            let message = format!("unknown time zone `{}`", name.value);
            self.error(name, message, zones::hint(name));
            Tz::UTC
        })
    }

    pub fn schedule(&mut self, cron: &Spanned<String>, timezone: Tz) -> Option<Schedule> {
        let schedule = Schedule::parse(&cron.value, timezone);
        schedule
            .map_err(|reason| {
                let message = format!("`{}` is not a schedule: {reason}", cron.value);
                let hint = "write five fields, minute hour day month weekday: `0 * * * *` is every \
                            hour, `30 9 * * 1-5` 09:30 on weekdays";
                self.error(cron, message, hint);
            })
            .ok()
    }

    pub fn report(&mut self, report: &ReportOptions, home: Option<&str>) -> Option<PlannedReport> {
        let (file, pipeline) = (&report.file, self.file.path());
        let planned = PlannedReport::parse(&file.value, report.lang, pipeline, home);
        planned
            .map_err(|reason| {
                let hint = "name an HTML file, relative to this file: `reports/{date}.html`";
                self.error(file, reason, hint);
            })
            .ok()
    }

    /// Returns the text of a query without its trailing `;`, which would prevent its use inside another
    /// statement. Reports an error with `hint` if there is no SQL in it.
    pub fn query(&mut self, sql: &Spanned<String>, hint: &str) -> Option<String> {
        let text = sql.trim().trim_end_matches(';').trim_end();
        let is_comment = |line: &str| line.trim().is_empty() || line.trim().starts_with("--");
        if text.lines().all(is_comment) {
            self.error(sql, "there is no SQL to run", hint);
            return None;
        }
        Some(text.to_owned())
    }

    pub fn positive(&mut self, number: &Spanned<u32>, what: &str) -> u32 {
        if number.value == 0 {
            self.too_small(number, what);
        }
        number.value.max(1)
    }

    pub fn too_small<T>(&mut self, number: &Spanned<T>, what: &str) {
        let message = format!("`{what}` must be at least 1");
        self.error(number, message, "write a whole number from 1");
    }

    /// Checks a rate in calls per second.
    pub fn rate(&mut self, number: &Spanned<f64>) -> f64 {
        if number.value.is_finite() && number.value > 0.0 {
            return number.value;
        }
        let message = "`requests_per_second` must be above 0";
        self.error(number, message, "write a number such as 2 or 0.5");
        1.0
    }

    /// Parses an amount of money.
    pub fn amount(&mut self, text: &Spanned<String>) -> Option<f64> {
        let amount = text.parse::<f64>().ok();
        let amount = amount.filter(|a| (0.0..=1e12).contains(a));
        if amount.is_none() {
            let message = format!("`{}` is not an amount of money", text.value);
            self.error(text, message, "write an amount such as 200 or 12.50");
        }
        amount
    }

    pub fn too_little(&mut self, budget: &Spanned<String>, dearest: f64) {
        let message = format!("a budget of {} does not pay for one call", budget.value);
        self.error(budget, message, format!("a call costs up to {dearest}"));
    }

    pub fn no_price(&mut self, budget: &Spanned<String>, unpriced: &[String]) {
        let message = match unpriced {
            [] => "this budget cannot be enforced: no call has a price".to_owned(),
            names => format!(
                "this budget cannot be enforced: there is no price of {}",
                names.join(", ")
            ),
        };
        let hint = match unpriced.first() {
            Some(name) => format!("add `{name}:` to `price:`; 0 if it is free"),
            None => "add `price:` with a price for each endpoint".into(),
        };
        self.error(budget, message, hint);
    }

    /// Returns the address of a source. `world` has the options of the sandbox, if it is one.
    pub fn address(
        &mut self,
        reference: &SourceRef,
        source: &Source,
        world: Option<&SandboxOptions>,
    ) -> Option<Address> {
        let known = source.endpoints.values().flat_map(|e| e.params.values());
        let dialects: Vec<&str> = known
            .flat_map(|p| p.dialects.keys())
            .map(String::as_str)
            .collect();
        if let Some(dialect) = &reference.dialect {
            let find = |name: &str| dialects.iter().find(|d| **d == name).copied();
            self.known("dialect", dialect, dialects.iter().copied(), find);
        }
        let Some(name) = &reference.base_url else {
            return source
                .base_urls
                .values()
                .next()
                .map(|url| Address::Url(url.clone()));
        };
        if name.value == SANDBOX {
            let world = world.map(|options| self.world(options));
            return Some(Address::Sandbox(world.unwrap_or_default()));
        }
        if let (Some(_), name) = (&reference.sandbox, name) {
            let hint = "write `base_url: sandbox`, or remove `sandbox:`";
            self.error(name, "only the sandbox has sandbox options", hint);
        }
        let url = source.base_url(name);
        if let Some(reason) = url.as_deref().and_then(unusable) {
            let hint =
                "write it as in https://api.example.com; the token is read from the environment";
            self.error(name, format!("the address {reason}"), hint);
            return None;
        }
        if url.is_none() {
            let message = format!("{} has no address `{}`", reference.name.value, name.value);
            let names = source.base_urls.keys().map(String::as_str).chain([SANDBOX]);
            let hint = format!("{}; or any http(s) URL", choose(name, names));
            self.error(name, message, hint);
        }
        url.map(Address::Url)
    }

    fn world(&mut self, options: &SandboxOptions) -> SimulatedWorld {
        let clock = options.clock.as_ref();
        SimulatedWorld {
            seed: options.seed,
            clock: clock.and_then(|clock| self.instant(clock)),
            late_percent: self.percentage("late_notes", options.late_notes.as_ref()),
            removed_percent: self.percentage("removed_notes", options.removed_notes.as_ref()),
            retitled_percent: self.percentage("retitled_notes", options.retitled_notes.as_ref()),
        }
    }

    /// Returns the percentage of the notes; 0 if the key is not given.
    fn percentage(&mut self, key: &str, given: Option<&Spanned<u64>>) -> u64 {
        let Some(percent) = given else {
            return 0;
        };
        if percent.value > 100 {
            let message = format!("`{key}` is a percentage, at most 100");
            self.error(percent, message, "write 5 for 5 of 100 notes");
        }
        percent.value.min(100)
    }

    fn instant(&mut self, text: &Spanned<String>) -> Option<DateTime<Utc>> {
        match Instant::read(text) {
            Ok(Instant(instant)) => Some(instant.to_utc()),
            Err(NoInstant { message, hint }) => {
                self.error(text, message, hint);
                None
            }
        }
    }

    pub fn price(
        &mut self,
        declared: &IndexMap<Spanned<String>, Spanned<String>>,
        contracts: &Contracts,
    ) -> Price {
        let endpoints = contracts.sources.values().flat_map(|s| s.endpoints.keys());
        let names: Vec<&str> = endpoints.map(String::as_str).chain(["currency"]).collect();
        let mut price = Price::default();
        for (name, value) in declared {
            if name.value == "currency" {
                if let Some(hint) = currency::hint(value) {
                    let message = format!("unknown currency `{}`", value.value);
                    self.error(value, message, hint);
                }
                price.currency = Some(value.value.clone());
                continue;
            }
            let find = |n: &str| names.iter().find(|k| **k == n).copied();
            if self
                .known("endpoint", name, names.iter().copied(), find)
                .is_none()
            {
                continue;
            }
            match value.parse::<f64>() {
                Ok(amount) if (0.0..=MOST_PRICE).contains(&amount) => {
                    price.per_call.insert(name.value.clone(), amount);
                }
                _ => {
                    let message = format!("`{}` is not a price", value.value);
                    self.error(value, message, "write the price of one call, such as 0.10");
                }
            }
        }
        if let (Some((name, _)), None) = (declared.first(), &price.currency) {
            self.error(
                name,
                "the currency of the prices is missing",
                "add `currency: CNY`",
            );
        }
        price
    }

    pub fn compression(&mut self, text: &Spanned<String>) -> Compression {
        let level = text.strip_prefix("zstd(").and_then(|t| t.strip_suffix(')'));
        match (text.as_str(), level.and_then(|l| l.parse::<i32>().ok())) {
            ("snappy", _) => Compression::Snappy,
            ("uncompressed", _) => Compression::Uncompressed,
            ("zstd", _) => Compression::Zstd(3),
            (_, Some(level @ 1..=22)) => Compression::Zstd(level),
            _ => {
                let message = format!("unknown compression `{}`", text.value);
                self.error(
                    text,
                    message,
                    "use zstd(1) to zstd(22), snappy or uncompressed",
                );
                Compression::Zstd(3)
            }
        }
    }
}

const SANDBOX: &str = "sandbox";

pub(super) fn seconds(span: Option<&Spanned<TimeSpan>>) -> Option<u64> {
    span.map(|span| span.as_duration().as_secs())
}

/// Returns the hint for a misspelt name.
pub(super) fn choose<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    match nearest(name, names.iter().copied()) {
        _ if name.contains(['，', '、']) => {
            "`，` and `、` are not separators: write `, `, an ASCII comma and a space".into()
        }
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "none is declared".into(),
        None => format!("use one of: {}", names.join(", ")),
    }
}
