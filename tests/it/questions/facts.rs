//! Facts for several questions: the newest counts of a note, creators, medians.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{Datelike, NaiveDate, TimeDelta};

use super::answers::{Answers, Endpoint, SeenNote, date};

/// The answers, with the sights of each note together.
pub struct Facts {
    pub answers: Answers,
    pub notes: BTreeMap<String, Vec<SeenNote>>,
}

impl Creator {
    pub fn band(&self) -> Option<&'static str> {
        let followers = self.followers?;
        let mut bands = BANDS.iter().filter(|(_, band)| band.contains(&followers));
        bands.next().map(|(name, _)| *name)
    }
}

impl Facts {
    pub fn of(answers: Answers) -> Self {
        let mut notes: BTreeMap<String, Vec<SeenNote>> = BTreeMap::new();
        for note in &answers.notes {
            notes.entry(note.id.clone()).or_default().push(note.clone());
        }
        Facts { answers, notes }
    }

    pub fn newest_of<T>(&self, note: &str, value: impl Fn(&SeenNote) -> Option<T>) -> Option<T> {
        newest(
            self.notes[note]
                .iter()
                .map(|n| (n.at, n.endpoint, value(n))),
        )
    }

    /// Sum of the newest counts of a note in its last snapshot of those that are wanted.
    pub fn engagement_in(&self, note: &str, is_wanted: impl Fn(i64) -> bool) -> i64 {
        let seen = self.notes[note].iter().filter(|seen| is_wanted(seen.at));
        let last = seen.map(|seen| seen.at).max();
        let last = last.expect("the note is in the snapshot of its hit");
        let counts = self.counts_at(note, last);
        counts.into_iter().flatten().sum()
    }

    /// The newest counts of a note.
    pub fn counts(&self, note: &str) -> [Option<i64>; 4] {
        [0, 1, 2, 3].map(|count| self.newest_of(note, |seen| seen.counts[count]))
    }

    pub fn engagement(&self, note: &str) -> i64 {
        self.counts(note).into_iter().flatten().sum()
    }

    /// The counts of a note in one snapshot.
    pub fn counts_at(&self, note: &str, at: i64) -> [Option<i64>; 4] {
        let seen = || self.notes[note].iter().filter(|seen| seen.at == at);
        [0, 1, 2, 3].map(|n| newest(seen().map(|seen| (at, seen.endpoint, seen.counts[n]))))
    }

    fn best_rank(&self, note: &str) -> Option<i64> {
        let hits = self.answers.hits.iter().filter(|hit| hit.note == note);
        hits.map(|hit| hit.rank).min()
    }

    /// Each creator with a note.
    pub fn creators(&self) -> Vec<Creator> {
        let mut notes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for note in self.notes.keys() {
            let author = self.newest_of(note, |seen| seen.author.clone());
            notes
                .entry(author.expect("an author"))
                .or_default()
                .push(note);
        }
        let creators = notes.into_iter().map(|(id, notes)| {
            let seen = || self.answers.users.iter().filter(|user| user.id == id);
            // Hits of note searches have no followers and count as no observation of them.
            let counted = seen().filter(|user| user.endpoint != Endpoint::NoteSearch);
            let followers = newest(counted.map(|user| (user.at, user.endpoint, user.followers)));
            let nickname = newest(seen().map(|u| (u.at, u.endpoint, u.nickname.clone())));
            let engagement: i64 = notes.iter().map(|note| self.engagement(note)).sum();
            let per_note = engagement as f64 / notes.len() as f64;
            Creator {
                nickname: nickname.expect("a name"),
                first_seen: seen().map(|user| user.at).min().expect("a sight"),
                id,
                followers,
                notes: notes.len(),
                engagement,
                per_note,
                rate: followers.map(|followers| per_note / followers as f64),
                best_rank: notes.iter().filter_map(|note| self.best_rank(note)).min(),
            }
        });
        creators.collect()
    }
}

/// Bands of followers, the smallest first.
pub const BANDS: [(&str, Range<i64>); 5] = [
    ("under 1k", 0..1_000),
    ("1k-10k", 1_000..10_000),
    ("10k-100k", 10_000..100_000),
    ("100k-1m", 100_000..1_000_000),
    ("over 1m", 1_000_000..i64::MAX),
];

/// An author with what the newest answers say of the author and of the author's notes.
#[derive(Debug)]
pub struct Creator {
    pub id: String,
    pub nickname: String,
    pub followers: Option<i64>,
    pub first_seen: i64,
    pub notes: usize,
    pub engagement: i64,
    pub per_note: f64,
    pub rate: Option<f64>,
    pub best_rank: Option<i64>,
}

/// The value of the newest snapshot, and of its first endpoint that has one. Of each endpoint only
/// the newest observation counts.
pub fn newest<T>(seen: impl Iterator<Item = (i64, Endpoint, Option<T>)>) -> Option<T> {
    let mut by_endpoint: BTreeMap<Endpoint, (i64, Option<T>)> = BTreeMap::new();
    for (at, endpoint, value) in seen {
        if by_endpoint
            .get(&endpoint)
            .is_none_or(|(last, _)| *last <= at)
        {
            by_endpoint.insert(endpoint, (at, value));
        }
    }
    let mut newest: Vec<_> = by_endpoint.into_iter().collect();
    newest.sort_by_key(|(endpoint, (at, _))| (Reverse(*at), *endpoint));
    newest.into_iter().find_map(|(_, (_, value))| value)
}

/// Monday of the week of an instant in Shanghai.
pub fn monday(at: i64) -> NaiveDate {
    let date = date(at);
    date - TimeDelta::days(i64::from(date.weekday().num_days_from_monday()))
}

pub fn rounded(number: f64, decimals: i32) -> f64 {
    let shift = 10_f64.powi(decimals);
    (number * shift).round() / shift
}

pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let (low, high) = ((numbers.len() - 1) / 2, numbers.len() / 2);
    numbers[low] + (numbers[high] - numbers[low]) * if low == high { 0.0 } else { 0.5 }
}

/// The median as a cast to a whole number rounds it.
pub fn whole_median(numbers: impl Iterator<Item = f64>) -> i64 {
    median(numbers.collect()).round_ties_even() as i64
}
