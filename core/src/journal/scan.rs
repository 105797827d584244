//! Reading one log file, chunk by chunk: its whole records, and what stands behind the last of them.
//!
//! A log ends in one of three ways, and telling them apart decides between starting, starting with less, and not
//! starting. Our log is written into zeros that were durable before, and a disk writes sectors of 512 bytes whole
//! or not at all. Several records may be on their way to the disk at once, their sectors arriving in any order. So
//! where power was lost, a sector that did not arrive *reads as zeros*, from the place where the log ended before,
//! and whole records may stand behind it that were never acknowledged. At the first place where no whole record
//! starts:
//!
//! 1. Only zeros follow: the clean end of the log.
//! 2. The record has a hole, a sector's share of it that is all zeros: torn. The same if the hole is between here
//!    and the next whole record.
//! 3. The payload and its end mark are whole for another length than the record says, or the checksum is right
//!    and the end mark is another byte than zero: damaged. No write that stopped half-way looks like that.
//! 4. A whole record with a greater zxid follows somewhere, and there is no hole: damaged.
//! 5. The record ends with its mark, and its header is plausible (a zxid that could come next, or a type that
//!    exists), but the checksum is wrong: damaged, even at the very end. Java refuses it too.
//! 6. Anything else (the file is too short for the record, its end mark is missing, the length or header make no
//!    sense) is what an interrupted write, or rubbish behind the end of the log, looks like: torn.
//!
//! A record whose checksum is right and which cannot be understood is always damage: there is nothing to cut.
//! A file of nothing but zeros, or too short for its header, was being created. If anything is in it, its header
//! was there too: it is durable before the file gets its name.

use super::record::{END_MARK, FILE_HEADER_LEN, MAGIC, PREFIX_LEN, RECORD_OVERHEAD};
use super::tail::{Suspect, Tail};
use crate::ids::Zxid;
use crate::planted::{Plant, planted};
use crate::wire::{AclMemo, Malformed, Reader, Txn, TxnHeader, decode_txn_with};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One whole record.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Record {
    /// Offset of its first byte in the file.
    pub(crate) at: u64,
    pub(crate) header: TxnHeader,
    pub(crate) txn: Txn,
    pub(crate) digest: Option<u64>,
}

/// How a log file ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// Behind `end` there are zeros or nothing.
    Clean { end: u64 },
    /// Behind `at` stands what was being written when power was lost, and `dropped` whole records that were never
    /// acknowledged. `hole`: of all that, a sector's share is zeros.
    Torn { at: u64, dropped: u64, hole: bool },
    /// The file was being created: not even its header arrived, and nothing else did.
    Unborn,
    /// Something that was durable has changed.
    Damaged { at: u64, what: Damage },
}

/// What is wrong with a damaged log. Displayed in Java's words where it has any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Damage {
    /// The first four bytes of the file.
    Magic(i32),
    /// The length of a record.
    Length(i32),
    /// The length of a record says `says`, and everything else about it fits `fits`.
    WrongLength {
        says: i32,
        fits: usize,
    },
    Checksum,
    /// The byte where the end mark should be.
    EndMark(u8),
    /// No such type of txn.
    Kind(i32),
    /// The body of the txn is not what its type says.
    Body(Malformed),
    /// No record at all, but whole ones behind.
    Gap {
        whole_records_behind: u64,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(n) => write!(f, "the file has invalid magic number {n} != {MAGIC}"),
            Self::Length(n) => write!(f, "Unreasonable length = {n}"),
            Self::WrongLength { says, fits } => write!(
                f,
                "the record's length says {says}, but its checksum and its end fit {fits} bytes"
            ),
            Self::Checksum => write!(f, "CRC check failed"),
            Self::EndMark(byte) => write!(
                f,
                "the record ends in 0x{byte:02x} instead of 0x{END_MARK:02x}, though its checksum is right"
            ),
            Self::Kind(kind) => write!(f, "Unsupported Txn with type={kind}"),
            Self::Body(malformed) => write!(f, "the record cannot be decoded: {malformed}"),
            Self::Gap { whole_records_behind: n } => {
                write!(f, "no record starts here, but {n} whole ones follow")
            }
        }
    }
}

/// Reads one log file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Scanner {
    /// What was fed and may still be needed.
    buf: Vec<u8>,
    /// Offset of the first byte of `buf` in the file.
    base: u64,
    /// What of `buf` is done with.
    done: usize,
    ended: bool,
    record_max: usize,
    /// Highest zxid so far.
    last: Zxid,
    /// Highest zxid of this file so far.
    last_here: Option<Zxid>,
    memo: AclMemo,
    state: State,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    Header,
    Records,
    /// No whole record starts at `done`; as much of it as there can be is awaited.
    Suspect,
    Tail(Tail),
    Over(Verdict),
}

/// What looking at the next record came to.
enum Step {
    Found(Record),
    /// The state is another one.
    Changed,
    NeedsMore,
}

impl Scanner {
    /// Reads a file from its first byte. `last` is the highest zxid before it: what comes next cannot be far from it.
    pub(crate) fn new(record_max: u32, last: Zxid) -> Self {
        Self {
            buf: Vec::new(),
            base: 0,
            done: 0,
            ended: false,
            record_max: record_max as usize,
            last,
            last_here: None,
            memo: AclMemo::default(),
            state: State::Header,
        }
    }

    /// Takes the next bytes of the file.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.buf.drain(..self.done);
        self.base += self.done as u64;
        self.done = 0;
        self.buf.extend_from_slice(chunk);
    }

    /// The file has no more bytes.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// How the file ends, when that is known.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match &self.state {
            State::Over(verdict) => Some(*verdict),
            State::Header | State::Records | State::Suspect | State::Tail(_) => None,
        }
    }

    /// The next whole record; `None` when more bytes are needed or the verdict is there.
    pub(crate) fn next(&mut self) -> Option<Record> {
        loop {
            match &mut self.state {
                State::Header => self.read_header()?,
                State::Records => match self.read_record() {
                    Step::Found(record) => return Some(record),
                    Step::Changed => {}
                    Step::NeedsMore => return None,
                },
                State::Suspect => self.suspect()?,
                State::Tail(_) => self.search_tail()?,
                State::Over(_) => return None,
            }
        }
    }

    /// The highest zxid of the whole records of this file.
    pub(crate) fn last_zxid(&self) -> Option<Zxid> {
        self.last_here
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.buf.len()
    }

    fn rest(&self) -> &[u8] {
        self.buf.get(self.done..).unwrap_or_default()
    }

    fn at(&self) -> u64 {
        self.base + self.done as u64
    }

    fn over(&mut self, verdict: Verdict) {
        self.state = State::Over(verdict);
        self.buf = Vec::new();
        self.done = 0;
    }

    fn read_header(&mut self) -> Option<()> {
        if self.rest().len() < FILE_HEADER_LEN && !self.ended {
            return None;
        }
        match Reader::new(self.rest()).int() {
            Ok(MAGIC) if self.rest().len() >= FILE_HEADER_LEN => {
                self.done = FILE_HEADER_LEN;
                self.state = State::Records;
            }
            Ok(0) => self.state = State::Suspect,
            Ok(_) | Err(_) if self.rest().len() < FILE_HEADER_LEN => {
                self.over(Verdict::Unborn);
            }
            Ok(magic) => {
                self.over(Verdict::Damaged { at: 0, what: Damage::Magic(magic) });
            }
            Err(_) => self.over(Verdict::Unborn),
        }
        Some(())
    }

    fn read_record(&mut self) -> Step {
        let rest = self.buf.get(self.done..).unwrap_or_default();
        let len = frame_len(rest, self.record_max);
        let needed = len.map_or(PREFIX_LEN, |len| RECORD_OVERHEAD + len);
        if rest.len() < needed && !self.ended {
            return Step::NeedsMore;
        }
        let Some(payload) = len.and_then(|len| whole_payload(rest, len)) else {
            self.state = State::Suspect;
            return Step::Changed;
        };
        let at = self.base + self.done as u64;
        let what = match decode_txn_with(payload, &mut self.memo) {
            Ok((header, txn, digest)) => {
                self.done += needed;
                self.last = self.last.max(header.zxid);
                self.last_here = self.last_here.max(Some(header.zxid));
                return Step::Found(Record { at, header, txn, digest });
            }
            Err(Malformed::Unknown(kind)) => Damage::Kind(kind),
            Err(malformed) => Damage::Body(malformed),
        };
        self.over(Verdict::Damaged { at, what });
        Step::Changed
    }

    fn suspect(&mut self) -> Option<()> {
        if self.rest().len() < RECORD_OVERHEAD + self.record_max && !self.ended {
            return None;
        }
        let at = self.at();
        let suspect = Suspect::examine(self.rest(), self.record_max, self.last);
        self.state = State::Tail(Tail::new(at, suspect, self.record_max, self.last));
        Some(())
    }

    fn search_tail(&mut self) -> Option<()> {
        let State::Tail(tail) = &mut self.state else { return Some(()) };
        self.done += tail.search(self.buf.get(self.done..).unwrap_or_default(), self.ended);
        if !self.ended {
            return None;
        }
        let verdict = tail.verdict();
        self.over(verdict);
        Some(())
    }
}

/// The length a record's prefix announces, if it is one that can be.
pub(super) fn frame_len(bytes: &[u8], record_max: usize) -> Option<usize> {
    let mut r = Reader::new(bytes);
    r.take(8).ok()?;
    let len = usize::try_from(r.int().ok()?).ok()?;
    (len > 0 && len <= record_max).then_some(len)
}

/// The payload of the record at the front of `bytes`, if all of it is there: checksum, length, end mark.
pub(super) fn whole_payload(bytes: &[u8], len: usize) -> Option<&[u8]> {
    let mut r = Reader::new(bytes);
    let crc = r.long().ok()?;
    r.int().ok()?;
    let payload = r.take(len).ok()?;
    let marked = r.take(1).ok()? == [END_MARK];
    let right = i64::from(simd_adler32::adler32(&payload)) == crc;
    (marked && (right || planted(Plant::ChecksumNotCompared))).then_some(payload)
}
