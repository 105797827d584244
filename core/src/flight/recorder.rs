//! Inputs and turns as records.

use super::codec;
use super::format::{About, End, Moment, Record, put, put_head};
use crate::config::Config;
use crate::effect::Effect;
use crate::input::Input;
use crate::server::{Listing, Server, Turn};
use crate::time::Now;

/// Turns from one checkpoint to the next.
const CHECKPOINT_EVERY: u32 = 64;

/// Makes the records of one file, in order, behind the state it begins with. The caller appends them to the file as they
/// come.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// The moment of the last record.
    last: Now,
    turns: u32,
    scratch: Vec<u8>,
}

impl Recorder {
    /// Begins a file with a server that is made of these now (see [`Server::new`]).
    pub fn born(
        config: &Config,
        seed: u64,
        now: Now,
        listing: &Listing,
        out: &mut Vec<u8>,
    ) -> Self {
        put_head(&About { sid: config.sid, seed, begun: now }, out);
        let (config, listing) = (Box::new(config.clone()), listing.clone());
        put(&Record::Born { config, now, listing }, out);
        Self::since(now)
    }

    /// Behind a state that was complete at `now`.
    pub(super) fn since(now: Now) -> Self {
        Self { last: now, turns: 0, scratch: Vec::new() }
    }

    fn moment(&mut self, now: Now) -> Moment {
        let moment = Moment::new(now, self.last);
        self.last = now;
        moment
    }

    /// To be called before [`Server::input`], so that an input that makes the core panic is recorded as well.
    pub fn input(&mut self, now: Now, input: &Input<'_>, out: &mut Vec<u8>) {
        let moment = self.moment(now);
        put(&Record::Input(moment, input.clone()), out);
    }

    /// To be called before [`Server::effects`], for the same reason.
    pub fn turn_begins(&mut self, now: Now, out: &mut Vec<u8>) {
        let moment = self.moment(now);
        put(&Record::Turn(moment), out);
    }

    /// To be called with what [`Server::effects`] answered.
    pub fn turn_ends(&mut self, turn: &Turn<'_>, out: &mut Vec<u8>) {
        put(&Record::Did(digest(turn, &mut self.scratch)), out);
        self.turns += 1;
        if self.turns == CHECKPOINT_EVERY {
            self.turns = 0;
            put(&Record::Checkpoint(Box::new(turn.server().checkpoint())), out);
        }
    }

    /// The last record of a file; before [`Copy::finish`](super::Copy::finish) where another one goes on.
    pub fn end(server: &Server, why: End, out: &mut Vec<u8>) {
        put(&Record::Checkpoint(Box::new(server.checkpoint())), out);
        put(&Record::End(why), out);
    }

    /// The last record of a file of whose server nothing is known any more.
    pub fn end_in_gap(out: &mut Vec<u8>) {
        put(&Record::End(End::Gap), out);
    }
}

/// CRC-32 over everything that a turn asks for.
pub(super) fn digest(turn: &Turn<'_>, scratch: &mut Vec<u8>) -> u32 {
    scratch.clear();
    codec::encode(&turn.effects(), scratch);
    codec::encode(&turn.faults(), scratch);
    codec::encode(&turn.halted(), scratch);
    let mut sum = crc32fast::Hasher::new();
    sum.update(scratch);
    sum.update(turn.all_bytes());
    for effect in turn.effects() {
        if let Effect::Reply { conn } = effect {
            sum.update(turn.reply(*conn));
        }
    }
    sum.finalize()
}
