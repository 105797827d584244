//! Links between servers: first in, first out, and everything that can go wrong with them. Knows no packet but the
//! frames of an election link, and no server.
//!
//! What is sent waits in the receiving end's flight; a planned moment only says that one more item is due. So order
//! holds by construction, however long an end is clogged, cut off or asleep.

use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use zoetrope_core::{ChanId, Link};

/// Something the network will do, at the host where it does it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NetEvent {
    /// An attempt to connect arrives at `to`, or not.
    Attempt { number: u64 },
    /// An attempt has failed.
    Failed { number: u64 },
    /// The link of this end is up.
    Up { chan: ChanId },
    /// One more item of this end's flight is due.
    Due { chan: ChanId },
    /// The far end took bytes.
    Credit { chan: ChanId, upto: u64 },
}

/// An event, its moment, and the host that has to be awake for it (`None`: nobody).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    pub(crate) at: u64,
    pub(crate) host: Option<usize>,
    pub(crate) event: NetEvent,
}

/// What a host is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Up { chan: ChanId, far: ChanId, other: usize, link: Link, began: bool },
    Down { chan: ChanId },
    Bytes { chan: ChanId, bytes: Vec<u8> },
    Sent { chan: ChanId, upto: u64 },
    Unreachable { other: usize, link: Link },
}

#[derive(Clone, Debug)]
enum Item {
    /// Bytes, and what the sender is credited with when they arrive; 0: nothing.
    Bytes {
        bytes: Vec<u8>,
        upto: u64,
    },
    Gone,
}

/// How the far end learns that a host is dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Death {
    /// Its system says so.
    Told,
    /// Somebody says so that many µs later.
    Late(u64),
    /// Nobody says so: only who writes is told.
    Silent,
}

#[derive(Clone, Debug)]
struct End {
    host: usize,
    other: usize,
    far: ChanId,
    link: Link,
    began: bool,
    /// It was told that the link is up.
    up: bool,
    /// When the last item of its flight is due.
    last_due: u64,
    flight: VecDeque<Item>,
    /// Items that are due and could not be taken.
    due: usize,
    paused: bool,
    /// Bytes sent from here.
    produced: u64,
    /// Nobody is there any more: the next write says so.
    half_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Attempt {
    from: usize,
    to: usize,
    link: Link,
}

/// A connection that nobody answers is given up after this, µs.
const CONNECT_TIMEOUT_US: u64 = 5_000_000;
/// Old frames kept per direction, to be heard again.
const OLD_FRAMES: usize = 8;

/// The network between the servers.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    rng: Rng,
    ends: BTreeMap<ChanId, End>,
    attempts: BTreeMap<u64, Attempt>,
    next_chan: u64,
    next_attempt: u64,
    /// Nothing passes from the first to the second.
    cut: BTreeSet<(usize, usize)>,
    /// Nothing passes until it is unclogged.
    clogged: BTreeSet<(usize, usize)>,
    /// Added delay and jitter, µs.
    slow: BTreeMap<(usize, usize), (u64, u64)>,
    /// Election frames that were heard before.
    old: BTreeMap<(usize, usize), VecDeque<Vec<u8>>>,
    /// Hosts whose server runs.
    alive: BTreeSet<usize>,
}

/// What comes of an event: facts for hosts, and further events.
#[derive(Default, Debug)]
pub(crate) struct Outcomes {
    pub(crate) told: Vec<(usize, Told)>,
    pub(crate) plans: Vec<Plan>,
}

impl Net {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            rng,
            ends: BTreeMap::new(),
            attempts: BTreeMap::new(),
            next_chan: 0,
            next_attempt: 0,
            cut: BTreeSet::new(),
            clogged: BTreeSet::new(),
            slow: BTreeMap::new(),
            old: BTreeMap::new(),
            alive: BTreeSet::new(),
        }
    }

    /// A host tries to open a link, unless there is one or it tries already.
    pub(crate) fn connect(&mut self, now: u64, from: usize, to: usize, link: Link) -> Vec<Plan> {
        let attempt = Attempt { from, to, link };
        let begun = |end: &&End| {
            (end.host, end.other, end.link) == (from, to, link)
                && (end.began || link == Link::Election)
        };
        if self.attempts.values().any(|a| *a == attempt) || self.ends.values().any(|e| begun(&e)) {
            return Vec::new();
        }
        self.next_attempt += 1;
        let number = self.next_attempt;
        self.attempts.insert(number, attempt);
        let at = now + self.rng.between(100, 3_000) + self.extra(from, to);
        vec![Plan { at, host: None, event: NetEvent::Attempt { number } }]
    }

    /// Sends bytes from an end.
    pub(crate) fn send(&mut self, now: u64, chan: ChanId, bytes: &[u8]) -> Vec<Plan> {
        let Some(end) = self.ends.get_mut(&chan) else { return Vec::new() };
        let (host, other, far, link) = (end.host, end.other, end.far, end.link);
        let before = end.produced;
        end.produced += bytes.len() as u64;
        if end.half_open {
            end.half_open = false;
            // What nobody takes is answered by a reset, unless that cannot pass either.
            return self.put(now, chan, Item::Gone, 1_000);
        }
        let parts = match link {
            Link::Election => frames(bytes),
            Link::Quorum | Link::ObserverMaster => self.cut_anywhere(bytes),
        };
        let mut upto = before;
        let mut plans = Vec::new();
        for part in parts {
            upto += part.len() as u64;
            if link == Link::Election {
                let old = self.old.entry((host, other)).or_default();
                old.push_back(part.clone());
                if old.len() > OLD_FRAMES {
                    old.pop_front();
                }
            }
            let delay = self.rng.between(50, 600) + self.extra(host, other);
            plans.extend(self.put(now, far, Item::Bytes { bytes: part, upto }, delay));
        }
        plans
    }

    fn cut_anywhere(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        if bytes.len() < 2 || !self.rng.one_in(3) {
            return vec![bytes.to_vec()];
        }
        let at = self.rng.between(1, bytes.len() as u64 - 1) as usize;
        vec![bytes[..at].to_vec(), bytes[at..].to_vec()]
    }

    /// Delay that a slow link adds.
    fn extra(&mut self, from: usize, to: usize) -> u64 {
        match self.slow.get(&(from, to)) {
            Some((delay, jitter)) => delay + self.rng.below(jitter + 1),
            None => 0,
        }
    }

    /// Puts an item into the flight of an end, behind what is there.
    fn put(&mut self, now: u64, chan: ChanId, item: Item, delay: u64) -> Vec<Plan> {
        let Some(end) = self.ends.get_mut(&chan) else { return Vec::new() };
        let at = (now + delay).max(end.last_due);
        end.last_due = at;
        end.flight.push_back(item);
        vec![Plan { at, host: Some(end.host), event: NetEvent::Due { chan } }]
    }

    /// An end closes: the far one learns of it behind what was sent.
    pub(crate) fn disconnect(&mut self, now: u64, chan: ChanId) -> Vec<Plan> {
        match self.ends.remove(&chan) {
            Some(end) => self.put(now, end.far, Item::Gone, 300),
            None => Vec::new(),
        }
    }

    /// Stops or resumes reading at an end.
    pub(crate) fn pause(&mut self, now: u64, chan: ChanId, paused: bool) -> Vec<Plan> {
        let Some(end) = self.ends.get_mut(&chan) else { return Vec::new() };
        end.paused = paused;
        if paused { Vec::new() } else { self.release(now, chan) }
    }

    /// What was due while nothing could pass is due now.
    fn release(&mut self, now: u64, chan: ChanId) -> Vec<Plan> {
        let Some(end) = self.ends.get_mut(&chan) else { return Vec::new() };
        let plan = Plan { at: now, host: Some(end.host), event: NetEvent::Due { chan } };
        vec![plan; std::mem::take(&mut end.due)]
    }

    fn release_all(&mut self, now: u64) -> Vec<Plan> {
        let chans: Vec<ChanId> = self.ends.keys().copied().collect();
        chans.into_iter().flat_map(|chan| self.release(now, chan)).collect()
    }

    /// Lets an event happen.
    pub(crate) fn happen(&mut self, now: u64, event: &NetEvent) -> Outcomes {
        let mut out = Outcomes::default();
        match *event {
            NetEvent::Attempt { number } => self.arrive(now, number, &mut out),
            NetEvent::Failed { number } => {
                if let Some(Attempt { from, to, link }) = self.attempts.remove(&number) {
                    out.told.push((from, Told::Unreachable { other: to, link }));
                }
            }
            NetEvent::Up { chan } => self.come_up(now, chan, &mut out),
            NetEvent::Due { chan } => self.take(now, chan, &mut out),
            NetEvent::Credit { chan, upto } => {
                if let Some(end) = self.ends.get(&chan) {
                    out.told.push((end.host, Told::Sent { chan, upto }));
                }
            }
        }
        out
    }

    fn arrive(&mut self, now: u64, number: u64, out: &mut Outcomes) {
        let Some(Attempt { from, to, link }) = self.attempts.get(&number).copied() else { return };
        let black_hole = self.cut.contains(&(from, to)) || self.cut.contains(&(to, from));
        if black_hole || !self.alive.contains(&to) {
            // A machine that is off may be known to be, or not.
            let at_once = self.rng.one_in(if black_hole { 8 } else { 2 });
            let wait = if at_once { 200 } else { CONNECT_TIMEOUT_US };
            let event = NetEvent::Failed { number };
            out.plans.push(Plan { at: now + wait, host: Some(from), event });
            return;
        }
        self.attempts.remove(&number);
        let chans = [ChanId(self.next_chan + 1), ChanId(self.next_chan + 2)];
        self.next_chan += 2;
        for (n, (host, other)) in [(from, to), (to, from)].into_iter().enumerate() {
            let end = End {
                host,
                other,
                far: chans[1 - n],
                link,
                began: n == 0,
                up: false,
                last_due: now,
                flight: VecDeque::new(),
                due: 0,
                paused: false,
                produced: 0,
                half_open: false,
            };
            self.ends.insert(chans[n], end);
            let at = now + self.rng.between(0, 400);
            // Bytes of the other end must not come before it is known.
            if let Some(end) = self.ends.get_mut(&chans[n]) {
                end.last_due = at;
            }
            let event = NetEvent::Up { chan: chans[n] };
            out.plans.push(Plan { at, host: Some(host), event });
        }
    }

    fn come_up(&mut self, now: u64, chan: ChanId, out: &mut Outcomes) {
        let Some(end) = self.ends.get_mut(&chan) else { return };
        end.up = true;
        let (host, other, far) = (end.host, end.other, end.far);
        let (link, began) = (end.link, end.began);
        if link == Link::Election {
            let same = |end: &End| (end.host, end.other, end.link) == (host, other, link);
            let others: Vec<ChanId> = self
                .ends
                .iter()
                .filter(|(c, end)| **c != chan && end.up && same(end))
                .map(|(c, _)| *c)
                .collect();
            for old in others {
                // Of two links that crossed, both ends keep the one that is newer.
                if old > chan {
                    out.plans.extend(self.disconnect(now, chan));
                    return;
                }
                out.told.push((host, Told::Down { chan: old }));
                out.plans.extend(self.disconnect(now, old));
            }
        }
        out.told.push((host, Told::Up { chan, far, other, link, began }));
        out.plans.extend(self.release(now, chan));
    }

    fn take(&mut self, now: u64, chan: ChanId, out: &mut Outcomes) {
        let Some(end) = self.ends.get_mut(&chan) else { return };
        let way = (end.other, end.host);
        let blocked = self.cut.contains(&way) || self.clogged.contains(&way);
        if end.paused || !end.up || blocked {
            end.due += 1;
            return;
        }
        let (host, far) = (end.host, end.far);
        match end.flight.pop_front() {
            Some(Item::Bytes { bytes, upto }) => {
                out.told.push((host, Told::Bytes { chan, bytes }));
                if upto > 0
                    && let Some(sender) = self.ends.get(&far)
                {
                    let event = NetEvent::Credit { chan: far, upto };
                    let at = now + self.rng.between(20, 300);
                    out.plans.push(Plan { at, host: Some(sender.host), event });
                }
            }
            Some(Item::Gone) => {
                self.ends.remove(&chan);
                out.told.push((host, Told::Down { chan }));
            }
            None => {}
        }
    }

    // What the world can do to it.

    /// A server runs at that host.
    pub(crate) fn host_up(&mut self, host: usize) {
        self.alive.insert(host);
    }

    /// The server of that host is gone, and so are its ends of all links; what it had sent is on its way.
    pub(crate) fn host_down(&mut self, now: u64, host: usize, death: Death) -> Vec<Plan> {
        self.alive.remove(&host);
        self.attempts.retain(|_, attempt| attempt.from != host);
        let mine: Vec<(ChanId, ChanId)> =
            self.ends.iter().filter(|(_, e)| e.host == host).map(|(c, e)| (*c, e.far)).collect();
        let mut plans = Vec::new();
        for (chan, far) in mine {
            self.ends.remove(&chan);
            plans.extend(self.lose(now, far, death));
        }
        plans
    }

    /// The far end of this one is gone.
    fn lose(&mut self, now: u64, chan: ChanId, death: Death) -> Vec<Plan> {
        match death {
            Death::Told => {
                let delay = self.rng.between(100, 2_000);
                self.put(now, chan, Item::Gone, delay)
            }
            Death::Late(us) => self.put(now, chan, Item::Gone, us),
            Death::Silent => {
                if let Some(end) = self.ends.get_mut(&chan) {
                    end.half_open = true;
                }
                Vec::new()
            }
        }
    }

    /// Nothing passes from `from` to `to`.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Everything passes again, what waited first.
    pub(crate) fn heal(&mut self, now: u64) -> Vec<Plan> {
        self.cut.clear();
        self.clogged.clear();
        self.slow.clear();
        self.release_all(now)
    }

    /// Is anything between servers cut or clogged?
    pub(crate) fn is_hurt(&self) -> bool {
        !self.cut.is_empty() || !self.clogged.is_empty() || !self.slow.is_empty()
    }

    /// Can these two talk, both ways?
    pub(crate) fn connected(&self, a: usize, b: usize) -> bool {
        let blocked = |way| self.cut.contains(&way) || self.clogged.contains(&way);
        !blocked((a, b)) && !blocked((b, a))
    }

    /// Nothing passes from `from` to `to` until it is unclogged.
    pub(crate) fn clog(&mut self, from: usize, to: usize) {
        self.clogged.insert((from, to));
    }

    pub(crate) fn unclog(&mut self, now: u64, from: usize, to: usize) -> Vec<Plan> {
        self.clogged.remove(&(from, to));
        self.release_all(now)
    }

    /// Everything from `from` to `to` takes that much longer.
    pub(crate) fn slow_down(&mut self, from: usize, to: usize, delay_us: u64, jitter_us: u64) {
        self.slow.insert((from, to), (delay_us, jitter_us));
    }

    pub(crate) fn speed_up(&mut self, from: usize, to: usize) {
        self.slow.remove(&(from, to));
    }

    /// Cuts every link that touches the host; what was under way is lost.
    pub(crate) fn churn(&mut self, now: u64, host: Option<usize>) -> Vec<Plan> {
        let touched = |end: &End| host.is_none_or(|h| end.host == h || end.other == h);
        let hit: Vec<ChanId> =
            self.ends.iter().filter(|(_, e)| touched(e)).map(|(c, _)| *c).collect();
        hit.into_iter().flat_map(|chan| self.break_off(now, chan)).collect()
    }

    /// Each end is told; what was under way to this one is lost from some point on.
    fn break_off(&mut self, now: u64, chan: ChanId) -> Vec<Plan> {
        let Some(end) = self.ends.get_mut(&chan) else { return Vec::new() };
        // The moments that were planned stay: they find the end gone, or nothing.
        let kept = self.rng.below(end.flight.len() as u64 + 1) as usize;
        end.flight.truncate(kept);
        let delay = self.rng.between(10, 500);
        self.put(now, chan, Item::Gone, delay)
    }

    /// One end of each link between the two is gone, and the other one does not know.
    pub(crate) fn half_open(&mut self, now: u64, gone: usize, stays: usize) -> Outcomes {
        let mut out = Outcomes::default();
        let hit: Vec<(ChanId, ChanId)> = self
            .ends
            .iter()
            .filter(|(_, e)| (e.host, e.other) == (gone, stays) && e.up)
            .map(|(c, e)| (*c, e.far))
            .collect();
        for (chan, far) in hit {
            self.ends.remove(&chan);
            out.told.push((gone, Told::Down { chan }));
            out.plans.extend(self.lose(now, far, Death::Silent));
        }
        out
    }

    /// A byte was garbled between these two: the checksum ends each link there, perhaps in the middle of a packet.
    pub(crate) fn corrupt(&mut self, now: u64, from: usize, to: usize) -> Vec<Plan> {
        let hit: Vec<(ChanId, ChanId)> = self
            .ends
            .iter()
            .filter(|(_, e)| (e.other, e.host) == (from, to))
            .map(|(c, e)| (*c, e.far))
            .collect();
        let mut plans = Vec::new();
        for (chan, far) in hit {
            let cut = self.rng.draw();
            if let Some(end) = self.ends.get_mut(&chan)
                && end.link != Link::Election
                && let Some(Item::Bytes { bytes, .. }) = end.flight.back_mut()
            {
                bytes.truncate((cut % bytes.len().max(1) as u64) as usize);
            }
            plans.extend(self.put(now, chan, Item::Gone, 0));
            plans.extend(self.break_off(now, far));
        }
        plans
    }

    /// An election frame that was heard before comes once more, perhaps with another round.
    pub(crate) fn repeat_vote(
        &mut self,
        now: u64,
        (from, to): (usize, usize),
        round: Option<i64>,
    ) -> Vec<Plan> {
        let Some(old) = self.old.get(&(from, to)).filter(|old| !old.is_empty()) else {
            return Vec::new();
        };
        let mut bytes = old[self.rng.below(old.len() as u64) as usize].clone();
        if let (Some(round), Some(place)) = (round, bytes.get_mut(ROUND)) {
            place.copy_from_slice(&round.to_be_bytes());
        }
        let is_it = |end: &&End| (end.other, end.host, end.link) == (from, to, Link::Election);
        let Some(chan) = self.ends.iter().find(|(_, e)| is_it(e)).map(|(c, _)| *c) else {
            return Vec::new();
        };
        self.put(now, chan, Item::Bytes { bytes, upto: 0 }, 100)
    }
}

/// Where the round is in a frame of an election: behind its length, the state, the leader and the zxid (quorum protocol
/// §4.1).
const ROUND: Range<usize> = 24..32;

/// Whole frames, each with its length prefix; what is left at the end stays whole too.
fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let Some(prefix) = rest.first_chunk::<4>() {
        let end = (4 + u32::from_be_bytes(*prefix) as usize).min(rest.len());
        all.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        all.push(rest.to_vec());
    }
    all
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
