//! Servers, their disks, their clients and the network between all of them, on one clock. Does one thing at a time and
//! tells a [`Judge`] of it. Judges nothing itself.
//!
//! Here: the schedule and the steps. What a server asks for is carried out in `turns`, what its clients do in `conns`,
//! what the network between servers does in `peers`, what is done to all of them in `faults`, and what is expected of
//! them in `expect`.

use crate::branch::{CrashAt, Watch};
use crate::client::{Client, Life};
use crate::conns::Conn;
use crate::device::{Armed, Done, Queue};
use crate::flight::Flight;
use crate::host::Host;
use crate::judge::{At, Figures, Judge, Outcome, Verdict};
use crate::mistake::Mistake;
use crate::net::{Net, NetEvent};
use crate::rng::Streams;
use crate::scenario::{LocalSessions, Scenario, Step};
use crate::schedule::{Class, Schedule};
use std::collections::{BTreeMap, BTreeSet};
use zoetrope_core::{
    ChanId, Config, ConnId, Ensemble, Input, Instant, Member, PeerAddress, Server, Sid, Timer,
};

#[derive(Clone, Debug)]
pub(crate) enum Event {
    ClientTurn(usize),
    ToClient {
        conn: ConnId,
        bytes: Vec<u8>,
    },
    DiskHasRoom(usize),
    Look,
    /// Something that waits while that host stands still.
    Host(usize, HostEvent),
    Net(Option<usize>, NetEvent),
    /// The end of a fault that lasts.
    Mend(Mend),
}

#[derive(Clone, Debug)]
pub(crate) enum HostEvent {
    ToServer {
        conn: ConnId,
        bytes: Vec<u8>,
    },
    OpenedByClient(ConnId),
    SnapshotAsked,
    ClosedByClient(ConnId),
    ClosedByServer(ConnId),
    Sent {
        conn: ConnId,
        upto: u64,
    },
    Boot,
    /// Of one incarnation only.
    Own {
        incarnation: u32,
        event: OwnEvent,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum OwnEvent {
    DeviceStep(Queue),
    Done(Done),
    Ring { id: Timer, at: Instant },
    Turn,
}

/// A fault that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mend {
    Network,
    Clog { from: usize, to: usize },
    Slow { from: usize, to: usize },
}

/// The world. Its clone goes on as it would have.
#[derive(Clone)]
pub struct World<J> {
    pub(crate) now: u64,
    pub(crate) schedule: Schedule<Event>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) net: Net,
    pub(crate) clients: Vec<Client>,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    pub(crate) next_conn: u64,
    pub(crate) streams: Streams,
    pub(crate) config: Config,
    pub(crate) pipeline: usize,
    pub(crate) mistake: Mistake,
    /// Servers whose votes are heard in their old form.
    pub(crate) old_votes: Vec<Sid>,
    /// Links on which such a server is heard, by who hears it.
    pub(crate) old_links: BTreeSet<(usize, ChanId)>,
    /// When anything was last wrong with any server or link, µs.
    pub(crate) troubled_at: u64,
    pub(crate) figures: Figures,
    pub(crate) trace: u64,
    /// No event happens from then on, µs.
    stop_at: u64,
    /// Effects that servers have had.
    pub(crate) effects: u64,
    pub(crate) crash_at: Option<CrashAt>,
    pub(crate) watch: Watch<J>,
    /// Who sees it all.
    pub judge: J,
}

/// Longest a run may take, in simulated time: whoever waits longer waits for ever.
const PATIENCE_US: u64 = 3_600_000_000;

/// Bytes of a snapshot that are written at a time, unless a scenario says otherwise.
pub(crate) const SLICE: u32 = 2 << 10;

/// The ensemble a scenario describes; `None`: one server that stands alone.
fn ensemble_of(scenario: &Scenario) -> Option<Ensemble> {
    let voters = scenario.peers?;
    let mut ensemble = Ensemble::default();
    for n in 1..=voters + scenario.observers {
        let address =
            PeerAddress { host: format!("10.0.0.{n}"), quorum_port: 2888, election_port: 3888 };
        let member = Member { addresses: vec![address], observer: n > voters, client: None };
        ensemble.members.insert(Sid(i64::from(n)), member);
    }
    for (number, group) in scenario.groups.iter().enumerate() {
        let sids = group.iter().map(|sid| Sid(i64::from(*sid))).collect();
        ensemble.groups.insert(number as i64 + 1, sids);
    }
    Some(ensemble)
}

/// The settings of a scenario's servers, but for their ids.
pub fn settings(scenario: &Scenario) -> Config {
    let mut config = Config { tick_ms: 2000, extended_types: true, ..Config::default() };
    config.limits.frame_max = 64 << 10;
    config.limits.frame_extra = 64 << 10;
    config.limits.output_budget = scenario.client_budget.map_or(64 << 10, u64::from);
    config.storage.snap_count = scenario.snap_count;
    config.storage.slice_bytes = scenario.slice.unwrap_or(SLICE);
    config.storage.reserve_step = 64 << 10;
    config.storage.held_reserve = 16 << 10;
    config.ensemble = ensemble_of(scenario);
    config.force_snapshot_sync = scenario.force_snapshot_sync;
    config.observer_masters = scenario.observer_masters;
    config.read_only_mode = scenario.read_only;
    config.enforce_quota = scenario.quotas;
    if let Some(ms) = scenario.reap_every {
        config.containers.check_interval_ms = u64::from(ms);
    }
    if let Some(syncs) = scenario.syncs {
        (config.snap_syncs_max, config.diff_syncs_max) = (syncs, syncs);
    }
    if config.ensemble.is_some() {
        config.limits.peer_budget = 32 << 10;
        if let Some(budget) = scenario.link_budget {
            config.limits.peer_budget = u64::from(budget);
            config.limits.tree_slice = budget;
        }
        config.init_limit = 5;
        config.sync_limit = 2;
        config.local_sessions = scenario.local_sessions != LocalSessions::Off;
        config.local_sessions_upgrading = scenario.local_sessions == LocalSessions::Upgraded;
    }
    config
}

impl<J: Judge> World<J> {
    /// The world of a scenario, before anything has happened.
    pub fn new(scenario: &Scenario, judge: J, mistake: Mistake) -> Self {
        mistake.plant();
        let config = settings(scenario);
        let servers = scenario.peers.map_or(1, |voters| voters + scenario.observers);
        let clients = (0..scenario.clients as usize)
            .map(|n| {
                let mut client = Client::new(scenario.timeout_ms, scenario.without.clone(), n);
                client.willing = scenario.read_only && n % 2 == 0;
                client.quotas = scenario.quotas;
                client
            })
            .collect();
        let streams = Streams::new(scenario.seed);
        let mut world = Self {
            now: 0,
            schedule: Schedule::new(),
            hosts: (1..=servers).map(|n| Host::new(Sid(i64::from(n)), mistake)).collect(),
            net: Net::new(streams.peers.clone()),
            clients,
            conns: BTreeMap::new(),
            next_conn: 0,
            streams,
            config,
            pipeline: scenario.pipeline.max(1) as usize,
            mistake,
            old_votes: scenario.old_votes.iter().map(|sid| Sid(i64::from(*sid))).collect(),
            old_links: BTreeSet::new(),
            troubled_at: 0,
            figures: Figures::default(),
            trace: 0xcbf2_9ce4_8422_2325,
            stop_at: u64::MAX,
            effects: 0,
            crash_at: None,
            watch: Watch::nobody(),
            judge,
        };
        for host in 0..world.hosts.len() {
            world.plan(0, Event::Host(host, HostEvent::Boot));
        }
        world.plan(1_000_000, Event::Look);
        for client in 0..world.clients.len() {
            world.plan(1000 * client as u64, Event::ClientTurn(client));
        }
        world
    }

    /// Runs the scenario's steps.
    pub fn run(mut self, steps: &[Step]) -> Outcome {
        self.play(steps)
    }

    /// Runs the scenario's steps and kills the server. Also answers the files it left: names and contents.
    pub fn run_for_files(mut self, steps: &[Step]) -> (Outcome, Vec<(String, Vec<u8>)>) {
        let outcome = self.play(steps);
        (outcome, self.hosts[0].files())
    }

    /// Runs these steps. Behind them the world can be looked at, and go on.
    pub fn play(&mut self, steps: &[Step]) -> Outcome {
        let violation = steps.iter().find_map(|step| self.step(step).err());
        let violation = violation.filter(|_| !self.is_stopped());
        if let Some(violation) = &violation {
            self.judge.broken(self.now, violation);
        }
        self.figures.simulated_us = self.now;
        Outcome { violation, trace: self.trace, figures: self.figures.clone() }
    }

    /// From here on every server's flight is recorded, in files that begin at random moments, which `seed` decides. With
    /// `replace` each server is then what its new file says. To be called before anything has happened.
    pub fn record_flights(&mut self, seed: u64, replace: bool) {
        for (number, host) in self.hosts.iter_mut().enumerate() {
            host.flight = Some(Box::new(Flight::new(seed, number, replace)));
        }
    }

    /// The recordings of all servers, of each in order.
    pub fn flights(&self) -> impl Iterator<Item = (Sid, &[u8])> {
        self.hosts.iter().flat_map(|host| {
            let files = host.flight.iter().flat_map(|flight| flight.files());
            files.map(|file| (host.sid, file))
        })
    }

    /// Lets the world end at that moment, whatever its steps say; µs.
    pub fn stop_at(&mut self, us: u64) {
        self.stop_at = us;
    }

    /// Has the world ended because its time was over?
    pub fn is_stopped(&self) -> bool {
        self.now >= self.stop_at
    }

    /// Simulated time, µs.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Every server: its id, and its process if one runs.
    pub fn servers(&self) -> impl Iterator<Item = (Sid, Option<&Server>)> {
        self.hosts.iter().map(|host| (host.sid, host.server.as_deref()))
    }

    fn step(&mut self, step: &Step) -> Verdict {
        self.judge.begins(self.now, step);
        self.figures.steps += 1;
        match step {
            Step::Requests(n) => {
                let (until, deadline) = (self.figures.requests + n, self.now + PATIENCE_US);
                while self.figures.requests < until {
                    self.advance()?;
                    if self.now > deadline {
                        return Err(format!("{n} requests were not answered within an hour"));
                    }
                }
                Ok(())
            }
            Step::Run(ms) => self.run_until(self.now + ms * 1000),
            Step::Idle(ms) => {
                self.rest(true);
                let done = self.run_until(self.now + ms * 1000);
                self.rest(false);
                done
            }
            Step::Rest => {
                self.rest(true);
                Ok(())
            }
            Step::Work => {
                self.rest(false);
                Ok(())
            }
            Step::UntilLeader(ms) => {
                let deadline = self.now + ms * 1000;
                while self.now < deadline && !self.is_led() {
                    self.advance()?;
                }
                Ok(())
            }
            Step::Fault(fault) => self.fault(fault),
            Step::FaultAt { at, fault } => {
                let host = self.target(Some(*at));
                self.fault_at(host, fault)
            }
            Step::FaultWhen { moment, fault, within } => self.fault_when(*moment, fault, *within),
            Step::AwaitLeader(ms) => self.await_leader(*ms),
            Step::CrashAfter { op, skip, keep, down, at } => {
                let host = self.target(*at);
                let armed = Armed { op: op.clone(), skip: *skip, keep: *keep, down: *down };
                self.hosts[host].armed = Some(armed);
                // Some operations come seldom; when none comes, the power goes anyway.
                let deadline = self.now + 2_000_000;
                while self.hosts[host].armed.is_some() {
                    if self.now > deadline {
                        self.hosts[host].armed = None;
                        return self.crash(host, *keep, *down);
                    }
                    self.advance()?;
                }
                Ok(())
            }
            Step::ExpectService(ms) => self.expect_service(*ms),
            Step::ExpectSessions(ms) => {
                let deadline = self.now + ms * 1000;
                while !self.clients.iter().all(|client| client.life == Life::Up) {
                    if self.now > deadline {
                        return Err(format!("after {ms} ms not every client has a session"));
                    }
                    self.advance()?;
                }
                Ok(())
            }
            Step::ExpectWrites(ms) => self.expect_writes(*ms),
            Step::ExpectReads(ms) => self.expect_reads(*ms),
            Step::ExpectAgreement => self.expect_agreement(),
        }
    }

    pub(crate) fn run_until(&mut self, until: u64) -> Verdict {
        while self.now < until {
            self.advance()?;
        }
        Ok(())
    }

    /// Time within which an ensemble has to serve again, ms.
    pub(crate) fn patience_ms(&self) -> u64 {
        u64::from(self.config.init_limit + 2 * self.config.sync_limit)
            * u64::from(self.config.tick_ms)
    }

    /// Does every server serve, and is nothing wrong with any of them, or between them?
    fn is_calm(&self) -> bool {
        let fine = |host: &Host| {
            host.serving
                && self.now >= host.paused_until
                && self.now >= host.slow_disk_until
                && host.room_left.is_none()
                && host.full.is_none()
        };
        self.hosts.iter().all(fine) && !self.net.is_hurt()
    }

    /// Do the servers form an ensemble?
    pub(crate) fn together(&self) -> bool {
        self.config.ensemble.is_some()
    }

    pub(crate) fn at(&self, host: usize) -> At {
        At { now: self.now, sid: self.hosts[host].sid }
    }

    pub(crate) fn plan(&mut self, in_us: u64, event: Event) {
        self.schedule.plan(self.now + in_us, Class::Fact, event);
    }

    pub(crate) fn plan_host(&mut self, in_us: u64, host: usize, event: HostEvent) {
        self.plan(in_us, Event::Host(host, event));
    }

    /// Plans something for the process that runs now.
    pub(crate) fn plan_own(&mut self, in_us: u64, class: Class, host: usize, event: OwnEvent) {
        let incarnation = self.hosts[host].incarnation;
        let event = Event::Host(host, HostEvent::Own { incarnation, event });
        self.schedule.plan(self.now + in_us, class, event);
    }

    pub(crate) fn note(&mut self, text: &[u8]) {
        for byte in text {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.trace = (self.trace ^ self.now).wrapping_mul(0x100_0000_01b3);
    }

    fn awake(&self, host: usize) -> bool {
        self.now >= self.hosts[host].paused_until
    }

    pub(crate) fn advance(&mut self) -> Verdict {
        if self.is_watched() {
            self.show_watcher()?;
        }
        let (at, class, event) = self.schedule.next().expect("clients always plan something");
        if at >= self.stop_at {
            self.now = self.stop_at;
            return Err("the time of this run is over".to_owned());
        }
        self.now = self.now.max(at);
        for host in 0..self.hosts.len() {
            if self.hosts[host].paused_until > 0 && self.awake(host) {
                self.end_stall(host);
            }
        }
        if let Event::Host(host, _) | Event::Net(Some(host), _) = &event
            && !self.awake(*host)
        {
            self.schedule.plan(self.hosts[*host].paused_until, class, event);
            return Ok(());
        }
        match event {
            Event::ClientTurn(client) => return self.client_turn(client),
            Event::ToClient { conn, bytes } => self.hand_over(conn, &bytes),
            Event::Host(host, event) => return self.host_event(host, event),
            Event::Net(_, event) => return self.net_event(&event),
            Event::Mend(mend) => self.mend(mend),
            Event::DiskHasRoom(host) => {
                if self.hosts[host].find_room() {
                    self.judge.room(self.at(host), false);
                }
            }
            Event::Look => {
                self.plan(500_000, Event::Look);
                if !self.is_calm() {
                    self.troubled_at = self.now;
                }
                for host in 0..self.hosts.len() {
                    let at = self.at(host);
                    if let (Some(server), true) =
                        (&self.hosts[host].server, self.hosts[host].serving)
                        && self.awake(host)
                    {
                        self.judge.passed(at, server)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn host_event(&mut self, host: usize, event: HostEvent) -> Verdict {
        match event {
            HostEvent::ToServer { conn, bytes } => return self.deliver(conn, &bytes),
            HostEvent::OpenedByClient(conn) => self.open(conn),
            HostEvent::SnapshotAsked => {
                self.input(host, &Input::Command(zoetrope_core::Command::Snapshot));
            }
            HostEvent::ClosedByClient(conn) => return self.closed_by_client(conn),
            HostEvent::ClosedByServer(conn) => {
                if let Some(link) = self.conns.remove(&conn) {
                    self.cut_off(link.client, conn);
                }
            }
            HostEvent::Sent { conn, upto } => self.input(host, &Input::Sent { conn, upto }),
            HostEvent::Boot => return self.boot(host),
            HostEvent::Own { incarnation, event } => {
                if incarnation == self.hosts[host].incarnation {
                    return self.own_event(host, event);
                }
            }
        }
        Ok(())
    }

    fn own_event(&mut self, host: usize, event: OwnEvent) -> Verdict {
        match event {
            OwnEvent::DeviceStep(queue) => return self.device_step(host, queue),
            OwnEvent::Done(done) => self.input(host, &done.input()),
            OwnEvent::Ring { id, at } => {
                if self.hosts[host].timers.get(&id) == Some(&at) {
                    self.hosts[host].timers.remove(&id);
                    self.input(host, &Input::Timer { id });
                }
            }
            OwnEvent::Turn => return self.turn(host),
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
