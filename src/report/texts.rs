//! The words of a report, in its languages.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::Serialize;

use crate::spec::words::Language;

/// Zones of mainland China.
const CHINESE: [Tz; 7] = [
    Tz::Asia__Shanghai,
    Tz::Asia__Urumqi,
    Tz::Asia__Chongqing,
    Tz::Asia__Chungking,
    Tz::Asia__Harbin,
    Tz::Asia__Kashgar,
    Tz::PRC,
];

/// Returns Chinese if all of these time zones are in China, and there is one.
pub(super) fn language_of(zones: impl IntoIterator<Item = Tz>) -> Language {
    let mut zones = zones.into_iter().peekable();
    let has_any = zones.peek().is_some();
    if has_any && zones.all(|zone| CHINESE.contains(&zone)) {
        Language::Zh
    } else {
        Language::En
    }
}

/// Sentences and labels by name. `{word}` in a sentence is a place for a value.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Texts(BTreeMap<String, String>);

impl Texts {
    /// # Panics
    /// The file of the language is not an object of strings; a test reads each.
    pub(super) fn of(language: Language) -> Self {
        let text = match language {
            Language::En => include_str!("texts/en.json"),
            Language::Zh => include_str!("texts/zh.json"),
        };
        Texts(serde_json::from_str(text).expect("texts are an object of strings"))
    }

    /// # Panics
    /// There is no text of this name.
    pub(super) fn get(&self, name: &str) -> &str {
        let text = self.0.get(name);
        text.unwrap_or_else(|| panic!("the texts have no {name}"))
    }

    /// Returns the name of a keyword set, with its pipeline where there are several.
    pub(super) fn set_name(&self, pipeline: &str, set: Option<&str>, has_several: bool) -> String {
        match (set, has_several) {
            (Some(set), true) => format!("{pipeline} · {set}"),
            (Some(set), false) => set.to_owned(),
            (None, _) => pipeline.to_owned(),
        }
    }

    /// Returns a text with its places filled.
    pub(super) fn fill(&self, name: &str, values: &[(&str, &str)]) -> String {
        let mut rest = self.get(name);
        let mut out = String::new();
        // Values are not searched for places.
        while let Some((before, after)) = rest.split_once('{') {
            let Some((place, after)) = after.split_once('}') else {
                break;
            };
            out.push_str(before);
            let value = values.iter().find(|(name, _)| *name == place);
            out.push_str(value.map_or("", |(_, value)| value));
            rest = after;
        }
        out + rest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono_tz::Tz;

    use super::{Texts, language_of};
    use crate::spec::words::Language;

    fn places(text: &str) -> BTreeSet<&str> {
        let parts = text.split('{').skip(1);
        parts
            .filter_map(|part| Some(part.split_once('}')?.0))
            .collect()
    }

    #[test]
    fn the_languages_have_the_same_texts_with_the_same_places() {
        let (en, zh) = (Texts::of(Language::En).0, Texts::of(Language::Zh).0);
        assert!(en.keys().eq(zh.keys()));
        for (name, text) in &en {
            assert_eq!(places(text), places(&zh[name]), "{name}");
        }
    }

    #[test]
    fn a_value_that_looks_like_a_place_stays_as_it_is() {
        let texts = Texts::of(Language::En);
        let filled = texts.fill("dates", &[("first", "{last}"), ("last", "x")]);
        assert_eq!(filled, "{last} to x");
    }

    #[test]
    fn the_language_follows_the_zones() {
        assert_eq!(language_of([]), Language::En);
        assert_eq!(language_of([Tz::PRC]), Language::Zh);
        let mixed = [Tz::Asia__Shanghai, Tz::Europe__Berlin];
        assert_eq!(language_of(mixed), Language::En);
    }
}
