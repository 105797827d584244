//! Every target for a bounded time, on samples with a few things wrong. `ZOETROPE_FUZZ_MS` is the time per target
//! (300 ms unless told otherwise), `ZOETROPE_FUZZ_SEED` chooses other inputs, `ZOETROPE_FUZZ_ONLY` runs a single one:
//! a failure says which.

use flate2::read::GzDecoder;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};
use zoetrope_core::wire::{AclSpec, Create, MultiOp, OpCode, Perms, ReadOp, Request, SetWatches};
use zoetrope_core::wire::{
    ConnectRequest, ForwardedRequest, LearnerInfo, Notification, PacketKind, PeerState, WatchMode,
    WatcherType, encode_hello, encode_notification, encode_packet, encode_request, encode_touches,
};
use zoetrope_core::{HostPort, SessionId, Sid, Xid, Zxid};
use zoetrope_fuzz::Mutator;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn run(name: &str, samples: Vec<Vec<u8>>, target: fn(&[u8])) {
    let seed = number("ZOETROPE_FUZZ_SEED").unwrap_or(0x5a4b);
    // The samples themselves must pass, or the inputs would resemble nothing.
    samples.iter().for_each(|sample| target(sample));
    let mutator = Mutator::new(samples, seed);
    if let Some(only) = number("ZOETROPE_FUZZ_ONLY") {
        return target(&mutator.input(only));
    }
    let until = Instant::now() + Duration::from_millis(number("ZOETROPE_FUZZ_MS").unwrap_or(300));
    let mut n = 0;
    while Instant::now() < until {
        let input = mutator.input(n);
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            panic!(
                "{name} fails on its input {n} of seed {seed}; to run it alone: \
                 ZOETROPE_FUZZ_SEED={seed} ZOETROPE_FUZZ_ONLY={n} cargo test -p zoetrope-fuzz {name}"
            );
        }
        n += 1;
    }
    assert!(n > 0, "no time for a single input");
    println!("{name}: {n} inputs");
}

/// One of each request.
fn requests() -> Vec<Request<'static>> {
    let path = || Some("/a/b".into());
    let acl =
        || AclSpec { perms: Perms::ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
    let create = |op, flags| Create {
        op,
        path: Some("/a".into()),
        data: Some(b"data"),
        acl: vec![acl()],
        flags,
        ttl_ms: if op == OpCode::CreateTtl { 500 } else { -1 },
    };
    let paths = || Some(vec!["/a".into(), "/b".into()]);
    let watches = SetWatches {
        data: paths(),
        exist: paths(),
        child: Some(vec![]),
        persistent: paths(),
        recursive: None,
        ..SetWatches::default()
    };
    vec![
        Request::Create(create(OpCode::Create, 0)),
        Request::Create(create(OpCode::Create2, 3)),
        Request::Create(create(OpCode::CreateContainer, 4)),
        Request::Create(create(OpCode::CreateTtl, 5)),
        Request::Delete { path: path(), version: -1 },
        Request::Exists { path: path(), watch: true },
        Request::GetData { path: path(), watch: true },
        Request::SetData { path: path(), data: None, version: 3 },
        Request::GetAcl { path: path() },
        Request::SetAcl { path: path(), acl: vec![acl(), acl()], version: 0 },
        Request::GetChildren { path: path(), watch: true },
        Request::GetChildren2 { path: path(), watch: false },
        Request::Sync { path: path() },
        Request::Ping,
        Request::Multi(vec![
            MultiOp::Create(create(OpCode::Create2, 1)),
            MultiOp::SetData { path: "/a".into(), data: Some(b"x"), version: -1 },
            MultiOp::Check { path: "/a".into(), version: 1 },
            MultiOp::Delete { path: "/a".into(), version: -1 },
        ]),
        Request::MultiRead(vec![
            ReadOp::GetData { path: Some("/".into()) },
            ReadOp::GetChildren { path: Some("/zookeeper".into()) },
        ]),
        Request::CheckWatches { path: path(), kind: WatcherType::Any },
        Request::RemoveWatches { path: path(), kind: WatcherType::Data },
        Request::Auth { scheme: Some("digest".into()), auth: Some(b"u:p") },
        Request::SetWatches(watches.clone()),
        Request::SetWatches2(watches),
        Request::Sasl { token: Some(b"token") },
        Request::GetEphemerals { prefix: path() },
        Request::GetAllChildrenNumber { path: path() },
        Request::AddWatch { path: path(), mode: WatchMode::Recursive },
        Request::WhoAmI,
        Request::CloseSession,
    ]
}

fn frame(request: &Request<'_>, xid: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.encode(Xid(xid), &mut bytes);
    bytes.split_off(4)
}

/// Files of the fixtures whose names begin with `prefix`, without the zeros at their end, if they are short.
fn fixture_files(prefix: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for name in ["3.8/base", "3.8/legacy-records", "3.8/closesession-bodyless", "3.9/ensemble"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../core/tests/fixtures/{name}.tar.gz"));
        let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(path).unwrap()));
        for file in archive.entries().unwrap() {
            let mut file = file.unwrap();
            let path = file.path().unwrap().into_owned();
            if !path.file_name().unwrap().to_str().unwrap().starts_with(prefix) {
                continue;
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(used);
            all.push(bytes);
        }
    }
    assert!(all.len() > 8);
    all
}

/// Payloads of the records of a log.
fn payloads(log: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut rest = &log[16..];
    while let Some(prefix) = rest.first_chunk::<12>() {
        let len = u32::from_be_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]) as usize;
        let Some(payload) = rest.get(12..12 + len) else { break };
        all.push(payload.to_vec());
        rest = rest.get(13 + len..).unwrap_or_default();
    }
    all
}

fn logs() -> Vec<Vec<u8>> {
    let mut all = fixture_files("log.");
    // Mostly the ones that begin at the beginning: others are refused for what is missing.
    all.retain(|log| payloads(log)[0][12..20] == 1u64.to_be_bytes());
    // Sectors matter behind a few records already.
    let short = |log: &Vec<u8>| log[..log.len().min(1500)].to_vec();
    all.iter().map(short).chain(all.iter().cloned()).collect()
}

fn with_lengths(parts: &[Vec<u8>]) -> Vec<u8> {
    let with_length = |part: &Vec<u8>| [&(part.len() as u16).to_be_bytes(), &part[..]].concat();
    parts.iter().flat_map(with_length).collect()
}

#[test]
fn client_frame() {
    let samples = requests().iter().map(|request| frame(request, 5)).collect();
    run("client_frame", samples, zoetrope_fuzz::client_frame);
}

#[test]
fn request_body() {
    let samples = requests().into_iter().map(|request| {
        let mut body = frame(&request, 5).split_off(7);
        body[0] = request.op().number() as u8;
        body
    });
    run("request_body", samples.collect(), zoetrope_fuzz::request_body);
}

#[test]
fn connect_request() {
    let samples = [None, Some(false), Some(true)].map(|read_only| {
        let mut bytes = Vec::new();
        let request = ConnectRequest {
            last_zxid_seen: Zxid(5),
            timeout_ms: 4000,
            session: SessionId(1 << 56),
            password: &[7; 16],
            read_only,
        };
        request.encode(&mut bytes);
        bytes.split_off(4)
    });
    run("connect_request", samples.into(), zoetrope_fuzz::connect_request);
}

#[test]
fn acl_vector() {
    let sample = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone".to_vec();
    run("acl_vector", vec![sample], zoetrope_fuzz::acl_vector);
}

#[test]
fn connection() {
    let frames: Vec<Vec<u8>> = requests()
        .iter()
        .enumerate()
        .map(|(n, request)| {
            let frame = frame(request, n as i32);
            [vec![frame.len() as u8], frame].concat()
        })
        .collect();
    let (first, last) = frames.split_at(frames.len() / 2);
    let samples = vec![frames.concat(), first.concat(), last.concat(), frames[6].clone()];
    run("connection", samples, zoetrope_fuzz::connection);
}

#[test]
fn zoo_cfg() {
    let sample = "# comment\ntickTime=2000\ndataDir=/tmp/a\\\n  b\nclientPort : 2181\nserver.1=h:1:2;3\n\
                  autopurge.purgeInterval 010\nsnapCount=\\u0031\nticktime=5\nmaxClientCnxns=-1\n\
                  dynamicConfigFile=zoo.cfg.dynamic\n4lw.commands.whitelist=*\nauthProvider.x=y\n";
    let lines = sample.split_inclusive('\n').map(|line| line.as_bytes().to_vec());
    let samples = lines.chain([sample.into()]).collect();
    run("zoo_cfg", samples, zoetrope_fuzz::zoo_cfg);
}

/// Data of REQUEST packets.
fn forwarded_requests() -> Vec<Vec<u8>> {
    let head = [&(1_i64 << 56).to_be_bytes()[..], &7_i32.to_be_bytes()[..]].concat();
    let forwarded = requests().into_iter().map(|request| {
        let frame = frame(&request, 7);
        [&head[..], &frame[4..]].concat()
    });
    forwarded.collect()
}

#[test]
fn forwarded_request() {
    run("forwarded_request", forwarded_requests(), zoetrope_fuzz::forwarded_request);
}

#[test]
fn quorum_packets() {
    let mut samples = Vec::new();
    let mut sample = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        samples.push(bytes);
    };
    for kind in (1..=19).filter_map(PacketKind::from_number) {
        sample(&|out| encode_packet(kind, Zxid(5), Some(&[0; 12]), out));
    }
    let identities = [("ip", "127.0.0.1"), ("digest", "user:hash")];
    for data in forwarded_requests() {
        let request = ForwardedRequest::decode(&data).unwrap();
        sample(&|out| encode_request(&request, Some(&identities), out));
    }
    let info = LearnerInfo { sid: Sid(3), protocol_version: 65536, config_version: 9 };
    let mut data = Vec::new();
    info.encode(&mut data);
    sample(&|out| encode_packet(PacketKind::FollowerInfo, Zxid(0), Some(&data), out));
    let mut touches = Vec::new();
    encode_touches(&[(SessionId(1), 4000), (SessionId(2), 8000)], &mut touches);
    sample(&|out| encode_packet(PacketKind::Ping, Zxid(0), Some(&touches), out));
    for payload in payloads(&logs()[0]) {
        sample(&|out| encode_packet(PacketKind::Proposal, Zxid(1), Some(&payload), out));
    }
    samples.push(samples[10..30].concat());
    run("quorum_packets", samples, zoetrope_fuzz::quorum_packets);
}

const CONFIGURATIONS: [&str; 3] = [
    "server.1=a:1:2:participant\nserver.2=b:1:2:observer;0.0.0.0:2181\nversion=1f",
    "# two\nserver.1 = [::1]:1:2|b:3:4\nserver.2=c:1:2;[::1]:3\nserver.3=\\u0061:1:2\ngroup.1=1:2\ngroup.2=3\n\
     weight.1=2\nweight.3=0\n",
    "server.1=localhost:2888:3888:participant;2181",
];

#[test]
fn ensemble_text() {
    let samples = CONFIGURATIONS.iter().map(|text| text.as_bytes().to_vec()).collect();
    run("ensemble_text", samples, zoetrope_fuzz::ensemble_text);
}

#[test]
fn notification() {
    let mut samples = vec![vec![0; 28], vec![0; 40]];
    for (config, state) in CONFIGURATIONS.iter().zip([PeerState::Looking, PeerState::Leading]) {
        let mut bytes = Vec::new();
        let notification = Notification {
            state,
            leader: Sid(3),
            zxid: Zxid(1 << 32 | 7),
            round: 2,
            epoch: 1,
            version: 2,
            config: Some((*config).to_owned()),
        };
        encode_notification(&notification, &mut bytes);
        samples.push(bytes.split_off(4));
    }
    run("notification", samples, zoetrope_fuzz::notification);
}

#[test]
fn hello() {
    let address = |host: &str, port| HostPort { host: host.to_owned(), port };
    let addresses = [address("127.0.0.1", 3888), address("::1", 1), address("0.0.0.0", 2)];
    let samples = [&addresses[..1], &addresses[1..2], &addresses[..]].map(|addresses| {
        let mut bytes = Vec::new();
        encode_hello(Sid(3), addresses, &mut bytes);
        bytes
    });
    let old = vec![7_u64.to_be_bytes().to_vec()];
    run("hello", [old, samples.into()].concat(), zoetrope_fuzz::hello);
}

#[test]
fn log_payload() {
    let samples = logs().iter().flat_map(|log| payloads(log)).collect();
    run("log_payload", samples, zoetrope_fuzz::log_payload);
}

#[test]
fn log_file() {
    run("log_file", logs(), zoetrope_fuzz::log_file);
}

#[test]
fn two_log_files() {
    let samples = logs().into_iter().map(|log| {
        let cut = with_lengths(&payloads(&log)[..8]).len() + 16 + 8 * 11;
        [&(cut as u16).to_be_bytes()[..], &log[..cut], &log[..16], &log[cut..]].concat()
    });
    run("two_log_files", samples.collect(), zoetrope_fuzz::two_log_files);
}

#[test]
fn log_records() {
    let samples = logs().iter().map(|log| with_lengths(&payloads(log))).collect();
    run("log_records", samples, zoetrope_fuzz::log_records);
}

#[test]
fn snapshot_file() {
    run("snapshot_file", fixture_files("snapshot."), zoetrope_fuzz::snapshot_file);
}

#[test]
fn snapshot_body() {
    let samples = fixture_files("snapshot.").into_iter().map(|mut bytes| {
        // The end of the list of znodes is five bytes behind which the first seal stands.
        let sections = bytes.windows(5).filter(|five| five == b"\0\0\0\x01/").count();
        assert!(sections >= 2);
        let end = bytes.windows(5).position(|five| five == b"\0\0\0\x01/").unwrap();
        bytes.truncate(end);
        bytes
    });
    run("snapshot_body", samples.collect(), zoetrope_fuzz::snapshot_body);
}
