//! A server through its public door, with a disk in memory that never fails.

use std::collections::BTreeMap;
use zoetrope_core::wire::{ConnectRequest, ConnectResponse, Reader, Request, Stat};
use zoetrope_core::*;

/// Carries out every effect at once.
struct Bench {
    server: Server,
    files: BTreeMap<String, Vec<u8>>,
    snapshot: Vec<u8>,
    replies: BTreeMap<ConnId, Vec<u8>>,
    closed: Vec<ConnId>,
    milestones: Vec<Milestone>,
    now: Now,
}

enum Fact {
    Reserved(FileId, u64),
    Durable(u32, u64),
    Written(u64),
    Named(Zxid),
    Read(FileId, u64, Vec<u8>),
}

impl Bench {
    fn start(files: BTreeMap<String, Vec<u8>>, config: Config) -> Self {
        let dir = |name: &str| if name.starts_with("snap") { Dir::Snapshot } else { Dir::Log };
        let place = |name: &String| FilePlace { dir: dir(name), name: name.clone() };
        let listing = Listing {
            files: files.iter().map(|(name, bytes)| (place(name), bytes.len() as u64)).collect(),
            same_dir: true,
            ..Listing::default()
        };
        let now = Now { mono: Instant::from_ms(1), wall_ms: 1_700_000_000_000 };
        let mut bench = Self {
            server: Server::new(config, 7, now, listing),
            files,
            snapshot: Vec::new(),
            replies: BTreeMap::new(),
            closed: Vec::new(),
            milestones: Vec::new(),
            now,
        };
        bench.run();
        bench
    }

    fn input(&mut self, input: &Input<'_>) {
        self.server.input(self.now, input);
    }

    fn run(&mut self) {
        loop {
            let facts = self.turn();
            if facts.is_empty() {
                return;
            }
            for fact in facts {
                match fact {
                    Fact::Reserved(file, upto) => self.input(&Input::Reserved { file, upto }),
                    Fact::Durable(branch, upto) => self.input(&Input::Durable { branch, upto }),
                    Fact::Written(upto) => self.input(&Input::SnapWritten { upto }),
                    Fact::Named(zxid) => self.input(&Input::SnapDurable { zxid }),
                    Fact::Read(file, at, bytes) => {
                        self.input(&Input::ReadDone { file, at, bytes: &bytes });
                    }
                }
            }
        }
    }

    fn turn(&mut self) -> Vec<Fact> {
        let turn = self.server.effects(self.now);
        let mut facts = Vec::new();
        let name = |file| turn.place(file).name.clone();
        for effect in turn.effects() {
            match *effect {
                Effect::Reserve { file, upto } => {
                    let bytes = self.files.entry(name(file)).or_default();
                    bytes.resize(bytes.len().max(upto as usize), 0);
                    facts.push(Fact::Reserved(file, upto));
                }
                Effect::Append { file, at, bytes } => {
                    let bytes = turn.bytes(bytes);
                    let at = at as usize;
                    let into = self.files.get_mut(&name(file)).expect("room was reserved");
                    into[at..at + bytes.len()].copy_from_slice(bytes);
                }
                Effect::Fsync { branch, upto, .. } => facts.push(Fact::Durable(branch, upto)),
                Effect::Rename { from, to } => {
                    let bytes = self.files.remove(&name(from)).expect("it is there");
                    self.files.insert(name(to), bytes);
                }
                Effect::Truncate { file, at } => {
                    self.files.get_mut(&name(file)).expect("it is there").truncate(at as usize);
                }
                Effect::SnapSlice { at, bytes } => {
                    self.snapshot.truncate(at as usize);
                    self.snapshot.extend_from_slice(turn.bytes(bytes));
                    facts.push(Fact::Written(self.snapshot.len() as u64));
                }
                Effect::SnapFinish { file, zxid } => {
                    self.files.insert(name(file), std::mem::take(&mut self.snapshot));
                    facts.push(Fact::Named(zxid));
                }
                Effect::Read { file, at, len } => {
                    let bytes = &self.files[&name(file)];
                    let from = bytes.len().min(at as usize);
                    let to = bytes.len().min(from + len as usize);
                    facts.push(Fact::Read(file, at, bytes[from..to].to_vec()));
                }
                Effect::Remove { file } => {
                    self.files.remove(&name(file));
                }
                Effect::Reply { conn } => {
                    self.replies.entry(conn).or_default().extend_from_slice(turn.reply(conn));
                }
                Effect::Close { conn } => self.closed.push(conn),
                Effect::Report(milestone) => self.milestones.push(milestone),
                Effect::Halt => panic!("halted: {:?}", turn.halted()),
                Effect::FsyncDir
                | Effect::PutEpochs { .. }
                | Effect::SendPeer { .. }
                | Effect::Connect { .. }
                | Effect::Disconnect { .. }
                | Effect::PausePeer { .. }
                | Effect::ResumePeer { .. }
                | Effect::Pause { .. }
                | Effect::Resume { .. }
                | Effect::SetTimer { .. } => {}
            }
        }
        facts
    }

    fn connect(&mut self, conn: u64) -> SessionId {
        let conn = ConnId(conn);
        let addr = "127.0.0.1".parse().unwrap();
        self.input(&Input::Opened { conn, addr, port: 5, secure: false, identities: vec![] });
        let mut bytes = Vec::new();
        let request = ConnectRequest {
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session: SessionId::NONE,
            password: &[0; 16],
            read_only: Some(false),
        };
        request.encode(&mut bytes);
        self.input(&Input::Requests { conn, bytes: &bytes });
        self.run();
        let reply = self.replies.remove(&conn).expect("a connect response");
        ConnectResponse::decode(&reply[4..]).unwrap().session
    }

    /// Sends requests in one go; answers all frames that come back, as error code and body.
    fn ask(&mut self, conn: u64, requests: &[Request<'_>]) -> Vec<(i32, Vec<u8>)> {
        let conn = ConnId(conn);
        let mut bytes = Vec::new();
        for (n, request) in requests.iter().enumerate() {
            request.encode(Xid(n as i32 + 1), &mut bytes);
        }
        self.input(&Input::Requests { conn, bytes: &bytes });
        self.run();
        let bytes = self.replies.remove(&conn).unwrap_or_default();
        let mut r = Reader::new(&bytes);
        let mut frames = Vec::new();
        while let Ok(Some(frame)) = r.buffer() {
            let mut r = Reader::new(frame);
            let (_xid, _zxid, err) = (r.int().unwrap(), r.long().unwrap(), r.int().unwrap());
            frames.push((err, r.rest().to_vec()));
        }
        frames
    }
}

fn create(path: &str) -> Request<'_> {
    use zoetrope_core::wire::{AclSpec, Create, OpCode, Perms};
    let open =
        AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    Request::Create(Create {
        op: OpCode::Create,
        path: Some(path.into()),
        data: Some(b"x"),
        acl: vec![open],
        flags: 0,
        ttl_ms: -1,
    })
}

fn get(path: &str) -> Request<'_> {
    Request::GetData { path: Some(path.into()), watch: false }
}

#[test]
fn pipelined_writes_and_reads_are_answered_in_order() {
    let mut bench = Bench::start(BTreeMap::new(), Config::default());
    bench.connect(1);
    let replies =
        bench.ask(1, &[create("/a"), create("/a/b"), get("/a/b"), create("/a"), get("/nope")]);
    let errors: Vec<i32> = replies.iter().map(|(err, _)| *err).collect();
    assert_eq!(errors, [0, 0, 0, -110, -101]);
    let mut r = Reader::new(&replies[2].1);
    assert_eq!(r.buffer(), Ok(Some(&b"x"[..])));
    assert_eq!(Stat::decode(&mut r).unwrap().czxid, Zxid(3));
}

#[test]
fn a_restart_finds_everything_that_was_acknowledged() {
    let mut bench = Bench::start(BTreeMap::new(), Config::default());
    let session = bench.connect(1);
    let many: Vec<String> = (0..300).map(|n| format!("/n{n}")).collect();
    let requests: Vec<Request<'_>> = many.iter().map(|path| create(path)).collect();
    assert!(bench.ask(1, &requests).iter().all(|(err, _)| *err == 0));
    let before = bench.server.status();
    let again = Bench::start(bench.files, Config::default());
    let after = again.server.status();
    assert_eq!((after.zxid_applied, after.digest), (before.zxid_applied, before.digest));
    assert_eq!(after.digest_mismatches, 0);
    assert_eq!(again.server.sessions().map(|s| s.session).collect::<Vec<_>>(), [session]);
}

#[test]
fn logs_roll_snapshots_are_taken_and_old_files_go() {
    let mut config = Config::default();
    config.storage.snap_count = 20;
    let mut bench = Bench::start(BTreeMap::new(), config.clone());
    bench.connect(1);
    for n in 0..30 {
        let paths: Vec<String> = (0..10).map(|k| format!("/n{n}-{k}")).collect();
        let requests: Vec<Request<'_>> = paths.iter().map(|path| create(path)).collect();
        assert!(bench.ask(1, &requests).iter().all(|(err, _)| *err == 0));
    }
    let snapshots = bench.files.keys().filter(|name| name.starts_with("snapshot.")).count();
    assert_eq!(snapshots, 3, "{:?}", bench.files.keys());
    assert!(bench.milestones.iter().any(|m| matches!(m, Milestone::Purged { .. })));
    let before = bench.server.status().digest;
    let again = Bench::start(bench.files, config);
    assert_eq!(again.server.status().digest, before);
}

#[test]
fn a_short_request_cannot_ask_for_an_endless_answer() {
    use zoetrope_core::wire::ReadOp;
    let mut bench = Bench::start(BTreeMap::new(), Config::default());
    bench.connect(1);
    let data = vec![7; 500_000];
    bench.ask(1, &[create("/a")]);
    bench.ask(1, &[Request::SetData { path: Some("/a".into()), data: Some(&data), version: -1 }]);
    let many = |n| {
        Request::MultiRead((0..n).map(|_| ReadOp::GetData { path: Some("/a".into()) }).collect())
    };
    let replies = bench.ask(1, &[many(8), many(30_000), get("/a")]);
    let seen: Vec<(i32, usize)> = replies.iter().map(|(err, body)| (*err, body.len())).collect();
    assert_eq!(seen, [(0, 8 * 500_081 + 9), (-8, 0), (0, 500_072)]);
}

#[test]
fn a_connection_proves_no_endless_number_of_identities() {
    let mut bench = Bench::start(BTreeMap::new(), Config::default());
    bench.connect(1);
    let secret = |n: usize| format!("{n:03}{}:p", "u".repeat(1000)).into_bytes();
    let auth = |n| {
        let secret = secret(n);
        let request = Request::Auth { scheme: Some("digest".into()), auth: Some(&secret) };
        let mut bytes = Vec::new();
        request.encode(Xid(-4), &mut bytes);
        bytes
    };
    let mut accepted = 0;
    while bench.closed.is_empty() {
        bench.input(&Input::Requests { conn: ConnId(1), bytes: &auth(accepted % 60) });
        bench.run();
        accepted += 1;
        // The same identity again is none more.
        if accepted == 120 {
            break;
        }
    }
    assert_eq!((accepted, bench.closed.len()), (120, 0));
    for n in 60..100 {
        bench.input(&Input::Requests { conn: ConnId(1), bytes: &auth(n) });
        bench.run();
    }
    assert_eq!(bench.closed, [ConnId(1)]);
}
