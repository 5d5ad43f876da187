//! Checks that a host can be reached, without a call of its API.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::DATE;

use super::failure::unconnected;
use super::{builder, callable};
use crate::extract::error::with_causes;

/// An answer of a host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// The host's clock minus this machine's, in whole seconds. `None` if the answer has no date.
    pub clock_ahead: Option<TimeDelta>,
}

/// Time to wait for the host.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `HEAD /` to the host of a base address. Any answer counts, whatever its status. The request
/// has no token and no path of the API, so it cannot be billed.
///
/// # Errors
/// The reason why the host cannot be reached.
pub async fn reach(base_url: &str, now: DateTime<Utc>) -> Result<Reached, String> {
    let Some(mut url) = callable(base_url) else {
        return Err("the address cannot be called".to_owned());
    };
    url.set_path("/");
    let client = builder(&url).timeout(PATIENCE).build();
    let client = client.map_err(|error| with_causes(&error.without_url()))?;
    let answer = client.head(url).send().await.map_err(|error| {
        if error.is_connect() {
            unconnected(&error).to_string()
        } else {
            with_causes(&error.without_url())
        }
    })?;
    let date = answer
        .headers()
        .get(DATE)
        .and_then(|date| date.to_str().ok());
    let date: Option<SystemTime> = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let ahead = date.map(|date| DateTime::<Utc>::from(date) - now);
    Ok(Reached {
        clock_ahead: ahead.map(|ahead| TimeDelta::seconds(ahead.num_seconds())),
    })
}
