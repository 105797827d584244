//! The txn log as it is being written: turns records into device operations. Performs none.
//!
//! Room comes before promise: a record is only put where zeros are durable already. A new log file is prepared under
//! another name, with its header, and gets its name by a rename, so that no `log.*` file is ever without a header.

use crate::config::Config;
use crate::effect::{Dir, Effect, FileId, FilePlace, Span};
use crate::ids::Zxid;
use crate::journal::{
    FILE_HEADER_LEN, PREFIX_LEN, ROOM_UNIT, encode_file_header, encode_payload, encode_record,
    log_name,
};
use crate::planted::{Plant, planted};
use crate::wire::{Txn, TxnHeader};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The log file being appended to.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Segment {
    file: FileId,
    at: u64,
    reserved: u64,
    asked: u64,
}

/// The next log file, in the making.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Spare {
    Missing,
    Asked { file: FileId, upto: u64 },
    Ready { file: FileId, reserved: u64 },
}

/// How much room a txn must leave untouched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// Client writes stay out of the held reserve.
    Ordinary,
    /// Sessions may be opened from half of it: reading needs one.
    Session,
    /// Closing sessions and deletes may use all of it.
    Release,
}

/// Is there room for a record?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    Enough,
    /// Not yet; it has been asked for.
    Awaited,
    /// The disk is full.
    Lacking,
    /// A record that long could not be read again.
    TooLong,
}

/// The smallest log file that is worth beginning.
const LEAST_ROOM: u64 = 64 << 10;

/// Every log byte below this is on disk. Only [`Journal::durable`] makes one, of what [`Journal::on_durable`] was told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct Durable(u64);

/// The log being written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    current: Option<Segment>,
    spare: Spare,
    spares_made: u32,
    branch: u32,
    /// Bytes of records appended since the server started.
    appended: u64,
    durable: u64,
    fsynced: u64,
    /// Bytes of this turn.
    pub(super) buf: Vec<u8>,
    /// Where `buf`'s tail goes, while records are still being added to it.
    open: Option<(FileId, u64, usize)>,
    ops: Vec<Effect>,
    no_room: bool,
    step: u64,
    held: u64,
    record_max: u32,
    /// Records in the current file.
    records: u32,
    /// Where each record ends that is not durable, and its zxid.
    ends: VecDeque<(u64, Zxid)>,
    /// The last zxid of this server's records that is durable.
    zxid_durable: Option<Zxid>,
    /// Where the payload of the last record stands in `buf`.
    last_payload: (usize, usize),
}

impl Journal {
    pub(super) fn new(config: &Config, spares_made: u32) -> Self {
        // A record of the greatest length must fit behind the held reserve.
        let step = config.storage.reserve_step.max(3 * u64::from(config.record_max()));
        let step = step.next_multiple_of(ROOM_UNIT);
        Self {
            current: None,
            spare: Spare::Missing,
            spares_made,
            branch: 0,
            appended: 0,
            durable: 0,
            fsynced: 0,
            buf: Vec::new(),
            open: None,
            ops: Vec::new(),
            no_room: false,
            step,
            held: config.storage.held_reserve.min(step / 8),
            record_max: config.record_max(),
            records: 0,
            ends: VecDeque::new(),
            zxid_durable: None,
            last_payload: (0, 0),
        }
    }

    /// Ends the current file: what comes next goes to a new one. Only between records that are durable.
    pub(super) fn close(&mut self) {
        assert!(
            self.is_quiet(),
            "the log is closed while {} bytes are in flight",
            self.in_flight()
        );
        self.current = None;
        self.zxid_durable = None;
    }

    /// Is everything durable that was appended?
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight() == 0
    }

    /// The last zxid appended since the server started or the log was closed that is durable.
    pub(super) fn zxid_durable(&self) -> Option<Zxid> {
        self.zxid_durable
    }

    /// The payload of the record that was just appended.
    pub(super) fn last_payload(&self) -> &[u8] {
        let (start, len) = self.last_payload;
        &self.buf[start..start + len]
    }

    /// The place of a log file.
    pub(super) fn place_of(zxid: Zxid) -> FilePlace {
        FilePlace { dir: Dir::Log, name: log_name(zxid) }
    }

    pub(super) fn no_room(&self) -> bool {
        self.no_room
    }

    pub(super) fn appended(&self) -> u64 {
        self.appended
    }

    /// Bytes appended that are not durable yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.appended - self.durable
    }

    /// How much of the log is on disk.
    pub(super) fn durable(&self) -> Durable {
        Durable(self.durable)
    }

    pub(super) fn is_durable(&self, upto: u64, durable: Durable) -> bool {
        upto <= durable.0
    }

    /// Records since the current file was begun, and the file's length.
    pub(super) fn since_roll(&self) -> (u32, u64) {
        (self.records, self.current.as_ref().map_or(0, |segment| segment.at))
    }

    /// Asks for the next log file to be prepared, unless that is under way or the disk is full. `name` gives the file
    /// its number.
    pub(super) fn prepare_spare(&mut self, name: impl FnOnce(FilePlace) -> FileId) {
        if self.no_room || !matches!(self.spare, Spare::Missing) {
            return;
        }
        self.spares_made += 1;
        let name_of_spare = format!("zoetrope-spare.{}", self.spares_made);
        let file = name(FilePlace { dir: Dir::Log, name: name_of_spare });
        self.spare = Spare::Asked { file, upto: self.step };
        self.ops.push(Effect::Reserve { file, upto: self.step });
    }

    /// Room was granted.
    pub(super) fn on_reserved(&mut self, file: FileId, upto: u64) {
        self.no_room = false;
        match &mut self.current {
            Some(segment) if segment.file == file => {
                segment.reserved = segment.reserved.max(upto);
                segment.asked = segment.reserved;
                return;
            }
            Some(_) | None => {}
        }
        if matches!(self.spare, Spare::Asked { file: asked, .. } if asked == file) {
            self.close_span();
            let start = self.buf.len();
            encode_file_header(&mut self.buf);
            let bytes = Span { start, len: FILE_HEADER_LEN };
            if !planted(Plant::LogWithoutHeader) {
                self.ops.push(Effect::Append { file, at: 0, bytes });
            }
            if planted(Plant::UnbornLogRefused) {
                self.spare = Spare::Ready { file, reserved: upto };
                return;
            }
            // Says nothing new of the log: the header is durable before the rename, which comes later on the device.
            self.ops.push(Effect::Fsync { file, branch: self.branch, upto: self.durable });
            self.spare = Spare::Ready { file, reserved: upto };
        }
    }

    /// Room was refused. The caller asks again with [`Self::ask_again`] after a while. While there is no log at all, a
    /// smaller one will do: enough to let sessions in, to close them and to delete.
    pub(super) fn on_no_room(&mut self, file: FileId) {
        self.no_room = true;
        if let Some(segment) = &mut self.current
            && segment.file == file
        {
            segment.asked = segment.reserved;
        }
        let none_at_all = self.current.is_none();
        match &mut self.spare {
            Spare::Asked { file: asked, upto } if *asked == file => {
                if none_at_all && *upto > LEAST_ROOM {
                    *upto = (*upto / 2).next_multiple_of(ROOM_UNIT).max(LEAST_ROOM);
                    self.ops.push(Effect::Reserve { file, upto: *upto });
                } else {
                    self.spare = Spare::Missing;
                }
            }
            _ => {}
        }
    }

    /// Asks for the room that was refused.
    pub(super) fn ask_again(&mut self, name: impl FnOnce(FilePlace) -> FileId) {
        self.no_room = false;
        self.ask_ahead();
        self.prepare_spare(name);
    }

    fn ask_ahead(&mut self) {
        let Some(segment) = &mut self.current else { return };
        let low = segment.reserved - segment.at < self.step / 2;
        if low && segment.asked == segment.reserved && !self.no_room {
            segment.asked = segment.reserved + self.step;
            self.ops.push(Effect::Reserve { file: segment.file, upto: segment.asked });
        }
    }

    /// Is the next file ready to take over?
    pub(super) fn can_roll(&self) -> bool {
        matches!(self.spare, Spare::Ready { .. })
    }

    /// From here on records go to a new file, whose first one is `zxid`. Answers the file that lost its name to it.
    pub(super) fn roll(&mut self, zxid: Zxid, name: impl FnOnce(FilePlace) -> FileId) -> FileId {
        let Spare::Ready { file: from, reserved } = self.spare else {
            panic!("a roll needs a spare file");
        };
        self.fsync();
        let to = name(Self::place_of(zxid));
        self.ops.push(Effect::Rename { from, to });
        if !planted(Plant::LogNameNotSynced) {
            self.ops.push(Effect::FsyncDir);
        }
        let at = FILE_HEADER_LEN as u64;
        self.current = Some(Segment { file: to, at, reserved, asked: reserved });
        self.spare = Spare::Missing;
        self.records = 0;
        from
    }

    /// The file that is appended to.
    pub(super) fn file(&self) -> Option<FileId> {
        self.current.as_ref().map(|segment| segment.file)
    }

    /// Is there a file to append to?
    pub(super) fn has_file(&self) -> bool {
        self.current.is_some()
    }

    /// Appends a record unless there is no room for it, in which case nothing has changed.
    pub(super) fn append(
        &mut self,
        header: &TxnHeader,
        txn: &Txn,
        digest: u64,
        claim: Claim,
    ) -> Room {
        if self.current.is_none() {
            return self.without_room();
        }
        let start = self.buf.len();
        let payload = encode_record(header, txn, Some(digest), &mut self.buf);
        self.take(header.zxid, start, payload, claim)
    }

    /// Appends a record as a leader has sent it, under the same terms.
    pub(super) fn append_payload(&mut self, zxid: Zxid, payload: &[u8]) -> Room {
        if self.current.is_none() {
            return self.without_room();
        }
        let start = self.buf.len();
        let payload = encode_payload(payload, &mut self.buf);
        self.take(zxid, start, payload, Claim::Release)
    }

    fn without_room(&self) -> Room {
        if self.no_room { Room::Lacking } else { Room::Awaited }
    }

    /// The record encoded at `start` of the turn's bytes becomes part of the log, or is taken back.
    fn take(&mut self, zxid: Zxid, start: usize, payload: usize, claim: Claim) -> Room {
        let Some(segment) = &mut self.current else { return Room::Awaited };
        let len = (self.buf.len() - start) as u64;
        if payload > self.record_max as usize {
            self.buf.truncate(start);
            return Room::TooLong;
        }
        // Of a file that was begun on a full disk, a part.
        let held = self.held.min(segment.reserved / 2);
        let held = match claim {
            Claim::Ordinary => held,
            Claim::Session => held / 2,
            Claim::Release => 0,
        };
        if segment.at + len + held > segment.reserved {
            self.buf.truncate(start);
            self.ask_ahead();
            return self.without_room();
        }
        if self.open.is_none() {
            self.open = Some((segment.file, segment.at, start));
        }
        segment.at += len;
        self.appended += len;
        self.records += 1;
        self.ends.push_back((self.appended, zxid));
        self.last_payload = (start + PREFIX_LEN, payload);
        self.ask_ahead();
        Room::Enough
    }

    fn close_span(&mut self) {
        if let Some((file, at, start)) = self.open.take() {
            let bytes = Span { start, len: self.buf.len() - start };
            let end = self.current.as_ref().map_or(at, |segment| segment.at);
            assert!(end == at + bytes.len as u64, "something else stands between the records");
            self.ops.push(Effect::Append { file, at, bytes });
        }
    }

    fn fsync(&mut self) {
        self.close_span();
        if let (Some(segment), true) = (&self.current, self.fsynced < self.appended) {
            let (file, branch, upto) = (segment.file, self.branch, self.appended);
            self.ops.push(Effect::Fsync { file, branch, upto });
            self.fsynced = self.appended;
        }
    }

    /// Ends the turn: one append and one fsync for all records of it.
    pub(super) fn take_ops(&mut self, effects: &mut Vec<Effect>) {
        self.fsync();
        effects.append(&mut self.ops);
    }

    /// The disk has the log up to there.
    pub(super) fn on_durable(&mut self, branch: u32, upto: u64) {
        if branch != self.branch {
            return;
        }
        assert!(upto <= self.fsynced, "{upto} bytes durable, but only {} were to be", self.fsynced);
        self.durable = self.durable.max(upto);
        while let Some((_, zxid)) = self.ends.pop_front_if(|(end, _)| *end <= self.durable) {
            self.zxid_durable = Some(zxid);
        }
    }
}
