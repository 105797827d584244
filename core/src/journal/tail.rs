//! What stands behind the last whole record of a log: nothing, an interrupted write, or damage. The rules are at
//! the top of `scan`.

use super::record::{END_MARK, PREFIX_LEN, RECORD_OVERHEAD};
use super::scan::{Damage, Verdict, frame_len, whole_payload};
use crate::ids::Zxid;
use crate::wire::{OpCode, Reader, decode_txn};
use serde::{Deserialize, Serialize};

/// Disks write this much whole or not at all.
const SECTOR: u64 = 512;
/// Bytes of a txn's header, its type included.
const TXN_HEADER_LEN: usize = 32;
/// High half of the checksum field: zero in every record, so it proves nothing.
const ALWAYS_ZERO: u64 = 4;
/// How far a zxid may be from the last one and still look like its successor.
const ZXID_STRIDE: i64 = 1 << 16;

/// What can be said of the first place where no whole record starts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Suspect {
    /// What the length field says; 0 when there is none.
    len: i32,
    /// Its length, prefix and end mark included, when the length is one that can be.
    extent: Option<u64>,
    /// The first thing that looks like damage and not like an interrupted write (rules 3 and 5).
    damage: Option<Damage>,
    /// Rule 3: a hole does not excuse it.
    certain: bool,
}

impl Suspect {
    /// Looks at a record of which all that can exist is in `bytes`.
    pub(super) fn examine(bytes: &[u8], record_max: usize, last: Zxid) -> Self {
        let mut r = Reader::new(bytes);
        let (Ok(crc), Ok(len)) = (r.long(), r.int()) else {
            return Self { len: 0, extent: None, damage: None, certain: false };
        };
        let extent = frame_len(bytes, record_max).map(|len| (len + RECORD_OVERHEAD) as u64);
        let mut suspect = Self { len, extent, damage: None, certain: false };
        if let Some(fits) = other_length(r.rest(), crc, record_max, len) {
            suspect.damage = Some(Damage::WrongLength { says: len, fits });
            suspect.certain = true;
            return suspect;
        }
        let Some(extent) = extent else { return suspect };
        let (Some(payload), Some(mark)) =
            (bytes.get(PREFIX_LEN..extent as usize - 1), bytes.get(extent as usize - 1).copied())
        else {
            return suspect;
        };
        let checksum_right = i64::from(simd_adler32::adler32(&payload)) == crc;
        if checksum_right && mark != 0 {
            suspect.damage = Some(Damage::EndMark(mark));
            suspect.certain = true;
        } else if mark == END_MARK && is_plausible(payload, last) {
            suspect.damage = Some(Damage::Checksum);
        }
        suspect
    }
}

/// Another length for which checksum and end mark are right: then the record was whole once.
fn other_length(body: &[u8], crc: i64, record_max: usize, len: i32) -> Option<usize> {
    const MODULUS: u32 = 65_521;
    let wanted = u32::try_from(crc).ok().filter(|crc| *crc != 0)?;
    let (mut a, mut b) = (1u32, 0u32);
    for (n, byte) in body.iter().take(record_max + 1).enumerate() {
        let sum = (b << 16) | a;
        if n >= TXN_HEADER_LEN && *byte == END_MARK && sum == wanted && i32::try_from(n) != Ok(len)
        {
            return Some(n);
        }
        a = (a + u32::from(*byte)) % MODULUS;
        b = (b + a) % MODULUS;
    }
    None
}

/// Could this payload be that of the next record, but for a wrong byte somewhere?
fn is_plausible(payload: &[u8], last: Zxid) -> bool {
    let Some((zxid, kind)) = zxid_and_kind(payload) else { return false };
    let in_step = zxid >= last && zxid.0 - last.0 <= ZXID_STRIDE;
    let next_reign = zxid.0 > 0
        && zxid.epoch() > last.epoch()
        && i64::from(zxid.epoch().0 - last.epoch().0) <= ZXID_STRIDE
        && i64::from(zxid.counter()) <= ZXID_STRIDE;
    in_step || next_reign || OpCode::from_number(kind).is_some()
}

fn zxid_and_kind(payload: &[u8]) -> Option<(Zxid, i32)> {
    let mut r = Reader::new(payload);
    r.take(12).ok()?;
    let zxid = Zxid(r.long().ok()?);
    r.long().ok()?;
    Some((zxid, r.int().ok()?))
}

/// The search for whole records behind the suspect, and for a hole in front of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Where the suspect starts.
    at: u64,
    suspect: Suspect,
    record_max: usize,
    last: Zxid,
    /// What has been searched ends here.
    cursor: u64,
    /// Whole records with a greater zxid.
    followers: u64,
    /// No byte but zeros so far.
    all_zero: bool,
    /// The suspect's share of the sector under the cursor, as far as it was passed: is it all zeros?
    share: Option<bool>,
    /// A sector's share of what should be records is all zeros.
    hole: bool,
}

impl Tail {
    /// A tail that starts at `at` of its file.
    pub(super) fn new(at: u64, suspect: Suspect, record_max: usize, last: Zxid) -> Self {
        Self {
            at,
            suspect,
            record_max,
            last,
            cursor: at,
            followers: 0,
            all_zero: true,
            share: None,
            hole: false,
        }
    }

    /// Searches the bytes at the cursor; returns how many of them are done with.
    pub(super) fn search(&mut self, bytes: &[u8], ended: bool) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            // A prefix of zeros announces no record, so the next one starts where its length ends in something
            // else, at the earliest.
            let step = leading_zeros(rest).saturating_sub(PREFIX_LEN - 1);
            if step > 0 {
                self.pass(step, true);
                done += step;
                continue;
            }
            match self.follower_at(rest) {
                Candidate::Whole(len) => {
                    // A record may begin with zeros, so its sector can be lost in front of it and it be whole.
                    if self.cursor + leading_zeros(rest) as u64 >= self.boundary() {
                        self.close_sector(self.boundary());
                    }
                    self.followers += 1;
                    self.all_zero = false;
                    self.cursor += len as u64;
                    done += len;
                }
                Candidate::Unknown if !ended => break,
                Candidate::None | Candidate::Unknown => {
                    self.pass(1, rest.first() == Some(&0));
                    done += 1;
                }
            }
        }
        if ended {
            self.close_sector(self.cursor);
        }
        done
    }

    /// What the whole file, searched to its end, amounts to.
    pub(super) fn verdict(&self) -> Verdict {
        let (at, dropped) = (self.at, self.followers);
        match self.suspect.damage {
            Some(what) if self.suspect.certain => Verdict::Damaged { at, what },
            _ if at == 0 => self.verdict_on_unborn(),
            _ if self.all_zero => Verdict::Clean { end: at },
            _ if self.hole => Verdict::Torn { at, dropped, hole: true },
            Some(what) => Verdict::Damaged { at, what },
            None if dropped > 0 => Verdict::Damaged { at, what: self.damage_before_followers() },
            None => Verdict::Torn { at, dropped, hole: false },
        }
    }

    /// The file's header is zeros.
    fn verdict_on_unborn(&self) -> Verdict {
        if self.all_zero {
            Verdict::Unborn
        } else {
            Verdict::Damaged { at: 0, what: Damage::Magic(0) }
        }
    }

    fn damage_before_followers(&self) -> Damage {
        match (self.suspect.extent, self.suspect.len) {
            (Some(_), _) => Damage::Checksum,
            (None, 0) => Damage::Gap { whole_records_behind: self.followers },
            (None, len) => Damage::Length(len),
        }
    }

    fn follower_at(&self, bytes: &[u8]) -> Candidate {
        if bytes.first_chunk::<4>().is_some_and(|high| *high != [0; 4]) {
            return Candidate::None;
        }
        if bytes.len() < PREFIX_LEN {
            return Candidate::Unknown;
        }
        let Some(len) = frame_len(bytes, self.record_max).filter(|len| *len >= TXN_HEADER_LEN)
        else {
            return Candidate::None;
        };
        let header = bytes.get(PREFIX_LEN..).filter(|rest| rest.len() >= TXN_HEADER_LEN);
        let Some((zxid, kind)) = header.and_then(zxid_and_kind) else { return Candidate::Unknown };
        if zxid <= self.last || OpCode::from_number(kind).is_none() {
            return Candidate::None;
        }
        if bytes.len() < RECORD_OVERHEAD + len {
            return Candidate::Unknown;
        }
        match whole_payload(bytes, len).map(decode_txn) {
            Some(Ok(_)) => Candidate::Whole(RECORD_OVERHEAD + len),
            Some(Err(_)) | None => Candidate::None,
        }
    }

    /// Moves the cursor over bytes of no whole record, which are all zeros or not.
    fn pass(&mut self, bytes: usize, zero: bool) {
        self.all_zero &= zero;
        let end = self.cursor + bytes as u64;
        while self.cursor < end {
            let boundary = self.boundary();
            self.share = Some(self.share.unwrap_or(true) && zero);
            self.cursor = boundary.min(end);
            if self.cursor == boundary {
                self.close_sector(boundary);
            }
        }
    }

    /// Where the sector under the cursor ends.
    fn boundary(&self) -> u64 {
        self.cursor - self.cursor % SECTOR + SECTOR
    }

    /// A sector ends at `end`, or the file does. Its share, from the start of the suspect on, is known.
    fn close_sector(&mut self, end: u64) {
        let start = end.saturating_sub(1) / SECTOR * SECTOR;
        // Zeros behind the end of the suspect say nothing about it.
        let limit = self.suspect.extent.map_or(u64::MAX, |extent| self.at.saturating_add(extent));
        let proves = end > self.at + ALWAYS_ZERO && start < limit && self.followers == 0;
        self.hole |= self.share.take() == Some(true) && proves;
    }
}

/// Number of zeros at the front.
fn leading_zeros(bytes: &[u8]) -> usize {
    // Blocks first: a preallocated log ends in megabytes of them.
    const BLOCK: usize = 64;
    let is_zero = |block: &&[u8]| block.iter().fold(0, |all, byte| all | byte) == 0;
    let blocks = bytes.chunks_exact(BLOCK).take_while(is_zero).count();
    let rest = bytes.get(blocks * BLOCK..).unwrap_or_default();
    blocks * BLOCK + rest.iter().take_while(|byte| **byte == 0).count()
}

/// What may start at a place.
enum Candidate {
    /// A whole record of that many bytes.
    Whole(usize),
    None,
    /// More bytes are needed to say.
    Unknown,
}
