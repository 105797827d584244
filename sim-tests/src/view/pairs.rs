//! Which events belong together: two ends of a message, a disk's order and its end, a request and its answer.

use std::collections::{BTreeMap, VecDeque};
use zoetrope_core::{ChanId, ConnId};

/// A place in the list of events.
pub(super) type Place = usize;
/// A text of the run, by its number.
pub(super) type Text = u32;

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Way {
    Request,
    Answer,
}

/// What has begun and may have another end.
#[derive(Default, Debug)]
pub(super) struct Pairs {
    messages: BTreeMap<ChanId, VecDeque<(u64, Text, Place)>>,
    frames: BTreeMap<(ConnId, Way, u64), Place>,
    requests: BTreeMap<(ConnId, i32), Place>,
    disk: BTreeMap<(usize, Text), VecDeque<Place>>,
}

impl Pairs {
    /// A message leaves.
    pub(super) fn sent(&mut self, from: ChanId, number: u64, text: Text, place: Place) {
        self.messages.entry(from).or_default().push_back((number, text, place));
    }

    /// A message arrives; where it left. Numbers are of no use behind old votes that were heard again, so the first that
    /// says the same is taken then.
    pub(super) fn heard(&mut self, from: ChanId, number: u64, text: Text) -> Option<Place> {
        let waiting = self.messages.get_mut(&from)?;
        let exact = waiting.iter().position(|(n, said, _)| (*n, *said) == (number, text));
        let found = exact.or_else(|| waiting.iter().position(|(_, said, _)| *said == text))?;
        waiting.remove(found).map(|(_, _, place)| place)
    }

    /// A frame leaves.
    pub(super) fn leaves(&mut self, conn: ConnId, way: Way, number: u64, place: Place) {
        self.frames.insert((conn, way, number), place);
    }

    /// A frame arrives; where it left.
    pub(super) fn arrives(&mut self, conn: ConnId, way: Way, number: u64) -> Option<Place> {
        self.frames.remove(&(conn, way, number))
    }

    /// A server takes a request in.
    pub(super) fn taken(&mut self, conn: ConnId, xid: i32, place: Place) {
        self.requests.insert((conn, xid), place);
    }

    /// The request that an answer is for.
    pub(super) fn answered(&mut self, conn: ConnId, xid: i32) -> Option<Place> {
        self.requests.get(&(conn, xid)).copied()
    }

    /// A device is asked for something.
    pub(super) fn asked(&mut self, lane: usize, text: Text, place: Place) {
        self.disk.entry((lane, text)).or_default().push_back(place);
    }

    /// A device has done something; when it was asked.
    pub(super) fn done(&mut self, lane: usize, text: Text) -> Option<Place> {
        self.disk.get_mut(&(lane, text))?.pop_front()
    }

    /// A process is gone: its devices do nothing more for it.
    pub(super) fn gone(&mut self, lane: usize) {
        self.disk.retain(|(there, _), _| *there != lane);
    }
}
