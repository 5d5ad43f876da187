//! Scheduling: one queue per source, so a slow source does not delay the others.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::extract::fetch::Turn;

/// The searches that have a page left.
#[derive(Debug, Default)]
pub struct Lanes {
    by_source: BTreeMap<String, Lane>,
    /// Searches that wait before a retry, by the time at which they may retry. Other searches use
    /// their slots meanwhile.
    resting: BTreeMap<(Instant, u64), Turn>,
    rested: u64,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Turn>,
    /// Calls under way.
    running: usize,
}

impl Lanes {
    /// Appends a search to the queue of its source.
    pub fn queue(&mut self, turn: Turn) {
        self.lane(&turn).waiting.push_back(turn);
    }

    /// Returns the next search of any source with fewer than `concurrency` calls under way.
    pub fn next(&mut self, concurrency: usize) -> Option<Turn> {
        let mut lanes = self.by_source.values_mut();
        let lane = lanes.find(|l| l.running < concurrency && !l.waiting.is_empty())?;
        lane.running += 1;
        lane.waiting.pop_front()
    }

    /// Records that a call to a source has ended.
    pub fn ended(&mut self, source: &str) {
        if let Some(lane) = self.by_source.get_mut(source) {
            lane.running -= 1;
        }
    }

    /// Delays the next turn of a search.
    pub fn rest(&mut self, turn: Turn, delay: Duration) {
        self.rested += 1;
        self.resting
            .insert((Instant::now() + delay, self.rested), turn);
    }

    pub fn is_resting(&self) -> bool {
        !self.resting.is_empty()
    }

    /// Waits until the first delayed search is due, and puts it at the front of its queue. Never
    /// resolves if none is delayed.
    pub async fn wake(&mut self) {
        let Some((&(at, _), _)) = self.resting.first_key_value() else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(at).await;
        if let Some((_, turn)) = self.resting.pop_first() {
            self.lane(&turn).waiting.push_front(turn);
        }
    }

    /// Returns all remaining searches, queued and delayed.
    pub fn into_turns(self) -> impl Iterator<Item = Turn> {
        let waiting = self.by_source.into_values().flat_map(|lane| lane.waiting);
        waiting.chain(self.resting.into_values())
    }

    fn lane(&mut self, turn: &Turn) -> &mut Lane {
        let source = &turn.pager.search.source;
        self.by_source.entry(source.clone()).or_default()
    }
}
