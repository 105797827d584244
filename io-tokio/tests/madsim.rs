//! The driver itself in a simulated network and time: `io-tokio/madsim.sh`.
#![cfg(madsim)]

use madsim::runtime::Handle;
use madsim::time::{Duration, sleep, timeout};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use zoetrope_core::{Command, Config, Dir, FilePlace, Listing, Milestone, Turn};
use zoetrope_io_tokio::{
    DeviceOp, Disk, DiskDone, Observer, RunError, Settings, Storage, View, Words, run_on,
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
                DeviceOp::Remove { path } => {
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

async fn serve(files: Files) -> Result<(), RunError> {
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
        peers: None,
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
                let run = tokio::task::spawn_local(serve(files));
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
