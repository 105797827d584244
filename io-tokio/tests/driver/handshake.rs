//! How two servers meet on the election port, byte by byte: one of them is real.

use crate::servers::{Host, News};
use crate::world::{World, server_ip, world};
use madsim::net::NetSim;
use madsim::runtime::Runtime;
use madsim::time::{Duration, sleep, timeout};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::unbounded_channel;
use zoetrope_core::Sid;
use zoetrope_io_sim::{settings, swarm};
use zoetrope_io_tokio::simulated::{TcpListener, TcpStream, Weather, begin_files, begin_sockets};

fn hello(sid: i64, own: &[u8]) -> Vec<u8> {
    let len = own.len() as u32;
    [&(-65536i64).to_be_bytes()[..], &sid.to_be_bytes(), &len.to_be_bytes(), own].concat()
}

async fn connect(port: u16) -> TcpStream {
    let addr = SocketAddr::new(server_ip(Sid(2)), port);
    loop {
        match timeout(Duration::from_secs(1), TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => return stream,
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn talk() {
    begin_files();
    begin_sockets(Weather { window: 64 << 10, short: 2, accept_errors: 0 });
    let mut scenario = swarm(1);
    scenario.peers = Some(2);
    let config = settings(&scenario);
    World::begin(&config, 2, Vec::new());
    let news = News { ended: unbounded_channel().0, went_off: unbounded_channel().0 };
    let _server = Host::start(Sid(2), 1, &config, &news);
    NetSim::current().set_ip(madsim::plugin::node(), server_ip(Sid(1)));
    let listener = TcpListener::bind(SocketAddr::new(server_ip(Sid(1)), 3888)).await.unwrap();
    let mut poke = connect(3888).await;
    poke.write_all(&hello(1, b"10.0.0.1:3888")).await.unwrap();
    assert_eq!(poke.read(&mut [0]).await.unwrap(), 0, "the poke itself is closed");
    // The quorum port is open to whoever comes.
    connect(2888).await.write_all(&[0; 8]).await.unwrap();
    let mut heard = vec![0; 33];
    let mut called = loop {
        let (mut called, _) = listener.accept().await.unwrap();
        called.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, hello(2, b"10.0.0.2:3888"));
        // A message of no length ends the link. One from before the poke has ended already.
        if called.write_all(&[0; 4]).await.is_ok() {
            break called;
        }
    };
    let ends = async { while !matches!(called.read(&mut heard).await, Ok(0) | Err(_)) {} };
    timeout(Duration::from_secs(10), ends).await.expect("it ends the link");
    world(|world| assert_eq!(world.violation, None));
}

#[test]
fn a_server_with_a_smaller_sid_is_called_back() {
    let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
    let talk = async { timeout(Duration::from_secs(60), talk()).await };
    runtime.block_on(talk).expect("within a minute");
}
