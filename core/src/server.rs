//! The door: absorb facts, collect effects. Routes; decides nothing.

use crate::config::Config;
use crate::effect::{Effect, FileId, FilePlace, Span};
use crate::ids::{ConnId, SessionId, Zxid};
use crate::input::Input;
use crate::status::{ConnStatus, SessionStatus, Status};
use crate::time::Now;

/// What stands in the data directories when a server starts.
#[derive(Clone, Default, Debug)]
pub struct Listing {
    /// Every file of both directories (once, if they are the same) with its length.
    pub files: Vec<(FilePlace, u64)>,
    /// `dataDir` and `dataLogDir` are the same.
    pub same_dir: bool,
}

/// A ZooKeeper server as a value.
#[derive(Clone, Debug)]
pub struct Server {
    #[allow(dead_code)]
    config: Config,
    files: Vec<FilePlace>,
    effects: Vec<Effect>,
}

/// What a server asks for in one turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    server: &'a Server,
}

impl<'a> Turn<'a> {
    /// The effects, in order.
    pub fn effects(&self) -> &'a [Effect] {
        &self.server.effects
    }

    /// The bytes of a span of these effects.
    pub fn bytes(&self, _span: Span) -> &'a [u8] {
        &[]
    }

    /// What [`Effect::Reply`] of this turn sends to `conn`.
    pub fn reply(&self, _conn: ConnId) -> &'a [u8] {
        &[]
    }

    /// Where a file is.
    pub fn place(&self, file: FileId) -> &'a FilePlace {
        &self.server.files[file.0 as usize]
    }

    /// Why the server has stopped for good, with file, offset and remedy.
    pub fn halted(&self) -> Option<&'a str> {
        None
    }
}

impl Server {
    /// A server that begins to recover from the files of `listing`. `seed` is its only source of chance.
    pub fn new(config: Config, _seed: u64, _now: Now, listing: Listing) -> Self {
        let files = listing.files.into_iter().map(|(place, _)| place).collect();
        Self { config, files, effects: Vec::new() }
    }

    /// Absorbs one fact.
    pub fn input(&mut self, _now: Now, _input: &Input<'_>) {}

    /// Ends a turn: collects what there is to do. Spans and replies stay valid until the next call.
    pub fn effects(&mut self, _now: Now) -> Turn<'_> {
        Turn { server: self }
    }

    /// The server at a glance.
    pub fn status(&self) -> Status {
        unreachable!("replaced with the next commit")
    }

    /// Client connections, oldest first.
    pub fn connections(&self) -> impl Iterator<Item = ConnStatus> + '_ {
        std::iter::empty()
    }

    /// Sessions by id.
    pub fn sessions(&self) -> impl Iterator<Item = SessionStatus> + '_ {
        std::iter::empty()
    }

    /// Sessions that own ephemerals, with their paths.
    pub fn ephemerals(&self) -> impl Iterator<Item = (SessionId, Vec<String>)> + '_ {
        std::iter::empty()
    }

    /// The data-watch table (`wchp`): path, and the connections that watch it.
    pub fn data_watches(&self) -> impl Iterator<Item = (String, Vec<ConnId>)> + '_ {
        std::iter::empty()
    }

    /// Digests kept every 128 zxids (`hash`), oldest first.
    pub fn digests(&self) -> impl Iterator<Item = (Zxid, u64)> + '_ {
        std::iter::empty()
    }
}
