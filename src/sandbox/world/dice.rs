//! Seeded chance: the same seed, question and subject always roll the same numbers.

/// A source of numbers for one question about one subject ("how many likes" of a note). Each
/// question has its own, so that a new feature does not change what is already there.
///
/// The numbers are the output stream of BLAKE3, which is fixed by its specification: they agree
/// between machines, versions and processes.
pub struct Dice(blake3::OutputReader);

impl Dice {
    pub fn new(seed: u64, question: &str, subject: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(question.as_bytes());
        hasher.update(&[0]);
        hasher.update(subject.as_bytes());
        Dice(hasher.finalize_xof())
    }

    pub fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number from 0 to `n - 1`; 0 where `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let scaled = (u128::from(self.number()) * u128::from(n)) >> 64;
        scaled as u64 // less than n, which is a u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A number from 0 to 1, 1 left out.
    pub fn share(&mut self) -> f64 {
        const BITS: u32 = f64::MANTISSA_DIGITS;
        // Not rounded: the number has no more bits than a float holds.
        (self.number() >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// An element of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// Some different elements of the list, in random order; all of them if it is that short.
    pub fn pick_some<T: Copy>(&mut self, list: &[T], count: u64) -> Vec<T> {
        let mut rest = list.to_vec();
        let count = count.min(rest.len() as u64);
        let mut picked = Vec::new();
        for _ in 0..count {
            let at = self.below(rest.len() as u64) as usize;
            picked.push(rest.swap_remove(at));
        }
        picked
    }

    /// A range and how often it is meant: picks a range by weight, then a number in it.
    pub fn tier(&mut self, tiers: &[(u64, std::ops::Range<u64>)]) -> u64 {
        let mut at = self.below(tiers.iter().map(|(weight, _)| weight).sum());
        for (weight, range) in tiers {
            if at < *weight {
                return range.start + self.below(range.end - range.start);
            }
            at -= weight;
        }
        0
    }

    pub fn hex(&mut self, digits: usize) -> String {
        self.word(b"0123456789abcdef", digits)
    }

    pub fn word(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length)
            .map(|_| char::from(self.pick(alphabet)))
            .collect()
    }
}
