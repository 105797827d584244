//! The driver itself in a simulated network and time: `io-tokio/madsim.sh`.
#![cfg(madsim)]

use madsim::runtime::Handle;
use madsim::time::{Duration, sleep, timeout};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use zoetrope_core::{
    Command, Config, Dir, Ensemble, FilePlace, Listing, Member, Milestone, PeerAddress, Sid, Turn,
};
use zoetrope_io_tokio::{
    DeviceOp, Disk, DiskDone, Observer, PeerSettings, RunError, Settings, Storage, View, Words,
    run_on,
};

type Files = Arc<Mutex<BTreeMap<PathBuf, Vec<u8>>>>;

/// A disk in memory that does everything at once. What was promised durable survives the server.
struct MemoryDisk {
    files: Files,
    done: UnboundedSender<DiskDone>,
}

const MAKING: &str = "making";

impl Disk for MemoryDisk {
    fn submit(&mut self, ops: Vec<DeviceOp>) {
        let mut files = self.files.lock().unwrap();
        for op in ops {
            let answer = match op {
                DeviceOp::Reserve { file, path, upto } => {
                    files.entry(path).or_default().resize(upto as usize, 0);
                    DiskDone::Reserved { file, upto }
                }
                DeviceOp::Append { path, at, bytes, .. } => {
                    let file = files.get_mut(&path).expect("room comes before a record");
                    file[at as usize..][..bytes.len()].copy_from_slice(&bytes);
                    continue;
                }
                DeviceOp::Fsync { branch, upto, .. } => {
                    DiskDone::Durable { branch, upto, took_us: 1 }
                }
                DeviceOp::Rename { from_path, to_path, .. } => {
                    let file = files.remove(&from_path).expect("it was prepared");
                    files.insert(to_path, file);
                    continue;
                }
                DeviceOp::Truncate { path, at } => {
                    files.get_mut(&path).expect("it was read").truncate(at as usize);
                    continue;
                }
                DeviceOp::SnapSlice { at, bytes } => {
                    let file = files.entry(MAKING.into()).or_default();
                    file.truncate(at as usize);
                    file.extend(&bytes);
                    DiskDone::SnapWritten { upto: file.len() as u64 }
                }
                DeviceOp::SnapFinish { path, zxid } => {
                    let file = files.remove(&PathBuf::from(MAKING)).expect("slices came first");
                    files.insert(path, file);
                    DiskDone::SnapDurable { zxid }
                }
                DeviceOp::Read { file, path, at, len } => {
                    let bytes = files[&path].iter().skip(at as usize).take(len as usize);
                    DiskDone::Read { file, at, bytes: bytes.copied().collect() }
                }
                DeviceOp::Remove { path } | DeviceOp::Discard { path, .. } => {
                    files.remove(&path);
                    continue;
                }
                DeviceOp::FsyncLogDir | DeviceOp::PutEpochs { .. } => continue,
            };
            let _ = self.done.send(answer);
        }
    }
}

struct NoWords;

impl Words for NoWords {
    fn argument_len(&self, _: [u8; 4]) -> Option<usize> {
        None
    }

    fn answer(&mut self, _: [u8; 4], _: &[u8], _: &View<'_>, _: &mut Vec<u8>) -> Option<Command> {
        None
    }
}

struct Deaf;

impl Observer for Deaf {
    fn listening(&mut self, _: std::net::SocketAddr) {}
    fn milestone(&mut self, _: Milestone, _: &Turn<'_>) {}
}

const ADDR: &str = "10.0.0.1:2181";

async fn serve(files: Files, peers: Option<PeerSettings>) -> Result<(), RunError> {
    let settings = Settings {
        core: Config { tick_ms: 1000, ..Config::default() },
        seed: 1,
        data_dir: PathBuf::new(),
        data_log_dir: PathBuf::new(),
        datadir_autocreate: true,
        client_addr: Some(ADDR.parse().unwrap()),
        backlog: None,
        max_client_cnxns: 60,
        max_cnxns: 0,
        tcp_keepalive: false,
        fsync_warning_ms: 1000,
        peers,
    };
    let listed = |(path, bytes): (&PathBuf, &Vec<u8>)| {
        let name = path.display().to_string();
        let dir = if name.starts_with("snapshot.") { Dir::Snapshot } else { Dir::Log };
        (FilePlace { dir, name }, bytes.len() as u64)
    };
    let there = files.lock().unwrap().iter().map(listed).collect();
    let listing = Listing { files: there, ..Listing::default() };
    let (sender, done) = unbounded_channel();
    let disk = Box::new(MemoryDisk { files, done: sender });
    let path = Box::new(|place: &FilePlace| PathBuf::from(&place.name));
    let storage = Storage { disk, done, listing, path };
    run_on(settings, storage, NoWords, Deaf, std::future::pending()).await
}

async fn send(stream: &mut TcpStream, parts: &[&[u8]]) {
    let body = parts.concat();
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(body);
    stream.write_all(&frame).await.unwrap();
    // madsim sends nothing before.
    stream.flush().await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).await.unwrap();
    let mut body = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut body).await.unwrap();
    body
}

/// Opens a session, resumed or new. Answers the connection, and id and password of the session.
async fn connect(session: &[u8]) -> (TcpStream, Vec<u8>) {
    let mut stream = loop {
        match timeout(Duration::from_secs(1), TcpStream::connect(ADDR)).await {
            Ok(Ok(stream)) => break stream,
            _ => sleep(Duration::from_millis(100)).await,
        }
    };
    let hello: &[&[u8]] = &[&[0; 12], &10_000i32.to_be_bytes(), session, &[0]];
    send(&mut stream, hello).await;
    let welcome = receive(&mut stream).await;
    assert_eq!(welcome[4..8], 10_000i32.to_be_bytes(), "the session is not refused");
    (stream, welcome[8..36].to_vec())
}

fn path(name: &str) -> Vec<u8> {
    let mut bytes = (name.len() as u32).to_be_bytes().to_vec();
    bytes.extend(name.as_bytes());
    bytes
}

const NEW: [u8; 28] = {
    let mut session = [0; 28];
    session[11] = 16;
    session
};

#[madsim::test]
async fn a_session_survives_a_killed_server() {
    let files = Files::default();
    let handle = Handle::current();
    let disk = files.clone();
    let server = handle
        .create_node()
        .name("server")
        .ip("10.0.0.1".parse().unwrap())
        .init(move || {
            let files = disk.clone();
            async move {
                let run = tokio::task::spawn_local(serve(files, None));
                run.await.unwrap().unwrap();
            }
        })
        .build();
    let client = handle.create_node().name("client").ip("10.0.0.2".parse().unwrap()).build();
    let id = server.id();
    let talk = client.spawn(async move {
        let (mut stream, session) = connect(&NEW).await;
        let acl: &[&[u8]] =
            &[&1i32.to_be_bytes(), &31i32.to_be_bytes(), &path("world"), &path("anyone")];
        for xid in 1..=100i32 {
            let name = path(&format!("/n{xid}"));
            let parts: &[&[u8]] = &[
                &xid.to_be_bytes(),
                &1i32.to_be_bytes(),
                &name,
                &path("data"),
                &acl.concat(),
                &1i32.to_be_bytes(),
            ];
            send(&mut stream, parts).await;
        }
        for xid in 1..=100i32 {
            let reply = receive(&mut stream).await;
            assert_eq!(reply[..4], xid.to_be_bytes());
            assert_eq!(reply[12..16], [0; 4], "create {xid}");
        }
        Handle::current().kill(id);
        sleep(Duration::from_secs(2)).await;
        Handle::current().restart(id);
        let (mut stream, again) = connect(&session).await;
        assert_eq!(again[..8], session[..8], "it is the same session");
        for xid in 1..=100i32 {
            let name = path(&format!("/n{xid}"));
            send(&mut stream, &[&xid.to_be_bytes(), &4i32.to_be_bytes(), &name, &[0]]).await;
            let reply = receive(&mut stream).await;
            assert_eq!(reply[12..16], [0; 4], "an ephemeral of a live session: {xid}");
            assert_eq!(reply[16..24], path("data"));
        }
    });
    timeout(Duration::from_secs(60), talk).await.expect("within a minute").unwrap();
    assert!(files.lock().unwrap().keys().any(|path| path.starts_with("log.1")));
}

/// Server 2 at 10.0.0.1 and server 1 at 10.0.0.2.
fn two_servers() -> PeerSettings {
    let mut ensemble = Ensemble::default();
    for (sid, host) in [(2, "10.0.0.1"), (1, "10.0.0.2")] {
        let host = host.to_owned();
        let address = PeerAddress { host, quorum_port: 2888, election_port: 3888 };
        let member = Member { addresses: vec![address], observer: false, client: None };
        ensemble.members.insert(Sid(sid), member);
    }
    PeerSettings {
        sid: Sid(2),
        ensemble,
        observer_master_port: None,
        listen_on_all: false,
        connect_timeout_ms: 5000,
        handshake_timeout_ms: 5000,
        bind_retries: 3,
        tcp_keepalive: false,
    }
}

fn hello(sid: i64, own: &[u8]) -> Vec<u8> {
    let len = own.len() as u32;
    [&(-65536i64).to_be_bytes()[..], &sid.to_be_bytes(), &len.to_be_bytes(), own].concat()
}

#[madsim::test]
async fn a_server_with_a_smaller_sid_is_called_back() {
    let handle = Handle::current();
    let _server = handle
        .create_node()
        .name("server")
        .ip("10.0.0.1".parse().unwrap())
        .init(|| async {
            let run = tokio::task::spawn_local(serve(Files::default(), Some(two_servers())));
            run.await.unwrap().unwrap();
        })
        .build();
    let peer = handle.create_node().name("peer").ip("10.0.0.2".parse().unwrap()).build();
    let talk = peer.spawn(async move {
        let listener = TcpListener::bind("10.0.0.2:3888").await.unwrap();
        let mut poke = loop {
            match timeout(Duration::from_secs(1), TcpStream::connect("10.0.0.1:3888")).await {
                Ok(Ok(stream)) => break stream,
                _ => sleep(Duration::from_millis(100)).await,
            }
        };
        poke.write_all(&hello(1, b"10.0.0.2:3888")).await.unwrap();
        poke.flush().await.unwrap();
        let (mut called, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 33];
        called.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, hello(2, b"10.0.0.1:3888"));
        assert_eq!(poke.read(&mut heard).await.unwrap(), 0, "the poke itself is closed");
        // The quorum port is open to whoever comes.
        let mut learner = TcpStream::connect("10.0.0.1:2888").await.unwrap();
        learner.write_all(&[0; 8]).await.unwrap();
        learner.flush().await.unwrap();
        // A message of no length ends the link.
        called.write_all(&[0; 4]).await.unwrap();
        called.flush().await.unwrap();
        assert_eq!(called.read(&mut heard).await.unwrap(), 0);
    });
    timeout(Duration::from_secs(60), talk).await.expect("within a minute").unwrap();
}
