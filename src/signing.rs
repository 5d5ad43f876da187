//! Signs of calls: what a provider checks a call's sender with, beside the token.

use std::fmt;

use chrono::{DateTime, Utc};
use md5::{Digest as _, Md5};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::spec::source::Signing;

/// An application's id and secret.
#[derive(Clone)]
pub struct Signer {
    app_id: String,
    secret: SecretString,
}

/// Neither the secret nor whose it is.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

/// What a signed call carries.
pub struct Signed {
    /// Unix seconds.
    pub timestamp: String,
    /// In hexadecimal digits. Whoever knows it can make the same call.
    pub sign: String,
}

/// One of the two variables is set.
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

    /// Returns who signs the calls of a source; nobody where neither variable is set.
    ///
    /// # Errors
    /// One of the two is set.
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

    /// Signs a call that is made at this time.
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

/// Puts values in the place of their names in braces. Braces in a value are left as they are.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut parts = text.split('{');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        let value = values.iter().find(|(known, _)| *known == name);
        // The contract has no other names: they were refused when it was read.
        let (_, value) = value.expect("a known name");
        filled.push_str(value);
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::contracts::Contracts;

    fn signing() -> Signing {
        let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
        let signing = contracts.sources["xhs_open"].signing.clone();
        signing.expect("the open platform's calls can be signed")
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 999_000_000).expect("a time")
    }

    #[test]
    fn a_sign_is_that_of_the_platform_s_rule() {
        let signer = Signer::new("app1", "s3cret".into());
        let signed = signer.sign(&signing(), "note.detail", at(1_700_000_000));
        assert_eq!(signed.timestamp, "1700000000");
        // The MD5 of `note.detail?appId=app1&timestamp=1700000000&version=2.0s3cret`.
        assert_eq!(signed.sign, "4380f641e0e7e5d9aa638e354fe90f00");
        let later = signer.sign(&signing(), "note.detail", at(1_700_000_001));
        assert_ne!(later.sign, signed.sign);
    }

    #[test]
    fn a_value_with_braces_is_no_name() {
        let signed = |app_id: &str| {
            let signer = Signer::new(app_id, "s3cret".into());
            signer.sign(&signing(), "m", at(0)).sign
        };
        assert_ne!(signed("{secret}"), signed("s3cret"));
    }

    #[test]
    fn calls_are_signed_with_both_variables_or_with_neither() {
        let told = |variables: &[(&str, &str)]| {
            let env = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            match Signer::from_env(&signing(), &env) {
                Ok(signer) => format!("{signer:?}"),
                Err(half) => half.to_string(),
            }
        };
        let (id, secret) = ("XHS_OPEN_APP_ID", "XHS_OPEN_APP_SECRET");
        assert_eq!(told(&[]), "None");
        assert_eq!(told(&[(id, " "), (secret, "\n")]), "None");
        assert_eq!(
            told(&[(id, "app1"), (secret, "s3cret\n")]),
            "Some(Signer(..))"
        );
        assert_eq!(
            told(&[(id, "app1")]),
            format!("{id} is set and {secret} is not")
        );
        assert_eq!(
            told(&[(id, ""), (secret, "s3cret")]),
            format!("{secret} is set and {id} is not")
        );
    }
}
