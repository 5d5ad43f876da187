//! Notes and their authors: their properties, and their counts at an instant.

use std::ops::RangeInclusive;

use super::dice::Dice;
use super::phrases::{NAME_CORES, NAME_ENDS, NAME_STARTS, PLACES, TRADES};
use super::text::Text;
use crate::sandbox::world::stream::{BEGINNING, DAY, HOUR, Id, Stream, World, saturating};

/// A note that exists. Its properties are computed on demand.
#[derive(Clone, Debug)]
pub struct Note {
    pub id: String,
    /// Publication time in Unix seconds.
    pub published_at: i64,
    pub author: Author,
    pub(super) stream: Stream,
    pub(super) world: World,
}

/// Interaction counts of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engagement {
    pub liked: u64,
    pub collected: u64,
    pub comments: u64,
    pub shared: u64,
    pub nice: u64,
}

/// A place on the map.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub name: &'static str,
    pub latitude: f64,
    pub longitude: f64,
}

impl Note {
    /// Returns the random numbers for one question about this note.
    pub fn dice(&self, question: &str) -> Dice {
        Dice::new(self.world.seed, question, &self.id)
    }

    /// Returns the time from which searches find the note: that of its publication, or one to three
    /// hours later for a late note.
    pub fn visible_at(&self) -> i64 {
        let percent = self.world.late_percent;
        if percent == 0 {
            return self.published_at;
        }
        let mut dice = self.dice("late");
        if dice.chance(percent) {
            self.published_at + dice.between(HOUR as u64, 3 * HOUR as u64) as i64
        } else {
            self.published_at
        }
    }

    /// Returns the time from which the note is deleted, two to ten days after its publication; `None`
    /// for a note that stays.
    pub fn removed_at(&self) -> Option<i64> {
        self.happens_at("removed", self.world.removed_percent, 2..=10)
    }

    /// Returns the time from which the note has another title, one to eight days after its
    /// publication; `None` for a note that keeps its title.
    pub fn retitled_at(&self) -> Option<i64> {
        self.happens_at("retitled", self.world.retitled_percent, 1..=8)
    }

    /// Returns the time of an event that some percent of the notes have, so many days after their
    /// publication.
    fn happens_at(&self, event: &str, percent: u64, days: RangeInclusive<i64>) -> Option<i64> {
        if percent == 0 {
            return None;
        }
        let mut dice = self.dice(event);
        let (first, last) = (days.start() * DAY, days.end() * DAY);
        let happens = dice.chance(percent);
        happens.then(|| self.published_at + dice.between(first as u64, last as u64) as i64)
    }

    /// Returns true if searches find the note at `now`: it is visible, and not deleted.
    pub fn is_shown(&self, now: i64) -> bool {
        self.visible_at() <= now && self.removed_at().is_none_or(|removed_at| now < removed_at)
    }

    pub fn is_video(&self) -> bool {
        self.dice("is video").chance(30)
    }

    pub fn video_seconds(&self) -> u64 {
        self.dice("video seconds").between(7, 320)
    }

    /// Returns the text at `now`: an edit adds a line at the end, a new title replaces the first one.
    pub fn text(&self, now: i64) -> Text {
        let (subject, field) = (self.stream.subject(), self.stream.topic().field);
        let mut text = Text::write(&mut self.dice("text"), &subject, field);
        if self.retitled_at().is_some_and(|at| at <= now) {
            text.retitle(&mut self.dice("new title"), &subject, field);
        }
        if self.edited_at(now).is_some() {
            text.paragraphs.push("——补充：已更新到最新版本".to_owned());
        }
        text
    }

    /// Returns the time of the author's edit, if it happened by `now`.
    pub fn edited_at(&self, now: i64) -> Option<i64> {
        let mut dice = self.dice("edit");
        let delay = dice.between(HOUR as u64, 20 * DAY as u64) as i64;
        let edited_at = self.published_at + delay;
        (dice.chance(25) && edited_at <= now).then_some(edited_at)
    }

    pub fn place(&self) -> Option<Place> {
        let mut dice = self.dice("place");
        let (name, latitude, longitude) = dice.pick(PLACES);
        dice.chance(30).then_some(Place {
            name,
            latitude,
            longitude,
        })
    }

    /// Returns the counts at `now`. They grow fast at first and more slowly later, and never fall.
    pub fn engagement(&self, now: i64) -> Engagement {
        let mut dice = self.dice("engagement");
        let age = (now - self.published_at).max(0) as u64;
        let likes = dice.tier(&[
            (15, 40..400),
            (42, 400..3_000),
            (28, 3_000..20_000),
            (11, 20_000..110_000),
            (4, 150_000..1_200_000),
        ]);
        let mut grown = |percent: std::ops::Range<u64>| {
            let percent = percent.start + dice.below(percent.end - percent.start);
            let half_life = dice.between(10, 70) * HOUR as u64;
            saturating(likes * percent / 100, age, half_life)
        };
        Engagement {
            liked: grown(100..101),
            collected: grown(10..80),
            comments: grown(1..12),
            shared: grown(1..20),
            nice: grown(0..4),
        }
    }
}

/// An account. Its properties are computed on demand.
#[derive(Clone, Debug)]
pub struct Author {
    pub id: String,
    registered_at: i64,
    seed: u64,
}

/// Verification of an account by the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    No,
    Person,
    Company,
}

impl Verification {
    /// The provider's number for it.
    pub fn as_number(self) -> u8 {
        match self {
            Verification::No => 0,
            Verification::Person => 1,
            Verification::Company => 2,
        }
    }
}

impl Author {
    pub(super) fn new(world: World, stream: Stream, index: u8) -> Self {
        let key = format!("{}{index}", stream.key());
        let days_before = Dice::new(world.seed, "registered", &key).between(1, 2_900);
        let second = Dice::new(world.seed, "registered second", &key).below(DAY as u64);
        let registered_at = BEGINNING - days_before as i64 * DAY + second as i64;
        let id = Id {
            seconds: registered_at as u32, // between 2017 and 2025
            topic: stream.topic,
            salt: stream.salt,
            last: index,
        };
        Author {
            id: id.to_string(),
            registered_at,
            seed: world.seed,
        }
    }

    /// Returns the random numbers for one question about this author.
    pub fn dice(&self, question: &str) -> Dice {
        Dice::new(self.seed, question, &self.id)
    }

    /// Returns a nickname composed from few parts: many authors have the same name.
    pub fn nickname(&self) -> String {
        let mut dice = self.dice("nickname");
        let start = dice.pick(NAME_STARTS);
        let core = dice.pick(NAME_CORES);
        let end = dice.pick(NAME_ENDS);
        format!("{start}{core}{end}")
    }

    /// Returns the public id: a number, or letters for some authors.
    pub fn red_id(&self) -> String {
        let mut dice = self.dice("red id");
        if dice.chance(20) {
            let word = dice.word(b"abcdefghiklmnorstuy", 5);
            return format!("{word}_{}", dice.word(b"aeiou0123456789", 4));
        }
        let digits = dice.between(9, 11) as usize;
        dice.word(b"123456789", digits)
    }

    pub fn avatar(&self, width: u32) -> String {
        let file = self.dice("avatar").hex(24);
        format!(
            "https://sns-avatar-qc.xhscdn.com/avatar/{file}.jpg?imageView2/2/w/{width}/format/webp"
        )
    }

    pub fn verified(&self) -> Verification {
        match self.dice("verified").below(100) {
            0..82 => Verification::No,
            82..93 => Verification::Person,
            _ => Verification::Company,
        }
    }

    pub fn trade(&self) -> &'static str {
        self.dice("trade").pick(TRADES)
    }

    pub fn followers(&self, now: i64) -> u64 {
        let total = self.dice("followers").tier(&[
            (35, 10..2_000),
            (35, 2_000..30_000),
            (22, 30_000..600_000),
            (8, 600_000..6_000_000),
        ]);
        saturating(total, self.age(now), 300 * DAY as u64)
    }

    pub fn note_count(&self, now: i64) -> u64 {
        let days_between = self.dice("note count").between(1, 20);
        1 + self.age(now) / (days_between * DAY as u64)
    }

    /// Returns the number of days since the last note of the author.
    pub fn days_since_note(&self, now: i64) -> u64 {
        let day = (now.max(0) / DAY) as u64;
        1 + (day + self.dice("last note").below(60)) % 60
    }

    fn age(&self, now: i64) -> u64 {
        (now - self.registered_at).max(0) as u64
    }
}
