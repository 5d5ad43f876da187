//! Records and rules beside the rows: rejects, drift, tallies, personal data.

pub mod drift;
pub mod phone;
pub mod privacy;
pub mod reject;
pub mod tally;
