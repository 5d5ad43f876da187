//! The world, and the notes and authors that belong to a keyword.

use crate::sandbox::world::dice::Dice;
use crate::sandbox::world::id::Id;
use crate::sandbox::world::topics::{TOPICS, Topic};

/// The notes and authors that belong to a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub topic: u8,
    pub salt: u16,
}

impl Stream {
    /// Returns the stream of a keyword. The name of a topic leads to its main stream. Any other
    /// keyword leads to a side stream: of the topic that it contains, or else of an arbitrary
    /// topic.
    pub fn of(keyword: &str) -> Self {
        let mut dice = Dice::new(0, "stream", keyword);
        let any = dice.below(TOPICS.len() as u64) as usize;
        let side_salt = dice.between(1, u64::from(u16::MAX)) as u16;
        let contained = TOPICS.iter().position(|topic| keyword.contains(topic.name));
        let topic = contained.unwrap_or(any);
        Stream {
            topic: topic as u8, // there are fewer than 256 topics
            salt: if keyword == TOPICS[topic].name {
                0
            } else {
                side_salt
            },
        }
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
}
