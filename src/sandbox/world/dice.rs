//! Seeded random numbers: the same seed, question and subject always give the same numbers.

/// A source of numbers for one question about one subject ("how many likes" of a note). Each
/// question has its own source, so a new feature does not change existing ones.
///
/// The numbers are the output stream of BLAKE3, which its specification fixes: they are the same on
/// all machines, versions and processes.
pub struct Dice {
    stream: blake3::OutputReader,
    /// The current block of the stream, and how many of its bytes are used. A block costs as much as
    /// a part of it.
    block: [u8; blake3::BLOCK_LEN],
    used: usize,
}

impl Dice {
    pub fn new(seed: u64, question: &str, subject: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(question.as_bytes());
        hasher.update(&[0]);
        hasher.update(subject.as_bytes());
        Dice {
            stream: hasher.finalize_xof(),
            block: [0; blake3::BLOCK_LEN],
            used: blake3::BLOCK_LEN,
        }
    }

    pub fn number(&mut self) -> u64 {
        if self.used == self.block.len() {
            self.stream.fill(&mut self.block);
            self.used = 0;
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.block[self.used..][..8]);
        self.used += bytes.len();
        u64::from_le_bytes(bytes)
    }

    /// Returns a number from 0 to `n - 1`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let scaled = (u128::from(self.number()) * u128::from(n)) >> 64;
        scaled as u64 // less than n, which is a u64
    }

    /// Returns a number from `low` to `high`, inclusive.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Returns a number in `0..1`.
    pub fn share(&mut self) -> f64 {
        const BITS: u32 = f64::MANTISSA_DIGITS;
        // Exact: the number has no more bits than the mantissa of a float.
        (self.number() >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
    }

    /// Returns true in `percent` percent of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns an element of a non-empty list.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// Returns `count` different elements of the list in random order, or all if the list is
    /// shorter.
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

    /// Picks a range by its weight, and returns a number in it; 0 if the list is empty.
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
