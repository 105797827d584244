//! Quorum packets, read from a stream that is cut anywhere. A parser of its own: the core's must not judge itself.

use std::borrow::Cow;
use zoetrope_core::wire::Reader;

pub(crate) const PROPOSAL: i32 = 2;
pub(crate) const ACK: i32 = 3;
pub(crate) const COMMIT: i32 = 4;
pub(crate) const PING: i32 = 5;
pub(crate) const INFORM: i32 = 8;
pub(crate) const COMMIT_AND_ACTIVATE: i32 = 9;
pub(crate) const NEWLEADER: i32 = 10;
pub(crate) const FOLLOWERINFO: i32 = 11;
pub(crate) const UPTODATE: i32 = 12;
pub(crate) const DIFF: i32 = 13;
pub(crate) const TRUNC: i32 = 14;
pub(crate) const SNAP: i32 = 15;
pub(crate) const OBSERVERINFO: i32 = 16;
pub(crate) const LEADERINFO: i32 = 17;
pub(crate) const ACKEPOCH: i32 = 18;
pub(crate) const INFORM_AND_ACTIVATE: i32 = 19;

const SIGNATURE: &[u8] = b"\0\0\0\x0aBenWasHere";

/// A quorum packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) kind: i32,
    pub(crate) zxid: i64,
    pub(crate) data: Option<Cow<'a, [u8]>>,
}

impl Packet<'_> {
    /// The txn it carries, if it does.
    pub(crate) fn txn(&self) -> Option<&[u8]> {
        let data = self.data.as_deref()?;
        match self.kind {
            PROPOSAL | INFORM => Some(data),
            INFORM_AND_ACTIVATE => data.get(8..),
            _ => None,
        }
    }

    fn into_owned<'a>(self) -> Packet<'a> {
        let data = self.data.map(|data| Cow::Owned(data.into_owned()));
        Packet { data, ..self }
    }
}

/// One direction of a quorum link.
#[derive(Clone, Default, Debug)]
pub(crate) struct Stream {
    buf: Vec<u8>,
    /// A tree follows, outside of any packet.
    in_snapshot: bool,
}

impl Stream {
    /// Takes bytes in and answers the packets that are whole.
    pub(crate) fn feed<'a>(&mut self, bytes: &'a [u8]) -> Vec<Packet<'a>> {
        // Most often nothing is left of what came before.
        let mut held = std::mem::take(&mut self.buf);
        if held.is_empty() {
            let (packets, read) = self.split(bytes);
            self.buf.extend_from_slice(&bytes[read..]);
            return packets;
        }
        held.extend_from_slice(bytes);
        let (packets, read) = self.split(&held);
        let packets = packets.into_iter().map(Packet::into_owned).collect();
        held.drain(..read);
        self.buf = held;
        packets
    }

    /// The packets that are whole, and how many bytes they and what is between them take.
    fn split<'a>(&mut self, bytes: &'a [u8]) -> (Vec<Packet<'a>>, usize) {
        let (mut packets, mut rest) = (Vec::new(), bytes);
        loop {
            if self.in_snapshot {
                let Some(len) = snapshot_length(rest) else { break };
                rest = &rest[len..];
                self.in_snapshot = false;
            }
            let Some((packet, len)) = packet(rest) else { break };
            rest = &rest[len..];
            self.in_snapshot = packet.kind == SNAP;
            packets.push(packet);
        }
        (packets, bytes.len() - rest.len())
    }
}

fn packet(bytes: &[u8]) -> Option<(Packet<'_>, usize)> {
    let mut r = Reader::new(bytes);
    let (kind, zxid) = (r.int().ok()?, r.long().ok()?);
    let data = r.buffer().ok()?.map(Cow::Borrowed);
    let ids = r.int().ok()?;
    for _ in 0..ids.max(0) {
        r.buffer().ok()?;
        r.buffer().ok()?;
    }
    Some((Packet { kind, zxid, data }, bytes.len() - r.rest().len()))
}

/// Length of the tree at the front, when it is whole: sessions, ACLs, znodes, signature (quorum protocol §8.4).
fn snapshot_length(bytes: &[u8]) -> Option<usize> {
    // Until its end is there, reading it again and again would be in vain.
    bytes.windows(SIGNATURE.len()).rev().find(|window| *window == SIGNATURE)?;
    let mut r = Reader::new(bytes);
    for _ in 0..r.int().ok()? {
        r.long().ok()?;
        r.int().ok()?;
    }
    for _ in 0..r.int().ok()? {
        r.long().ok()?;
        for _ in 0..r.int().ok()? {
            r.int().ok()?;
            r.buffer().ok()?;
            r.buffer().ok()?;
        }
    }
    while r.buffer().ok()?? != b"/" {
        r.buffer().ok()?;
        r.long().ok()?;
        for _ in 0..7 {
            r.long().ok()?;
        }
        r.int().ok()?;
    }
    (r.buffer().ok()?? == b"BenWasHere").then(|| bytes.len() - r.rest().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |two: &[u8]| std::str::from_utf8(two).unwrap().to_owned();
        digits.chunks(2).map(|two| u8::from_str_radix(&pair(two), 16).unwrap()).collect()
    }

    /// Captured from Java servers (quorum protocol §16).
    #[test]
    fn packets_of_java_are_read_however_they_are_cut() {
        let wire = bytes_of(
            "00000011 0000000100000000 00000004 00010000 ffffffff
             00000003 0000000500000000 ffffffff ffffffff
             0000000c ffffffffffffffff ffffffff ffffffff",
        );
        let kinds = [(LEADERINFO, 1 << 32), (ACK, 5 << 32), (UPTODATE, -1)];
        for cut in 0..wire.len() {
            let mut stream = Stream::default();
            let mut packets = stream.feed(&wire[..cut]);
            packets.extend(stream.feed(&wire[cut..]));
            let read: Vec<(i32, i64)> = packets.iter().map(|p| (p.kind, p.zxid)).collect();
            assert_eq!(read, kinds);
        }
    }

    #[test]
    fn a_tree_between_packets_is_skipped() {
        let mut wire = bytes_of("0000000f 0000000100000000 ffffffff ffffffff");
        wire.extend(bytes_of("00000000 00000000 00000000 00000000 ffffffffffffffff"));
        wire.extend([0; 60]);
        wire.extend(bytes_of("00000001 2f"));
        wire.extend(SIGNATURE);
        wire.extend(bytes_of("0000000a 0000000100000000 ffffffff ffffffff"));
        for cut in 0..wire.len() {
            let mut stream = Stream::default();
            let mut packets = stream.feed(&wire[..cut]);
            packets.extend(stream.feed(&wire[cut..]));
            let kinds: Vec<i32> = packets.iter().map(|p| p.kind).collect();
            assert_eq!(kinds, [SNAP, NEWLEADER], "cut at {cut}");
        }
    }
}
