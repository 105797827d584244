//! A simulated client: keeps a session, pipelines requests, comes back when it is cut off. Judges nothing.

use crate::rng::Rng;
use crate::scenario::Operation;
use std::borrow::Cow;
use std::collections::VecDeque;
use zoetrope_core::wire::{
    AclSpec, ConnectRequest, ConnectResponse, Create, MultiOp, OpCode, Perms, ReadOp, Reader,
    Request, SetWatches, WatchMode, WatcherType,
};
use zoetrope_core::{ConnId, SessionId, Xid, Zxid};

/// Where a client is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// Not connected.
    Away,
    /// Its connect request is on its way.
    Greeting,
    /// It works.
    Up,
}

/// One client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where it is in its life.
    pub life: Life,
    pub(crate) conn: Option<ConnId>,
    /// Its session.
    pub session: SessionId,
    password: [u8; 16],
    last_zxid: Zxid,
    next_xid: i32,
    /// xids in flight, pings and authentication aside.
    pub in_flight: VecDeque<i32>,
    inbox: Vec<u8>,
    timeout_ms: i32,
    /// Does nothing but keep its session alive.
    pub(crate) idle: bool,
    /// Bytes wait unread until then, µs.
    pub(crate) deaf_until: u64,
    /// Sends nothing until then, µs.
    pub(crate) silent_until: u64,
    /// When it last heard of its server, µs.
    pub heard_at: u64,
    /// A write was answered since this was last looked at.
    pub wrote: bool,
    /// A probe, which is a write, was answered since this was last looked at.
    pub proved: bool,
    /// A write is all it does.
    pub(crate) probing: bool,
    /// Probes in flight.
    probes: Vec<i32>,
    secret: usize,
    without: Vec<Operation>,
    /// It can do without writing for a while.
    pub(crate) willing: bool,
    /// Sets quotas.
    pub(crate) quotas: bool,
    /// Its server is read-only.
    read_only: bool,
    /// Answers of read-only servers since this was last looked at.
    pub(crate) read_only_answers: u64,
}

/// So many times as large are large data.
const LARGER: usize = 30;

/// The paths clients fight over: few, so that they meet.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Below what has a quota, and what is of it: its limits, its figures.
const QUOTAS: [[&str; 3]; 2] = [
    [
        "/zookeeper/quota/a",
        "/zookeeper/quota/a/zookeeper_limits",
        "/zookeeper/quota/a/zookeeper_stats",
    ],
    [
        "/zookeeper/quota/b",
        "/zookeeper/quota/b/zookeeper_limits",
        "/zookeeper/quota/b/zookeeper_stats",
    ],
];

const LIMITS: [&[u8]; 6] = [
    b"countHardLimit=3",
    b"count=2,countHardLimit=7;byteHardLimit=300",
    b"countHardLimit=15",
    b"byteHardLimit=60",
    b"count=-1,bytes=-1;byteHardLimit=200;countHardLimit=-1",
    b"count=2,bytes=5",
];

impl Client {
    /// A client that has not connected. `number` picks its secret.
    pub fn new(timeout_ms: i32, without: Vec<Operation>, number: usize) -> Self {
        Self {
            life: Life::Away,
            conn: None,
            session: SessionId::NONE,
            password: [0; 16],
            last_zxid: Zxid::ZERO,
            next_xid: 1,
            in_flight: VecDeque::new(),
            inbox: Vec::new(),
            timeout_ms,
            idle: false,
            deaf_until: 0,
            silent_until: 0,
            heard_at: 0,
            wrote: false,
            proved: false,
            probing: false,
            probes: Vec::new(),
            secret: number,
            without,
            willing: false,
            quotas: false,
            read_only: false,
            read_only_answers: 0,
        }
    }

    /// A server that is silent for so long is left for another one, µs.
    pub fn patience_us(&self) -> u64 {
        self.timeout_ms as u64 * 1000 * 2 / 3
    }

    /// Is the connection gone, as far as it knows?
    pub fn cut_off(&mut self) {
        self.life = Life::Away;
        self.conn = None;
        self.in_flight.clear();
        self.probes.clear();
        self.inbox.clear();
    }

    /// The first frame of a new connection.
    pub fn greet(&mut self, conn: ConnId, rng: &mut Rng) -> Vec<u8> {
        self.conn = Some(conn);
        self.life = Life::Greeting;
        let mut bytes = Vec::new();
        let wrong = rng.one_in(60) && !self.lacks(Operation::Malformed);
        let password = if wrong { [7; 16] } else { self.password };
        let request = ConnectRequest {
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.timeout_ms,
            session: self.session,
            password: &password,
            read_only: if rng.one_in(3) && !self.willing { None } else { Some(self.willing) },
        };
        request.encode(&mut bytes);
        bytes
    }

    /// Goes on with another session; what it has seen it has seen. The old one is left to expire.
    pub fn forget_session(&mut self) {
        self.session = SessionId::NONE;
        self.password = [0; 16];
    }

    fn lacks(&self, operation: Operation) -> bool {
        self.without.contains(&operation)
    }

    /// Reads what has arrived; true when an answer to a request was among it.
    pub fn read(&mut self, bytes: &[u8]) -> u64 {
        self.inbox.extend_from_slice(bytes);
        let inbox = std::mem::take(&mut self.inbox);
        let mut r = Reader::new(&inbox);
        let mut rest = inbox.len();
        let mut answered = 0;
        while let Ok(Some(frame)) = r.buffer() {
            rest = r.rest().len();
            if self.life == Life::Greeting {
                self.on_welcome(frame);
                continue;
            }
            let mut r = Reader::new(frame);
            let (Ok(xid), Ok(zxid), Ok(err)) = (r.int(), r.long(), r.int()) else { continue };
            if zxid > 0 {
                self.last_zxid = Zxid(zxid);
            }
            if self.in_flight.front() == Some(&xid) {
                self.in_flight.pop_front();
                answered += 1;
                self.wrote |= err == 0;
                // Refused for what it asks is answered as well: it has its place in the order.
                let probes = self.probes.len();
                self.probes.retain(|probe| *probe != xid);
                self.proved |=
                    self.probes.len() < probes && !matches!(err, -1 | -4 | -112 | -118 | -119);
                self.read_only_answers += u64::from(self.read_only);
            }
        }
        self.inbox = inbox[inbox.len() - rest..].to_vec();
        answered
    }

    fn on_welcome(&mut self, frame: &[u8]) {
        let Ok(response) = ConnectResponse::decode(frame) else { return };
        if response.timeout_ms <= 0 {
            // Expired, or never known: a new session, and nothing of the old one counts.
            self.forget_session();
            self.cut_off();
            return;
        }
        self.read_only = response.read_only == Some(true);
        self.session = response.session;
        self.password = response.password;
        self.life = Life::Up;
    }

    fn xid(&mut self) -> i32 {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.in_flight.push_back(xid);
        xid
    }

    /// What a client sends that only wants to stay alive.
    pub fn ping(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Request::Ping.encode(Xid::PING, &mut bytes);
        bytes
    }

    /// What a client sends first after it came back, now and then.
    pub fn come_back(&mut self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.lacks(Operation::Watches) || rng.one_in(2) {
            return bytes;
        }
        let mut paths = || {
            let n = rng.below(3);
            Some((0..n).map(|_| Cow::from(path(rng, 2))).collect::<Vec<_>>())
        };
        let watches = SetWatches {
            relative_zxid: self.last_zxid,
            data: paths(),
            exist: paths(),
            child: paths(),
            persistent: paths(),
            recursive: paths(),
        };
        let xid = self.xid();
        Request::SetWatches2(watches).encode(Xid(xid), &mut bytes);
        bytes
    }

    /// A write that must get through.
    pub fn probe(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let xid = self.xid();
        self.probes.push(xid);
        let request =
            Request::SetData { path: Some("/".into()), data: Some(b"probe"), version: -1 };
        request.encode(Xid(xid), &mut bytes);
        bytes
    }

    /// Some work: a request of any kind, sometimes a wrong one.
    pub fn work(&mut self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.lacks(Operation::Malformed) && rng.one_in(150) {
            return self.nonsense(rng);
        }
        // Now and then more than two sectors of a disk, and no zeros, which would look like sectors that never arrived.
        let (byte, large) = (rng.below(256) as u8, rng.clone().one_in(100));
        let data = if large { [byte | 1; 40 * LARGER] } else { [byte; 40 * LARGER] };
        let times = if large { LARGER } else { 1 };
        let data = if rng.one_in(8) { None } else { Some(&data[..rng.below(41) as usize * times]) };
        let request = self.request(data, rng);
        if matches!(request, Request::Auth { .. }) {
            request.encode(Xid(-4), &mut bytes);
        } else {
            let xid = self.xid();
            request.encode(Xid(xid), &mut bytes);
        }
        bytes
    }

    fn nonsense(&mut self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        let xid = self.xid();
        let kind = *rng.pick(&[1, 4, 5, 14, 14, 77, 106]);
        let n = rng.below(30) as usize;
        bytes.extend_from_slice(&(8 + n as u32).to_be_bytes());
        bytes.extend_from_slice(&xid.to_be_bytes());
        bytes.extend_from_slice(&i32::to_be_bytes(kind));
        bytes.extend((0..n).map(|_| rng.draw() as u8));
        bytes
    }

    fn request<'a>(&self, data: Option<&'a [u8]>, rng: &mut Rng) -> Request<'a> {
        if self.quotas && rng.one_in(12) {
            return self.quota_request(rng);
        }
        let watch = !self.lacks(Operation::Watches) && rng.one_in(4);
        let some = |rng: &mut Rng| Some(Cow::from(path(rng, 3)));
        let version = |rng: &mut Rng| if rng.one_in(4) { rng.below(3) as i32 } else { -1 };
        let kinds = if self.lacks(Operation::Reads) { 52 } else { 100 };
        match rng.below(kinds) {
            0..30 => Request::Create(self.create(data, rng)),
            30..42 => Request::SetData { path: some(rng), data, version: version(rng) },
            42..52 => Request::Delete { path: some(rng), version: version(rng) },
            52..60 => Request::GetData { path: some(rng), watch },
            60..65 => Request::Exists { path: some(rng), watch },
            65..70 => Request::GetChildren2 { path: some(rng), watch },
            70..73 => Request::GetChildren { path: some(rng), watch },
            73..76 => Request::Sync { path: some(rng) },
            76..86 if !self.lacks(Operation::Multi) => self.multi(data, rng),
            86..89 if !self.lacks(Operation::Acls) => self.acl_request(rng),
            89..93 if !self.lacks(Operation::Watches) => self.watch_request(rng),
            93 => Request::GetAllChildrenNumber { path: some(rng) },
            94 => Request::GetEphemerals { prefix: None },
            95 => Request::WhoAmI,
            96 if !self.lacks(Operation::SessionChurn) && rng.one_in(4) => Request::CloseSession,
            _ => Request::GetData { path: some(rng), watch: false },
        }
    }

    /// Both or none of the limits and the figures are there: with one alone, nothing would be counted for a while.
    fn quota_request<'a>(&self, rng: &mut Rng) -> Request<'a> {
        let [home, limits, stats] = *rng.pick(&QUOTAS);
        let data = Some(*rng.pick(&LIMITS));
        let create = |path: &'static str, data: Option<&'static [u8]>| {
            let (op, acl) = (OpCode::Create, vec![grant(31, "world", "anyone")]);
            MultiOp::Create(Create { op, path: Some(path.into()), data, acl, flags: 0, ttl_ms: -1 })
        };
        let delete = |path: &'static str| MultiOp::Delete { path: path.into(), version: -1 };
        match rng.below(12) {
            0..4 => {
                Request::Multi(vec![create(home, None), create(limits, data), create(stats, None)])
            }
            4 => Request::Multi(vec![delete(stats), delete(limits), delete(home)]),
            5..9 => Request::SetData { path: Some(limits.into()), data, version: -1 },
            _ => Request::GetData { path: Some(stats.into()), watch: false },
        }
    }

    fn acl_request<'a>(&self, rng: &mut Rng) -> Request<'a> {
        let path = Some(Cow::from(path(rng, 2)));
        match rng.below(3) {
            0 => {
                let secret: &'static [u8] = [b"u:1".as_slice(), b"u:2", b"u:3"][self.secret % 3];
                Request::Auth { scheme: Some("digest".into()), auth: Some(secret) }
            }
            1 => Request::GetAcl { path },
            _ => Request::SetAcl { path, acl: self.acl(rng), version: -1 },
        }
    }

    fn watch_request<'a>(&self, rng: &mut Rng) -> Request<'a> {
        let mode = if rng.one_in(2) { WatchMode::Persistent } else { WatchMode::Recursive };
        let kinds = [WatcherType::Any, WatcherType::Data, WatcherType::Recursive];
        let path = Some(Cow::from(path(rng, 2)));
        match rng.below(4) {
            0 => Request::RemoveWatches { path, kind: *rng.pick(&kinds) },
            1 => Request::CheckWatches { path, kind: *rng.pick(&kinds) },
            _ => Request::AddWatch { path, mode },
        }
    }

    fn multi<'a>(&self, data: Option<&'a [u8]>, rng: &mut Rng) -> Request<'a> {
        let data = data.map(|data| &data[..data.len().min(40)]);
        if rng.one_in(4) {
            let op = |rng: &mut Rng| ReadOp::GetData { path: Some(path(rng, 3).into()) };
            return Request::MultiRead((0..rng.below(4)).map(|_| op(rng)).collect());
        }
        let op = |rng: &mut Rng| match rng.below(4) {
            0 => MultiOp::Delete { path: path(rng, 3).into(), version: version(rng) },
            1 => MultiOp::SetData { path: path(rng, 2).into(), data, version: version(rng) },
            2 => MultiOp::Check { path: path(rng, 2).into(), version: version(rng) },
            _ => {
                let create = self.create(data, rng);
                // Inside a multi the server reads the mode differently; these mean the same alone.
                MultiOp::Create(Create {
                    op: OpCode::Create,
                    flags: create.flags % 4,
                    ttl_ms: -1,
                    ..create
                })
            }
        };
        Request::Multi((0..rng.below(4)).map(|_| op(rng)).collect())
    }

    fn create<'a>(&self, data: Option<&'a [u8]>, rng: &mut Rng) -> Create<'a> {
        let ops = [OpCode::Create, OpCode::Create, OpCode::Create2];
        let mut op = *rng.pick(&ops);
        let ephemeral = !self.lacks(Operation::Ephemerals) && rng.one_in(4);
        let mut flags = i32::from(ephemeral) + 2 * i32::from(rng.one_in(6));
        let mut ttl_ms = -1;
        if !self.lacks(Operation::Containers) && rng.one_in(10) {
            (op, flags) = (OpCode::CreateContainer, 4);
            if rng.one_in(2) {
                (op, flags, ttl_ms) = (OpCode::CreateTtl, 5, 1 + rng.below(90_000) as i64);
            }
        }
        Create { op, path: Some(path(rng, 3).into()), data, acl: self.acl(rng), flags, ttl_ms }
    }

    fn acl<'a>(&self, rng: &mut Rng) -> Vec<AclSpec<'a>> {
        if self.lacks(Operation::Acls) || !rng.one_in(12) {
            return vec![grant(31, "world", "anyone")];
        }
        match rng.below(4) {
            0 => vec![grant(31, "auth", "")],
            1 => vec![grant(13, "world", "anyone"), grant(31, "auth", "")],
            2 => vec![grant(31, "ip", "127.0.0.1")],
            _ => vec![],
        }
    }
}

fn grant<'a>(perms: i32, scheme: &'static str, id: &'static str) -> AclSpec<'a> {
    AclSpec { perms: Perms(perms), scheme: Some(scheme.into()), id: Some(id.into()) }
}

/// Mostly any; the low ones are those of znodes that were written a few times. Drawn aside, so that what follows in the
/// stream stays what it was.
fn version(rng: &Rng) -> i32 {
    let mut aside = rng.clone();
    if aside.one_in(6) { aside.below(4) as i32 } else { -1 }
}

fn path(rng: &mut Rng, depth: u64) -> String {
    if rng.one_in(40) {
        return "/".into();
    }
    (0..rng.between(1, depth)).map(|_| format!("/{}", rng.pick(&NAMES))).collect()
}
