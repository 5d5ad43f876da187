//! The addresses of sources: whose machine they name, and who sees the token on the way.

use url::{Host, Url};

/// Returns whether a call to this address shows its token to the network.
pub fn travels_unencrypted(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| url.scheme() == "http" && !is_on_this_machine(&url))
}

/// Returns the warning of an address that [`travels_unencrypted`].
pub fn unencrypted(address: &str, source: &str) -> String {
    format!("{address} is plain HTTP: the token of {source} travels unencrypted")
}

/// Returns whether an address is on this machine.
pub fn is_loopback(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| is_on_this_machine(&url))
}

fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        // RFC 6761, 6.3: names below it are on this machine, too.
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

/// Returns what keeps an address from being one that a path can be appended to and that messages
/// may repeat. No reason repeats the address.
pub fn unusable(address: &str) -> Option<&'static str> {
    // Also where the rest is no address: what stands before the @ may be a password.
    let authority = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("has a user name or a password in it");
    }
    match Url::parse(address) {
        Err(_) => Some("cannot be read as an address"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => Some("is no http(s) address"),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Some("has a query or a fragment, which no path can follow")
        }
        Ok(_) => None,
    }
}
