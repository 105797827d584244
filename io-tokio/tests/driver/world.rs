//! What is known of a run: its judges, what went through every connection, and how servers stand. Everything that happens
//! is told here, by the driver at its door to the core, by disks, and by clients.

use crate::links::{Links, sid_of};
use crate::order::Order;
use madsim::time::Instant;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use zoetrope_core::{ChanId, Config, ConnId, Effect, Input, Link, Milestone, Server, Sid, Turn};
use zoetrope_io_sim::{
    At, Client, Judge, Left, Op, Peer, Queue, Role, Verdict, device_op, role_of, serves,
};
use zoetrope_io_tokio::simulated::{epochs_are_settled, lines_between};

/// One connection: what either side has given to it, and how much of that has come out at the other end.
#[derive(Default)]
struct Pipe {
    asked: Vec<u8>,
    heard: usize,
    said: Vec<u8>,
    got: usize,
}

/// A server as it showed itself at the end of its last turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    pub(crate) role: Role,
    pub(crate) serves: bool,
    pub(crate) digest: u64,
}

#[derive(Default)]
struct Host {
    shown: Option<Shown>,
    conns: BTreeMap<ConnId, u16>,
    log: Order,
    /// This process has asked for other epochs than those it found.
    changes_epochs: bool,
    looked_at: u64,
}

/// What a client is told to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Duty {
    Work,
    /// Only keep the session alive, and write now and then where `probing`.
    Rest {
        probing: bool,
    },
    /// Send nothing, and wait for what was asked for.
    Wait,
    /// Go away and stay away.
    Leave,
}

/// A client and what is done to it.
pub(crate) struct Customer {
    pub(crate) client: Client,
    pub(crate) duty: Duty,
    /// Reads nothing until then, µs.
    pub(crate) deaf_until: u64,
    /// Sends nothing until then, µs.
    pub(crate) silent_until: u64,
    /// Shall leave its connection.
    pub(crate) leave: bool,
}

pub(crate) struct World {
    began: Instant,
    judge: Box<dyn Judge>,
    hosts: BTreeMap<Sid, Host>,
    pipes: BTreeMap<u16, Pipe>,
    links: Links,
    pub(crate) customers: Vec<Customer>,
    pub(crate) violation: Option<String>,
    pub(crate) trace: u64,
    pub(crate) answered: u64,
    pub(crate) facts: u64,
    /// Nothing has been wrong for a while: no client waits in vain.
    pub(crate) calm: bool,
    /// Prints everything (`ZOETROPE_TELL`).
    tells: bool,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Looks at the world of this run, or changes it.
pub(crate) fn world<T>(work: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|world| work(world.borrow_mut().as_mut().expect("the run has begun")))
}

/// The machine of a server.
pub(crate) fn server_ip(sid: Sid) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, sid.0 as u8).into()
}

/// The machine of a client.
pub(crate) fn client_ip(number: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 1, number as u8 + 1).into()
}

impl World {
    pub(crate) fn begin(config: &Config, servers: u32, customers: Vec<Customer>) {
        let judge = sim_tests::judges(config);
        let hosts = (1..=servers).map(|n| (Sid(i64::from(n)), Host::default())).collect();
        let new = Self {
            began: Instant::now(),
            judge,
            hosts,
            pipes: BTreeMap::new(),
            links: Links::default(),
            customers,
            violation: None,
            trace: 0xcbf2_9ce4_8422_2325,
            answered: 0,
            facts: 0,
            calm: false,
            tells: std::env::var_os("ZOETROPE_TELL").is_some(),
        };
        WORLD.with(|world| *world.borrow_mut() = Some(new));
    }

    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn at(&self, sid: Sid) -> At {
        At { now: self.now(), sid }
    }

    fn note(&mut self, what: &str, number: i64, bytes: &[u8]) {
        if self.tells {
            let shown: String = bytes.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
            println!("{:>10} {number} {what} {} {shown}", self.now(), bytes.len());
        }
        let now = self.now().to_be_bytes();
        for byte in what.bytes().chain(number.to_be_bytes()).chain(now).chain(bytes.iter().copied())
        {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.facts += 1;
    }

    /// Remembers the first broken promise.
    pub(crate) fn check(&mut self, verdict: Verdict) {
        if let Err(violation) = verdict {
            self.violation.get_or_insert(violation);
        }
    }

    pub(crate) fn shown(&self, sid: Sid) -> Option<Shown> {
        self.hosts.get(&sid).and_then(|host| host.shown)
    }

    pub(crate) fn leader(&self) -> Option<Sid> {
        let leads = |host: &Host| host.shown.is_some_and(|shown| shown.role == Role::Leader);
        self.hosts.iter().find(|(_, host)| leads(host)).map(|(sid, _)| *sid)
    }

    // The life of servers.

    pub(crate) fn booted(&mut self, sid: Sid) {
        self.note("booted", sid.0, &[]);
        self.links.booted(sid);
        let verdict = self.judge.booted(self.at(sid));
        self.check(verdict);
    }

    pub(crate) fn crashed(&mut self, sid: Sid) {
        self.note("crashed", sid.0, &[]);
        self.judge.crashed(self.at(sid));
        self.links.crashed(sid);
        self.hosts.insert(sid, Host::default());
    }

    /// Power was lost, and this is left.
    pub(crate) fn left(
        &mut self,
        sid: Sid,
        files: &[(String, Vec<u8>)],
        epochs: Option<(u32, u32)>,
    ) {
        let verdict = self.judge.left(self.at(sid), Left { files, epochs, forgot: false });
        self.check(verdict);
    }

    pub(crate) fn stalled(&mut self, sid: Sid, us: u64) {
        self.judge.stalled(self.at(sid), us);
        self.links.stalled(sid, us);
    }

    pub(crate) fn room(&mut self, sid: Sid, full: bool) {
        self.judge.room(self.at(sid), full);
    }

    /// A disk has really done this.
    pub(crate) fn performed(&mut self, sid: Sid, op: &Op) {
        if self.tells {
            let mut said = format!("{op:?}");
            said.truncate(90);
            println!("{:>10} {sid} {said}", self.now());
        }
        self.note(op.label(), sid.0, &[]);
        let in_order = self.hosts.get_mut(&sid).map_or(Ok(()), |host| host.log.done(op));
        self.check(in_order);
        let of_log = |name: &str| name.starts_with("log.") || name.starts_with("zoetrope-spare");
        let told = match op {
            Op::Append { name, .. } | Op::Fsync { name, .. } => of_log(name),
            Op::Rename { from, .. } => of_log(from),
            Op::Truncate { name, .. } => of_log(name),
            _ => true,
        };
        if told {
            let verdict = self.judge.performed(self.at(sid), op);
            self.check(verdict);
        }
    }

    // What clients see.

    /// A client has given these bytes to a connection.
    pub(crate) fn asks(&mut self, port: u16, bytes: &[u8]) {
        self.pipes.entry(port).or_default().asked.extend_from_slice(bytes);
    }

    /// A client has got these bytes. True when its connection is of no use any more.
    pub(crate) fn gets(&mut self, number: usize, port: u16, bytes: &[u8]) -> bool {
        self.note("gets", number as i64, bytes);
        let pipe = self.pipes.entry(port).or_default();
        let due = pipe.said.get(pipe.got..pipe.got + bytes.len());
        if due != Some(bytes) {
            let text = format!(
                "W1: client {number} hears {} bytes that its server has not said there, behind {}",
                bytes.len(),
                pipe.got
            );
            self.check(Err(text));
            return true;
        }
        pipe.got += bytes.len();
        let now = self.now();
        let client = &mut self.customers[number].client;
        client.heard_at = now;
        self.answered += client.read(bytes);
        client.life == zoetrope_io_sim::Life::Away
    }

    // What servers are told.

    fn hears(&mut self, sid: Sid, conn: ConnId, bytes: &[u8]) -> Verdict {
        let at = self.at(sid);
        let port = self.hosts.get(&sid).and_then(|host| host.conns.get(&conn)).copied();
        let pipe = self.pipes.entry(port.unwrap_or(0)).or_default();
        if pipe.asked.get(pipe.heard..pipe.heard + bytes.len()) != Some(bytes) {
            return Err(format!(
                "W2: server {sid} hears {} bytes of {conn} that were not sent there, behind {}",
                bytes.len(),
                pipe.heard
            ));
        }
        pipe.heard += bytes.len();
        let mut rest = bytes;
        while let Some(prefix) = rest.first_chunk::<4>() {
            let end = 4 + u32::from_be_bytes(*prefix) as usize;
            self.judge.heard(at, conn, &rest[4..end])?;
            rest = &rest[end..];
        }
        Ok(())
    }

    pub(crate) fn input(&mut self, sid: Sid, server: &Server, input: &Input<'_>) {
        let verdict = self.absorbs(sid, server, input);
        self.check(verdict);
    }

    fn absorbs(&mut self, sid: Sid, _: &Server, input: &Input<'_>) -> Verdict {
        let at = self.at(sid);
        match *input {
            Input::Opened { conn, addr, port, .. } => {
                self.note("opened", sid.0, &port.to_be_bytes());
                if let Some(host) = self.hosts.get_mut(&sid) {
                    host.conns.insert(conn, port);
                }
                self.judge.opened(at, conn, addr);
                Ok(())
            }
            Input::Requests { conn, bytes } => {
                self.note("heard", sid.0, bytes);
                self.hears(sid, conn, bytes)
            }
            Input::Closed { conn } => {
                self.note("closed", sid.0, &conn.0.to_be_bytes());
                self.judge.closed(at, conn, false)
            }
            Input::PeerUp { sid: who, chan, link, addr } => {
                self.note("up", sid.0, &chan.0.to_be_bytes());
                let (began, other) = (who.is_some(), sid_of(addr));
                self.judge.peer_up(at, Peer { chan, far: ChanId(0), other, link, began });
                self.links.up(sid, chan, (other, link, began))?;
                match who {
                    Some(who) if who != other => {
                        Err(format!("W3: {sid} takes the link of {other} for one with {who}"))
                    }
                    None if link == Link::Election => Err(format!("W3: {sid} votes with nobody")),
                    _ => Ok(()),
                }
            }
            Input::PeerFrames { chan, bytes } => {
                self.note("from", sid.0, bytes);
                self.links.hears(sid, chan, bytes)?;
                self.judge.peer_heard(at, chan, bytes)
            }
            Input::PeerDown { chan } => {
                self.note("down", sid.0, &chan.0.to_be_bytes());
                self.links.down(sid, chan);
                self.judge.peer_down(at, chan);
                Ok(())
            }
            Input::Unreachable { sid: other, link } => {
                self.links.unreachable(sid, other, link);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whoever wants a link is told what became of it.
    pub(crate) fn waits_for_links(&self) -> Verdict {
        self.links.do_not_wait_for_ever(self.now())
    }

    /// With nothing wrong, links that cores take for open are there.
    pub(crate) fn links_are_real(&self) -> Verdict {
        self.links.are_real(|sid, other| lines_between(server_ip(sid), server_ip(other)))
    }

    // What servers say.

    pub(crate) fn turn(&mut self, sid: Sid, turn: &Turn<'_>) {
        let verdict = self.effects(sid, turn);
        self.check(verdict);
    }

    fn effects(&mut self, sid: Sid, turn: &Turn<'_>) -> Verdict {
        let (at, server) = (self.at(sid), turn.server());
        let mut replies: Vec<(ConnId, Vec<u8>)> = Vec::new();
        let mut closed = Vec::new();
        let mut served = false;
        for effect in turn.effects() {
            if let Some((queue, op)) = device_op(effect, turn) {
                if let Op::Append { at: 16.., bytes, .. } = &op {
                    self.judge.appended(at, bytes)?;
                }
                self.judge.submitted(at, &op)?;
                let Some(host) = self.hosts.get_mut(&sid) else { continue };
                match queue {
                    Queue::Log => host.log.asked(&op),
                    Queue::Epochs => host.changes_epochs = true,
                    Queue::Room | Queue::Snapshot => {}
                }
                continue;
            }
            match *effect {
                Effect::Reply { conn } => replies.push((conn, turn.reply(conn).to_vec())),
                Effect::Close { conn } => closed.push(conn),
                Effect::Report(milestone) => {
                    served |= matches!(milestone, Milestone::Serving { .. });
                    self.judge.reported(at, &milestone, turn);
                }
                _ => {}
            }
        }
        if served {
            self.judge.serving(at, server)?;
        }
        for effect in turn.effects() {
            match *effect {
                Effect::SendPeer { chan, bytes } => {
                    let as_found = self.hosts.get(&sid).is_some_and(|host| !host.changes_epochs);
                    if as_found && !epochs_are_settled() {
                        return Err(format!(
                            "W8: server {sid} speaks, and the epochs it has found are not on its disk"
                        ));
                    }
                    self.note("to", sid.0, turn.bytes(bytes));
                    self.links.says(sid, chan, turn.bytes(bytes));
                    self.judge.peer_sent(at, chan, turn.bytes(bytes))?;
                }
                Effect::Disconnect { chan } => {
                    self.links.down(sid, chan);
                    self.judge.peer_down(at, chan);
                }
                Effect::Connect { sid: other, link } => {
                    self.links.asks(sid, other, link, at.now);
                }
                _ => {}
            }
        }
        for (conn, bytes) in &replies {
            self.note("said", sid.0, bytes);
            let port = self.hosts.get(&sid).and_then(|host| host.conns.get(conn)).copied();
            self.pipes.entry(port.unwrap_or(0)).or_default().said.extend_from_slice(bytes);
        }
        self.judge.answered(at, &replies)?;
        for conn in closed {
            self.judge.closed(at, conn, true)?;
        }
        self.judge.turned(at, server)?;
        let shown =
            Shown { role: role_of(server), serves: serves(server), digest: server.tree_digest() };
        let Some(host) = self.hosts.get_mut(&sid) else { return Ok(()) };
        host.shown = Some(shown);
        if shown.serves && at.now > host.looked_at + 500_000 {
            host.looked_at = at.now;
            self.judge.passed(at, server)?;
        }
        Ok(())
    }
}
