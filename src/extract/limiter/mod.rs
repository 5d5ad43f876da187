//! Rate limiting: one limiter per source, regardless of the number of searches.

mod pace;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as FairMutex;

use crate::plan::limits::Window;

pub use pace::Pace;

/// Delays calls until they are allowed. Waiters are served in order of arrival.
#[derive(Debug)]
pub struct Limiter {
    /// Held by the task that waits for the next turn; other tasks queue behind it.
    queue: FairMutex<()>,
    pace: Mutex<Pace>,
    origin: Instant,
}

impl Limiter {
    /// Creates a limiter. `rate` is in calls per second. `recent` lists the ages of earlier calls
    /// that the window still counts, the oldest first.
    pub fn new(rate: f64, burst: u32, window: Option<Window>, recent: &[Duration]) -> Self {
        // The origin is the time of the oldest call, if the machine has been up that long.
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

    /// Waits until the next call may be sent.
    pub async fn turn(&self) {
        let _first_in_the_queue = self.queue.lock().await;
        loop {
            // Bound on its own line: no lock may be held across the await.
            let turn = self.pace().take(self.now());
            match turn {
                Ok(()) => return,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Returns the current time since the origin: the send time of a call that has its turn now.
    /// See [`Limiter::slow_down`].
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Lowers the rate after the provider rejected a call, sent at `sent`, as too frequent. `pause`
    /// is the wait that the provider asked for, if any.
    pub fn slow_down(&self, sent: Duration, pause: Option<Duration>) {
        let now = self.now();
        let mut pace = self.pace();
        pace.slow_down(sent, now);
        if let Some(pause) = pause {
            pace.pause_until(now.saturating_add(pause));
        }
    }

    /// Locks the pace. A pace is consistent after every step, so a poisoned lock is still usable.
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
