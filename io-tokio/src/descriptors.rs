//! File descriptors: as many as the system grants, and some of them never for clients. Counts nothing.

use std::os::fd::{AsRawFd, RawFd};
use tokio::net::TcpStream;

/// Kept for files and other servers: a log that cannot be opened ends the server.
const FOR_FILES: u64 = 64;

/// Up to where descriptors may be given away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors {
    for_clients: RawFd,
    for_servers: RawFd,
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
        let kept = FOR_FILES.min(most / 2);
        let upto = |most: u64| RawFd::try_from(most).unwrap_or(RawFd::MAX);
        // Clients that take all they get must not keep other servers out.
        Self { for_clients: upto(most - kept), for_servers: upto(most - kept / 2) }
    }

    /// Are there enough left behind this client? The system always gives the lowest number that is free.
    pub(crate) fn suffice(self, client: &TcpStream) -> bool {
        client.as_raw_fd() < self.for_clients
    }

    /// Are there enough left behind this server?
    pub(crate) fn suffice_for_server(self, server: &TcpStream) -> bool {
        server.as_raw_fd() < self.for_servers
    }
}
