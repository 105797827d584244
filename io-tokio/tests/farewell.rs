//! A client that does not read what it is sent, on a real socket.
#![cfg(not(madsim))]

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::sleep;
use zoetrope_core::wire::{AclSpec, ConnectRequest, Create, OpCode, Perms, Request};
use zoetrope_core::{Command, Config, Milestone, SessionId, Turn, Xid, Zxid};
use zoetrope_io_tokio::{Observer, Settings, View, Words, run};

struct Silent;

impl Words for Silent {
    fn argument_len(&self, _: [u8; 4]) -> Option<usize> {
        None
    }

    fn answer(&mut self, _: [u8; 4], _: &[u8], _: &View<'_>, _: &mut Vec<u8>) -> Option<Command> {
        None
    }
}

struct Port(UnboundedSender<std::net::SocketAddr>);

impl Observer for Port {
    fn listening(&mut self, addr: std::net::SocketAddr) {
        let _ = self.0.send(addr);
    }

    fn milestone(&mut self, _: Milestone, _: &Turn<'_>) {}
}

fn settings(dir: std::path::PathBuf) -> Settings {
    Settings {
        core: Config { tick_ms: 200, ..Config::default() },
        seed: 1,
        data_dir: dir.clone(),
        data_log_dir: dir,
        datadir_autocreate: true,
        client_addr: Some("127.0.0.1:0".parse().unwrap()),
        backlog: None,
        max_client_cnxns: 0,
        max_cnxns: 0,
        tcp_keepalive: false,
        fsync_warning_ms: 1000,
        peers: None,
        recording: None,
    }
}

/// Sockets of this process, which is client and server.
fn sockets() -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let is_socket = |fd: &std::fs::DirEntry| {
        std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    all.filter(is_socket).count()
}

async fn answer(client: &mut TcpStream) {
    let len = client.read_u32().await.unwrap();
    let mut frame = vec![0; len as usize];
    client.read_exact(&mut frame).await.unwrap();
}

/// A client with a session, which asks for more than it reads.
async fn greedy(addr: std::net::SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(addr).await.unwrap();
    let request = ConnectRequest {
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 1000,
        session: SessionId::NONE,
        password: &[0; 16],
        read_only: None,
    };
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    client.write_all(&bytes).await.unwrap();
    answer(&mut client).await;
    bytes.clear();
    let (world, anyone) = (Some("world".into()), Some("anyone".into()));
    let open = AclSpec { perms: Perms::ALL, scheme: world, id: anyone };
    let data = vec![7; 1_000_000];
    let (op, path) = (OpCode::Create, Some("/big".into()));
    let (acl, flags, ttl_ms) = (vec![open], 0, -1);
    let create = Create { op, path, data: Some(&data), acl, flags, ttl_ms };
    Request::Create(create).encode(Xid(1), &mut bytes);
    client.write_all(&bytes).await.unwrap();
    answer(&mut client).await;
    bytes.clear();
    for xid in 0..40 {
        let read = Request::GetData { path: Some("/big".into()), watch: false };
        read.encode(Xid(2 + xid), &mut bytes);
    }
    client.write_all(&bytes).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    client
}

#[tokio::test]
async fn who_does_not_read_is_not_kept_when_it_is_let_go() {
    let local = tokio::task::LocalSet::new();
    let dir = std::env::temp_dir().join(format!("zoetrope-farewell-{}", std::process::id()));
    let served = local.run_until(async {
        let (sender, mut port) = unbounded_channel();
        let stop = std::future::pending();
        let server = run(settings(dir.clone()), Silent, Port(sender), stop);
        let server = tokio::task::spawn_local(server);
        let addr = port.recv().await.unwrap();
        let before = sockets();
        // Nobody hears of it any more, because nothing is read from it while it does not read. Its session ends.
        let _client = greedy(addr).await;
        sleep(Duration::from_secs(6)).await;
        let after = sockets() - before;
        server.abort();
        after
    });
    let after = served.await;
    let _ = std::fs::remove_dir_all(&dir);
    assert_eq!(after, 1, "only the client's own");
}
