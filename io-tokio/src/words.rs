//! The seams to whoever formats and logs: four-letter words are answered and milestones told between turns, never
//! inside the core.

use crate::settings::Settings;
use std::time::Duration;
use zoetrope_core::{Command, ConnId, Input, Milestone, Now, Server, Summary, Turn};

/// What the driver itself has counted.
#[derive(Clone, Default, Debug)]
pub struct DriverFigures {
    /// Connections closed at once because of `maxClientCnxns` or `maxCnxns`.
    pub rejected: u64,
    /// Sockets open now, four-letter words included.
    pub open: u64,
    /// fsyncs of the log, µs.
    pub fsync_us: Summary,
    /// Those slower than `fsync.warningthresholdms`.
    pub slow_fsyncs: u64,
    /// Time since the server serves.
    pub uptime: Duration,
}

/// What a four-letter word may look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The core.
    pub server: &'a Server,
    /// Settings of the run.
    pub settings: &'a Settings,
    /// Figures of the driver.
    pub figures: &'a DriverFigures,
    /// Port in use.
    pub client_addr: Option<std::net::SocketAddr>,
    /// Now.
    pub now: Now,
    /// The connection that asks.
    pub asking: ConnId,
    /// Where it comes from.
    pub peer: std::net::SocketAddr,
}

/// Answers four-letter words.
pub trait Words {
    /// Bytes of argument that follow the word; `None` when it is no word.
    fn argument_len(&self, word: [u8; 4]) -> Option<usize>;

    /// Appends the answer. May ask for something to be done.
    fn answer(
        &mut self,
        word: [u8; 4],
        argument: &[u8],
        view: &View<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Command>;
}

/// Is told what happens.
pub trait Observer {
    /// The client port is open.
    fn listening(&mut self, addr: std::net::SocketAddr);

    /// The core reported something; file places are in `turn`.
    fn milestone(&mut self, milestone: Milestone, turn: &Turn<'_>);

    /// A fact is about to enter the core.
    fn input(&mut self, _server: &Server, _input: &Input<'_>) {}

    /// A turn is over; its effects are about to be carried out.
    fn turn(&mut self, _turn: &Turn<'_>) {}
}
