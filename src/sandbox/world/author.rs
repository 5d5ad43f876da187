//! Authors, who write the notes of a stream.

use super::dice::Dice;
use super::id::Id;
use super::phrases::{NAME_CORES, NAME_ENDS, NAME_STARTS, TRADES};
use crate::sandbox::world::growth::saturating;
use crate::sandbox::world::stream::{Stream, World};
use crate::sandbox::world::time::{BEGINNING, DAY};

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
