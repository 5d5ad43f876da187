//! Posts a message to a webhook.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::failure::unconnected;
use super::{builder, callable};
use crate::extract::error::with_causes;

/// Answer of a webhook.
#[derive(Debug)]
pub struct Posted {
    pub status: u16,
    /// The first [`MOST_READ`] bytes of the body. Empty if it was not read, or not to its end in time.
    pub body: Vec<u8>,
}

/// Largest part of an answer that is read, in bytes.
const MOST_READ: usize = 64 * 1024;

/// Posts a body, and returns the answer. The body of an answer with status 2xx is read if `reads_body`. A redirect is an answer, too: it is not followed, since the
/// address is a secret.
///
/// # Errors
/// The reason why there is no answer within `timeout`. It never contains the address.
pub async fn post(
    url: &SecretString,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
    reads_body: bool,
    timeout: Duration,
) -> Result<Posted, String> {
    let Some(url) = callable(url.expose_secret()) else {
        return Err("the address cannot be called".to_owned());
    };
    let client = builder(&url).timeout(timeout).build();
    let client = client.map_err(|error| with_causes(&error.without_url()))?;
    let mut request = client.post(url).body(body);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let no_answer = |error: reqwest::Error| {
        if error.is_connect() {
            unconnected(&error).to_string()
        } else if error.is_timeout() {
            format!("no answer within {:.1} s", timeout.as_secs_f64())
        } else {
            with_causes(&error.without_url())
        }
    };
    let mut answer = request.send().await.map_err(no_answer)?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    let is_success = answer.status().is_success();
    if is_success && !reads_body {
        return Ok(Posted { status, body });
    }
    loop {
        let chunk = match answer.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            // The status says enough about an error.
            Err(_) if !is_success => break,
            Err(error) => return Err(no_answer(error)),
        };
        let room = MOST_READ - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MOST_READ {
            break;
        }
    }
    Ok(Posted { status, body })
}
