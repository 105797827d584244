//! What a scenario may expect: service, writes, reads, agreement, each within its time.

use crate::client::Client;
use crate::judge::{Judge, Verdict};
use crate::role;
use crate::world::{Mend, World};

impl<J: Judge> World<J> {
    /// After every fault is over, each client must get a write through.
    pub(crate) fn expect_service(&mut self, ms: u64) -> Verdict {
        let asleep = self.hosts.iter().map(|host| host.paused_until).max().unwrap_or(0);
        let begin = self.now.max(asleep);
        self.run_until(begin)?;
        for client in &mut self.clients {
            client.wrote = false;
            client.proved = false;
        }
        self.end_faults();
        if self.net.is_hurt() {
            self.mend(Mend::Network);
        }
        let mut deadline = self.now + ms * 1000;
        let mut down = self.hosts.iter().any(|host| host.server.is_none());
        let together = self.together();
        let served = |client: &Client| if together { client.proved } else { client.wrote };
        while !self.clients.iter().all(served) {
            // The clock runs from the moment when the last server is back.
            if down && together {
                down = self.hosts.iter().any(|host| host.server.is_none());
                deadline = self.now + ms * 1000;
            }
            if self.now > deadline {
                let waiting: Vec<usize> =
                    (0..self.clients.len()).filter(|n| !served(&self.clients[*n])).collect();
                return Err(format!(
                    "{}{ms} ms after the last fault no write of the clients {waiting:?} was answered",
                    if together { "L1: " } else { "" }
                ));
            }
            self.advance()?;
        }
        Ok(())
    }

    /// Clients and disks are well again.
    pub(crate) fn end_faults(&mut self) {
        for client in &mut self.clients {
            client.deaf_until = 0;
            client.silent_until = 0;
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].slow_disk_until = 0;
            if self.hosts[host].find_room() {
                let at = self.at(host);
                self.judge.room(at, false);
            }
        }
    }

    /// Whatever is wrong stays wrong, and each client must get a write through all the same.
    pub(crate) fn expect_writes(&mut self, ms: u64) -> Verdict {
        let deadline = self.now + ms * 1000;
        self.clients.iter_mut().for_each(|client| client.proved = false);
        while let Some(waiting) = self.clients.iter().position(|client| !client.proved) {
            if self.now > deadline {
                return Err(format!("L4: after {ms} ms no write of client {waiting} was answered"));
            }
            self.advance()?;
        }
        Ok(())
    }

    /// Without a quorum, whoever can do with that is answered.
    pub(crate) fn expect_reads(&mut self, ms: u64) -> Verdict {
        let deadline = self.now + ms * 1000;
        self.clients.iter_mut().for_each(|client| client.read_only_answers = 0);
        while !self.clients.iter().all(|c| !c.willing || c.read_only_answers > 0) {
            if self.now > deadline {
                return Err(format!("after {ms} ms a client has no answer of a read-only server"));
            }
            self.advance()?;
        }
        Ok(())
    }

    /// Clients rest, and every server must come to hold the same tree.
    pub(crate) fn expect_agreement(&mut self) -> Verdict {
        self.mend(Mend::Network);
        self.clients.iter_mut().for_each(|client| client.idle = true);
        let verdict = self.agree(self.now + 2 * self.patience_ms() * 1000);
        self.clients.iter_mut().for_each(|client| client.idle = false);
        verdict
    }

    /// Until then all servers must serve and hold the same tree.
    pub(crate) fn agree(&mut self, deadline: u64) -> Verdict {
        loop {
            let digests: Vec<Option<u64>> = self
                .hosts
                .iter()
                .map(|h| h.server.as_ref().filter(|s| role::serves(s)).map(|s| s.tree_digest()))
                .collect();
            if digests.iter().all(|digest| digest.is_some() && *digest == digests[0]) {
                return Ok(());
            }
            if self.now > deadline {
                return Err(format!("L3: the servers do not come to agree: {digests:x?}"));
            }
            self.run_until(self.now + 100_000)?;
        }
    }
}
