//! A server over a data directory in memory, with a disk that never fails unless a test says so.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod play;

use flate2::read::GzDecoder;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use zoetrope_core::wire::{ConnectRequest, ConnectResponse, Reader, Request};
use zoetrope_core::*;

/// Files of a data directory by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A server over a data directory in memory.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) files: Files,
    listing: Vec<String>,
    unreadable: BTreeSet<String>,
    /// Slices of a snapshot are answered one by one, by [`Bench::write_slice`].
    pub(crate) slow_snapshot: bool,
    slice: Option<u64>,
    /// The log's fsyncs are answered by [`Bench::sync_log`].
    pub(crate) slow_log: bool,
    unsynced: Vec<(u32, u64)>,
    /// The disk has no room.
    pub(crate) full: bool,
    snapshot: Vec<u8>,
    pub(crate) replies: Vec<u8>,
    pub(crate) milestones: Vec<Milestone>,
    pub(crate) halted: Option<String>,
    /// The server has ended the connection.
    pub(crate) closed: bool,
    pub(crate) now: Now,
    /// What was sent to other servers.
    pub(crate) sent: Vec<(ChanId, Vec<u8>)>,
    /// Links that are not read from.
    pub(crate) paused: BTreeSet<ChanId>,
    /// Links the server has given up.
    pub(crate) given_up: BTreeSet<ChanId>,
    /// Links the server has asked for.
    pub(crate) asked_for: Vec<(Sid, Link)>,
}

const NOW: Now = Now { mono: Instant(1), wall_ms: 1_795_400_000_000 };
const CONN: ConnId = ConnId(1);

impl Bench {
    pub(crate) fn start(files: Files, config: Config) -> Self {
        Self::start_without(files, config, &[])
    }

    /// Starts while some files cannot be read.
    pub(crate) fn start_without(files: Files, config: Config, unreadable: &[&str]) -> Self {
        let dir = |name: &str| if name.starts_with("snap") { Dir::Snapshot } else { Dir::Log };
        let place = |name: &String| FilePlace { dir: dir(name), name: name.clone() };
        let listing = Listing {
            files: files.iter().map(|(name, bytes)| (place(name), bytes.len() as u64)).collect(),
            same_dir: true,
            ..Listing::default()
        };
        let mut bench = Self {
            server: Server::new(config, 7, NOW, listing),
            listing: files.keys().cloned().collect(),
            unreadable: unreadable.iter().map(|name| (*name).to_owned()).collect(),
            slow_snapshot: false,
            slice: None,
            slow_log: false,
            unsynced: Vec::new(),
            full: false,
            files,
            snapshot: Vec::new(),
            replies: Vec::new(),
            milestones: Vec::new(),
            halted: None,
            closed: false,
            now: NOW,
            sent: Vec::new(),
            paused: BTreeSet::new(),
            given_up: BTreeSet::new(),
            asked_for: Vec::new(),
        };
        bench.run();
        bench
    }

    /// Carries out effects until there are none.
    #[allow(clippy::too_many_lines)] // One arm for each effect.
    fn run(&mut self) {
        loop {
            let mut facts: Vec<Fact> = Vec::new();
            let now = self.now;
            let turn = self.server.effects(self.now);
            self.halted = turn.halted().map(str::to_owned);
            for effect in turn.effects() {
                let name = |file| turn.place(file).name.clone();
                match *effect {
                    Effect::Reserve { file, .. } if self.full => facts.push(Box::new(move |s| {
                        s.input(now, &Input::NoRoom { file });
                    })),
                    Effect::Reserve { file, upto } => {
                        let bytes = self.files.entry(name(file)).or_default();
                        bytes.resize(bytes.len().max(upto as usize), 0);
                        facts.push(Box::new(move |s| {
                            s.input(now, &Input::Reserved { file, upto });
                        }));
                    }
                    Effect::Append { file, at, bytes } => {
                        let (at, bytes) = (at as usize, turn.bytes(bytes));
                        let into = self.files.get_mut(&name(file)).expect("room was reserved");
                        into[at..at + bytes.len()].copy_from_slice(bytes);
                    }
                    Effect::Fsync { branch, upto, .. } if self.slow_log => {
                        self.unsynced.push((branch, upto));
                    }
                    Effect::Fsync { branch, upto, .. } => facts.push(Box::new(move |s| {
                        s.input(now, &Input::Durable { branch, upto });
                    })),
                    Effect::Rename { from, to } => {
                        let bytes = self.files.remove(&name(from)).expect("it is there");
                        self.files.insert(name(to), bytes);
                    }
                    Effect::Truncate { file, at } => {
                        let bytes = self.files.get_mut(&name(file)).expect("it is there");
                        bytes.truncate(at as usize);
                    }
                    Effect::SnapSlice { at, bytes } => {
                        self.snapshot.truncate(at as usize);
                        self.snapshot.extend_from_slice(turn.bytes(bytes));
                        let upto = self.snapshot.len() as u64;
                        if self.slow_snapshot {
                            self.slice = Some(upto);
                            continue;
                        }
                        facts.push(Box::new(move |s| {
                            s.input(now, &Input::SnapWritten { upto });
                        }));
                    }
                    Effect::SnapFinish { file, zxid } => {
                        self.files.insert(name(file), std::mem::take(&mut self.snapshot));
                        facts.push(Box::new(move |s| {
                            s.input(now, &Input::SnapDurable { zxid });
                        }));
                    }
                    Effect::Read { file, .. } if self.unreadable.contains(&name(file)) => {
                        facts.push(Box::new(move |s| {
                            s.input(
                                now,
                                &Input::ReadFailed { file, at: 0, error: "no permission" },
                            );
                        }));
                    }
                    Effect::Read { file, at, len } => {
                        let bytes = read(&name(file), &self.files[&name(file)], at, len);
                        facts.push(Box::new(move |s| {
                            s.input(now, &Input::ReadDone { file, at, bytes: &bytes });
                        }));
                    }
                    Effect::Remove { file } | Effect::Discard { file } => {
                        self.files.remove(&name(file));
                    }
                    Effect::Reply { conn } => self.replies.extend_from_slice(turn.reply(conn)),
                    Effect::Report(milestone) => self.milestones.push(milestone),
                    Effect::Close { .. } => self.closed = true,
                    Effect::PutEpochs { generation, .. } => facts.push(Box::new(move |s| {
                        s.input(now, &Input::EpochsDurable { generation });
                    })),
                    Effect::SendPeer { chan, bytes } => {
                        self.sent.push((chan, turn.bytes(bytes).to_vec()));
                    }
                    Effect::PausePeer { chan } => {
                        self.paused.insert(chan);
                    }
                    Effect::ResumePeer { chan } => {
                        self.paused.remove(&chan);
                    }
                    Effect::Disconnect { chan } => {
                        self.given_up.insert(chan);
                    }
                    Effect::Connect { sid, link } => self.asked_for.push((sid, link)),
                    Effect::Halt
                    | Effect::FsyncDir
                    | Effect::Pause { .. }
                    | Effect::Resume { .. }
                    | Effect::SetTimer { .. } => {}
                }
            }
            if facts.is_empty() {
                return;
            }
            for fact in facts {
                fact(&mut self.server);
            }
        }
    }

    /// Answers the slice under way; false when there is none.
    pub(crate) fn write_slice(&mut self) -> bool {
        let Some(upto) = self.slice.take() else { return false };
        self.server.input(self.now, &Input::SnapWritten { upto });
        self.run();
        true
    }

    /// Answers the log's fsyncs that were not.
    pub(crate) fn sync_log(&mut self) {
        for (branch, upto) in std::mem::take(&mut self.unsynced) {
            self.server.input(self.now, &Input::Durable { branch, upto });
        }
        self.run();
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.tell(&Input::Command(command));
    }

    /// Something has happened.
    pub(crate) fn tell(&mut self, input: &Input<'_>) {
        self.server.input(self.now, input);
        self.run();
    }

    /// Bytes that were sent on a link.
    pub(crate) fn sent_on(&self, chan: ChanId) -> Vec<u8> {
        let of_link = |(at, bytes): &(ChanId, Vec<u8>)| (*at == chan).then(|| bytes.clone());
        self.sent.iter().filter_map(of_link).flatten().collect()
    }

    /// The other end has read everything.
    pub(crate) fn read_all(&mut self, chan: ChanId) {
        let upto = self.sent_on(chan).len() as u64;
        self.tell(&Input::PeerSent { chan, upto });
    }

    /// Time passes, and a timer rings.
    pub(crate) fn ring_after(&mut self, ms: u64, id: Timer) {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.now.wall_ms += ms as i64;
        self.tell(&Input::Timer { id });
    }

    /// A new connection's greeting, and its answer if there is one.
    pub(crate) fn greet(
        &mut self,
        conn: ConnId,
        request: &ConnectRequest<'_>,
    ) -> Option<(SessionId, [u8; 16], i32, Option<bool>)> {
        let addr = "127.0.0.1".parse().unwrap();
        self.closed = false;
        let identities = vec![];
        self.tell(&Input::Opened { conn, addr, port: 1, secure: false, identities });
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let reply = self.send_on(conn, &bytes);
        let told = ConnectResponse::decode(reply.get(4..)?).ok()?;
        Some((told.session, told.password, told.timeout_ms, told.read_only))
    }

    /// Opens a session.
    pub(crate) fn connect(&mut self) -> SessionId {
        let addr = "127.0.0.1".parse().unwrap();
        let identities = vec![];
        self.server.input(
            self.now,
            &Input::Opened { conn: CONN, addr, port: 1, secure: false, identities },
        );
        let mut bytes = Vec::new();
        let request = ConnectRequest {
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session: SessionId::NONE,
            password: &[0; 16],
            read_only: Some(false),
        };
        request.encode(&mut bytes);
        let reply = self.send(&bytes);
        ConnectResponse::decode(&reply[4..]).unwrap().session
    }

    /// Sends bytes; answers all that come back.
    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.send_on(CONN, bytes)
    }

    pub(crate) fn send_on(&mut self, conn: ConnId, bytes: &[u8]) -> Vec<u8> {
        self.tell(&Input::Requests { conn, bytes });
        std::mem::take(&mut self.replies)
    }

    /// Sends requests in one go; answers all frames that come back, as error code and body.
    pub(crate) fn ask_all(&mut self, requests: &[Request<'_>]) -> Vec<(i32, Vec<u8>)> {
        let mut bytes = Vec::new();
        for (n, request) in requests.iter().enumerate() {
            request.encode(Xid(n as i32 + 1), &mut bytes);
        }
        let replies = self.send(&bytes);
        let mut r = Reader::new(&replies);
        let frames = std::iter::from_fn(|| r.buffer().ok().flatten());
        let parse = |frame: &[u8]| {
            let mut r = Reader::new(frame);
            let (_xid, _zxid, err) = (r.int().unwrap(), r.long().unwrap(), r.int().unwrap());
            (err, r.rest().to_vec())
        };
        frames.map(parse).collect()
    }

    /// Error code of the reply.
    pub(crate) fn try_ask(&mut self, request: &Request<'_>) -> i32 {
        self.ask_all(std::slice::from_ref(request))[0].0
    }

    /// The body of the reply; the request must succeed.
    pub(crate) fn ask(&mut self, request: &Request<'_>) -> Vec<u8> {
        let (error, body) = self.ask_all(std::slice::from_ref(request)).swap_remove(0);
        assert_eq!(error, 0, "{request:?}");
        body
    }

    pub(crate) fn name(&self, file: FileId) -> &str {
        &self.listing[file.0 as usize]
    }
}

type Fact = Box<dyn FnOnce(&mut Server)>;

/// What a driver reads: compressed files as what they decompress to.
fn read(name: &str, bytes: &[u8], at: u64, len: u32) -> Vec<u8> {
    let plain;
    let bytes = match Compression::of_name(name) {
        Compression::None => bytes,
        Compression::Gzip => {
            let mut all = Vec::new();
            GzDecoder::new(bytes).read_to_end(&mut all).unwrap();
            plain = all;
            &plain
        }
        Compression::Snappy => {
            plain = unsnap(bytes);
            &plain
        }
    };
    let from = bytes.len().min(at as usize);
    bytes[from..bytes.len().min(from + len as usize)].to_vec()
}

/// The stream of snappy-java: 16 bytes of header, then raw blocks, each behind its length.
fn unsnap(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = &bytes[16..];
    while let Some((len, behind)) = rest.split_first_chunk::<4>() {
        let (block, behind) = behind.split_at(u32::from_be_bytes(*len) as usize);
        plain.extend(snap::raw::Decoder::new().decompress_vec(block).unwrap());
        rest = behind;
    }
    plain
}
