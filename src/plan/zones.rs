//! Hints for unknown time zones.

use crate::spec::yaml::diagnostic::nearest;

/// Unofficial names of China's time zone, in lower case.
const CHINA: [&str; 30] = [
    "asia/beijing",
    "asia/peking",
    "asia/guangzhou",
    "asia/shenzhen",
    "asia/hangzhou",
    "asia/chengdu",
    "asia/nanjing",
    "asia/wuhan",
    "asia/china",
    "china/beijing",
    "china/shanghai",
    "beijing",
    "peking",
    "shanghai",
    "china",
    "china standard time",
    "cst",
    "cst-8",
    "ctt",
    "cn",
    "utc+8",
    "utc+08",
    "utc+08:00",
    "utc+0800",
    "gmt+8",
    "gmt+08:00",
    "+8",
    "+08:00",
    "+0800",
    "utc8",
];

/// Returns the hint for an unknown time zone.
pub(super) fn hint(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    if lower == "cst" {
        return "CST is the time of China, of Cuba and of Chicago: write `Asia/Shanghai`, or the zone you mean"
            .to_owned();
    }
    if CHINA.contains(&lower.as_str())
        || lower.contains(['京', '沪', '海'])
        || lower.contains("中国")
    {
        return "write `Asia/Shanghai`, the name of China's time zone".to_owned();
    }
    let names = chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name());
    match nearest(name, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write an IANA name such as Asia/Shanghai".to_owned(),
    }
}
