//! Private folders that more accounts may enter than they should.

use serde::Serialize;

use crate::durable::{FileAccess, mode_of};
use crate::load::QUARANTINE;
use crate::load::{Lake, RAW, STAGING, STATE};

/// What should be known of a lake whose files are all right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Remark {
    /// Relative to the lake.
    pub path: String,
    pub detail: String,
    pub hint: String,
}

impl Lake {
    /// The private folders that other accounts may enter: redlake keeps the modes of folders that it finds, such
    /// as those that an earlier version made. A lake whose folder `raw` has mode 0750 is shared with a group, and
    /// its other folders may be, too.
    pub fn open_folders(&self) -> Vec<Remark> {
        let root = self.root();
        let wanted = FileAccess::of_folder(&root.join(RAW)).folder_mode();
        let folders = [
            RAW.to_owned(),
            STAGING.to_owned(),
            format!("{STATE}/{JOURNALS}"),
            format!("{STATE}/{QUARANTINE}"),
        ];
        let remark = |path: String| {
            let folder = root.join(&path);
            let mode = mode_of(&folder)?;
            (mode & !wanted & 0o077 != 0).then(|| Remark {
                detail: format!("its mode is {mode:04o}: accounts may enter it that should not"),
                hint: format!("chmod {wanted:04o} '{}'", folder.display()),
                path,
            })
        };
        folders.into_iter().filter_map(remark).collect()
    }
}

/// The folder of journals, below that of the lake's state.
pub(in crate::load) const JOURNALS: &str = "runs";
