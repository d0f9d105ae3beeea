//! Random numbers that follow from a seed, the same on every machine (splitmix64).

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: &[u64]) -> Self {
        let bytes: Vec<u8> = seed.iter().flat_map(|part| part.to_le_bytes()).collect();
        Self(u64::from_le_bytes(blake3::hash(&bytes).as_bytes()[..8].try_into().unwrap()))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound` - 1.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}
