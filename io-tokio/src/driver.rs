//! One loop: absorb what has come in, collect effects once, carry them out, arm timers. The only match on `Effect`
//! outside the simulator.
//!
//! Everything here runs on one thread. A reading task gives the frames it has cut straight to the core, from the
//! buffer they were read into, and the loop collects the effects when all sockets that had something were read: that is
//! what batches a hundred requests into one fsync.

use crate::clock::Clock;
use crate::complaints::Complaints;
use crate::conn::{
    ConnIo, FAREWELL, HTTP_ANSWER, Opening, TLS_ANSWER, finish_writing, opening_of, whole_frames,
    write_some,
};
use crate::data_dir::DataDirs;
use crate::disk::{DeviceOp, Disk, DiskDone, ThreadDisk};
use crate::flight::Flight;
use crate::peers::Peers;
use crate::planted::{Plant, planted, planted_once_in};
use crate::settings::{RunError, Settings};
use crate::sockets::{self, BACKLOG, TcpListener, TcpStream};
use crate::words::{DriverFigures, Observer, View, Words};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use tokio::io::{AsyncRead, ReadBuf, ReadHalf};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::spawn_local;
use zoetrope_core::{
    Command, ConnId, Device, Dir, Effect, FilePlace, Input, Instant, Listing, Milestone, Now,
    Server, Timer, Turn,
};

/// What a run stands on: a disk, what stands on it, and where its answers come from.
pub struct Storage {
    /// The devices.
    pub disk: Box<dyn Disk>,
    /// Their answers.
    pub done: UnboundedReceiver<DiskDone>,
    /// The files there are.
    pub listing: Listing,
    /// Where a file is.
    pub path: Box<dyn Fn(&FilePlace) -> PathBuf>,
}

/// Runs a server on the real disk until `shutdown` or until it halts.
pub async fn run(
    settings: Settings,
    words: impl Words + 'static,
    observer: impl Observer + 'static,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let dirs = Rc::new(DataDirs::open(&settings)?);
    let listing = dirs.list()?;
    let (sender, done) = unbounded_channel();
    let storage = &settings.core.storage;
    let disk = ThreadDisk::start(&dirs, storage.compression, storage.force_sync, sender);
    let disk = Rc::new(RefCell::new(Some(disk)));
    let paths = dirs.clone();
    let on = Storage {
        disk: Box::new(SharedDisk(disk.clone())),
        done,
        listing,
        path: Box::new(move |place| paths.path(place)),
    };
    let outcome = run_on(settings, on, words, observer, shutdown).await;
    let disk = disk.borrow_mut().take();
    if let Some(disk) = disk {
        disk.finish();
    }
    outcome
}

/// The disk, kept so that its threads can be waited for at the end.
struct SharedDisk(Rc<RefCell<Option<ThreadDisk>>>);

impl Disk for SharedDisk {
    fn submit(&mut self, ops: Vec<DeviceOp>) {
        if let Some(disk) = self.0.borrow_mut().as_mut() {
            disk.submit(ops);
        }
    }
}

/// Runs a server on any disk. Must be called where `spawn_local` works.
pub async fn run_on(
    settings: Settings,
    storage: Storage,
    words: impl Words + 'static,
    observer: impl Observer + 'static,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let clock = Clock::start();
    let (now, listing) = (clock.now(), storage.listing);
    let flight = match &settings.recording {
        Some(recording) => Some(Flight::start(&settings, recording, now, &listing)?),
        None => None,
    };
    let server = Server::new(settings.core.clone(), settings.seed, now, listing);
    let listener = match settings.client_addr {
        Some(addr) => {
            let backlog = settings.backlog.unwrap_or(BACKLOG);
            let listener = sockets::listen(addr, settings.tcp_keepalive, backlog).await;
            Some(listener.map_err(|error| RunError::Listen { addr, error })?)
        }
        None => None,
    };
    let client_addr = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let shared = Rc::new(Shared {
        core: RefCell::new(Core {
            server,
            flight,
            conns: HashMap::new(),
            per_addr: HashMap::new(),
            timers: BTreeMap::new(),
            disk: storage.disk,
            path: storage.path,
            figures: DriverFigures::default(),
            client_addr,
            serving_since: None,
            halted: None,
            complaints: Complaints::default(),
            next_conn: 0,
            words: Box::new(words),
            observer: Box::new(observer),
            settings,
            clock,
        }),
        scratch: RefCell::new(vec![0; READ_AT_ONCE]),
        wake: Notify::new(),
    });
    let accepting = listener.map(|listener| spawn_local(accept(shared.clone(), listener)));
    if let Some(addr) = client_addr {
        shared.core.borrow_mut().observer.listening(addr);
    }
    let peers = shared.links();
    let outcome = tokio::select! {
        biased;
        error = port_failure(peers.as_ref()) => Err(error),
        outcome = drive(&shared, peers.as_ref(), storage.done, shutdown) => outcome,
    };
    if let Some(accepting) = accepting {
        accepting.abort();
    }
    let mut core = shared.core.borrow_mut();
    let Core { server, flight, .. } = &mut *core;
    if let Some(flight) = flight {
        flight.stop(server);
    }
    outcome
}

/// Bytes read from a socket at once.
const READ_AT_ONCE: usize = 64 << 10;

/// What the tasks of the one thread share.
struct Shared {
    core: RefCell<Core>,
    /// All sockets are read into the same buffer, one after the other.
    scratch: RefCell<Vec<u8>>,
    /// Something came in: effects have to be collected.
    wake: Notify,
}

impl Shared {
    /// Links to other servers, unless this one stands alone.
    fn links(self: &Rc<Self>) -> Option<Peers> {
        let settings = self.core.borrow().settings.peers.clone()?;
        let shared = self.clone();
        let sink = move |input: &Input<'_>| {
            let mut core = shared.core.borrow_mut();
            let now = core.clock.now();
            core.tell(now, input);
            shared.wake.notify_one();
        };
        Some(Peers::start(settings, Box::new(sink)))
    }
}

async fn port_failure(peers: Option<&Peers>) -> RunError {
    match peers {
        Some(peers) => peers.failed().await,
        None => std::future::pending().await,
    }
}

struct Core {
    server: Server,
    flight: Option<Flight>,
    conns: HashMap<ConnId, ConnIo>,
    per_addr: HashMap<IpAddr, u32>,
    timers: BTreeMap<Timer, Instant>,
    disk: Box<dyn Disk>,
    path: Box<dyn Fn(&FilePlace) -> PathBuf>,
    figures: DriverFigures,
    client_addr: Option<SocketAddr>,
    serving_since: Option<Instant>,
    halted: Option<String>,
    complaints: Complaints,
    next_conn: u64,
    words: Box<dyn Words>,
    observer: Box<dyn Observer>,
    settings: Settings,
    clock: Clock,
}

async fn accept(shared: Rc<Shared>, listener: TcpListener) {
    #[cfg(not(madsim))]
    let descriptors = crate::descriptors::Descriptors::raise();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // One socket may serve both families; a client is known by its own address.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let _ = stream.set_nodelay(true);
                #[cfg(not(madsim))]
                if !descriptors.suffice(&stream) {
                    let mut core = shared.core.borrow_mut();
                    core.figures.rejected += 1;
                    core.complain(
                        "descriptors",
                        &format!(
                            "too many connections for the open files this process may have (ulimit -n): the one \
                             from {peer} is closed"
                        ),
                    );
                    continue;
                }
                let Some(id) = shared.core.borrow_mut().admit(peer) else { continue };
                spawn_local(serve(shared.clone(), id, stream, peer));
            }
            Err(_) if planted(Plant::AcceptOnce) => return,
            Err(error) => {
                tracing::warn!("cannot accept a client: {error}; trying again in 100 ms");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one client until either side ends the connection.
async fn serve(shared: Rc<Shared>, id: ConnId, stream: TcpStream, peer: SocketAddr) {
    let changed = Rc::new(Notify::new());
    let (mut reader, writer) = tokio::io::split(stream);
    {
        let mut core = shared.core.borrow_mut();
        let conn = ConnIo {
            peer,
            writer: Some(writer),
            backlog: Vec::new(),
            taken: 0,
            paused: false,
            closing: false,
            changed: changed.clone(),
            stop: Rc::default(),
        };
        core.conns.insert(id, conn);
        let now = core.clock.now();
        let opened = Input::Opened {
            conn: id,
            addr: peer.ip(),
            port: peer.port(),
            secure: false,
            identities: Vec::new(),
        };
        core.tell(now, &opened);
    }
    shared.wake.notify_one();
    let mut intake = Intake { partial: Vec::new(), opened: false };
    let end = loop {
        let (closing, paused) = match shared.core.borrow().conns.get(&id) {
            Some(conn) => (conn.closing, conn.paused),
            None => break End::Gone,
        };
        if closing {
            break End::LetGo;
        }
        if paused {
            changed.notified().await;
            continue;
        }
        tokio::select! {
            biased;
            () = changed.notified() => {}
            end = read_once(&shared, id, &mut reader, &mut intake) => {
                if let Some(end) = end {
                    break end;
                }
            }
        }
    };
    let client_went = matches!(end, End::Client);
    match end {
        End::Gone => {}
        End::Client => shared.core.borrow_mut().forget(id),
        End::Answer(last) => {
            let mut core = shared.core.borrow_mut();
            core.tell_closed(id);
            core.let_go(id, &last);
        }
        End::LetGo => {}
    }
    shared.wake.notify_one();
    // What the client still sends is read away: closing over unread bytes would destroy the last reply on its way.
    let drain = async {
        let mut sink = [0; 4096];
        while matches!(tokio::io::AsyncReadExt::read(&mut reader, &mut sink).await, Ok(n) if n > 0)
        {
        }
    };
    if !client_went {
        let _ = tokio::time::timeout(FAREWELL, drain).await;
    }
    let mut core = shared.core.borrow_mut();
    // Whoever has not read its last replies by now never will, and would keep their memory and its socket.
    if let Some(conn) = core.conns.remove(&id) {
        conn.end();
    }
    if !planted(Plant::CountNeverGivenBack) || client_went {
        core.count_out(peer.ip());
    }
}

/// How a connection came to its end.
enum End {
    /// The client closed it, or the network did.
    Client,
    /// These bytes are the last it gets.
    Answer(Vec<u8>),
    /// The core let it go.
    LetGo,
    /// Nobody knows it any more.
    Gone,
}

/// What was received and is no whole frame yet.
struct Intake {
    partial: Vec<u8>,
    /// Its first bytes were looked at.
    opened: bool,
}

async fn read_once(
    shared: &Rc<Shared>,
    id: ConnId,
    reader: &mut ReadHalf<TcpStream>,
    intake: &mut Intake,
) -> Option<End> {
    poll_fn(|cx| {
        let mut scratch = shared.scratch.borrow_mut();
        let mut buf = ReadBuf::new(&mut scratch);
        match std::pin::Pin::new(&mut *reader).poll_read(cx, &mut buf) {
            std::task::Poll::Pending => std::task::Poll::Pending,
            std::task::Poll::Ready(Err(_)) => std::task::Poll::Ready(Some(End::Client)),
            std::task::Poll::Ready(Ok(())) => {
                std::task::Poll::Ready(on_bytes(shared, id, buf.filled(), intake))
            }
        }
    })
    .await
}

fn on_bytes(shared: &Shared, id: ConnId, bytes: &[u8], intake: &mut Intake) -> Option<End> {
    if bytes.is_empty() {
        return Some(End::Client);
    }
    let mut core = shared.core.borrow_mut();
    let joined;
    let bytes = if intake.partial.is_empty() {
        bytes
    } else {
        intake.partial.extend_from_slice(bytes);
        joined = std::mem::take(&mut intake.partial);
        &joined[..]
    };
    if !intake.opened {
        match core.open(id, bytes) {
            Ok(true) => intake.opened = true,
            Ok(false) => {
                intake.partial = bytes.to_vec();
                return None;
            }
            Err(last) => return Some(End::Answer(last)),
        }
    }
    let (whole, wrong) = whole_frames(bytes, 0..=i64::from(core.settings.core.limits.frame_max));
    if whole > 0 {
        let now = core.clock.now();
        core.tell(now, &Input::Requests { conn: id, bytes: &bytes[..whole] });
        shared.wake.notify_one();
    }
    if let Some(len) = wrong {
        let peer = core.conns.get(&id).map_or(UNKNOWN, |conn| conn.peer);
        let text = format!(
            "client {peer} sent a frame of {len} bytes; jute.maxbuffer allows {}. Its connection is closed",
            core.settings.core.limits.frame_max
        );
        core.complain(&format!("{} frame", peer.ip()), &text);
        return Some(End::Answer(Vec::new()));
    }
    if !planted(Plant::CutFrameDropped) {
        intake.partial = bytes[whole..].to_vec();
    }
    None
}

/// Waits until a slow socket takes more, as often as needed.
async fn write_backlog(shared: Rc<Shared>, id: ConnId) {
    loop {
        let (mut writer, bytes, stop) = {
            let mut core = shared.core.borrow_mut();
            let Some(conn) = core.conns.get_mut(&id) else { return };
            let Some(writer) = conn.writer.take() else { return };
            if conn.backlog.is_empty() {
                conn.writer = Some(writer);
                return;
            }
            (writer, std::mem::take(&mut conn.backlog), conn.stop.clone())
        };
        let mut at = 0;
        while at < bytes.len() {
            // Small pieces, so that the core learns of every bit of credit.
            let piece = &bytes[at..bytes.len().min(at + READ_AT_ONCE)];
            let outcome = tokio::select! {
                biased;
                () = stop.notified() => return,
                outcome = write_some(&mut writer, piece) => outcome,
            };
            let mut core = shared.core.borrow_mut();
            let Some(conn) = core.conns.get_mut(&id) else { return };
            match outcome {
                Ok(n) if n > 0 => {
                    at = if planted(Plant::SentTwice) && n < piece.len() { 0 } else { at + n };
                    conn.taken += n as u64;
                    let upto = conn.taken;
                    let now = core.clock.now();
                    if !planted(Plant::SentNotTold) {
                        core.tell(now, &Input::Sent { conn: id, upto });
                    }
                    shared.wake.notify_one();
                }
                Ok(_) | Err(_) => {
                    core.forget(id);
                    return;
                }
            }
        }
        let mut core = shared.core.borrow_mut();
        let Some(conn) = core.conns.get_mut(&id) else { return };
        conn.writer = Some(writer);
        if conn.closing && conn.backlog.is_empty() {
            core.let_go(id, &[]);
            return;
        }
    }
}

impl Core {
    /// Tells the core what happened. The only way to it.
    fn tell(&mut self, now: Now, input: &Input<'_>) {
        self.observer.input(&self.server, input);
        if let Some(flight) = &mut self.flight {
            flight.input(now, input);
        }
        self.server.input(now, input);
    }

    /// Logs what a client did, unless one like it did the same a moment ago.
    fn complain(&mut self, key: &str, text: &str) {
        if let Some(line) = self.complaints.line(key, text) {
            tracing::warn!("{line}");
        }
    }

    /// A number for a new client, unless there are too many.
    fn admit(&mut self, peer: SocketAddr) -> Option<ConnId> {
        let most = self.settings.max_client_cnxns;
        let here = self.per_addr.entry(peer.ip()).or_default();
        let crowded = most > 0 && *here >= most;
        let full =
            self.settings.max_cnxns > 0 && self.figures.open >= u64::from(self.settings.max_cnxns);
        if crowded || full {
            let (key, limit) = match crowded {
                true => ("maxClientCnxns", most),
                false => ("maxCnxns", self.settings.max_cnxns),
            };
            self.figures.rejected += 1;
            let text =
                format!("too many connections ({key} = {limit}): the one from {peer} is closed");
            self.complain(&format!("{} {key}", peer.ip()), &text);
            return None;
        }
        *here += 1;
        self.figures.open += 1;
        self.next_conn += 1;
        Some(ConnId(self.next_conn))
    }

    fn count_out(&mut self, addr: IpAddr) {
        self.figures.open -= 1;
        if let Some(here) = self.per_addr.get_mut(&addr) {
            *here -= 1;
            if *here == 0 {
                self.per_addr.remove(&addr);
            }
        }
    }

    /// Looks at the first bytes of a connection: true when they are frames, false when there are too few, and the
    /// last answer for everything else.
    fn open(&mut self, id: ConnId, bytes: &[u8]) -> Result<bool, Vec<u8>> {
        let peer = self.conns.get(&id).map_or(UNKNOWN, |conn| conn.peer);
        match opening_of(bytes, |word| self.words.argument_len(word).is_some()) {
            Opening::Frames => Ok(true),
            Opening::TooShort => Ok(false),
            Opening::Word(word) => {
                let len = self.words.argument_len(word).unwrap_or(0);
                match bytes.get(4..4 + len) {
                    None => Ok(false),
                    Some(argument) => Err(self.answer_word(id, peer, word, argument)),
                }
            }
            Opening::Http => {
                let text =
                    format!("{peer} speaks HTTP on the client port; it was told so and closed");
                self.complain(&format!("{} HTTP", peer.ip()), &text);
                Err(HTTP_ANSWER.to_vec())
            }
            Opening::Tls => {
                let text = format!(
                    "{peer} wants TLS on the plain client port; it got an alert and was closed. Connect without TLS"
                );
                self.complain(&format!("{} TLS", peer.ip()), &text);
                Err(TLS_ANSWER.to_vec())
            }
        }
    }

    fn answer_word(
        &mut self,
        id: ConnId,
        peer: SocketAddr,
        word: [u8; 4],
        argument: &[u8],
    ) -> Vec<u8> {
        let now = self.clock.now();
        if let Some(since) = self.serving_since {
            self.figures.uptime = std::time::Duration::from_micros(now.mono.since(since));
        }
        let view = View {
            server: &self.server,
            settings: &self.settings,
            figures: &self.figures,
            client_addr: self.client_addr,
            now,
            asking: id,
            peer,
        };
        let mut out = Vec::new();
        if let Some(command) = self.words.answer(word, argument, &view, &mut out) {
            self.tell(now, &Input::Command(command));
        }
        out
    }

    /// The connection is gone: nobody is told anything any more.
    fn forget(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.remove(&id) {
            conn.end();
            if !planted(Plant::ClosedNotTold) {
                self.tell_closed(id);
            }
        }
    }

    fn tell_closed(&mut self, id: ConnId) {
        let now = self.clock.now();
        self.tell(now, &Input::Closed { conn: id });
    }

    /// Sends the last bytes, then ends the connection.
    fn let_go(&mut self, id: ConnId, last: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.backlog.extend_from_slice(last);
        conn.closing = true;
        conn.changed.notify_one();
        // While a task waits for the socket, that task comes back here when it is done.
        if let Some(writer) = conn.writer.take() {
            let backlog = std::mem::take(&mut conn.backlog);
            self.conns.remove(&id);
            spawn_local(finish_writing(writer, backlog));
        }
    }

    fn absorb(&mut self, done: DiskDone) {
        let now = self.clock.now();
        let input = match &done {
            DiskDone::Reserved { file, upto } => Input::Reserved { file: *file, upto: *upto },
            DiskDone::NoRoom { file } => Input::NoRoom { file: *file },
            DiskDone::Durable { branch, upto, took_us } => {
                self.figures.fsync_us.add(*took_us);
                if *took_us > self.settings.fsync_warning_ms * 1000 {
                    self.figures.slow_fsyncs += 1;
                    tracing::warn!(
                        "fsync-ing the write ahead log took {} ms: every write waits for it. Look at the load of \
                         the disk that holds dataLogDir",
                        took_us / 1000
                    );
                }
                Input::Durable { branch: *branch, upto: *upto }
            }
            DiskDone::EpochsDurable { generation } => {
                Input::EpochsDurable { generation: *generation }
            }
            DiskDone::SnapWritten { upto } => Input::SnapWritten { upto: *upto },
            DiskDone::SnapDurable { zxid } => Input::SnapDurable { zxid: *zxid },
            DiskDone::SnapFailed { error } => {
                tracing::warn!("a snapshot could not be written: {error}. The log has everything");
                Input::SnapFailed
            }
            DiskDone::Read { file, at, bytes } => Input::ReadDone { file: *file, at: *at, bytes },
            DiskDone::ReadFailed { file, at, error } => {
                Input::ReadFailed { file: *file, at: *at, error }
            }
            DiskDone::Failed { device, error } => Input::Failed { device: *device, error },
        };
        self.tell(now, &input);
    }

    /// Timers that are due enter the core.
    fn ring(&mut self) {
        let now = self.clock.now();
        let due: Vec<Timer> =
            self.timers.iter().filter(|(_, at)| **at <= now.mono).map(|(id, _)| *id).collect();
        for id in due {
            self.timers.remove(&id);
            self.tell(now, &Input::Timer { id });
        }
    }
}

const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// Collects the effects of what came in, and carries them out: what the disk has to do first, then what other servers are
/// sent, because both take their time while clients are answered.
fn turn(shared: &Rc<Shared>, peers: Option<&Peers>) {
    let mut core = shared.core.borrow_mut();
    let now = core.clock.now();
    let Core { server, flight, conns, timers, disk, path, observer, .. } = &mut *core;
    if let Some(flight) = flight {
        flight.turn_begins(now);
    }
    let turn = server.effects(now);
    if let Some(flight) = flight {
        flight.turn_ends(now, &turn);
    }
    observer.turn(&turn);
    let ops: Vec<DeviceOp> =
        turn.effects().iter().filter_map(|effect| device_op(effect, &turn, path)).collect();
    if !ops.is_empty() {
        disk.submit(ops);
    }
    if let Some(peers) = peers {
        turn.effects().iter().for_each(|effect| peers.take(effect, |span| turn.bytes(span)));
    }
    let mut news = ClientNews::default();
    let (mut serving, mut halted) = (false, None);
    for effect in turn.effects() {
        match *effect {
            Effect::Reserve { .. }
            | Effect::Append { .. }
            | Effect::Fsync { .. }
            | Effect::Rename { .. }
            | Effect::FsyncDir
            | Effect::Truncate { .. }
            | Effect::Discard { .. }
            | Effect::PutEpochs { .. }
            | Effect::SnapSlice { .. }
            | Effect::SnapFinish { .. }
            | Effect::Read { .. }
            | Effect::Remove { .. }
            | Effect::SendPeer { .. }
            | Effect::Connect { .. }
            | Effect::Disconnect { .. }
            | Effect::PausePeer { .. }
            | Effect::ResumePeer { .. } => {}
            Effect::Reply { conn: id } => {
                let Some(conn) = conns.get_mut(&id) else { continue };
                if news.reply(id, conn, turn.reply(id)) {
                    spawn_local(write_backlog(shared.clone(), id));
                }
            }
            Effect::Pause { conn } => set_paused(conns, conn, true),
            Effect::Resume { conn } => set_paused(conns, conn, false),
            Effect::Close { conn } => news.closed.push(conn),
            Effect::SetTimer { id, at } => {
                timers.insert(id, at);
            }
            Effect::Report(milestone) => {
                serving |= matches!(milestone, Milestone::Serving { .. });
                observer.milestone(milestone, &turn);
            }
            Effect::Halt => halted = turn.halted().map(str::to_owned),
        }
    }
    if serving {
        core.serving_since = Some(now.mono);
    }
    core.halted = core.halted.take().or(halted);
    let Core { server, flight, .. } = &mut *core;
    if let Some(flight) = flight {
        flight.after_turn(server, now);
    }
    news.settle(&mut core);
    drop(core);
    if let Some(peers) = peers {
        peers.tell();
    }
}

/// What a turn did to clients, told when it is over.
#[derive(Default)]
struct ClientNews {
    sent: Vec<(ConnId, u64)>,
    gone: Vec<ConnId>,
    closed: Vec<ConnId>,
}

impl ClientNews {
    /// Sends a reply; true when a task has to wait for the socket to take the rest.
    fn reply(&mut self, id: ConnId, conn: &mut ConnIo, bytes: &[u8]) -> bool {
        let was_empty = conn.backlog.is_empty();
        match conn.send(bytes) {
            Ok(true) => return was_empty && conn.writer.is_some(),
            Ok(false) => self.sent.push((id, conn.taken)),
            Err(_) => self.gone.push(id),
        }
        false
    }

    fn settle(self, core: &mut Core) {
        let now = core.clock.now();
        for (conn, upto) in self.sent {
            core.tell(now, &Input::Sent { conn, upto });
        }
        for id in self.gone {
            core.forget(id);
        }
        for id in self.closed {
            if planted(Plant::LeakedConnection) {
                continue;
            }
            core.let_go(id, &[]);
        }
    }
}

/// What a disk has to do for an effect.
fn device_op(
    effect: &Effect,
    turn: &Turn<'_>,
    path: &dyn Fn(&FilePlace) -> PathBuf,
) -> Option<DeviceOp> {
    let place = |file| path(turn.place(file));
    Some(match *effect {
        Effect::Reserve { file, upto } => DeviceOp::Reserve { file, path: place(file), upto },
        Effect::Append { file, at, bytes } => {
            DeviceOp::Append { file, path: place(file), at, bytes: turn.bytes(bytes).to_vec() }
        }
        Effect::Fsync { file, branch, upto } => {
            DeviceOp::Fsync { file, path: place(file), branch, upto }
        }
        Effect::Rename { from, to } => {
            DeviceOp::Rename { from, from_path: place(from), to, to_path: place(to) }
        }
        Effect::FsyncDir => DeviceOp::FsyncLogDir,
        Effect::Truncate { file, at } => DeviceOp::Truncate { path: place(file), at },
        Effect::Discard { file } => DeviceOp::Discard { file, path: place(file) },
        Effect::PutEpochs { generation, accepted, current } => {
            DeviceOp::PutEpochs { generation, accepted, current }
        }
        Effect::SnapSlice { at, bytes } => {
            DeviceOp::SnapSlice { at, bytes: turn.bytes(bytes).to_vec() }
        }
        Effect::SnapFinish { file, zxid } => DeviceOp::SnapFinish { path: place(file), zxid },
        Effect::Read { file, at, len } => DeviceOp::Read { file, path: place(file), at, len },
        Effect::Remove { file } if turn.place(file).dir == Dir::Snapshot => {
            DeviceOp::SnapRemove { path: place(file) }
        }
        Effect::Remove { file } => DeviceOp::Remove { path: place(file) },
        _ => return None,
    })
}

fn set_paused(conns: &mut HashMap<ConnId, ConnIo>, id: ConnId, paused: bool) {
    if let Some(conn) = conns.get_mut(&id) {
        conn.paused = paused;
        if paused || !planted(Plant::ResumeUnheard) {
            conn.changed.notify_one();
        }
    }
}

async fn drive(
    shared: &Rc<Shared>,
    peers: Option<&Peers>,
    mut done: UnboundedReceiver<DiskDone>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    tokio::pin!(shutdown);
    loop {
        turn(shared, peers);
        let (halted, next) = {
            let core = shared.core.borrow();
            let timers = core.timers.values().copied();
            let timers = timers.chain(core.flight.as_ref().and_then(Flight::next_at));
            let next = if planted(Plant::LastTimerFirst) { timers.max() } else { timers.min() };
            let next = next.map(|at| core.clock.at(at));
            (core.halted.clone(), next)
        };
        if let Some(why) = halted {
            return Err(RunError::Halted(why));
        }
        let rung = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = &mut shutdown => {
                let now = shared.core.borrow().clock.now();
                shared.core.borrow_mut().tell(now, &Input::Command(Command::Drain));
                turn(shared, peers);
                return Ok(());
            }
            answer = done.recv() => {
                let Some(answer) = answer else {
                    let error = "the disk threads are gone";
                    let mut core = shared.core.borrow_mut();
                    let now = core.clock.now();
                    core.tell(now, &Input::Failed { device: Device::Log, error });
                    continue;
                };
                if !planted_once_in(100, Plant::LostWakeUp) {
                    shared.core.borrow_mut().absorb(answer);
                }
            }
            () = shared.wake.notified() => {}
            () = rung => {
                // What sockets have received by now enters before the timer does.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                shared.core.borrow_mut().ring();
            }
        }
        while let Ok(answer) = done.try_recv() {
            shared.core.borrow_mut().absorb(answer);
        }
    }
}
