//! The part of `std::fs` that the driver uses, over the simulated disk of the machine on which the caller runs. A machine
//! has one directory; every other one is taken to be there.

use madsim::plugin::node;
use madsim::task::NodeId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::TryLockError;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc::UnboundedSender;
use zoetrope_core::Zxid;
use zoetrope_io_sim::{Disk, Keep, Op, Rng};

/// The epoch files, as the quorum protocol names them (§1.3).
const EPOCHS: [&str; 2] = ["acceptedEpoch", "currentEpoch"];

/// Which files something is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Files {
    /// Any.
    All,
    /// Those of the log.
    Log,
    /// Snapshots.
    Snapshots,
    /// The two with epochs.
    Epochs,
}

impl Files {
    /// All kinds.
    pub const KINDS: [Self; 4] = [Self::All, Self::Log, Self::Snapshots, Self::Epochs];

    /// Is it one of them? `None` is the directory, which is everybody's.
    fn has(self, name: Option<&str>) -> bool {
        name.is_none_or(|name| match self {
            Self::All => true,
            Self::Log => name.starts_with("log.") || name.starts_with("zoetrope-spare"),
            Self::Snapshots => name.contains("snap"),
            Self::Epochs => EPOCHS.iter().any(|epochs| name.starts_with(epochs)),
        })
    }
}

/// Something will end.
#[derive(Clone, Copy, Debug)]
struct Fuse {
    /// When so many operations are done
    operations: u64,
    /// with these files.
    files: Files,
    /// What survives when the power goes; `None`: only the process ends.
    keep: Option<Keep>,
}

/// A machine's disk, and what is wrong with it.
pub struct Machine {
    disk: Disk,
    rng: Rng,
    /// Told what was really done.
    watcher: Box<dyn FnMut(&Op)>,
    /// Told when the power goes, or the process, in the middle of something.
    went_off: UnboundedSender<(NodeId, Option<Keep>)>,
    /// Counts processes. What an earlier one still does is not done.
    life: u64,
    /// Nothing runs: the power is gone, or the process in the middle of something.
    off: bool,
    fuse: Option<Fuse>,
    /// Bytes that a full disk still has.
    room: Option<u64>,
    /// The next sync of a file of that kind fails.
    fail_sync: Option<Files>,
    /// What every sync takes longer, µs.
    slow_us: u64,
    /// What was done since it was last asked for takes so long, µs.
    cost_us: u64,
    /// What the watcher was told of the epochs.
    epochs: Option<(u32, u32)>,
}

thread_local! {
    static MACHINES: RefCell<BTreeMap<NodeId, Machine>> = const { RefCell::new(BTreeMap::new()) };
}

/// A run begins on this thread: there is no machine.
pub fn begin() {
    MACHINES.with(|machines| machines.borrow_mut().clear());
}

/// The machine of a node, which gets one by it.
pub fn machine<T>(
    node: NodeId,
    new: impl FnOnce() -> Machine,
    work: impl FnOnce(&mut Machine) -> T,
) -> T {
    MACHINES.with(|machines| work(machines.borrow_mut().entry(node).or_insert_with(new)))
}

fn here<T>(work: impl FnOnce(&mut Machine) -> io::Result<T>) -> io::Result<T> {
    MACHINES.with(|machines| {
        let mut machines = machines.borrow_mut();
        let machine = machines.get_mut(&node()).ok_or(ErrorKind::NotFound)?;
        work(machine)
    })
}

/// Is the power of this machine gone? What its devices say then, nobody hears.
pub(crate) fn is_off() -> bool {
    here(|machine| Ok(machine.off)).unwrap_or(true)
}

/// Would the epoch files of this machine say the same without power?
pub fn epochs_are_settled() -> bool {
    let settled = |machine: &Machine| {
        EPOCHS.iter().all(|name| {
            let live = machine.disk.read(name, 0, machine.disk.len(name) as usize);
            live == machine.disk.durable(name)
        })
    };
    here(|machine| Ok(settled(machine))).unwrap_or(true)
}

/// What the devices of this machine have done takes so long, µs.
pub(crate) fn take_cost() -> u64 {
    here(|machine| Ok(std::mem::take(&mut machine.cost_us))).unwrap_or(0)
}

impl Machine {
    /// A machine with an empty disk.
    pub fn new(
        rng: Rng,
        watcher: Box<dyn FnMut(&Op)>,
        went_off: UnboundedSender<(NodeId, Option<Keep>)>,
    ) -> Self {
        Self {
            disk: Disk::default(),
            rng,
            watcher,
            went_off,
            life: 0,
            off: false,
            fuse: None,
            room: None,
            fail_sync: None,
            slow_us: 0,
            cost_us: 0,
            epochs: None,
        }
    }

    /// The power will go, or without `keep` the process end, when so many operations with these files are done.
    pub fn light_fuse(&mut self, operations: u64, files: Files, keep: Option<Keep>) {
        self.fuse = Some(Fuse { operations, files, keep });
    }

    /// Nothing ends, and nothing fails.
    pub fn forget_faults(&mut self) {
        self.fuse = None;
        self.fail_sync = None;
    }

    /// The power is gone, unless it was already.
    pub fn lose_power(&mut self, keep: Keep) {
        self.fuse = None;
        if !std::mem::replace(&mut self.off, true) {
            self.disk.lose_power(keep, &mut self.rng);
        }
        self.end_process();
    }

    /// The process is gone; the system is not, and neither is what was written.
    pub fn end_process(&mut self) {
        self.life += 1;
        self.cost_us = 0;
    }

    /// A process may begin.
    pub fn switch_on(&mut self) {
        self.off = false;
        self.epochs = self.epochs_on_disk();
    }

    /// The disk is full but for so many bytes, or is not any more.
    pub fn limit_room(&mut self, room: Option<u64>) {
        self.room = room;
    }

    /// Every sync takes so much longer, µs.
    pub fn slow_down(&mut self, us: u64) {
        self.slow_us = us;
    }

    /// The next sync of one of these files fails, or of any.
    pub fn fail_sync(&mut self, files: Files) {
        self.fail_sync = Some(files);
    }

    /// Names and contents.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let read = |(name, len): (String, u64)| {
            let bytes = self.disk.read(&name, 0, len as usize).unwrap_or_default();
            (name, bytes)
        };
        self.disk.list().into_iter().map(read).collect()
    }

    /// What the epoch files would say without power; one that is not there says 0.
    pub fn epochs_on_disk(&self) -> Option<(u32, u32)> {
        let read = |name: &str| {
            let bytes = self.disk.durable(name)?;
            std::str::from_utf8(&bytes).ok()?.lines().next()?.trim().parse::<u32>().ok()
        };
        match EPOCHS.map(read) {
            [None, None] => None,
            [accepted, current] => Some((accepted.unwrap_or(0), current.unwrap_or(0))),
        }
    }

    /// One more operation, with a file or the directory; an error when everything ends before it.
    fn step(&mut self, name: Option<&str>, cost_us: u64) -> io::Result<()> {
        const OVER: &str = "nothing runs on this machine";
        if self.off {
            return Err(io::Error::other(OVER));
        }
        if let Some(fuse) = self.fuse.as_mut().filter(|fuse| fuse.files.has(name)) {
            fuse.operations = fuse.operations.saturating_sub(1);
            if fuse.operations == 0 {
                let keep = fuse.keep;
                match keep {
                    Some(keep) => self.lose_power(keep),
                    None => self.end_process(),
                }
                (self.fuse, self.off) = (None, true);
                let _ = self.went_off.send((node(), keep));
                return Err(io::Error::other(OVER));
            }
        }
        self.cost_us += cost_us;
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let cost = self.rng.between(50, 800) + self.slow_us;
        self.step(Some(name), cost)?;
        if self.fail_sync.take_if(|files| files.has(Some(name))).is_some() {
            return Err(io::Error::other("injected: sync failed"));
        }
        self.disk.sync(name);
        (self.watcher)(&Op::Fsync { name: name.to_owned(), branch: 0, upto: 0 });
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let cost = self.rng.between(50, 800) + self.slow_us;
        self.step(None, cost)?;
        self.disk.sync_names();
        (self.watcher)(&Op::FsyncDir);
        self.tell_what_is_whole();
        Ok(())
    }

    /// Epochs and snapshots count when they and their names are on the disk.
    fn tell_what_is_whole(&mut self) {
        let epochs = self.epochs_on_disk();
        if let Some((accepted, current)) = epochs.filter(|_| epochs != self.epochs) {
            (self.watcher)(&Op::Epochs { generation: 0, accepted, current });
        }
        self.epochs = epochs;
        for (name, _) in self.disk.list() {
            let hex = name.strip_prefix("snapshot.").and_then(|rest| rest.split('.').next());
            let zxid = hex.and_then(|hex| i64::from_str_radix(hex, 16).ok());
            let Some(zxid) = zxid.map(Zxid) else { continue };
            let len = self.disk.len(&name) as usize;
            if self.disk.durable(&name) == self.disk.read(&name, 0, len) {
                (self.watcher)(&Op::Finish { name, zxid });
            }
        }
    }

    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let cost = self.rng.between(5, 40);
        self.step(Some(name), cost)?;
        let more = (at + bytes.len() as u64).saturating_sub(self.disk.len(name));
        let fits = self.room.is_none_or(|room| more <= room);
        // What there is room for is written.
        let short = if fits { 0 } else { more - self.room.unwrap_or(0) };
        let bytes = &bytes[..bytes.len() - (short as usize).min(bytes.len())];
        if let Some(room) = &mut self.room {
            *room -= more - short;
        }
        self.disk.write(name, at, bytes);
        if bytes.iter().any(|byte| *byte != 0) {
            let (name, bytes) = (name.to_owned(), bytes.to_vec());
            (self.watcher)(&Op::Append { name, at, bytes });
        }
        if fits { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
    }

    fn gives_back(&mut self, bytes: u64) {
        if let Some(room) = &mut self.room {
            *room += bytes;
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Is it the directory, or one above it?
fn is_dir(path: &Path) -> bool {
    let name = name_of(path);
    name.is_empty() || name == "version-2" || name == "data"
}

/// An open file, or a directory.
#[derive(Debug)]
pub struct File {
    /// `None`: a directory.
    inode: Option<u64>,
    at: u64,
    life: u64,
}

impl File {
    /// As the standard library's.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::options().open(path)
    }

    /// As the standard library's.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::options().write(true).create(true).truncate(true).open(path)
    }

    /// As the standard library's.
    pub fn options() -> OpenOptions {
        OpenOptions::default()
    }

    fn on<T>(&self, work: impl FnOnce(&mut Machine, &str) -> io::Result<T>) -> io::Result<T> {
        here(|machine| {
            if machine.life != self.life {
                return Err(io::Error::other("that process is gone"));
            }
            let inode = self.inode.ok_or(ErrorKind::IsADirectory)?;
            let name = machine.disk.name_of(inode).ok_or(ErrorKind::NotFound)?;
            work(machine, &name)
        })
    }

    /// As the standard library's.
    pub fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.on(|machine, name| machine.write(name, at, bytes))
    }

    /// As the standard library's.
    pub fn sync_data(&self) -> io::Result<()> {
        self.sync_all()
    }

    /// As the standard library's.
    pub fn sync_all(&self) -> io::Result<()> {
        if self.inode.is_none() {
            return here(Machine::sync_names);
        }
        self.on(Machine::sync)
    }

    /// As the standard library's, and durable at once.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.on(|machine, name| {
            machine.step(Some(name), 20)?;
            machine.gives_back(machine.disk.len(name).saturating_sub(len));
            machine.disk.truncate(name, len);
            (machine.watcher)(&Op::Truncate { name: name.to_owned(), at: len });
            Ok(())
        })
    }

    /// As the standard library's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.on(|machine, name| Ok(Metadata { len: machine.disk.len(name), is_dir: false }))
    }

    /// Nobody else runs on this machine.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        Ok(())
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for File {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let at = self.at;
        let bytes = self.on(|machine, name| {
            machine.step(Some(name), 20)?;
            machine.disk.read(name, at, out.len()).ok_or(ErrorKind::NotFound.into())
        })?;
        out[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(at) => self.at = at,
            _ => return Err(ErrorKind::Unsupported.into()),
        }
        Ok(self.at)
    }
}

/// As the standard library's.
#[derive(Clone, Default, Debug)]
pub struct OpenOptions {
    create: bool,
    truncate: bool,
}

impl OpenOptions {
    /// As the standard library's.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// As the standard library's.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// Changes nothing here.
    pub fn write(&mut self, _: bool) -> &mut Self {
        self
    }

    /// As the standard library's.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let name = name_of(path.as_ref());
        here(|machine| {
            let life = machine.life;
            if is_dir(path.as_ref()) {
                return Ok(File { inode: None, at: 0, life });
            }
            machine.step(Some(&name), 10)?;
            let there = machine.disk.find(&name);
            if there.is_none() && !self.create {
                return Err(ErrorKind::NotFound.into());
            }
            if there.is_some() && self.truncate {
                machine.gives_back(machine.disk.len(&name));
                machine.disk.truncate(&name, 0);
            }
            let inode = machine.disk.make(&name);
            Ok(File { inode: Some(inode), at: 0, life })
        })
    }
}

/// As the standard library's.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    len: u64,
    is_dir: bool,
}

impl Metadata {
    /// Bytes of the file.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.is_dir
    }
}

/// As the standard library's.
#[derive(Debug)]
pub struct DirEntry {
    name: String,
    len: u64,
}

impl DirEntry {
    /// As the standard library's.
    pub fn file_name(&self) -> OsString {
        self.name.clone().into()
    }

    /// As the standard library's.
    pub fn path(&self) -> PathBuf {
        self.name.clone().into()
    }

    /// As the standard library's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        Ok(Metadata { len: self.len, is_dir: false })
    }
}

/// As the standard library's.
pub fn read_dir(_: impl AsRef<Path>) -> io::Result<impl Iterator<Item = io::Result<DirEntry>>> {
    let all = here(|machine| Ok(machine.disk.list()))?;
    Ok(all.into_iter().map(|(name, len)| Ok(DirEntry { name, len })))
}

/// As the standard library's.
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    match is_dir(path.as_ref()) {
        true => Ok(Metadata { len: 0, is_dir: true }),
        false => File::open(path)?.metadata(),
    }
}

/// Every directory is there.
pub fn create_dir_all(_: impl AsRef<Path>) -> io::Result<()> {
    Ok(())
}

/// As the standard library's.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// As the standard library's.
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let name = name_of(path.as_ref());
    here(|machine| {
        machine.step(Some(&name), 20)?;
        machine.disk.find(&name).ok_or(ErrorKind::NotFound)?;
        machine.gives_back(machine.disk.len(&name));
        machine.disk.remove(&name);
        (machine.watcher)(&Op::Remove { name });
        Ok(())
    })
}

/// As the standard library's.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (name_of(from.as_ref()), name_of(to.as_ref()));
    here(|machine| {
        machine.step(Some(&from), 20)?;
        machine.disk.find(&from).ok_or(ErrorKind::NotFound)?;
        if from == to {
            return Ok(());
        }
        machine.disk.rename(&from, &to);
        (machine.watcher)(&Op::Rename { from, to });
        Ok(())
    })
}
