//! The privacy rules of a pipeline, resolved against the tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretBox};

use super::check::Checker;
use crate::plan::privacy::rule::PrivacyRule;
use crate::spec::contracts::Contracts;
use crate::spec::load::LoadedPipeline;
use crate::spec::pipeline::Extract;
use crate::spec::privacy::Raw;
use crate::spec::source::{ColumnReads, Endpoint, RowRule};
use crate::spec::yaml::document::Spanned;
use crate::spec::yaml::secret::{Secret, is_variable};
use rule::ColumnOfTable;
use rules::rules;

pub mod rule;
mod rules;

/// Treatment of personal data before tables are written.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    rules: BTreeMap<ColumnOfTable, PrivacyRule>,
    pub scrub_phone_numbers: bool,
    pub pseudonyms: Option<Pseudonyms>,
}

/// Makes pseudonyms with the salt of a pipeline.
#[derive(Clone, Debug)]
pub struct Pseudonyms(Arc<SecretBox<[u8; 32]>>);

/// Retention of the stored answers of a finished run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RawRetention {
    #[default]
    Forever,
    For(Duration),
    UntilTables,
}

impl Pseudonyms {
    pub fn new(salt: &str) -> Self {
        let key = blake3::derive_key("redlake 2026 privacy.hash", salt.as_bytes());
        Pseudonyms(Arc::new(SecretBox::new(Box::new(key))))
    }

    /// Returns the pseudonym of a text: the first 128 bits of its keyed BLAKE3 hash, in hex.
    pub fn of(&self, text: &str) -> String {
        let hash = blake3::keyed_hash(self.0.expose_secret(), text.as_bytes());
        hash.to_hex()[..32].to_owned()
    }

    /// Returns a keyed hasher, for hashes of several texts.
    pub fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(self.0.expose_secret())
    }
}

impl Privacy {
    /// Returns the hashed and dropped columns of a table.
    pub fn rules<'p>(
        &'p self,
        table: &'p str,
    ) -> impl Iterator<Item = (&'p str, &'p PrivacyRule)> + 'p {
        let of_table = self.rules.iter().filter(move |((t, _), _)| t == table);
        of_table.map(|((_, column), rule)| (column.as_str(), rule))
    }

    /// Returns true if a column is hashed or dropped.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.rules.keys().any(|(t, c)| t == table && c == column)
    }
}

/// Resolves the key `privacy`.
pub(super) fn privacy(
    check: &mut Checker<'_>,
    loaded: &LoadedPipeline,
    contracts: &Contracts,
) -> Privacy {
    let spec = &loaded.pipeline.privacy;
    let privacy = Privacy {
        rules: rules(check, spec, contracts),
        scrub_phone_numbers: spec.scrub_phone_numbers,
        pseudonyms: pseudonyms(check, spec.salt.as_ref(), spec.hash.first()),
    };
    for entry in &loaded.pipeline.extract {
        still_works(check, &privacy, loaded, entry, contracts);
    }
    if let Some(salt) = &spec.salt {
        let written = loaded.file.text().get(salt.span()).unwrap_or_default();
        if !is_variable(written) {
            let message = "the salt is written in the pipeline file: its readers can link pseudonyms to \
                           accounts";
            let hint = "put it into the environment and write salt: \"${REDLAKE_SALT}\"";
            check.warn(&loaded.file, salt.span(), message, hint);
        }
    }
    privacy
}

/// Resolves the key `raw`.
pub(super) fn raw_retention(check: &mut Checker<'_>, raw: Option<&Spanned<Raw>>) -> RawRetention {
    match raw.map(|raw| (raw, raw.value)) {
        None => RawRetention::Forever,
        Some((_, Raw::Word(_))) => RawRetention::UntilTables,
        Some((at, Raw::Keep(kept))) => {
            let kept = kept.keep.as_duration();
            if kept.is_zero() {
                let hint = "write a time such as 30d, or `raw: none`";
                check.error(at, "`keep` must be longer than 0", hint);
            }
            RawRetention::For(kept)
        }
    }
}

fn pseudonyms(
    check: &mut Checker<'_>,
    salt: Option<&Spanned<Secret>>,
    hashed: Option<&Spanned<String>>,
) -> Option<Pseudonyms> {
    let Some(salt) = salt else {
        if let Some(first) = hashed {
            let hint = "add `salt: \"${REDLAKE_SALT}\"` to `privacy:`, and set that \
                        variable to at least 16 random characters";
            check.error(first, "hashing needs a salt", hint);
        }
        return None;
    };
    let text = salt.value.0.expose_secret().trim();
    // A variable that is not set is reported already.
    if text.chars().count() < SHORTEST_SALT && !is_variable(text) {
        let hint = "use at least 16 random characters, such as the output of `openssl rand -hex \
                    32`";
        check.error(salt, "the salt is too short", hint);
    }
    Some(Pseudonyms::new(text))
}

/// Minimum length of a salt, in characters.
const SHORTEST_SALT: usize = 16;

/// Checks that the privacy rules keep the columns that an entry needs.
fn still_works(
    check: &mut Checker<'_>,
    privacy: &Privacy,
    loaded: &LoadedPipeline,
    entry: &Extract,
    contracts: &Contracts,
) {
    if let Some(by) = entry.notes.as_ref().and_then(|notes| notes.by.as_ref())
        && privacy.has("engagement", by)
    {
        let message = format!("`engagement.{}` is dropped, but ranks notes here", by.value);
        check.error(by, message, "rank them by another count, or keep this one");
    }
    let known = entry.pages.as_ref();
    let known = known.and_then(|pages| pages.stop_when.known_share.as_ref());
    let source = entry.source.as_ref().unwrap_or(&loaded.pipeline.source);
    let source = contracts.sources.get(&source.name.value);
    let endpoint = source.and_then(|source| source.endpoints.get(&entry.endpoint.value));
    if let (Some(share), Some(endpoint)) = (known, endpoint)
        && finds_hidden(privacy, endpoint)
    {
        let message = "`known_share` compares ids, which are hashed here";
        check.error(
            share,
            message,
            "remove `known_share`, or do not hash the ids",
        );
    }
}

/// Returns true if the ids of the items that an endpoint finds are hashed.
fn finds_hidden(privacy: &Privacy, endpoint: &Endpoint) -> bool {
    endpoint.rows.iter().any(|rows| {
        let mut rules = privacy.rules(&rows.table.value);
        rules.any(|(_, rule)| match rule {
            PrivacyRule::Hash(Some(only)) => words_of(rows, &only.column)
                .iter()
                .any(|word| only.identities.contains(*word)),
            _ => false,
        })
    })
}

/// Returns the canonical words that a rule may write into a column.
fn words_of<'r>(rows: &'r RowRule, column: &str) -> Vec<&'r String> {
    let columns = rows.columns.iter();
    let mappings = columns.filter(|(name, _)| name.value == column);
    let mappings = mappings.flat_map(|(_, ColumnReads(mappings))| mappings);
    let words = mappings.flat_map(|mapping| {
        let listed = mapping.values.iter().flat_map(|values| values.values());
        listed.chain(&mapping.constant).chain(&mapping.otherwise)
    });
    words.collect()
}
