//! A note: its properties, and its counts at an instant.

use super::author::Author;
use super::dice::Dice;
use super::phrases::PLACES;
use super::text::Text;
use crate::sandbox::world::growth::saturating;
use crate::sandbox::world::stream::{Stream, World};
use crate::sandbox::world::time::{DAY, HOUR};

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

    pub fn is_video(&self) -> bool {
        self.dice("is video").chance(30)
    }

    pub fn video_seconds(&self) -> u64 {
        self.dice("video seconds").between(7, 320)
    }

    /// Returns the text at `now`: an edit adds a line at the end.
    pub fn text(&self, now: i64) -> Text {
        let mut text = Text::write(&mut self.dice("text"), self.stream.topic());
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
