//! A simulator of the providers' APIs, so that redlake can be tried and tested without paying.
//!
//! ```text
//! line ─► server ─► respond ─► faults   what goes wrong with the call
//!                     │        calls    what is remembered of it
//!                     │
//!                     ├──► api ─► routes   which endpoint is called
//!                     │           params   what is asked, in the words of the source contracts
//!                     │           search   which notes or users that finds
//!                     │           world    what exists: a pure function of a seed and an instant
//!                     │           json     what an answer looks like
//!                     │           envelope codes and the frame of every answer
//!                     │
//! sending ◄─ reply ◄──┘   the answer as it goes out, whole or disturbed
//! ```
//!
//! Two sandboxes with the same seed and the same time give the same data; only request ids,
//! faults and what is remembered of calls depend on what was asked before. Some questions have
//! fixed answers:
//! - the keywords `海信洗衣机` and `Amir Ali` and the note `649c46ab000000002702ad36` give the
//!   answers printed in the providers' documents;
//! - the keyword `code:303` and the note id `code-429` give that business code.
//!
//! A call that names `fields`, where its contract has such a parameter, is answered with these alone.
//! Calls of a source with an application's secret ([`Options::signers`]) must be signed with it, at a
//! time that is five minutes from the machine's at most.
//!
//! The control routes need no token and meet no fault:
//!
//! | route | does |
//! |---|---|
//! | `GET /_sandbox` | shows the clock, the calls of each endpoint, how many are and were under way at once |
//! | `POST /_sandbox/clock` | lets time pass: `{"advance_seconds": 3600}` |
//! | `GET /_sandbox/faults` | shows the fault plan |
//! | `POST /_sandbox/faults` | replaces it; `{}` is no fault at all |
//! | `GET /_sandbox/calls` | lists the API calls, one JSON object a line; no token is in it |
//! | `DELETE /_sandbox/calls` | empties that list |
//!
//! A call is billed when its answer is handed to the network: after the latency, and not if the
//! client has gone away meanwhile. How faults are planned: [`faults`].

mod api;
mod call;
mod calls;
mod clock;
mod documented;
mod envelope;
pub mod faults;
mod json;
mod line;
mod params;
mod reply;
mod respond;
mod routes;
mod search;
mod sending;
mod server;
mod shared;
mod stop;
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

use crate::signing::Signer;
use crate::spec::contracts::Contracts;

pub use clock::SandboxClock;

use crate::sandbox::shared::Shared;
use api::Api;
use calls::Calls;
use faults::Strikes;
use line::{Cutter, WireLines};
use stop::{Stopper, stop};
use world::World;

/// How long calls under way may take when the sandbox is stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How many notes a day a keyword can be given.
pub const NOTES_A_DAY: std::ops::RangeInclusive<u64> = 1..=2_000;

pub struct Options {
    /// 0 takes any free port.
    pub port: u16,
    pub seed: u64,
    pub clock: SandboxClock,
    /// The one token that all simulated APIs accept.
    pub token: SecretString,
    /// Who has to sign calls, by source. Calls to other sources are not signed.
    pub signers: BTreeMap<String, Signer>,
    pub faults: faults::FaultPlan,
    /// How many notes every keyword gets a day, one of [`NOTES_A_DAY`]; without it each has a rate
    /// of its own, 2 to 12.
    pub notes_a_day: Option<u64>,
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
    /// # Errors
    /// If the port is taken, the contracts lack a code that the sandbox must answer with, or the
    /// options have a value that cannot be.
    pub async fn start(options: Options, contracts: Arc<Contracts>) -> io::Result<Sandbox> {
        let impossible = |problem| io::Error::new(io::ErrorKind::InvalidInput, problem);
        options.faults.check().map_err(impossible)?;
        if options
            .notes_a_day
            .is_some_and(|n| !NOTES_A_DAY.contains(&n))
        {
            return Err(impossible(format!("notes a day are {NOTES_A_DAY:?}")));
        }
        let world = World {
            seed: options.seed,
            notes_a_day: options.notes_a_day,
        };
        let api = Api::new(&contracts, world, options.token, options.signers)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let (stopper, stop) = stop();
        let stopped = stop.stopped();
        let router = server::router(Arc::new(Shared {
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

    /// The address that stands for every source's base address.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the calls under way end, but not for long.
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
        // How it ended is of no use to anybody: there is nothing left to do.
        let _ = server.await;
        drop(stopper);
    }
}
