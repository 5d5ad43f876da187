//! A simulator of the providers' APIs, so that redlake can be tried and tested without paying.
//!
//! ```text
//! server ─► api ─► params   what is asked, in the words of the source contracts
//!                  search   which notes or users that finds
//!                  world    what exists: a pure function of a seed and an instant
//!                  json     what an answer looks like
//!                  envelope codes and the frame of every answer
//! ```
//!
//! Two sandboxes with the same seed and the same time give the same data; only request ids and
//! call counts depend on what was asked before. Some questions have fixed answers:
//! - the keywords `海信洗衣机` and `Amir Ali` and the note `649c46ab000000002702ad36` give the
//!   answers printed in the providers' documents;
//! - the keyword `code:303` and the note id `code-429` give that business code.
//!
//! `GET /_sandbox` shows the clock and the calls so far; `POST /_sandbox/clock` with
//! `{"advance_seconds": 3600}` lets time pass. The control routes need no token.

mod api;
mod clock;
mod documented;
mod envelope;
mod json;
mod params;
mod search;
mod server;
mod world;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::spec::contracts::Contracts;

pub use clock::Clock;

use api::Api;
use server::Shared;

/// How long calls under way may take when the sandbox is stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

pub struct Options {
    /// 0 takes any free port.
    pub port: u16,
    pub seed: u64,
    pub clock: Clock,
    /// The one token that all simulated APIs accept.
    pub token: SecretString,
}

/// A running server on the loopback interface. It ends when it is stopped or dropped.
pub struct Sandbox {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Sandbox {
    /// # Errors
    /// If the port is taken, or the contracts lack a code that the sandbox must answer with.
    pub async fn start(options: Options, contracts: Arc<Contracts>) -> io::Result<Sandbox> {
        let shared = Shared {
            api: Api::new(&contracts, options.seed, options.token)?,
            clock: options.clock,
            counts: Default::default(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        // Answers are written at once; a delay would be felt by tests that measure time.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let router = server::router(Arc::new(shared));
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            // A dropped sender says stop as well.
            let _ = stopped.await;
        });
        Ok(Sandbox {
            address,
            stop,
            server: tokio::spawn(server.into_future()),
        })
    }

    /// The address that stands for every source's base address.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the calls under way end, but not for long.
    pub async fn stop(mut self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(STOP_PATIENCE, &mut self.server)
            .await
            .is_err()
        {
            self.server.abort();
        }
    }

    /// Runs until the server ends by itself.
    pub async fn wait(self) {
        let Sandbox { stop, server, .. } = self;
        // How it ended is of no use to anybody: there is nothing left to do.
        let _ = server.await;
        drop(stop);
    }
}
