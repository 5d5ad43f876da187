//! Searches: the notes or users found, their order, and their pages.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use super::world::dice::Dice;
use super::world::note::{Author, Note};
use crate::sandbox::world::stream::{Stream, World};
use crate::spec::words::TimeSpan;

/// Entries on a full page.
pub const PAGE_SIZE: usize = 20;

/// Number of notes of the previous page that come again in sort general.
pub const OVERLAP: usize = 2;

/// Entries on a page of sort general that are neither an advertisement nor another card.
pub const NOTES_IN_GENERAL: usize = PAGE_SIZE - 2;

/// A note search, as requested.
#[derive(Clone, Debug)]
pub struct NoteQuery {
    pub keyword: String,
    /// Page number, from 1.
    pub page: usize,
    pub sort: Sort,
    pub kind: NoteKind,
    pub window: Option<TimeSpan>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    General,
    Popular,
    Newest,
    MostCommented,
    MostCollected,
}

impl Sort {
    /// Parses redlake's own word.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "general" => Sort::General,
            "popular" => Sort::Popular,
            "newest" => Sort::Newest,
            "most_commented" => Sort::MostCommented,
            "most_collected" => Sort::MostCollected,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    All,
    Video,
    Image,
}

impl NoteKind {
    /// Parses redlake's own word.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "all" => NoteKind::All,
            "video" => NoteKind::Video,
            "image" => NoteKind::Image,
            _ => return None,
        })
    }

    fn includes(self, note: &Note) -> bool {
        match self {
            NoteKind::All => true,
            NoteKind::Video => note.is_video(),
            NoteKind::Image => !note.is_video(),
        }
    }
}

/// Order of the pages of a search: [`Straight`](Paging::Straight), unless a fault changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paging {
    #[default]
    Straight,
    /// Every page repeats the previous one.
    Duplicate,
    /// This many items appeared at the front of the list since the first page was shown. Items from
    /// the end of a page come again at the beginning of the next.
    Moved(usize),
    /// The first page follows the last one.
    Endless,
    /// The last page repeats forever after the last one.
    RepeatLast,
}

impl Paging {
    /// Returns the page that is shown for page `asked`. `last` returns the last non-empty page, or
    /// 0 if all are empty.
    pub fn shown(self, asked: usize, last: impl FnOnce() -> usize) -> usize {
        match self {
            Paging::Straight | Paging::Moved(_) => asked,
            Paging::Duplicate => asked.saturating_sub(1).max(1),
            Paging::Endless => match last() {
                0 => asked,
                last => (asked - 1) % last + 1,
            },
            Paging::RepeatLast => match last() {
                0 => asked,
                last => asked.min(last),
            },
        }
    }

    /// Returns the number of entries by which the list has moved on.
    pub fn moved(self) -> usize {
        match self {
            Paging::Moved(items) => items,
            Paging::Straight | Paging::Duplicate | Paging::Endless | Paging::RepeatLast => 0,
        }
    }
}

/// An entry of a page.
#[derive(Clone, Debug)]
pub enum Hit {
    Note(Note),
    /// A paid note: an advertisement.
    Ad(Note),
    Card(Card),
}

/// An entry of a page that is not a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    HotQuery,
    RecQuery,
    RelatedQueries,
    /// A card without a type.
    Unnamed,
    Live,
}

const CARDS: [Card; 5] = [
    Card::HotQuery,
    Card::RecQuery,
    Card::RelatedQueries,
    Card::Unnamed,
    Card::Live,
];

/// Returns a page of a note search; empty after the end. `moved` is the number of entries by which
/// the list has moved on since its first page was shown.
pub fn note_page(world: &World, query: &NoteQuery, moved: usize, now: DateTime<Utc>) -> Vec<Hit> {
    let mut notes = found(world, query, now);
    order(world, query, now, &mut notes);
    let start = start(query).saturating_sub(moved);
    match query.sort {
        Sort::General => general_page(world, query, now, slice(&notes, start, NOTES_IN_GENERAL)),
        Sort::Popular | Sort::Newest | Sort::MostCommented | Sort::MostCollected => {
            let shown = slice(&notes, start, PAGE_SIZE).iter();
            shown.cloned().map(Hit::Note).collect()
        }
    }
}

/// Returns the last non-empty page of a note search; 0 if all are empty.
pub fn last_note_page(world: &World, query: &NoteQuery, now: DateTime<Utc>) -> usize {
    let notes = found(world, query, now).len();
    let is_filled = |page: &usize| {
        let query = NoteQuery {
            page: *page,
            ..query.clone()
        };
        notes > start(&query) + repeated(&query)
    };
    (1..).take_while(is_filled).count()
}

/// Returns a page of a user search; empty after the end.
pub fn user_page(world: &World, keyword: &str, page: usize, moved: usize) -> Vec<Author> {
    let mut authors: Vec<_> = world.authors(Stream::of(keyword)).collect();
    authors.sort_by_cached_key(|author| relevance(world, keyword, &author.id));
    let start = (page - 1).saturating_mul(PAGE_SIZE).saturating_sub(moved);
    slice(&authors, start, PAGE_SIZE).to_vec()
}

/// Returns the last non-empty page of a user search; 0 if all are empty.
pub fn last_user_page(world: &World, keyword: &str) -> usize {
    let authors = world.authors(Stream::of(keyword)).count();
    authors.div_ceil(PAGE_SIZE)
}

/// Returns the number of notes before the page.
fn start(query: &NoteQuery) -> usize {
    let length = match query.sort {
        Sort::General => NOTES_IN_GENERAL - OVERLAP,
        Sort::Popular | Sort::Newest | Sort::MostCommented | Sort::MostCollected => PAGE_SIZE,
    };
    (query.page - 1).saturating_mul(length)
}

/// Returns the number of notes of the previous page that come again.
fn repeated(query: &NoteQuery) -> usize {
    match query.sort {
        Sort::General if query.page > 1 => OVERLAP,
        _ => 0,
    }
}

/// Returns all notes of a search, the latest first: a limited number of the latest notes, filtered
/// by the window.
fn found(world: &World, query: &NoteQuery, now: DateTime<Utc>) -> Vec<Note> {
    let since = query.window.and_then(|window| window.before(now));
    world
        .notes(Stream::of(&query.keyword), now.timestamp())
        .filter(|note| query.kind.includes(note))
        .take(reach(world, &query.keyword))
        .filter(|note| since.is_none_or(|since| in_window(note, since) || slips_in(note)))
        .collect()
}

/// Returns the maximum number of notes that a search goes back.
pub fn reach(world: &World, keyword: &str) -> usize {
    Dice::new(world.seed, "reach", keyword).between(30, 220) as usize
}

fn in_window(note: &Note, since: DateTime<Utc>) -> bool {
    note.published_at >= since.timestamp()
}

/// The window of the provider is imprecise: some older notes are returned, too.
fn slips_in(note: &Note) -> bool {
    note.dice("slips in").chance(3)
}

fn order(world: &World, query: &NoteQuery, now: DateTime<Utc>, notes: &mut [Note]) {
    let counts = |note: &Note| note.engagement(now.timestamp());
    match query.sort {
        Sort::General => notes.sort_by_cached_key(|n| relevance(world, &query.keyword, &n.id)),
        Sort::Newest => notes.sort_by_key(|n| Reverse(n.published_at)),
        Sort::Popular => notes.sort_by_cached_key(|n| Reverse(counts(n).liked)),
        Sort::MostCommented => notes.sort_by_cached_key(|n| Reverse(counts(n).comments)),
        Sort::MostCollected => notes.sort_by_cached_key(|n| Reverse(counts(n).collected)),
    }
}

fn relevance(world: &World, keyword: &str, id: &str) -> u64 {
    Dice::new(world.seed, keyword, id).number()
}

/// Returns a page of sort general: the last notes of the previous page, new notes, an advertisement
/// and a card.
fn general_page(world: &World, query: &NoteQuery, now: DateTime<Utc>, shown: &[Note]) -> Vec<Hit> {
    if shown.len() <= repeated(query) {
        return Vec::new();
    }
    let mut hits: Vec<_> = shown.iter().cloned().map(Hit::Note).collect();
    let first_card = Dice::new(world.seed, "first card", &query.keyword).below(CARDS.len() as u64);
    let card = CARDS[(first_card as usize + query.page) % CARDS.len()];
    let subject = format!("{} {}", query.keyword, query.page);
    let mut dice = Dice::new(world.seed, "places", &subject);
    let mut insert = |hit, place: u64| hits.insert(hits.len().min(place as usize), hit);
    insert(Hit::Card(card), dice.between(4, 15));
    if let Some(ad) = advertisement(world, query, now) {
        insert(Hit::Ad(ad), dice.between(1, 3));
    }
    hits
}

/// Returns the advertisement of a page. Each page has a different one while there are enough.
fn advertisement(world: &World, query: &NoteQuery, now: DateTime<Utc>) -> Option<Note> {
    let ads = Stream::of(&query.keyword).of_ads();
    world.notes(ads, now.timestamp()).nth(query.page - 1)
}

fn slice<T>(all: &[T], start: usize, length: usize) -> &[T] {
    let start = start.min(all.len());
    &all[start..all.len().min(start.saturating_add(length))]
}
