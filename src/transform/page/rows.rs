//! Makes rows from the captured values of a page.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use indexmap::IndexSet;

use crate::raw::page::PageHeader;
use crate::run_meta::RunMeta;
use crate::spec::blank::is_blank;
use crate::spec::pipeline::OnBadValue;
use crate::spec::table::Fill;
use crate::spec::words::{Filter, TimeSpan};
use crate::transform::common_columns::days;
use crate::transform::contracts::Transform;
use crate::transform::page::captures::{Captures, FrameId, PAGE, Scalar, SlotPlace};
use crate::transform::program::coerce::{Convert, LastItem, Origin, Read, as_text, hashtags};
use crate::transform::program::conditions::{Alternatives, Matcher};
use crate::transform::program::mapping::{CompiledRule, NodeId, Program, Variant};
use crate::transform::program::value::Cell;
use crate::transform::quality::privacy::Redaction;
use crate::transform::quality::reject::{BadCell, Reject};
use crate::transform::tables::accumulator::Accumulator;
use crate::transform::tables::shape::{Observed, Shape, StoredColumn};

/// Input for the rows of a page.
#[derive(Clone, Copy)]
pub struct PageInput<'p> {
    pub transform: &'p Transform,
    pub program: &'p Program,
    pub captures: &'p Captures<'p>,
    pub meta: &'p RunMeta,
    pub header: &'p PageHeader,
    /// Beginning of the time window that the search asked for.
    pub window: Option<DateTime<Utc>>,
}

/// Appends the rows of one page to the tables.
pub struct Emitter<'e, 'p, 't> {
    page: PageInput<'p>,
    accumulator: &'e mut Accumulator<'t>,
    /// The elements that enclose a row, from the page inward, and the row's index in each list.
    frames: Vec<FrameId>,
    indexes: Vec<usize>,
    /// True if the rows of the current table go directly into its columns.
    is_direct: bool,
    /// Cells of the current row, until privacy rules are applied to them. Empty if `is_direct`.
    cells: Vec<Option<Cell<'p>>>,
    /// True if the outermost list is the page's items.
    over_items: bool,
    /// When the page was observed.
    observed: Observed,
}

/// A part of a text that gives a row, and its index among the parts.
type Part<'p> = Option<(usize, Cow<'p, str>)>;

/// Returns the beginning of the time window that the search of a page asked for.
pub fn window(header: &PageHeader) -> Option<DateTime<Utc>> {
    let word = header.search.filters.get(&Filter::PublishedWithin)?;
    TimeSpan::window(word)?.before(header.fetched_at)
}

impl<'e, 'p, 't> Emitter<'e, 'p, 't> {
    pub fn new(page: PageInput<'p>, accumulator: &'e mut Accumulator<'t>) -> Self {
        Emitter {
            page,
            accumulator,
            frames: Vec::new(),
            indexes: Vec::new(),
            is_direct: false,
            cells: Vec::new(),
            over_items: false,
            observed: Observed::page(page.header),
        }
    }

    pub fn emit(&mut self) {
        for rule in &self.page.program.rules {
            if !self.accumulator.wants(rule.table) || !self.is_asked_for(rule) {
                continue;
            }
            self.over_items = rule.over_items;
            self.frames.clear();
            self.frames.push(PAGE);
            self.indexes.clear();
            self.accumulator.tally(rule.table).given += self.given(rule);
            self.is_direct = self.goes_directly(rule.table);
            self.descend(&rule.each, &mut |this| this.element(rule));
            if self.is_direct {
                self.fill_columns_of_page(rule.table);
            }
        }
    }

    /// Returns whether the rows of a table go directly into its columns: no privacy rule concerns them,
    /// and they have all that the page itself must have.
    fn goes_directly(&self, table: usize) -> bool {
        let has_all = |column: &StoredColumn| {
            !column.required
                || column
                    .of_page()
                    .is_none_or(|fill| self.fill(fill).is_some())
        };
        self.redaction().table(table).is_empty()
            && self.page.transform.shapes[table].stored.iter().all(has_all)
    }

    /// Fills the columns that are equal in all rows of the page.
    fn fill_columns_of_page(&mut self, table: usize) {
        let shape = &self.page.transform.shapes[table];
        for (at, column) in shape.stored.iter().enumerate() {
            if let Some(fill) = column.of_page() {
                let cell = self.fill(fill);
                let builder = self.accumulator.builder(table);
                builder.fill_column(at, cell.as_ref());
            }
        }
    }

    /// Returns whether the search asked for a field that the rule reads.
    fn is_asked_for(&self, rule: &CompiledRule) -> bool {
        let asked = &self.page.header.search.fields;
        asked.is_empty()
            || rule.any_of_fields.is_empty()
            || rule.any_of_fields.iter().any(|field| asked.contains(field))
    }

    /// Returns whether the search asked for all fields that a value is derived from.
    fn is_whole(&self, read: &Read) -> bool {
        let asked = &self.page.header.search.fields;
        read.all_of_fields.is_empty()
            || asked.is_empty()
            || read.all_of_fields.iter().all(|field| asked.contains(field))
    }

    /// Returns the number of rows that the answer may give, as counted by the walk. Parts of
    /// exploded texts and missing objects are counted where they are found.
    fn given(&self, rule: &CompiledRule) -> u64 {
        let exploded = rule.variants.iter().any(|v| v.hashtags.is_some());
        match rule.targets.as_slice() {
            _ if exploded => 0,
            [] => 1,
            targets => targets.iter().map(|t| self.page.captures.count(*t)).sum(),
        }
    }

    /// Visits every element that is reached through these loops.
    fn descend(&mut self, loops: &[usize], visit: &mut dyn FnMut(&mut Self)) {
        let Some((first, rest)) = loops.split_first() else {
            return visit(self);
        };
        let captures = self.page.captures;
        for (index, element) in captures.elements(self.innermost(), *first).enumerate() {
            self.frames.push(element);
            self.indexes.push(index);
            self.descend(rest, visit);
            self.frames.pop();
            self.indexes.pop();
        }
    }

    fn element(&mut self, rule: &'p CompiledRule) {
        let exploded = rule.variants.iter().any(|v| v.hashtags.is_some());
        if !self.applies(&rule.when) {
            if !exploded {
                self.accumulator.tally(rule.table).skipped += self.below(&rule.variants);
            }
            return;
        }
        let present = |v: &&Variant| v.present.is_none_or(|p| self.get(p) != Scalar::Absent);
        let Some(variant) = rule.variants.iter().find(present) else {
            let nested = rule.variants.iter().any(|v| v.target.is_some());
            if exploded || nested {
                self.accumulator.tally(rule.table).given += 1;
            }
            // A duplicate key may leave elements below an object that was overwritten.
            if nested && !exploded {
                let left_out = self.below(&rule.variants);
                self.accumulator.tally(rule.table).skipped += left_out;
            }
            return self.reject(rule, &rule.at, &BadCell::missing());
        };
        for other in rule.variants.iter().filter(|v| !std::ptr::eq(*v, variant)) {
            if other.target.is_some() && !exploded {
                let left_out = self.below(std::slice::from_ref(other));
                self.accumulator.tally(rule.table).skipped += left_out;
            }
        }
        self.descend(&variant.then_each, &mut |this| this.target(rule, variant));
    }

    /// Returns the number of rows that these variants would give from here.
    fn below(&self, variants: &[Variant]) -> u64 {
        let captures = self.page.captures;
        let nested = variants.iter().filter(|v| v.target.is_some());
        let below: u64 = nested
            .map(|v| beneath(captures, self.innermost(), &v.then_each))
            .sum();
        if variants.iter().any(|v| v.target.is_some()) {
            below
        } else {
            1
        }
    }

    fn target(&mut self, rule: &'p CompiledRule, variant: &'p Variant) {
        if let Some((path, bad)) = self.misfit(variant) {
            if variant.hashtags.is_some() {
                self.accumulator.tally(rule.table).given += 1;
            }
            return self.reject(rule, path, &bad);
        }
        let applies = self.applies(&variant.then_when);
        match &variant.hashtags {
            None if applies => self.row(rule, variant, &None),
            None => self.accumulator.tally(rule.table).skipped += 1,
            Some(_) if !applies => {}
            Some(texts) => {
                let tags = self.distinct_hashtags(texts);
                self.accumulator.tally(rule.table).given += tags.len() as u64;
                for (index, tag) in tags.into_iter().enumerate() {
                    self.row(rule, variant, &Some((index, tag)));
                }
            }
        }
    }

    /// Returns the path of a list element that cannot give a row, and the reason: it is null, it is
    /// not an object although the contract maps its keys, or it is an object without known values.
    fn misfit(&self, variant: &'p Variant) -> Option<(&'p str, BadCell<'p>)> {
        let (element, path) = variant.element.as_ref()?;
        let node = &self.page.program.nodes[*element];
        let is_object = !node.children.is_empty() || node.over_keys;
        let found = self.page.captures.json_type(self.innermost());
        let reason = match found {
            "null" => "null in a list",
            "object" if self.has_nothing(variant, *element) => "an object without a known value",
            "object" => return None,
            _ if is_object => "not an object",
            _ => return None,
        };
        let value = Scalar::Nested(found);
        let bad = BadCell {
            reason,
            value,
            path: &node.path,
        };
        Some((path, bad))
    }

    /// Returns whether an element of an inner list has none of the values that rules read. Always
    /// false for an item of the page, because it takes a position in the ranking.
    fn has_nothing(&self, variant: &Variant, element: NodeId) -> bool {
        let program = self.page.program;
        let is_item = variant.target.is_none() && self.over_items;
        let scope = &program.scopes[program.nodes[element].scope];
        !is_item && self.page.captures.is_empty(self.innermost(), scope)
    }

    fn row(&mut self, rule: &CompiledRule, variant: &'p Variant, part: &Part<'p>) {
        let Transform {
            shapes,
            on_bad_value,
            ..
        } = self.page.transform;
        let shape: &Shape = &shapes[rule.table];
        for (at, column) in shape.stored.iter().enumerate() {
            if self.is_direct
                && (column.of_page().is_some()
                    || self.append_plain(rule.table, at, column, variant))
            {
                continue;
            }
            let cell = match column.fill {
                Some(fill) => Ok(self.fill(fill)),
                None => self.read(&variant.columns[column.at], part),
            };
            let broken = match cell {
                Ok(None) if column.required => self.no_value(&variant.columns[column.at]),
                Ok(cell) => {
                    self.append(rule.table, at, cell);
                    continue;
                }
                Err(bad) if *on_bad_value == OnBadValue::Null && !column.required => {
                    self.accumulator.nulled(rule.table, &bad);
                    self.append(rule.table, at, None);
                    continue;
                }
                Err(bad) => bad,
            };
            self.cells.clear();
            self.accumulator.builder(rule.table).discard_row();
            return self.reject(rule, &column.name, &broken);
        }
        if !self.is_direct {
            self.redaction().table(rule.table).apply(&mut self.cells);
            let builder = self.accumulator.builder(rule.table);
            builder.append_all(&mut self.cells);
        }
        let observed = self.observed.at(self.position().unwrap_or_default());
        self.accumulator.end_row(rule.table, observed);
    }

    /// Appends a value that needs no conversion to its column: most do not. Returns `false` if this
    /// may be another value.
    fn append_plain(
        &mut self,
        table: usize,
        at: usize,
        column: &StoredColumn,
        variant: &Variant,
    ) -> bool {
        let reads = &variant.columns[column.at];
        let Some((place, convert)) = reads.first().and_then(Read::direct) else {
            return false;
        };
        let value = self.get(place);
        let builder = self.accumulator.builder(table);
        builder.append_plain(at, value, convert)
    }

    /// Appends a cell of the current row to its column, or to the cells that privacy rules are applied
    /// to when the row is complete.
    fn append(&mut self, table: usize, column: usize, cell: Option<Cell<'p>>) {
        if self.is_direct {
            self.accumulator.builder(table).append(column, cell);
        } else {
            self.cells.push(cell);
        }
    }

    fn reject(&mut self, rule: &CompiledRule, column: &str, bad: &BadCell<'_>) {
        let header = self.page.header;
        let search = &header.search;
        let table = &self.page.transform.shapes[rule.table];
        self.accumulator.tally(rule.table).rejected += 1;
        self.accumulator.reject(&Reject {
            source: search.source.clone(),
            table: Some(table.name.clone()),
            endpoint: search.endpoint.clone(),
            search_id: search.search_id.clone(),
            page: header.page,
            item_index: self.outermost(),
            column: Some(column.to_owned()),
            reason: bad.reason.to_owned(),
            value: bad.shown().and_then(|value| self.redaction().shown(&value)),
        });
    }

    /// Returns the reason why a required column has no value.
    fn no_value(&self, reads: &'p [Read]) -> BadCell<'p> {
        let blank = reads
            .iter()
            .find_map(|read| match self.find(&read.origin, None) {
                Scalar::Text(text) if is_blank(text) && read.convert.is_id() => Some(BadCell {
                    reason: "a blank id",
                    value: Scalar::Text(text),
                    path: &read.path,
                }),
                _ => None,
            });
        blank.unwrap_or_else(BadCell::missing)
    }

    /// Returns the value of the first read that has one.
    fn read(&self, reads: &'p [Read], part: &Part<'p>) -> Result<Option<Cell<'p>>, BadCell<'p>> {
        for read in reads {
            if !(self.is_whole(read) && self.applies(&read.when)) {
                continue;
            }
            let cell = match &read.origin {
                Origin::Hash(places) => self.hash(places).map(|hash| Cell::Text(Cow::Owned(hash))),
                Origin::Last(item) => self.last(item, &read.convert),
                _ => self.convert(read, part)?,
            };
            if cell.is_some() {
                return Ok(cell);
            }
        }
        Ok(None)
    }

    /// Returns the converted value of a read.
    fn convert(&self, read: &'p Read, part: &Part<'p>) -> Result<Option<Cell<'p>>, BadCell<'p>> {
        let path = read.path.as_str();
        let value = match (&read.origin, part) {
            (Origin::Exploded, Some((_, Cow::Borrowed(text)))) => Scalar::Text(text),
            (Origin::Exploded, Some((_, Cow::Owned(text)))) => {
                let cell = read.convert.apply(Scalar::Text(text), None);
                let value = Scalar::Absent;
                return cell
                    .map(|cell| cell.map(Cell::into_owned))
                    .map_err(|reason| BadCell {
                        reason,
                        value,
                        path,
                    });
            }
            (origin, part) => self.find(origin, part.as_ref().map(|(index, _)| *index)),
        };
        let cell = read.convert.apply(value, self.page.window);
        cell.map_err(|reason| BadCell {
            reason,
            value,
            path,
        })
    }

    /// Returns the value of the last list element that matches. An element without a valid value is
    /// passed over: the rules that make rows of the elements reject it.
    fn last(&self, item: &LastItem, convert: &'p Convert) -> Option<Cell<'p>> {
        let captures = self.page.captures;
        let cells = captures
            .elements(self.frames[item.depth], item.list)
            .filter(|frame| hold(&item.item_when, |place| captures.get(*frame, place.slot)))
            .filter_map(|frame| {
                let value = captures.get(frame, item.slot);
                convert.apply(value, self.page.window).ok().flatten()
            });
        cells.last()
    }

    fn find(&self, origin: &'p Origin, part: Option<usize>) -> Scalar<'p> {
        let whole = |number: usize| Scalar::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let index = part.unwrap_or_else(|| self.index());
        let captures = self.page.captures;
        match origin {
            Origin::Value(place) => self.get(*place),
            Origin::Pick {
                depth,
                list,
                index,
                slot,
            } => {
                let Scalar::Int(at) = self.get(*index) else {
                    return Scalar::Absent;
                };
                let mut elements = captures.elements(self.frames[*depth], *list);
                let picked = usize::try_from(at).ok().and_then(|at| elements.nth(at));
                picked.map_or(Scalar::Absent, |frame| captures.get(frame, *slot))
            }
            Origin::Hash(_) | Origin::Last(_) | Origin::Exploded => Scalar::Absent,
            Origin::Constant(text) => Scalar::Text(text),
            Origin::Index => whole(index),
            Origin::IndexEquals(place) => match self.get(*place) {
                Scalar::Int(at) => Scalar::Bool(usize::try_from(at) == Ok(index)),
                _ => Scalar::Absent,
            },
            Origin::Has {
                depth,
                list,
                slot,
                present,
                text,
            } => {
                if self.get(*present) == Scalar::Absent {
                    return Scalar::Absent;
                }
                let mut elements = captures.elements(self.frames[*depth], *list);
                let has = |frame| {
                    as_text(captures.get(frame, *slot)).is_ok_and(|found| found == text.as_str())
                };
                Scalar::Bool(elements.any(has))
            }
            Origin::Key => {
                let keys = self.frames.iter().rev().map(|frame| captures.key(*frame));
                let mut keys = keys.filter(|key| *key != Scalar::Absent);
                keys.next().unwrap_or_default()
            }
        }
    }

    /// Returns the BLAKE3 hash (hex) of the texts, each prefixed with its length in bytes. `None`
    /// if all are absent.
    fn hash(&self, places: &[SlotPlace]) -> Option<String> {
        let mut hasher = self.redaction().hasher();
        let mut any = false;
        for place in places {
            let text = as_text(self.get(*place)).ok();
            any |= text.is_some();
            let text = self.redaction().scrub(text.unwrap_or_default());
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        any.then(|| hasher.finalize().to_hex().to_string())
    }

    /// Returns the distinct hashtags of the texts, in order of first occurrence.
    fn distinct_hashtags(&self, texts: &[SlotPlace]) -> IndexSet<Cow<'p, str>> {
        let mut tags = IndexSet::new();
        for place in texts {
            let Scalar::Text(text) = self.get(*place) else {
                continue;
            };
            match self.redaction().scrub(Cow::Borrowed(text)) {
                Cow::Borrowed(text) => tags.extend(hashtags(text).map(Cow::Borrowed)),
                Cow::Owned(text) => {
                    tags.extend(hashtags(&text).map(|tag| Cow::Owned(tag.to_owned())));
                }
            }
        }
        tags
    }

    fn redaction(&self) -> &'p Redaction {
        &self.page.transform.redaction
    }

    fn fill(&self, fill: Fill) -> Option<Cell<'p>> {
        let PageInput { header, meta, .. } = self.page;
        let search = &header.search;
        let text = |text: &'p str| Some(Cell::Text(Cow::Borrowed(text)));
        let maybe =
            |value: Option<&'p String>| value.map(|v| Cell::Text(Cow::Borrowed(v.as_str())));
        let instant = |at: DateTime<Utc>| Some(Cell::Instant(at.timestamp_micros()));
        let int = |number: u64| i64::try_from(number).ok().map(Cell::Int);
        let position = self.position();
        match fill {
            Fill::RunId => text(&meta.run_id),
            Fill::Pipeline => text(&meta.pipeline),
            Fill::Source => text(&search.source),
            Fill::SnapshotAt => instant(meta.snapshot_at),
            Fill::SnapshotDate => Some(Cell::Date(days(meta.snapshot_date))),
            Fill::FetchedAt => instant(header.fetched_at),
            Fill::Endpoint => text(&search.endpoint),
            Fill::SearchId => text(&search.search_id),
            Fill::Keyword => maybe(search.keyword.as_ref()),
            Fill::KeywordSet => maybe(search.keyword_set.as_ref()),
            Fill::Page => int(header.page.into()),
            Fill::Position => position.and_then(int),
            Fill::Rank => position.and_then(|p| int(header.items_before.checked_add(p)?)),
            Fill::ItemCount => int(header.item_count),
            Fill::NewItemCount => int(header.new_item_count),
            Fill::Sort => maybe(search.filters.get(&Filter::Sort)),
            Fill::NoteTypeFilter => maybe(search.filters.get(&Filter::NoteType)),
            Fill::NoteId => maybe(search.note_id.as_ref()),
            Fill::Stop => maybe(header.stop.as_ref()),
            Fill::PublishedWithin => maybe(search.filters.get(&Filter::PublishedWithin)),
        }
    }

    fn applies(&self, alternatives: &Alternatives) -> bool {
        hold(alternatives, |place| self.get(place))
    }

    fn get(&self, place: SlotPlace) -> Scalar<'p> {
        let frame = self.frames[place.depth];
        self.page.captures.get(frame, place.slot)
    }

    fn innermost(&self) -> FrameId {
        self.frames.last().copied().unwrap_or(PAGE)
    }

    /// Returns the index in the innermost list, from 0.
    fn index(&self) -> usize {
        self.indexes.last().copied().unwrap_or_default()
    }

    /// Returns the index in the outermost list, from 0.
    fn outermost(&self) -> Option<u64> {
        self.indexes.first().map(|i| *i as u64)
    }

    /// Returns the position of the item on the page, from 1. `None` if the row is not an item.
    fn position(&self) -> Option<u64> {
        self.outermost().filter(|_| self.over_items).map(|i| i + 1)
    }
}

/// Returns whether the values at the places of the conditions satisfy them.
fn hold<'a>(alternatives: &Alternatives, value: impl Fn(SlotPlace) -> Scalar<'a>) -> bool {
    let holds = |(place, matcher): &(SlotPlace, Matcher)| matcher.matches(value(*place));
    alternatives.is_empty() || alternatives.iter().any(|all| all.iter().all(holds))
}

/// Returns the number of elements that these loops reach from a frame.
fn beneath(captures: &Captures<'_>, frame: FrameId, loops: &[usize]) -> u64 {
    match loops.split_first() {
        None => 1,
        Some((first, rest)) => captures
            .elements(frame, *first)
            .map(|element| beneath(captures, element, rest))
            .sum(),
    }
}

impl Matcher {
    fn matches(&self, value: Scalar<'_>) -> bool {
        let word = || as_text(value).ok();
        match self {
            Matcher::OneOf(words) => word().is_some_and(|w| words.iter().any(|x| *x == w)),
            Matcher::NoneOf(words) => word().is_none_or(|w| words.iter().all(|x| *x != w)),
            Matcher::Exists(wanted) => (value != Scalar::Absent) == *wanted,
            Matcher::Filled(wanted) => word().is_some_and(|w| !is_blank(&w)) == *wanted,
            Matcher::IsSet(wanted) => (value == Scalar::Bool(true)) == *wanted,
        }
    }
}
