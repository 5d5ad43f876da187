//! The simulated world: the notes and authors that exist, and their properties.
//!
//! The world is a pure function of a seed and an instant. Nothing is stored but keywords
//! ([`keywords`]). All properties of a note follow from its id and the seed, and its counts from the
//! instant as well. Two processes with the same seed agree, and so do two runs of a test.
//!
//! Every keyword has a *stream* of notes. Time since [`BEGINNING`] is divided into equal buckets,
//! and each bucket contains one note at some instant.

pub mod dice;
pub mod keywords;
pub mod note;
pub mod phrases;
pub mod stream;
pub mod text;

use dice::Dice;
use note::{Author, Note};
use stream::{BEGINNING, DAY, Id};

pub use stream::{Stream, World};

/// The buckets of a stream: `notes` buckets in `seconds`, as equal as whole seconds allow.
#[derive(Clone, Copy, Debug)]
struct Buckets {
    seconds: i64,
    notes: i64,
}

impl Buckets {
    /// Returns the start of a bucket, in seconds since [`BEGINNING`].
    fn start(self, bucket: i64) -> i64 {
        (bucket * self.seconds).div_euclid(self.notes)
    }

    /// Returns the bucket that contains an instant, in seconds since [`BEGINNING`].
    fn at(self, seconds: i64) -> i64 {
        ((seconds + 1) * self.notes - 1).div_euclid(self.seconds)
    }
}

impl World {
    /// Returns the notes of the stream that are shown at `now`, the latest first.
    pub fn notes(&self, stream: Stream, now: i64) -> impl Iterator<Item = Note> {
        let world = *self;
        let buckets = self.buckets(stream);
        // Ids cannot encode later instants: the world ends in the year 2106.
        let now = now.min(i64::from(u32::MAX));
        let last = buckets.at(now - BEGINNING);
        (0..=last)
            .rev()
            .filter_map(move |at| world.note_in(stream, at, buckets))
            .filter(move |note| note.is_shown(now))
    }

    /// Returns the note with this id, if it is shown at `now`.
    pub fn note(&self, id: &str, now: i64) -> Option<Note> {
        let parts = Id::parse(id)?;
        let stream = Stream::from_id(parts)?;
        let buckets = self.buckets(stream);
        let at = buckets.at(i64::from(parts.seconds) - BEGINNING);
        self.note_in(stream, at, buckets)
            .filter(|note| note.id == id && note.is_shown(now))
    }

    /// Returns all authors of a stream.
    pub fn authors(&self, stream: Stream) -> impl Iterator<Item = Author> {
        let world = *self;
        (0..self.author_count(stream)).map(move |index| Author::new(world, stream, index))
    }

    fn author_count(&self, stream: Stream) -> u8 {
        Dice::new(self.seed, "authors", &stream.key()).between(20, 60) as u8
    }

    /// Returns the buckets of a stream. Its own rate is 2 to 12 notes per day, rounded to whole
    /// seconds between two notes.
    fn buckets(&self, stream: Stream) -> Buckets {
        match self.notes_a_day {
            // At least one, to avoid a division by zero.
            Some(notes) => Buckets {
                seconds: DAY,
                notes: i64::try_from(notes).unwrap_or(DAY).clamp(1, DAY),
            },
            None => {
                let notes_a_day = Dice::new(self.seed, "rate", &stream.key()).between(2, 12);
                Buckets {
                    seconds: DAY / notes_a_day as i64,
                    notes: 1,
                }
            }
        }
    }

    fn note_in(&self, stream: Stream, bucket: i64, buckets: Buckets) -> Option<Note> {
        if bucket < 0 {
            return None;
        }
        let start = buckets.start(bucket);
        let length = buckets.start(bucket + 1) - start;
        let mut dice = Dice::new(self.seed, "note", &format!("{}{bucket}", stream.key()));
        let jitter = dice.below(length as u64) as i64;
        let published_at = BEGINNING + start + jitter;
        let id = Id {
            seconds: u32::try_from(published_at).ok()?,
            topic: stream.topic,
            salt: stream.salt,
            last: dice.below(256) as u8,
        };
        let author = dice.below(u64::from(self.author_count(stream))) as u8;
        Some(Note {
            id: id.to_string(),
            published_at,
            author: Author::new(*self, stream, author),
            stream,
            world: *self,
        })
    }
}
