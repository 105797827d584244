//! The flight recorder beside a running server: what the core is told goes into a buffer that a thread of its own writes
//! (`writer.rs`). It never waits for that thread. Where the thread does not keep up or cannot write, the recording
//! has a gap, and says so.

mod names;
mod writer;

use crate::settings::{Recording, RunError, Settings};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use writer::{Queue, Writer};
use zoetrope_core::flight::{Copy, Copying, End, Recorder};
use zoetrope_core::{Input, Instant, Listing, Now, Server, Turn};

pub use writer::flush_recording;

/// Bytes that may wait for the writer.
const WAITING_MAX: usize = 32 << 20;
/// Bytes a file may have, or four times what is enough, where no other can be begun: the server reads its disk.
const FILE_MAX: u64 = 64 << 20;
/// A copy is not made where more than this waits already.
const WAITING_FOR_SLICES: usize = 4 << 20;
/// Bytes of the copy that are made at a time: some hundred znodes.
const SLICE: usize = 64 << 10;
/// Time from one slice to the next, ms.
const SLICE_EVERY_MS: u64 = 1;
/// Time after which a server that could not be copied is asked again, ms.
const ASK_EVERY_MS: u64 = 20;
/// Time after which recording is tried again, ms.
const AGAIN_MS: u64 = 10_000;

/// Recording of one server.
pub(crate) struct Flight {
    queue: Arc<Queue>,
    writer: Option<Writer>,
    seed: u64,
    /// Bytes of inputs and turns that a file may have.
    file_bytes: u64,
    current: Option<Current>,
    next: Option<(Copy, u64)>,
    /// No slice before that, and no copy begun.
    not_before: Instant,
}

/// The file that is being written.
struct Current {
    recorder: Recorder,
    /// Bytes behind the state it begins with.
    len: u64,
    /// How many are enough: no fewer than that state has, or most of the recording would be copies.
    enough: u64,
}

impl Flight {
    /// Opens the directory, and begins the first file with a server that is made of these now.
    pub(crate) fn start(
        settings: &Settings,
        recording: &Recording,
        now: Now,
        listing: &Listing,
    ) -> Result<Self, RunError> {
        let data = [&settings.data_dir, &settings.data_log_dir];
        if let Some(dir) = data.into_iter().find(|dir| is_inside(&recording.dir, dir)) {
            return Err(RunError::Configuration(format!(
                "--record {}: recordings do not belong into {}, which holds the data",
                recording.dir.display(),
                dir.display()
            )));
        }
        let (writer, queue) = Writer::start(recording)?;
        let (mut head, seed) = (Vec::new(), settings.seed);
        let recorder = Recorder::born(&settings.core, seed, now, listing, &mut head);
        queue.begin(now.wall_ms);
        queue.to_next(&head);
        queue.promote(&[]);
        let file_bytes = recording.file_bytes;
        let current = Some(Current { recorder, len: 0, enough: file_bytes });
        let writer = Some(writer);
        Ok(Self { queue, writer, seed, file_bytes, current, next: None, not_before: now.mono })
    }

    /// Before the core is told something.
    pub(crate) fn input(&mut self, now: Now, input: &Input<'_>) {
        self.put(now, |recorder, out| recorder.input(now, input, out));
    }

    /// Before the core ends a turn.
    pub(crate) fn turn_begins(&mut self, now: Now) {
        self.put(now, |recorder, out| recorder.turn_begins(now, out));
    }

    /// With what the turn came to.
    pub(crate) fn turn_ends(&mut self, now: Now, turn: &Turn<'_>) {
        self.put(now, |recorder, out| recorder.turn_ends(turn, out));
    }

    fn put(&mut self, now: Now, record: impl FnOnce(&mut Recorder, &mut Vec<u8>)) {
        let Some(current) = &mut self.current else { return };
        let put = self.queue.to_current(WAITING_MAX, |out| {
            let before = out.len();
            record(&mut current.recorder, out);
            current.len += (out.len() - before) as u64;
        });
        if !put {
            self.gap(now);
        }
    }

    /// The recording cannot go on where it is.
    fn gap(&mut self, now: Now) {
        let mut end = Vec::new();
        Recorder::end_in_gap(&mut end);
        self.queue.close(&end);
        self.current = None;
        self.not_before = now.mono.plus_ms(AGAIN_MS);
    }

    /// When it wants to be asked again, if that is soon.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        (self.next.is_some() || self.current.is_none()).then_some(self.not_before)
    }

    /// After a turn whose effects are carried out: a little of the copy that the next file begins with, where one is due.
    pub(crate) fn after_turn(&mut self, server: &mut Server, now: Now) {
        if self.next.is_none() {
            self.begin_copy(server, now);
        } else if now.mono >= self.not_before {
            self.not_before = now.mono.plus_ms(SLICE_EVERY_MS);
            if self.queue.waiting() < WAITING_FOR_SLICES {
                self.copy_on(server, now);
            }
        }
    }

    fn begin_copy(&mut self, server: &mut Server, now: Now) {
        match &self.current {
            Some(current) if current.len < current.enough => return,
            // A server that never comes to be copied, because it reads for ever, must not fill the disk.
            Some(current) if current.len > FILE_MAX.max(current.enough.saturating_mul(4)) => {
                tracing::warn!(
                    "a file of the flight recorder becomes too long while the server reads: the recording has a gap"
                );
                self.gap(now);
                self.not_before = now.mono;
            }
            _ => {}
        }
        if now.mono < self.not_before {
            return;
        }
        self.not_before = now.mono.plus_ms(ASK_EVERY_MS);
        if !self.queue.can_begin() {
            return;
        }
        let mut head = Vec::new();
        if let Some(copy) = Copy::begin(server, self.seed, now, &mut head) {
            self.queue.begin(now.wall_ms);
            self.queue.to_next(&head);
            self.next = Some((copy, head.len() as u64));
            self.not_before = now.mono;
        }
    }

    fn copy_on(&mut self, server: &mut Server, now: Now) {
        let Some((mut copy, len)) = self.next.take() else { return };
        if self.queue.has_failed() {
            copy.give_up(server);
            self.not_before = now.mono.plus_ms(AGAIN_MS);
            return;
        }
        let mut slice = Vec::new();
        match copy.go_on(server, SLICE, &mut slice) {
            Copying::More => {
                self.queue.to_next(&slice);
                self.next = Some((copy, len + slice.len() as u64));
            }
            Copying::Lost => self.queue.drop_next(),
            Copying::Ready => {
                let mut end = Vec::new();
                if self.current.is_some() {
                    Recorder::end(server, End::Continued, &mut end);
                }
                let recorder = copy.finish(server, now, &mut slice);
                let enough = self.file_bytes.max(len + slice.len() as u64);
                self.queue.to_next(&slice);
                self.queue.promote(&end);
                self.current = Some(Current { recorder, len: 0, enough });
            }
        }
    }

    /// The server stops: writes what there is, unless the disk takes too long.
    pub(crate) fn stop(&mut self, server: &Server) {
        if self.current.take().is_some() {
            let mut end = Vec::new();
            Recorder::end(server, End::Stopped, &mut end);
            self.queue.close(&end);
        }
        self.queue.drop_next();
        if let Some(writer) = self.writer.take() {
            writer.finish(&self.queue, Duration::from_secs(2));
        }
    }
}

/// Does one directory lie in the other, or is it the same? One that does not exist yet is looked for where it would be.
fn is_inside(dir: &Path, other: &Path) -> bool {
    let (Ok(dir), Ok(other)) = (std::path::absolute(dir), other.canonicalize()) else {
        return false;
    };
    let there = dir.ancestors().find_map(|above| {
        let rest = dir.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    });
    there.is_some_and(|dir| dir.starts_with(other))
}
