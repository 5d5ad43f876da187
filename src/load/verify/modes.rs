//! Private folders with modes that admit too many accounts.

use serde::Serialize;

use crate::durable::{FileAccess, mode_of};
use crate::lake_layout::{RAW, STAGING, STATE, state};
use crate::load::Lake;

/// A remark on a lake that is not about damaged files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Remark {
    /// Relative to the lake.
    pub path: String,
    pub detail: String,
    pub hint: String,
}

impl Lake {
    /// Returns the private folders that other accounts may enter. redlake keeps the modes of
    /// existing folders, such as those that an earlier version created. If the folder `raw` has
    /// mode 0750, the lake is shared with a group, and its other folders may be, too.
    pub fn open_folders(&self) -> Vec<Remark> {
        let root = self.root();
        let wanted = FileAccess::of_folder(&root.join(RAW)).folder_mode();
        let folders = [
            RAW.to_owned(),
            STAGING.to_owned(),
            format!("{STATE}/{}", state::JOURNALS),
            format!("{STATE}/{}", state::QUARANTINE),
        ];
        let remark = |path: String| {
            let folder = root.join(&path);
            let mode = mode_of(&folder)?;
            (mode & !wanted & 0o077 != 0).then(|| Remark {
                detail: format!("its mode is {mode:04o}: other accounts may enter it"),
                hint: format!("chmod {wanted:04o} '{}'", folder.display()),
                path,
            })
        };
        folders.into_iter().filter_map(remark).collect()
    }
}
