//! Everything that happens in a run, as columns of small numbers.

use super::pairs::{Pairs, Place, Text, Way};
use super::tracks::{ClientTrack, ROLES, ServerTrack, ranked};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use zoetrope_core::{ConnId, Sid};
use zoetrope_io_sim::{At, Event, Fault, Lane, Message, Record, State, What};

/// Names of the kinds of events, by the number that stands for each.
const KINDS: [&str; 23] = [
    "step",
    "fault",
    "mended",
    "power lost",
    "process gone",
    "process starts",
    "stalled",
    "disk room",
    "role",
    "report",
    "disk asked",
    "disk done",
    "link up",
    "link down",
    "sent",
    "heard",
    "connects",
    "closed",
    "asks",
    "takes",
    "answers",
    "gets",
    "violation",
];

fn number(what: &What) -> u8 {
    match what {
        What::Step(_) => 0,
        What::Fault(_) => 1,
        What::Mended(_) => 2,
        What::PowerLost(_) => 3,
        What::Gone => 4,
        What::Booted => 5,
        What::Stalled(_) => 6,
        What::Room { .. } => 7,
        What::Role { .. } => 8,
        What::Reported(_) => 9,
        What::Asked(_) => 10,
        What::Done(_) => 11,
        What::LinkUp { .. } => 12,
        What::LinkDown { .. } => 13,
        What::Sent(_) => 14,
        What::Heard(_) => 15,
        What::Connects(..) => 16,
        What::Closed { .. } => 17,
        What::Asks(_) => 18,
        What::Takes(_) => 19,
        What::Answers(_) => 20,
        What::Gets(_) => 21,
        What::Violation(_) => 22,
    }
}

/// One column per property. Where an event stands for another one, the distance between both is written, 0 for none.
#[derive(Default, Debug, Serialize)]
struct Columns {
    /// µs since the event before.
    time: Vec<u64>,
    lane: Vec<usize>,
    kind: Vec<u8>,
    text: Vec<Text>,
    /// The other end of the same thing.
    pair: Vec<i64>,
    /// The request an answer is for.
    cause: Vec<i64>,
    /// Lane of the other one, and 1; 0: nobody.
    other: Vec<usize>,
    /// µs that it lasted until now.
    lasted: BTreeMap<Place, u64>,
}

/// What a page is made of.
#[derive(Debug, Serialize)]
pub struct Reel {
    kinds: Vec<&'static str>,
    roles: Vec<&'static str>,
    lanes: Vec<String>,
    texts: Vec<String>,
    zxids: Vec<String>,
    events: Columns,
    servers: Vec<ServerTrack>,
    clients: Vec<ClientTrack>,
}

#[derive(Default, Debug)]
struct Taken {
    from: u64,
    last: u64,
    lanes: Vec<Lane>,
    places: BTreeMap<Lane, usize>,
    texts: BTreeMap<String, Text>,
    events: Columns,
    pairs: Pairs,
    servers: BTreeMap<usize, ServerTrack>,
    clients: BTreeMap<usize, ClientTrack>,
    /// Whose connection it is: the lane of a client.
    conns: BTreeMap<ConnId, usize>,
}

/// Notes everything for a page.
#[derive(Clone, Default, Debug)]
pub struct Film(Arc<Mutex<Taken>>);

impl Film {
    /// Notes what happens from that simulated time on, µs.
    pub fn new(from: u64) -> Self {
        Self(Arc::new(Mutex::new(Taken { from, ..Taken::default() })))
    }

    /// What a panic of the core says, which nobody else tells.
    pub fn crashed(&self, text: &str) {
        let mut taken = self.lock();
        let now = taken.last;
        let what = What::Violation(text.to_owned());
        taken.event(&Event { now, lane: Lane::World, what });
    }

    /// How many events it has.
    pub fn len(&self) -> usize {
        self.lock().events.kind.len()
    }

    /// Has nothing happened?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was noted. The film is empty then.
    pub fn develop(&self) -> Reel {
        std::mem::take(&mut *self.lock()).develop()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // A run that panics may leave it locked for good only where it panics in here.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Record for Film {
    fn record(&mut self, event: Event) {
        self.lock().event(&event);
    }

    fn state(&mut self, at: At, state: &State) {
        let mut taken = self.lock();
        // It became so by the event before.
        let place = taken.events.kind.len().saturating_sub(1);
        let lane = taken.lane(Lane::Server(at.sid));
        let fresh = || ServerTrack::new(lane);
        taken.servers.entry(lane).or_insert_with(fresh).push(place, state);
    }
}

impl Taken {
    fn lane(&mut self, lane: Lane) -> usize {
        *self.places.entry(lane).or_insert_with(|| {
            self.lanes.push(lane);
            self.lanes.len() - 1
        })
    }

    fn text(&mut self, text: String) -> Text {
        let next = self.texts.len() as Text;
        *self.texts.entry(text).or_insert(next)
    }

    fn server(&mut self, sid: Sid) -> usize {
        self.lane(Lane::Server(sid))
    }

    fn event(&mut self, event: &Event) {
        let (lane, place) = (self.lane(whose(event)), self.events.kind.len());
        let text = self.text(text_of(&event.what));
        self.life(lane, place, &event.what, text);
        if event.now < self.from {
            return;
        }
        let since = if place == 0 { 0 } else { self.last };
        self.last = event.now;
        let (other, pair, cause) = self.ends(lane, place, &event.what, text);
        let back = |other: Option<Place>| other.map_or(0, |other| other as i64 - place as i64);
        let events = &mut self.events;
        if let Some(begin) = pair {
            events.pair[begin] = (place - begin) as i64;
        }
        if let What::Stalled(us) = event.what {
            events.lasted.insert(place, us);
        }
        events.time.push(event.now - since);
        events.lane.push(lane);
        events.kind.push(number(&event.what));
        events.text.push(text);
        events.pair.push(back(pair));
        events.cause.push(back(cause));
        events.other.push(other.map_or(0, |lane| lane + 1));
    }

    /// Whom it is sent to or comes from, where its other end is, and the request it answers.
    fn ends(
        &mut self,
        lane: usize,
        place: Place,
        what: &What,
        text: Text,
    ) -> (Option<usize>, Option<Place>, Option<Place>) {
        match what {
            What::Sent(Message { from, number, other, .. }) => {
                self.pairs.sent(*from, *number, text, place);
                (Some(self.server(*other)), None, None)
            }
            What::Heard(Message { from, number, other, .. }) => {
                let sent = self.pairs.heard(*from, *number, text);
                (Some(self.server(*other)), sent, None)
            }
            What::LinkUp { other, .. } | What::LinkDown { other, .. } => {
                (Some(self.server(*other)), None, None)
            }
            What::Connects(_, sid) => (Some(self.server(*sid)), None, None),
            What::Asks(frame) => {
                self.pairs.leaves(frame.conn, Way::Request, frame.number, place);
                let client = self.clients.get(&lane);
                (client.and_then(ClientTrack::server_lane), None, None)
            }
            What::Takes(frame) => {
                let asked = self.pairs.arrives(frame.conn, Way::Request, frame.number);
                self.pairs.taken(frame.conn, frame.xid, place);
                (self.conns.get(&frame.conn).copied(), asked, None)
            }
            What::Answers(frame) => {
                self.pairs.leaves(frame.conn, Way::Answer, frame.number, place);
                let cause = self.pairs.answered(frame.conn, frame.xid);
                (self.conns.get(&frame.conn).copied(), None, cause)
            }
            What::Gets(frame) => {
                let said = self.pairs.arrives(frame.conn, Way::Answer, frame.number);
                let cause = self.pairs.answered(frame.conn, frame.xid);
                (self.clients.get(&lane).and_then(ClientTrack::server_lane), said, cause)
            }
            What::Asked(_) => {
                self.pairs.asked(lane, text, place);
                (None, None, None)
            }
            What::Done(_) => (None, self.pairs.done(lane, text), None),
            _ => (None, None, None),
        }
    }

    /// What changes for longer than a moment; also before the first event that is kept.
    fn life(&mut self, lane: usize, place: Place, what: &What, text: Text) {
        match what {
            What::Connects(conn, sid) => {
                let server = self.server(*sid);
                self.conns.insert(*conn, lane);
                let fresh = || ClientTrack::new(lane);
                self.clients.entry(lane).or_insert_with(fresh).connects(place, *conn, server);
            }
            What::Gets(frame) if frame.number == 0 => {
                if let Some(client) = self.clients.get_mut(&lane) {
                    client.has_session(place, frame.conn, text);
                }
            }
            What::Closed { conn, .. } => {
                let client = self.conns.get(conn).and_then(|lane| self.clients.get_mut(lane));
                if let Some(client) = client {
                    client.closed(place, *conn);
                }
            }
            What::Gone => self.pairs.gone(lane),
            _ => {}
        }
    }

    fn develop(mut self) -> Reel {
        let mut servers: Vec<ServerTrack> = self.servers.into_values().collect();
        let zxids = ranked(&mut servers);
        let mut texts: Vec<(Text, String)> =
            self.texts.into_iter().map(|(text, number)| (number, text)).collect();
        texts.sort_unstable();
        if self.events.kind.is_empty() {
            self.lanes.clear();
        }
        Reel {
            kinds: KINDS.to_vec(),
            roles: ROLES.to_vec(),
            lanes: self.lanes.iter().map(Lane::to_string).collect(),
            texts: texts.into_iter().map(|(_, text)| text).collect(),
            zxids,
            events: self.events,
            servers,
            clients: self.clients.into_values().collect(),
        }
    }
}

/// Faults of the network or of everybody stand with the run, whichever server they were drawn for.
fn whose(event: &Event) -> Lane {
    match &event.what {
        What::Fault(
            Fault::Disconnect
            | Fault::RestartAll { .. }
            | Fault::RollingRestart { .. }
            | Fault::Partition { .. }
            | Fault::Heal
            | Fault::OneWay { .. }
            | Fault::Clog { .. }
            | Fault::SlowLink { .. }
            | Fault::Churn
            | Fault::HalfOpen { .. }
            | Fault::StaleVotes { .. }
            | Fault::Corrupt { .. },
        ) => Lane::World,
        _ => event.lane,
    }
}

/// A step or a fault as scenario files write it, without their quotes and braces.
fn written(value: &impl Serialize) -> String {
    let Ok(json) = serde_json::to_string(value) else { return String::new() };
    let plain = json.trim_matches(['{', '}']).replace('"', "");
    plain.replace(":{", " { ").replace(':', " ").replace(',', ", ").replace('}', " }")
}

/// The same text for both ends, so that one can be found by the other.
fn text_of(what: &What) -> String {
    match what {
        What::Sent(message) | What::Heard(message) => {
            let zxid = message.zxid.map_or_else(String::new, |zxid| format!(" {zxid}"));
            let detail = if message.detail.is_empty() { "" } else { ", " };
            format!("{}{zxid}{detail}{}", message.name, message.detail)
        }
        What::Asked(op) | What::Done(op) => op.to_string(),
        What::Asks(frame) | What::Takes(frame) | What::Answers(frame) | What::Gets(frame) => {
            frame.text.clone()
        }
        What::Violation(text) => text.clone(),
        What::Step(step) => written(step),
        What::Fault(fault) => written(fault),
        other => other.to_string(),
    }
}
