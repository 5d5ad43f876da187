//! A simulator of the providers' APIs, to try and test redlake without paying.
//!
//! ```text
//! http/connection ─► http/respond ─► faults   failure of the call, if any
//!                         │          state    clock, call log, stop signal
//!                         │
//!                         ├──► api ─► request   parameters, in the vocabulary of the source contracts
//!                         │           json/     data of each endpoint
//!                         │           search    notes or users found
//!                         │           world/    all data: a pure function of a seed and an instant
//!                         │           envelope  codes and the frame of every answer
//!                         │
//! http/connection ◄─ http/reply   the answer as sent, intact or disturbed
//! ```
//!
//! Two sandboxes with the same seed and the same time return the same data. Only request ids,
//! faults and the call log depend on earlier calls. Some requests have fixed answers:
//! - the keywords `海信洗衣机` and `Amir Ali` and the note `649c46ab000000002702ad36` return the
//!   answers printed in the providers' documents;
//! - the keyword `code:303` and the note id `code-429` return that business code.
//!
//! A call with the parameter `fields`, if its contract has one, is answered with these fields only.
//! Calls of a source with an application secret ([`Options::signers`]) must be signed with it. The
//! timestamp may differ from the clock of the machine by five minutes at most.
//!
//! The control routes need no token and meet no faults:
//!
//! | route | does |
//! |---|---|
//! | `GET /_sandbox` | shows the clock, the calls of each endpoint, current and maximum concurrency |
//! | `POST /_sandbox/clock` | advances the clock: `{"advance_seconds": 3600}` |
//! | `GET /_sandbox/faults` | shows the fault plan |
//! | `POST /_sandbox/faults` | replaces it; `{}` removes all faults |
//! | `GET /_sandbox/calls` | lists the API calls, one JSON object per line, without tokens |
//! | `DELETE /_sandbox/calls` | empties that list |
//!
//! A call is billed when its answer is handed to the network: after the latency, and not if the
//! client has disconnected meanwhile. For fault plans see [`faults`].

mod api;
mod envelope;
pub mod faults;
mod http;
mod json;
mod request;
mod search;
mod state;
mod world;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::sandbox::http::connection::{Cutter, WireLines};
use crate::sandbox::state::{Calls, Shared, Stopper, stop};
use crate::sandbox::world::stream::{Stream, World};
use crate::signing::Signer;
use crate::spec::contracts::Contracts;
use api::Api;
use faults::Strikes;

pub use state::SandboxClock;

/// Time that calls under way may take when the sandbox is stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Valid numbers of notes per day for a keyword.
pub const NOTES_A_DAY: std::ops::RangeInclusive<u64> = 1..=2_000;

/// Valid percentages of notes.
pub const PERCENT: std::ops::RangeInclusive<u64> = 0..=100;

pub struct Options {
    /// Port to listen on; 0 takes any free port.
    pub port: u16,
    pub seed: u64,
    pub clock: SandboxClock,
    /// The one token that all simulated APIs accept.
    pub token: SecretString,
    /// Signers of the calls, by source. Calls to other sources are not signed.
    pub signers: BTreeMap<String, Signer>,
    pub faults: faults::FaultPlan,
    /// Notes that every keyword gets a day, one of [`NOTES_A_DAY`]; without it each has a rate
    /// of its own, 2 to 12.
    pub notes_a_day: Option<u64>,
    /// Percentage of the notes that become visible one to three hours after their publication,
    /// within [`PERCENT`].
    pub late_percent: u64,
    /// Percentage of the notes that are deleted two to ten days after their publication.
    pub removed_percent: u64,
    /// Percentage of the notes that get another title one to eight days after their publication.
    pub retitled_percent: u64,
    /// Keywords that a call may ask about by note id before it searches for them.
    pub keywords: Vec<String>,
}

impl Options {
    /// The world with seed 1 on any free port, without faults.
    pub fn new(clock: SandboxClock, token: SecretString) -> Self {
        Options {
            port: 0,
            seed: 1,
            clock,
            token,
            signers: BTreeMap::new(),
            faults: faults::FaultPlan::default(),
            notes_a_day: None,
            late_percent: 0,
            removed_percent: 0,
            retitled_percent: 0,
            keywords: Vec::new(),
        }
    }
}

/// A running server on the loopback interface. It ends when it is stopped or dropped.
pub struct Sandbox {
    address: SocketAddr,
    stopper: Stopper,
    server: JoinHandle<io::Result<()>>,
}

impl Sandbox {
    /// Starts a server on the loopback interface.
    ///
    /// # Errors
    /// The port is taken, the contracts lack a code that the sandbox must answer with, or an option
    /// has an invalid value.
    pub async fn start(options: Options, contracts: Arc<Contracts>) -> io::Result<Sandbox> {
        let impossible = |problem| io::Error::new(io::ErrorKind::InvalidInput, problem);
        options.faults.check().map_err(impossible)?;
        if options
            .notes_a_day
            .is_some_and(|n| !NOTES_A_DAY.contains(&n))
        {
            return Err(impossible(format!("notes a day are {NOTES_A_DAY:?}")));
        }
        for (notes, percent) in [
            ("late", options.late_percent),
            ("removed", options.removed_percent),
            ("retitled", options.retitled_percent),
        ] {
            if !PERCENT.contains(&percent) {
                return Err(impossible(format!("{notes} notes are {PERCENT:?} %")));
            }
        }
        for keyword in &options.keywords {
            Stream::of(keyword);
        }
        let world = World {
            seed: options.seed,
            notes_a_day: options.notes_a_day,
            late_percent: options.late_percent,
            removed_percent: options.removed_percent,
            retitled_percent: options.retitled_percent,
        };
        let api = Api::new(&contracts, world, options.token, options.signers)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let (stopper, stop) = stop();
        let stopped = stop.stopped();
        let router = http::router(Arc::new(Shared {
            api,
            clock: options.clock,
            calls: Arc::new(Calls::new()),
            strikes: Mutex::new(Strikes::new(options.faults)),
            stop,
            port: address.port(),
        }));
        let service = router.into_make_service_with_connect_info::<Cutter>();
        let server = axum::serve(WireLines(listener), service).with_graceful_shutdown(stopped);
        Ok(Sandbox {
            address,
            stopper,
            server: tokio::spawn(server.into_future()),
        })
    }

    /// Returns the address that replaces the base address of every source.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops the server. Calls under way may finish within a short time limit.
    pub async fn stop(mut self) {
        self.stopper.stop();
        if tokio::time::timeout(STOP_PATIENCE, &mut self.server)
            .await
            .is_err()
        {
            self.server.abort();
        }
    }

    /// Runs until the server ends by itself.
    pub async fn wait(self) {
        let Sandbox {
            stopper, server, ..
        } = self;
        // The result of the server is unused: nothing is left to do.
        let _ = server.await;
        drop(stopper);
    }
}
