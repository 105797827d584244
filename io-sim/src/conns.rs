//! Clients, and the connections between them and the servers.

use crate::client::Life;
use crate::judge::{Judge, Verdict};
use crate::role::{Role, role_of};
use crate::schedule::Class;
use crate::world::{Event, HostEvent, World};
use std::collections::VecDeque;
use zoetrope_core::{ConnId, Input};

/// A connection, as the network sees it.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub(crate) client: usize,
    pub(crate) host: usize,
    /// When the last bytes arrive, either way: a connection is first in, first out.
    server_has_until: u64,
    client_has_until: u64,
    produced: u64,
    /// Bytes that are no whole frame yet.
    partial: Vec<u8>,
    pub(crate) paused: bool,
    held: VecDeque<Vec<u8>>,
}

/// So long after the last trouble its consequences may last, µs.
const CALM_AFTER_US: u64 = 10_000_000;

impl<J: Judge> World<J> {
    /// Everything the server sent in this turn; an empty reply ends its connection.
    pub(crate) fn send(&mut self, host: usize, replies: Vec<(ConnId, Vec<u8>)>) -> Verdict {
        let (told, closed): (Vec<_>, Vec<_>) =
            replies.into_iter().partition(|(_, bytes)| !bytes.is_empty());
        let told: Vec<(ConnId, Vec<u8>)> =
            told.into_iter().map(|(conn, bytes)| (conn, self.make_mistake(host, bytes))).collect();
        for (conn, bytes) in &told {
            self.note(&conn.0.to_be_bytes());
            self.note(bytes);
        }
        self.judge.answered(self.at(host), &told)?;
        for (conn, bytes) in told {
            self.send_one(host, conn, bytes);
        }
        for (conn, _) in closed {
            self.judge.closed(self.at(host), conn, true)?;
            if let Some(link) = self.conns.get(&conn) {
                let at = link.client_has_until.max(self.now) + 50;
                let event = Event::Host(host, HostEvent::ClosedByServer(conn));
                self.schedule.plan(at, Class::Fact, event);
            }
        }
        Ok(())
    }

    fn send_one(&mut self, host: usize, conn: ConnId, bytes: Vec<u8>) {
        let delay = self.streams.network.between(30, 400);
        let Some(link) = self.conns.get_mut(&conn) else { return };
        let deaf_until = self.clients[link.client].deaf_until;
        let at = (self.now + delay).max(link.client_has_until).max(deaf_until);
        link.client_has_until = at;
        link.produced += bytes.len() as u64;
        let upto = link.produced;
        self.schedule.plan(at, Class::Fact, Event::ToClient { conn, bytes });
        let sent = Event::Host(host, HostEvent::Sent { conn, upto });
        self.schedule.plan(at, Class::Fact, sent);
    }

    pub(crate) fn deliver(&mut self, conn: ConnId, bytes: &[u8]) -> Verdict {
        let Some(link) = self.conns.get_mut(&conn) else { return Ok(()) };
        if link.paused {
            link.held.push_back(bytes.to_vec());
            return Ok(());
        }
        link.partial.extend_from_slice(bytes);
        let mut at = 0;
        let mut whole = Vec::new();
        while let Some(prefix) = link.partial.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let end = at + 4 + u32::from_be_bytes(*prefix) as usize;
            if end > link.partial.len() {
                break;
            }
            whole.push(link.partial[at + 4..end].to_vec());
            at = end;
        }
        let host = link.host;
        let rest = link.partial.split_off(at);
        let frames = std::mem::replace(&mut link.partial, rest);
        if self.hosts[host].server.is_none() || whole.is_empty() {
            return Ok(());
        }
        for frame in &whole {
            self.judge.heard(self.at(host), conn, frame)?;
        }
        self.input(host, &Input::Requests { conn, bytes: &frames });
        Ok(())
    }

    pub(crate) fn resume(&mut self, conn: ConnId) {
        let Some(link) = self.conns.get_mut(&conn) else { return };
        link.paused = false;
        let host = link.host;
        for bytes in std::mem::take(&mut link.held) {
            self.plan_host(0, host, HostEvent::ToServer { conn, bytes });
        }
    }

    pub(crate) fn closed_by_client(&mut self, conn: ConnId) -> Verdict {
        let Some(link) = self.conns.remove(&conn) else { return Ok(()) };
        self.judge.closed(self.at(link.host), conn, false)?;
        self.input(link.host, &Input::Closed { conn });
        Ok(())
    }

    // The clients.

    pub(crate) fn hand_over(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(link) = self.conns.get(&conn) else { return };
        let (number, host) = (link.client, link.host);
        let client = &mut self.clients[number];
        if client.conn == Some(conn) {
            self.judge.gets(self.now, number, conn, bytes);
            client.heard_at = self.now;
            let before = client.read_only_answers;
            self.figures.requests += client.read(bytes);
            self.figures.read_only_answers += client.read_only_answers - before;
            if client.life == Life::Away {
                self.plan_host(0, host, HostEvent::ClosedByClient(conn));
            }
        }
    }

    pub(crate) fn cut_off(&mut self, number: usize, conn: ConnId) {
        if self.clients[number].conn == Some(conn) {
            self.clients[number].cut_off();
        }
    }

    pub(crate) fn client_turn(&mut self, number: usize) -> Verdict {
        // Every server of an ensemble executes everything: less haste shows as much.
        let haste = if self.together() { 5 } else { 1 };
        let rng = &mut self.streams.workload;
        let pause = if self.clients[number].idle {
            rng.between(500_000, 1_000_000)
        } else {
            rng.between(200, 4_000) * haste
        };
        self.plan(pause, Event::ClientTurn(number));
        if self.now < self.clients[number].silent_until {
            return Ok(());
        }
        let patience = self.clients[number].patience_us();
        let in_vain = self.now.saturating_sub(self.clients[number].heard_at) > patience;
        if self.together() && in_vain && self.clients[number].life != Life::Away {
            self.may_be_silent(number)?;
            self.leave(number);
            return Ok(());
        }
        match self.clients[number].life {
            Life::Away => self.come_or_wait(number),
            Life::Greeting => {}
            Life::Up if self.clients[number].idle => {
                let probes =
                    self.clients[number].probing && self.clients[number].in_flight.is_empty();
                let bytes = match probes {
                    true => self.clients[number].probe(),
                    false => self.clients[number].ping(),
                };
                self.transmit(number, bytes);
            }
            Life::Up => self.work(number),
        }
        Ok(())
    }

    /// A client has waited in vain for as long as it can. That must have a reason.
    fn may_be_silent(&self, number: usize) -> Verdict {
        let client = &self.clients[number];
        let heard_at = client.heard_at.max(client.deaf_until).max(client.silent_until);
        let since = heard_at.max(self.troubled_at + CALM_AFTER_US);
        let waited_us = self.now.saturating_sub(since);
        if client.life != Life::Up || waited_us < client.patience_us() {
            return Ok(());
        }
        Err(format!(
            "L1: client {number} has heard nothing of its server for {} ms, in which all servers served and nothing was \
             wrong with them",
            waited_us / 1000
        ))
    }

    fn work(&mut self, number: usize) {
        let together = self.together();
        let rng = &mut self.streams.workload;
        let client = &mut self.clients[number];
        let proved = if together { client.proved } else { client.wrote };
        if !proved && rng.one_in(20) && client.in_flight.len() < self.pipeline {
            let bytes = client.probe();
            self.transmit(number, bytes);
            return;
        }
        let room = self.pipeline.saturating_sub(client.in_flight.len()) as u64;
        let mut bytes = Vec::new();
        for _ in 0..rng.below(room + 1) {
            bytes.extend(client.work(rng));
        }
        if bytes.is_empty() && rng.one_in(4) {
            bytes = client.ping();
        }
        let leaves = rng.one_in(900);
        self.transmit(number, bytes);
        if leaves {
            self.leave(number);
        }
    }

    /// A client that is away tries a server.
    fn come_or_wait(&mut self, number: usize) {
        let together = self.together();
        let rng = &mut self.streams.workload;
        let host = match self.hosts.len() {
            1 => 0,
            hosts => rng.below(hosts as u64) as usize,
        };
        let Some(server) = &self.hosts[host].server else { return };
        if role_of(server) == Role::ReadOnly {
            // Others are sent away, with whatever session.
            if rng.one_in(if self.clients[number].willing { 3 } else { 20 }) {
                // With its session nobody is let in here: it may wait, or begin another.
                if rng.one_in(2) {
                    self.clients[number].forget_session();
                }
                self.connect(number, host);
            }
            return;
        }
        // A server that does not serve is tried now and then: it must refuse.
        let serves = self.hosts[host].serving;
        let tries = match (serves, together) {
            (true, _) => rng.one_in(3),
            (false, true) => rng.one_in(60),
            (false, false) => false,
        };
        if tries {
            self.connect(number, host);
        }
    }

    fn connect(&mut self, number: usize, host: usize) {
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        let link = Conn {
            client: number,
            host,
            server_has_until: 0,
            client_has_until: 0,
            produced: 0,
            partial: Vec::new(),
            paused: false,
            held: VecDeque::new(),
        };
        self.conns.insert(conn, link);
        self.judge.connects(self.at(host), number, conn);
        self.plan_host(0, host, HostEvent::OpenedByClient(conn));
        let rng = &mut self.streams.workload;
        self.clients[number].heard_at = self.now;
        let mut bytes = self.clients[number].greet(conn, rng);
        // Some clients do not wait for the welcome.
        if rng.one_in(6) {
            bytes.extend(self.clients[number].come_back(rng));
        }
        self.transmit(number, bytes);
    }

    pub(crate) fn open(&mut self, conn: ConnId) {
        let Some(link) = self.conns.get(&conn) else { return };
        let (host, port) = (link.host, link.client as u16);
        if self.hosts[host].server.is_none() {
            return;
        }
        let addr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        self.judge.opened(self.at(host), conn, addr);
        let identities = Vec::new();
        self.input(host, &Input::Opened { conn, addr, port, secure: false, identities });
    }

    fn transmit(&mut self, number: usize, bytes: Vec<u8>) {
        let Some(conn) = self.clients[number].conn else { return };
        if bytes.is_empty() {
            return;
        }
        self.judge.asks(self.now, number, conn, &bytes);
        let delay = self.streams.network.between(30, 400);
        // Bytes may arrive in two parts, cut anywhere.
        let cut = match self.streams.network.one_in(4) {
            true => self.streams.network.below(bytes.len() as u64) as usize,
            false => bytes.len(),
        };
        let Some(link) = self.conns.get_mut(&conn) else { return };
        let at = (self.now + delay).max(link.server_has_until);
        let host = link.host;
        let (first, second) = bytes.split_at(cut);
        let parts = [(at, first.to_vec()), (at + 40, second.to_vec())];
        link.server_has_until = at + 40;
        for (at, bytes) in parts {
            if !bytes.is_empty() {
                let event = Event::Host(host, HostEvent::ToServer { conn, bytes });
                self.schedule.plan(at, Class::Fact, event);
            }
        }
    }

    /// The client gives its connection up, and the server does not hear of it: what it asked last is still under way.
    pub(crate) fn linger(&mut self, number: usize, us: u64) {
        let client = &mut self.clients[number];
        let Some(conn) = client.conn.filter(|_| client.life == Life::Up) else { return };
        let bytes = client.probe();
        client.cut_off();
        self.judge.asks(self.now, number, conn, &bytes);
        let Some(link) = self.conns.get_mut(&conn) else { return };
        let (at, host) = ((self.now + us).max(link.server_has_until), link.host);
        let closed = at + 200_000;
        link.server_has_until = closed;
        for (at, event) in
            [(at, HostEvent::ToServer { conn, bytes }), (closed, HostEvent::ClosedByClient(conn))]
        {
            self.schedule.plan(at, Class::Fact, Event::Host(host, event));
        }
    }

    /// The client's connection breaks; it will come back.
    pub(crate) fn leave(&mut self, number: usize) {
        let Some(conn) = self.clients[number].conn else { return };
        self.clients[number].cut_off();
        let delay = self.streams.network.between(30, 1_000);
        if let Some(link) = self.conns.get(&conn) {
            let host = link.host;
            self.plan_host(delay, host, HostEvent::ClosedByClient(conn));
        }
    }
}
