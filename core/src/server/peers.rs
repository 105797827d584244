//! Links to other servers: what came in on each, what goes out, and which role it belongs to. Knows no meaning.

use super::Server;
use super::roles::Role;
use crate::effect::{Effect, Span};
use crate::ensemble::Ensemble;
use crate::ids::{ChanId, Sid, Zxid};
use crate::input::Link;
use crate::planted::{Plant, planted};
use crate::time::Instant;
use crate::wire::{
    Notification, Packet, PacketKind, decode_notification, decode_packet, encode_notification,
    encode_packet,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PeerLink {
    /// Who is at the other end, if that is known.
    pub(super) sid: Option<Sid>,
    addr: IpAddr,
    link: Link,
    since: Instant,
    pub(super) out: Vec<u8>,
    /// The last vote, where those before it have not been read: only the last one counts.
    owed: Vec<u8>,
    owed_since: Option<Instant>,
    /// Bytes ever put into `out`, and those the socket has taken.
    produced: u64,
    sent: u64,
    /// What has come and has not been looked at.
    inbox: Vec<u8>,
    paused: bool,
}

impl PeerLink {
    /// Bytes the other end has not taken.
    pub(super) fn unsent(&self) -> u64 {
        self.produced - self.sent
    }
}

/// All links, and who belongs to the ensemble.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Peers {
    pub(super) me: Sid,
    /// The committed configuration. One that was only seen yet would stand beside it: every quorum is asked of both.
    pub(super) ensemble: Ensemble,
    /// The same as the text that every vote and every NEWLEADER carries.
    pub(super) config: String,
    links: BTreeMap<ChanId, PeerLink>,
    /// Where votes of each server come from.
    elections: BTreeMap<Sid, ChanId>,
    /// Have something to send.
    dirty: BTreeSet<ChanId>,
    /// Given up in this turn, with what they are still to be told.
    leaving: Vec<(ChanId, Vec<u8>)>,
    /// Have something in their inbox that could not be done yet.
    pub(super) held: BTreeSet<ChanId>,
    /// When the end of a link was last told of on which nobody had said who he is.
    stranger_at: Option<Instant>,
}

/// Bytes that may wait in an inbox before reading stops.
const INBOX_MAX: usize = 1 << 20;
/// The same where nobody has said who he is, and what his greeting may have at most.
const GREETING_MAX: usize = 4 << 10;
/// Memory of an inbox that is kept, bytes.
const INBOX_KEPT: usize = 128 << 10;
/// Memory of what goes out that is kept, bytes.
const OUTPUT_KEPT: usize = 256 << 10;
/// This part of a peer's budget may be filled with votes.
const VOTES_SHARE: u64 = 64;
/// Longest a vote may wait for the other end to read those before it, ms.
const DEAF_MS: u64 = 4_000;
/// Least time between two lines in the log about strangers, ms.
const STRANGERS_MS: u64 = 1_000;
/// Longest a quorum link may be up before it says who it is, ms.
const GREETING_MS: u64 = 10_000;

/// What came of the front of an inbox.
enum Front {
    /// That many bytes are done with.
    Done(usize),
    /// No whole packet yet.
    Incomplete,
    /// It, and all behind it, must wait.
    Held,
}

/// Was a packet done, or must it and all behind it wait?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Done {
    Yes,
    NotYet,
}

/// Why a link is given up: for the log, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PeerFault(pub(super) String);

impl From<crate::wire::Malformed> for PeerFault {
    fn from(malformed: crate::wire::Malformed) -> Self {
        Self(format!("it sent bytes that are no packet: {malformed}"))
    }
}

impl Peers {
    pub(super) fn new(me: Sid, ensemble: Ensemble) -> Self {
        let config = ensemble.to_text();
        Self {
            me,
            ensemble,
            config,
            links: BTreeMap::new(),
            elections: BTreeMap::new(),
            dirty: BTreeSet::new(),
            leaving: Vec::new(),
            held: BTreeSet::new(),
            stranger_at: None,
        }
    }

    pub(super) fn link(&self, chan: ChanId) -> Option<&PeerLink> {
        self.links.get(&chan)
    }

    pub(super) fn link_mut(&mut self, chan: ChanId) -> Option<&mut PeerLink> {
        self.links.get_mut(&chan)
    }

    /// The servers that can be told of votes.
    pub(super) fn heard(&self) -> BTreeSet<Sid> {
        self.elections.keys().copied().collect()
    }

    pub(super) fn election_link(&self, sid: Sid) -> Option<ChanId> {
        self.elections.get(&sid).copied()
    }

    /// Gives access to what goes out on a link, and counts what is put there.
    pub(super) fn write(&mut self, chan: ChanId, put: impl FnOnce(&mut Vec<u8>)) {
        let Some(link) = self.links.get_mut(&chan) else { return };
        let before = link.out.len();
        put(&mut link.out);
        let more = (link.out.len() - before) as u64;
        if more > 0 {
            link.produced += more;
            self.dirty.insert(chan);
        }
    }

    /// Queues a packet.
    pub(super) fn send(&mut self, chan: ChanId, kind: PacketKind, zxid: Zxid, data: Option<&[u8]>) {
        self.write(chan, |out| encode_packet(kind, zxid, data, out));
    }

    /// Moves what goes out into the turn's bytes.
    pub(super) fn hand_out(&mut self, bytes: &mut Vec<u8>, effects: &mut Vec<Effect>) {
        for chan in std::mem::take(&mut self.dirty) {
            let Some(link) = self.links.get_mut(&chan) else { continue };
            let span = Span { start: bytes.len(), len: link.out.len() };
            bytes.append(&mut link.out);
            link.out.shrink_to(OUTPUT_KEPT);
            effects.push(Effect::SendPeer { chan, bytes: span });
        }
        for (chan, mut out) in std::mem::take(&mut self.leaving) {
            let span = Span { start: bytes.len(), len: out.len() };
            if span.len > 0 {
                bytes.append(&mut out);
                effects.push(Effect::SendPeer { chan, bytes: span });
            }
            effects.push(Effect::Disconnect { chan });
        }
    }
}

impl Server {
    pub(super) fn on_peer_up(&mut self, sid: Option<Sid>, chan: ChanId, link: Link, addr: IpAddr) {
        let Some(peers) = &mut self.peers else {
            // Alone, a server knows no peers: a link that comes up is a mistake of its other end.
            self.effects.push(Effect::Disconnect { chan });
            return;
        };
        let since = self.now.mono;
        let new = PeerLink {
            sid,
            addr,
            link,
            since,
            out: Vec::new(),
            owed: Vec::new(),
            owed_since: None,
            produced: 0,
            sent: 0,
            inbox: Vec::new(),
            paused: false,
        };
        let before = peers.links.insert(chan, new);
        assert!(before.is_none(), "link {chan:?} came up twice");
        match (link, sid) {
            (Link::Election, Some(sid)) => {
                peers.elections.insert(sid, chan);
                self.on_election_link(sid);
            }
            (Link::Quorum | Link::ObserverMaster, Some(sid)) => {
                self.on_leader_link(sid, link, chan);
            }
            (Link::ObserverMaster, None) if !self.admits_observers() => self.drop_link(chan),
            (Link::Election, None) => self.drop_link(chan),
            // Whoever opened it is to say so first.
            (Link::Quorum | Link::ObserverMaster, None) => {}
        }
    }

    pub(super) fn on_peer_down(&mut self, chan: ChanId) {
        let Some(peers) = &mut self.peers else { return };
        let Some(link) = peers.links.remove(&chan) else { return };
        peers.elections.retain(|_, at| *at != chan);
        peers.held.remove(&chan);
        if planted(Plant::CutPacketEndsElections) && !link.inbox.is_empty() {
            self.rest_until = Instant(u64::MAX / 2);
        }
        if link.link != Link::Election {
            self.on_quorum_link_down(chan);
        }
    }

    pub(super) fn on_peer_sent(&mut self, chan: ChanId, upto: u64) {
        let Some(peers) = &mut self.peers else { return };
        if let Some(link) = peers.links.get_mut(&chan) {
            link.sent = upto.clamp(link.sent, link.produced);
            if !link.owed.is_empty()
                && link.unsent() <= self.config.limits.peer_budget / VOTES_SHARE
            {
                link.owed_since = None;
                let mut owed = std::mem::take(&mut link.owed);
                peers.write(chan, |out| out.append(&mut owed));
            }
        }
        self.on_learner_progress(chan);
    }

    /// Gives a link up; whoever used it has let go of it already.
    pub(super) fn drop_link(&mut self, chan: ChanId) {
        let Some(peers) = &mut self.peers else { return };
        if let Some(link) = peers.links.remove(&chan) {
            // What was said last may say why.
            peers.leaving.push((chan, link.out));
            peers.elections.retain(|_, at| *at != chan);
            peers.held.remove(&chan);
            peers.dirty.remove(&chan);
        }
    }

    pub(super) fn on_peer_frames(&mut self, chan: ChanId, bytes: &[u8]) {
        let Some(peers) = &mut self.peers else { return };
        let Some(link) = peers.links.get_mut(&chan) else { return };
        match (link.link, link.sid) {
            (Link::Election, Some(sid)) => self.on_election_frames(sid, bytes),
            (Link::Election, None) => {}
            (Link::Quorum | Link::ObserverMaster, _) => self.on_quorum_bytes(chan, bytes),
        }
    }

    /// Whoever sends something lives.
    fn hear_from(&mut self, chan: ChanId) {
        let now = self.now.mono;
        if let Some(handler) = self.handler_mut(chan) {
            handler.heard_at = now;
        } else if let Some(learner) = self.learner_mut().filter(|learner| learner.is_on(chan)) {
            learner.heard_at = now;
        }
    }

    /// Frames are whole; one that cannot be read costs only itself (ZOOKEEPER-3769).
    fn on_election_frames(&mut self, from: Sid, bytes: &[u8]) {
        let mut r = crate::wire::Reader::new(bytes);
        while let Ok(Some(body)) = r.buffer() {
            if let Ok(notification) = decode_notification(body) {
                self.on_notification(from, &notification);
            }
        }
    }

    /// New bytes on a quorum link.
    fn on_quorum_bytes(&mut self, chan: ChanId, bytes: &[u8]) {
        self.hear_from(chan);
        let Some(link) = self.peers.as_mut().and_then(|peers| peers.links.get_mut(&chan)) else {
            return;
        };
        if !link.inbox.is_empty() {
            link.inbox.extend_from_slice(bytes);
            return self.work_off(chan);
        }
        // Mostly all of it is done from where it stands.
        let Some((at, waits)) = self.work_through(chan, bytes) else { return };
        let Some(peers) = &mut self.peers else { return };
        let Some(link) = peers.links.get_mut(&chan) else { return };
        link.inbox.extend_from_slice(&bytes[at..]);
        self.settle_inbox(chan, waits);
    }

    /// Does what has come on a quorum link, as far as it goes.
    pub(super) fn work_off(&mut self, chan: ChanId) {
        let Some(link) = self.peers.as_mut().and_then(|peers| peers.links.get_mut(&chan)) else {
            return;
        };
        let mut inbox = std::mem::take(&mut link.inbox);
        let Some((at, waits)) = self.work_through(chan, &inbox) else { return };
        let Some(peers) = &mut self.peers else { return };
        let Some(link) = peers.links.get_mut(&chan) else { return };
        inbox.drain(..at);
        if inbox.len() < INBOX_KEPT {
            inbox.shrink_to(INBOX_KEPT);
        }
        link.inbox = inbox;
        self.settle_inbox(chan, waits);
    }

    /// How much of these bytes is done with, and whether the rest must wait for something else than more bytes. `None`:
    /// the link was given up.
    fn work_through(&mut self, chan: ChanId, bytes: &[u8]) -> Option<(usize, bool)> {
        let mut at = 0;
        let fault = loop {
            // The link may be gone, and with it everything that is still to come.
            self.peers.as_ref().filter(|peers| peers.links.contains_key(&chan))?;
            match self.work_once(chan, &bytes[at..]) {
                Ok(Front::Done(len)) => at += len,
                Ok(Front::Incomplete) => return Some((at, false)),
                Ok(Front::Held) => return Some((at, true)),
                Err(fault) => break fault,
            }
            if at == bytes.len() {
                return Some((at, false));
            }
        };
        self.give_up(chan, &fault);
        None
    }

    /// Stops reading from a link whose inbox is full of what must wait, and begins again.
    fn settle_inbox(&mut self, chan: ChanId, waits: bool) {
        let Some(peers) = &mut self.peers else { return };
        let Some(link) = peers.links.get_mut(&chan) else { return };
        // What is not whole needs the bytes that are still to come.
        let most = if link.sid.is_some() { INBOX_MAX } else { GREETING_MAX };
        let full = waits && link.inbox.len() > most;
        if waits {
            peers.held.insert(chan)
        } else {
            peers.held.remove(&chan)
        };
        if full && !link.paused {
            link.paused = true;
            self.effects.push(Effect::PausePeer { chan });
        } else if link.paused && !full {
            link.paused = false;
            self.effects.push(Effect::ResumePeer { chan });
        }
    }

    /// One packet, or a piece of a snapshot.
    fn work_once(&mut self, chan: ChanId, bytes: &[u8]) -> Result<Front, PeerFault> {
        if bytes.is_empty() {
            return Ok(Front::Incomplete);
        }
        if self.is_receiving_snapshot(chan) {
            return self.on_snapshot_bytes(bytes).map(Front::Done);
        }
        if self.reads_too_little(chan) {
            return Ok(Front::Held);
        }
        let known = self.peers.as_ref().and_then(|peers| peers.link(chan)?.sid).is_some();
        let max = if known { self.config.record_max() as usize } else { GREETING_MAX };
        let Some((packet, len)) = decode_packet(bytes, max)? else { return Ok(Front::Incomplete) };
        Ok(match self.on_packet(chan, &packet)? {
            Done::Yes => Front::Done(len),
            Done::NotYet => Front::Held,
        })
    }

    /// Has a learner left so much unread that it is not listened to until it reads? Each of its packets may ask for an
    /// answer. What it is fed stays below that. Nobody waits so for the server it learns from: two servers that wait for each
    /// other wait for ever.
    fn reads_too_little(&self, chan: ChanId) -> bool {
        let Some(link) = self.peers.as_ref().and_then(|peers| peers.links.get(&chan)) else {
            return false;
        };
        let feeds = match &self.role {
            Role::Leading(_) => true,
            Role::Following(learner) => !learner.is_on(chan),
            Role::Alone | Role::Resting | Role::Looking(_) | Role::Observing(_) => false,
        };
        feeds && link.unsent() > self.fed_at_most()
    }

    /// Bytes that may wait on a link where everything that can wait does.
    pub(super) fn fed_at_most(&self) -> u64 {
        2 * self.config.limits.peer_budget + u64::from(self.config.record_max())
    }

    fn on_packet(&mut self, chan: ChanId, packet: &Packet<'_>) -> Result<Done, PeerFault> {
        match &self.role {
            Role::Leading(_) => self.on_learner_packet(chan, packet),
            Role::Following(learner) | Role::Observing(learner) if learner.is_on(chan) => {
                self.on_leader_packet(packet)
            }
            Role::Following(_) if self.is_for_observers(chan) => {
                self.on_observer_packet(chan, packet)
            }
            // Whoever elected us may come before we know that we are elected.
            Role::Resting | Role::Looking(_) => Ok(Done::NotYet),
            Role::Alone | Role::Following(_) | Role::Observing(_) => {
                Err(PeerFault("this server does not lead".into()))
            }
        }
    }

    fn is_for_observers(&self, chan: ChanId) -> bool {
        let link = self.peers.as_ref().and_then(|peers| peers.link(chan));
        link.is_some_and(|link| link.link == Link::ObserverMaster)
    }

    /// What could not be done before may be possible now.
    pub(super) fn work_off_held(&mut self) {
        let Some(peers) = &self.peers else { return };
        for chan in peers.held.clone() {
            self.work_off(chan);
        }
    }

    /// The other end has done something it must not, or too little for too long.
    pub(super) fn give_up(&mut self, chan: ChanId, fault: &PeerFault) {
        if self.is_one_stranger_more(chan) {
            // One line a second says it all.
        } else if let Some(link) = self.peers.as_ref().and_then(|peers| peers.link(chan)) {
            let what = match link.sid {
                Some(_) => fault.0.clone(),
                None => format!(
                    "the link from {}, which has not said who it is, is closed: {}",
                    link.addr, fault.0
                ),
            };
            self.note_fault(link.sid, what);
        }
        self.drop_link(chan);
        self.on_quorum_link_down(chan);
    }

    /// Is this the link of somebody unknown, and was another one's end told of less than a second ago?
    fn is_one_stranger_more(&mut self, chan: ChanId) -> bool {
        let now = self.now.mono;
        let Some(peers) = &mut self.peers else { return false };
        if peers.link(chan).is_none_or(|link| link.sid.is_some()) {
            return false;
        }
        let more = peers.stranger_at.is_some_and(|at| now.since(at) < STRANGERS_MS * 1000);
        if !more {
            peers.stranger_at = Some(now);
        }
        more
    }

    /// Links that learners opened and have said nothing on.
    pub(super) fn drop_silent_links(&mut self) {
        let Some(peers) = &self.peers else { return };
        let looking = matches!(self.role, Role::Resting | Role::Looking(_));
        let silent = |(chan, link): (&ChanId, &PeerLink)| {
            let old = self.now.mono.since(link.since) > GREETING_MS * 1000;
            (link.link != Link::Election && link.sid.is_none() && old && !looking).then_some(*chan)
        };
        let silent: Vec<ChanId> = peers.links.iter().filter_map(silent).collect();
        for chan in silent {
            self.drop_link(chan);
        }
    }

    /// Every quorum link is given up: the role it belonged to is over.
    pub(super) fn drop_quorum_links(&mut self, keep_unknown: bool) {
        let Some(peers) = &self.peers else { return };
        let theirs = |(chan, link): (&ChanId, &PeerLink)| {
            let of_role = match link.link {
                Link::Election => false,
                Link::Quorum => !(keep_unknown && link.sid.is_none()),
                Link::ObserverMaster => true,
            };
            of_role.then_some(*chan)
        };
        let all: Vec<ChanId> = peers.links.iter().filter_map(theirs).collect();
        for chan in all {
            self.drop_link(chan);
        }
    }

    /// Tells a server of a vote, if there is a link. Where that server does not read, what it has not been told yet is
    /// replaced: votes are answered with votes, and nobody may fill our memory by asking.
    pub(super) fn notify(&mut self, sid: Sid, notification: &Notification) {
        let most = self.config.limits.peer_budget / VOTES_SHARE;
        let Some(peers) = &mut self.peers else { return };
        let Some(chan) = peers.election_link(sid) else { return };
        let Some(link) = peers.links.get_mut(&chan) else { return };
        if link.unsent() <= most {
            return peers.write(chan, |out| encode_notification(notification, out));
        }
        link.owed.clear();
        encode_notification(notification, &mut link.owed);
        let since = *link.owed_since.get_or_insert(self.now.mono);
        if self.now.mono.since(since) > DEAF_MS * 1000 {
            // Perhaps nobody is there any more. A new link will tell.
            self.note_fault(Some(sid), "it has stopped reading votes".to_owned());
            self.drop_link(chan);
            self.effects.push(Effect::Connect { sid, link: Link::Election });
        }
    }
}
