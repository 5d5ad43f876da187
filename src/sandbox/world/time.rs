//! Times of the simulated world.

/// Time of the first publication: 2025-06-01T00:00:00Z.
pub const BEGINNING: i64 = 1_748_736_000;

pub const HOUR: i64 = 3_600;

pub const DAY: i64 = 24 * HOUR;
