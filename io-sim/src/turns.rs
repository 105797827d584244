//! What servers ask for, carried out: turns, devices, timers, and the life of a process.

use crate::coverage::crash_name;
use crate::device::{Op, Queue, device_op};
use crate::disk::Keep;
use crate::judge::{Judge, Left, Verdict};
use crate::mistake::Mistake;
use crate::net::Death;
use crate::role;
use crate::schedule::Class;
use crate::world::{HostEvent, OwnEvent, SLICE, World};
use std::collections::VecDeque;
use zoetrope_core::{ChanId, ConnId, Effect, Input, Instant, Link, Milestone, Server, Sid, Timer};

/// What one turn of a server asks of the network.
#[derive(Default)]
struct Sending {
    replies: Vec<(ConnId, Vec<u8>)>,
    peers: Vec<ToPeer>,
}

/// What a server asks for about other servers, in order.
pub(crate) enum ToPeer {
    Send { chan: ChanId, bytes: Vec<u8> },
    Connect { sid: Sid, link: Link },
    Disconnect { chan: ChanId },
    Pause { chan: ChanId, paused: bool },
}

/// What a turn means for the process itself.
#[derive(Default)]
struct Fate {
    halted: Option<String>,
    served: bool,
}

/// A server that cannot use its disk says which of these it means.
const NAMES_ITS_FILES: [&str; 4] = ["log.", "snapshot", "acceptedEpoch", "currentEpoch"];

impl<J: Judge> World<J> {
    pub(crate) fn input(&mut self, host: usize, input: &Input<'_>) {
        if !self.hosts[host].input(self.now, input) {
            return;
        }
        self.figures.inputs += 1;
        if !self.hosts[host].turn_planned {
            self.hosts[host].turn_planned = true;
            let delay = self.streams.network.below(30);
            self.plan_own(delay, Class::Turn, host, OwnEvent::Turn);
        }
    }

    // The server's life.

    pub(crate) fn boot(&mut self, host: usize) -> Verdict {
        // It may have been started twice: by a restart, and by the end of its down time.
        if self.hosts[host].server.is_some() {
            return Ok(());
        }
        let listing = self.hosts[host].begin(self.now);
        let (seed, now) = (self.streams.server.draw(), self.hosts[host].clock(self.now));
        let mut config = self.config.clone();
        config.sid = self.hosts[host].sid;
        if let Some(flight) = &mut self.hosts[host].flight {
            flight.born(&config, seed, now, &listing);
        }
        self.hosts[host].server = Some(Box::new(Server::new(config, seed, now, listing)));
        self.net.host_up(host);
        self.plan_own(0, Class::Turn, host, OwnEvent::Turn);
        self.judge.booted(self.at(host))
    }

    pub(crate) fn crash(&mut self, host: usize, keep: Keep, down: u64) -> Verdict {
        self.note(b"crash");
        self.cover(crash_name(keep), host);
        self.judge.power_lost(self.at(host), keep);
        self.hosts[host].armed = None;
        self.figures.faults += 1;
        self.figures.crashes += 1;
        if self.hosts[host].server.is_some() && self.hosts[host].disk.unsynced_bytes() > 0 {
            self.figures.unsynced_crashes += 1;
        }
        self.count_change(host);
        self.hosts[host].lose_power(keep, &mut self.streams.disk);
        let death = self.death();
        self.stop(host, down, death);
        self.tell_left(host, false)
    }

    /// How others learn that a machine is off.
    fn death(&mut self) -> Death {
        if !self.together() {
            return Death::Told;
        }
        match self.streams.peers.below(4) {
            0 => Death::Silent,
            1 => Death::Late(self.streams.peers.between(10_000, 20_000_000)),
            _ => Death::Told,
        }
    }

    /// Tells the judge what a loss of power has left.
    pub(crate) fn tell_left(&mut self, host: usize, forgot: bool) -> Verdict {
        if !self.together() {
            return Ok(());
        }
        let files = self.hosts[host].files();
        let left = Left { files: &files, epochs: self.hosts[host].epochs.durable, forgot };
        self.judge.left(self.at(host), left)
    }

    /// The process is gone; every connection breaks.
    pub(crate) fn stop(&mut self, host: usize, down_ms: u64, death: Death) {
        if self.hosts[host].server.take().is_none() {
            return;
        }
        if let Some(flight) = &mut self.hosts[host].flight {
            flight.killed();
        }
        self.troubled_at = self.now;
        self.hosts[host].incarnation += 1;
        self.hosts[host].serving = false;
        self.end_stall(host);
        self.judge.crashed(self.at(host));
        let mine: Vec<ConnId> =
            self.conns.iter().filter(|(_, c)| c.host == host).map(|(id, _)| *id).collect();
        for conn in mine {
            let delay = self.streams.network.between(100, 2_000);
            self.plan_host(delay, host, HostEvent::ClosedByServer(conn));
        }
        let plans = self.net.host_down(self.now, host, death);
        self.plan_net(plans);
        self.plan_host(down_ms.max(1) * 1000, host, HostEvent::Boot);
    }

    /// The process goes on, or is gone: it stood still until now, or until it was to go on.
    pub(crate) fn end_stall(&mut self, host: usize) {
        let (since, until) = (self.hosts[host].paused_since, self.hosts[host].paused_until);
        if until > 0 {
            let us = until.min(self.now) - since;
            self.judge.stalled(self.at(host), us);
            self.hosts[host].paused_until = 0;
        }
    }

    /// Only a broken disk is a reason to stop.
    fn on_halt(&mut self, host: usize, why: &str) -> Verdict {
        if self.hosts[host].forgot && NAMES_ITS_FILES.iter().any(|name| why.contains(name)) {
            // Somebody reads that, and gives it an empty disk.
            self.figures.refused_disks += 1;
            self.stop(host, 500, Death::Told);
            self.hosts[host].wipe();
            return self.tell_left(host, true);
        }
        if !why.contains("injected") {
            return Err(format!("the server halted: {why}"));
        }
        // The process ends; the page cache stays, and the system writes it sooner or later.
        self.count_change(host);
        self.hosts[host].own_up();
        self.hosts[host].lose_power(Keep::Some, &mut self.streams.disk);
        self.stop(host, 500, Death::Told);
        self.tell_left(host, false)
    }

    // Turns.

    pub(crate) fn turn(&mut self, host: usize) -> Verdict {
        self.hosts[host].turn_planned = false;
        let Some(mut server) = self.hosts[host].server.take() else { return Ok(()) };
        let mut sending = Sending::default();
        let fate = self.carry_out(host, &mut server, &mut sending)?;
        let (at, now) = (self.at(host), self.hosts[host].clock(self.now));
        if let Some(flight) = &mut self.hosts[host].flight {
            flight.copy(&mut server, now);
        }
        if fate.served {
            self.hosts[host].serves();
            self.judge.serving(at, &server)?;
        }
        self.hosts[host].server = Some(server);
        for ask in sending.peers {
            self.ask_net(host, ask)?;
            if self.had_effects(1) {
                return self.crash_as_planned(host);
            }
        }
        let mut replies = sending.replies;
        replies.truncate(self.effects_left().unwrap_or(u64::MAX) as usize);
        let sent = replies.len() as u64;
        self.send(host, replies)?;
        if self.had_effects(sent) {
            return self.crash_as_planned(host);
        }
        let together = self.together();
        if let Some(server) = &self.hosts[host].server
            && (together || self.judge.watches_everything())
        {
            let serves = role::serves(server);
            self.judge.turned(at, server)?;
            let serves = serves || !together;
            if self.hosts[host].serving && !serves {
                self.troubled_at = self.now;
            }
            self.hosts[host].serving &= serves;
        }
        match fate.halted {
            Some(why) => self.on_halt(host, &why),
            None => Ok(()),
        }
    }

    fn carry_out(
        &mut self,
        host: usize,
        server: &mut Server,
        sending: &mut Sending,
    ) -> Result<Fate, String> {
        let now = self.hosts[host].clock(self.now);
        let (at, together) = (self.at(host), self.together());
        let mut flight = self.hosts[host].flight.take();
        if let Some(flight) = &mut flight {
            flight.turn_begins(now);
        }
        let turn = server.effects(now);
        if let Some(flight) = &mut flight {
            flight.turn_ends(&turn);
        }
        self.hosts[host].flight = flight;
        let mut fate = Fate::default();
        for effect in turn.effects() {
            if let Some((queue, op)) = device_op(effect, &turn) {
                if let Op::Append { at: 16.., bytes, .. } = &op {
                    self.judge.appended(at, bytes)?;
                }
                self.judge.submitted(at, &op)?;
                self.note(op.label().as_bytes());
                self.submit(host, queue, op);
                continue;
            }
            let alone = !together;
            match *effect {
                Effect::Read { file, at, len } => {
                    let done = self.hosts[host].read(file, &turn.place(file).name, at, len);
                    self.plan_own(200, Class::Fact, host, OwnEvent::Done(done));
                }
                Effect::Reply { conn } => sending.replies.push((conn, turn.reply(conn).to_vec())),
                Effect::Close { .. } if self.mistake == Mistake::LeakedConnection => {}
                Effect::Close { conn } => sending.replies.push((conn, Vec::new())),
                Effect::Pause { conn } => {
                    if let Some(link) = self.conns.get_mut(&conn) {
                        link.paused = true;
                    }
                }
                Effect::Resume { conn } => self.resume(conn),
                Effect::SetTimer { id, at } => self.set_timer(host, id, at, now.mono),
                Effect::Report(milestone) => {
                    self.note(format!("{milestone:?}").as_bytes());
                    self.judge.reported(at, &milestone, &turn);
                    fate.served |= matches!(milestone, Milestone::Serving { .. });
                    if let Milestone::SyncStarted { branch, .. } = milestone {
                        self.figures.branches.insert(branch);
                        let follows = role::role_of(turn.server()) == role::Role::Follower;
                        self.figures.master_syncs += u64::from(follows);
                    }
                    let expired = matches!(milestone, Milestone::SessionExpired { .. });
                    self.figures.expired += u64::from(expired);
                    let read_only = matches!(milestone, Milestone::ServingReadOnly { .. });
                    self.figures.read_only_stints += u64::from(read_only);
                }
                Effect::Halt => fate.halted = turn.halted().map(str::to_owned),
                effect if alone => return Err(format!("a server alone asks for {effect:?}")),
                Effect::SendPeer { chan, bytes } => {
                    let bytes = turn.bytes(bytes).to_vec();
                    sending.peers.push(ToPeer::Send { chan, bytes });
                }
                Effect::Connect { sid, link } => sending.peers.push(ToPeer::Connect { sid, link }),
                Effect::Disconnect { chan } => sending.peers.push(ToPeer::Disconnect { chan }),
                Effect::PausePeer { chan } => {
                    sending.peers.push(ToPeer::Pause { chan, paused: true });
                }
                Effect::ResumePeer { chan } => {
                    sending.peers.push(ToPeer::Pause { chan, paused: false });
                }
                effect => return Err(format!("nobody knows how to carry out {effect:?}")),
            }
        }
        Ok(fate)
    }

    fn set_timer(&mut self, host: usize, id: Timer, at: Instant, now: Instant) {
        self.hosts[host].timers.insert(id, at);
        let wait = self.hosts[host].wait_for(at, now);
        self.plan_own(wait, Class::Timer, host, OwnEvent::Ring { id, at });
    }

    // Devices.

    fn submit(&mut self, host: usize, queue: Queue, op: Op) {
        if queue == Queue::Log && self.hosts[host].log_failed {
            return;
        }
        let waiting = self.hosts[host].queues.entry(queue).or_default();
        waiting.push_back(op);
        if waiting.len() == 1 {
            self.plan_device(host, queue);
        }
    }

    fn plan_device(&mut self, host: usize, queue: Queue) {
        let front = self.hosts[host].queues.get(&queue).and_then(VecDeque::front);
        let Some(op) = front else { return };
        let slow_us = match op {
            _ if self.now >= self.hosts[host].slow_disk_until => 0,
            // A snapshot in many slices takes no longer than one in few.
            Op::Slice { at: 1.., bytes } => {
                let share = bytes.len() as u64 * self.hosts[host].slow_disk_us / u64::from(SLICE);
                share.min(self.hosts[host].slow_disk_us)
            }
            _ => self.hosts[host].slow_disk_us,
        };
        let usual = match op {
            Op::Append { .. } | Op::Slice { .. } => self.streams.disk.between(5, 40),
            Op::Fsync { .. } | Op::FsyncDir => self.streams.disk.between(50, 800),
            Op::Finish { .. } | Op::Reserve { .. } => self.streams.disk.between(100, 3_000),
            Op::Epochs { .. } => self.streams.disk.between(100, 2_000),
            Op::Rename { .. } | Op::Truncate { .. } | Op::Discard { .. } | Op::Remove { .. } => 20,
        };
        let mut delay = usual + slow_us + std::mem::take(&mut self.hosts[host].stall_disk_us);
        if queue == Queue::Snapshot {
            delay += std::mem::take(&mut self.hosts[host].stall_snapshot_us);
        }
        self.plan_own(delay, Class::Fact, host, OwnEvent::DeviceStep(queue));
    }

    pub(crate) fn device_step(&mut self, host: usize, queue: Queue) -> Verdict {
        let front = self.hosts[host].queues.get_mut(&queue).and_then(VecDeque::pop_front);
        let Some(op) = front else { return Ok(()) };
        let label = op.label();
        let (done, really) = self.hosts[host].carry_out(&op);
        if really && (self.together() || self.judge.watches_everything()) {
            self.judge.performed(self.at(host), &op)?;
        }
        if self.had_effects(1) {
            return self.crash_as_planned(host);
        }
        if let Some(done) = done.filter(|_| self.hosts[host].is_told()) {
            let delay = self.streams.disk.between(1, 30);
            self.plan_own(delay, Class::Fact, host, OwnEvent::Done(done));
        }
        let armed = self.hosts[host].armed.as_mut();
        if let Some(armed) = armed.filter(|armed| armed.op == label) {
            if armed.skip == 0 {
                let (keep, down) = (armed.keep, armed.down);
                return self.crash(host, keep, down);
            }
            armed.skip -= 1;
        }
        self.plan_device(host, queue);
        Ok(())
    }

    pub(crate) fn make_mistake(&mut self, host: usize, bytes: Vec<u8>) -> Vec<u8> {
        let reorder =
            matches!(self.mistake, Mistake::ReplyBeforeEvent | Mistake::RepliesOutOfOrder);
        if !reorder || !self.hosts[host].serving {
            return bytes;
        }
        let mut frames: Vec<&[u8]> = Vec::new();
        let mut rest = &bytes[..];
        while let Some(prefix) = rest.first_chunk::<4>() {
            let end = (4 + u32::from_be_bytes(*prefix) as usize).min(rest.len());
            frames.push(&rest[..end]);
            rest = &rest[end..];
        }
        let is_event = |frame: &[u8]| frame.get(4..8) == Some(&[0xff; 4]);
        match self.mistake {
            Mistake::ReplyBeforeEvent => frames.sort_by_key(|frame| is_event(frame)),
            _ => {
                let replies: Vec<usize> =
                    (0..frames.len()).filter(|n| !is_event(frames[*n])).collect();
                if let [one, two, ..] = replies[..] {
                    frames.swap(one, two);
                }
            }
        }
        frames.concat()
    }
}
