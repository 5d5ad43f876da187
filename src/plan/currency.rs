//! Currencies of prices.

use crate::spec::yaml::diagnostic::nearest;

/// The ISO 4217 codes in use.
const CODES: &str = "\
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF \
    CLF CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ \
    GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR \
    LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN \
    PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB \
    TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

/// Other names of currencies, in lower case, with their codes.
const NAMES: [(&str, &str); 18] = [
    ("rmb", "CNY"),
    ("cnr", "CNY"),
    ("yuan", "CNY"),
    ("renminbi", "CNY"),
    ("元", "CNY"),
    ("人民币", "CNY"),
    ("块", "CNY"),
    ("¥", "CNY"),
    ("￥", "CNY"),
    ("$", "USD"),
    ("us$", "USD"),
    ("dollar", "USD"),
    ("美元", "USD"),
    ("€", "EUR"),
    ("euro", "EUR"),
    ("£", "GBP"),
    ("港币", "HKD"),
    ("hk$", "HKD"),
];

/// Returns the hint for an unknown currency code; `None` for a known one.
pub(super) fn hint(code: &str) -> Option<String> {
    let codes = || CODES.split_whitespace();
    if codes().any(|known| known == code) {
        return None;
    }
    let lower = code.trim().to_lowercase();
    let named = NAMES.iter().find(|(name, _)| *name == lower);
    Some(match named {
        Some((_, meant)) => format!("write `{meant}`"),
        None => match nearest(code, codes()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write its three letters of ISO 4217, such as CNY".to_owned(),
        },
    })
}
