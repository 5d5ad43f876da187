//! Reasons why no answer arrived.

use std::error::Error;
use std::io;

use crate::extract::policy::{Failure, Unconnected};

/// Maps an error of the HTTP client to a failure.
pub(super) fn failure(error: &reqwest::Error) -> Failure {
    if error.is_connect() {
        Failure::Connect(unconnected(error))
    } else if error.is_timeout() {
        Failure::Timeout
    } else if is_undecodable(error) {
        // Only gzip is requested, so only gzip is decoded.
        Failure::Undecodable { encoding: "gzip" }
    } else {
        Failure::Broken
    }
}

/// Returns the reason why a connection could not be made.
pub(in crate::extract) fn unconnected(error: &(dyn Error + 'static)) -> Unconnected {
    let mut last = String::new();
    for cause in causes(error) {
        last = cause.to_string();
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Unconnected::Tls(tls(error));
        }
        // Errors of the resolver have no type of their own.
        if last.starts_with("dns error") || last.starts_with("failed to lookup address") {
            return Unconnected::HostNotFound;
        }
        let Some(error) = cause.downcast_ref::<io::Error>() else {
            continue;
        };
        match error.kind() {
            io::ErrorKind::ConnectionRefused => return Unconnected::Refused,
            io::ErrorKind::TimedOut => return Unconnected::TimedOut,
            io::ErrorKind::UnexpectedEof => {
                let why = "the server closed the connection during the handshake";
                return Unconnected::Tls(why.to_owned());
            }
            _ => {}
        }
    }
    let is_timeout = |error: &reqwest::Error| error.is_timeout();
    if error.downcast_ref().is_some_and(is_timeout) {
        return Unconnected::TimedOut;
    }
    Unconnected::Other(last)
}

/// Returns the reason why the TLS handshake failed.
fn tls(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error as Tls};
    match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the certificate is not signed by a trusted authority".to_owned()
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the certificate is for another host".to_owned(),
        Tls::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the certificate has expired".to_owned(),
        Tls::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS".to_owned()
        }
        // The message of rustls is readable.
        error => error.to_string(),
    }
}

/// True if a body does not match its Content-Encoding, as opposed to a truncated one.
fn is_undecodable(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    // Errors of the connection have no public type.
    let is_network = |text: &str| text.starts_with("error reading a body from connection");
    let is_coding =
        |error: &io::Error| matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof);
    let mut coding = false;
    for cause in causes(error) {
        if is_network(&cause.to_string()) {
            return false;
        }
        coding |= cause.downcast_ref().is_some_and(is_coding);
    }
    coding
}

/// Returns an error and its causes, outermost first. [`Error::source`] of an [`io::Error`] skips
/// the error that it holds, so that error is visited explicitly.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match held {
            Some(held) => Some(held as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}
