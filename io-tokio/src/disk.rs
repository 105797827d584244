//! The devices: threads that carry out disk operations in order. The first failure of one latches for good. Knows
//! no format but compression.

use crate::data_dir::{DataDirs, SNAPSHOT_IN_THE_MAKING};
use crate::device::{Work, Worker};
use crate::files::{self as fs, File};
use crate::planted::{Plant, planted};
use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
#[cfg(not(madsim))]
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use zoetrope_core::{Compression, Device, FileId, Zxid};

/// One thing a disk has to do. Paths are resolved by the driver.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum DeviceOp {
    Reserve { file: FileId, path: PathBuf, upto: u64 },
    Append { file: FileId, path: PathBuf, at: u64, bytes: Vec<u8> },
    Fsync { file: FileId, path: PathBuf, branch: u32, upto: u64 },
    Rename { from: FileId, from_path: PathBuf, to: FileId, to_path: PathBuf },
    FsyncLogDir,
    Truncate { path: PathBuf, at: u64 },
    Discard { file: FileId, path: PathBuf },
    PutEpochs { generation: u32, accepted: u32, current: u32 },
    SnapSlice { at: u64, bytes: Vec<u8> },
    SnapFinish { path: PathBuf, zxid: Zxid },
    SnapRemove { path: PathBuf },
    Read { file: FileId, path: PathBuf, at: u64, len: u32 },
    Remove { path: PathBuf },
}

/// What a disk answers.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum DiskDone {
    Reserved { file: FileId, upto: u64 },
    NoRoom { file: FileId },
    Durable { branch: u32, upto: u64, took_us: u64 },
    EpochsDurable { generation: u32 },
    SnapWritten { upto: u64 },
    SnapDurable { zxid: Zxid },
    SnapFailed { error: String },
    Read { file: FileId, at: u64, bytes: Vec<u8> },
    ReadFailed { file: FileId, at: u64, error: String },
    Failed { device: Device, error: String },
}

/// A disk: takes operations, answers through the channel it was made with.
pub trait Disk {
    /// Takes the operations of one turn, in order.
    fn submit(&mut self, ops: Vec<DeviceOp>);
}

/// The real disk: a thread for each device.
#[derive(Debug)]
pub struct ThreadDisk {
    log: Worker,
    room: Worker,
    snapshot: Worker,
    read: Worker,
}

impl ThreadDisk {
    /// Starts the threads.
    pub fn start(
        dirs: &DataDirs,
        compression: Compression,
        force_sync: bool,
        done: UnboundedSender<DiskDone>,
    ) -> Self {
        let (dir, epoch_dir) = (dirs.log.clone(), dirs.snapshot.clone());
        let (files, fsyncs) = (BTreeMap::new(), Arc::new(AtomicU64::new(0)));
        let log = LogDevice {
            dir,
            epoch_dir,
            files,
            force_sync,
            epochs: [None; 2],
            fsyncs: fsyncs.clone(),
        };
        let dir = dirs.snapshot.clone();
        let snapshot = SnapshotDevice { unsynced: 0, dir, compression, now: None, fsyncs, seen: 0 };
        Self {
            log: Worker::start("zoetrope-log", log, done.clone()),
            room: Worker::start("zoetrope-room", RoomDevice, done.clone()),
            snapshot: Worker::start("zoetrope-snap", snapshot, done.clone()),
            read: Worker::start("zoetrope-read", ReadDevice::default(), done),
        }
    }

    /// Waits until everything submitted is done.
    pub fn finish(self) {
        for worker in [self.log, self.room, self.snapshot, self.read] {
            worker.finish();
        }
    }
}

impl Disk for ThreadDisk {
    fn submit(&mut self, ops: Vec<DeviceOp>) {
        let (mut log, mut room, mut snapshot, mut read) = (vec![], vec![], vec![], vec![]);
        for op in ops {
            match op {
                DeviceOp::Reserve { .. } | DeviceOp::Remove { .. } => room.push(op),
                DeviceOp::SnapSlice { .. }
                | DeviceOp::SnapFinish { .. }
                | DeviceOp::SnapRemove { .. } => snapshot.push(op),
                DeviceOp::Read { .. } => read.push(op),
                DeviceOp::Append { .. }
                | DeviceOp::Fsync { .. }
                | DeviceOp::Rename { .. }
                | DeviceOp::FsyncLogDir
                | DeviceOp::Truncate { .. }
                | DeviceOp::Discard { .. }
                | DeviceOp::PutEpochs { .. } => log.push(op),
            }
        }
        for (device, ops) in
            [(&self.log, log), (&self.room, room), (&self.snapshot, snapshot), (&self.read, read)]
        {
            if !ops.is_empty() {
                device.give(ops);
            }
        }
    }
}

struct LogDevice {
    dir: PathBuf,
    epoch_dir: PathBuf,
    files: BTreeMap<FileId, File>,
    force_sync: bool,
    /// What `acceptedEpoch` and `currentEpoch` say, as far as it was written here.
    epochs: [Option<u32>; 2],
    /// How many fsyncs of logs there were.
    fsyncs: Arc<AtomicU64>,
}

impl Work for LogDevice {
    fn work(&mut self, ops: Vec<DeviceOp>, done: &mut dyn FnMut(DiskDone)) -> Option<()> {
        for answer in self.carry_out(ops) {
            let failed = matches!(answer, DiskDone::Failed { .. });
            done(answer);
            if failed {
                return None;
            }
        }
        Some(())
    }
}

impl LogDevice {
    fn carry_out(&mut self, batch: Vec<DeviceOp>) -> Vec<DiskDone> {
        if planted(Plant::FsyncOvertakes) {
            self.files.values().for_each(|file| drop(file.sync_data()));
        }
        let mut answers = Vec::new();
        let mut ops = batch.into_iter().peekable();
        // An fsync of a file may wait for the next one of the same file, if only appends to it stand between.
        let mut owed: Option<(FileId, PathBuf, u32, u64)> = None;
        while let Some(op) = ops.next() {
            let file = match &op {
                DeviceOp::Append { file, .. } | DeviceOp::Fsync { file, .. } => Some(*file),
                _ => None,
            };
            if let Some((owing, path, branch, upto)) = owed.take_if(|owed| Some(owed.0) != file) {
                match self.fsync(owing, &path) {
                    Ok(took_us) => answers.push(DiskDone::Durable { branch, upto, took_us }),
                    Err(error) => return fail(answers, Device::Log, &path, &error),
                }
            }
            let outcome = match op {
                DeviceOp::Fsync { file, path, branch, upto } => {
                    owed = Some((file, path, branch, upto));
                    if ops.peek().is_some() {
                        continue;
                    }
                    let (file, path, branch, upto) = owed.take().expect("just owed");
                    self.fsync(file, &path)
                        .map(|took_us| answers.push(DiskDone::Durable { branch, upto, took_us }))
                        .map_err(|error| (path, error))
                }
                DeviceOp::PutEpochs { generation, accepted, current } => self
                    .put_epochs(accepted, current)
                    .map(|()| answers.push(DiskDone::EpochsDurable { generation }))
                    .map_err(|error| (self.epoch_dir.clone(), error)),
                op => self.change(op),
            };
            if let Err((path, error)) = outcome {
                return fail(answers, Device::Log, &path, &error);
            }
        }
        answers
    }

    fn change(&mut self, op: DeviceOp) -> Result<(), (PathBuf, io::Error)> {
        match op {
            DeviceOp::Append { file, path, at, bytes } => self
                .open(file, &path)
                .and_then(|file| file.write_all_at(&bytes, at))
                .map_err(|error| (path, error)),
            DeviceOp::Rename { from, from_path, to, to_path } => {
                if let Some(open) = self.files.remove(&from) {
                    self.files.clear();
                    self.files.insert(to, open);
                }
                fs::rename(&from_path, &to_path).map_err(|error| (from_path, error))
            }
            DeviceOp::FsyncLogDir => {
                self.fsync_dir(&self.dir).map_err(|error| (self.dir.clone(), error))
            }
            DeviceOp::Truncate { path, at } => File::options()
                .write(true)
                .open(&path)
                .and_then(|file| match planted(Plant::TruncateIgnored) {
                    true => Ok(()),
                    false => file.set_len(at).and_then(|()| file.sync_all()),
                })
                .map_err(|error| (path, error)),
            DeviceOp::Discard { file, path } => {
                self.files.remove(&file);
                let dir = path.parent().unwrap_or(&self.dir).to_owned();
                match fs::remove_file(&path) {
                    // Whoever begins again finds it gone.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    removed => removed,
                }
                .and_then(|()| self.fsync_dir(&dir))
                .map_err(|error| (path, error))
            }
            other => unreachable!("{other:?} is not the log's"),
        }
    }

    fn open(&mut self, file: FileId, path: &Path) -> io::Result<&File> {
        use std::collections::btree_map::Entry;
        Ok(match self.files.entry(file) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(empty) => empty.insert(File::options().write(true).open(path)?),
        })
    }

    fn fsync(&mut self, file: FileId, path: &Path) -> io::Result<u64> {
        let (force_sync, started) = (self.force_sync, Instant::now());
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        let file = self.open(file, path)?;
        if planted(Plant::NoFsyncWait) || planted(Plant::FsyncOvertakes) {
            return Ok(1);
        }
        if force_sync {
            file.sync_data().or_else(ignored_by(Plant::FsyncErrorIgnored))?;
        }
        Ok(started.elapsed().as_micros() as u64)
    }

    fn fsync_dir(&self, dir: &Path) -> io::Result<()> {
        let sync = self.force_sync && !planted(Plant::NoDirectoryFsync);
        if sync { File::open(dir)?.sync_all() } else { Ok(()) }
    }

    /// Writes those of the two files that change. An election waits for this, so nothing is synced that need not be.
    fn put_epochs(&mut self, accepted: u32, current: u32) -> io::Result<()> {
        let names = ["acceptedEpoch", "currentEpoch"];
        for (n, epoch) in [accepted, current].into_iter().enumerate() {
            if self.epochs[n] == Some(epoch) {
                continue;
            }
            let (tmp, path) =
                (self.epoch_dir.join(format!("{}.tmp", names[n])), self.epoch_dir.join(names[n]));
            let tmp = if planted(Plant::EpochsInPlace) { path.clone() } else { tmp };
            let mut file = File::create(&tmp)?;
            write!(file, "{epoch}")?;
            if !planted(Plant::EpochsNotSynced) {
                file.sync_all()?;
            }
            fs::rename(&tmp, &path)?;
            if !planted(Plant::EpochsNotSynced) {
                // What was accepted is never behind what is current, whatever a file system reorders.
                File::open(&self.epoch_dir)?.sync_all()?;
            }
            self.epochs[n] = Some(epoch);
        }
        Ok(())
    }
}

fn fail(
    mut answers: Vec<DiskDone>,
    device: Device,
    path: &Path,
    error: &io::Error,
) -> Vec<DiskDone> {
    answers.push(DiskDone::Failed { device, error: format!("{}: {error}", path.display()) });
    answers
}

/// Files that come, in order with those that go: what one leaves the next may take. Really writes zeros: blocks that
/// were written before are synced twice as fast as blocks only promised.
struct RoomDevice;

impl Work for RoomDevice {
    fn work(&mut self, ops: Vec<DeviceOp>, done: &mut dyn FnMut(DiskDone)) -> Option<()> {
        for op in ops {
            match op {
                DeviceOp::Reserve { file, path, upto } => done(match reserve(&path, upto) {
                    Ok(()) => DiskDone::Reserved { file, upto },
                    Err(error) if is_full(&error) && planted(Plant::HalfTheRoom) => {
                        DiskDone::Reserved { file, upto }
                    }
                    Err(error) if is_full(&error) => DiskDone::NoRoom { file },
                    Err(error) => {
                        let error = format!("{}: {error}", path.display());
                        DiskDone::Failed { device: Device::Log, error }
                    }
                }),
                DeviceOp::Remove { path } => gone(&path, fs::remove_file(&path)),
                other => unreachable!("{other:?} makes no room"),
            }
        }
        Some(())
    }
}

fn gone(path: &Path, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}

/// Takes an error for none where that mistake is made.
fn ignored_by(plant: Plant) -> impl Fn(io::Error) -> io::Result<()> {
    move |error| if planted(plant) { Ok(()) } else { Err(error) }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Most bytes that a file which nobody waits for gives the disk at a time: the fsync of the log waits behind them.
const AT_A_TIME: u64 = 1 << 20;
/// The same of a snapshot, which goes on for seconds, while the log is synced.
const SNAPSHOT_AT_A_TIME: u64 = 128 << 10;
/// How long what is purged at a time may go in pieces: whoever waits for the device waits for no more.
const PURGE_MAX: Duration = Duration::from_secs(1);

/// How many zeros to write at a time. A log that was cut meanwhile has an odd length, and another one with zeros behind it
/// would be taken for damaged: every stretch but the last ends at a multiple of `most`.
fn stretch(at: u64, upto: u64, most: usize) -> usize {
    let odd = (at % most as u64) as usize;
    (most - odd).min((upto - at) as usize)
}

/// Makes a spare file, or makes a log longer. A log that is not there any more has been cut off by a leader meanwhile, on
/// the other device, and must not come back as zeros.
fn reserve(path: &Path, upto: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let is_log = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"log."));
    let file = match File::options().create(!is_log).truncate(false).write(true).open(path) {
        Err(error) if is_log && error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let before = file.metadata()?.len();
    let (mut at, mut synced) = (before, before);
    let filled = loop {
        if at >= upto {
            break file.sync_all();
        }
        let len = stretch(at, upto, ZEROS.len());
        match file.write_all_at(&ZEROS[..len], at) {
            Ok(()) => at += len as u64,
            Err(error) => break Err(error),
        }
        if at - synced >= AT_A_TIME {
            synced = at;
            if let Err(error) = file.sync_data() {
                break Err(error);
            }
        }
    };
    if filled.is_err() {
        // What was gained is given back: half a stretch is no use to us, and others may need it.
        file.set_len(before)?;
    }
    filled
}

/// A snapshot being written.
enum Sink {
    Plain(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
    Snappy(SnappyWriter<BufWriter<File>>),
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.write_all(bytes),
            Self::Gzip(to) => to.write_all(bytes),
            Self::Snappy(to) => to.write(bytes),
        }
    }

    fn file(&self) -> &File {
        match self {
            Self::Plain(to) => to.get_ref(),
            Self::Gzip(to) => to.get_ref().get_ref(),
            Self::Snappy(to) => to.to.get_ref(),
        }
    }

    fn finish(self) -> io::Result<File> {
        let to = match self {
            Self::Plain(to) => to,
            Self::Gzip(to) => to.finish()?,
            Self::Snappy(to) => to.finish()?,
        };
        to.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

struct SnapshotDevice {
    dir: PathBuf,
    compression: Compression,
    now: Option<Sink>,
    /// Bytes of the snapshot given to the system and not synced.
    unsynced: u64,
    /// Fsyncs of logs, and how many of them there were at the last sync of a snapshot.
    fsyncs: Arc<AtomicU64>,
    seen: u64,
}

impl Work for SnapshotDevice {
    fn work(&mut self, ops: Vec<DeviceOp>, done: &mut dyn FnMut(DiskDone)) -> Option<()> {
        let until = Instant::now() + PURGE_MAX;
        for op in ops {
            let answer = match op {
                DeviceOp::SnapSlice { at, bytes } => self
                    .slice(at, &bytes)
                    .map(|()| DiskDone::SnapWritten { upto: at + bytes.len() as u64 }),
                DeviceOp::SnapFinish { path, zxid } => {
                    self.finish(&path).map(|()| DiskDone::SnapDurable { zxid })
                }
                DeviceOp::SnapRemove { path } => {
                    gone(&path, remove_in_pieces(&path, until));
                    continue;
                }
                other => unreachable!("{other:?} is not the snapshot device's"),
            };
            done(answer.unwrap_or_else(|error| {
                self.now = None;
                let _ = fs::remove_file(self.dir.join(SNAPSHOT_IN_THE_MAKING));
                DiskDone::SnapFailed { error: error.to_string() }
            }));
        }
        Some(())
    }
}

impl SnapshotDevice {
    fn slice(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if at == 0 {
            let file = BufWriter::new(File::create(self.dir.join(SNAPSHOT_IN_THE_MAKING))?);
            self.now = Some(match self.compression {
                Compression::None => Sink::Plain(file),
                Compression::Gzip => {
                    Sink::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default()))
                }
                Compression::Snappy => Sink::Snappy(SnappyWriter::new(file)?),
            });
        }
        let sink = self.now.as_mut().ok_or_else(no_snapshot)?;
        sink.write(bytes)?;
        self.unsynced += bytes.len() as u64;
        if self.unsynced < SNAPSHOT_AT_A_TIME {
            return Ok(());
        }
        let fsyncs = self.fsyncs.load(Ordering::Relaxed);
        if fsyncs != self.seen || self.unsynced >= AT_A_TIME {
            (self.unsynced, self.seen) = (0, fsyncs);
            sink.file().sync_data()?;
        }
        Ok(())
    }

    fn finish(&mut self, path: &Path) -> io::Result<()> {
        let file = self.now.take().ok_or_else(no_snapshot)?.finish()?;
        if !planted(Plant::SnapshotNotSynced) {
            file.sync_all()?;
        }
        fs::rename(self.dir.join(SNAPSHOT_IN_THE_MAKING), path)?;
        File::open(&self.dir)?.sync_all()
    }
}

/// A large file that goes at once holds up its file system, and every fsync with it, until all its blocks are free. So it
/// loses its name first, and then its blocks from the end, piece by piece, unless it has another name somewhere.
#[cfg(not(madsim))]
fn remove_in_pieces(path: &Path, until: Instant) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    const PIECE: u64 = 1 << 20;
    let is_file = fs::metadata(path).is_ok_and(|it| it.is_file());
    let file = if is_file { File::options().write(true).open(path).ok() } else { None };
    fs::remove_file(path)?;
    // It is gone: what fails from here on only makes it faster.
    let Some((file, meta)) = file.and_then(|file| file.metadata().ok().map(|meta| (file, meta)))
    else {
        return Ok(());
    };
    let mut len = if meta.nlink() == 0 { meta.len() } else { 0 };
    while len > PIECE && Instant::now() < until {
        len -= PIECE;
        if file.set_len(len).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[cfg(madsim)]
fn remove_in_pieces(path: &Path, _until: Instant) -> io::Result<()> {
    fs::remove_file(path)
}

fn no_snapshot() -> io::Error {
    io::Error::other("no snapshot is being written")
}

/// First bytes of snappy-java's stream format: magic, version, lowest version that reads it (storage §2.12).
const SNAPPY_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const SNAPPY_BLOCK: usize = 32 << 10;

struct SnappyWriter<W> {
    to: W,
    block: Vec<u8>,
}

impl<W: Write> SnappyWriter<W> {
    fn new(mut to: W) -> io::Result<Self> {
        to.write_all(SNAPPY_HEADER)?;
        Ok(Self { to, block: Vec::with_capacity(SNAPPY_BLOCK) })
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = bytes.len().min(SNAPPY_BLOCK - self.block.len());
            self.block.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if self.block.len() == SNAPPY_BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            let packed =
                snap::raw::Encoder::new().compress_vec(&self.block).map_err(io::Error::other)?;
            self.to.write_all(&(packed.len() as u32).to_be_bytes())?;
            self.to.write_all(&packed)?;
            self.block.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.to)
    }
}

struct SnappyReader<R> {
    from: R,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> SnappyReader<R> {
    fn new(mut from: R) -> io::Result<Self> {
        let mut header = [0; 16];
        from.read_exact(&mut header)?;
        if header[..8] != SNAPPY_HEADER[..8] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a snappy stream"));
        }
        Ok(Self { from, block: Vec::new(), at: 0 })
    }
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            let mut len = [0; 4];
            if self.from.read(&mut len[..1])? == 0 {
                return Ok(0);
            }
            self.from.read_exact(&mut len[1..])?;
            let len = u32::from_be_bytes(len) as usize;
            // Java writes blocks of 32 KiB; whatever claims to be far larger is damage.
            if len > 64 << 20 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "unreasonable block"));
            }
            let mut packed = vec![0; len];
            self.from.read_exact(&mut packed)?;
            let bad = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{error}"));
            if snap::raw::decompress_len(&packed).map_err(bad)? > 64 << 20 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "unreasonable block"));
            }
            self.block = snap::raw::Decoder::new().decompress_vec(&packed).map_err(bad)?;
            self.at = 0;
        }
        let n = out.len().min(self.block.len() - self.at);
        out[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// A file being read from front to back.
struct Source {
    file: FileId,
    at: u64,
    from: Box<dyn Read + Send>,
}

/// What was read before anybody asked for it: a file is read from front to back, and whoever reads it works on one piece
/// while the next one comes.
struct Ahead {
    file: FileId,
    at: u64,
    len: u32,
    bytes: Vec<u8>,
    read_at: Instant,
}

/// A log may be written to meanwhile, far behind the place where it is read, so nothing is kept for long.
const AHEAD_MAX: std::time::Duration = std::time::Duration::from_millis(50);

/// Reads files, one piece ahead.
#[derive(Default)]
struct ReadDevice {
    now: Option<Source>,
    ahead: Option<Ahead>,
}

impl Work for ReadDevice {
    fn work(&mut self, ops: Vec<DeviceOp>, done: &mut dyn FnMut(DiskDone)) -> Option<()> {
        for op in ops {
            let DeviceOp::Read { file, path, at, len } = op else { continue };
            let known = self.ahead.take().filter(|ahead| {
                (ahead.file, ahead.at, ahead.len) == (file, at, len)
                    && ahead.read_at.elapsed() < AHEAD_MAX
            });
            let bytes = match known {
                Some(ahead) => Ok(ahead.bytes),
                None => read(&mut self.now, file, &path, at, len),
            };
            let whole = bytes.as_ref().is_ok_and(|bytes| bytes.len() == len as usize);
            done(match bytes {
                Ok(bytes) => DiskDone::Read { file, at, bytes },
                Err(error) => DiskDone::ReadFailed { file, at, error: error.to_string() },
            });
            let next = at + u64::from(len);
            if whole && let Ok(bytes) = read(&mut self.now, file, &path, next, len) {
                self.ahead = Some(Ahead { file, at: next, len, bytes, read_at: Instant::now() });
            }
        }
        Some(())
    }
}

fn read(
    now: &mut Option<Source>,
    file: FileId,
    path: &Path,
    at: u64,
    len: u32,
) -> io::Result<Vec<u8>> {
    let source = match now.take().filter(|source| source.file == file && source.at == at) {
        Some(source) => now.insert(source),
        None => now.insert(open(file, path, at)?),
    };
    let mut bytes = Vec::with_capacity(len as usize);
    source.from.by_ref().take(u64::from(len)).read_to_end(&mut bytes)?;
    source.at += bytes.len() as u64;
    Ok(bytes)
}

fn open(file: FileId, path: &Path, at: u64) -> io::Result<Source> {
    let mut plain = File::open(path)?;
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let is_snapshot = name.starts_with("snapshot.");
    let mut from: Box<dyn Read + Send> = match Compression::of_name(&name) {
        Compression::Gzip if is_snapshot => {
            Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(plain)))
        }
        Compression::Snappy if is_snapshot => Box::new(SnappyReader::new(BufReader::new(plain))?),
        Compression::None | Compression::Gzip | Compression::Snappy => {
            plain.seek(SeekFrom::Start(at))?;
            return Ok(Source { file, at, from: Box::new(plain) });
        }
    };
    io::copy(&mut from.by_ref().take(at), &mut io::sink())?;
    Ok(Source { file, at, from })
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use super::*;
    use std::fs;

    /// ZOOKEEPER-1387, 4269: under its own name, and nothing half-written beside it.
    #[test]
    fn each_epoch_has_its_own_file() {
        let dir = std::env::temp_dir().join(format!("zoetrope-epochs-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut device = LogDevice {
            dir: dir.clone(),
            epoch_dir: dir.clone(),
            files: BTreeMap::new(),
            force_sync: true,
            epochs: [None; 2],
            fsyncs: Arc::default(),
        };
        let mut written = Vec::new();
        for (accepted, current) in [(3, 2), (3, 3), (5, 3)] {
            device.put_epochs(accepted, current).unwrap();
            let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
            written.push((read("acceptedEpoch"), read("currentEpoch")));
        }
        let files = fs::read_dir(&dir).unwrap().count();
        fs::remove_dir_all(&dir).unwrap();
        let text = |(accepted, current): (&str, &str)| (accepted.to_owned(), current.to_owned());
        assert_eq!(written, [("3", "2"), ("3", "3"), ("5", "3")].map(text));
        assert_eq!(files, 2);
    }

    #[test]
    fn a_log_that_has_gone_stays_away_and_a_spare_file_comes() {
        let dir = std::env::temp_dir().join(format!("zoetrope-room-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (log, spare) = (dir.join("log.5"), dir.join("zoetrope-spare.2"));
        assert_eq!((stretch(1001, 200_000, 1024), stretch(2048, 2049, 1024)), (23, 1));
        reserve(&log, 200_000).unwrap();
        assert!(!log.exists());
        fs::write(&log, [7; 1001]).unwrap();
        for path in [&log, &spare] {
            reserve(path, 200_000).unwrap();
        }
        let log = fs::read(log).unwrap();
        assert_eq!((log.len(), fs::metadata(spare).unwrap().len()), (200_000, 200_000));
        assert!(
            log[..1001].iter().all(|byte| *byte == 7) && log[1001..].iter().all(|byte| *byte == 0)
        );
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_removed_in_pieces_is_gone_and_its_other_name_keeps_it() {
        let path = std::env::temp_dir().join(format!("zoetrope-removed-{}", std::process::id()));
        let other = path.with_extension("other");
        let until = Instant::now() + PURGE_MAX;
        for len in [0, 1, 1 << 20, (3 << 20) + 5] {
            File::create(&path).unwrap().set_len(len).unwrap();
            let reader = File::open(&path).unwrap();
            remove_in_pieces(&path, until).unwrap();
            assert!(!path.exists(), "{len} bytes");
            assert!(reader.metadata().unwrap().len() <= 1 << 20, "{len} bytes");
            File::create(&path).unwrap().set_len(len).unwrap();
            fs::hard_link(&path, &other).unwrap();
            remove_in_pieces(&path, until).unwrap();
            assert_eq!(fs::metadata(&other).unwrap().len(), len);
            fs::remove_file(&other).unwrap();
        }
        let missing = remove_in_pieces(&path, until).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_snappy_stream_reads_back() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n / 7) as u8).collect();
        let mut writer = SnappyWriter::new(Vec::new()).unwrap();
        writer.write(&bytes).unwrap();
        let packed = writer.finish().unwrap();
        let mut back = Vec::new();
        SnappyReader::new(&packed[..]).unwrap().read_to_end(&mut back).unwrap();
        assert_eq!(back, bytes);
        assert!(SnappyReader::new(&b"PK\x03\x04............"[..]).is_err());
    }
}
