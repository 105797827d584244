//! Servers that say anything, in any order: packets of every kind at every stage, on the way to be led and while leading.
//! Nothing of it may end this server, and it must start again on what is then on its disk. `ZOETROPE_SEEDS` asks for more
//! than the usual number of walks.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::*;
use zoetrope_core::*;

/// Steps of one walk.
const STEPS: u64 = 24;

/// A small generator (splitmix64).
struct Chance(u64);

impl Chance {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.draw(all.len() as u64) as usize].clone()
    }
}

fn walks() -> u64 {
    std::env::var("ZOETROPE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(100)
}

fn some_zxid(chance: &mut Chance, bench: &Bench) -> Zxid {
    let next = bench.server.status().zxid_proposed.next();
    let edges = [0, -1, 1, i64::MIN, i64::MIN | 1, i64::MAX, 1 << 32, 2 << 32 | 1];
    let far = [0x7fff_fffe << 32, 0x7fff_ffff << 32, 1 << 32 | 0xffff_ffff, 1 << 32 | 7];
    match chance.draw(10) {
        0..=4 if next.epoch() < Epoch(1) => zxid(1),
        0..=4 => next,
        5 => bench.server.zxid_applied(),
        6 | 7 => Zxid(chance.of(&edges)),
        8 => Zxid(chance.of(&far)),
        _ => zxid(chance.draw(6) as i64),
    }
}

/// Mostly that of a client of this server.
fn some_session(chance: &mut Chance, bench: &Bench) -> SessionId {
    let known: Vec<SessionId> = bench.server.connections().map(|conn| conn.session).collect();
    if !known.is_empty() && chance.draw(3) > 0 {
        return chance.of(&known);
    }
    let ids = [0, -1, i64::MIN, 5, 77, 0xff00_0000_0000_0001_u64 as i64, 1 << 56, i64::MAX];
    SessionId(chance.of(&ids))
}

const PATHS: [&str; 16] = [
    "/a",
    "/a/b",
    "/a/c",
    "/",
    "",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/config",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "//a",
    "/a/",
    "a",
    "/é",
    "/zookeeper/quota/zookeeper_limits",
];

fn some_path(chance: &mut Chance) -> Box<str> {
    chance.of(&PATHS).into()
}

fn some_data(chance: &mut Chance) -> Option<&'static [u8]> {
    const LIMITS: &[u8] = b"count=9223372036854775807,bytes=-9223372036854775808=;byteHardLimit=1";
    chance.of(&[None, Some(b"".as_slice()), Some(b"x"), Some(LIMITS), Some(b"count=1,bytes=1")])
}

fn some_txn(chance: &mut Chance, inside: bool) -> Txn {
    let path = some_path(chance);
    let numbers = [0, 1, -1, 3, i32::MAX, i32::MIN];
    let number = chance.of(&numbers);
    match chance.draw(if inside { 6 } else { 10 }) {
        0..=2 => {
            let plain = |ephemeral, with_stat| CreateKind::Plain { ephemeral, with_stat };
            let kinds = [
                plain(false, false),
                plain(true, true),
                plain(true, false),
                CreateKind::Container,
                CreateKind::Ttl { ttl_ms: i64::MAX },
            ];
            let kind = chance.of(&kinds);
            let data = some_data(chance).map(Into::into);
            let acls = [vec![], vec![Acl { perms: Perms(-1), scheme: "".into(), id: "\0".into() }]];
            let acl = chance.of(&acls).into();
            Txn::Create { path, data, acl, kind, parent_cversion: number }
        }
        3 => Txn::Delete { path, by_server: chance.draw(2) == 0 },
        4 => Txn::SetData {
            path,
            data: some_data(chance).map(Into::into),
            version: number,
            reconfig: chance.draw(2) == 0,
        },
        5 => Txn::Error { code: number },
        6 => Txn::SetAcl { path, acl: vec![].into(), version: number },
        7 => Txn::Multi((0..chance.draw(4)).map(|_| some_txn(chance, true)).collect()),
        8 => Txn::CreateSession { timeout_ms: number },
        _ => Txn::CloseSession { paths: Some(vec![path, some_path(chance)]) },
    }
}

fn some_request(chance: &mut Chance) -> Vec<u8> {
    let path = || Some("/a".into());
    let all =
        AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    let create = |chance: &mut Chance| Create {
        op: chance.of(&[OpCode::Create, OpCode::Create2, OpCode::CreateContainer]),
        path: Some(String::from(some_path(chance)).into()),
        data: some_data(chance),
        acl: vec![all.clone()],
        flags: chance.draw(5) as i32,
        ttl_ms: -1,
    };
    let request = match chance.draw(8) {
        0..=3 => Request::Create(create(chance)),
        4 => Request::Delete { path: Some(String::from(some_path(chance)).into()), version: -1 },
        5 => Request::SetData { path: path(), data: some_data(chance), version: -1 },
        6 => {
            let delete = MultiOp::Delete { path: "/a".into(), version: -1 };
            Request::Multi(vec![MultiOp::Create(create(chance)), delete])
        }
        _ => Request::CloseSession,
    };
    let mut bytes = Vec::new();
    request.encode(Xid(chance.draw(4) as i32), &mut bytes);
    bytes
}

/// A forwarded request: mostly one of a client, sometimes under another number, sometimes garbage.
fn some_forwarded(chance: &mut Chance, bench: &Bench) -> Vec<u8> {
    let frame = some_request(chance);
    let mut kind = i32::from_be_bytes(frame[8..12].try_into().unwrap());
    let mut body = frame[12..].to_vec();
    match chance.draw(6) {
        0 => {
            kind = OpCode::CreateSession.number();
            body = chance.of(&[0, -1, i32::MIN, i32::MAX, 4000]).to_be_bytes().to_vec();
        }
        1 => kind = chance.draw(110) as i32 - 12,
        2 => body.truncate(chance.draw(body.len() as u64 + 1) as usize),
        _ => {}
    }
    let (session, xid) = (some_session(chance, bench), Xid(chance.draw(3) as i32 - 1));
    let mut bytes = Vec::new();
    encode_request(&ForwardedRequest { session, xid, kind, body: &body }, None, &mut bytes);
    bytes
}

/// What a leader might say: the next proposal, and that it is committed.
fn a_txn(chance: &mut Chance, bench: &Bench) -> Vec<u8> {
    let zxid = bench.server.status().zxid_proposed.max(zxid(0)).next();
    let (session, cxid) = (some_session(chance, bench), Xid(chance.draw(3) as i32));
    let header = TxnHeader { session, cxid, zxid, time_ms: 1 };
    let (mut data, mut bytes) = (Vec::new(), Vec::new());
    encode_txn(&header, &some_txn(chance, false), None, &mut data);
    encode_packet(PacketKind::Proposal, zxid, Some(&data), &mut bytes);
    encode_packet(PacketKind::Commit, zxid, None, &mut bytes);
    bytes
}

/// Any packet; with what fits to its kind, or with anything.
fn some_packet(chance: &mut Chance, bench: &Bench) -> Vec<u8> {
    let kind = PacketKind::from_number(1 + chance.draw(19) as i32).unwrap();
    let kind = match chance.draw(6) {
        0 | 1 => PacketKind::Proposal,
        2 => PacketKind::Commit,
        _ => kind,
    };
    let zxid = match kind {
        PacketKind::Commit if chance.draw(3) > 0 => bench.server.zxid_applied().max(zxid(0)).next(),
        _ => some_zxid(chance, bench),
    };
    if kind == PacketKind::Request {
        return some_forwarded(chance, bench);
    }
    let mut data = Vec::new();
    match kind {
        PacketKind::Proposal | PacketKind::Inform | PacketKind::InformAndActivate => {
            if kind == PacketKind::InformAndActivate {
                encode_designated_leader(LEADER, &mut data);
            }
            let (session, cxid) = (some_session(chance, bench), Xid(chance.draw(3) as i32));
            let header = TxnHeader { session, cxid, zxid, time_ms: 1 };
            encode_txn(&header, &some_txn(chance, false), None, &mut data);
        }
        PacketKind::FollowerInfo | PacketKind::ObserverInfo => {
            let sid = Sid(chance.of(&[1, 2, 3, 9, -1, i64::MIN]));
            let config_version = chance.of(&[0, -1, i64::MAX]);
            let protocol_version = QUORUM_PROTOCOL;
            LearnerInfo { sid, protocol_version, config_version }.encode(&mut data);
        }
        PacketKind::AckEpoch => {
            encode_ack_epoch(chance.of(&[None, Some(Epoch(0)), Some(Epoch(7))]), &mut data);
        }
        PacketKind::LeaderInfo => encode_leader_info(&mut data),
        PacketKind::Ping | PacketKind::Revalidate => {
            let timeout_ms = chance.of(&[0, -1, i32::MIN, i32::MAX]);
            encode_touches(&[(some_session(chance, bench), timeout_ms)], &mut data);
        }
        _ => {}
    }
    if chance.draw(8) == 0 {
        data.truncate(chance.draw(data.len() as u64 + 1) as usize);
    }
    let data = Some(data).filter(|_| chance.draw(8) != 0);
    let mut bytes = Vec::new();
    encode_packet(kind, zxid, data.as_deref(), &mut bytes);
    bytes
}

/// Something happens that is no packet: a client comes or asks, time passes.
fn meanwhile(chance: &mut Chance, bench: &mut Bench) {
    let conn = ConnId(1 + chance.draw(3));
    match chance.draw(8) {
        0 => {
            let hello = ConnectRequest {
                last_zxid_seen: Zxid::ZERO,
                timeout_ms: 4_000,
                session: SessionId::NONE,
                password: &[0; 16],
                read_only: Some(true),
            };
            bench.tell(&Input::Closed { conn });
            bench.greet(conn, &hello);
        }
        1..=4 => {
            bench.send_on(conn, &some_request(chance));
        }
        5 => bench.ring_after(chance.of(&[1, 300, 6_000]), Timer::Tick),
        6 => bench.ring_after(300, Timer::Peers),
        _ => bench.ring_after(300, Timer::Election),
    }
}

fn told(bench: &mut Bench, chan: ChanId, bytes: &[u8]) {
    // The driver says nothing more of a link that was given up.
    if !bench.given_up.contains(&chan) {
        bench.tell(&Input::PeerFrames { chan, bytes });
    }
}

fn settings(chance: &mut Chance) -> Config {
    let mut config = config();
    config.local_sessions = chance.draw(2) == 0;
    config.local_sessions_upgrading = true;
    config.extended_types = true;
    config.enforce_quota = chance.draw(2) == 0;
    config.read_only_mode = chance.draw(2) == 0;
    config
}

/// What is on the disk then can be started on, and led.
fn starts_again(bench: &Bench, config: Config, seed: u64) {
    let mut again = Bench::start(bench.files.clone(), config);
    assert_eq!(again.halted, None, "seed {seed}");
    elect(&mut again);
}

#[test]
fn whatever_leaders_say() {
    for seed in 0..walks() {
        let mut chance = Chance(seed);
        let config = settings(&mut chance);
        let mut bench = Bench::start(Files::new(), config.clone());
        match chance.draw(5) {
            0 => elect(&mut bench),
            1 => {
                elect(&mut bench);
                offered(&mut bench);
            }
            2 => {
                elect(&mut bench);
                greeted(&mut bench);
            }
            _ => lead(&mut bench),
        }
        if chance.draw(3) == 0 {
            // Nothing but the root is left.
            for (counter, path) in
                (1..).zip(["/zookeeper/config", "/zookeeper/quota", "/zookeeper"])
            {
                let gone = Txn::Delete { path: path.into(), by_server: false };
                propose(&mut bench, counter, &gone);
                packet(&mut bench, PacketKind::Commit, zxid(counter), None);
            }
        }
        if chance.draw(3) == 0 {
            let (sid, link) = (Some(LEADER), Link::Quorum);
            let known = bench.server.phase() == Phase::Following;
            if !known {
                bench.tell(&Input::PeerDown { chan: STREAM });
                bench.given_up.clear();
                bench.tell(&Input::PeerUp { sid, chan: ChanId(20), link, addr: addr() });
            }
        }
        for _ in 0..STEPS {
            match chance.draw(9) {
                0..=2 => meanwhile(&mut chance, &mut bench),
                3 => {
                    let bytes = some_packet(&mut chance, &bench);
                    told(&mut bench, STREAM, &bytes);
                }
                _ => {
                    let bytes = a_txn(&mut chance, &bench);
                    told(&mut bench, STREAM, &bytes);
                }
            }
            if bench.halted.is_some() {
                break;
            }
        }
        starts_again(&bench, config, seed);
    }
}

#[test]
fn whatever_learners_say() {
    for seed in 0..walks() {
        let mut chance = Chance(seed);
        let config = settings(&mut chance);
        let mut bench = Bench::start(Files::new(), config.clone());
        match chance.draw(3) {
            0 => {
                let (sid, link) = (Some(Sid(3)), Link::Election);
                bench.tell(&Input::PeerUp { sid, chan: VOTES, link, addr: addr() });
                vote(&mut bench, VOTES, Sid(1));
            }
            _ => follow(&mut bench),
        }
        for chan in 30..33 {
            let (chan, link) = (ChanId(chan), Link::Quorum);
            bench.tell(&Input::PeerUp { sid: None, chan, link, addr: addr() });
        }
        for _ in 0..STEPS {
            let chan = ChanId(chance.of(&[STREAM.0, STREAM.0, 30, 31, 32]));
            match chance.draw(8) {
                0 | 1 => meanwhile(&mut chance, &mut bench),
                2 if !bench.given_up.contains(&chan) && bench.server.phase() == Phase::Leading => {
                    bench.tell(&Input::PeerDown { chan });
                    bench.given_up.insert(chan);
                }
                _ => {
                    let bytes = some_packet(&mut chance, &bench);
                    told(&mut bench, chan, &bytes);
                }
            }
            assert_eq!(bench.halted, None, "seed {seed}");
        }
        starts_again(&bench, config, seed);
    }
}

/// A real leader's stream with a few bytes changed.
#[test]
fn whatever_becomes_of_a_tree_on_its_way() {
    let mut leader = Bench::start(Files::new(), Config { force_snapshot_sync: true, ..config() });
    follow(&mut leader);
    leader.read_all(STREAM);
    let stream = leader.sent_on(STREAM);
    let (_, greeting) = decode_packet(&stream, 1 << 20).unwrap().unwrap();
    let stream = &stream[greeting..];
    assert_eq!(decode_packet(stream, 1 << 20).unwrap().unwrap().0.kind, PacketKind::Snap);
    for seed in 0..walks() {
        let mut chance = Chance(seed);
        let mut bench = Bench::start(Files::new(), config());
        elect(&mut bench);
        offered(&mut bench);
        let mut bytes = stream.to_vec();
        for _ in 0..1 + chance.draw(3) {
            let at = chance.draw(bytes.len() as u64) as usize;
            bytes[at] = chance.of(&[0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1]);
        }
        for piece in bytes.chunks(1 + chance.draw(200) as usize) {
            told(&mut bench, STREAM, piece);
        }
        for _ in 0..4 {
            let bytes = some_packet(&mut chance, &bench);
            told(&mut bench, STREAM, &bytes);
        }
        if bench.halted.is_none() {
            starts_again(&bench, config(), seed);
        }
    }
}
