//! Applies the privacy rules of a pipeline to a row before it is stored.

use std::borrow::Cow;
use std::cmp::Reverse;

use indexmap::IndexMap;

use crate::plan::{Privacy, PrivacyRule, Pseudonyms};
use crate::spec::contracts::Contracts;
use crate::spec::table::Table;
use crate::transform::program::value::Cell;
use crate::transform::quality::phone::scrub_phone_numbers;
use crate::transform::quality::reject::fragment;
use crate::transform::tables::shape::Shape;

/// Privacy rules by table.
#[derive(Clone, Debug)]
pub struct Redaction {
    tables: IndexMap<String, RowRules>,
    pseudonyms: Option<Pseudonyms>,
    scrubs: bool,
    /// True if any column of any table is hashed or dropped.
    hides: bool,
}

/// Privacy rules of one table. Columns are indexes into the stored columns.
#[derive(Clone, Debug)]
pub struct RowRules {
    hidden: Vec<(usize, Hide)>,
    scrubbed: Vec<usize>,
    /// Columns that may repeat a hidden text of another column of the row.
    repeating: Vec<usize>,
    pseudonyms: Option<Pseudonyms>,
}

#[derive(Clone, Debug)]
enum Hide {
    Hash,
    /// Hashes only if this column has one of these words.
    HashWhere(usize, Vec<String>),
    Drop,
}

impl Redaction {
    pub fn new(contracts: &Contracts, shapes: &[Shape], privacy: &Privacy) -> Self {
        let tables = contracts.tables.iter().zip(shapes);
        Redaction {
            tables: tables
                .map(|((name, table), shape)| (name.clone(), RowRules::new(table, shape, privacy)))
                .collect(),
            pseudonyms: privacy.pseudonyms.clone(),
            scrubs: privacy.scrub_phone_numbers,
            hides: privacy.has_rules(),
        }
    }

    /// Returns the rules of the table at this index of the contracts.
    pub fn table(&self, place: usize) -> &RowRules {
        &self.tables[place]
    }

    /// Returns the rules of a table by name.
    pub fn of(&self, table: &str) -> Option<&RowRules> {
        self.tables.get(table)
    }

    /// Replaces phone numbers, if the pipeline asks for it, in a text that goes into a free-text
    /// column or that such a column is derived from.
    pub fn scrub<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        if self.scrubs { scrub(text) } else { text }
    }

    /// Returns the beginning of a value that made no row, as shown in `rejects`. `None` if any
    /// column is hashed or dropped, because a value may be read for several columns.
    pub fn shown(&self, value: &str) -> Option<String> {
        // Scrubs before truncating: half a phone number would not be found.
        let shown = || fragment(&self.scrub(value.into()));
        (!self.hides).then(shown)
    }

    /// Returns the beginning of an answer that is not a page.
    pub fn shown_page(&self, body: &str) -> Option<String> {
        // JSON escapes may encode digits.
        let spells = |shown: &String| self.scrubs && shown.contains("\\u");
        self.shown(body).filter(|shown| !spells(shown))
    }

    /// Returns the hasher for several texts. It is keyed with the salt if there is one, so that a
    /// guessed text cannot be confirmed by its hash.
    pub fn hasher(&self) -> blake3::Hasher {
        let keyed = self.pseudonyms.as_ref().map(Pseudonyms::hasher);
        keyed.unwrap_or_default()
    }
}

impl RowRules {
    fn new(table: &Table, shape: &Shape, privacy: &Privacy) -> Self {
        let place = |column: &str| shape.stored.iter().position(|c| c.name == column);
        let hidden: Vec<(usize, Hide)> = privacy
            .rules(table.name())
            .filter_map(|(column, rule)| {
                let hide = match rule {
                    PrivacyRule::Drop => Hide::Drop,
                    PrivacyRule::Hash(None) => Hide::Hash,
                    PrivacyRule::Hash(Some(only)) => {
                        let words = only.identities.iter().cloned().collect();
                        Hide::HashWhere(place(&only.column)?, words)
                    }
                };
                Some((place(column)?, hide))
            })
            .collect();
        let is_hidden = |at: &usize| hidden.iter().any(|(hidden, _)| hidden == at);
        let columns = || {
            let stored = shape.stored.iter().enumerate();
            stored.map(|(at, stored)| (at, &table.columns[stored.at]))
        };
        let scrubbed = columns().filter(|(_, c)| c.free_text && privacy.scrub_phone_numbers);
        let repeating = columns()
            .filter(|(_, c)| (c.free_text || c.personal) && c.fill.is_none() && !hidden.is_empty());
        RowRules {
            scrubbed: scrubbed
                .map(|(at, _)| at)
                .filter(|at| !is_hidden(at))
                .collect(),
            repeating: repeating
                .map(|(at, _)| at)
                .filter(|at| !is_hidden(at))
                .collect(),
            pseudonyms: privacy.pseudonyms.clone(),
            hidden,
        }
    }

    /// Returns true if the rules change no row.
    pub fn is_empty(&self) -> bool {
        self.hidden.is_empty() && self.scrubbed.is_empty()
    }

    /// Applies the rules to a row, which has one cell for each stored column.
    pub fn apply(&self, row: &mut [Option<Cell<'_>>]) {
        for at in &self.scrubbed {
            if let Some(Cell::Text(text)) = &mut row[*at] {
                *text = scrub(std::mem::take(text));
            }
        }
        // Collected before any is hidden: the column that a rule depends on may itself be hidden.
        let hidden = self.hidden.iter().filter(|(_, hide)| hide.concerns(row));
        let hidden: Vec<&(usize, Hide)> = hidden.collect();
        let mut replaced = Vec::new();
        for (at, hide) in hidden {
            if let Some(Cell::Text(text)) = row[*at].take() {
                let instead = self.instead(hide, &text);
                row[*at] = instead.clone().map(|text| Cell::Text(text.into()));
                replaced.push((text, instead));
            }
        }
        replaced.retain(|(text, _)| text.chars().nth(SHORTEST_REPEATED - 1).is_some());
        for at in &self.repeating {
            if let Some(Cell::Text(text)) = &mut row[*at]
                && let Some(without) = without(text, &replaced)
            {
                *text = without.into();
            }
        }
    }

    /// Returns the replacement of a hidden text. `None` if the text is dropped.
    fn instead(&self, hide: &Hide, text: &str) -> Option<String> {
        match hide {
            Hide::Drop => None,
            Hide::Hash | Hide::HashWhere(..) => self.pseudonyms.as_ref().map(|p| p.of(text)),
        }
    }
}

/// Minimum length of a repeated text, in characters. A shorter text identifies no person.
const SHORTEST_REPEATED: usize = 2;

/// Replacement of a repeated text whose column is dropped.
const DROPPED: &str = "[dropped]";

impl Hide {
    fn concerns(&self, row: &[Option<Cell<'_>>]) -> bool {
        match self {
            Hide::Hash | Hide::Drop => true,
            Hide::HashWhere(at, words) => match &row[*at] {
                Some(Cell::Text(word)) => words.iter().any(|hidden| hidden == word),
                _ => false,
            },
        }
    }
}

fn scrub(text: Cow<'_, str>) -> Cow<'_, str> {
    let scrubbed = match scrub_phone_numbers(&text) {
        Cow::Owned(scrubbed) => Some(scrubbed),
        Cow::Borrowed(_) => None,
    };
    scrubbed.map_or(text, Cow::Owned)
}

/// Returns the text with each repeated text replaced, or `None` if it repeats none. If several
/// begin at the same offset, the longest is replaced.
fn without(text: &str, replaced: &[(Cow<'_, str>, Option<String>)]) -> Option<String> {
    let next = |rest: &str| {
        let found = replaced.iter().filter_map(|(repeated, instead)| {
            let at = rest.find(repeated.as_ref())?;
            Some((at, Reverse(repeated.len()), instead.as_deref()))
        });
        found.min()
    };
    next(text)?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, Reverse(length), instead)) = next(rest) {
        out.push_str(&rest[..at]);
        out.push_str(instead.unwrap_or(DROPPED));
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    Some(out)
}
