//! State of a running sandbox, which all calls share: its clock, the faults, the call log,
//! and the signal that stops it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::sync::watch;

use super::envelope::BusinessCode;
use super::request::{Asked, Token};
use crate::sandbox::api::Api;
use crate::sandbox::faults::Strikes;

/// The time of the sandbox. Clones share one clock: advancing one advances all.
#[derive(Clone, Debug)]
pub struct SandboxClock {
    start: DateTime<Utc>,
    /// Instant since which time passes by itself; `None` for a frozen clock, which only moves when
    /// advanced.
    running_since: Option<Instant>,
    advanced_ms: Arc<AtomicI64>,
}

impl SandboxClock {
    pub fn frozen(at: DateTime<Utc>) -> Self {
        SandboxClock {
            start: at,
            running_since: None,
            advanced_ms: Arc::default(),
        }
    }

    pub fn running_from(start: DateTime<Utc>) -> Self {
        SandboxClock {
            running_since: Some(Instant::now()),
            ..SandboxClock::frozen(start)
        }
    }

    /// Returns the current time, or the largest representable one if the clock was advanced beyond
    /// it.
    pub fn now(&self) -> DateTime<Utc> {
        let passed = self.running_since.map_or(Duration::ZERO, |i| i.elapsed());
        let advanced = TimeDelta::milliseconds(self.advanced_ms.load(Ordering::SeqCst));
        TimeDelta::from_std(passed)
            .ok()
            .and_then(|passed| passed.checked_add(&advanced))
            .and_then(|delta| self.start.checked_add_signed(delta))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let add = |advanced: i64| Some(advanced.saturating_add(ms));
        // Never fails: the closure always returns a new value.
        let _ = self
            .advanced_ms
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
    }
}

/// State that all calls share.
pub struct Shared {
    pub api: Api,
    pub clock: SandboxClock,
    pub calls: Arc<Calls>,
    pub strikes: Mutex<Strikes>,
    pub stop: StopSignal,
    /// Port that the sandbox listens on.
    pub port: u16,
}

impl Shared {
    /// Strikes are whole after every step, so a panic elsewhere cannot have spoilt them.
    pub fn strikes(&self) -> MutexGuard<'_, Strikes> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when the sandbox is stopped or dropped.
pub type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<bool>);

/// Signals the shutdown of the sandbox, also when it is dropped.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

pub fn stop() -> (Stopper, StopSignal) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), StopSignal(receiver))
}

impl StopSignal {
    pub fn stopped(&self) -> Stopped {
        let mut receiver = self.0.clone();
        Box::pin(async move {
            // An error means that the stopper was dropped, which also stops the sandbox.
            let _ = receiver.wait_for(|stopped| *stopped).await;
        })
    }
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// All calls since the sandbox started.
#[derive(Debug)]
pub struct Calls {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// API calls of any kind, unknown paths included.
    all: u64,
    by_endpoint: BTreeMap<String, EndpointCounts>,
    in_flight: u64,
    most_in_flight: u64,
    /// Entries by call number, except forgotten ones.
    log: BTreeMap<u64, Entry>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct EndpointCounts {
    calls: u64,
    billed: u64,
}

/// Number of calls, and of concurrent calls.
#[derive(Debug, Serialize)]
pub struct Counts {
    pub endpoints: BTreeMap<String, EndpointCounts>,
    /// Calls that have arrived and are not answered yet.
    pub in_flight: u64,
    pub most_in_flight: u64,
}

/// A line of the call log. Times are microseconds since the sandbox started.
#[derive(Clone, Debug, Serialize)]
struct Entry {
    number: u64,
    /// Arrival of the call.
    at_us: u64,
    /// Time at which the last byte of the answer was handed to the network; null if it never was.
    done_us: Option<u64>,
    #[serde(flatten)]
    asked: Asked,
    /// Null if no answer was begun.
    status: Option<u16>,
    /// The business code that the complete answer has; null if none.
    code: Option<BusinessCode>,
    billed: bool,
    /// The kind of the fault that struck, or the limit that was reached: quota, balance.
    fault: Option<String>,
    /// True if the call had the right token. `token_given` is true if it had any token.
    token_ok: bool,
    token_given: bool,
    /// True if the call follows a redirect of the sandbox.
    redirected: bool,
    /// Bytes of the body as sent: compressed size if the body was compressed.
    bytes_sent: u64,
}

/// A call that has just arrived.
#[derive(Debug)]
pub struct Arrival {
    pub asked: Asked,
    pub token: Token,
    pub fault: Option<String>,
    pub redirected: bool,
}

/// The answer to a call.
#[derive(Debug, Default)]
pub struct Handover {
    pub status: Option<u16>,
    pub code: Option<BusinessCode>,
    pub billed: bool,
    /// The limit that made it a refusal.
    pub limit: Option<String>,
}

impl Calls {
    pub fn new() -> Self {
        Calls {
            started: Instant::now(),
            state: Mutex::default(),
        }
    }

    pub fn counts(&self) -> Counts {
        let state = self.lock();
        Counts {
            endpoints: state.by_endpoint.clone(),
            in_flight: state.in_flight,
            most_in_flight: state.most_in_flight,
        }
    }

    /// Returns one JSON object per line, in order of arrival.
    pub fn ndjson(&self) -> String {
        let state = self.lock();
        let lines = state.log.values().map(|entry| {
            let line = serde_json::to_string(entry).expect("an entry has text keys only");
            line + "\n"
        });
        lines.collect()
    }

    /// Clears the log; the counts stay.
    pub fn forget(&self) {
        self.lock().log.clear();
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Locks the state. It is consistent after every step, so a poisoned lock is still usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way. Dropping it ends the call.
#[derive(Debug)]
pub struct Underway {
    calls: Arc<Calls>,
    pub number: u64,
}

impl Underway {
    pub fn begin(calls: &Arc<Calls>, arrival: Arrival) -> Self {
        let mut state = calls.lock();
        state.all += 1;
        state.in_flight += 1;
        state.most_in_flight = state.most_in_flight.max(state.in_flight);
        if let Some(endpoint) = &arrival.asked.endpoint {
            state.endpoint(endpoint).calls += 1;
        }
        let number = state.all;
        let entry = Entry {
            number,
            at_us: calls.now_us(),
            done_us: None,
            asked: arrival.asked,
            status: None,
            code: None,
            billed: false,
            fault: arrival.fault,
            token_ok: arrival.token == Token::Right,
            token_given: arrival.token != Token::Missing,
            redirected: arrival.redirected,
            bytes_sent: 0,
        };
        state.log.insert(number, entry);
        Underway {
            calls: Arc::clone(calls),
            number,
        }
    }

    /// Records the answer that is about to be sent.
    pub fn hand_over(&self, handover: Handover, endpoint: Option<&str>) {
        let mut state = self.calls.lock();
        if let Some(endpoint) = endpoint {
            state.endpoint(endpoint).billed += u64::from(handover.billed);
        }
        if let Some(entry) = state.log.get_mut(&self.number) {
            entry.status = handover.status;
            entry.code = handover.code;
            entry.billed = handover.billed;
            entry.fault = entry.fault.take().or(handover.limit);
        }
    }

    /// Records bytes of the body that were handed to the network.
    pub fn sent(&self, bytes: usize) {
        if let Some(entry) = self.calls.lock().log.get_mut(&self.number) {
            entry.bytes_sent += bytes as u64;
        }
    }

    /// Records that the whole answer was handed to the network.
    pub fn done(&self) {
        let now = self.calls.now_us();
        if let Some(entry) = self.calls.lock().log.get_mut(&self.number) {
            entry.done_us.get_or_insert(now);
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.calls.lock().in_flight -= 1;
    }
}

impl State {
    fn endpoint(&mut self, name: &str) -> &mut EndpointCounts {
        self.by_endpoint.entry(name.to_owned()).or_default()
    }
}
