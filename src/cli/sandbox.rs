//! `redlake sandbox`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset, Utc};
use clap::Args;

use super::Common;
use super::error::{CliError, USAGE};
use super::output::print_text;
use crate::run::access::SANDBOX_TOKEN;
use crate::sandbox::{Clock, Options, Sandbox};
use crate::spec::contracts::Contracts;

#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// Port on 127.0.0.1; 0 for any free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Equal seeds give equal worlds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated time to begin at, as RFC 3339; it goes on from there [default: now; the sandbox
    /// inside a run has a clock of its own]
    #[arg(long, value_name = "RFC3339", value_parser = DateTime::parse_from_rfc3339)]
    clock: Option<DateTime<FixedOffset>>,
    /// The token that callers must give
    #[arg(long, default_value = SANDBOX_TOKEN)]
    token: String,
}

pub fn main(args: &SandboxArgs, common: &Common) -> Result<ExitCode, CliError> {
    let contracts = common.contracts()?;
    let start = args.clock.map_or_else(Utc::now, |clock| clock.to_utc());
    let options = Options {
        port: args.port,
        seed: args.seed,
        clock: Clock::running_from(start),
        token: args.token.clone().into(),
    };
    let sources = Arc::clone(&contracts);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sandbox = Sandbox::start(options, contracts).await.map_err(|e| {
            let message = format!("the sandbox cannot be started on port {}: {e}", args.port);
            CliError::new(
                USAGE,
                anyhow::anyhow!(message),
                Some("choose another --port".into()),
            )
        })?;
        let url = sandbox.base_url();
        print_text(&banner(&url, &args.token, &sources))?;
        tokio::select! {
            () = sandbox.wait() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The address, and what to set to use it. The address stands alone on the first line.
fn banner(url: &str, token: &str, contracts: &Contracts) -> String {
    let mut banner = format!("{url}\n\n");
    for source in contracts.sources.values() {
        let (address, secret) = (&source.base_url_env, &source.auth.env);
        let _ = writeln!(banner, "  export {address}={url} {secret}={token}");
    }
    banner.push_str("\nCtrl-C ends it.\n");
    banner
}
