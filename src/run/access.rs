//! Addresses, tokens and signing keys that a run takes from the environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeZone, Utc};
use secrecy::SecretString;
use thiserror::Error;

use crate::extract::client::SourceAccess;
use crate::plan::parts::{Address, SimulatedWorld};
use crate::plan::{Plan, travels_unencrypted, unencrypted, unusable};
use crate::sandbox::{self, Sandbox};
use crate::signing::{HalfSigner, Signer};

#[derive(Debug, Error)]
pub enum AccessError {
    #[error("the token of {source_name} is missing: the environment variable {env} is not set")]
    NoToken { source_name: String, env: String },
    /// Never contains the address, which may hold a password.
    #[error("the address in {env} {reason}")]
    Address { env: String, reason: &'static str },
    #[error("calls to {source_name} cannot be signed: {half}")]
    Signing {
        source_name: String,
        half: HalfSigner,
    },
    #[error(
        "cannot mix sandbox and real sources in one run: {simulated} is the sandbox, {real} is not"
    )]
    Mixed { simulated: String, real: String },
    #[error("cannot start the sandbox")]
    Sandbox(#[from] std::io::Error),
}

/// Address and credentials of each source of a plan, by name.
#[derive(Debug)]
pub struct Accesses(BTreeMap<String, Resolved>);

#[derive(Debug)]
enum Resolved {
    Network(SourceAccess),
    Sandbox(SimulatedWorld),
}

impl Resolved {
    fn is_sandbox(&self) -> bool {
        matches!(self, Resolved::Sandbox(_))
    }
}

impl Accesses {
    /// Resolves addresses and tokens from the environment. A pipeline with `base_url: sandbox`
    /// ignores address overrides, so that a rehearsal never costs money.
    ///
    /// # Errors
    /// A token is not set, an address is unusable, only one of the two signing variables is set, or
    /// sandbox and real sources are mixed.
    pub fn resolve(plan: &Plan, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, AccessError> {
        let set = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let mut resolved = BTreeMap::new();
        let world = plan.simulated_world();
        for (name, planned) in &plan.sources {
            let source = plan.source(name);
            let overridden = set(&source.base_url_env);
            let access = match (&planned.address, overridden.as_deref()) {
                (Address::Sandbox(world), _) => Resolved::Sandbox(*world),
                (Address::Url(_), Some("sandbox")) => Resolved::Sandbox(world.unwrap_or_default()),
                (Address::Url(url), overridden) => {
                    let token = set(&source.auth.env).ok_or_else(|| AccessError::NoToken {
                        source_name: name.clone(),
                        env: source.auth.env.clone(),
                    })?;
                    if let Some(reason) = overridden.and_then(unusable) {
                        return Err(AccessError::Address {
                            env: source.base_url_env.clone(),
                            reason,
                        });
                    }
                    let base_url = overridden.unwrap_or(url).trim_end_matches('/').to_owned();
                    // The plan has already warned about its own addresses.
                    if base_url != *url && travels_unencrypted(&base_url) {
                        tracing::warn!("{}", unencrypted(&base_url, name));
                    }
                    let signing = source.signing.as_ref();
                    let signer = signing.map(|signing| Signer::from_env(signing, env));
                    let signer = signer.transpose().map_err(|half| AccessError::Signing {
                        source_name: name.clone(),
                        half,
                    })?;
                    Resolved::Network(SourceAccess {
                        base_url,
                        token: token.trim().into(),
                        signer: signer.flatten(),
                    })
                }
            };
            resolved.insert(name.clone(), access);
        }
        let accesses = Accesses(resolved);
        accesses.one_world()?;
        Ok(accesses)
    }

    /// Returns true if the run uses the sandbox.
    pub fn simulated(&self) -> bool {
        self.0.values().any(Resolved::is_sandbox)
    }

    fn one_world(&self) -> Result<(), AccessError> {
        let first = |sandbox| {
            self.0
                .iter()
                .find(|(_, access)| access.is_sandbox() == sandbox)
        };
        match (first(true), first(false)) {
            (Some((simulated, _)), Some((real, _))) => Err(AccessError::Mixed {
                simulated: simulated.clone(),
                real: real.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Returns the simulated time of the first run. `None` if no source is simulated.
    pub fn simulated_clock(&self) -> Option<DateTime<Utc>> {
        let clocks = self.0.values().filter_map(|access| match access {
            Resolved::Sandbox(world) => Some(world.clock.unwrap_or_else(default_clock)),
            Resolved::Network(_) => None,
        });
        clocks.min()
    }

    /// Starts the sandboxes. Their clocks are frozen at `now`, so that a run's figures do not
    /// depend on its speed.
    ///
    /// # Errors
    /// A sandbox cannot be started, for example because no loopback port is free.
    pub async fn start(
        self,
        plan: &Plan,
        now: DateTime<Utc>,
    ) -> Result<(BTreeMap<String, SourceAccess>, Vec<Sandbox>), AccessError> {
        let mut accesses = BTreeMap::new();
        let mut sandboxes = Vec::new();
        let keywords = plan.searches.iter().filter_map(|s| s.keyword.clone());
        let keywords: Vec<String> = keywords.collect();
        for (name, resolved) in self.0 {
            let access = match resolved {
                Resolved::Network(access) => access,
                Resolved::Sandbox(world) => {
                    let token = SecretString::from(SANDBOX_TOKEN);
                    let clock = sandbox::SandboxClock::frozen(now);
                    let options = sandbox::Options {
                        seed: world.seed,
                        late_percent: world.late_percent,
                        removed_percent: world.removed_percent,
                        retitled_percent: world.retitled_percent,
                        keywords: keywords.clone(),
                        ..sandbox::Options::new(clock, token.clone())
                    };
                    let sandbox = Sandbox::start(options, Arc::clone(&plan.contracts)).await?;
                    let base_url = sandbox.base_url();
                    sandboxes.push(sandbox);
                    SourceAccess {
                        base_url,
                        token,
                        signer: None,
                    }
                }
            };
            accesses.insert(name, access);
        }
        Ok((accesses, sandboxes))
    }
}

/// Returns true if a run of this plan would use the sandbox, because of the pipeline or of the
/// environment.
pub fn is_rehearsal(plan: &Plan, env: &dyn Fn(&str) -> Option<String>) -> bool {
    let overridden = |name| env(&plan.source(name).base_url_env);
    let mut names = plan.sources.keys();
    plan.is_simulated() || names.any(|name| overridden(name).as_deref() == Some("sandbox"))
}

/// Default token of the built-in sandbox.
pub const SANDBOX_TOKEN: &str = "sandbox";

/// Returns the default start of simulated time: one day after the documented note.
pub fn default_clock() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 9, 4, 0, 0)
        .single()
        .unwrap_or_default()
}
