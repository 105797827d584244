//! One seed split into named streams: faults, network, disk, workload. No other source of chance anywhere, and no
//! distribution of a library that might change.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// One stream of chance.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream of that name under that seed.
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a: the stream depends on the name's letters only.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Self(ChaCha8Rng::seed_from_u64(seed ^ hash))
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// True in `percent` of all cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// The streams of a run.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Delays between clients and server.
    pub network: Rng,
    /// Delays of devices, and what survives a loss of power.
    pub disk: Rng,
    /// What clients do.
    pub workload: Rng,
    /// The server's own seed.
    pub server: Rng,
    /// Links between servers, and how others learn that one is dead.
    pub peers: Rng,
}

impl Streams {
    /// Splits a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            network: Rng::new(seed, "network"),
            disk: Rng::new(seed, "disk"),
            workload: Rng::new(seed, "workload"),
            server: Rng::new(seed, "server"),
            peers: Rng::new(seed, "peers"),
        }
    }
}
