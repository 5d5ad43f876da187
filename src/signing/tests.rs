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

#[test]
fn an_hmac_is_that_of_rfc_4231() {
    let digits = |key: &[u8], text: &[u8]| -> String {
        let hmac = hmac_sha256(key, text);
        hmac.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    // Test case 2.
    assert_eq!(
        digits(b"Jefe", b"what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    // Test case 6: a key that is longer than a block.
    assert_eq!(
        digits(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First"
        ),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
}
