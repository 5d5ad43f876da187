//! What a search finds: which notes or users, in which order, on which page.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use crate::spec::words::TimeSpan;

use super::world::author::Author;
use super::world::dice::Dice;
use super::world::note::Note;
use super::world::{Stream, World};

/// Places on a full page.
pub const PAGE_SIZE: usize = 20;

/// How many notes of the page before come again in sort general.
pub const OVERLAP: usize = 2;

/// Places on a page of sort general that are not taken by an advertisement or another card.
pub const NOTES_IN_GENERAL: usize = PAGE_SIZE - 2;

/// What a note search asks for.
#[derive(Clone, Debug)]
pub struct NoteQuery {
    pub keyword: String,
    /// From 1.
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
    /// From redlake's own word.
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
    /// From redlake's own word.
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

/// How the pages of a search follow each other: [`Straight`](Paging::Straight), unless a fault is
/// wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paging {
    #[default]
    Straight,
    /// Every page is the one before.
    Duplicate,
    /// So many items have come in at the front of the list since the first page was shown: what
    /// stood at the end of a page stands at the beginning of the next.
    Moved(usize),
    /// After the last page comes the first one again.
    Endless,
    /// After the last page comes the last one, again and again.
    RepeatLast,
}

impl Paging {
    /// The page that is shown for page `asked`. `last` finds the last page that is not empty; 0
    /// says that all are.
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

    /// By how many places the list has moved on.
    pub fn moved(self) -> usize {
        match self {
            Paging::Moved(items) => items,
            _ => 0,
        }
    }
}

/// What takes a place on a page.
#[derive(Clone, Debug)]
pub enum Hit {
    Note(Note),
    /// A note that somebody paid to have shown.
    Ad(Note),
    Card(Card),
}

/// A thing on a page that is no note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    HotQuery,
    RecQuery,
    RelatedQueries,
    /// A card that does not say what it is.
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

/// A page of a note search; empty after the end. The list has moved on by `moved` places since
/// its first page was shown.
pub fn note_page(world: &World, query: &NoteQuery, moved: usize, now: DateTime<Utc>) -> Vec<Hit> {
    let mut notes = found(world, query, now);
    order(world, query, now, &mut notes);
    let start = start(query).saturating_sub(moved);
    match query.sort {
        Sort::General => general_page(world, query, now, slice(&notes, start, NOTES_IN_GENERAL)),
        _ => {
            let shown = slice(&notes, start, PAGE_SIZE).iter();
            shown.cloned().map(Hit::Note).collect()
        }
    }
}

/// The last page of a note search that is not empty; 0 if all are.
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

/// A page of a user search; empty after the end.
pub fn user_page(world: &World, keyword: &str, page: usize, moved: usize) -> Vec<Author> {
    let mut authors: Vec<_> = world.authors(Stream::of(keyword)).collect();
    authors.sort_by_cached_key(|author| relevance(world, keyword, &author.id));
    let start = (page - 1).saturating_mul(PAGE_SIZE).saturating_sub(moved);
    slice(&authors, start, PAGE_SIZE).to_vec()
}

/// The last page of a user search that is not empty; 0 if all are.
pub fn last_user_page(world: &World, keyword: &str) -> usize {
    let authors = world.authors(Stream::of(keyword)).count();
    authors.div_ceil(PAGE_SIZE)
}

/// How many notes stand before the page.
fn start(query: &NoteQuery) -> usize {
    let length = match query.sort {
        Sort::General => NOTES_IN_GENERAL - OVERLAP,
        _ => PAGE_SIZE,
    };
    (query.page - 1).saturating_mul(length)
}

/// How many notes of the page before come again.
fn repeated(query: &NoteQuery) -> usize {
    match query.sort {
        Sort::General if query.page > 1 => OVERLAP,
        _ => 0,
    }
}

/// All that the search has, the latest first: a limited number of the latest notes, of which the
/// window keeps some.
fn found(world: &World, query: &NoteQuery, now: DateTime<Utc>) -> Vec<Note> {
    let since = query.window.and_then(|window| window.before(now));
    world
        .notes(Stream::of(&query.keyword), now.timestamp())
        .filter(|note| query.kind.includes(note))
        .take(reach(world, &query.keyword))
        .filter(|note| since.is_none_or(|since| in_window(note, since) || slips_in(note)))
        .collect()
}

/// How many notes a search goes back, at most.
pub fn reach(world: &World, keyword: &str) -> usize {
    Dice::new(world.seed, "reach", keyword).between(30, 220) as usize
}

fn in_window(note: &Note, since: DateTime<Utc>) -> bool {
    note.published_at >= since.timestamp()
}

/// The provider's window is imprecise: some older notes come back too.
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

/// A page of sort general: the last notes of the page before, new notes, an advertisement and a
/// card.
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

/// The page's advertisement: each page has another one, as long as there are enough.
fn advertisement(world: &World, query: &NoteQuery, now: DateTime<Utc>) -> Option<Note> {
    let ads = Stream::of(&query.keyword).of_ads();
    world.notes(ads, now.timestamp()).nth(query.page - 1)
}

fn slice<T>(all: &[T], start: usize, length: usize) -> &[T] {
    let start = start.min(all.len());
    &all[start..all.len().min(start.saturating_add(length))]
}
