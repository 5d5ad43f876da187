//! HTTP client: the only code that uses the network, and the only code that sees a token.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use chrono::{DateTime, Utc};
use hyper_util::client::proxy::matcher::Matcher;
use regex::bytes::{Regex, RegexBuilder};
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Request, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::policy::{Failure, Refusal, Unconnected};
use crate::extract::error::with_causes;
use crate::plan::{Search, is_loopback, travels_unencrypted};
use crate::raw;
use crate::signing::{Signed, Signer};
use crate::spec::source::{AuthPlace, Endpoint, ParamFrom, Source};

/// Base address and credentials of a source for this run.
#[derive(Clone, Debug)]
pub struct SourceAccess {
    pub base_url: String,
    pub token: SecretString,
    /// Signer of the calls; `None` if calls to the source are not signed.
    pub signer: Option<Signer>,
}

/// An HTTP answer as received.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub content_type: Option<String>,
    /// Content-Encoding that is left in place because redlake does not support it.
    pub encoding: Option<String>,
    /// Target of the redirect, if the status is a redirect.
    pub redirect: Option<Result<Target, Refused>>,
    pub body: Vec<u8>,
}

/// Address that a redirect leads to, on the origin of the source.
#[derive(Clone, PartialEq)]
pub struct Target {
    url: Url,
    /// Number of consecutive redirects that led to it, from 1.
    hops: u32,
}

/// Shows host, port and path. The query is left out because it may hold the token.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&shown(&self.url))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// A redirect that is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub why: Refusal,
    /// Host, port and path of the target, if it is a valid address.
    pub to: Option<String>,
}

impl Answer {
    /// Returns the body as text, decoded by the charset that it declares.
    pub fn text(&self) -> Cow<'_, str> {
        raw::body::decode(&self.body, self.content_type.as_deref()).text
    }
}

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

/// HTTP client of one source.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    access: SourceAccess,
    /// Host and port of the source, for messages.
    host: String,
    /// Largest body that is read, in bytes after decompression.
    max_answer: usize,
    mask: Mask,
}

impl Client {
    /// Creates the client of a source.
    ///
    /// # Errors
    /// An address that is no URL, or headers that HTTP cannot carry.
    pub fn new(
        source: &Source,
        access: SourceAccess,
        max_answer: usize,
    ) -> Result<Self, ClientError> {
        // A process has one TLS provider; that somebody else installed one is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let callable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let url = Url::parse(&access.base_url).ok().filter(callable);
        let Some(url) = url else {
            return Err(ClientError::Address(source.base_url_env.clone()));
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &source.headers {
            let wrong = || ClientError::Header(name.clone());
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            headers.insert(HeaderName::try_from(name).map_err(|_| wrong())?, value);
        }
        let token = access.token.expose_secret();
        if HeaderValue::from_str(token).is_err() {
            return Err(ClientError::Token(source.auth.env.clone()));
        }
        let mut mask = Mask::new(token)?;
        if let Some(signer) = &access.signer {
            mask = mask.and(signer.secret().expose_secret())?;
        }
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        if is_loopback(url.as_str()) {
            // A proxy cannot reach the sandbox on this machine, and must not see its token.
            builder = builder.no_proxy();
        }
        if url.scheme() == "http" {
            // Such a source works on a machine without CA certificates, such as a minimal container.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .user_agent(concat!("redlake/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(source.timeout())
            // Each redirect is a separate call, under the limiter and in the ledger.
            .redirect(redirect::Policy::none())
            .referer(false)
            .build()
            .map_err(|e| ClientError::Setup(with_causes(&e.without_url())))?;
        Ok(Client {
            http,
            access,
            host: authority(&url),
            max_answer,
            mask,
        })
    }

    /// Returns host and port of the source.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the mask that hides the token and the secret in texts from answers.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Returns host and port of the proxy from the environment that sees the token, because calls
    /// go through it unencrypted. An https address is reached through a tunnel that the proxy
    /// cannot read.
    pub fn seen_by_proxy(&self) -> Option<String> {
        if !travels_unencrypted(&self.access.base_url) {
            return None;
        }
        let address: http::Uri = self.access.base_url.parse().ok()?;
        let proxy = Matcher::from_env().intercept(&address)?;
        proxy.uri().authority().map(|authority| {
            let host = authority.as_str();
            // The address of a proxy may hold a password.
            host.rsplit_once('@')
                .map_or(host, |(_, host)| host)
                .to_owned()
        })
    }

    /// Requests one page, or the address that the answer to such a call redirected to. Redirects
    /// are returned, not followed. `now` is the timestamp of a signed call.
    ///
    /// # Errors
    /// The reason why no complete answer arrived. It never holds the URL, which contains the token.
    pub async fn fetch(
        &self,
        source: &Source,
        endpoint: &Endpoint,
        search: &Search,
        page: u32,
        target: Option<&Target>,
        now: DateTime<Utc>,
    ) -> Result<Answer, Failure> {
        let token = self.access.token.expose_secret();
        let in_query = |url: &Url| url.query_pairs().any(|(name, _)| name == source.auth.name);
        let (request, has_token) = match target {
            Some(target) => (self.http.get(target.url.clone()), in_query(&target.url)),
            None => {
                let (path, query) = request(endpoint, search, page);
                let address = format!("{}{path}", self.access.base_url);
                (self.http.get(address).query(&query), false)
            }
        };
        let request = match source.auth.place {
            AuthPlace::Query if has_token => request,
            AuthPlace::Query => request.query(&[(source.auth.name.as_str(), token)]),
            AuthPlace::Bearer => request.bearer_auth(token),
        };
        let mut request = request.build().map_err(|_| Failure::Broken)?;
        let mask = self.sign(&mut request, source, endpoint, now);
        let asked = request.url().clone();
        let response = self.http.execute(request).await.map_err(|e| failure(&e))?;
        let status = response.status();
        let headers = response.headers();
        let text = |name| {
            let value: Option<&HeaderValue> = headers.get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()))
        };
        let retry_after = retry_after(headers, SystemTime::now());
        let content_type = text(CONTENT_TYPE).map(|text| mask.text(&text));
        let encoding = text(CONTENT_ENCODING).map(|text| mask.text(&text));
        let hops = target.map_or(1, |target| target.hops + 1);
        let redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
            .then(|| redirect(&asked, text(LOCATION).as_deref(), hops));
        let mut body = read_body(response, self.max_answer).await?;
        mask.body(&mut body);
        Ok(Answer {
            status: status.as_u16(),
            retry_after,
            content_type,
            encoding,
            redirect,
            body,
        })
    }

    /// Signs a request, unless its address already carries a signature. The returned mask hides the
    /// signature, too.
    fn sign(
        &self,
        request: &mut Request,
        source: &Source,
        endpoint: &Endpoint,
        now: DateTime<Utc>,
    ) -> Mask {
        let (Some(signer), Some(signing), Some(method)) = (
            &self.access.signer,
            &source.signing,
            &endpoint.signing_method,
        ) else {
            return self.mask.clone();
        };
        let url = request.url_mut();
        let given = url.query_pairs().find(|(name, _)| *name == signing.sign);
        let given = given.map(|(_, sign)| sign.into_owned());
        let given = given.filter(|sign| !sign.is_empty());
        let sign = given.unwrap_or_else(|| {
            let Signed { timestamp, sign } = signer.sign(signing, method, now);
            url.query_pairs_mut()
                .append_pair(&signing.timestamp, &timestamp)
                .append_pair(&signing.sign, &sign);
            sign
        });
        // A redirect may have any text in its place. A text that is too short is an ordinary word,
        // and one that is too long for a mask is not our signature.
        let is_long = sign.len() >= LONG_SECRET;
        let mask = is_long.then(|| self.mask.clone().and(&sign));
        mask.and_then(Result::ok)
            .unwrap_or_else(|| self.mask.clone())
    }
}

/// Returns the path below the base address and the query, without the token.
pub(super) fn request(
    endpoint: &Endpoint,
    search: &Search,
    page: u32,
) -> (String, BTreeMap<String, String>) {
    let mut path = endpoint.path.clone();
    let mut query = search.params.clone();
    for (name, param) in &endpoint.params {
        if param.from == Some(ParamFrom::Page) {
            query.insert(name.clone(), page.to_string());
        }
        let placeholder = format!("{{{name}}}");
        if path.contains(&placeholder) {
            let value = query.remove(name).unwrap_or_default();
            path = path.replace(&placeholder, &path_segment(&value));
        }
    }
    (path, query)
}

/// Encodes a value as one segment of a path.
fn path_segment(value: &str) -> String {
    let mut url = Url::parse("http://segment").expect("a constant URL");
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().push(value);
    }
    url.path().trim_start_matches('/').to_owned()
}

/// Maximum number of consecutive redirects.
const MAX_HOPS: u32 = 5;

/// Returns the target of a redirect if it stays on the origin that the token is meant for.
pub(super) fn redirect(from: &Url, location: Option<&str>, hops: u32) -> Result<Target, Refused> {
    let refused = |why, to: Option<&Url>| Refused {
        why,
        to: to.map(shown),
    };
    let Some(location) = location else {
        return Err(refused(Refusal::NoLocation, None));
    };
    let mut url = match from.join(location.trim()) {
        Ok(url) if url.has_host() => url,
        _ => return Err(refused(Refusal::NoAddress, None)),
    };
    url.set_fragment(None);
    if url.origin() != from.origin() {
        let why = if url.host() != from.host() {
            Refusal::OtherHost
        } else if (from.scheme(), url.scheme()) == ("https", "http") {
            Refusal::Unencrypted
        } else {
            Refusal::OtherPort
        };
        return Err(refused(why, Some(&url)));
    }
    if hops > MAX_HOPS {
        return Err(refused(Refusal::TooMany { followed: MAX_HOPS }, Some(&url)));
    }
    // A user name in the address would replace the token. Clearing it succeeds on every address
    // with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok(Target { url, hops })
}

/// Formats host, port and path of an address. The query is left out because it may hold the token.
fn shown(url: &Url) -> String {
    format!("{}{}", authority(url), url.path())
}

/// Formats host and port of an address, without the default port of its scheme.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Time limit for a connection. A call whose connection was never made is not billed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Hides secrets that an answer repeats, because answers are stored and errors quote them.
#[derive(Clone)]
pub struct Mask(Vec<Hidden>);

/// A secret: the token, the signing secret, or a signature.
#[derive(Clone)]
struct Hidden {
    /// Matches the secret in every spelling that a URL or a JSON writer produces.
    spellings: Regex,
    /// True if the secret is too long to be an ordinary word. A shorter one, such as the token of
    /// the sandbox, is not hidden in bodies, which are stored as received.
    is_long: bool,
}

/// Minimum length, in bytes, of a secret that cannot be an ordinary word.
const LONG_SECRET: usize = 12;

impl Mask {
    pub(super) fn new(token: &str) -> Result<Self, ClientError> {
        Mask(Vec::new()).and(token)
    }

    /// Adds a secret to hide.
    fn and(mut self, secret: &str) -> Result<Self, ClientError> {
        let pattern: String = secret.chars().map(spellings).collect();
        let spellings = RegexBuilder::new(&pattern).case_insensitive(true).build();
        // The error of the pattern is dropped because it would show the secret.
        let too_long = |_| ClientError::Setup("the token or the secret is too long".into());
        self.0.push(Hidden {
            spellings: spellings.map_err(too_long)?,
            is_long: secret.len() >= LONG_SECRET,
        });
        Ok(self)
    }

    /// Hides the secrets in a body, except those short enough to be ordinary words.
    pub(super) fn body(&self, body: &mut Vec<u8>) {
        for hidden in self.0.iter().filter(|hidden| hidden.is_long) {
            if let Cow::Owned(masked) = hidden.spellings.replace_all(body, &b"***"[..]) {
                *body = masked;
            }
        }
    }

    /// Hides the secrets in a text that was read from an answer.
    pub fn text(&self, text: &str) -> String {
        let mut masked = text.as_bytes().to_vec();
        for hidden in &self.0 {
            if let Cow::Owned(hidden) = hidden.spellings.replace_all(&masked, &b"***"[..]) {
                masked = hidden;
            }
        }
        String::from_utf8_lossy(&masked).into_owned()
    }
}

/// Shows no secret.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Mask(..)")
    }
}

/// Returns a pattern for all ways to write a character: literal, percent-encoded any number of
/// times, escaped in JSON or in JSON inside a string, or as an HTML entity.
fn spellings(c: char) -> String {
    let plain = regex::escape(&c.to_string());
    let mut bytes = [0; 4];
    let percent: String = c
        .encode_utf8(&mut bytes)
        .bytes()
        .map(|byte| format!("%(?:25)*{byte:02X}"))
        .collect();
    let escape: String = c
        .encode_utf16(&mut [0; 2])
        .iter()
        .map(|unit| format!(r"\\+u{unit:04X}"))
        .collect();
    let code = u32::from(c);
    let entity = format!("&#(?:0*{code}|x0*{code:X});");
    let more = match c {
        '/' => r"|\\+/",
        ' ' => r"|\+",
        _ => "",
    };
    format!("(?:{plain}|{percent}|{escape}|{entity}{more})")
}

/// Reads a body in chunks, up to `limit` bytes.
async fn read_body(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Failure> {
    if response.content_length().is_some_and(|n| n > limit as u64) {
        return Err(Failure::TooLarge { limit });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failure(&e))? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Maps an error of the HTTP client to a failure.
fn failure(error: &reqwest::Error) -> Failure {
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
pub(super) fn unconnected(error: &(dyn Error + 'static)) -> Unconnected {
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

/// Parses `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3). A date is compared with the
/// `Date` of the server if it is sent, because the clocks may differ. A date in the past is a wait
/// of zero.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let date = |name| {
        let text = headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok());
        text.and_then(|text| httpdate::parse_http_date(text.trim()).ok())
    };
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = date(RETRY_AFTER)?;
    let now = date(DATE).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default())
}
