//! Options of the built-in simulator, which a pipeline gives beside `base_url: sandbox`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::yaml::document::Spanned;

/// The world that `base_url: sandbox` simulates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxOptions {
    /// Equal seeds give equal worlds. Default: 1.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The simulated time (RFC 3339) of the first run into a lake. Each further run takes place
    /// one hour after the last one.
    pub clock: Option<Spanned<String>>,
    /// Percentage of the notes that searches show one to three hours after their publication, 0 to
    /// 100. Default: 0.
    pub late_notes: Option<Spanned<u64>>,
    /// Percentage of the notes that are deleted two to ten days after their publication, 0 to 100:
    /// no search finds them any more, and a request for such a note says that it is gone. Default: 0.
    pub removed_notes: Option<Spanned<u64>>,
    /// Percentage of the notes that get another title one to eight days after their publication, 0
    /// to 100. Default: 0.
    pub retitled_notes: Option<Spanned<u64>>,
}

fn default_seed() -> u64 {
    1
}
