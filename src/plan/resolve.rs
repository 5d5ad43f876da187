//! Resolves the entries of a pipeline to searches.

use std::collections::{BTreeMap, HashMap, HashSet};

use indexmap::IndexMap;

use super::address::{travels_unencrypted, unencrypted};
use super::check::{self, Checker};
use super::keywords::Word;
use super::search::{Depth, FilterChoice, Search, SearchSubject, search};
use crate::plan::parts::{Address, FollowUp, PlannedSource};
use crate::spec::contracts::Contracts;
use crate::spec::load::LoadedPipeline;
use crate::spec::pipeline::{Extract, Notes, SourceRef};
use crate::spec::source::sandbox::SandboxOptions;
use crate::spec::source::{Endpoint, ParamFrom, Source};
use crate::spec::table::ColumnType;
use crate::spec::words::Filter;
use crate::spec::yaml::document::Spanned;

/// Collects the searches of a pipeline's entries.
pub struct Planner<'a> {
    loaded: &'a LoadedPipeline,
    contracts: &'a Contracts,
    pub check: Checker<'a>,
    pub sources: BTreeMap<String, PlannedSource>,
    pub searches: Vec<Search>,
    /// Index in `searches` by search id, so that no search is made twice.
    known: HashMap<String, usize>,
    /// Requested fields by source and endpoint.
    fields: HashMap<(String, String), Vec<String>>,
    pub follow_ups: Vec<FollowUp>,
    /// Keywords by set.
    words: IndexMap<String, Vec<Word>>,
    /// Keywords that are reported already to be in two sets.
    told: HashSet<String>,
}

/// An entry of the pipeline, with its resolved parts.
#[derive(Clone, Copy)]
struct Target<'e> {
    reference: &'e SourceRef,
    entry: &'e Spanned<Extract>,
    endpoint: &'e Endpoint,
    depth: &'e Depth,
    fields: &'e [String],
}

impl<'a> Planner<'a> {
    pub fn new(
        loaded: &'a LoadedPipeline,
        contracts: &'a Contracts,
        words: IndexMap<String, Vec<Word>>,
        check: Checker<'a>,
    ) -> Self {
        Planner {
            loaded,
            contracts,
            check,
            sources: BTreeMap::new(),
            searches: Vec::new(),
            known: HashMap::new(),
            fields: HashMap::new(),
            follow_ups: Vec::new(),
            words,
            told: HashSet::new(),
        }
    }

    /// Resolves the name and the address of a source.
    pub fn reference(&mut self, reference: &SourceRef) -> Option<&'a Source> {
        let source = self.check.known(
            "source",
            &reference.name,
            self.contracts.sources.keys().map(String::as_str),
            |name| self.contracts.sources.get(name),
        )?;
        let world = reference.sandbox.as_ref().or(self.world());
        let address = self.check.address(reference, source, world)?;
        if let Address::Url(url) = &address
            && travels_unencrypted(url)
        {
            let place = reference.base_url.as_ref().unwrap_or(&reference.name);
            let message = unencrypted(url, &reference.name);
            let hint = "use an https address if the provider has one";
            self.check
                .warn(&self.loaded.file, place.span(), message, hint);
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

    /// Returns the options of the sandbox that the pipeline declares first. They hold for all
    /// simulated sources without their own: notes that one of them finds exist in the others.
    fn world(&self) -> Option<&'a SandboxOptions> {
        let pipeline = &self.loaded.pipeline;
        let entries = pipeline.extract.iter();
        let sources = entries.filter_map(|entry| entry.source.as_ref());
        let mut all = std::iter::once(&pipeline.source).chain(sources);
        all.find_map(|source| source.sandbox.as_ref())
    }

    pub fn entry(&mut self, entry: &Spanned<Extract>) {
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
        let sorts = entry.filters.get(&Filter::Sort);
        let newest = sorts.is_some_and(|s| s.as_slice().iter().any(|s| s.value == NEWEST));
        let depth = &self.check.depth(entry, endpoint, newest);
        let fields = &self.fields(reference, entry, endpoint);
        let target = Target {
            reference,
            entry,
            endpoint,
            depth,
            fields,
        };
        let combinations = self.filters(target);
        let takes = |from| endpoint.params.values().any(|p| p.from == Some(from));
        match (takes(ParamFrom::Keyword), takes(ParamFrom::NoteId)) {
            (true, _) => {
                for (set, word) in self.keywords(entry) {
                    for filters in &combinations {
                        let is_known =
                            self.add(target, SearchSubject::Keyword(&set, &word.text), filters);
                        if let Some(other) = is_known {
                            self.in_two_sets(&word, &set, &other);
                        }
                    }
                }
            }
            (false, true) => self.notes(target),
            (false, false) => {
                for filters in &combinations {
                    self.add(target, SearchSubject::Nothing, filters);
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

    /// Returns true if the set of this name is unreadable, which is reported already.
    fn is_unreadable_set(&self, name: &str) -> bool {
        let is_named = |names: &Vec<String>| names.iter().any(|named| named == name);
        let is_read = self.loaded.pipeline.keyword_sets.contains_key(name);
        !is_read && self.loaded.set_names.as_ref().is_none_or(is_named)
    }

    /// Returns the fields that an entry requests, in the contract's order. Empty stands for all.
    fn fields(
        &mut self,
        reference: &SourceRef,
        entry: &Spanned<Extract>,
        endpoint: &Endpoint,
    ) -> Vec<String> {
        let fields = match &entry.fields {
            Some(named) => self.named_fields(named, entry, endpoint),
            None => Vec::new(),
        };
        let (source, name) = (reference.name.value.clone(), &entry.endpoint.value);
        let of_others = self.fields.entry((source, name.clone()));
        if *of_others.or_insert_with(|| fields.clone()) != fields {
            let message = format!("another entry asks {name} for other fields");
            let hint =
                "give them the same `fields`: a run keeps only the later answer about a note";
            self.check.error(&entry.endpoint, message, hint);
        }
        fields
    }

    fn named_fields(
        &mut self,
        named: &Spanned<Vec<Spanned<String>>>,
        entry: &Spanned<Extract>,
        endpoint: &Endpoint,
    ) -> Vec<String> {
        let Some(param) = endpoint.fields_param() else {
            let message = format!("{} takes no fields", entry.endpoint.value);
            self.check.error(named, message, "remove `fields:`");
            return Vec::new();
        };
        if named.is_empty() {
            let hint = "name one, or remove `fields:` to ask for all";
            self.check.error(named, "no field is named", hint);
        }
        let mut asked: Vec<&str> = param.always.iter().map(|f| f.value.as_str()).collect();
        for name in named.iter() {
            let known = param.fields.iter().map(String::as_str);
            let find = |name: &str| param.fields.iter().find(|field| *field == name);
            if let Some(field) = self.check.known("field", name, known, find) {
                asked.push(field);
            }
        }
        let fields = param.fields.iter();
        let asked = fields.filter(|field| asked.contains(&field.as_str()));
        asked.cloned().collect()
    }

    /// Returns the keywords of an entry, each with its set.
    fn keywords(&mut self, entry: &Spanned<Extract>) -> Vec<(String, Word)> {
        if entry.keywords.is_empty() && !self.check.is_told_in(entry.span()) {
            let message = format!("{} needs keywords", entry.endpoint.value);
            self.check
                .error(&entry.endpoint, message, "add `keywords: [name of a set]`");
        }
        let sets = &self.loaded.pipeline.keyword_sets;
        let mut keywords = Vec::new();
        for (at, name) in entry.keywords.iter().enumerate() {
            let earlier = &entry.keywords[..at];
            if earlier.iter().any(|other| other.value == name.value) {
                let message = format!(
                    "the set `{}` is named here again; its keywords are searched for once",
                    name.value
                );
                self.check
                    .warn(&self.loaded.file, name.span(), message, "remove it here");
                continue;
            }
            if self.is_unreadable_set(name) {
                continue;
            }
            let names = sets.keys().map(String::as_str);
            let Some(set) = self
                .check
                .known("keyword set", name, names, |n| sets.get(n))
            else {
                continue;
            };
            let Some(words) = self.words.get(&name.value) else {
                continue; // unreadable: already reported
            };
            if words.is_empty() && !self.check.is_told_in(set.span()) {
                self.check.error(
                    set,
                    format!("the keyword set `{}` is empty", name.value),
                    "add a keyword",
                );
            }
            let words = words.iter().cloned();
            keywords.extend(words.map(|word| (name.value.clone(), word)));
        }
        keywords
    }

    /// Returns every combination of the entry's filter values.
    fn filters(&mut self, target: Target<'_>) -> Vec<Vec<FilterChoice>> {
        let Target {
            reference,
            entry,
            endpoint,
            ..
        } = target;
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
            if values.as_slice().is_empty() {
                let message = format!("no value of the filter `{}` is given", filter.as_str());
                self.check
                    .error(entry, message, "give one, or remove this filter");
            }
            let dialect = reference
                .dialect
                .as_ref()
                .and_then(|d| param.dialects.get(&d.value));
            let words = dialect.unwrap_or(&param.values);
            let mut choices: Vec<FilterChoice> = Vec::new();
            for value in values.as_slice() {
                // A repeated value is used once: combinations are a product.
                if choices.iter().any(|choice| choice.value == value.value) {
                    continue;
                }
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

    fn notes(&mut self, target: Target<'_>) {
        let entry = target.entry;
        let Some(notes) = &entry.notes else {
            let message = format!("{} needs notes", entry.endpoint.value);
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
            (Some(found_by), None, None) => self.follow_up(target, notes, found_by),
            (None, Some(ids), None) => {
                if ids.is_empty() {
                    self.check
                        .error(notes, "no note is named", "add ids, or remove this entry");
                }
                for id in ids {
                    self.note(target, id, id);
                }
            }
            (None, None, Some(file)) => {
                let ids = self.loaded.lists.get(&file.value).map(|list| &list.entries);
                if ids.is_some_and(Vec::is_empty) {
                    let hint = "add ids, one a line, or remove this entry";
                    self.check.error(file, "this file names no note", hint);
                }
                for id in ids.into_iter().flatten() {
                    self.note(target, id, file);
                }
            }
            _ => self.check.error(
                notes,
                "`notes` needs exactly one source of notes",
                "give exactly one of `found_by`, `ids` and `file`",
            ),
        }
        let chosen = notes.top.is_some()
            || notes.by.is_some()
            || notes.seen_within.is_some()
            || notes.not_refreshed_for.is_some();
        if notes.found_by.is_none() && chosen {
            let message = "`top`, `by`, `seen_within` and `not_refreshed_for` choose among notes \
                           that were found";
            self.check
                .error(notes, message, "remove them, or use `found_by`");
        }
    }

    /// Adds the search for one note. `at` is the place of its id.
    fn note<T>(&mut self, target: Target<'_>, id: &str, at: &Spanned<T>) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if id.is_empty() || !id.chars().all(allowed) {
            let hint = "write letters and digits, such as 649c46ab000000002702ad36";
            return self
                .check
                .error(at, format!("`{id}` is not a note id"), hint);
        }
        self.add(target, SearchSubject::Note(id), &[]);
    }

    fn follow_up(
        &mut self,
        target: Target<'_>,
        notes: &Spanned<Notes>,
        found_by: &Spanned<String>,
    ) {
        let feeds_engagement = |e: &&Spanned<Extract>| {
            let source = e.source.as_ref().unwrap_or(&self.loaded.pipeline.source);
            let source = self.contracts.sources.get(&source.name.value);
            let endpoint = source.and_then(|s| s.endpoints.get(&e.endpoint.value));
            endpoint.is_some_and(|e| e.rows.iter().any(|rule| rule.table.value == "engagement"))
        };
        let searched: Vec<&str> = self
            .loaded
            .pipeline
            .extract
            .iter()
            .filter(|e| e.notes.is_none())
            .filter(feeds_engagement)
            .map(|e| e.endpoint.value.as_str())
            .collect();
        let named = |n: &str| searched.iter().find(|s| **s == n).copied();
        self.check.known(
            "note-finding endpoint of this pipeline",
            found_by,
            searched.iter().copied(),
            named,
        );
        let Some(top) = &notes.top else {
            return self.check.error(notes, "`top` is missing", "add `top: 50`");
        };
        let top = self.check.positive(top, "top");
        let Some(by) = &notes.by else {
            return self
                .check
                .error(notes, "`by` is missing", "add `by: liked_count`");
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
            source: target.reference.name.value.clone(),
            endpoint: target.entry.endpoint.value.clone(),
            found_by: found_by.value.clone(),
            fields: target.fields.to_vec(),
            top,
            by: by.value.clone(),
            seen_within_s: check::seconds(notes.seen_within.as_ref()),
            not_refreshed_for_s: check::seconds(notes.not_refreshed_for.as_ref()),
        });
    }

    /// Warns once per keyword that it is in two sets.
    fn in_two_sets(&mut self, word: &Word, set: &str, other: &str) {
        if self.told.insert(word.text.clone()) {
            let message = format!(
                "the keyword `{}` is in the sets `{other}` and `{set}`; it is searched for once and \
                 counted for `{other}`",
                word.text
            );
            self.check.warn(
                &word.file,
                word.span.clone(),
                message,
                "leave it out of one of them",
            );
        }
    }

    /// Adds a search, or merges it into the equal one that exists. Returns the keyword set of that
    /// one, if it is a different set.
    fn add(
        &mut self,
        target: Target<'_>,
        asked: SearchSubject<'_>,
        filters: &[FilterChoice],
    ) -> Option<String> {
        let Target {
            reference,
            entry,
            endpoint,
            depth,
            fields,
        } = target;
        let (source, name) = (&reference.name, &entry.endpoint);
        let mut depth = depth.clone();
        let sort = filters.iter().find(|f| f.filter == Filter::Sort);
        if sort.is_none_or(|sort| sort.value != NEWEST) {
            depth.stop_when.older_than_s = None;
        }
        let search = search(source, name, endpoint, depth, asked, filters, fields);
        match self.known.get(&search.search_id) {
            Some(&at) => {
                let other = &mut self.searches[at];
                other.also(&search);
                let set = other.keyword_set.clone();
                set.filter(|_| other.keyword_set != search.keyword_set)
            }
            None => {
                self.known
                    .insert(search.search_id.clone(), self.searches.len());
                self.searches.push(search);
                None
            }
        }
    }
}

/// Canonical word of the sort that `older_than` requires.
const NEWEST: &str = "newest";
