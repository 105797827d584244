//! What the core of a server believes of its links, and what went through them: between the cores of two servers every
//! link must be a pipe, and what a core asked for must be answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use zoetrope_core::{ChanId, Link, Sid};
use zoetrope_io_sim::Verdict;

/// Within that time an attempt to open a link ends, µs: five seconds, twice that when the other server has to call back, and
/// the process may stand still meanwhile.
const ATTEMPT_US: u64 = 20_000_000;

/// A link as one of its ends knows it: the server, which of its processes, and its number there.
type Key = (Sid, u64, ChanId);

/// What one end has given to a link.
struct Stream {
    to: Sid,
    link: Link,
    bytes: Vec<u8>,
}

/// What has come out of a link, and the end it comes from as far as that can be told.
struct Heard {
    from: Sid,
    link: Link,
    bytes: Vec<u8>,
    is_of: Option<Key>,
}

/// One process's links.
#[derive(Default)]
pub(crate) struct Mine {
    process: u64,
    heard: BTreeMap<ChanId, Heard>,
    /// Links that its core takes for open: with whom, what for, and whether it knows the other by name.
    open: BTreeMap<ChanId, (Sid, Link, bool)>,
    /// What its core waits for, and since when, µs.
    asked: BTreeMap<(Sid, Link), u64>,
}

/// All links of a run.
#[derive(Default)]
pub(crate) struct Links {
    processes: u64,
    /// Servers whose words are known. Others are whoever comes to a port.
    known: BTreeSet<Sid>,
    streams: BTreeMap<Key, Stream>,
    of: BTreeMap<Sid, Mine>,
}

impl Links {
    /// A process begins; what an earlier one had is over.
    pub(crate) fn booted(&mut self, sid: Sid) {
        self.processes += 1;
        self.known.insert(sid);
        self.of.insert(sid, Mine { process: self.processes, ..Mine::default() });
    }

    pub(crate) fn crashed(&mut self, sid: Sid) {
        self.of.remove(&sid);
    }

    /// The process stood still for so long: its attempts did as well.
    pub(crate) fn stalled(&mut self, sid: Sid, us: u64) {
        if let Some(mine) = self.of.get_mut(&sid) {
            mine.asked.values_mut().for_each(|since| *since += us);
        }
    }

    pub(crate) fn asks(&mut self, sid: Sid, other: Sid, link: Link, now: u64) {
        let Some(mine) = self.of.get_mut(&sid) else { return };
        // It may have come up in the turn in which its core asks.
        if mine.open.values().all(|open| *open != (other, link, true)) {
            mine.asked.entry((other, link)).or_insert(now);
        }
    }

    pub(crate) fn unreachable(&mut self, sid: Sid, other: Sid, link: Link) {
        if let Some(mine) = self.of.get_mut(&sid) {
            mine.asked.remove(&(other, link));
        }
    }

    /// The core of `sid` is told of a link with `other`, which it knows by name where `named`.
    pub(crate) fn up(
        &mut self,
        sid: Sid,
        chan: ChanId,
        (other, link, named): (Sid, Link, bool),
    ) -> Verdict {
        let Some(mine) = self.of.get_mut(&sid) else { return Ok(()) };
        let (from, bytes) = (other, Vec::new());
        mine.heard.insert(chan, Heard { from, link, bytes, is_of: None });
        let stream = Stream { to: other, link, bytes: Vec::new() };
        self.streams.insert((sid, mine.process, chan), stream);
        if named {
            mine.asked.remove(&(other, link));
            if mine.open.values().any(|open| *open == (other, link, true)) {
                return Err(format!(
                    "W5: server {sid} gets another {link:?} link with {other}, and was not told that the first is over"
                ));
            }
        }
        mine.open.insert(chan, (other, link, named));
        Ok(())
    }

    pub(crate) fn down(&mut self, sid: Sid, chan: ChanId) {
        if let Some(mine) = self.of.get_mut(&sid) {
            mine.open.remove(&chan);
        }
    }

    pub(crate) fn says(&mut self, sid: Sid, chan: ChanId, bytes: &[u8]) {
        let Some(mine) = self.of.get(&sid) else { return };
        if let Some(stream) = self.streams.get_mut(&(sid, mine.process, chan)) {
            stream.bytes.extend_from_slice(bytes);
        }
    }

    pub(crate) fn hears(&mut self, sid: Sid, chan: ChanId, bytes: &[u8]) -> Verdict {
        let heard = self.of.get_mut(&sid).and_then(|mine| mine.heard.get_mut(&chan));
        let Some(heard) = heard.filter(|heard| self.known.contains(&heard.from)) else {
            return Ok(());
        };
        let before = heard.bytes.len();
        heard.bytes.extend_from_slice(bytes);
        let goes_on = |key| {
            let said = self.streams.get(&key).and_then(|stream| stream.bytes.get(before..));
            said.is_some_and(|said| said.starts_with(bytes))
        };
        if heard.is_of.is_some_and(goes_on) {
            return Ok(());
        }
        let may_be = |key: &Key, stream: &Stream| {
            (key.0, stream.to, stream.link) == (heard.from, sid, heard.link)
                && stream.bytes.starts_with(&heard.bytes)
        };
        let is_of = self.streams.iter().find(|(key, stream)| may_be(key, stream));
        heard.is_of = is_of.map(|(key, _)| *key);
        match heard.is_of {
            Some(_) => Ok(()),
            None => Err(format!(
                "W4: server {sid} hears {} bytes of server {} that were not sent on a {:?} link, behind {before}",
                bytes.len(),
                heard.from,
                heard.link
            )),
        }
    }

    /// An attempt ends.
    pub(crate) fn do_not_wait_for_ever(&self, now: u64) -> Verdict {
        for (sid, mine) in &self.of {
            let late = mine.asked.iter().find(|(_, since)| now > **since + ATTEMPT_US);
            if let Some(((other, link), since)) = late {
                return Err(format!(
                    "W6: server {sid} wanted a {link:?} link with {other} {} ms ago, and was told nothing since",
                    (now - since) / 1000
                ));
            }
        }
        Ok(())
    }

    /// With nothing wrong, a link that a core takes for open is a socket.
    pub(crate) fn are_real(&self, sockets: impl Fn(Sid, Sid) -> usize) -> Verdict {
        for (sid, mine) in &self.of {
            let mut open: BTreeMap<Sid, usize> = BTreeMap::new();
            mine.open.values().for_each(|(other, ..)| *open.entry(*other).or_default() += 1);
            for (other, open) in open {
                let there = sockets(*sid, other);
                if open > there {
                    return Err(format!(
                        "W5: server {sid} takes {open} links with {other} for open, and has {there}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The other server, by its address.
pub(crate) fn sid_of(addr: IpAddr) -> Sid {
    match addr {
        IpAddr::V4(addr) => Sid(i64::from(addr.octets()[3])),
        IpAddr::V6(_) => Sid(0),
    }
}
