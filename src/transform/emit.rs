//! Rows from the frames of a walked page.

use std::borrow::Cow;
use std::collections::HashSet;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;

use super::coerce::{Cell, Origin, Place, Read, as_text, hashtags};
use super::decode::{Frame, Scalar};
use super::mapping::{CompiledRule, Matcher, Program, Variant};
use super::reject::{Reject, fragment};
use super::table::{Observed, TableBuilder};
use super::{RunStamp, days};
use crate::raw::PageHeader;
use crate::spec::table::{Column, Fill, Table};
use crate::spec::words::{Filter, Span};

/// Appends the rows of one page to the tables.
pub struct Emitter<'e> {
    pub tables: &'e IndexMap<String, Table>,
    pub context: Context<'e>,
    pub builders: &'e mut [TableBuilder],
    pub rejects: &'e mut Vec<Reject>,
}

/// What is known of a row besides the answer it is read from.
#[derive(Clone, Copy)]
pub struct Context<'e> {
    stamp: &'e RunStamp,
    header: &'e PageHeader,
    /// Where the time window that the search asked for begins.
    window: Option<DateTime<Utc>>,
}

/// The frames around a row, from the page inward, and the row's place in each list.
#[derive(Clone)]
struct Stack<'f, 'a> {
    frames: Vec<&'f Frame<'a>>,
    indexes: Vec<usize>,
    /// Whether the outermost list is the page's items.
    over_items: bool,
}

impl<'f, 'a> Stack<'f, 'a> {
    fn get(&self, place: Place) -> &'f Scalar<'a> {
        &self.frames[place.depth].slots[place.slot]
    }

    /// Place in the innermost list, from 0.
    fn index(&self) -> usize {
        self.indexes.last().copied().unwrap_or_default()
    }

    /// Place in the outermost list, from 0.
    fn outermost(&self) -> Option<u64> {
        self.indexes.first().map(|i| *i as u64)
    }

    /// Place of the item on the page, from 1; none for what is no item.
    fn position(&self) -> Option<u64> {
        self.outermost().filter(|_| self.over_items).map(|i| i + 1)
    }

    /// Every element that is reached through these loops.
    fn descend(&self, loops: &[usize]) -> Vec<Stack<'f, 'a>> {
        let Some((first, rest)) = loops.split_first() else {
            return vec![self.clone()];
        };
        let Some(frame) = self.frames.last() else {
            return Vec::new();
        };
        let mut reached = Vec::new();
        for (index, element) in frame.loops[*first].iter().enumerate() {
            let mut inner = self.clone();
            inner.frames.push(element);
            inner.indexes.push(index);
            reached.extend(inner.descend(rest));
        }
        reached
    }
}

/// Why a row cannot be written.
struct Broken {
    column: String,
    reason: &'static str,
    value: Option<String>,
}

impl Emitter<'_> {
    pub fn page(&mut self, program: &Program, frame: &Frame<'_>) {
        for rule in &program.rules {
            let over_items = rule.over_items;
            let page = Stack {
                frames: vec![frame],
                indexes: Vec::new(),
                over_items,
            };
            for element in page.descend(&rule.each) {
                let applies =
                    |(place, matcher): &(Place, Matcher)| matcher.matches(element.get(*place));
                if rule.when.iter().all(applies) {
                    self.element(rule, &element);
                }
            }
        }
    }

    fn element(&mut self, rule: &CompiledRule, element: &Stack<'_, '_>) {
        let present = |v: &&Variant| v.present.is_none_or(|p| *element.get(p) != Scalar::Absent);
        let Some(variant) = rule.variants.iter().find(present) else {
            let broken = Broken {
                column: rule.at.clone(),
                reason: "missing",
                value: None,
            };
            return self.reject(rule, element, broken);
        };
        for row in element.descend(&variant.then_each) {
            if !variant
                .then_when
                .iter()
                .all(|(place, m)| m.matches(row.get(*place)))
            {
                continue;
            }
            match &variant.hashtags {
                None => self.row(rule, variant, &row, None),
                Some(texts) => {
                    for (index, tag) in distinct_hashtags(texts, &row).iter().enumerate() {
                        self.row(rule, variant, &row, Some((index, tag)));
                    }
                }
            }
        }
    }

    fn row(
        &mut self,
        rule: &CompiledRule,
        variant: &Variant,
        stack: &Stack<'_, '_>,
        part: Option<(usize, &str)>,
    ) {
        let Some((_, table)) = self.tables.get_index(rule.table) else {
            return;
        };
        let mut cells = Vec::with_capacity(table.columns.len());
        for ((name, column), reads) in table.columns.iter().zip(&variant.columns) {
            match self.context.cell(column, reads, stack, part) {
                Ok(None) if column.required => {
                    let broken = Broken {
                        column: name.clone(),
                        reason: "missing",
                        value: None,
                    };
                    return self.reject(rule, stack, broken);
                }
                Ok(cell) => cells.push(cell),
                Err((reason, value)) => {
                    let broken = Broken {
                        column: name.clone(),
                        reason,
                        value,
                    };
                    return self.reject(rule, stack, broken);
                }
            }
        }
        let observed = self.context.observed(stack);
        self.builders[rule.table].push(&mut cells, observed);
    }

    fn reject(&mut self, rule: &CompiledRule, stack: &Stack<'_, '_>, broken: Broken) {
        let search = &self.context.header.search;
        self.rejects.push(Reject {
            source: search.source.clone(),
            table: self
                .tables
                .get_index(rule.table)
                .map(|(name, _)| name.clone()),
            endpoint: search.endpoint.clone(),
            search_id: search.search_id.clone(),
            page: self.context.header.page,
            item_index: stack.outermost(),
            column: Some(broken.column),
            reason: broken.reason.to_owned(),
            value: broken.value,
        });
    }
}

impl<'e> Context<'e> {
    pub fn new(stamp: &'e RunStamp, header: &'e PageHeader) -> Self {
        let word = header.search.filters.get(&Filter::PublishedWithin);
        let window = word.and_then(|word| Span::window(word)?.before(header.fetched_at));
        Context {
            stamp,
            header,
            window,
        }
    }

    fn observed(self, stack: &Stack<'_, '_>) -> Observed {
        let position = stack.position().unwrap_or_default();
        let search_id = &self.header.search.search_id;
        (
            self.header.fetched_at.timestamp_micros(),
            self.header.page,
            position,
            u64::from_str_radix(search_id, 16).unwrap_or_default(),
        )
    }

    /// The first of the reads that has a value.
    fn cell<'c>(
        self,
        column: &Column,
        reads: &[Read],
        stack: &Stack<'_, 'c>,
        part: Option<(usize, &str)>,
    ) -> Result<Option<Cell<'c>>, (&'static str, Option<String>)>
    where
        'e: 'c,
    {
        if let Some(fill) = column.fill {
            return Ok(self.fill(fill, stack));
        }
        for read in reads {
            let value = origin(&read.origin, stack, part);
            match read.convert.apply(&value, self.window) {
                Ok(None) => {}
                Ok(cell) => return Ok(cell),
                Err(reason) => return Err((reason, shown(&value))),
            }
        }
        Ok(None)
    }

    fn fill(self, fill: Fill, stack: &Stack<'_, '_>) -> Option<Cell<'e>> {
        let header = self.header;
        let search = &header.search;
        let text = |text: &'e str| Some(Cell::Text(Cow::Borrowed(text)));
        let maybe =
            |value: Option<&'e String>| value.map(|v| Cell::Text(Cow::Borrowed(v.as_str())));
        let instant = |at: DateTime<Utc>| Some(Cell::Instant(at.timestamp_micros()));
        let int = |number: u64| i64::try_from(number).ok().map(Cell::Int);
        let position = stack.position();
        match fill {
            Fill::RunId => text(&self.stamp.run_id),
            Fill::Pipeline => text(&self.stamp.pipeline),
            Fill::Source => text(&search.source),
            Fill::SnapshotAt => instant(self.stamp.snapshot_at),
            Fill::SnapshotDate => Some(Cell::Date(days(self.stamp.snapshot_date))),
            Fill::FetchedAt => instant(header.fetched_at),
            Fill::Endpoint => text(&search.endpoint),
            Fill::SearchId => text(&search.search_id),
            Fill::Keyword => maybe(search.keyword.as_ref()),
            Fill::KeywordSet => maybe(search.keyword_set.as_ref()),
            Fill::Page => int(header.page.into()),
            Fill::Position => position.and_then(int),
            Fill::Rank => position.and_then(|p| int(header.items_before + p)),
            Fill::ItemCount => int(header.item_count),
            Fill::NewItemCount => int(header.new_item_count),
            Fill::Sort => maybe(search.filters.get(&Filter::Sort)),
            Fill::NoteTypeFilter => maybe(search.filters.get(&Filter::NoteType)),
            Fill::NoteId => maybe(search.note_id.as_ref()),
            Fill::Stop => maybe(header.stop.as_ref()),
            Fill::PublishedWithin => maybe(search.filters.get(&Filter::PublishedWithin)),
        }
    }
}

fn origin<'a>(origin: &Origin, stack: &Stack<'_, 'a>, part: Option<(usize, &str)>) -> Scalar<'a> {
    let whole = |number: usize| Scalar::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let index = part.map_or_else(|| stack.index(), |(index, _)| index);
    match origin {
        Origin::Value(place) => stack.get(*place).clone(),
        Origin::Pick {
            depth,
            list,
            index,
            slot,
        } => {
            let Scalar::Int(at) = stack.get(*index) else {
                return Scalar::Absent;
            };
            let elements = &stack.frames[*depth].loops[*list];
            let picked = usize::try_from(*at).ok().and_then(|at| elements.get(at));
            picked.map_or(Scalar::Absent, |frame| frame.slots[*slot].clone())
        }
        Origin::Hash(places) => hash(places, stack),
        Origin::Constant(text) => Scalar::Text(Cow::Owned(text.clone())),
        Origin::Index => whole(index),
        Origin::IndexEquals(place) => match stack.get(*place) {
            Scalar::Int(at) => Scalar::Bool(usize::try_from(*at) == Ok(index)),
            _ => Scalar::Absent,
        },
        Origin::Key => {
            let key = stack.frames.iter().rev().find_map(|f| f.key.as_ref());
            key.map_or(Scalar::Absent, |key| Scalar::Text(Cow::Owned(key.clone())))
        }
        Origin::Exploded => part.map_or(Scalar::Absent, |(_, text)| {
            Scalar::Text(Cow::Owned(text.to_owned()))
        }),
    }
}

/// BLAKE3 (hex) of the texts, each with its length before it; nothing where all are absent.
fn hash<'a>(places: &[Place], stack: &Stack<'_, 'a>) -> Scalar<'a> {
    let texts: Vec<_> = places.iter().map(|p| as_text(stack.get(*p)).ok()).collect();
    if texts.iter().all(Option::is_none) {
        return Scalar::Absent;
    }
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        let text = text.unwrap_or_default();
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    Scalar::Text(Cow::Owned(hasher.finalize().to_hex().to_string()))
}

/// The hashtags of the texts, each once, in the order they stand.
fn distinct_hashtags(texts: &[Place], stack: &Stack<'_, '_>) -> Vec<String> {
    let mut seen = HashSet::new();
    let texts = texts.iter().filter_map(|place| match stack.get(*place) {
        Scalar::Text(text) => Some(text.as_ref()),
        _ => None,
    });
    texts
        .flat_map(hashtags)
        .filter(|tag| seen.insert(*tag))
        .map(str::to_owned)
        .collect()
}

/// An offending value, as the table `rejects` shows it.
fn shown(value: &Scalar<'_>) -> Option<String> {
    Some(match value {
        Scalar::Absent => return None,
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(value) => value.to_string(),
        Scalar::Uint(value) => value.to_string(),
        Scalar::Float(value) => value.to_string(),
        Scalar::Text(text) => fragment(text),
        Scalar::Nested(kind) => format!("<{kind}>"),
    })
}

impl Matcher {
    fn matches(&self, value: &Scalar<'_>) -> bool {
        let word = || as_text(value).ok();
        match self {
            Matcher::OneOf(words) => word().is_some_and(|w| words.iter().any(|x| *x == w)),
            Matcher::NoneOf(words) => word().is_none_or(|w| words.iter().all(|x| *x != w)),
            Matcher::Exists(wanted) => (*value != Scalar::Absent) == *wanted,
            Matcher::Filled(wanted) => word().is_some_and(|w| !w.is_empty()) == *wanted,
        }
    }
}
