//! Time as the core sees it: two numbers handed in with every input. Never reads a clock.

use serde::{Deserialize, Serialize};

/// Monotonic time in microseconds since an instant the driver chose.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Instant(pub u64);

impl Instant {
    /// `ms` milliseconds since the driver's zero.
    pub fn from_ms(ms: u64) -> Self {
        Self(ms * 1000)
    }

    /// Whole milliseconds since the driver's zero.
    pub fn as_ms(self) -> u64 {
        self.0 / 1000
    }

    /// This instant and `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Microseconds from `earlier` to this instant; 0 when it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The moment of an input: monotonic for deadlines, wall clock for what clients may see.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Now {
    /// Never goes back.
    pub mono: Instant,
    /// Milliseconds since 1970; may jump either way.
    pub wall_ms: i64,
}
