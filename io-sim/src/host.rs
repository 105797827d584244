//! One server process on its machine: disk, device queues, timers, clocks, and what is wrong with them. Plans nothing and
//! judges nothing.

use crate::device::{Armed, Done, Op, Queue};
use crate::disk::{Disk, Keep, SectorHarm};
use crate::flight::Flight;
use crate::mistake::Mistake;
use crate::rng::Rng;
use crate::scenario::{Files, Harm};
use std::collections::{BTreeMap, VecDeque};
use zoetrope_core::{
    Dir, Epoch, FileId, FilePlace, Input, Instant, Listing, Now, Server, Sid, Timer,
};

const WALL_ZERO_MS: i64 = 1_700_000_000_000;
const MAKING: &str = "zoetrope-snapshot";
/// Bytes that a driver that does not look at what `write` answers writes at most.
const LONG_WRITE: usize = 512;

/// The two epoch files: what survives a loss of power, and what may as well.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct EpochFiles {
    pub(crate) durable: Option<(u32, u32)>,
}

/// One server process and its machine.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) sid: Sid,
    /// In a box, because every turn takes it out and puts it back.
    pub(crate) server: Option<Box<Server>>,
    pub(crate) incarnation: u32,
    pub(crate) booted_at: u64,
    pub(crate) serving: bool,
    pub(crate) turn_planned: bool,
    pub(crate) timers: BTreeMap<Timer, Instant>,
    pub(crate) disk: Disk,
    pub(crate) epochs: EpochFiles,
    pub(crate) queues: BTreeMap<Queue, VecDeque<Op>>,
    pub(crate) paused_since: u64,
    pub(crate) paused_until: u64,
    pub(crate) drift: i64,
    pub(crate) wall_jump_ms: i64,
    /// Bytes that a full disk still has: what was given back. `None`: plenty.
    pub(crate) room_left: Option<u64>,
    /// The file system of these files alone has no room, whatever is given back.
    pub(crate) full: Option<Files>,
    pub(crate) stall_disk_us: u64,
    pub(crate) stall_snapshot_us: u64,
    pub(crate) slow_disk_us: u64,
    pub(crate) slow_disk_until: u64,
    pub(crate) fail_fsync: bool,
    /// Its log device has failed, and does nothing more for this process.
    pub(crate) log_failed: bool,
    pub(crate) fail_read: bool,
    pub(crate) armed: Option<Armed>,
    /// Its disk has forgotten something that was synced, and it has not served since.
    pub(crate) forgot: bool,
    /// Its disk calls durable what is not.
    pub(crate) lies: bool,
    /// What was on its disk when the last process began.
    copy: (Disk, EpochFiles),
    mistake: Mistake,
    /// What its devices have told the server.
    told: u32,
    /// What the server is told is written down.
    pub(crate) flight: Option<Box<Flight>>,
}

impl Host {
    pub(crate) fn new(sid: Sid, mistake: Mistake) -> Self {
        Self {
            sid,
            server: None,
            incarnation: 0,
            booted_at: 0,
            serving: false,
            turn_planned: false,
            timers: BTreeMap::new(),
            disk: Disk::default(),
            epochs: EpochFiles::default(),
            queues: BTreeMap::new(),
            paused_since: 0,
            paused_until: 0,
            drift: 0,
            wall_jump_ms: 0,
            room_left: None,
            full: None,
            stall_disk_us: 0,
            stall_snapshot_us: 0,
            slow_disk_us: 0,
            slow_disk_until: 0,
            fail_fsync: false,
            log_failed: false,
            fail_read: false,
            armed: None,
            forgot: false,
            lies: false,
            copy: (Disk::default(), EpochFiles::default()),
            mistake,
            told: 0,
            flight: None,
        }
    }

    /// Its clocks.
    pub(crate) fn clock(&self, now: u64) -> Now {
        let run = now - self.booted_at;
        let mono = run as i64 + run as i64 * self.drift / 1000;
        let wall_ms = WALL_ZERO_MS + (now / 1000) as i64 + self.wall_jump_ms;
        Now { mono: Instant(mono as u64), wall_ms }
    }

    /// Clocks change their pace, not what they show.
    pub(crate) fn change_drift(&mut self, now: u64, per_mille: i64) {
        let shown = self.clock(now).mono.0 as i64;
        self.drift = per_mille;
        // `shown` = run + run × drift / 1000, solved for the moment of booting.
        let run = shown * 1000 / (1000 + per_mille);
        self.booted_at = now.saturating_sub(run.max(0) as u64);
    }

    /// Real time until its clock shows `at`, µs.
    pub(crate) fn wait_for(&self, at: Instant, now: Instant) -> u64 {
        let wait = at.since(now) as i64;
        (wait * 1000 / (1000 + self.drift)).max(0) as u64 + 1
    }

    /// A new process begins; answers what it finds on disk.
    pub(crate) fn begin(&mut self, now: u64) -> Listing {
        let dir = |name: &str| if name.starts_with("snapshot.") { Dir::Snapshot } else { Dir::Log };
        let place = |name: String| FilePlace { dir: dir(&name), name };
        let files = self.disk.list().into_iter().map(|(name, len)| (place(name), len)).collect();
        self.copy = (self.disk.clone(), self.epochs);
        self.booted_at = now;
        self.log_failed = false;
        self.incarnation += 1;
        self.timers.clear();
        self.queues.clear();
        self.serving = false;
        self.turn_planned = true;
        Listing {
            files,
            same_dir: true,
            accepted_epoch: self.epochs.durable.map(|(accepted, _)| Epoch(accepted)),
            current_epoch: self.epochs.durable.map(|(_, current)| Epoch(current)),
        }
    }

    pub(crate) fn input(&mut self, now: u64, input: &Input<'_>) -> bool {
        let clock = self.clock(now);
        let Some(server) = &mut self.server else { return false };
        if let Some(flight) = &mut self.flight {
            flight.input(clock, input);
        }
        server.input(clock, input);
        if let Some(flight) = &mut self.flight {
            flight.copy(server, clock);
        }
        true
    }

    /// Everything on disk: names and contents.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let read = |(name, len): (String, u64)| {
            let bytes = self.disk.read(&name, 0, len as usize);
            (name, bytes.expect("it was listed"))
        };
        self.disk.list().into_iter().map(read).collect()
    }

    /// The power is gone. What was under way to the epoch files may have arrived.
    pub(crate) fn lose_power(&mut self, keep: Keep, rng: &mut Rng) {
        self.disk.lose_power(keep, rng);
        let under_way = self.queues.get(&Queue::Epochs).and_then(VecDeque::front);
        if let Some(Op::Epochs { accepted, current, .. }) = under_way {
            let (accepted, current) = (*accepted, *current);
            let arrives = match keep {
                Keep::All => true,
                Keep::Some | Keep::Torn => rng.one_in(2),
                Keep::Nothing | Keep::Garbage => false,
            };
            if arrives {
                // `acceptedEpoch` is written first: the other file may be the old one still.
                let old = self.epochs.durable.map(|(_, current)| current);
                let half = rng.one_in(3);
                self.epochs.durable = match (half, old) {
                    (true, Some(old)) => Some((accepted, old)),
                    _ => Some((accepted, current)),
                };
            }
        }
    }

    /// The disk is replaced by an empty one.
    pub(crate) fn wipe(&mut self) {
        self.disk = Disk::default();
        self.epochs = EpochFiles::default();
        self.forgot = true;
    }

    /// The disk is not what it was when power was lost.
    pub(crate) fn harm(&mut self, harm: Harm, rng: &mut Rng) {
        match harm {
            Harm::BitRot => self.disk.harm(SectorHarm::Bit, rng),
            Harm::LostWrite => self.disk.harm(SectorHarm::Lost, rng),
            Harm::MisdirectedWrite => self.disk.harm(SectorHarm::Misdirected, rng),
            Harm::NoEpochs => self.epochs = EpochFiles::default(),
            Harm::OldEpochs => self.epochs = self.copy.1,
            Harm::OldCopy => (self.disk, self.epochs) = self.copy.clone(),
        }
        self.forgot = true;
    }

    /// It serves: what its disk has forgotten, others have told it.
    pub(crate) fn serves(&mut self) {
        self.serving = true;
        if std::mem::take(&mut self.forgot) {
            self.disk.mend();
        }
    }

    /// What the disk called durable is.
    pub(crate) fn own_up(&mut self) {
        if std::mem::take(&mut self.lies) {
            self.disk.sync_all();
        }
    }

    /// Is what a device has done told to the server?
    pub(crate) fn is_told(&mut self) -> bool {
        self.told += 1;
        self.mistake != Mistake::LostWakeUp || !self.told.is_multiple_of(100)
    }

    /// Carries an operation out. `None`: nobody waits for it. Also answers whether it was really done.
    pub(crate) fn carry_out(&mut self, op: &Op) -> (Option<Done>, bool) {
        let wait = self.mistake != Mistake::NoFsyncWait;
        let names = self.mistake != Mistake::NoDirectoryFsync;
        match *op {
            Op::Reserve { file, ref name, upto } => {
                let more = upto.saturating_sub(self.disk.len(name));
                if self.full == Some(Files::Logs) && more > 0 || !self.take_room(more) {
                    return (Some(Done::NoRoom { file }), false);
                }
                self.disk.reserve(name, upto);
                return (Some(Done::Reserved { file, upto }), true);
            }
            Op::Append { ref name, at, ref bytes } if self.mistake == Mistake::ShortWrite => {
                let len = bytes.len().min(LONG_WRITE);
                self.disk.write(name, at, &bytes[..len]);
                return (None, len == bytes.len());
            }
            Op::Append { ref name, at, ref bytes } => self.disk.write(name, at, bytes),
            Op::Fsync { branch, upto, .. }
                if self.fail_fsync && self.mistake == Mistake::FsyncErrorIgnored =>
            {
                self.fail_fsync = false;
                return (Some(Done::Durable { branch, upto }), false);
            }
            Op::Fsync { .. } if std::mem::take(&mut self.fail_fsync) => {
                // The first failure of a device latches: it does nothing more, whatever it is still given.
                self.log_failed = true;
                self.queues.remove(&Queue::Log);
                return (Some(Done::Failed { error: "injected: fsync failed" }), false);
            }
            Op::Fsync { ref name, branch, upto } => {
                if wait && !self.lies {
                    self.disk.sync(name);
                }
                return (Some(Done::Durable { branch, upto }), wait);
            }
            Op::Rename { ref from, ref to } => self.disk.rename(from, to),
            Op::FsyncDir => {
                if names && !self.lies {
                    self.disk.sync_names();
                }
                return (None, names);
            }
            Op::Discard { ref name } => {
                self.remove(name);
                self.disk.sync_names();
            }
            Op::Truncate { .. } if self.mistake == Mistake::TruncateIgnored => {
                return (None, false);
            }
            Op::Truncate { ref name, at } => {
                self.give_room(self.disk.len(name).saturating_sub(at));
                self.disk.truncate(name, at);
            }
            Op::Epochs { generation, accepted, current } => {
                let wait = self.mistake != Mistake::NoEpochWait;
                if wait {
                    self.epochs.durable = Some((accepted, current));
                }
                return (Some(Done::Epochs { generation }), wait);
            }
            Op::Slice { at, ref bytes } => return (Some(self.slice(at, bytes)), true),
            Op::Finish { ref name, zxid } => {
                if !self.lies && self.mistake != Mistake::SnapshotNotSynced {
                    self.disk.sync(MAKING);
                }
                self.disk.rename(MAKING, name);
                if names && !self.lies {
                    self.disk.sync_names();
                }
                return (Some(Done::SnapDurable { zxid }), names);
            }
            Op::Remove { ref name } => self.remove(name),
        }
        (None, true)
    }

    fn slice(&mut self, at: u64, bytes: &[u8]) -> Done {
        if at == 0 {
            self.remove(MAKING);
        }
        if self.full == Some(Files::Snapshots) || !self.take_room(bytes.len() as u64) {
            self.remove(MAKING);
            return Done::SnapFailed;
        }
        self.disk.write(MAKING, at, bytes);
        Done::SnapWritten { upto: at + bytes.len() as u64 }
    }

    fn remove(&mut self, name: &str) {
        self.give_room(self.disk.len(name));
        self.disk.remove(name);
    }

    /// There is room again. Was there none for the log?
    pub(crate) fn find_room(&mut self) -> bool {
        let full = self.full.take();
        self.room_left.take().is_some() || full == Some(Files::Logs)
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

    pub(crate) fn read(&mut self, file: FileId, name: &str, at: u64, len: u32) -> Done {
        if name.starts_with("snapshot.") && std::mem::take(&mut self.fail_read) {
            let older = self.disk.list().iter().filter(|(n, _)| n.starts_with("snapshot.")).count();
            // Only where there is another one to fall back on.
            if older > 1 {
                return Done::ReadFailed { file, at };
            }
        }
        match self.disk.read(name, at, len as usize) {
            Some(bytes) => Done::Read { file, at, bytes },
            None => Done::ReadFailed { file, at },
        }
    }
}
