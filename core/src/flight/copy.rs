//! A running server as the state to begin with.

use super::codec;
use super::format::{About, Record, put, put_head};
use super::recorder::Recorder;
use crate::server::Server;
use crate::time::Now;

/// A copy that is being made beside the server's running, like the live migration of a machine: slice by slice, then again
/// what has changed meanwhile, until so little is left that the rest is copied in one go. Its records are not those
/// of a [`Recorder`], and go to another file.
#[derive(Clone, Debug)]
pub struct Copy {
    /// What may be left for the end.
    enough: usize,
    /// Slices since everything was copied once.
    rounds: u32,
    slots: Vec<u8>,
}

/// How far a copy has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copying {
    /// There is more to do.
    More,
    /// [`Copy::finish`] can be called.
    Ready,
    /// The server has begun to read its disk again, or gets its leader's tree: nothing of the copy is worth anything.
    Lost,
}

/// Znodes that may be left for the end, at first.
const ENOUGH: usize = 256;
/// Slices after which twice as many may be left: a server that changes faster than it is copied is copied all the same.
const PATIENCE: u32 = 32;

impl Copy {
    /// Begins a file. `None` while the server reads its disk or gets its leader's tree: it has to be asked again.
    pub fn begin(server: &mut Server, seed: u64, now: Now, out: &mut Vec<u8>) -> Option<Self> {
        if !server.start_copy() {
            return None;
        }
        put_head(&About { sid: server.sid(), seed, begun: now }, out);
        Some(Self { enough: ENOUGH, rounds: 0, slots: Vec::new() })
    }

    /// Copies about `budget` bytes. May be called at any moment between two calls of the server.
    pub fn go_on(&mut self, server: &mut Server, budget: usize, out: &mut Vec<u8>) -> Copying {
        let Some((left, once)) = server.copy_left() else {
            server.end_copy();
            return Copying::Lost;
        };
        if once && left <= self.enough {
            return Copying::Ready;
        }
        self.rounds += u32::from(once);
        if self.rounds == PATIENCE {
            (self.enough, self.rounds) = (self.enough.saturating_mul(2), 0);
        }
        self.slice(server, budget, false, out);
        Copying::More
    }

    fn slice(&mut self, server: &mut Server, budget: usize, all: bool, out: &mut Vec<u8>) {
        let end = out.len().saturating_add(budget);
        while out.len() < end
            && let Some((number, block)) = server.copy_block(all)
        {
            put(&Record::Block(number, block), out);
        }
        self.slots.clear();
        while out.len().saturating_add(self.slots.len()) < end
            && let Some(slot) = server.copy_slot()
        {
            codec::encode(&slot, &mut self.slots);
        }
        if !self.slots.is_empty() {
            put(&Record::Slots(&self.slots), out);
        }
    }

    /// Completes the copy with what is left and everything that is no znode: what the server is at this moment. From here on
    /// every input and turn belongs behind it.
    pub fn finish(mut self, server: &mut Server, now: Now, out: &mut Vec<u8>) -> Recorder {
        self.slice(server, usize::MAX, true, out);
        server.end_copy();
        let mut rest = std::mem::take(&mut self.slots);
        rest.clear();
        codec::encode(&now, &mut rest);
        codec::encode(server.without_output(), &mut rest);
        put(&Record::Rest(&rest), out);
        Recorder::since(now)
    }

    /// Nobody wants it any more.
    pub fn give_up(self, server: &mut Server) {
        server.end_copy();
    }
}
