//! How often a source may be asked. One limiter a source, whatever the number of searches.

mod pace;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as FairMutex;

use crate::plan::limits::Window;
pub use pace::Pace;

/// Holds calls back until they may be made. Waiters are served in the order in which they came.
#[derive(Debug)]
pub struct Limiter {
    /// Held by the one that waits for the next turn; the others queue behind it.
    queue: FairMutex<()>,
    pace: Mutex<Pace>,
    origin: Instant,
}

impl Limiter {
    /// `rate` is in calls a second. `recent` says how long ago calls were made that the window
    /// still counts, the longest first.
    pub fn new(rate: f64, burst: u32, window: Option<Window>, recent: &[Duration]) -> Self {
        // Time begins before the first of them, if the machine has been up that long.
        let before = recent.first().copied().unwrap_or_default();
        let now = Instant::now();
        let origin = now.checked_sub(before).unwrap_or(now);
        let mut pace = Pace::new(rate, burst, window);
        let begun = now - origin;
        pace.remember(recent.iter().map(|ago| begun.saturating_sub(*ago)));
        Limiter {
            queue: FairMutex::new(()),
            pace: Mutex::new(pace),
            origin,
        }
    }

    /// Returns when the next call may be sent.
    pub async fn turn(&self) {
        let _first_in_the_queue = self.queue.lock().await;
        loop {
            // Bound on its own line: no lock may be held while waiting.
            let turn = self.pace().take(self.now());
            match turn {
                Ok(()) => return,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// When a call is sent that now has its turn; see [`Limiter::slow_down`].
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The provider said that we ask too often, about a call that was sent at `sent`. With
    /// `pause`, it also said when to come back.
    pub fn slow_down(&self, sent: Duration, pause: Option<Duration>) {
        let now = self.now();
        let mut pace = self.pace();
        pace.slow_down(sent, now);
        if let Some(pause) = pause {
            pace.pause_until(now.saturating_add(pause));
        }
    }

    /// A pace is whole after every step, so a panic elsewhere cannot have spoilt it.
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
