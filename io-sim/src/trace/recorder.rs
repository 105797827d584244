//! The observer: a judge that passes everything on to another one, and notes it.

use super::client::{Frames, Side};
use super::event::{DiskOp, Event, Lane, Message, What};
use super::link::{Stream, name_of};
use super::state::{State, Watched};
use crate::device::Op;
use crate::disk::Keep;
use crate::judge::{At, Judge, Left, Peer, Verdict};
use crate::role::{Role, role_of};
use crate::scenario::{Fault, Step};
use std::collections::BTreeMap;
use std::net::IpAddr;
use zoetrope_core::wire::PacketKind;
use zoetrope_core::{ChanId, ConnId, FileId, Milestone, Server, Sid, Turn};

/// Whoever wants to know what happens.
pub trait Record {
    /// Something happened.
    fn record(&mut self, event: Event);
    /// A server has become that.
    fn state(&mut self, _at: At, _state: &State) {}
}

impl Record for Vec<Event> {
    fn record(&mut self, event: Event) {
        self.push(event);
    }
}

/// A judge that is watched.
#[derive(Clone, Debug)]
pub struct Traced<J, R> {
    /// The judge.
    pub judge: J,
    /// Who notes what happens.
    pub record: R,
    frames: Frames,
    /// What each end of a link sends and hears.
    streams: BTreeMap<(Sid, ChanId), (Stream, Stream)>,
    roles: BTreeMap<Sid, Role>,
    states: BTreeMap<Sid, Watched>,
}

impl<J, R: Record> Traced<J, R> {
    /// Watches a judge.
    pub fn new(judge: J, record: R) -> Self {
        let (frames, streams) = (Frames::default(), BTreeMap::new());
        Self { judge, record, frames, streams, roles: BTreeMap::new(), states: BTreeMap::new() }
    }

    fn note(&mut self, now: u64, lane: Lane, what: What) {
        self.record.record(Event { now, lane, what });
    }

    fn at(&mut self, at: At, what: What) {
        self.note(at.now, Lane::Server(at.sid), what);
    }

    /// Something has happened to a server's state.
    fn becomes(&mut self, at: At, how: impl FnOnce(&mut Watched)) {
        let watched = self.states.entry(at.sid).or_default();
        how(watched);
        if let Some(state) = watched.news() {
            self.record.state(at, &state);
        }
    }

    fn packets(&mut self, at: At, chan: ChanId, bytes: &[u8], sent: bool) {
        let Some((sends, hears)) = self.streams.get_mut(&(at.sid, chan)) else { return };
        let (stream, what): (_, fn(Message) -> What) =
            if sent { (sends, What::Sent) } else { (hears, What::Heard) };
        for message in stream.feed(bytes) {
            self.record.record(Event {
                now: at.now,
                lane: Lane::Server(at.sid),
                what: what(message),
            });
        }
    }
}

/// A milestone in words, with the names of files.
fn in_words(milestone: &Milestone, turn: &Turn<'_>) -> String {
    let name = |file: FileId| turn.place(file).name.clone();
    match milestone {
        Milestone::SnapshotSkipped { file } => format!("snapshot {} cannot be used", name(*file)),
        Milestone::Recovered { snapshot, replayed, zxid } => {
            let snapshot = snapshot.map_or_else(|| "nothing".to_owned(), name);
            format!("recovered {zxid} from {snapshot} and {replayed} records")
        }
        Milestone::TornTail { file, at } => {
            format!("{} ends in a torn record at {at}", name(*file))
        }
        Milestone::EmptyLogRemoved { file } => format!("removed {}, which was empty", name(*file)),
        Milestone::Purged { file } => format!("{} is no longer needed", name(*file)),
        Milestone::PeerFault { number } => {
            let (sid, why) = turn.fault(*number);
            sid.map_or_else(|| format!("gave up: {why}"), |sid| format!("gave {sid} up: {why}"))
        }
        Milestone::Serving { zxid } => format!("serves, at {zxid}"),
        Milestone::ServingReadOnly { zxid } => format!("serves read-only, at {zxid}"),
        Milestone::SnapshotStarted { zxid } => format!("begins a snapshot at {zxid}"),
        Milestone::SnapshotTaken { zxid, bytes } => format!("has snapshot {zxid} of {bytes} bytes"),
        Milestone::SnapshotFailed { zxid } => format!("could not write snapshot {zxid}"),
        Milestone::DigestMismatch { zxid } => format!("finds another digest at {zxid}"),
        Milestone::RoleChanged { state } => format!("is {state:?}"),
        Milestone::SyncStarted { sid, branch, zxid } => {
            format!("brings {sid} level by {branch:?}, up to {zxid}")
        }
        Milestone::SyncBegun { kind, zxid } => {
            let kind = PacketKind::from_number(*kind);
            format!("is brought level by {}, from {zxid}", kind.map_or("?", name_of))
        }
        Milestone::LearnerServes { sid } => format!("has {sid} level"),
        Milestone::SessionOpened { session, .. } => format!("opens session {session}"),
        Milestone::LocalSessionOpened { session, .. } => format!("opens local session {session}"),
        Milestone::SessionResumed { session, .. } => format!("resumes session {session}"),
        Milestone::SessionRefused { session, why } => format!("refuses session {session}: {why:?}"),
        Milestone::SessionExpired { session } => format!("expires session {session}"),
        Milestone::SessionClosed { session } => format!("closes session {session}"),
        other => format!("{other:?}"),
    }
}

impl<J: Judge, R: Record> Judge for Traced<J, R> {
    fn appended(&mut self, at: At, records: &[u8]) -> Verdict {
        self.judge.appended(at, records)
    }

    fn opened(&mut self, at: At, conn: ConnId, addr: IpAddr) {
        self.judge.opened(at, conn, addr);
    }

    fn heard(&mut self, at: At, conn: ConnId, frame: &[u8]) -> Verdict {
        let seen = self.frames.frame(conn, Side::Takes, frame);
        self.at(at, What::Takes(seen));
        self.judge.heard(at, conn, frame)
    }

    fn answered(&mut self, at: At, replies: &[(ConnId, Vec<u8>)]) -> Verdict {
        for (conn, bytes) in replies {
            for frame in self.frames.stream(*conn, Side::Answers, bytes) {
                self.at(at, What::Answers(frame));
            }
        }
        self.judge.answered(at, replies)
    }

    fn closed(&mut self, at: At, conn: ConnId, by_server: bool) -> Verdict {
        self.at(at, What::Closed { conn, by_server });
        self.judge.closed(at, conn, by_server)
    }

    fn crashed(&mut self, at: At) {
        self.streams.retain(|(sid, _), _| *sid != at.sid);
        self.roles.remove(&at.sid);
        self.at(at, What::Gone);
        self.becomes(at, Watched::gone);
        self.judge.crashed(at);
    }

    fn serving(&mut self, at: At, server: &Server) -> Verdict {
        self.judge.serving(at, server)
    }

    fn stalled(&mut self, at: At, us: u64) {
        self.at(at, What::Stalled(us));
        self.judge.stalled(at, us);
    }

    fn passed(&mut self, at: At, server: &Server) -> Verdict {
        self.judge.passed(at, server)
    }

    fn room(&mut self, at: At, full: bool) {
        self.at(at, What::Room { full });
        self.judge.room(at, full);
    }

    fn submitted(&mut self, at: At, op: &Op) -> Verdict {
        self.at(at, What::Asked(DiskOp::of(op)));
        self.judge.submitted(at, op)
    }

    fn performed(&mut self, at: At, op: &Op) -> Verdict {
        self.at(at, What::Done(DiskOp::of(op)));
        self.becomes(at, |watched| watched.performed(op));
        self.judge.performed(at, op)
    }

    fn left(&mut self, at: At, left: Left<'_>) -> Verdict {
        self.becomes(at, |watched| watched.left(&left));
        self.judge.left(at, left)
    }

    fn booted(&mut self, at: At) -> Verdict {
        self.at(at, What::Booted);
        self.judge.booted(at)
    }

    fn peer_up(&mut self, at: At, peer: Peer) {
        self.streams.insert((at.sid, peer.chan), Stream::pair(&peer));
        self.at(at, What::LinkUp { chan: peer.chan, other: peer.other, link: peer.link });
        self.judge.peer_up(at, peer);
    }

    fn peer_sent(&mut self, at: At, chan: ChanId, bytes: &[u8]) -> Verdict {
        self.packets(at, chan, bytes, true);
        self.judge.peer_sent(at, chan, bytes)
    }

    fn peer_heard(&mut self, at: At, chan: ChanId, bytes: &[u8]) -> Verdict {
        self.packets(at, chan, bytes, false);
        self.judge.peer_heard(at, chan, bytes)
    }

    fn peer_down(&mut self, at: At, chan: ChanId) {
        if let Some((stream, _)) = self.streams.remove(&(at.sid, chan)) {
            let (other, link) = stream.about();
            self.at(at, What::LinkDown { chan, other, link });
        }
        self.judge.peer_down(at, chan);
    }

    fn turned(&mut self, at: At, server: &Server) -> Verdict {
        let role = role_of(server);
        if self.roles.insert(at.sid, role) != Some(role) {
            self.at(at, What::Role { role, zxid: server.zxid_applied() });
        }
        self.becomes(at, |watched| watched.turned(role, server));
        self.judge.turned(at, server)
    }

    // What no judge is told.

    fn watches_everything(&self) -> bool {
        true
    }

    fn begins(&mut self, now: u64, step: &Step) {
        self.note(now, Lane::World, What::Step(step.clone()));
    }

    fn harmed(&mut self, at: At, fault: &Fault) {
        self.at(at, What::Fault(fault.clone()));
    }

    fn mended(&mut self, now: u64, what: &'static str) {
        self.note(now, Lane::World, What::Mended(what));
    }

    fn power_lost(&mut self, at: At, keep: Keep) {
        self.at(at, What::PowerLost(keep));
    }

    fn reported(&mut self, at: At, milestone: &Milestone, turn: &Turn<'_>) {
        self.at(at, What::Reported(in_words(milestone, turn)));
        if let Milestone::Recovered { zxid, .. } = milestone {
            self.becomes(at, |watched| watched.recovered(*zxid));
        }
    }

    fn connects(&mut self, at: At, client: usize, conn: ConnId) {
        self.note(at.now, Lane::Client(client), What::Connects(conn, at.sid));
    }

    fn asks(&mut self, now: u64, client: usize, conn: ConnId, bytes: &[u8]) {
        for frame in self.frames.stream(conn, Side::Asks, bytes) {
            self.note(now, Lane::Client(client), What::Asks(frame));
        }
    }

    fn gets(&mut self, now: u64, client: usize, conn: ConnId, bytes: &[u8]) {
        for frame in self.frames.stream(conn, Side::Gets, bytes) {
            self.note(now, Lane::Client(client), What::Gets(frame));
        }
    }

    fn broken(&mut self, now: u64, violation: &str) {
        self.note(now, Lane::World, What::Violation(violation.to_owned()));
    }
}
