//! File descriptors: as many as the system grants, and some of them never for clients. Counts nothing.

use std::os::fd::{AsRawFd, RawFd};
use tokio::net::TcpStream;

/// Kept for files: a log that cannot be opened ends the server.
const FOR_FILES: u64 = 64;

/// Up to where descriptors may be given to clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors {
    first_kept: RawFd,
}

impl Descriptors {
    /// Raises this process's limit to what it may have, as Java does.
    pub(crate) fn raise() -> Self {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let now = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: now.maximum, maximum: now.maximum };
        let current = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => now.maximum,
            Err(_) => now.current,
        };
        let most = current.unwrap_or(u64::MAX);
        let first_kept = most - FOR_FILES.min(most / 2);
        Self { first_kept: RawFd::try_from(first_kept).unwrap_or(RawFd::MAX) }
    }

    /// Are there enough left behind this one? The system always gives the lowest number that is free.
    pub(crate) fn suffice(self, stream: &TcpStream) -> bool {
        stream.as_raw_fd() < self.first_kept
    }
}
