//! Signatures of calls, which a provider checks in addition to the token.

use std::fmt;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use thiserror::Error;

use crate::spec::source::Signing;

/// Returns the HMAC-SHA256 (RFC 2104) of a text.
pub fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(text);
    hmac.finalize().into_bytes().into()
}

/// An application's id and secret.
#[derive(Clone)]
pub struct Signer {
    app_id: String,
    secret: SecretString,
}

/// Shows neither the secret nor the application id.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

/// Parameters that a signed call carries.
pub struct Signed {
    /// Unix seconds.
    pub timestamp: String,
    /// Signature in hexadecimal digits. Anyone who has it can repeat the call.
    pub sign: String,
}

/// Error: only one of the two variables is set.
#[derive(Debug, Error)]
#[error("{set} is set and {missing} is not")]
pub struct HalfSigner {
    pub set: String,
    pub missing: String,
}

impl Signer {
    pub fn new(app_id: &str, secret: SecretString) -> Self {
        Signer {
            app_id: app_id.to_owned(),
            secret,
        }
    }

    /// Reads the signer of a source from the environment. Returns `None` if neither variable is
    /// set.
    ///
    /// # Errors
    /// Only one of the two variables is set.
    pub fn from_env(
        signing: &Signing,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, HalfSigner> {
        let set = |name: &str| {
            let value = env(name).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty())
        };
        let half = |set: &str, missing: &str| HalfSigner {
            set: set.to_owned(),
            missing: missing.to_owned(),
        };
        let (id, secret) = (&signing.app_id_env, &signing.secret_env);
        match (set(id), set(secret)) {
            (None, None) => Ok(None),
            (Some(app_id), Some(secret)) => Ok(Some(Signer::new(&app_id, secret.into()))),
            (Some(_), None) => Err(half(id, secret)),
            (None, Some(_)) => Err(half(secret, id)),
        }
    }

    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Signs a call at this time.
    pub fn sign(&self, signing: &Signing, method: &str, at: DateTime<Utc>) -> Signed {
        let timestamp = at.timestamp().to_string();
        let text = SecretString::from(filled(
            &signing.text,
            &[
                ("method", method),
                ("app_id", &self.app_id),
                ("timestamp", &timestamp),
                ("version", &signing.version),
                ("secret", self.secret.expose_secret()),
            ],
        ));
        let digest = Md5::digest(text.expose_secret().as_bytes());
        let sign = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Signed { timestamp, sign }
    }
}

/// Replaces names in braces by their values. Braces in a value are left as they are.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut parts = text.split('{');
    let mut filled = parts.next().expect("a split has a first part").to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        let value = values.iter().find(|(known, _)| *known == name);
        // The contract has only known names: others were refused when it was read.
        let (_, value) = value.expect("a known name");
        filled.push_str(value);
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests;
