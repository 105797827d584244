//! How two servers get a link: the one with the larger sid opens it (quorum protocol §3.2).

use super::{Attempt, Hello, Links, port_name};
use crate::planted::{Plant, planted};
use crate::settings::PeerSettings;
use crate::sockets::{self, TcpStream};
use futures::future::{FutureExt, LocalBoxFuture, select_ok};
use std::cmp::Ordering;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::lookup_host;
use tokio::task::spawn_local;
use tokio::time::{Duration, sleep, timeout};
use zoetrope_core::wire::{decode_hello, encode_hello};
use zoetrope_core::{HostPort, Input, Link, PeerAddress, Sid};

/// Where a server is reached for this kind of link, if it is.
pub(super) fn place(
    address: &PeerAddress,
    link: Link,
    settings: &PeerSettings,
) -> Option<HostPort> {
    let port = match link {
        Link::Election => address.election_port,
        Link::Quorum => address.quorum_port,
        Link::ObserverMaster => settings.observer_master_port?,
    };
    Some(HostPort { host: address.host.clone(), port })
}

/// Connections from one address that may be silent at once. Whoever opens more hurts only those at
/// its own address.
const SILENT_MAX: u32 = 32;

/// Why a connection to the election port was not kept: a name for that, and what it did.
type Refusal = (&'static str, String);

/// Receives who has connected to the election port.
pub(super) async fn receive(links: Rc<Links>, stream: TcpStream, from: SocketAddr) {
    let addr = from.ip();
    let outcome = match links.count_in(addr) {
        true => {
            let outcome = greet(&links, stream, from).await;
            links.count_out(addr);
            outcome
        }
        false => {
            Err(("crowd", format!("has {SILENT_MAX} connections that do not say who they are")))
        }
    };
    if let Err((kind, what)) = outcome {
        let text = format!("{addr} {what}. Its connection to the election port is closed");
        links.complain(&format!("{addr} {kind}"), &text);
    }
}

/// Hears it out.
async fn greet(links: &Rc<Links>, mut stream: TcpStream, from: SocketAddr) -> Result<(), Refusal> {
    let limit = links.settings.handshake_timeout_ms;
    match timeout(Duration::from_millis(limit), read_hello(&mut stream)).await {
        Ok(Ok(Some((hello, rest)))) => links.meet(hello, &rest, stream),
        Ok(Ok(None)) => {
            tracing::debug!("{from} connected to the election port and closed without a word");
            Ok(())
        }
        Ok(Err(what)) => Err(("garbled", what)),
        Err(_) => Err(("silent", format!("did not say who it is within {limit} ms"))),
    }
}

/// The hello, and what came behind it. `None`: it closed without a word.
async fn read_hello(stream: &mut TcpStream) -> Result<Option<(Hello, Vec<u8>)>, String> {
    let mut bytes = Vec::new();
    let mut scratch = [0; 512];
    loop {
        match stream.read(&mut scratch).await {
            Ok(0) if bytes.is_empty() => return Ok(None),
            Ok(0) => return Err("closed in the middle of its election handshake".to_owned()),
            Ok(n) => bytes.extend_from_slice(&scratch[..n]),
            Err(error) => return Err(format!("broke its election handshake off: {error}")),
        }
        let decoded = decode_hello(&bytes)
            .map_err(|malformed| format!("sent a greeting that cannot be read: {malformed}"))?;
        if let Some((hello, len)) = decoded {
            return Ok(Some((hello, bytes.split_off(len))));
        }
    }
}

/// What came of one try.
enum Outcome {
    Linked(TcpStream),
    /// It has been told to call back.
    Poked,
}

/// Tries to get a link until it is up, given up, or no longer wanted.
async fn attempt(
    links: Rc<Links>,
    (sid, link): (Sid, Link),
    number: u64,
    mut at: Option<Vec<HostPort>>,
) {
    let limit = Duration::from_millis(links.settings.connect_timeout_ms);
    let failure = loop {
        let places = at.take().unwrap_or_else(|| links.configured(sid, link));
        let shown = places.iter().map(shown).collect::<Vec<_>>().join(", ");
        let failure = match timeout(limit, links.open(sid, link, number, &places)).await {
            Ok(Ok(Outcome::Linked(stream))) => {
                if links.is_current(sid, link, number) {
                    links.install(Some(sid), link, stream, &[]);
                }
                return;
            }
            Ok(Ok(Outcome::Poked)) => {
                sleep(limit).await;
                format!(
                    "it has heard us at {shown}, but did not call back within {} ms. Can it reach \
                     the election address that server {} has in the configuration?",
                    limit.as_millis(),
                    links.settings.sid
                )
            }
            Ok(Err(why)) => why,
            Err(_) => format!("no answer from {shown} within {} ms", limit.as_millis()),
        };
        if !links.is_current(sid, link, number) {
            return;
        }
        at = links.poked(sid, link);
        if at.is_none() {
            break failure;
        }
    };
    let port = port_name(link);
    let text = format!("cannot reach the {port} port of server {sid}: {failure}");
    links.complain(&format!("reach {sid} {port} {failure}"), &text);
    links.give_up(sid, link);
}

impl Links {
    /// The core wants a link.
    pub(super) fn connect(self: &Rc<Self>, sid: Sid, link: Link) {
        let mut state = self.state.borrow_mut();
        if state.known.contains_key(&(sid, link)) {
            return;
        }
        if let Some(attempt) = state.attempts.get_mut(&(sid, link)) {
            attempt.asked = true;
            return;
        }
        drop(state);
        self.begin(sid, link, true, None);
    }

    fn begin(self: &Rc<Self>, sid: Sid, link: Link, asked: bool, at: Option<Vec<HostPort>>) {
        let mut state = self.state.borrow_mut();
        state.last_attempt += 1;
        let number = state.last_attempt;
        state.attempts.insert((sid, link), Attempt { number, asked, poked: None });
        spawn_local(attempt(self.clone(), (sid, link), number, at));
    }

    /// Nobody tries any more.
    pub(super) fn give_up(&self, sid: Sid, link: Link) {
        let attempt = self.state.borrow_mut().attempts.remove(&(sid, link));
        if attempt.is_some_and(|attempt| attempt.asked) && !planted(Plant::UnreachableNotTold) {
            (self.sink)(&Input::Unreachable { sid, link });
        }
    }

    fn is_current(&self, sid: Sid, link: Link, number: u64) -> bool {
        let state = self.state.borrow();
        state.attempts.get(&(sid, link)).is_some_and(|attempt| attempt.number == number)
    }

    /// Where the other server wants to be called, if it has said so since the attempt began.
    fn poked(&self, sid: Sid, link: Link) -> Option<Vec<HostPort>> {
        let mut state = self.state.borrow_mut();
        state.attempts.get_mut(&(sid, link))?.poked.take()
    }

    fn configured(&self, sid: Sid, link: Link) -> Vec<HostPort> {
        let member = self.settings.ensemble.members.get(&sid);
        let addresses = member.into_iter().flat_map(|member| &member.addresses);
        addresses.filter_map(|address| place(address, link, &self.settings)).collect()
    }

    async fn open(
        &self,
        sid: Sid,
        link: Link,
        number: u64,
        places: &[HostPort],
    ) -> Result<Outcome, String> {
        let mine = self.settings.sid;
        if sid == mine {
            return Err("that is this server".to_owned());
        }
        let mut stream = dial(places, self.settings.tcp_keepalive).await?;
        if link != Link::Election {
            return Ok(Outcome::Linked(stream));
        }
        let own = self.configured(mine, link);
        let Some(own) = own.first() else {
            return Err(format!("this server ({mine}) is not in its own list of servers"));
        };
        // Its call may have come through meanwhile; a hello would make it drop that link.
        if !self.is_current(sid, link, number) {
            return Ok(Outcome::Poked);
        }
        let mut hello = Vec::new();
        encode_hello(mine, std::slice::from_ref(own), &mut hello);
        let sent = async {
            stream.write_all(&hello).await?;
            stream.flush().await
        };
        sent.await.map_err(|error: std::io::Error| format!("it hung up: {error}"))?;
        Ok(if sid > mine { Outcome::Poked } else { Outcome::Linked(stream) })
    }

    /// Decides who keeps a connection accepted on the election port; an error: nobody.
    fn meet(self: &Rc<Self>, hello: Hello, rest: &[u8], stream: TcpStream) -> Result<(), Refusal> {
        let Hello { sid, addresses } = hello;
        if sid == self.settings.sid {
            let what = format!(
                "calls itself server {sid}, which is this one. Two servers have the same myid, or \
                 one has a wrong address in the configuration"
            );
            return Err(("double", what));
        }
        if !self.settings.ensemble.members.contains_key(&sid) {
            let what = format!(
                "calls itself server {sid}, which is not in this server's configuration: compare \
                 the server.N lines and its myid"
            );
            return Err(("stranger", what));
        }
        match sid.cmp(&self.settings.sid) {
            Ordering::Less => {
                drop(stream);
                self.call_back(sid, addresses);
            }
            _ => self.install(Some(sid), Link::Election, stream, rest),
        }
        Ok(())
    }

    fn count_in(&self, addr: IpAddr) -> bool {
        let mut state = self.state.borrow_mut();
        let silent = state.greeting.entry(addr).or_default();
        let admitted = *silent < SILENT_MAX;
        *silent += u32::from(admitted);
        admitted
    }

    fn count_out(&self, addr: IpAddr) {
        let mut state = self.state.borrow_mut();
        if let Some(silent) = state.greeting.get_mut(&addr) {
            *silent -= 1;
            if *silent == 0 {
                state.greeting.remove(&addr);
            }
        }
    }

    fn call_back(self: &Rc<Self>, sid: Sid, addresses: Vec<HostPort>) {
        let link = Link::Election;
        // It would not ask if it had a link, so ours is dead.
        self.replace((sid, link));
        let usable: Vec<HostPort> = addresses.into_iter().filter(is_usable).collect();
        let at = match usable.is_empty() {
            true => self.configured(sid, link),
            false => usable,
        };
        let mut state = self.state.borrow_mut();
        match state.attempts.get_mut(&(sid, link)) {
            Some(attempt) => attempt.poked = Some(at),
            None => {
                drop(state);
                self.begin(sid, link, false, Some(at));
            }
        }
    }
}

/// A wildcard leads nowhere (ZOOKEEPER-2164).
fn is_usable(place: &HostPort) -> bool {
    place.port != 0 && !place.host.parse::<IpAddr>().is_ok_and(|addr| addr.is_unspecified())
}

fn shown(place: &HostPort) -> String {
    format!("{}:{}", place.host, place.port)
}

/// Connects to all addresses of all places at once; the first wins.
async fn dial(places: &[HostPort], keepalive: bool) -> Result<TcpStream, String> {
    if places.is_empty() {
        return Err("it is not in this server's configuration".to_owned());
    }
    let at_place = |place: &HostPort| -> LocalBoxFuture<'_, Result<TcpStream, String>> {
        let HostPort { host, port } = place.clone();
        async move {
            let found = lookup_host((host.as_str(), port)).await;
            let found = found.map_err(|error| format!("{host} cannot be resolved: {error}"))?;
            let one = |addr| {
                let connected = sockets::connect(addr, keepalive);
                connected
                    .map(move |got| got.map_err(|error| format!("{addr}: {error}")))
                    .boxed_local()
            };
            let all: Vec<_> = found.map(one).collect();
            match all.is_empty() {
                true => Err(format!("{host} has no address")),
                false => select_ok(all).await.map(|(stream, _)| stream),
            }
        }
        .boxed_local()
    };
    select_ok(places.iter().map(at_place)).await.map(|(stream, _)| stream)
}
