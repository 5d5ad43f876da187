//! The world and the streams of notes in it, with what their ids, times and counts are made of.

use std::fmt;
use std::sync::Arc;

use crate::sandbox::world::dice::Dice;
use crate::sandbox::world::keywords;
use crate::sandbox::world::phrases::{TOPICS, Topic};

/// The notes and authors that belong to a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub topic: u8,
    pub salt: u16,
}

impl Stream {
    /// Returns the stream of a keyword. The name of a topic leads to its main stream. Any other
    /// keyword leads to a side stream: of the topic that it contains, or else of an arbitrary
    /// topic. Its notes are about the keyword all the same.
    pub fn of(keyword: &str) -> Self {
        let mut dice = Dice::new(0, "stream", keyword);
        let any = dice.below(TOPICS.len() as u64) as usize;
        let side_salt = dice.between(1, u64::from(u16::MAX)) as u16;
        let contained = TOPICS.iter().position(|topic| keyword.contains(topic.name));
        let topic = contained.unwrap_or(any);
        let topic_name = TOPICS[topic].name;
        let stream = Stream {
            topic: topic as u8, // there are fewer than 256 topics
            salt: if keyword == topic_name { 0 } else { side_salt },
        };
        if keyword != topic_name {
            keywords::remember((stream.topic, stream.salt), keyword);
            let ads = stream.of_ads();
            keywords::remember((ads.topic, ads.salt), keyword);
        }
        stream
    }

    /// Returns the subject of the notes: the keyword, or the topic if the keyword is unknown.
    pub fn subject(self) -> Arc<str> {
        keywords::keyword_of((self.topic, self.salt)).unwrap_or_else(|| self.topic().name.into())
    }

    /// Returns the stream of the advertisements that are shown with this stream.
    pub fn of_ads(self) -> Self {
        Stream {
            salt: self.salt ^ 0xAD5,
            ..self
        }
    }

    pub fn topic(self) -> &'static Topic {
        &TOPICS[usize::from(self.topic) % TOPICS.len()]
    }

    pub fn from_id(id: Id) -> Option<Self> {
        let known = usize::from(id.topic) < TOPICS.len();
        known.then_some(Stream {
            topic: id.topic,
            salt: id.salt,
        })
    }

    pub fn key(self) -> String {
        format!("{:02x}{:04x}", self.topic, self.salt)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct World {
    pub seed: u64,
    /// Notes per day in every stream; `None` gives each stream its own rate.
    pub notes_a_day: Option<u64>,
    /// Percentage of the notes that become visible one to three hours after their publication.
    pub late_percent: u64,
    /// Percentage of the notes that are deleted two to ten days after their publication.
    pub removed_percent: u64,
    /// Percentage of the notes that get another title one to eight days after their publication.
    pub retitled_percent: u64,
}

/// `{seconds:08x}00000000{topic:02x}{salt:04x}{last:02x}`: creation time, stream, and one byte that
/// tells real ids from invented ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    pub seconds: u32,
    pub topic: u8,
    pub salt: u16,
    pub last: u8,
}

const MIDDLE: &str = "00000000";

impl Id {
    /// Parses an id; `None` if the text has another format.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 24 || !text.bytes().all(is_digit) || &text[8..16] != MIDDLE {
            return None;
        }
        Some(Id {
            seconds: u32::from_str_radix(&text[..8], 16).ok()?,
            topic: u8::from_str_radix(&text[16..18], 16).ok()?,
            salt: u16::from_str_radix(&text[18..22], 16).ok()?,
            last: u8::from_str_radix(&text[22..], 16).ok()?,
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Id {
            seconds,
            topic,
            salt,
            last,
        } = self;
        write!(f, "{seconds:08x}{MIDDLE}{topic:02x}{salt:04x}{last:02x}")
    }
}

/// Time of the first publication: 2025-06-01T00:00:00Z.
pub const BEGINNING: i64 = 1_748_736_000;

pub const HOUR: i64 = 3_600;

pub const DAY: i64 = 24 * HOUR;

/// A count on its way to `total`: half of it is there at `half_life`, the rest comes ever slower.
/// In whole numbers, so that all machines agree.
pub fn saturating(total: u64, age: u64, half_life: u64) -> u64 {
    let (total, age) = (u128::from(total), u128::from(age));
    let count = total * age / (age + u128::from(half_life)).max(1);
    count as u64 // at most the total, which is a u64
}
