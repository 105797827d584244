//! Reading a snapshot in chunks of any size. What comes out of it counts only when the end was reached: the
//! checksum stands behind everything else.

use super::{DIGEST_VERSION, MAGIC, SIGNATURE};
use crate::ids::{SessionId, Zxid};
use crate::wire::{Acl, Malformed, Reader, StatPersisted, decode_acl_vector};
use simd_adler32::Adler32;
use std::borrow::Cow;
use std::fmt;

/// One thing a snapshot holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Item<'a> {
    Session {
        id: SessionId,
        timeout_ms: i32,
    },
    /// An ACL and its number; all of them come before the first znode.
    Acl {
        id: i64,
        list: Vec<Acl>,
    },
    /// A znode; parents come before their children, the root has path `""`.
    Node {
        path: Cow<'a, str>,
        data: Option<&'a [u8]>,
        /// A number of the table, or −1 for open to the world. May be one that is not there.
        acl: i64,
        stat: StatPersisted,
    },
}

/// What stands behind the znodes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Trailer {
    /// Digest of the tree, and the zxid it belongs to.
    pub(crate) digest: Option<(Zxid, u64)>,
    /// Highest zxid whose effects may be in the file.
    pub(crate) last_zxid: Option<Zxid>,
}

/// What the next step came to.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Next<'a> {
    Item(Item<'a>),
    NeedsMore,
    /// All checksums are right.
    Done(Trailer),
}

/// Why a snapshot cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    /// It ends in the middle, and not in the way a snapshot ends: it was being written. Java passes over it
    /// without a word.
    Truncated { at: u64 },
    /// It is not what was written.
    Damaged { at: u64, what: What },
}

/// What is wrong with a damaged snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Magic(i32),
    /// The sum over everything before it.
    Checksum,
    /// It goes on behind the end of the file.
    Eof,
    Length(i32),
    /// Null where Java would stop for good.
    Null(&'static str),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(n) => write!(f, "invalid magic number {n} != {MAGIC}"),
            Self::Checksum => write!(f, "CRC corruption"),
            Self::Eof => write!(f, "the file ends in the middle"),
            Self::Length(n) => write!(f, "Unreasonable length = {n}"),
            Self::Null(what) => write!(f, "{what} is null"),
        }
    }
}

/// Reads one snapshot.
#[derive(Clone)]
pub(crate) struct SnapshotReader {
    /// What was fed and may still be needed.
    buf: Vec<u8>,
    /// Offset of the first byte of `buf`.
    base: u64,
    /// What of `buf` is done with.
    done: usize,
    /// What of `buf` is in `sum`.
    summed: usize,
    sum: Adler32,
    ended: bool,
    /// The last bytes that were fed.
    last_bytes: [u8; 5],
    string_max: usize,
    /// A leader sends it: no header, no checksums, a signature at the end.
    stream: bool,
    phase: Phase,
}

impl fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, phase) = (self.at(), self.phase);
        f.debug_struct("SnapshotReader").field("at", &at).field("phase", &phase).finish()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Header,
    SessionCount,
    Sessions { left: i32 },
    AclCount,
    Acls { left: i32 },
    Nodes,
    Seal,
    Trailer,
    Done(Trailer),
}

/// How every snapshot ends: the string behind the last checksum.
const LAST_BYTES: [u8; 5] = [0, 0, 0, 1, b'/'];
/// Fewer bytes are no snapshot.
const LEN_MIN: u64 = 10;
/// Bytes behind the first checksum that are looked at; a digest of an old server is a short string.
const TRAILER_MAX: usize = 64 << 10;
const LAST_ZXID_SECTION: usize = 21;

impl SnapshotReader {
    /// Reads a file from its first byte. No string of it may be longer than `string_max` bytes.
    pub(crate) fn new(string_max: u32) -> Self {
        Self {
            buf: Vec::new(),
            base: 0,
            done: 0,
            summed: 0,
            sum: Adler32::new(),
            ended: false,
            last_bytes: [0; 5],
            string_max: string_max as usize,
            stream: false,
            phase: Phase::Header,
        }
    }

    /// Reads what a leader sends behind SNAP (quorum protocol §8.4).
    pub(crate) fn stream(string_max: u32) -> Self {
        Self { stream: true, phase: Phase::SessionCount, ..Self::new(string_max) }
    }

    /// What was fed and does not belong to the snapshot, once it is done.
    pub(crate) fn leftover(&self) -> &[u8] {
        self.rest()
    }

    /// Takes the next bytes, after decompression.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.sum_up();
        self.buf.drain(..self.done);
        self.base += self.done as u64;
        (self.done, self.summed) = (0, 0);
        if matches!(self.phase, Phase::Done(_)) {
            self.buf.clear();
            return;
        }
        self.buf.extend_from_slice(chunk);
        for byte in chunk.iter().rev().take(5).rev() {
            self.last_bytes.rotate_left(1);
            if let Some(last) = self.last_bytes.last_mut() {
                *last = *byte;
            }
        }
    }

    /// There are no more bytes.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next item.
    pub(crate) fn next(&mut self) -> Result<Next<'_>, Flaw> {
        loop {
            let step = match self.phase {
                Phase::Header => self.header(),
                Phase::SessionCount => self.session_count(),
                Phase::Sessions { left: ..=0 } => self.enter(Phase::AclCount),
                Phase::Acls { left: ..=0 } => self.enter(Phase::Nodes),
                Phase::AclCount => self.acl_count(),
                Phase::Seal if self.stream => self.signature(),
                Phase::Seal => self.seal().and_then(|()| self.enter(Phase::Trailer)),
                Phase::Trailer => self.trailer(),
                Phase::Done(trailer) => return Ok(Next::Done(trailer)),
                Phase::Sessions { left } => match self.measure(session_len) {
                    Ok(len) => return self.session(left, len),
                    Err(stop) => Err(stop),
                },
                Phase::Acls { left } => match self.measure(acl_len) {
                    Ok(len) => return self.acl(left, len),
                    Err(stop) => Err(stop),
                },
                Phase::Nodes => match self.measure(node_len) {
                    Ok(len) if len == LAST_BYTES.len() => {
                        self.done += len;
                        self.enter(Phase::Seal)
                    }
                    Ok(len) => return self.node(len),
                    Err(stop) => Err(stop),
                },
            };
            match step {
                Ok(()) => {}
                Err(Stop::NeedsMore) => return Ok(Next::NeedsMore),
                Err(Stop::Flaw(flaw)) => return Err(flaw),
            }
        }
    }

    fn at(&self) -> u64 {
        self.base + self.done as u64
    }

    fn rest(&self) -> &[u8] {
        self.buf.get(self.done..).unwrap_or_default()
    }

    fn enter(&mut self, phase: Phase) -> Result<(), Stop> {
        self.phase = phase;
        Ok(())
    }

    /// Brings the sum up to what is done with.
    fn sum_up(&mut self) {
        self.sum.write(self.buf.get(self.summed..self.done).unwrap_or_default());
        self.summed = self.done;
    }

    fn flaw(&self, what: What) -> Flaw {
        Flaw::Damaged { at: self.at(), what }
    }

    /// The bytes do not suffice: more are to come, or there are none.
    fn short(&self) -> Stop {
        if !self.ended {
            return Stop::NeedsMore;
        }
        let len = self.base + self.buf.len() as u64;
        if len < LEN_MIN || self.last_bytes != LAST_BYTES {
            return Stop::Flaw(Flaw::Truncated { at: self.at() });
        }
        Stop::Flaw(self.flaw(What::Eof))
    }

    fn stop(&self, why: Short) -> Stop {
        match why {
            Short::Eof => self.short(),
            Short::What(what) => Stop::Flaw(self.flaw(what)),
        }
    }

    /// Length of the item at the front.
    fn measure(&self, len: fn(&mut Measure<'_>) -> Result<(), Short>) -> Result<usize, Stop> {
        let bytes = self.rest();
        let mut m = Measure { r: Reader::new(bytes), string_max: self.string_max };
        len(&mut m).map_err(|why| self.stop(why))?;
        Ok(bytes.len() - m.r.rest().len())
    }

    fn header(&mut self) -> Result<(), Stop> {
        let mut r = Reader::new(self.rest());
        let fields = (r.int(), r.int(), r.long(), r.int());
        match fields {
            (Ok(MAGIC), Ok(_), Ok(_), Ok(sessions)) => {
                self.done += 20;
                self.enter(Phase::Sessions { left: sessions })
            }
            (Ok(MAGIC) | Err(_), ..) => Err(self.short()),
            (Ok(magic), ..) => Err(Stop::Flaw(self.flaw(What::Magic(magic)))),
        }
    }

    fn session_count(&mut self) -> Result<(), Stop> {
        let left = Reader::new(self.rest()).int().map_err(|_| self.short())?;
        self.done += 4;
        self.enter(Phase::Sessions { left })
    }

    fn signature(&mut self) -> Result<(), Stop> {
        let len = self.measure(|m| m.some_string("the signature"))?;
        let text = Reader::new(self.rest()).some_string();
        if text.as_deref() != Ok(SIGNATURE) {
            return Err(Stop::Flaw(self.flaw(What::Checksum)));
        }
        self.done += len;
        self.enter(Phase::Done(Trailer::default()))
    }

    fn acl_count(&mut self) -> Result<(), Stop> {
        let left = Reader::new(self.rest()).int().map_err(|_| self.short())?;
        self.done += 4;
        self.enter(Phase::Acls { left })
    }

    fn session(&mut self, left: i32, len: usize) -> Result<Next<'_>, Flaw> {
        self.phase = Phase::Sessions { left: left - 1 };
        let at = self.at();
        let mut r = Reader::new(self.take(len));
        let (id, timeout_ms) = (r.long().map(SessionId), r.int());
        let (id, timeout_ms) = (id.map_err(broken(at))?, timeout_ms.map_err(broken(at))?);
        Ok(Next::Item(Item::Session { id, timeout_ms }))
    }

    fn acl(&mut self, left: i32, len: usize) -> Result<Next<'_>, Flaw> {
        self.phase = Phase::Acls { left: left - 1 };
        let at = self.at();
        let mut r = Reader::new(self.take(len));
        let id = r.long().map_err(broken(at))?;
        let list = decode_acl_vector(&mut r).map_err(broken(at))?;
        let list = list.ok_or(Flaw::Damaged { at, what: What::Null("an ACL") })?;
        Ok(Next::Item(Item::Acl { id, list }))
    }

    fn node(&mut self, len: usize) -> Result<Next<'_>, Flaw> {
        let at = self.at();
        let mut r = Reader::new(self.take(len));
        let path = r.some_string().map_err(broken(at))?;
        let data = r.buffer().map_err(broken(at))?;
        let acl = r.long().map_err(broken(at))?;
        let stat = StatPersisted::decode(&mut r).map_err(broken(at))?;
        Ok(Next::Item(Item::Node { path, data, acl, stat }))
    }

    fn take(&mut self, len: usize) -> &[u8] {
        let start = self.done;
        self.done += len;
        self.buf.get(start..self.done).unwrap_or_default()
    }

    /// A checksum over everything so far, and a string nobody reads.
    fn seal(&mut self) -> Result<(), Stop> {
        let len = self.measure(|m| m.skip(8).and_then(|()| m.some_string("a seal")))?;
        let expected = Reader::new(self.rest()).long().map_err(|_| self.short())?;
        self.sum_up();
        if i64::from(self.sum.clone().finish()) != expected {
            return Err(Stop::Flaw(self.flaw(What::Checksum)));
        }
        self.done += len;
        Ok(())
    }

    /// The sections behind the first checksum. Which of them are there depends on the settings of the server that
    /// wrote the file, so their length has to tell (storage §2.9).
    fn trailer(&mut self) -> Result<(), Stop> {
        if !self.ended && self.rest().len() < TRAILER_MAX {
            return Err(Stop::NeedsMore);
        }
        self.ended = true;
        let mut trailer = Trailer::default();
        if !matches!(self.rest().len(), 0 | LAST_ZXID_SECTION) {
            trailer.digest = self.digest_section()?;
        }
        if !self.rest().is_empty() {
            let zxid = Reader::new(self.rest()).long().map_err(|_| self.short())?;
            self.done += 8;
            self.seal()?;
            trailer.last_zxid = Some(Zxid(zxid));
        }
        self.enter(Phase::Done(trailer))
    }

    fn digest_section(&mut self) -> Result<Option<(Zxid, u64)>, Stop> {
        let mut r = Reader::new(self.rest());
        let (zxid, version) = (r.long(), r.int());
        let (Ok(zxid), Ok(version)) = (zxid, version) else { return Err(self.short()) };
        self.done += 12;
        let mut digest = None;
        if version < DIGEST_VERSION {
            self.done += self.measure(|m| m.some_string("a digest"))?;
        } else {
            let value = Reader::new(self.rest()).long().map_err(|_| self.short())?;
            self.done += 8;
            digest = (version == DIGEST_VERSION).then_some((Zxid(zxid), value as u64));
        }
        self.seal()?;
        Ok(digest)
    }
}

enum Stop {
    NeedsMore,
    Flaw(Flaw),
}

/// Why an item has no length.
enum Short {
    Eof,
    What(What),
}

/// What was measured cannot fail to decode for lack of bytes; it can for its text.
fn broken(at: u64) -> impl Fn(Malformed) -> Flaw {
    move |malformed| {
        let what = match malformed {
            Malformed::Null | Malformed::NullAcl | Malformed::Text => What::Null("a string"),
            Malformed::Length(n) | Malformed::Unknown(n) => What::Length(n),
            Malformed::Eof => What::Eof,
        };
        Flaw::Damaged { at, what }
    }
}

/// Walks over an item without keeping anything.
struct Measure<'a> {
    r: Reader<'a>,
    string_max: usize,
}

impl Measure<'_> {
    fn skip(&mut self, n: usize) -> Result<(), Short> {
        self.r.take(n).map(|_| ()).map_err(|_| Short::Eof)
    }

    fn int(&mut self) -> Result<i32, Short> {
        self.r.int().map_err(|_| Short::Eof)
    }

    /// Skips a buffer or string; false if it is null.
    fn buffer(&mut self) -> Result<bool, Short> {
        let n = self.int()?;
        match usize::try_from(n) {
            Ok(len) if len <= self.string_max => self.skip(len).map(|()| true),
            Err(_) if n == -1 => Ok(false),
            Ok(_) | Err(_) => Err(Short::What(What::Length(n))),
        }
    }

    fn some_string(&mut self, what: &'static str) -> Result<(), Short> {
        if self.buffer()? { Ok(()) } else { Err(Short::What(What::Null(what))) }
    }
}

fn session_len(m: &mut Measure<'_>) -> Result<(), Short> {
    m.skip(12)
}

fn acl_len(m: &mut Measure<'_>) -> Result<(), Short> {
    m.skip(8)?;
    let n = m.int()?;
    if n == -1 {
        return Err(Short::What(What::Null("an ACL")));
    }
    // What is behind a lying count must not be collected for ever.
    let behind = m.r.rest().len();
    for _ in 0..n {
        m.skip(4)?;
        m.some_string("the scheme of an ACL")?;
        m.some_string("the id of an ACL")?;
        if behind - m.r.rest().len() > 2 * m.string_max {
            return Err(Short::What(What::Length(n)));
        }
    }
    Ok(())
}

/// Five bytes are the mark behind the last znode.
fn node_len(m: &mut Measure<'_>) -> Result<(), Short> {
    if m.r.rest().starts_with(&LAST_BYTES) {
        return m.skip(LAST_BYTES.len());
    }
    m.some_string("a path")?;
    m.buffer()?;
    m.skip(68)
}

#[cfg(test)]
mod tests {
    use super::super::write::tests::empty_tree;
    use super::*;
    use crate::snapshot::SnapshotWriter;
    use crate::wire::Perms;

    const STRING_MAX: u32 = 2_097_150;

    /// Everything in it, read in chunks of that size.
    fn read(bytes: &[u8], chunk: usize) -> Result<(Vec<String>, Trailer), Flaw> {
        let mut reader = SnapshotReader::new(STRING_MAX);
        let mut items = Vec::new();
        let mut chunks = bytes.chunks(chunk);
        loop {
            match reader.next()? {
                Next::Item(item) => items.push(format!("{item:?}")),
                Next::NeedsMore => match chunks.next() {
                    Some(chunk) => reader.feed(chunk),
                    None => reader.end(),
                },
                Next::Done(trailer) => return Ok((items, trailer)),
            }
        }
    }

    fn sample() -> Vec<u8> {
        let acl = [Acl::new(Perms::ALL, "digest", "u:ü"), Acl::world(Perms::READ)];
        let stat = StatPersisted { pzxid: Zxid(7), ..StatPersisted::default() };
        let mut out = Vec::new();
        let sessions = [(SessionId(5), 30_000), (SessionId(-6), 4_000)];
        let acls = [(3, &acl[..]), (9, &acl[..1])];
        let mut w = SnapshotWriter::begin(sessions.into_iter(), acls.into_iter(), &mut out);
        w.node("", None, -1, &stat, &mut out);
        w.node("/é", Some(&[1; 700]), 3, &stat, &mut out);
        w.end((Zxid(7), 77), Zxid(8), &mut out);
        out
    }

    #[test]
    fn chunks_of_any_size_read_the_same() {
        let bytes = sample();
        let whole = read(&bytes, bytes.len()).unwrap();
        assert_eq!(whole.0.len(), 6);
        let trailer = Trailer { digest: Some((Zxid(7), 77)), last_zxid: Some(Zxid(8)) };
        assert_eq!(whole.1, trailer);
        for chunk in [1, 2, 3, 5, 7, 64, 511] {
            assert_eq!(read(&bytes, chunk).unwrap(), whole, "{chunk}");
        }
    }

    #[test]
    fn a_stream_ends_with_its_signature_and_leaves_the_rest_alone() {
        let stat = StatPersisted::default();
        let mut bytes = Vec::new();
        let sessions = [(SessionId(5), 30_000)];
        let acl = [Acl::world(Perms::READ)];
        let mut w = SnapshotWriter::begin_stream(
            sessions.into_iter(),
            [(1, &acl[..])].into_iter(),
            &mut bytes,
        );
        w.node("", None, -1, &stat, &mut bytes);
        w.end_stream(&mut bytes);
        bytes.extend_from_slice(b"next packet");
        let mut reader = SnapshotReader::stream(STRING_MAX);
        reader.feed(&bytes);
        let mut items = 0;
        while let Next::Item(_) = reader.next().unwrap() {
            items += 1;
        }
        assert_eq!(items, 3);
        assert_eq!(reader.next(), Ok(Next::Done(Trailer::default())));
        assert_eq!(reader.leftover(), b"next packet");
    }

    #[test]
    fn a_snapshot_cut_anywhere_is_truncated_or_an_older_form() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            match read(&bytes[..cut], 64) {
                Err(Flaw::Truncated { .. }) => {}
                Ok((_, trailer)) => {
                    let left = bytes.len() - cut;
                    assert_eq!(trailer.last_zxid, None);
                    assert_eq!(trailer.digest.is_some(), left == 21, "{left}");
                    assert!(left == 21 || left == 54, "{left}");
                }
                // The mark behind the last znode looks like the end of a file.
                Err(flaw) => assert_eq!(flaw, Flaw::Damaged { at: cut as u64, what: What::Eof }),
            }
        }
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let bytes = empty_tree();
        // Strings behind the checksums, header version and dbid are not looked at, but summed up, except the last.
        let unread = bytes.len() - 5..bytes.len();
        for at in 0..bytes.len() {
            for bit in [0, 6] {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                let result = read(&bytes, 1 << 20);
                assert!(result.is_err() || unread.contains(&at), "byte {at:x}");
            }
        }
    }

    #[test]
    fn what_java_would_stop_at_for_good_is_damage() {
        let bytes = empty_tree();
        let with = |at: usize, field: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at..at + field.len()].copy_from_slice(field);
            read(&bytes, 100).unwrap_err()
        };
        let damaged = |at, what| Flaw::Damaged { at, what };
        let minus_one = (-1i32).to_be_bytes();
        assert_eq!(with(0, b"ZKSM"), damaged(0, What::Magic(MAGIC - 1)));
        assert_eq!(with(0x20, &minus_one), damaged(0x18, What::Null("an ACL")));
        assert_eq!(with(0x28, &minus_one), damaged(0x18, What::Null("the scheme of an ACL")));
        assert_eq!(with(0x3b, &minus_one), damaged(0x3b, What::Null("a path")));
        assert_eq!(with(0x3b, &[0x7f]), damaged(0x3b, What::Length(0x7f00_0000)));
        assert_eq!(with(0x3f, &[0xfe]), damaged(0x3b, What::Length(-0x200_0000)));
        assert_eq!(with(0x1a0, &[0]), damaged(0x19b, What::Checksum));
    }

    #[test]
    fn sections_are_told_by_their_length() {
        let bytes = empty_tree();
        let section = |text: &str| -> Vec<u8> {
            let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
            let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16);
            digits.chunks(2).map(|two| byte(two).unwrap()).collect()
        };
        let seal = |mut bytes: Vec<u8>| {
            let sum = u64::from(simd_adler32::adler32(&bytes.as_slice()));
            bytes.extend_from_slice(&sum.to_be_bytes());
            bytes.extend_from_slice(&LAST_BYTES);
            bytes
        };
        let base = bytes[..0x1a8].to_vec();
        assert_eq!(read(&base, 100).unwrap().1, Trailer::default());
        let last_only = seal([base.clone(), section("0000000000000009")].concat());
        let trailer = Trailer { digest: None, last_zxid: Some(Zxid(9)) };
        assert_eq!(read(&last_only, 100).unwrap().1, trailer);
        let old = section("0000000000000009 00000001 00000003 616263");
        let old = seal([base.clone(), old].concat());
        assert_eq!(read(&old, 100).unwrap().1, Trailer::default());
        let old_and_last = seal([old, section("0000000000000009")].concat());
        assert_eq!(read(&old_and_last, 100).unwrap().1, trailer);
        let junk = [bytes.clone(), vec![7; 100]].concat();
        assert_eq!(read(&junk, 100).unwrap().1.last_zxid, Some(Zxid(0)));
    }

    #[test]
    fn memory_is_bounded_whatever_the_counts_say() {
        let mut bytes = sample()[..20].to_vec();
        bytes[16..20].copy_from_slice(&0i32.to_be_bytes());
        bytes.extend_from_slice(&1i32.to_be_bytes());
        bytes.extend_from_slice(&1i64.to_be_bytes());
        bytes.extend_from_slice(&i32::MAX.to_be_bytes());
        let mut reader = SnapshotReader::new(1000);
        reader.feed(&bytes);
        let flaw = loop {
            match reader.next() {
                Ok(Next::NeedsMore) => reader.feed(&[0; 120]),
                Ok(other) => panic!("{other:?}"),
                Err(flaw) => break flaw,
            }
            assert!(reader.buf.len() < 4000);
        };
        assert_eq!(flaw, Flaw::Damaged { at: 24, what: What::Length(i32::MAX) });
    }
}
