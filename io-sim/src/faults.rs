//! What is done to servers and to the network between them.

use crate::coverage::{Moment, name_of};
use crate::disk::Keep;
use crate::host::Host;
use crate::judge::{Judge, Verdict};
use crate::net::Death;
use crate::role::{self, Role};
use crate::scenario::{Fault, Files, Harm, RoleName, Target};
use crate::world::{Event, HostEvent, Mend, World};

impl<J: Judge> World<J> {
    fn role(host: &Host) -> Role {
        host.server.as_deref().map_or(Role::Looking, role::role_of)
    }

    /// Which server is meant, now. Where nobody has the role, chance says.
    pub(crate) fn target(&mut self, target: Option<Target>) -> usize {
        let role = match target {
            None => return 0,
            Some(Target::Sid(sid)) => {
                let there = self.hosts.iter().position(|h| h.sid.0 == i64::from(sid));
                return there.unwrap_or(sid as usize % self.hosts.len());
            }
            Some(Target::Role(RoleName::Leader)) => Role::Leader,
            Some(Target::Role(RoleName::Follower)) => Role::Follower,
            Some(Target::Role(RoleName::Observer)) => Role::Observer,
        };
        let of_role = |host: &usize| Self::role(&self.hosts[*host]) == role;
        let all: Vec<usize> = (0..self.hosts.len()).filter(of_role).collect();
        match all.is_empty() {
            true => self.streams.peers.below(self.hosts.len() as u64) as usize,
            false => *self.streams.peers.pick(&all),
        }
    }

    /// A leader that is about to be taken away is counted.
    pub(crate) fn count_change(&mut self, host: usize) {
        let leads = Self::role(&self.hosts[host]) == Role::Leader;
        self.figures.forced_changes += u64::from(leads);
    }

    /// Counts what the server does as this happens to it.
    pub(crate) fn cover(&mut self, fault: &'static str, host: usize) {
        self.figures.coverage.note(fault, self.hosts[host].server.as_deref());
    }

    /// The same for a fault that is named.
    fn cover_fault(&mut self, fault: &Fault, hosts: impl IntoIterator<Item = usize>) {
        for host in hosts {
            if let Some(name) = name_of(fault) {
                self.cover(name, host);
            }
        }
    }

    /// Whom a fault hits, where it is the same whatever chance says. Losses of power are counted where they happen, and
    /// what costs a disk where it turns out to be affordable.
    fn victims(&self, host: usize, fault: &Fault) -> Vec<usize> {
        let all = 0..self.hosts.len();
        let of_client = |number: u32| {
            let client = &self.clients[number as usize % self.clients.len()];
            let conn = client.conn.and_then(|conn| self.conns.get(&conn));
            conn.map(|conn| conn.host).into_iter().collect()
        };
        match fault {
            Fault::RestartAll { .. }
            | Fault::RollingRestart { .. }
            | Fault::Partition { .. }
            | Fault::Churn
            | Fault::Disconnect => all.collect(),
            Fault::SlowReader { client, .. }
            | Fault::Silence { client, .. }
            | Fault::Linger { client, .. } => of_client(*client),
            Fault::Crash { .. }
            | Fault::Wipe { .. }
            | Fault::Damage { .. }
            | Fault::LyingFsync { .. }
            | Fault::OneWay { .. }
            | Fault::Clog { .. }
            | Fault::SlowLink { .. }
            | Fault::HalfOpen { .. }
            | Fault::StaleVotes { .. }
            | Fault::Corrupt { .. } => Vec::new(),
            _ => vec![host],
        }
    }

    pub(crate) fn fault(&mut self, fault: &Fault) -> Verdict {
        self.fault_at(0, fault)
    }

    pub(crate) fn fault_at(&mut self, host: usize, fault: &Fault) -> Verdict {
        self.judge.harmed(self.at(host), fault);
        self.cover_fault(fault, self.victims(host, fault));
        self.note(format!("{fault:?}").as_bytes());
        self.troubled_at = self.now;
        if host > 0 {
            self.note(&host.to_be_bytes());
        }
        match fault {
            Fault::Crash { keep, down } => return self.crash(host, *keep, *down),
            // The system lives on: what was written is there, synced or not.
            Fault::Kill { down } => {
                self.count_change(host);
                self.stop(host, *down, Death::Told);
            }
            Fault::Stall(ms) => self.stall(host, *ms),
            Fault::WallJump(ms) => self.hosts[host].wall_jump_ms += ms,
            Fault::Drift(per_mille) => self.hosts[host].change_drift(self.now, *per_mille),
            Fault::DiskFull(ms) => {
                self.hosts[host].room_left = Some(0);
                self.judge.room(self.at(host), true);
                self.plan(ms * 1000, Event::DiskHasRoom(host));
            }
            Fault::FilesFull { files, ms } => {
                self.hosts[host].full = Some(*files);
                if *files == Files::Logs {
                    self.judge.room(self.at(host), true);
                }
                self.plan(ms * 1000, Event::DiskHasRoom(host));
            }
            Fault::DiskStall(ms) => self.hosts[host].stall_disk_us = ms * 1000,
            Fault::SnapshotStall(ms) => self.hosts[host].stall_snapshot_us = ms * 1000,
            Fault::SlowDisk { delay, ms } => {
                self.hosts[host].slow_disk_us = delay * 1000;
                self.hosts[host].slow_disk_until = self.now + ms * 1000;
            }
            Fault::FsyncError => self.hosts[host].fail_fsync = true,
            Fault::ReadError => self.hosts[host].fail_read = true,
            Fault::Disconnect => (0..self.clients.len()).for_each(|number| self.leave(number)),
            Fault::SlowReader { client, ms } => {
                let number = *client as usize % self.clients.len();
                self.clients[number].deaf_until = self.now + ms * 1000;
            }
            Fault::Silence { client, ms } => {
                let number = *client as usize % self.clients.len();
                self.clients[number].silent_until = self.now + ms * 1000;
            }
            Fault::Linger { client, ms } => {
                let number = *client as usize % self.clients.len();
                self.linger(number, ms * 1000);
            }
            Fault::Snapshot => self.plan_host(0, host, HostEvent::SnapshotAsked),
            Fault::RestartAll { keep, down } => {
                for host in 0..self.hosts.len() {
                    self.crash(host, *keep, *down)?;
                }
            }
            Fault::RollingRestart { down } => self.rolling_restart(*down)?,
            Fault::Wipe { down } => return self.wipe(host, *down, fault),
            Fault::Damage { what, down } => return self.damage(host, *what, *down, fault),
            Fault::LyingFsync { ms, down } => return self.lie(host, *ms, *down, fault),
            network => self.network_fault(host, network)?,
        }
        self.figures.faults += 1;
        Ok(())
    }

    /// Waits for that moment of some server, but no longer than that.
    pub(crate) fn fault_when(&mut self, moment: Moment, fault: &Fault, ms: u64) -> Verdict {
        let deadline = self.now + ms * 1000;
        loop {
            let is_there = |host: &usize| moment.is_of(self.hosts[*host].server.as_deref());
            let there: Vec<usize> = (0..self.hosts.len()).filter(is_there).collect();
            if !there.is_empty() {
                let host = *self.streams.peers.pick(&there);
                return self.fault_at(host, fault);
            }
            if self.now > deadline {
                return Ok(());
            }
            self.advance()?;
        }
    }

    fn stall(&mut self, host: usize, ms: u64) {
        if self.hosts[host].server.is_some() {
            self.end_stall(host);
            self.hosts[host].paused_since = self.now;
            self.hosts[host].paused_until = self.now + ms * 1000;
            if ms > self.patience_ms() / 2 {
                self.count_change(host);
            }
        }
    }

    /// Faults of the network between servers. `host` is the target where the fault names none.
    fn network_fault(&mut self, host: usize, fault: &Fault) -> Verdict {
        let now = self.now;
        match *fault {
            Fault::Partition { ref groups, ms } => {
                self.partition(groups);
                self.mend_after(ms, Mend::Network);
            }
            Fault::Isolate(ms) => {
                self.count_change(host);
                for other in (0..self.hosts.len()).filter(|other| *other != host) {
                    self.net.cut(host, other);
                    self.net.cut(other, host);
                }
                self.mend_after(ms, Mend::Network);
            }
            Fault::Heal => self.mend(Mend::Network),
            Fault::OneWay { from, to, ms } => {
                let (from, to) = self.pair(fault, from, to);
                self.net.cut(from, to);
                self.mend_after(ms, Mend::Network);
            }
            Fault::Clog { from, to, ms } => {
                let (from, to) = self.pair(fault, from, to);
                self.net.clog(from, to);
                self.mend_after(ms, Mend::Clog { from, to });
            }
            Fault::SlowLink { from, to, delay, jitter, ms } => {
                let (from, to) = self.pair(fault, from, to);
                self.net.slow_down(from, to, delay * 1000, jitter * 1000);
                self.mend_after(ms, Mend::Slow { from, to });
            }
            Fault::Churn => {
                let plans = self.net.churn(now, None);
                self.plan_net(plans);
            }
            Fault::HalfOpen { gone, stays } => {
                let (gone, stays) = self.pair(fault, gone, stays);
                let outcomes = self.net.half_open(now, gone, stays);
                self.tell(outcomes)?;
            }
            Fault::StaleVotes { from, to, frames, round } => {
                let pair = self.pair(fault, from, to);
                for _ in 0..frames {
                    let plans = self.net.repeat_vote(now, pair, round);
                    self.plan_net(plans);
                }
            }
            Fault::Corrupt { from, to } => {
                let (from, to) = self.pair(fault, from, to);
                let plans = self.net.corrupt(now, from, to);
                self.plan_net(plans);
            }
            _ => return Err(format!("nobody knows how to do {fault:?}")),
        }
        Ok(())
    }

    /// Two different servers, between which it happens.
    fn pair(&mut self, fault: &Fault, from: Target, to: Target) -> (usize, usize) {
        let (from, to) = (self.target(Some(from)), self.target(Some(to)));
        let to = if from == to { (to + 1) % self.hosts.len() } else { to };
        self.cover_fault(fault, [from, to]);
        (from, to)
    }

    fn partition(&mut self, groups: &[Vec<u32>]) {
        let group_of = |host: &Host| {
            groups.iter().position(|group| group.iter().any(|sid| i64::from(*sid) == host.sid.0))
        };
        let placed: Vec<Option<usize>> = self.hosts.iter().map(group_of).collect();
        let apart = |a: usize, b: usize| placed[a].zip(placed[b]).is_some_and(|(a, b)| a != b);
        let all = 0..self.hosts.len();
        let cuts: Vec<(usize, usize)> =
            all.clone().flat_map(|a| all.clone().map(move |b| (a, b))).collect();
        for (a, b) in cuts.into_iter().filter(|(a, b)| apart(*a, *b)) {
            self.net.cut(a, b);
        }
        let leader = (0..self.hosts.len()).find(|h| Self::role(&self.hosts[*h]) == Role::Leader);
        let Some(leader) = leader else { return };
        let reached = |sid| {
            let there = self.hosts.iter().position(|h| h.sid == sid);
            there.is_some_and(|h| h == leader || self.net.connected(h, leader))
        };
        let keeps = self.config.ensemble.as_ref().is_some_and(|e| e.has_quorum(reached));
        self.figures.forced_changes += u64::from(!keeps);
    }

    /// `0`: until something else heals it.
    fn mend_after(&mut self, ms: u64, mend: Mend) {
        if ms > 0 {
            self.plan(ms * 1000, Event::Mend(mend));
        }
    }

    pub(crate) fn mend(&mut self, mend: Mend) {
        let what = match mend {
            Mend::Network => "the network",
            Mend::Clog { .. } => "a clogged link",
            Mend::Slow { .. } => "a slow link",
        };
        self.judge.mended(self.now, what);
        let plans = match mend {
            Mend::Network => self.net.heal(self.now),
            Mend::Clog { from, to } => self.net.unclog(self.now, from, to),
            Mend::Slow { from, to } => {
                self.net.speed_up(from, to);
                Vec::new()
            }
        };
        self.plan_net(plans);
    }

    /// One after the other, each back in service before the next one goes.
    fn rolling_restart(&mut self, down: u64) -> Verdict {
        for host in 0..self.hosts.len() {
            self.count_change(host);
            self.stop(host, down, Death::Told);
            self.wait_for(host)?;
        }
        Ok(())
    }

    /// Waits until the server serves.
    fn wait_for(&mut self, host: usize) -> Verdict {
        let limit_us = 4 * self.patience_ms() * 1000;
        let deadline = self.now + limit_us;
        while !self.hosts[host].serving {
            if self.now > deadline && !self.net.is_hurt() {
                let sid = self.hosts[host].sid;
                return Err(format!("L3: {sid} does not come to serve within {limit_us} µs"));
            }
            if self.now > deadline + limit_us {
                self.mend(Mend::Network);
            }
            self.advance()?;
        }
        Ok(())
    }

    /// Can the ensemble afford that this disk forgets? Everybody serves, nothing is cut, and no other disk has forgotten
    /// anything since its server last served. Whoever makes one forget lets nothing else happen until the server is back:
    /// until then a further loss could be legitimate.
    fn can_forget(&self, host: usize) -> bool {
        let fine = |h: &Host| h.serving && !h.forgot && self.now >= h.paused_until;
        self.hosts.len() > 2
            && self.config.ensemble.as_ref().is_some_and(|e| {
                e.has_quorum(|sid| sid != self.hosts[host].sid) && !self.net.is_hurt()
            })
            && self.hosts.iter().all(fine)
            && self.is_one_reign()
    }

    /// Replaces a disk, if the ensemble can afford it. Otherwise the machine only loses power.
    fn wipe(&mut self, host: usize, down: u64, fault: &Fault) -> Verdict {
        let affordable = self.can_forget(host);
        self.cover_fault(fault, affordable.then_some(host));
        self.crash(host, Keep::Nothing, down)?;
        if !affordable {
            return Ok(());
        }
        self.hosts[host].wipe();
        self.tell_left(host, true)?;
        self.wait_for(host)
    }

    fn damage(&mut self, host: usize, what: Harm, down: u64, fault: &Fault) -> Verdict {
        let affordable = self.can_forget(host);
        self.cover_fault(fault, affordable.then_some(host));
        self.crash(host, Keep::All, down)?;
        if !affordable {
            return Ok(());
        }
        self.hosts[host].harm(what, &mut self.streams.disk);
        self.tell_left(host, true)?;
        self.wait_for(host)
    }

    fn lie(&mut self, host: usize, ms: u64, down: u64, fault: &Fault) -> Verdict {
        self.hosts[host].lies = true;
        self.run_until(self.now + ms * 1000)?;
        if !self.can_forget(host) {
            self.hosts[host].own_up();
            return Ok(());
        }
        self.cover_fault(fault, [host]);
        let keep = *self.streams.disk.pick(&[Keep::Nothing, Keep::Some, Keep::Torn]);
        self.crash(host, keep, down)?;
        self.hosts[host].lies = false;
        self.hosts[host].forgot = true;
        self.tell_left(host, true)?;
        self.wait_for(host)
    }

    /// Is every server led in the same epoch? One that has not noticed a new leader yet does not hold its promise.
    fn is_one_reign(&self) -> bool {
        let epochs = self.hosts.iter().map(|host| host.epochs.durable);
        let mut epochs = epochs.collect::<Vec<_>>();
        epochs.dedup();
        matches!(epochs[..], [Some((accepted, current))] if accepted == current)
    }

    /// Waits until a leader is there.
    pub(crate) fn await_leader(&mut self, ms: u64) -> Verdict {
        let deadline = self.now + ms * 1000;
        while !self.is_led() {
            if self.now > deadline {
                return Err(format!("L1: no leader within {ms} ms"));
            }
            self.advance()?;
        }
        Ok(())
    }

    /// A leader serves. Who stands still leads nobody, whatever it takes itself for.
    pub(crate) fn is_led(&self) -> bool {
        let moves = |host: &Host| self.now >= host.paused_until;
        let leads = |host: &Host| Self::role(host) == Role::Leader && host.serving && moves(host);
        self.hosts.iter().any(leads)
    }

    /// Whether clients only keep their sessions alive.
    pub(crate) fn rest(&mut self, idle: bool) {
        self.clients.iter_mut().for_each(|client| client.idle = idle);
    }
}
