//! A flight recording as a trace: one lane, of the server that was recorded. What only others know is not in it.

use super::recorder::{Record, Traced};
use crate::device::{Op, Queue, device_op};
use crate::judge::{At, Judge, Peer, Verdict};
use std::collections::{BTreeMap, VecDeque};
use zoetrope_core::flight::{Replay, Step};
use zoetrope_core::{ChanId, ConnId, Effect, Input, Link, Server, Sid};

/// Judges nothing: what is recorded has happened.
struct Nobody;

impl Judge for Nobody {
    fn appended(&mut self, _: At, _: &[u8]) -> Verdict {
        Ok(())
    }
    fn opened(&mut self, _: At, _: ConnId, _: std::net::IpAddr) {}
    fn heard(&mut self, _: At, _: ConnId, _: &[u8]) -> Verdict {
        Ok(())
    }
    fn answered(&mut self, _: At, _: &[(ConnId, Vec<u8>)]) -> Verdict {
        Ok(())
    }
    fn closed(&mut self, _: At, _: ConnId, _: bool) -> Verdict {
        Ok(())
    }
    fn crashed(&mut self, _: At) {}
    fn serving(&mut self, _: At, _: &Server) -> Verdict {
        Ok(())
    }
    fn stalled(&mut self, _: At, _: u64) {}
    fn passed(&mut self, _: At, _: &Server) -> Verdict {
        Ok(())
    }
    fn room(&mut self, _: At, _: bool) {}
}

/// A link of which it is not known yet who is at the other end.
struct Stranger {
    link: Link,
    heard: Vec<u8>,
}

/// Tells a [`Record`] what a recording says.
pub struct FlightTrace<R> {
    told: Traced<Nobody, R>,
    sid: Sid,
    strangers: BTreeMap<ChanId, Stranger>,
    /// What devices were asked for and have not done.
    asked: BTreeMap<Queue, VecDeque<Op>>,
}

impl<R: Record> FlightTrace<R> {
    /// Of a recording whose state to begin with was just read.
    pub fn new(replay: &Replay<'_>, record: R) -> Self {
        let (told, sid) = (Traced::new(Nobody, record), replay.about().sid);
        let (strangers, asked) = (BTreeMap::new(), BTreeMap::new());
        let mut trace = Self { told, sid, strangers, asked };
        let at = trace.at(replay);
        // A judge that judges nothing has nothing against it, here and everywhere below.
        let _ = match replay.begins_with_the_process() {
            true => trace.told.booted(at),
            false => trace.told.turned(at, replay.server()),
        };
        trace
    }

    fn at(&self, replay: &Replay<'_>) -> At {
        At { now: replay.now().mono.0, sid: self.sid }
    }

    /// Tells what a step was.
    pub fn tell(&mut self, replay: &Replay<'_>, step: &Step<'_>) {
        let at = self.at(replay);
        match step {
            Step::Input(input) => self.input(at, input),
            Step::Turn => self.turn(at, replay),
            Step::Differs(then, now) => self.told.broken(
                at.now,
                &format!(
                    "the turn asked for {then:08x} when it was recorded, and asks for {now:08x} now"
                ),
            ),
            Step::Elsewhere(then, now) => {
                self.told.broken(
                    at.now,
                    &format!("it was {then:?} when it was recorded, and is {now:?} now"),
                );
            }
            Step::Same | Step::Checkpoint | Step::End(_) | Step::Cut(..) => {}
        }
    }

    fn input(&mut self, at: At, input: &Input<'_>) {
        match input {
            Input::Requests { conn, bytes } => {
                let mut rest = *bytes;
                while let Some((len, behind)) = rest.split_first_chunk::<4>() {
                    let len = u32::from_be_bytes(*len) as usize;
                    let Some(frame) = behind.get(..len) else { break };
                    let _ = self.told.heard(at, *conn, frame);
                    rest = &behind[len..];
                }
            }
            Input::Opened { conn, addr, .. } => self.told.opened(at, *conn, *addr),
            Input::Closed { conn } => {
                let _ = self.told.closed(at, *conn, false);
            }
            Input::PeerUp { sid, chan, link, .. } => {
                self.strangers.insert(*chan, Stranger { link: *link, heard: Vec::new() });
                if let Some(sid) = sid {
                    self.meet(at, *chan, *sid);
                }
            }
            Input::PeerFrames { chan, bytes } => match self.strangers.get_mut(chan) {
                Some(stranger) => stranger.heard.extend_from_slice(bytes),
                None => {
                    let _ = self.told.peer_heard(at, *chan, bytes);
                }
            },
            Input::PeerDown { chan } => {
                self.strangers.remove(chan);
                self.told.peer_down(at, *chan);
            }
            Input::NoRoom { .. } => {
                self.first(Queue::Room);
                self.told.room(at, true);
            }
            Input::SnapFailed => {
                self.asked.remove(&Queue::Snapshot);
            }
            done => self.done(at, done),
        }
    }

    /// The stranger says who he is.
    fn meet(&mut self, at: At, chan: ChanId, other: Sid) {
        let Some(stranger) = self.strangers.remove(&chan) else { return };
        // The other end has a number of its own, which nobody here knows.
        let far = ChanId(!chan.0);
        self.told.peer_up(at, Peer { chan, far, other, link: stranger.link, began: false });
        let _ = self.told.peer_heard(at, chan, &stranger.heard);
    }

    fn first(&mut self, queue: Queue) -> Option<Op> {
        self.asked.get_mut(&queue)?.pop_front()
    }

    /// A device has done the first of what it was asked for; the log everything up to an fsync.
    fn done(&mut self, at: At, done: &Input<'_>) {
        let (queue, last): (_, fn(&Op) -> bool) = match done {
            Input::Reserved { .. } => (Queue::Room, |op| matches!(op, Op::Reserve { .. })),
            Input::Durable { .. } => (Queue::Log, |op| matches!(op, Op::Fsync { .. })),
            Input::EpochsDurable { .. } => (Queue::Epochs, |_| true),
            Input::SnapWritten { .. } | Input::SnapDurable { .. } => {
                (Queue::Snapshot, |op| !matches!(op, Op::Remove { .. }))
            }
            _ => return,
        };
        while let Some(op) = self.first(queue) {
            let _ = self.told.performed(at, &op);
            if last(&op) {
                break;
            }
        }
    }

    fn turn(&mut self, at: At, replay: &Replay<'_>) {
        let known: Vec<(ChanId, Sid)> = self
            .strangers
            .keys()
            .filter_map(|chan| Some((*chan, replay.server().peer_of(*chan)?)))
            .collect();
        for (chan, sid) in known {
            self.meet(at, chan, sid);
        }
        let turn = replay.turn();
        let mut replies = Vec::new();
        for effect in turn.effects() {
            if let Some((queue, op)) = device_op(effect, &turn) {
                let _ = self.told.submitted(at, &op);
                self.asked.entry(queue).or_default().push_back(op);
                continue;
            }
            match *effect {
                Effect::Reply { conn } => replies.push((conn, turn.reply(conn).to_vec())),
                Effect::SendPeer { chan, bytes } => {
                    let _ = self.told.peer_sent(at, chan, turn.bytes(bytes));
                }
                Effect::Report(milestone) => self.told.reported(at, &milestone, &turn),
                Effect::Disconnect { chan } => self.told.peer_down(at, chan),
                _ => {}
            }
        }
        let _ = self.told.answered(at, &replies);
        for effect in turn.effects() {
            if let Effect::Close { conn } = effect {
                let _ = self.told.closed(at, *conn, true);
            }
        }
        let _ = self.told.turned(at, replay.server());
    }
}
