//! Exit codes, which tell what kind of promise was broken.

use sim_tests::{Kind, Violation};
use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Exit {
    /// Every promise was kept.
    Kept = 0,
    /// A liveness promise was broken: something good did not happen in time.
    Liveness = 3,
    /// A safety promise was broken: something bad happened.
    Safety = 1,
    /// The core panicked.
    Crash = 4,
    /// Nothing was judged: bad arguments, a file that cannot be read.
    Harness = 2,
}

/// What `--help` says of them.
pub(crate) const HELP: &str = "\
Exit codes:
  0  every promise was kept
  1  a safety promise was broken: something bad happened
  2  nothing was judged: bad arguments, or a file that cannot be read or written
  3  a liveness promise was broken: something good did not happen in time
  4  the core panicked
Of several failures the worst counts: a panic, then safety, then liveness.";

impl Exit {
    /// What a broken promise ends with.
    pub(crate) fn of(violation: Option<&Violation>) -> Self {
        violation.map_or(Self::Kept, |violation| Self::of_kind(violation.kind))
    }

    /// What a broken promise of that kind ends with.
    pub(crate) fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Liveness => Self::Liveness,
            Kind::Safety => Self::Safety,
            Kind::Crash => Self::Crash,
        }
    }

    /// Of two ends, the worse.
    pub(crate) fn and(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Kept => 0,
            // What was judged counts more than what was not.
            Self::Harness => 1,
            Self::Liveness => 2,
            Self::Safety => 3,
            Self::Crash => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
