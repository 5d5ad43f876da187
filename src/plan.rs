//! A pipeline resolved against its contracts: the searches to make, with their limits and costs.
//!
//! Planning is pure. It reports every mistake at once, and what it returns is valid by
//! construction: later stages look nothing up by a name that could be wrong.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::spec::contracts::Contracts;
use crate::spec::diagnostic::{Diagnostics, nearest};
use crate::spec::load::LoadedPipeline;
use crate::spec::pipeline::{Extract, KeywordSet, Notes, OnUnknownField, SourceRef};
use crate::spec::source::{Endpoint, ParamFrom, Source};
use crate::spec::table::ColumnType;
use crate::spec::words::Filter;
use crate::spec::yaml::Spanned;

use check::Check;

mod check;

#[cfg(test)]
mod tests;

/// What a run does. See [`plan`].
#[derive(Clone, Debug)]
pub struct Plan {
    pub pipeline: String,
    /// Decides the business date of a run.
    pub timezone: Tz,
    /// Hash of what is asked for: equal plans ask for the same pages.
    pub hash: String,
    /// The pipeline's main source.
    pub source: String,
    pub sources: BTreeMap<String, PlannedSource>,
    pub searches: Vec<Search>,
    pub follow_ups: Vec<FollowUp>,
    pub limits: Limits,
    pub price: Price,
    pub on_unknown_field: OnUnknownField,
    pub lake: PathBuf,
    pub compression: Compression,
    /// What is allowed but should be known.
    pub warnings: Vec<String>,
    pub contracts: Arc<Contracts>,
}

/// Where a source is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedSource {
    pub address: Address,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    Url(String),
    /// The built-in simulator, started for the run.
    Sandbox {
        seed: u64,
        clock: Option<DateTime<Utc>>,
    },
}

/// One (endpoint, keyword, filter combination), or one note to ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Hash of what is asked, not of when: the same question has the same id in every run.
    pub search_id: String,
    pub source: String,
    pub endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keyword: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keyword_set: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub filters: BTreeMap<Filter, String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note_id: Option<String>,
    /// The provider's own words for all of this, but for the page.
    pub params: BTreeMap<String, String>,
    pub max_pages: u32,
}

/// Notes to ask for once this run's searches have found them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FollowUp {
    pub source: String,
    pub endpoint: String,
    pub found_by: String,
    pub top: u32,
    /// The column of `engagement` that ranks them.
    pub by: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub requests_per_second: u32,
    pub concurrency: u32,
    pub retries: Retries,
}

/// How often and how patiently a page is asked for again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retries {
    /// Retries after the first attempt.
    pub max: u32,
    /// Upper bound of the first delay; it doubles with each retry.
    pub delay: Duration,
}

/// What a call costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Price {
    pub currency: Option<String>,
    pub per_call: BTreeMap<String, f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Zstd(i32),
    Snappy,
    Uncompressed,
}

/// What a run may need at most.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub searches: u64,
    pub calls: u64,
    /// Null where an endpoint has no price.
    pub cost: Option<f64>,
    /// From the rate limits alone; slow answers make it longer.
    pub seconds: f64,
    pub by_endpoint: Vec<EndpointEstimate>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointEstimate {
    pub endpoint: String,
    pub source: String,
    pub searches: u64,
    pub calls: u64,
    pub cost: Option<f64>,
}

/// Resolves a pipeline against the contracts.
///
/// # Errors
/// All that is wrong with the pipeline, each with its place and a hint.
pub fn plan(loaded: LoadedPipeline, contracts: Arc<Contracts>) -> Result<Plan, Diagnostics> {
    let mut check = Check::new(&loaded);
    let spec = &loaded.pipeline;
    check.version(&spec.version);
    check.name(&spec.pipeline);
    let timezone = check.timezone(&spec.timezone);
    let limits = Limits {
        requests_per_second: check
            .positive(&spec.limits.requests_per_second, "requests_per_second"),
        concurrency: check.positive(&spec.limits.concurrency, "concurrency"),
        retries: Retries {
            max: spec.limits.retries,
            delay: spec.limits.retry_delay.as_duration(),
        },
    };
    let price = check.price(&spec.price, &contracts);
    let compression = check.compression(&spec.load.compression);

    let mut planner = Planner::new(&loaded, &contracts, check);
    planner.reference(&spec.source);
    for entry in &spec.extract {
        planner.entry(entry);
    }
    if spec.extract.is_empty() {
        let message = "the pipeline extracts nothing";
        planner
            .check
            .error(&spec.pipeline, message, "add an entry to `extract:`");
    }
    let Planner {
        check,
        sources,
        searches,
        follow_ups,
        warnings,
        ..
    } = planner;
    check.finish()?;

    Ok(Plan {
        hash: hash(&searches, &follow_ups),
        pipeline: spec.pipeline.value.clone(),
        timezone,
        source: spec.source.name.value.clone(),
        sources,
        searches,
        follow_ups,
        limits,
        price,
        on_unknown_field: spec.contract.on_unknown_field,
        lake: spec.load.lake.clone(),
        compression,
        warnings,
        contracts,
    })
}

/// Collects searches while the entries of a pipeline are looked at.
struct Planner<'a> {
    loaded: &'a LoadedPipeline,
    contracts: &'a Contracts,
    check: Check<'a>,
    sources: BTreeMap<String, PlannedSource>,
    searches: Vec<Search>,
    /// Position of each search in `searches`, so that no question is asked twice.
    known: HashMap<String, usize>,
    follow_ups: Vec<FollowUp>,
    warnings: Vec<String>,
}

impl<'a> Planner<'a> {
    fn new(loaded: &'a LoadedPipeline, contracts: &'a Contracts, check: Check<'a>) -> Self {
        Planner {
            loaded,
            contracts,
            check,
            sources: BTreeMap::new(),
            searches: Vec::new(),
            known: HashMap::new(),
            follow_ups: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes a warning, once however many entries it concerns.
    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Resolves the name and the address of a source.
    fn reference(&mut self, reference: &SourceRef) -> Option<&'a Source> {
        let source = self.check.known(
            "source",
            &reference.name,
            self.contracts.sources.keys().map(String::as_str),
            |name| self.contracts.sources.get(name),
        )?;
        let address = self.check.address(reference, source)?;
        if let Address::Url(url) = &address
            && url.starts_with("http://")
            && !is_loopback(url)
        {
            self.warn(format!(
                "{url} is plain HTTP: the token of {} travels unencrypted",
                reference.name.value
            ));
        }
        let planned = PlannedSource { address };
        match self.sources.get(&reference.name.value) {
            Some(other) if *other != planned => self.check.error(
                &reference.name,
                format!(
                    "the source `{}` already has another address here",
                    reference.name.value
                ),
                "give one source one base_url in a pipeline",
            ),
            _ => {
                self.sources.insert(reference.name.value.clone(), planned);
            }
        }
        Some(&source.value)
    }

    fn entry(&mut self, entry: &Spanned<Extract>) {
        let reference = entry
            .source
            .as_ref()
            .unwrap_or(&self.loaded.pipeline.source);
        let Some(source) = self.reference(reference) else {
            return;
        };
        let elsewhere = self
            .contracts
            .sources
            .values()
            .find(|s| s.endpoints.contains_key(&entry.endpoint.value));
        let Some(endpoint) = source.endpoints.get(&entry.endpoint.value) else {
            let message = format!(
                "{} has no endpoint `{}`",
                reference.name.value, entry.endpoint.value
            );
            let hint = match elsewhere {
                Some(other) => format!(
                    "add `source: {{name: {}}}` to this entry",
                    other.source.value
                ),
                None => check::choose(&entry.endpoint, source.endpoints.keys().map(String::as_str)),
            };
            return self.check.error(&entry.endpoint, message, hint);
        };
        let max_pages = self.check.pages(entry, endpoint);
        let combinations = self.filters(entry, endpoint, reference);
        let takes = |from| endpoint.params.values().any(|p| p.from == Some(from));
        match (takes(ParamFrom::Keyword), takes(ParamFrom::NoteId)) {
            (true, _) => {
                for (set, keyword) in self.keywords(entry) {
                    for filters in &combinations {
                        self.add(
                            reference,
                            entry,
                            endpoint,
                            max_pages,
                            Asked::Keyword(&set, &keyword),
                            filters,
                        );
                    }
                }
            }
            (false, true) => self.notes(reference, entry, endpoint),
            (false, false) => {
                for filters in &combinations {
                    self.add(
                        reference,
                        entry,
                        endpoint,
                        max_pages,
                        Asked::Nothing,
                        filters,
                    );
                }
            }
        }
        if !takes(ParamFrom::NoteId)
            && let Some(notes) = &entry.notes
        {
            let message = format!("{} takes no note ids", entry.endpoint.value);
            self.check.error(notes, message, "remove `notes:`");
        }
    }

    /// The keywords of an entry, each with the set it is in.
    fn keywords(&mut self, entry: &Spanned<Extract>) -> Vec<(String, String)> {
        if entry.keywords.is_empty() {
            let message = format!("{} needs keywords", entry.endpoint.value);
            self.check
                .error(&entry.endpoint, message, "add `keywords: [name of a set]`");
        }
        let sets = &self.loaded.pipeline.keyword_sets;
        let mut keywords = Vec::new();
        for name in &entry.keywords {
            let names = sets.keys().map(String::as_str);
            let Some(set) = self
                .check
                .known("keyword set", name, names, |n| sets.get(n))
            else {
                continue;
            };
            let words: Vec<String> = match &set.value {
                KeywordSet::Words(words) => {
                    words.iter().map(|w| w.value.trim().to_owned()).collect()
                }
                KeywordSet::File(list) => match self.loaded.lists.get(&list.file.value) {
                    Some(words) => words.clone(),
                    None => continue, // unreadable: already reported
                },
            };
            if words.iter().all(String::is_empty) {
                self.check.error(
                    set,
                    format!("the keyword set `{}` is empty", name.value),
                    "add a keyword",
                );
            }
            keywords.extend(
                words
                    .into_iter()
                    .filter(|w| !w.is_empty())
                    .map(|w| (name.value.clone(), w)),
            );
        }
        keywords
    }

    /// Every combination of the entry's filter values, as canonical word and provider's word.
    fn filters(
        &mut self,
        entry: &Spanned<Extract>,
        endpoint: &Endpoint,
        reference: &SourceRef,
    ) -> Vec<Vec<FilterChoice>> {
        let mut combinations = vec![Vec::new()];
        for (filter, values) in &entry.filters {
            let param = endpoint
                .params
                .iter()
                .find(|(_, p)| p.filter == Some(*filter));
            let Some((param_name, param)) = param else {
                let message = format!(
                    "{} has no filter `{}`",
                    entry.endpoint.value,
                    filter.as_str()
                );
                self.check.error(entry, message, "remove this filter");
                continue;
            };
            let dialect = reference
                .dialect
                .as_ref()
                .and_then(|d| param.dialects.get(&d.value));
            let words = dialect.unwrap_or(&param.values);
            let mut choices = Vec::new();
            for value in values.as_slice() {
                let names = words.keys().map(String::as_str);
                let what = format!("{} value", filter.as_str());
                let Some(word) = self.check.known(&what, value, names, |v| words.get(v)) else {
                    continue;
                };
                choices.push(FilterChoice {
                    filter: *filter,
                    value: value.value.clone(),
                    param: param_name.clone(),
                    word: word.clone(),
                });
            }
            combinations = combinations
                .iter()
                .flat_map(|so_far: &Vec<FilterChoice>| {
                    choices
                        .iter()
                        .map(|c| so_far.iter().chain([c]).cloned().collect())
                })
                .collect();
        }
        combinations
    }

    fn notes(&mut self, reference: &SourceRef, entry: &Spanned<Extract>, endpoint: &Endpoint) {
        let Some(notes) = &entry.notes else {
            let message = format!("{} needs to know which notes", entry.endpoint.value);
            let hint =
                "add `notes: {found_by: note_search, top: 50, by: liked_count}` or `{ids: […]}`";
            return self.check.error(&entry.endpoint, message, hint);
        };
        if !entry.keywords.is_empty() {
            let message = format!("{} takes no keywords", entry.endpoint.value);
            self.check
                .error(&entry.keywords[0], message, "remove `keywords:`");
        }
        match (&notes.found_by, &notes.ids, &notes.file) {
            (Some(found_by), None, None) => self.follow_up(reference, entry, notes, found_by),
            (None, Some(ids), None) => {
                for id in ids {
                    self.add(reference, entry, endpoint, 1, Asked::Note(id), &[]);
                }
            }
            (None, None, Some(file)) => {
                for id in self.loaded.lists.get(&file.value).into_iter().flatten() {
                    self.add(reference, entry, endpoint, 1, Asked::Note(id), &[]);
                }
            }
            _ => self.check.error(
                notes,
                "it is not clear which notes are meant",
                "give exactly one of `found_by`, `ids` and `file`",
            ),
        }
    }

    fn follow_up(
        &mut self,
        reference: &SourceRef,
        entry: &Spanned<Extract>,
        notes: &Spanned<Notes>,
        found_by: &Spanned<String>,
    ) {
        let searched: Vec<&str> = self
            .loaded
            .pipeline
            .extract
            .iter()
            .filter(|e| e.notes.is_none())
            .map(|e| e.endpoint.value.as_str())
            .collect();
        let named = |n: &str| searched.iter().find(|s| **s == n).copied();
        self.check.known(
            "endpoint of this pipeline",
            found_by,
            searched.iter().copied(),
            named,
        );
        let Some(top) = &notes.top else {
            return self
                .check
                .error(notes, "it is not said how many notes", "add `top: 50`");
        };
        let top = self.check.positive(top, "top");
        let Some(by) = &notes.by else {
            return self.check.error(
                notes,
                "it is not said which notes come first",
                "add `by: liked_count`",
            );
        };
        let counts = self
            .contracts
            .tables
            .get("engagement")
            .into_iter()
            .flat_map(|t| &t.columns);
        let counts: Vec<&str> = counts
            .filter(|(_, c)| c.kind == ColumnType::Int64)
            .map(|(n, _)| n.as_str())
            .collect();
        let named = |n: &str| counts.iter().find(|c| **c == n).copied();
        self.check
            .known("count of engagement", by, counts.iter().copied(), named);
        self.follow_ups.push(FollowUp {
            source: reference.name.value.clone(),
            endpoint: entry.endpoint.value.clone(),
            found_by: found_by.value.clone(),
            top,
            by: by.value.clone(),
        });
    }

    /// Adds a search, or widens the one that asks the same.
    fn add(
        &mut self,
        reference: &SourceRef,
        entry: &Extract,
        endpoint: &Endpoint,
        max_pages: u32,
        asked: Asked<'_>,
        filters: &[FilterChoice],
    ) {
        let search = search(
            &reference.name,
            &entry.endpoint,
            endpoint,
            max_pages,
            asked,
            filters,
        );
        match self.known.get(&search.search_id) {
            Some(&at) => {
                let other = &mut self.searches[at];
                other.max_pages = other.max_pages.max(max_pages);
                if let (Some(keyword), true) =
                    (&search.keyword, other.keyword_set != search.keyword_set)
                {
                    let warning = format!(
                        "the keyword {keyword} is in two sets; it is searched once and counted to `{}`",
                        other.keyword_set.as_deref().unwrap_or_default()
                    );
                    self.warn(warning);
                }
            }
            None => {
                self.known
                    .insert(search.search_id.clone(), self.searches.len());
                self.searches.push(search);
            }
        }
    }
}

/// What a search is about.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Keyword(&'a str, &'a str),
    Note(&'a str),
    Nothing,
}

#[derive(Clone)]
struct FilterChoice {
    filter: Filter,
    value: String,
    param: String,
    word: String,
}

fn search(
    source: &str,
    name: &str,
    endpoint: &Endpoint,
    max_pages: u32,
    asked: Asked<'_>,
    filters: &[FilterChoice],
) -> Search {
    let (keyword_set, keyword, note_id) = match asked {
        Asked::Keyword(set, word) => (Some(set.to_owned()), Some(word.to_owned()), None),
        Asked::Note(id) => (None, None, Some(id.to_owned())),
        Asked::Nothing => (None, None, None),
    };
    let mut params: BTreeMap<String, String> = filters
        .iter()
        .map(|f| (f.param.clone(), f.word.clone()))
        .collect();
    for (param, declared) in &endpoint.params {
        let value = match declared.from {
            Some(ParamFrom::Keyword) => keyword.clone(),
            Some(ParamFrom::NoteId) => note_id.clone(),
            Some(ParamFrom::Page) | None => None,
        };
        params.extend(value.map(|v| (param.clone(), v)));
    }
    let filters: BTreeMap<Filter, String> = filters
        .iter()
        .map(|f| (f.filter, f.value.clone()))
        .collect();
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    part(source);
    part(name);
    part(keyword.as_deref().unwrap_or_default());
    part(note_id.as_deref().unwrap_or_default());
    for (filter, value) in &filters {
        part(filter.as_str());
        part(value);
    }
    Search {
        search_id: short(&hasher.finalize()),
        source: source.to_owned(),
        endpoint: name.to_owned(),
        keyword,
        keyword_set,
        filters,
        note_id,
        params,
        max_pages,
    }
}

fn hash(searches: &[Search], follow_ups: &[FollowUp]) -> String {
    let mut hasher = blake3::Hasher::new();
    for search in searches {
        hasher.update(search.search_id.as_bytes());
        hasher.update(&search.max_pages.to_le_bytes());
    }
    for f in follow_ups {
        for part in [&f.source, &f.endpoint, &f.found_by, &f.by] {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        hasher.update(&f.top.to_le_bytes());
    }
    short(&hasher.finalize())
}

/// 64 bits are plenty for the searches of one lake, and short enough to type.
fn short(hash: &blake3::Hash) -> String {
    hash.to_hex()[..16].to_owned()
}

fn is_loopback(url: &str) -> bool {
    let rest = url.trim_start_matches("http://");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next() == Some("::1"),
        None => {
            let host = authority.split(':').next().unwrap_or_default();
            host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}

impl Plan {
    /// The searches that a follow-up makes for the notes that were found.
    pub fn follow_up_searches(&self, follow_up: &FollowUp, note_ids: &[String]) -> Vec<Search> {
        let contract = &self.contracts.sources[&follow_up.source];
        let endpoint = &contract.endpoints[&follow_up.endpoint];
        let new = |id| {
            search(
                &follow_up.source,
                &follow_up.endpoint,
                endpoint,
                1,
                Asked::Note(id),
                &[],
            )
        };
        let asked: Vec<&str> = self.searches.iter().map(|s| s.search_id.as_str()).collect();
        let searches = note_ids.iter().map(|id| new(id.as_str()));
        searches
            .filter(|s| !asked.contains(&s.search_id.as_str()))
            .collect()
    }

    pub fn source(&self, name: &str) -> &Source {
        &self.contracts.sources[name]
    }

    pub fn endpoint(&self, search: &Search) -> &Endpoint {
        &self.contracts.sources[&search.source].endpoints[&search.endpoint]
    }

    /// What a run may need at most: every search to its last page, no retries.
    pub fn estimate(&self) -> Estimate {
        let mut by: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
        let searches = self
            .searches
            .iter()
            .map(|s| (&s.source, &s.endpoint, 1, u64::from(s.max_pages)));
        let follow_ups = self
            .follow_ups
            .iter()
            .map(|f| (&f.source, &f.endpoint, u64::from(f.top), u64::from(f.top)));
        for (source, endpoint, searches, calls) in searches.chain(follow_ups) {
            let sum = by.entry((source, endpoint)).or_default();
            sum.0 += searches;
            sum.1 += calls;
        }
        let by_endpoint: Vec<_> = by
            .into_iter()
            .map(|((source, endpoint), (searches, calls))| EndpointEstimate {
                endpoint: endpoint.to_owned(),
                source: source.to_owned(),
                searches,
                calls,
                cost: self
                    .price
                    .per_call
                    .get(endpoint)
                    .map(|price| price * calls as f64),
            })
            .collect();
        Estimate {
            searches: by_endpoint.iter().map(|e| e.searches).sum(),
            calls: by_endpoint.iter().map(|e| e.calls).sum(),
            cost: by_endpoint.iter().map(|e| e.cost).sum(),
            seconds: self.seconds(&by_endpoint),
            by_endpoint,
        }
    }

    /// Searches of different sources run side by side, follow-ups after them.
    fn seconds(&self, by_endpoint: &[EndpointEstimate]) -> f64 {
        let mut searches: BTreeMap<&str, f64> = BTreeMap::new();
        let mut follow_ups: BTreeMap<&str, f64> = BTreeMap::new();
        for e in by_endpoint {
            let interval = self.interval(&e.source).as_secs_f64();
            let late = self.follow_ups.iter().any(|f| f.endpoint == e.endpoint);
            let sums = if late { &mut follow_ups } else { &mut searches };
            *sums.entry(&e.source).or_default() += e.calls as f64 * interval;
        }
        let longest = |sums: BTreeMap<&str, f64>| sums.into_values().fold(0.0, f64::max);
        longest(searches) + longest(follow_ups)
    }

    /// The shortest time between two calls to a source: the pipeline's limit or the provider's.
    /// The sandbox has no limit of its own.
    pub fn interval(&self, source: &str) -> Duration {
        let ours = Duration::from_secs(1) / self.limits.requests_per_second;
        let theirs = match self.sources.get(source).map(|s| &s.address) {
            Some(Address::Sandbox { .. }) => None,
            _ => self.source(source).rate_limit.as_ref(),
        };
        let theirs = theirs.map_or(Duration::ZERO, |l| l.per.as_duration() / l.requests.max(1));
        ours.max(theirs)
    }
}

/// As people name a search: `note_search 海蓝之谜 (sort: newest)`.
impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint)?;
        for word in self.keyword.iter().chain(&self.note_id) {
            write!(f, " {word}")?;
        }
        let filters: Vec<String> = self
            .filters
            .iter()
            .map(|(filter, value)| format!("{}: {value}", filter.as_str()))
            .collect();
        if filters.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", filters.join(", "))
        }
    }
}

impl Price {
    /// What a call costs; `None` where no price is declared.
    pub fn of(&self, endpoint: &str) -> Option<f64> {
        self.per_call.get(endpoint).copied()
    }
}
