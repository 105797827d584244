//! The thread that writes recordings, and what waits for it. Knows no record.

use super::names;
use crate::settings::{Recording, RunError};
use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the thread lets records gather: what a process that is killed loses, unless it panics. Waking it costs as much
/// as recording some dozens of requests.
const GATHER: Duration = Duration::from_millis(25);
/// Bytes that it does not let wait so long.
const ENOUGH: usize = 256 << 10;

/// What waits for the thread.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Something waits.
    more: Condvar,
    /// Nothing does any more.
    none: Condvar,
}

#[derive(Default, Debug)]
struct Waiting {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// The thread has something in its hands.
    writing: bool,
    /// Writing has failed. Nothing is taken until something new begins.
    failed: bool,
    /// Nothing more will come.
    over: bool,
    /// Memory to be used again.
    spare: Vec<u8>,
}

#[derive(Debug)]
enum Piece {
    /// The next file is begun, at that moment.
    Begin(i64),
    /// Goes into the next file.
    Next(Vec<u8>),
    /// The next file comes to nothing.
    Drop,
    /// The present file ends with this, and the next one takes its place.
    Promote(Vec<u8>),
    /// Goes into the present file.
    Current(Vec<u8>),
    /// The present file ends with this.
    Close(Vec<u8>),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Begin(_) | Self::Drop => 0,
            Self::Next(bytes)
            | Self::Promote(bytes)
            | Self::Current(bytes)
            | Self::Close(bytes) => bytes.len(),
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, piece: Piece) {
        let mut waiting = self.lock();
        if waiting.failed {
            return;
        }
        waiting.bytes += piece.len();
        waiting.pieces.push_back(piece);
        self.more.notify_one();
    }

    /// Begins another file. What failed before is forgotten.
    pub(super) fn begin(&self, wall_ms: i64) {
        self.lock().failed = false;
        self.push(Piece::Begin(wall_ms));
    }

    pub(super) fn to_next(&self, bytes: &[u8]) {
        self.push(Piece::Next(bytes.to_vec()));
    }

    pub(super) fn drop_next(&self) {
        self.push(Piece::Drop);
    }

    pub(super) fn promote(&self, end: &[u8]) {
        self.push(Piece::Promote(end.to_vec()));
    }

    pub(super) fn close(&self, end: &[u8]) {
        self.push(Piece::Close(end.to_vec()));
    }

    /// Appends to the present file. False when writing has failed, or more than `most` bytes wait already.
    pub(super) fn to_current(&self, most: usize, put: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut waiting = self.lock();
        if waiting.failed {
            return false;
        }
        if waiting.bytes > most {
            drop(waiting);
            tracing::warn!(
                "the flight recorder's disk does not keep up: the recording has a gap. Clients notice nothing"
            );
            return false;
        }
        let (idle, mut filled) = (waiting.pieces.is_empty(), false);
        if !matches!(waiting.pieces.back(), Some(Piece::Current(_))) {
            let fresh = std::mem::take(&mut waiting.spare);
            waiting.pieces.push_back(Piece::Current(fresh));
        }
        if let Some(Piece::Current(bytes)) = waiting.pieces.back_mut() {
            let before = bytes.len();
            put(bytes);
            let more = bytes.len() - before;
            waiting.bytes += more;
            filled = (waiting.bytes - more..waiting.bytes).contains(&ENOUGH);
        }
        if idle || filled {
            self.more.notify_one();
        }
        true
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().bytes
    }

    /// Has all that came before a failure been dealt with?
    pub(super) fn can_begin(&self) -> bool {
        let waiting = self.lock();
        !waiting.failed || (waiting.pieces.is_empty() && !waiting.writing)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// Waits until everything is written, but no longer than that. Takes no lock that somebody may have died with.
    fn flush(&self, most: Duration) {
        let until = Instant::now() + most;
        while Instant::now() < until {
            if let Ok(waiting) = self.waiting.try_lock() {
                let wait = until.saturating_duration_since(Instant::now());
                let busy = |waiting: &mut Waiting| waiting.writing || !waiting.pieces.is_empty();
                self.more.notify_one();
                let _ = self.none.wait_timeout_while(waiting, wait, busy);
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The queue of the recording of this process, if there is one.
static RECORDING: Mutex<Weak<Queue>> = Mutex::new(Weak::new());

/// What was recorded up to now reaches its file, unless that takes a second. For a process that is about to end.
pub fn flush_recording() {
    let queue = RECORDING.try_lock().ok().and_then(|queue| queue.upgrade());
    if let Some(queue) = queue {
        queue.flush(Duration::from_secs(1));
    }
}

/// The thread.
pub(super) struct Writer(JoinHandle<()>);

impl Writer {
    /// Opens the directory and starts.
    pub(super) fn start(recording: &Recording) -> Result<(Self, Arc<Queue>), RunError> {
        let dir = &recording.dir;
        let refuse =
            |what: &str| RunError::Configuration(format!("--record {}: {what}", dir.display()));
        let files =
            Files::open(dir, recording.files).map_err(|error| refuse(&error.to_string()))?;
        let waiting = Mutex::new(Waiting::default());
        let queue = Arc::new(Queue { waiting, more: Condvar::new(), none: Condvar::new() });
        *RECORDING.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&queue);
        let mine = queue.clone();
        let thread = std::thread::Builder::new().name("recorder".to_owned());
        let thread = thread.spawn(move || write(&mine, files));
        Ok((Self(thread.map_err(|error| refuse(&error.to_string()))?), queue))
    }

    /// Waits for what there is still to be written, but no longer than that.
    pub(super) fn finish(self, queue: &Queue, most: Duration) {
        queue.lock().over = true;
        queue.flush(most);
        // A thread that is still at it ends with the process.
        if self.0.is_finished() {
            let _ = self.0.join();
        }
    }
}

fn write(queue: &Queue, mut files: Files) {
    loop {
        let mut waiting = queue.lock();
        waiting.writing = false;
        if waiting.pieces.is_empty() {
            queue.none.notify_all();
        }
        while waiting.pieces.is_empty() && !waiting.over {
            waiting = queue.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.pieces.is_empty() {
            return;
        }
        let gathers = |waiting: &mut Waiting| !waiting.over && waiting.bytes < ENOUGH;
        waiting = queue
            .more
            .wait_timeout_while(waiting, GATHER, gathers)
            .map_or_else(|poisoned| poisoned.into_inner().0, |(waiting, _)| waiting);
        waiting.writing = true;
        let pieces = std::mem::take(&mut waiting.pieces);
        drop(waiting);
        for piece in pieces {
            let len = piece.len();
            let outcome = files.take(&piece);
            let mut waiting = queue.lock();
            waiting.bytes -= len;
            if let Piece::Current(mut bytes) = piece {
                bytes.clear();
                waiting.spare = bytes;
            }
            if let Err(error) = outcome {
                waiting.failed = true;
                waiting.pieces.clear();
                waiting.bytes = 0;
                drop(waiting);
                tracing::warn!(
                    "the flight recorder cannot write {}: {error}. The recording has a gap, and is tried again in \
                     ten seconds; clients notice nothing",
                    files.dir.display()
                );
                files.give_up();
                break;
            }
        }
    }
}

/// The directory, and the files being written.
struct Files {
    dir: PathBuf,
    /// How many are kept.
    most: usize,
    /// When the newest one begins, ms since 1970.
    last: i64,
    current: Option<(File, u64)>,
    next: Option<(File, String)>,
    _lock: File,
}

/// A file that keeps two servers from recording into the same directory.
const LOCK: &str = "zoetrope.lock";

impl Files {
    fn open(dir: &Path, most: u32) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(LOCK))?;
        if lock.try_lock().is_err() {
            return Err(io::Error::other("another server records there"));
        }
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if names::is_unfinished(&entry.file_name()) {
                fs::remove_file(entry.path())?;
            }
        }
        let last = names::newest(&names::recordings(dir)?);
        let (dir, most) = (dir.to_owned(), most.max(1) as usize);
        Ok(Self { dir, most, last, current: None, next: None, _lock: lock })
    }

    fn take(&mut self, piece: &Piece) -> io::Result<()> {
        match piece {
            Piece::Begin(wall_ms) => {
                self.drop_next();
                let name = names::name(*wall_ms, &mut self.last);
                let path = self.dir.join(format!("{name}{}", names::UNFINISHED));
                let file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                self.next = Some((file, name));
            }
            Piece::Next(bytes) => {
                if let Some((file, _)) = &mut self.next {
                    file.write_all(bytes)?;
                }
            }
            Piece::Drop => self.drop_next(),
            Piece::Promote(end) => {
                self.append(end)?;
                self.current = None;
                if let Some((file, name)) = self.next.take() {
                    self.rename(&name)?;
                    let len = file.metadata()?.len();
                    self.current = Some((file, len));
                }
                self.purge();
            }
            Piece::Current(bytes) => self.append(bytes)?,
            Piece::Close(end) => {
                self.append(end)?;
                self.current = None;
            }
        }
        Ok(())
    }

    fn rename(&self, name: &str) -> io::Result<()> {
        let from = self.dir.join(format!("{name}{}", names::UNFINISHED));
        fs::rename(from, self.dir.join(format!("{name}{}", names::SUFFIX)))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some((file, len)) = &mut self.current {
            file.write_all(bytes)?;
            *len += bytes.len() as u64;
        }
        Ok(())
    }

    fn drop_next(&mut self) {
        if let Some((_, name)) = self.next.take() {
            let _ = fs::remove_file(self.dir.join(format!("{name}{}", names::UNFINISHED)));
        }
    }

    /// After a failure: the present file ends where the last write that succeeded ended.
    fn give_up(&mut self) {
        self.drop_next();
        if let Some((mut file, len)) = self.current.take() {
            let _ = file.set_len(len);
            let mut end = Vec::new();
            zoetrope_core::flight::Recorder::end_in_gap(&mut end);
            let _ =
                io::Seek::seek(&mut file, io::SeekFrom::End(0)).and_then(|_| file.write_all(&end));
        }
    }

    /// Removes the oldest files.
    fn purge(&self) {
        let names = names::recordings(&self.dir).unwrap_or_default();
        for name in names.iter().take(names.len().saturating_sub(self.most)) {
            if let Err(error) = fs::remove_file(self.dir.join(name)) {
                tracing::warn!("cannot remove the old recording {name}: {error}");
            }
        }
    }
}
