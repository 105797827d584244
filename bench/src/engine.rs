//! N connections with M requests in flight each, driven by one thread through epoll.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::histogram::Histogram;
use crate::wire::{self, Op};

/// The session timeout asked for; a busy session needs no pings.
const SESSION_TIMEOUT_MS: i32 = 30_000;

/// How long requests in flight may take to be answered when nothing more is sent.
const DRAIN: Duration = Duration::from_secs(60);

/// What the connections send.
pub(crate) trait Workload {
    /// Appends the next request of a connection, or tells that there is none left.
    fn next(&mut self, conn: usize, xid: i32, out: &mut Vec<u8>) -> bool;
}

struct Conn {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    waiting: bool,
    /// When each request in flight was handed to the socket, oldest first.
    flight: VecDeque<(i32, u64)>,
    xid: i32,
}

/// What was answered since the last look.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub(crate) latency: Histogram,
    pub(crate) errors: u64,
    pub(crate) last_error: i32,
}

impl Counts {
    fn new() -> Self {
        Self { latency: Histogram::new(), errors: 0, last_error: 0 }
    }
}

/// The connections of one load.
pub(crate) struct Engine {
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    started: Instant,
    chunk: Vec<u8>,
    pub(crate) counts: Counts,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// Opens a session and waits for it.
pub(crate) fn session(addr: SocketAddr) -> io::Result<std::net::TcpStream> {
    session_within(addr, DRAIN)
}

/// The same, but the server has only so long for each of its answers.
pub(crate) fn session_within(
    addr: SocketAddr,
    patience: Duration,
) -> io::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    let mut out = Vec::new();
    wire::connect(&mut out, SESSION_TIMEOUT_MS);
    stream.write_all(&out)?;
    let body = frame(&mut stream)?;
    if body.len() < 36 || body[4..8] == [0; 4] {
        return Err(broken("the server refused a session"));
    }
    Ok(stream)
}

fn frame(stream: &mut std::net::TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; wire::length(&head).ok_or_else(|| broken("a negative length"))?];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// Sends one request on a blocking session and answers its error code.
pub(crate) fn ask(stream: &mut std::net::TcpStream, op: Op<'_>) -> io::Result<i32> {
    let mut out = Vec::new();
    wire::request(&mut out, 1, op);
    stream.write_all(&out)?;
    let body = frame(stream)?;
    Ok(wire::reply(&body).ok_or_else(|| broken("a reply without a head"))?.error)
}

impl Engine {
    /// Opens `connections` sessions, at each of these addresses in turn.
    pub(crate) fn connect(addrs: &[SocketAddr], connections: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut conns = Vec::with_capacity(connections);
        for (index, addr) in (0..connections).zip(addrs.iter().cycle()) {
            let stream = session(*addr)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(
                &mut stream,
                Token(index),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            conns.push(Conn {
                stream,
                input: Vec::new(),
                output: Vec::new(),
                sent: 0,
                waiting: false,
                flight: VecDeque::new(),
                xid: 0,
            });
        }
        let started = Instant::now();
        let events = Events::with_capacity(1024);
        let chunk = vec![0; 256 * 1024];
        Ok(Self { poll, events, conns, started, chunk, counts: Counts::new() })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("less than 500 years")
    }

    /// Forgets what was counted so far and answers it.
    pub(crate) fn take(&mut self) -> Counts {
        std::mem::replace(&mut self.counts, Counts::new())
    }

    /// Keeps `depth` requests in flight on every connection until `until`, or until there are none
    /// left and all are answered.
    pub(crate) fn run(
        &mut self,
        load: &mut dyn Workload,
        depth: usize,
        until: Instant,
    ) -> io::Result<()> {
        let now = self.now();
        for index in 0..self.conns.len() {
            while self.conns[index].flight.len() < depth && self.push(load, index, now) {}
            self.flush(index)?;
        }
        while Instant::now() < until && self.busy() {
            self.turn(&mut Some(load), until)?;
        }
        Ok(())
    }

    /// Waits for everything in flight, sending nothing new.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        let until = Instant::now() + DRAIN;
        while self.busy() {
            if Instant::now() > until {
                return Err(broken("requests were not answered within a minute"));
            }
            self.turn(&mut None, until)?;
        }
        Ok(())
    }

    /// Ends the sessions.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.drain()?;
        for conn in &mut self.conns {
            let mut out = Vec::new();
            wire::request(&mut out, i32::MAX, Op::CloseSession);
            conn.stream.write_all(&out)?;
        }
        let until = Instant::now() + Duration::from_secs(5);
        let mut open = self.conns.len();
        let mut byte = [0; 64];
        while open > 0 && Instant::now() < until {
            self.poll.poll(&mut self.events, Some(Duration::from_millis(100)))?;
            for event in &self.events {
                let conn = &mut self.conns[event.token().0];
                while !conn.waiting {
                    match conn.stream.read(&mut byte) {
                        Ok(1..) => {}
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Ok(0) | Err(_) => (conn.waiting, open) = (true, open - 1),
                    }
                }
            }
        }
        Ok(())
    }

    fn busy(&self) -> bool {
        self.conns.iter().any(|conn| !conn.flight.is_empty())
    }

    fn push(&mut self, load: &mut dyn Workload, index: usize, now: u64) -> bool {
        let conn = &mut self.conns[index];
        conn.xid = conn.xid.wrapping_add(1) & i32::MAX;
        let more = load.next(index, conn.xid, &mut conn.output);
        if more {
            conn.flight.push_back((conn.xid, now));
        }
        more
    }

    fn turn(&mut self, load: &mut Option<&mut dyn Workload>, until: Instant) -> io::Result<()> {
        let wait = until.saturating_duration_since(Instant::now()).min(Duration::from_secs(1));
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let ready: Vec<(usize, bool, bool)> = self
            .events
            .iter()
            .map(|e| (e.token().0, e.is_readable() || e.is_read_closed(), e.is_writable()))
            .collect();
        for (index, readable, writable) in ready {
            if readable {
                self.receive(index, load)?;
            }
            if readable || writable && self.conns[index].waiting {
                self.flush(index)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, load: &mut Option<&mut dyn Workload>) -> io::Result<()> {
        let mut answered = 0;
        loop {
            let conn = &mut self.conns[index];
            let count = match conn.stream.read(&mut self.chunk) {
                Ok(0) => return Err(broken("the server closed a connection")),
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            };
            conn.input.extend_from_slice(&self.chunk[..count]);
            let now = self.now();
            answered += self.replies(index, now)?;
            if count < self.chunk.len() {
                break;
            }
        }
        if let Some(load) = load {
            let now = self.now();
            for _ in 0..answered {
                if !self.push(*load, index, now) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes whole replies off a connection's input.
    fn replies(&mut self, index: usize, now: u64) -> io::Result<usize> {
        let conn = &mut self.conns[index];
        let (mut at, mut answered) = (0, 0);
        while let Some(length) = wire::length(&conn.input[at..]) {
            let Some(body) = conn.input.get(at + 4..at + 4 + length) else { break };
            let reply = wire::reply(body).ok_or_else(|| broken("a reply without a head"))?;
            at += 4 + length;
            if reply.xid < 0 {
                continue;
            }
            let (xid, sent) =
                conn.flight.pop_front().ok_or_else(|| broken("a reply nobody asked for"))?;
            if xid != reply.xid {
                return Err(broken("replies are out of order"));
            }
            self.counts.latency.add(now.saturating_sub(sent));
            if reply.error != 0 {
                self.counts.errors += 1;
                self.counts.last_error = reply.error;
            }
            answered += 1;
        }
        conn.input.drain(..at);
        Ok(answered)
    }

    fn flush(&mut self, index: usize) -> io::Result<()> {
        let conn = &mut self.conns[index];
        conn.waiting = false;
        while conn.sent < conn.output.len() {
            match conn.stream.write(&conn.output[conn.sent..]) {
                Ok(count) => conn.sent += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    conn.waiting = true;
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        conn.output.clear();
        conn.sent = 0;
        Ok(())
    }
}
