//! Growth of counts with age.

/// A count on its way to `total`: half of it is there at `half_life`, the rest comes ever slower.
/// In whole numbers, so that all machines agree.
pub fn saturating(total: u64, age: u64, half_life: u64) -> u64 {
    let (total, age) = (u128::from(total), u128::from(age));
    let count = total * age / (age + u128::from(half_life)).max(1);
    count as u64 // at most the total, which is a u64
}
