//! The only file that reads the operating system's clocks.

use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant as TokioInstant;
use zoetrope_core::{Instant, Now};

/// Time since the driver started, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: TokioInstant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: TokioInstant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let mono = Instant(self.start.elapsed().as_micros() as u64);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono, wall_ms: wall.as_millis() as i64 }
    }

    /// The driver's moment as the runtime knows it.
    pub(crate) fn at(&self, instant: Instant) -> TokioInstant {
        self.start + std::time::Duration::from_micros(instant.0)
    }
}
