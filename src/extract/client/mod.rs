//! HTTP client: the only code that uses the network, and the only code that sees a token.

pub mod error;
pub(super) mod failure;
mod mask;
pub mod post;
pub mod reach;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Request, Url, redirect};
use secrecy::{ExposeSecret, SecretString};

use error::ClientError;
use failure::failure;
use mask::LONG_SECRET;

use crate::extract::error::with_causes;
use crate::extract::policy::{Failure, Refusal};
use crate::plan::{Search, is_loopback, travels_unencrypted};
use crate::raw;
use crate::signing::{Signed, Signer};
use crate::spec::source::{AuthPlace, Endpoint, ParamFrom, Source};

pub use mask::Mask;

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

/// Returns an address that calls can be made to. `None` if it is not one.
pub(super) fn callable(address: &str) -> Option<Url> {
    let callable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    Url::parse(address).ok().filter(callable)
}

/// Returns a client builder for an address, with the settings of all clients.
pub(super) fn builder(url: &Url) -> reqwest::ClientBuilder {
    // A process has one TLS provider; that somebody else installed one is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
    if is_loopback(url.as_str()) {
        // A proxy cannot reach the sandbox on this machine, and must not see its token.
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // Such a source works on a machine without CA certificates, such as a minimal container.
        builder = builder.tls_certs_only([]);
    }
    builder
        .user_agent(concat!("redlake/", env!("CARGO_PKG_VERSION")))
        // Each redirect is a separate call, under the limiter and in the ledger.
        .redirect(redirect::Policy::none())
        .referer(false)
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
        let Some(url) = callable(&access.base_url) else {
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
        let http = builder(&url)
            .default_headers(headers)
            .timeout(source.timeout())
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

/// Time limit for a connection. A call whose connection was never made is not billed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
