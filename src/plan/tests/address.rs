//! Addresses: whose machine they name, and what they may not hold.

use crate::plan::{is_loopback, travels_unencrypted, unusable};

#[test]
fn only_addresses_of_this_machine_are_loopback() {
    let here = [
        "http://127.0.0.1",
        "http://127.0.0.1:8080/api",
        "http://127.9.9.9/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://LOCALHOST:1/",
        "http://localhost./",
        "http://api.localhost",
        "http://[::1]:80/",
        "http://[::ffff:127.0.0.1]/",
        "HTTP://127.0.0.1/",
    ];
    for address in here {
        assert!(is_loopback(address), "{address}");
        assert!(!travels_unencrypted(address), "{address}");
    }
    let elsewhere = [
        "http://127.0.0.1:80@evil.example/",
        "http://localhost@evil.example",
        "http://localhost.evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://evil.example/127.0.0.1",
        "http://evil.example#@127.0.0.1/",
        "http://notlocalhost/",
        "http://[::2]/",
        "http://128.0.0.1/",
    ];
    for address in elsewhere {
        assert!(!is_loopback(address), "{address}");
        assert!(travels_unencrypted(address), "{address}");
    }
    assert!(!travels_unencrypted("https://evil.example/"));
}

#[test]
fn an_unusable_address_is_reported_without_its_text() {
    let cases = [
        ("https://me:geheim@api.example", "user name"),
        ("http://geheim@127.0.0.1:80", "user name"),
        ("http://a:geheim@h h", "user name"),
        ("https://api.example?token=geheim", "query"),
        ("https://api.example/#geheim", "fragment"),
        ("ftp://geheim.example", "http(s)"),
        ("https://", "cannot be read"),
        ("http://gehe im/", "cannot be read"),
    ];
    for (address, told) in cases {
        let reason = unusable(address).unwrap_or_else(|| panic!("{address}"));
        assert!(reason.contains(told), "{address}: {reason}");
        assert!(!reason.contains("geheim"), "{reason}");
    }
    for address in [
        "https://api.example",
        "http://127.0.0.1:8080",
        "https://h/api/@x",
    ] {
        assert_eq!(unusable(address), None, "{address}");
    }
}
