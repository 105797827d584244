//! Links to the other servers of the ensemble: who calls whom (quorum protocol §3), and bytes in
//! and out. Decodes the election handshake and lengths only; what a link is good for is decided in
//! the core.
//!
//! Everything runs on the driver's thread. A link that does not take its bytes keeps them in its
//! own backlog and has a task of its own that waits, so it holds up nobody else.

mod link;
mod meet;
mod ports;
#[cfg(all(test, not(madsim)))]
mod tests;

use crate::complaints::Complaints;
use crate::conn::ConnIo;
use crate::planted::{Plant, planted};
use crate::settings::{PeerSettings, RunError};
use crate::sockets::TcpStream;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, spawn_local};
use zoetrope_core::wire::Hello;
use zoetrope_core::{ChanId, Effect, HostPort, Input, Link, Sid, Span};

/// Is told what happens on links. Of all methods of [`Peers`] only [`Peers::tell`] calls it.
pub(crate) type Sink = Box<dyn Fn(&Input<'_>)>;

/// The links of this server; dropped, they all end.
pub(crate) struct Peers {
    links: Rc<Links>,
    ports: Vec<JoinHandle<()>>,
    failed: RefCell<UnboundedReceiver<RunError>>,
}

impl Peers {
    /// Opens the ports of this server. Must be called where `spawn_local` works.
    pub(crate) fn start(settings: PeerSettings, sink: Sink) -> Self {
        let (sender, failed) = unbounded_channel();
        let links = Rc::new(Links {
            settings,
            sink,
            state: RefCell::default(),
            complaints: RefCell::default(),
            scratch: RefCell::new(vec![0; READ_AT_ONCE]),
        });
        let port = |(link, address)| {
            let (links, sender) = (links.clone(), sender.clone());
            spawn_local(async move {
                let _ = sender.send(ports::serve_port(links, link, address).await);
            })
        };
        let ports = links.own_ports().into_iter().map(port).collect();
        Self { links, ports, failed: RefCell::new(failed) }
    }

    /// Carries out an effect. The core gives a link all bytes of a turn at once, so that a turn is one write.
    pub(crate) fn take<'a>(&self, effect: &Effect, bytes: impl Fn(Span) -> &'a [u8]) {
        match *effect {
            Effect::SendPeer { chan, bytes: span } => self.links.send(chan, bytes(span)),
            Effect::Connect { sid, link } => self.links.connect(sid, link),
            Effect::Disconnect { chan } => self.links.disconnect(chan),
            Effect::PausePeer { chan } => self.links.set_paused(chan, true),
            Effect::ResumePeer { chan } => self.links.set_paused(chan, false),
            _ => {}
        }
    }

    /// Ends a turn: tells what the sockets took.
    pub(crate) fn tell(&self) {
        self.links.tell();
    }

    /// Waits until a port cannot be had.
    pub(crate) async fn failed(&self) -> RunError {
        let next = std::future::poll_fn(|cx| self.failed.borrow_mut().poll_recv(cx)).await;
        match next {
            Some(error) => error,
            // A server that is not in its own list has no ports.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.ports.iter().for_each(JoinHandle::abort);
        let mut state = self.links.state.borrow_mut();
        state.over = true;
        state.attempts.clear();
        state.known.clear();
        std::mem::take(&mut state.chans).into_values().for_each(|link| link.io.end());
    }
}

/// Links that one address may have to the quorum port, and to that of observers. A server there needs one; whoever opens
/// more hurts only those at its own address.
const LINKS_MAX: usize = 32;
/// Bytes read from a socket at once.
const READ_AT_ONCE: usize = 64 << 10;

/// What the tasks share.
struct Links {
    settings: PeerSettings,
    sink: Sink,
    state: RefCell<State>,
    complaints: RefCell<Complaints>,
    /// All sockets are read into the same buffer, one after the other.
    scratch: RefCell<Vec<u8>>,
}

#[derive(Default)]
struct State {
    last_chan: u64,
    last_attempt: u64,
    chans: BTreeMap<ChanId, LinkIo>,
    /// Links that are up, by who is known to be at the other end.
    known: BTreeMap<Key, ChanId>,
    attempts: BTreeMap<Key, Attempt>,
    /// Links that were given bytes in this turn, and what their sockets had taken before.
    given: Vec<(ChanId, u64)>,
    /// Connections from each address that have not said yet who they are.
    greeting: BTreeMap<IpAddr, u32>,
    /// Handshakes that end now are too late.
    over: bool,
}

/// Which server, and what the link is for.
type Key = (Sid, Link);

fn port_name(link: Link) -> &'static str {
    match link {
        Link::Election => "election",
        Link::Quorum => "quorum",
        Link::ObserverMaster => "observer master",
    }
}

/// An attempt to get a link, until it is up or given up.
struct Attempt {
    /// Tells it from a later one to the same server.
    number: u64,
    /// The core waits for an answer.
    asked: bool,
    /// The other server asked to be called back meanwhile, at these addresses.
    poked: Option<Vec<HostPort>>,
}

/// A link that is up, or has bytes left to send.
struct LinkIo {
    io: ConnIo,
    link: Link,
    key: Option<Key>,
    /// Nothing can be sent any more; what was received is still to be read.
    broken: bool,
}

impl Links {
    fn complain(&self, key: &str, text: &str) {
        if let Some(line) = self.complaints.borrow_mut().line(key, text) {
            tracing::warn!("{line}");
        }
    }

    /// Where this server listens, and for what. Followers accept observers; who will follow is not known before.
    fn own_ports(&self) -> BTreeSet<(Link, HostPort)> {
        let PeerSettings { sid, ensemble, listen_on_all, .. } = &self.settings;
        let mut ports = BTreeSet::new();
        let Some(me) = ensemble.members.get(sid) else { return ports };
        for address in &me.addresses {
            for link in [Link::Election, Link::Quorum, Link::ObserverMaster] {
                let place = meet::place(address, link, &self.settings);
                let Some(mut place) =
                    place.filter(|_| link != Link::ObserverMaster || !me.observer)
                else {
                    continue;
                };
                if *listen_on_all {
                    place.host.clear();
                }
                ports.insert((link, place));
            }
        }
        ports
    }

    fn accepted(self: &Rc<Self>, link: Link, stream: TcpStream, from: SocketAddr) {
        match link {
            Link::Quorum | Link::ObserverMaster if self.is_crowd(link, from.ip()) => {
                let (addr, port) = (from.ip(), port_name(link));
                let text = format!(
                    "{addr} has {LINKS_MAX} connections to the {port} port. One more is closed"
                );
                self.complain(&format!("{addr} crowd {port}"), &text);
            }
            Link::Quorum | Link::ObserverMaster => self.install(None, link, stream, &[]),
            Link::Election => {
                spawn_local(meet::receive(self.clone(), stream, from));
            }
        }
    }

    /// Does that address have as many links to this port as it may? Those that are about to end count.
    fn is_crowd(&self, link: Link, addr: IpAddr) -> bool {
        let state = self.state.borrow();
        let theirs = |io: &&LinkIo| io.link == link && io.io.peer.ip() == addr;
        state.chans.values().filter(theirs).count() >= LINKS_MAX
    }

    /// A link is up; `rest` is what it brought already. The one there was to that server goes down.
    fn install(self: &Rc<Self>, sid: Option<Sid>, link: Link, stream: TcpStream, rest: &[u8]) {
        if self.state.borrow().over {
            return;
        }
        let Ok(addr) = stream.peer_addr() else {
            // It died since; whoever opened it must not wait for ever.
            if let Some(sid) = sid {
                self.give_up(sid, link);
            }
            return;
        };
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let key = sid.map(|sid| (sid, link));
        if let Some(key) = key {
            self.replace(key);
        }
        let (reader, writer) = tokio::io::split(stream);
        let chan = self.enter(link, key, writer, addr);
        tracing::debug!("the {} link {} with {addr} is up", port_name(link), chan.0);
        (self.sink)(&Input::PeerUp { sid, chan, link, addr: addr.ip() });
        self.read(chan, reader, rest);
    }

    fn enter(
        &self,
        link: Link,
        key: Option<Key>,
        writer: WriteHalf<TcpStream>,
        peer: SocketAddr,
    ) -> ChanId {
        let mut state = self.state.borrow_mut();
        state.last_chan += 1;
        let chan = ChanId(state.last_chan);
        let io = ConnIo {
            peer,
            writer: Some(writer),
            backlog: Vec::new(),
            taken: 0,
            paused: false,
            closing: false,
            changed: Rc::default(),
            stop: Rc::default(),
        };
        state.chans.insert(chan, LinkIo { io, link, key, broken: false });
        if let Some(key) = key {
            state.attempts.remove(&key);
            state.known.insert(key, chan);
        }
        chan
    }

    fn read(self: &Rc<Self>, chan: ChanId, reader: ReadHalf<TcpStream>, rest: &[u8]) {
        let Some((link, changed)) =
            self.state.borrow().chans.get(&chan).map(|io| (io.link, io.io.changed.clone()))
        else {
            return;
        };
        let mut intake = link::Intake { chan, link, partial: Vec::new() };
        match rest.is_empty() || intake.bytes(self, rest) {
            true => {
                spawn_local(link::read_link(self.clone(), intake, reader, changed));
            }
            false => self.down(chan),
        }
    }

    /// The link to that server is over, if there is one.
    fn replace(&self, key: Key) {
        let old = self.state.borrow().known.get(&key).copied();
        if let Some(old) = old {
            self.down(old);
        }
    }

    /// Ends a link and tells so, once, unless the core has let it go.
    fn down(&self, chan: ChanId) {
        let Some(gone) = self.state.borrow_mut().remove(chan) else { return };
        let let_go = gone.io.closing;
        gone.io.end();
        if !let_go && !planted(Plant::PeerDownNotTold) {
            (self.sink)(&Input::PeerDown { chan });
        }
    }

    fn send(self: &Rc<Self>, chan: ChanId, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        let State { chans, given, .. } = &mut *state;
        let Some(link) = chans.get_mut(&chan) else { return };
        if link.broken || link.io.closing {
            return;
        }
        if given.iter().all(|(known, _)| *known != chan) {
            given.push((chan, link.io.taken));
        }
        let nothing_waits = link.io.backlog.is_empty();
        match link.io.send(bytes) {
            Ok(true) if nothing_waits && link.io.writer.is_some() => {
                spawn_local(link::write_backlog(self.clone(), chan));
            }
            Ok(_) => {}
            Err(_) => link.broke(),
        }
    }

    fn set_paused(&self, chan: ChanId, paused: bool) {
        if let Some(link) = self.state.borrow_mut().chans.get_mut(&chan) {
            link.io.paused = paused;
            link.io.changed.notify_one();
        }
    }

    fn tell(&self) {
        let mut given = std::mem::take(&mut self.state.borrow_mut().given);
        for (chan, before) in given.drain(..) {
            let taken = self.state.borrow().chans.get(&chan).map(|link| link.io.taken);
            if let Some(upto) = taken.filter(|upto| *upto > before)
                && !planted(Plant::PeerSentNotTold)
            {
                (self.sink)(&Input::PeerSent { chan, upto });
            }
        }
        self.state.borrow_mut().given = given;
    }

    /// Sends what a link was given, then ends it.
    fn disconnect(self: &Rc<Self>, chan: ChanId) {
        let mut state = self.state.borrow_mut();
        let Some(link) = state.chans.get_mut(&chan) else { return };
        link.io.closing = true;
        link.io.changed.notify_one();
        if let Some(key) = link.key.take() {
            state.known.remove(&key);
        }
        // Its reader ends the link when all is sent, or when it has taken too long.
        spawn_local(link::write_backlog(self.clone(), chan));
    }
}

impl LinkIo {
    fn broke(&mut self) {
        self.broken = true;
        self.io.writer = None;
        self.io.backlog = Vec::new();
        self.io.changed.notify_one();
    }
}

impl State {
    fn remove(&mut self, chan: ChanId) -> Option<LinkIo> {
        let gone = self.chans.remove(&chan)?;
        if let Some(key) = gone.key {
            self.known.remove(&key);
        }
        Some(gone)
    }
}
