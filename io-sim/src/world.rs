//! One server, its disk, its clients and the network between them, on one clock. Does one thing at a time and tells a
//! [`Judge`] of it. Judges nothing itself.

use crate::client::{Client, Life};
use crate::disk::{Disk, Keep};
use crate::rng::Streams;
use crate::scenario::{Fault, Scenario, Step};
use crate::schedule::{Class, Schedule};
use std::collections::{BTreeMap, VecDeque};
use zoetrope_core::{
    Config, ConnId, Device, Dir, Effect, FileId, FilePlace, Input, Instant, Listing, Milestone,
    Now, Server, Timer, Turn, Zxid,
};

/// Watches a run. An `Err` ends it: a promise was broken.
pub trait Judge {
    /// The server appended these records to its log.
    fn appended(&mut self, now: u64, records: &[u8]) -> Result<(), String>;
    /// A client connected.
    fn opened(&mut self, conn: ConnId);
    /// A whole frame reached the server.
    fn heard(&mut self, now: u64, conn: ConnId, frame: &[u8]) -> Result<(), String>;
    /// The server sent these bytes, all of one turn.
    fn answered(&mut self, now: u64, replies: &[(ConnId, Vec<u8>)]) -> Result<(), String>;
    /// The connection is over; `by_server` when the server ended it.
    fn closed(&mut self, now: u64, conn: ConnId, by_server: bool) -> Result<(), String>;
    /// The server is gone, with the power or by itself.
    fn crashed(&mut self, now: u64);
    /// The server serves, after reading its files.
    fn serving(&mut self, now: u64, server: &Server) -> Result<(), String>;
    /// The process stood still for that long, until about now.
    fn stalled(&mut self, now: u64, us: u64);
    /// Some time has passed.
    fn passed(&mut self, now: u64, server: &Server) -> Result<(), String>;
    /// The disk is full, or has room again.
    fn room(&mut self, full: bool);
}

/// What a run did.
#[derive(Clone, Default, Debug)]
pub struct Figures {
    /// Requests that were answered.
    pub requests: u64,
    /// Inputs the core absorbed.
    pub inputs: u64,
    /// Faults that happened, crashes included.
    pub faults: u64,
    /// Crashes.
    pub crashes: u64,
    /// Crashes that caught unsynced bytes.
    pub unsynced_crashes: u64,
    /// Simulated time, µs.
    pub simulated_us: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The broken promise, if one was.
    pub violation: Option<String>,
    /// Equal for equal runs.
    pub trace: u64,
    /// What it did.
    pub figures: Figures,
}

#[derive(Clone, Debug)]
enum Event {
    ClientTurn(usize),
    ToServer { conn: ConnId, bytes: Vec<u8> },
    ToClient { conn: ConnId, bytes: Vec<u8> },
    OpenedByClient(ConnId),
    SnapshotAsked,
    ClosedByClient(ConnId),
    ClosedByServer(ConnId),
    Sent { conn: ConnId, upto: u64 },
    DeviceStep { incarnation: u32, device: Device },
    Done { incarnation: u32, done: Done },
    Ring { incarnation: u32, id: Timer, at: Instant },
    Turn { incarnation: u32 },
    Boot,
    DiskHasRoom,
    Look,
}

#[derive(Clone, Debug)]
enum Done {
    Reserved { file: FileId, upto: u64 },
    NoRoom { file: FileId },
    Durable { branch: u32, upto: u64 },
    SnapWritten { upto: u64 },
    SnapDurable { zxid: Zxid },
    SnapFailed,
    Read { file: FileId, at: u64, bytes: Vec<u8> },
    ReadFailed { file: FileId },
    Failed { error: &'static str },
}

/// One device operation, its paths resolved.
#[derive(Clone, Debug)]
enum Op {
    Reserve { file: FileId, name: String, upto: u64 },
    Append { name: String, at: u64, bytes: Vec<u8> },
    Fsync { name: String, branch: u32, upto: u64 },
    Rename { from: String, to: String },
    FsyncDir,
    Truncate { name: String, at: u64 },
    Slice { at: u64, bytes: Vec<u8> },
    Finish { name: String, zxid: Zxid },
    Remove { name: String },
}

impl Op {
    fn label(&self) -> &'static str {
        match self {
            Self::Reserve { .. } => "reserve",
            Self::Append { .. } => "append",
            Self::Fsync { .. } => "fsync",
            Self::Rename { .. } => "rename",
            Self::FsyncDir => "fsync-dir",
            Self::Truncate { .. } => "truncate",
            Self::Slice { .. } => "slice",
            Self::Finish { .. } => "finish",
            Self::Remove { .. } => "remove",
        }
    }
}

#[derive(Clone, Debug)]
struct Armed {
    op: String,
    skip: u64,
    keep: Keep,
    down: u64,
}

/// A connection, as the network sees it.
#[derive(Clone, Debug)]
struct Link {
    client: usize,
    /// When the last bytes arrive, either way: a connection is first in, first out.
    server_has_until: u64,
    client_has_until: u64,
    produced: u64,
    /// Bytes that are no whole frame yet.
    partial: Vec<u8>,
    paused: bool,
    held: VecDeque<Vec<u8>>,
}

/// Mistakes a driver could make, put in on purpose to see the judges find them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Mistake {
    /// None.
    #[default]
    None,
    /// The log is called durable before it is.
    NoFsyncWait,
    /// Names are never made durable.
    NoDirectoryFsync,
    /// A torn tail is taken for damage: the server does not start.
    NoTornTailCheck,
    /// The events of a turn come behind its replies.
    ReplyBeforeEvent,
    /// Two replies of a turn change places.
    RepliesOutOfOrder,
}

/// The world.
pub struct World<J> {
    now: u64,
    schedule: Schedule<Event>,
    server: Option<Server>,
    incarnation: u32,
    booted_at: u64,
    serving: bool,
    turn_planned: bool,
    timers: BTreeMap<Timer, Instant>,
    disk: Disk,
    queues: BTreeMap<Device, VecDeque<Op>>,
    clients: Vec<Client>,
    links: BTreeMap<ConnId, Link>,
    next_conn: u64,
    streams: Streams,
    config: Config,
    paused_since: u64,
    paused_until: u64,
    drift: i64,
    wall_jump_ms: i64,
    /// Bytes that a full disk still has: what was given back. `None`: plenty.
    room_left: Option<u64>,
    stall_disk_us: u64,
    stall_snapshot_us: u64,
    fail_fsync: bool,
    fail_read: bool,
    armed: Option<Armed>,
    pipeline: usize,
    mistake: Mistake,
    figures: Figures,
    trace: u64,
    /// Who sees it all.
    pub judge: J,
}

/// What a device has to do for an effect.
fn device_op(effect: &Effect, turn: &Turn<'_>) -> Option<(Device, Op)> {
    let name = |file| turn.place(file).name.clone();
    Some(match *effect {
        // Room is made beside the log, by a device of its own.
        Effect::Reserve { file, upto } => {
            (Device::Epochs, Op::Reserve { file, name: name(file), upto })
        }
        Effect::Append { file, at, bytes } => {
            let bytes = turn.bytes(bytes).to_vec();
            (Device::Log, Op::Append { name: name(file), at, bytes })
        }
        Effect::Fsync { file, branch, upto } => {
            (Device::Log, Op::Fsync { name: name(file), branch, upto })
        }
        Effect::Rename { from, to } => (Device::Log, Op::Rename { from: name(from), to: name(to) }),
        Effect::FsyncDir => (Device::Log, Op::FsyncDir),
        Effect::Truncate { file, at } => (Device::Log, Op::Truncate { name: name(file), at }),
        Effect::SnapSlice { at, bytes } => {
            (Device::Snapshot, Op::Slice { at, bytes: turn.bytes(bytes).to_vec() })
        }
        Effect::SnapFinish { file, zxid } => {
            (Device::Snapshot, Op::Finish { name: name(file), zxid })
        }
        Effect::Remove { file } => (Device::Epochs, Op::Remove { name: name(file) }),
        _ => return None,
    })
}

/// Longest a run may take, in simulated time: whoever waits longer waits for ever.
const PATIENCE_US: u64 = 3_600_000_000;
const WALL_ZERO_MS: i64 = 1_700_000_000_000;

impl<J: Judge> World<J> {
    /// The world of a scenario, before anything has happened.
    pub fn new(scenario: &Scenario, judge: J, mistake: Mistake) -> Self {
        let mut config = Config { tick_ms: 2000, extended_types: true, ..Config::default() };
        config.limits.frame_max = 64 << 10;
        config.limits.frame_extra = 64 << 10;
        config.limits.output_budget = 64 << 10;
        config.storage.snap_count = scenario.snap_count;
        config.storage.slice_bytes = 2 << 10;
        config.storage.reserve_step = 64 << 10;
        config.storage.held_reserve = 16 << 10;
        #[cfg(feature = "planted-bugs")]
        {
            config.storage.planted_no_torn_tail = mistake == Mistake::NoTornTailCheck;
        }
        let clients = (0..scenario.clients as usize)
            .map(|n| Client::new(scenario.timeout_ms, scenario.without.clone(), n))
            .collect();
        let mut world = Self {
            now: 0,
            schedule: Schedule::new(),
            server: None,
            incarnation: 0,
            booted_at: 0,
            serving: false,
            turn_planned: false,
            timers: BTreeMap::new(),
            disk: Disk::default(),
            queues: BTreeMap::new(),
            clients,
            links: BTreeMap::new(),
            next_conn: 0,
            streams: Streams::new(scenario.seed),
            config,
            paused_since: 0,
            paused_until: 0,
            drift: 0,
            wall_jump_ms: 0,
            room_left: None,
            stall_disk_us: 0,
            stall_snapshot_us: 0,
            fail_fsync: false,
            fail_read: false,
            armed: None,
            pipeline: scenario.pipeline.max(1) as usize,
            mistake,
            figures: Figures::default(),
            trace: 0xcbf2_9ce4_8422_2325,
            judge,
        };
        world.plan(0, Event::Boot);
        world.plan(1_000_000, Event::Look);
        for client in 0..world.clients.len() {
            world.plan(1000 * client as u64, Event::ClientTurn(client));
        }
        world
    }

    /// Runs the scenario's steps.
    pub fn run(mut self, steps: &[Step]) -> Outcome {
        self.take(steps)
    }

    /// Runs the scenario's steps and kills the server. Also answers the files it left: names and contents.
    pub fn run_for_files(mut self, steps: &[Step]) -> (Outcome, Vec<(String, Vec<u8>)>) {
        let outcome = self.take(steps);
        let read = |(name, len): (String, u64)| {
            let bytes = self.disk.read(&name, 0, len as usize);
            (name, bytes.expect("it was listed"))
        };
        (outcome, self.disk.list().into_iter().map(read).collect())
    }

    fn take(&mut self, steps: &[Step]) -> Outcome {
        let violation = steps.iter().find_map(|step| self.step(step).err());
        self.figures.simulated_us = self.now;
        Outcome { violation, trace: self.trace, figures: self.figures.clone() }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
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
                self.clients.iter_mut().for_each(|client| client.idle = true);
                let done = self.run_until(self.now + ms * 1000);
                self.clients.iter_mut().for_each(|client| client.idle = false);
                done
            }
            Step::Fault(fault) => self.fault(fault),
            Step::CrashAfter { op, skip, keep, down } => {
                self.armed = Some(Armed { op: op.clone(), skip: *skip, keep: *keep, down: *down });
                // Some operations come seldom; when none comes, the power goes anyway.
                let deadline = self.now + 2_000_000;
                while self.armed.is_some() {
                    if self.now > deadline {
                        self.armed = None;
                        return self.crash(*keep, *down);
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
        }
    }

    fn run_until(&mut self, until: u64) -> Result<(), String> {
        while self.now < until {
            self.advance()?;
        }
        Ok(())
    }

    /// After every fault is over, each client must get a write through.
    fn expect_service(&mut self, ms: u64) -> Result<(), String> {
        let begin = self.now.max(self.paused_until);
        self.run_until(begin)?;
        for client in &mut self.clients {
            client.wrote = false;
            client.deaf_until = 0;
            client.silent_until = 0;
        }
        if self.room_left.take().is_some() {
            self.judge.room(false);
        }
        let deadline = self.now + ms * 1000;
        while !self.clients.iter().all(|client| client.wrote) {
            if self.now > deadline {
                let waiting: Vec<usize> =
                    (0..self.clients.len()).filter(|n| !self.clients[*n].wrote).collect();
                return Err(format!(
                    "{ms} ms after the last fault no write of the clients {waiting:?} was answered"
                ));
            }
            self.advance()?;
        }
        Ok(())
    }

    fn plan(&mut self, in_us: u64, event: Event) {
        self.schedule.plan(self.now + in_us, Class::Fact, event);
    }

    fn note(&mut self, text: &[u8]) {
        for byte in text {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.trace = (self.trace ^ self.now).wrapping_mul(0x100_0000_01b3);
    }

    /// The server's clocks.
    fn clock(&self) -> Now {
        let run = self.now - self.booted_at;
        let mono = run as i64 + run as i64 * self.drift / 1000;
        let wall_ms = WALL_ZERO_MS + (self.now / 1000) as i64 + self.wall_jump_ms;
        Now { mono: Instant(mono as u64), wall_ms }
    }

    fn advance(&mut self) -> Result<(), String> {
        let (at, class, event) = self.schedule.next().expect("clients always plan something");
        self.now = self.now.max(at);
        if self.paused_until > 0 && self.now >= self.paused_until {
            self.end_stall();
        }
        let for_server = !matches!(
            event,
            Event::ClientTurn(_) | Event::ToClient { .. } | Event::DiskHasRoom | Event::Look
        );
        if for_server && self.now < self.paused_until {
            self.schedule.plan(self.paused_until, class, event);
            return Ok(());
        }
        match event {
            Event::ClientTurn(client) => self.client_turn(client),
            Event::ToServer { conn, bytes } => return self.deliver(conn, bytes),
            Event::ToClient { conn, bytes } => self.hand_over(conn, &bytes),
            Event::OpenedByClient(conn) => self.open(conn),
            Event::SnapshotAsked => {
                self.input(&Input::Command(zoetrope_core::Command::Snapshot));
            }
            Event::ClosedByClient(conn) => return self.closed_by_client(conn),
            Event::ClosedByServer(conn) => {
                if let Some(link) = self.links.remove(&conn) {
                    self.cut_off(link.client, conn);
                }
            }
            Event::Sent { conn, upto } => self.input(&Input::Sent { conn, upto }),
            Event::DeviceStep { incarnation, device } if incarnation == self.incarnation => {
                return self.device_step(device);
            }
            Event::Done { incarnation, done } if incarnation == self.incarnation => {
                self.done(done);
            }
            Event::Ring { incarnation, id, at } if incarnation == self.incarnation => {
                if self.timers.get(&id) == Some(&at) {
                    self.timers.remove(&id);
                    self.input(&Input::Timer { id });
                }
            }
            Event::Turn { incarnation } if incarnation == self.incarnation => return self.turn(),
            Event::DeviceStep { .. }
            | Event::Done { .. }
            | Event::Ring { .. }
            | Event::Turn { .. } => {}
            Event::Boot => self.boot(),
            Event::DiskHasRoom => {
                self.room_left = None;
                self.judge.room(false);
            }
            Event::Look => {
                self.plan(500_000, Event::Look);
                if let (Some(server), true) = (&self.server, self.serving)
                    && self.now >= self.paused_until
                {
                    return self.judge.passed(self.now, server);
                }
            }
        }
        Ok(())
    }

    fn input(&mut self, input: &Input<'_>) {
        let now = self.clock();
        let Some(server) = &mut self.server else { return };
        server.input(now, input);
        self.figures.inputs += 1;
        if !self.turn_planned {
            self.turn_planned = true;
            let delay = self.streams.network.below(30);
            let incarnation = self.incarnation;
            self.schedule.plan(self.now + delay, Class::Turn, Event::Turn { incarnation });
        }
    }

    // The server's life.

    fn boot(&mut self) {
        let dir = |name: &str| if name.starts_with("snapshot.") { Dir::Snapshot } else { Dir::Log };
        let place = |name: String| FilePlace { dir: dir(&name), name };
        let files = self.disk.list().into_iter().map(|(name, len)| (place(name), len)).collect();
        self.booted_at = self.now;
        self.incarnation += 1;
        self.timers.clear();
        self.queues.clear();
        self.serving = false;
        self.turn_planned = false;
        let (seed, now) = (self.streams.server.draw(), self.clock());
        let listing = Listing { files, same_dir: true, ..Listing::default() };
        self.server = Some(Server::new(self.config.clone(), seed, now, listing));
        self.turn_planned = true;
        let incarnation = self.incarnation;
        self.schedule.plan(self.now, Class::Turn, Event::Turn { incarnation });
    }

    fn crash(&mut self, keep: Keep, down: u64) -> Result<(), String> {
        self.note(b"crash");
        self.armed = None;
        self.figures.faults += 1;
        self.figures.crashes += 1;
        if self.server.is_some() && self.disk.unsynced_bytes() > 0 {
            self.figures.unsynced_crashes += 1;
        }
        self.disk.lose_power(keep, &mut self.streams.disk);
        self.stop(down);
        Ok(())
    }

    /// The process is gone; every connection breaks.
    fn stop(&mut self, down_ms: u64) {
        if self.server.take().is_none() {
            return;
        }
        self.incarnation += 1;
        self.end_stall();
        self.judge.crashed(self.now);
        for conn in self.links.keys().copied().collect::<Vec<_>>() {
            let delay = self.streams.network.between(100, 2_000);
            self.plan(delay, Event::ClosedByServer(conn));
        }
        self.plan(down_ms.max(1) * 1000, Event::Boot);
    }

    fn turn(&mut self) -> Result<(), String> {
        self.turn_planned = false;
        let now = self.clock();
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let turn = server.effects(now);
        let mut replies = Vec::new();
        let (mut halted, mut served) = (None, false);
        for effect in turn.effects() {
            if let Some((device, op)) = device_op(effect, &turn) {
                if let Op::Append { at: 16.., bytes, .. } = &op {
                    self.judge.appended(self.now, bytes)?;
                }
                self.note(op.label().as_bytes());
                self.submit(device, op);
                continue;
            }
            match *effect {
                Effect::Read { file, at, len } => {
                    let done = self.read(file, &turn.place(file).name, at, len);
                    let incarnation = self.incarnation;
                    self.plan(200, Event::Done { incarnation, done });
                }
                Effect::Reply { conn } => replies.push((conn, turn.reply(conn).to_vec())),
                Effect::Close { conn } => replies.push((conn, Vec::new())),
                Effect::Pause { conn } => {
                    if let Some(link) = self.links.get_mut(&conn) {
                        link.paused = true;
                    }
                }
                Effect::Resume { conn } => self.resume(conn),
                Effect::SetTimer { id, at } => self.set_timer(id, at, now.mono),
                Effect::Report(milestone) => {
                    self.note(format!("{milestone:?}").as_bytes());
                    served |= matches!(milestone, Milestone::Serving { .. });
                }
                Effect::Halt => halted = turn.halted().map(str::to_owned),
                _ => return Err(format!("a server alone asks for {effect:?}")),
            }
        }
        if served {
            self.serving = true;
            self.judge.serving(self.now, &server)?;
        }
        self.server = Some(server);
        self.send(replies)?;
        if let Some(why) = halted {
            return self.on_halt(&why);
        }
        Ok(())
    }

    /// The process goes on, or is gone: it stood still until now, or until it was to go on.
    fn end_stall(&mut self) {
        if self.paused_until > 0 {
            let us = self.paused_until.min(self.now) - self.paused_since;
            self.judge.stalled(self.now, us);
            self.paused_until = 0;
        }
    }

    /// Only a broken disk is a reason to stop.
    fn on_halt(&mut self, why: &str) -> Result<(), String> {
        if !why.contains("injected") {
            return Err(format!("the server halted: {why}"));
        }
        // The process ends; the page cache stays, and the system writes it sooner or later.
        self.disk.lose_power(Keep::Some, &mut self.streams.disk);
        self.stop(500);
        Ok(())
    }

    fn set_timer(&mut self, id: Timer, at: Instant, now: Instant) {
        self.timers.insert(id, at);
        let wait = at.since(now) as i64;
        let wait = (wait * 1000 / (1000 + self.drift)).max(0) as u64 + 1;
        let incarnation = self.incarnation;
        self.schedule.plan(self.now + wait, Class::Timer, Event::Ring { incarnation, id, at });
    }

    // Its devices.

    fn submit(&mut self, device: Device, op: Op) {
        let queue = self.queues.entry(device).or_default();
        queue.push_back(op);
        if queue.len() == 1 {
            self.plan_device(device);
        }
    }

    fn plan_device(&mut self, device: Device) {
        let Some(op) = self.queues.get(&device).and_then(VecDeque::front) else { return };
        let usual = match op {
            Op::Append { .. } | Op::Slice { .. } => self.streams.disk.between(5, 40),
            Op::Fsync { .. } | Op::FsyncDir => self.streams.disk.between(50, 800),
            Op::Finish { .. } | Op::Reserve { .. } => self.streams.disk.between(100, 3_000),
            Op::Rename { .. } | Op::Truncate { .. } | Op::Remove { .. } => 20,
        };
        let mut delay = usual + std::mem::take(&mut self.stall_disk_us);
        if device == Device::Snapshot {
            delay += std::mem::take(&mut self.stall_snapshot_us);
        }
        let incarnation = self.incarnation;
        self.plan(delay, Event::DeviceStep { incarnation, device });
    }

    fn device_step(&mut self, device: Device) -> Result<(), String> {
        let Some(op) = self.queues.get_mut(&device).and_then(VecDeque::pop_front) else {
            return Ok(());
        };
        let label = op.label();
        if let Some(done) = self.carry_out(op) {
            let incarnation = self.incarnation;
            let delay = self.streams.disk.between(1, 30);
            self.plan(delay, Event::Done { incarnation, done });
        }
        if let Some(armed) = self.armed.as_mut().filter(|armed| armed.op == label) {
            if armed.skip == 0 {
                let (keep, down) = (armed.keep, armed.down);
                return self.crash(keep, down);
            }
            armed.skip -= 1;
        }
        self.plan_device(device);
        Ok(())
    }

    fn carry_out(&mut self, op: Op) -> Option<Done> {
        const MAKING: &str = "zoetrope-snapshot";
        match op {
            Op::Reserve { file, name, upto } => {
                let more = upto.saturating_sub(self.disk.len(&name));
                if !self.take_room(more) {
                    return Some(Done::NoRoom { file });
                }
                self.disk.reserve(&name, upto);
                Some(Done::Reserved { file, upto })
            }
            Op::Append { name, at, bytes } => {
                self.disk.write(&name, at, &bytes);
                None
            }
            Op::Fsync { .. } if std::mem::take(&mut self.fail_fsync) => {
                // The first failure of a device latches: it does nothing more.
                self.queues.remove(&Device::Log);
                Some(Done::Failed { error: "injected: fsync failed" })
            }
            Op::Fsync { name, branch, upto } => {
                if self.mistake != Mistake::NoFsyncWait {
                    self.disk.sync(&name);
                }
                Some(Done::Durable { branch, upto })
            }
            Op::Rename { from, to } => {
                self.disk.rename(&from, &to);
                None
            }
            Op::FsyncDir => {
                if self.mistake != Mistake::NoDirectoryFsync {
                    self.disk.sync_names();
                }
                None
            }
            Op::Truncate { name, at } => {
                self.give_room(self.disk.len(&name).saturating_sub(at));
                self.disk.truncate(&name, at);
                None
            }
            Op::Slice { at, bytes } => {
                if at == 0 {
                    self.remove(MAKING);
                }
                if !self.take_room(bytes.len() as u64) {
                    self.remove(MAKING);
                    return Some(Done::SnapFailed);
                }
                self.disk.write(MAKING, at, &bytes);
                Some(Done::SnapWritten { upto: at + bytes.len() as u64 })
            }
            Op::Finish { name, zxid } => {
                self.disk.sync(MAKING);
                self.disk.rename(MAKING, &name);
                if self.mistake != Mistake::NoDirectoryFsync {
                    self.disk.sync_names();
                }
                Some(Done::SnapDurable { zxid })
            }
            Op::Remove { name } => {
                self.remove(&name);
                None
            }
        }
    }

    fn remove(&mut self, name: &str) {
        self.give_room(self.disk.len(name));
        self.disk.remove(name);
    }

    /// Is there room for that many bytes more?
    fn take_room(&mut self, bytes: u64) -> bool {
        let Some(left) = &mut self.room_left else { return true };
        let there_is = bytes <= *left;
        *left -= if there_is { bytes } else { 0 };
        there_is
    }

    fn give_room(&mut self, bytes: u64) {
        if let Some(left) = &mut self.room_left {
            *left += bytes;
        }
    }

    fn read(&mut self, file: FileId, name: &str, at: u64, len: u32) -> Done {
        if name.starts_with("snapshot.") && std::mem::take(&mut self.fail_read) {
            let older = self.disk.list().iter().filter(|(n, _)| n.starts_with("snapshot.")).count();
            // Only where there is another one to fall back on.
            if older > 1 {
                return Done::ReadFailed { file };
            }
        }
        match self.disk.read(name, at, len as usize) {
            Some(bytes) => Done::Read { file, at, bytes },
            None => Done::ReadFailed { file },
        }
    }

    fn done(&mut self, done: Done) {
        let input = match &done {
            Done::Reserved { file, upto } => Input::Reserved { file: *file, upto: *upto },
            Done::NoRoom { file } => Input::NoRoom { file: *file },
            Done::Durable { branch, upto } => Input::Durable { branch: *branch, upto: *upto },
            Done::SnapWritten { upto } => Input::SnapWritten { upto: *upto },
            Done::SnapDurable { zxid } => Input::SnapDurable { zxid: *zxid },
            Done::SnapFailed => Input::SnapFailed,
            Done::Read { file, at, bytes } => Input::ReadDone { file: *file, at: *at, bytes },
            Done::ReadFailed { file } => {
                Input::ReadFailed { file: *file, error: "injected: input/output error" }
            }
            Done::Failed { error } => Input::Failed { device: Device::Log, error },
        };
        self.input(&input);
    }

    // The network.

    /// Everything the server sent in this turn; an empty reply ends its connection.
    fn send(&mut self, replies: Vec<(ConnId, Vec<u8>)>) -> Result<(), String> {
        let told: Vec<(ConnId, Vec<u8>)> = replies
            .iter()
            .filter(|(_, bytes)| !bytes.is_empty())
            .map(|(conn, bytes)| (*conn, self.make_mistake(bytes)))
            .collect();
        for (conn, bytes) in &told {
            self.note(&conn.0.to_be_bytes());
            self.note(bytes);
        }
        self.judge.answered(self.now, &told)?;
        for (conn, bytes) in told {
            self.send_one(conn, bytes);
        }
        for (conn, _) in replies.into_iter().filter(|(_, bytes)| bytes.is_empty()) {
            self.judge.closed(self.now, conn, true)?;
            if let Some(link) = self.links.get(&conn) {
                let at = link.client_has_until.max(self.now) + 50;
                self.schedule.plan(at, Class::Fact, Event::ClosedByServer(conn));
            }
        }
        Ok(())
    }

    fn make_mistake(&mut self, bytes: &[u8]) -> Vec<u8> {
        let reorder =
            matches!(self.mistake, Mistake::ReplyBeforeEvent | Mistake::RepliesOutOfOrder);
        if !reorder || !self.serving {
            return bytes.to_vec();
        }
        let mut frames: Vec<&[u8]> = Vec::new();
        let mut rest = bytes;
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

    fn send_one(&mut self, conn: ConnId, bytes: Vec<u8>) {
        let delay = self.streams.network.between(30, 400);
        let Some(link) = self.links.get_mut(&conn) else { return };
        let deaf_until = self.clients[link.client].deaf_until;
        let at = (self.now + delay).max(link.client_has_until).max(deaf_until);
        link.client_has_until = at;
        link.produced += bytes.len() as u64;
        let upto = link.produced;
        self.schedule.plan(at, Class::Fact, Event::ToClient { conn, bytes });
        self.schedule.plan(at, Class::Fact, Event::Sent { conn, upto });
    }

    fn deliver(&mut self, conn: ConnId, bytes: Vec<u8>) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
        if link.paused {
            link.held.push_back(bytes);
            return Ok(());
        }
        link.partial.extend_from_slice(&bytes);
        let mut at = 0;
        let mut whole = Vec::new();
        while let Some(prefix) = link.partial.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let end = at + 4 + u32::from_be_bytes(*prefix) as usize;
            if end > link.partial.len() {
                break;
            }
            whole.push(link.partial[at + 4..end].to_vec());
            at = end;
        }
        let rest = link.partial.split_off(at);
        let frames = std::mem::replace(&mut link.partial, rest);
        if self.server.is_none() || whole.is_empty() {
            return Ok(());
        }
        for frame in &whole {
            self.judge.heard(self.now, conn, frame)?;
        }
        self.input(&Input::Requests { conn, bytes: &frames });
        Ok(())
    }

    fn resume(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.paused = false;
        for bytes in std::mem::take(&mut link.held) {
            self.plan(0, Event::ToServer { conn, bytes });
        }
    }

    fn closed_by_client(&mut self, conn: ConnId) -> Result<(), String> {
        if self.links.remove(&conn).is_none() {
            return Ok(());
        }
        self.judge.closed(self.now, conn, false)?;
        self.input(&Input::Closed { conn });
        Ok(())
    }

    // The clients.

    fn hand_over(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(link) = self.links.get(&conn) else { return };
        let number = link.client;
        let client = &mut self.clients[number];
        if client.conn == Some(conn) {
            self.figures.requests += client.read(bytes);
            if client.life == Life::Away {
                self.plan(0, Event::ClosedByClient(conn));
            }
        }
    }

    fn cut_off(&mut self, number: usize, conn: ConnId) {
        if self.clients[number].conn == Some(conn) {
            self.clients[number].cut_off();
        }
    }

    fn client_turn(&mut self, number: usize) {
        let rng = &mut self.streams.workload;
        let pause = if self.clients[number].idle {
            rng.between(500_000, 1_000_000)
        } else {
            rng.between(200, 4_000)
        };
        self.plan(pause, Event::ClientTurn(number));
        if self.now < self.clients[number].silent_until {
            return;
        }
        let rng = &mut self.streams.workload;
        let client = &mut self.clients[number];
        match client.life {
            Life::Away => {
                if self.server.is_some() && self.serving && rng.one_in(3) {
                    self.connect(number);
                }
            }
            Life::Greeting => {}
            Life::Up if client.idle => {
                let bytes = client.ping();
                self.transmit(number, bytes);
            }
            Life::Up => {
                if !client.wrote && rng.one_in(20) && client.in_flight.len() < self.pipeline {
                    let bytes = client.probe();
                    self.transmit(number, bytes);
                    return;
                }
                let room = self.pipeline.saturating_sub(client.in_flight.len()) as u64;
                let mut bytes = Vec::new();
                for _ in 0..rng.below(room + 1) {
                    bytes.extend(client.work(rng));
                }
                if bytes.is_empty() && rng.one_in(4) {
                    bytes = client.ping();
                }
                let leaves = rng.one_in(900);
                self.transmit(number, bytes);
                if leaves {
                    self.leave(number);
                }
            }
        }
    }

    fn connect(&mut self, number: usize) {
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        let link = Link {
            client: number,
            server_has_until: 0,
            client_has_until: 0,
            produced: 0,
            partial: Vec::new(),
            paused: false,
            held: VecDeque::new(),
        };
        self.links.insert(conn, link);
        self.plan(0, Event::OpenedByClient(conn));
        let rng = &mut self.streams.workload;
        let mut bytes = self.clients[number].greet(conn, rng);
        // Some clients do not wait for the welcome.
        if rng.one_in(6) {
            bytes.extend(self.clients[number].come_back(rng));
        }
        self.transmit(number, bytes);
    }

    fn open(&mut self, conn: ConnId) {
        let Some(link) = self.links.get(&conn) else { return };
        if self.server.is_none() {
            return;
        }
        let port = link.client as u16;
        let addr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        self.judge.opened(conn);
        self.input(&Input::Opened { conn, addr, port, secure: false, identities: Vec::new() });
    }

    fn transmit(&mut self, number: usize, bytes: Vec<u8>) {
        let Some(conn) = self.clients[number].conn else { return };
        if bytes.is_empty() {
            return;
        }
        let delay = self.streams.network.between(30, 400);
        // Bytes may arrive in two parts, cut anywhere.
        let cut = match self.streams.network.one_in(4) {
            true => self.streams.network.below(bytes.len() as u64) as usize,
            false => bytes.len(),
        };
        let Some(link) = self.links.get_mut(&conn) else { return };
        let at = (self.now + delay).max(link.server_has_until);
        let (first, second) = bytes.split_at(cut);
        let parts = [(at, first.to_vec()), (at + 40, second.to_vec())];
        link.server_has_until = at + 40;
        for (at, bytes) in parts {
            if !bytes.is_empty() {
                self.schedule.plan(at, Class::Fact, Event::ToServer { conn, bytes });
            }
        }
    }

    /// The client's connection breaks; it will come back.
    fn leave(&mut self, number: usize) {
        let Some(conn) = self.clients[number].conn else { return };
        self.clients[number].cut_off();
        let delay = self.streams.network.between(30, 1_000);
        self.plan(delay, Event::ClosedByClient(conn));
    }

    // What the world can do to them.

    fn fault(&mut self, fault: &Fault) -> Result<(), String> {
        self.note(format!("{fault:?}").as_bytes());
        match fault {
            Fault::Crash { keep, down } => return self.crash(*keep, *down),
            // The system lives on: what was written is there, synced or not.
            Fault::Kill { down } => self.stop(*down),
            Fault::Stall(ms) => {
                if self.server.is_some() {
                    self.end_stall();
                    self.paused_since = self.now;
                    self.paused_until = self.now + ms * 1000;
                }
            }
            Fault::WallJump(ms) => self.wall_jump_ms += ms,
            Fault::Drift(per_mille) => self.change_drift(*per_mille),
            Fault::DiskFull(ms) => {
                self.room_left = Some(0);
                self.judge.room(true);
                self.plan(ms * 1000, Event::DiskHasRoom);
            }
            Fault::DiskStall(ms) => self.stall_disk_us = ms * 1000,
            Fault::SnapshotStall(ms) => self.stall_snapshot_us = ms * 1000,
            Fault::FsyncError => self.fail_fsync = true,
            Fault::ReadError => self.fail_read = true,
            Fault::Disconnect => (0..self.clients.len()).for_each(|number| self.leave(number)),
            Fault::SlowReader { client, ms } => {
                let number = *client as usize % self.clients.len();
                self.clients[number].deaf_until = self.now + ms * 1000;
            }
            Fault::Silence { client, ms } => {
                let number = *client as usize % self.clients.len();
                self.clients[number].silent_until = self.now + ms * 1000;
            }
            Fault::Snapshot => {
                self.plan(0, Event::SnapshotAsked);
            }
        }
        self.figures.faults += 1;
        Ok(())
    }

    /// Clocks change their pace, not what they show.
    fn change_drift(&mut self, per_mille: i64) {
        let shown = self.clock().mono.0 as i64;
        self.drift = per_mille;
        // `shown` = run + run × drift / 1000, solved for the moment of booting.
        let run = shown * 1000 / (1000 + per_mille);
        self.booted_at = self.now.saturating_sub(run.max(0) as u64);
    }
}
