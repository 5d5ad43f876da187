//! Checks addresses of sources: loopback, encryption, and validity as a base URL.

use url::{Host, Url};

/// Returns true if a call to this address sends its token unencrypted over the network.
pub fn travels_unencrypted(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| url.scheme() == "http" && !is_on_this_machine(&url))
}

/// Returns the warning for an address that [`travels_unencrypted`].
pub fn unencrypted(address: &str, source: &str) -> String {
    format!("{address} is plain HTTP: the token of {source} travels unencrypted")
}

/// Returns true if an address is on this machine.
pub fn is_loopback(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| is_on_this_machine(&url))
}

fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        // RFC 6761, 6.3: names below `localhost` are on this machine, too.
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

/// Returns the reason why an address is no usable base URL: a path must be appendable, and messages
/// must be able to repeat it. `None` if it is usable. The reason never contains the address.
pub fn unusable(address: &str) -> Option<&'static str> {
    // Checked even if the rest is no address: the part before the @ may be a password.
    let authority = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("has a user name or a password in it");
    }
    match Url::parse(address) {
        Err(_) => Some("cannot be read as an address"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => Some("is not an http(s) address"),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Some("has a query or a fragment, so no path can be appended")
        }
        Ok(_) => None,
    }
}
