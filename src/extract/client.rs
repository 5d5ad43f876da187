//! HTTP: the one place that talks to the network, and the one that sees a token.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use hyper_util::client::proxy::matcher::Matcher;
use regex::bytes::{Regex, RegexBuilder};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::policy::Failure;
use crate::plan::{Search, is_loopback, travels_unencrypted};
use crate::raw;
use crate::spec::source::{AuthPlace, Endpoint, ParamFrom, Source};

/// Where a source is reached for this run, and as whom.
#[derive(Clone, Debug)]
pub struct Access {
    pub base_url: String,
    pub token: SecretString,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
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
    /// Never with the address: it may hold a password.
    #[error("the address of the source, which {0} may override, cannot be called")]
    Address(String),
    #[error("the source contract has the unusable header `{0}`")]
    Header(String),
    #[error("the token in {0} has characters that no call can carry, such as a line break")]
    Token(String),
}

/// One source's HTTP client.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    access: Access,
    /// The largest body that is read, in bytes after decompression.
    max_answer: usize,
    mask: Mask,
}

impl Client {
    /// # Errors
    /// An address that is no URL, or headers that HTTP cannot carry.
    pub fn new(source: &Source, access: Access, max_answer: usize) -> Result<Self, ClientError> {
        // A process has one TLS provider; that somebody else installed one is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let callable =
            |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let url = reqwest::Url::parse(&access.base_url).ok().filter(callable);
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
        let mask = Mask::new(token)?;
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        if is_loopback(url.as_str()) {
            // The sandbox is here: a proxy could not reach it, and should not see its token.
            builder = builder.no_proxy();
        }
        let http = builder
            .user_agent(concat!("redlake/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(source.timeout())
            .redirect(same_host())
            .referer(false)
            .build()
            .map_err(|e| ClientError::Setup(e.without_url().to_string()))?;
        Ok(Client {
            http,
            access,
            max_answer,
            mask,
        })
    }

    /// What hides the token in texts that were read from answers.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Returns the proxy of the environment that calls go through in plain text, so that it sees the
    /// token: as host and port. An https address is reached through a tunnel that a proxy cannot look
    /// into.
    pub fn seen_by_proxy(&self) -> Option<String> {
        if !travels_unencrypted(&self.access.base_url) {
            return None;
        }
        let address: http::Uri = self.access.base_url.parse().ok()?;
        let proxy = Matcher::from_env().intercept(&address)?;
        proxy.uri().authority().map(|authority| {
            let host = authority.as_str();
            // A proxy may have a password, too.
            host.rsplit_once('@')
                .map_or(host, |(_, host)| host)
                .to_owned()
        })
    }

    /// Asks for one page.
    ///
    /// # Errors
    /// Why no whole answer came; never with the URL, which holds the token.
    pub async fn fetch(
        &self,
        source: &Source,
        endpoint: &Endpoint,
        search: &Search,
        page: u32,
    ) -> Result<Answer, Failure> {
        let (path, query) = request(endpoint, search, page);
        let token = self.access.token.expose_secret();
        let request = self
            .http
            .get(format!("{}{path}", self.access.base_url))
            .query(&query);
        let request = match source.auth.place {
            AuthPlace::Query => request.query(&[(source.auth.name.as_str(), token)]),
            AuthPlace::Bearer => request.bearer_auth(token),
        };
        let response = request.send().await.map_err(|e| failure(&e))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let content_type = content_type.map(|text| self.mask.text(&text));
        let mut body = read_body(response, self.max_answer).await?;
        self.mask.body(&mut body);
        Ok(Answer {
            status,
            retry_after,
            content_type,
            body,
        })
    }
}

/// The path below the base address and the query, without the token.
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

/// A value as one segment of a path, whatever characters it has.
fn path_segment(value: &str) -> String {
    let mut url = reqwest::Url::parse("http://segment").expect("a constant URL");
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().push(value);
    }
    url.path().trim_start_matches('/').to_owned()
}

/// Follows a redirect only on the host that the token was meant for.
fn same_host() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let from = attempt.previous().first().map(reqwest::Url::origin);
        if from != Some(attempt.url().origin()) {
            attempt.error("another host")
        } else if attempt.previous().len() > 5 {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    })
}

/// No address needs longer to be reached. A call whose connection was never made is not billed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Hides the token where an answer repeats it: answers are kept, and errors quote them.
#[derive(Clone)]
pub struct Mask {
    /// The token in every spelling that a URL or a JSON writer gives it.
    spellings: Regex,
    /// A shorter token may be an ordinary word, as the sandbox's is: a body that repeats it is kept
    /// as it came.
    is_long: bool,
}

/// From this length on a token cannot be an ordinary word.
const LONG_SECRET: usize = 12;

impl Mask {
    pub(super) fn new(token: &str) -> Result<Self, ClientError> {
        let pattern: String = token.chars().map(spellings).collect();
        let spellings = RegexBuilder::new(&pattern).case_insensitive(true).build();
        Ok(Mask {
            // What is wrong with the pattern would show the token.
            spellings: spellings.map_err(|_| ClientError::Setup("the token is too long".into()))?,
            is_long: token.len() >= LONG_SECRET,
        })
    }

    /// Hides the token in an answer's body, if it cannot be an ordinary word of it.
    pub(super) fn body(&self, body: &mut Vec<u8>) {
        if self.is_long
            && let Cow::Owned(masked) = self.spellings.replace_all(body, &b"***"[..])
        {
            *body = masked;
        }
    }

    /// Hides the token in a text that was read from an answer.
    pub fn text(&self, text: &str) -> String {
        let masked = self.spellings.replace_all(text.as_bytes(), &b"***"[..]);
        String::from_utf8_lossy(&masked).into_owned()
    }
}

/// Never the token.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Mask(..)")
    }
}

/// The ways to write a character: as it is, percent-encoded any number of times, escaped in JSON or
/// in JSON inside a string, as an HTML entity.
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

/// Reads a body piece by piece, and no more of it than `limit` bytes.
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

fn failure(error: &reqwest::Error) -> Failure {
    if error.is_redirect() {
        Failure::Redirect
    } else if error.is_connect() {
        Failure::Connect
    } else if error.is_timeout() {
        Failure::Timeout
    } else {
        Failure::Broken
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3). A date is measured from the server's
/// own `Date`, where it sends one: its clock and ours may differ. A date that is past is no wait.
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
