//! Errors of setting up a client.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum ClientError {
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
    /// The address is left out because it may hold a password.
    #[error("the source's address (or {0}, if set) is invalid")]
    Address(String),
    #[error("the source contract has the unusable header `{0}`")]
    Header(String),
    #[error("the token in {0} has characters that no HTTP header can hold, such as a line break")]
    Token(String),
}
