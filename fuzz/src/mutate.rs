//! Inputs for the targets: good samples with a few things wrong. The same seed makes the same inputs.

/// A small generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, or 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.draw() % limit.max(1) as u64) as usize
    }
}

/// Numbers at which decoders turn: limits, signs, types.
const NUMBERS: [i32; 16] =
    [0, 1, -1, -2, -10, -11, 2, 14, 15, 21, 107, 255, 4096, 8191, i32::MAX, i32::MIN];

/// Makes inputs out of samples.
#[derive(Debug)]
pub struct Mutator {
    samples: Vec<Vec<u8>>,
    seed: u64,
}

impl Mutator {
    /// Inputs that resemble these samples.
    pub fn new(samples: Vec<Vec<u8>>, seed: u64) -> Self {
        Self { samples, seed }
    }

    /// The `n`th input.
    pub fn input(&self, n: u64) -> Vec<u8> {
        let mut random = Random(self.seed ^ n.wrapping_mul(0xd134_2543_de82_ef95));
        if self.samples.is_empty() || random.below(16) == 0 {
            return (0..random.below(600)).map(|_| random.draw() as u8).collect();
        }
        let mut bytes = self.samples[random.below(self.samples.len())].clone();
        for _ in 0..random.below(6) {
            self.change(&mut bytes, &mut random);
        }
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(40)).min(bytes.len());
        match random.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.draw() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes.get(at..end).unwrap_or_default().to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let number = NUMBERS[random.below(NUMBERS.len())].to_be_bytes();
                let end = (at + 4).min(bytes.len());
                bytes.splice(at..end, number);
            }
            6 => {
                let other = &self.samples[random.below(self.samples.len())];
                let from = random.below(other.len());
                let to = (from + random.below(200)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            7 => {
                let sector = at / 512 * 512;
                let end = (sector + 512).min(bytes.len());
                bytes[sector..end].fill(0);
            }
            _ => bytes.extend((0..random.below(30)).map(|_| random.draw() as u8)),
        }
    }
}
