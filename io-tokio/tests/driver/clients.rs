//! Clients: io-sim's, which draw requests and keep sessions, on real connections.

use crate::world::{Duty, client_ip, server_ip, world};
use madsim::runtime::Handle;
use madsim::task::NodeId;
use madsim::time::{Duration, sleep, timeout};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use zoetrope_core::{ConnId, Sid};
use zoetrope_io_sim::{Life, Rng};
use zoetrope_io_tokio::simulated::TcpStream;

pub(crate) const CLIENT_PORT: u16 = 2181;

/// The machine of a client, where it works until the run ends.
pub(crate) fn start(number: usize, seed: u64, servers: u32, pipeline: usize) -> NodeId {
    let init = move || async move {
        let rng = Rng::new(seed, &format!("client {number}"));
        Worker { number, rng, servers, pipeline }.live().await;
    };
    let handle = Handle::current();
    let node = handle.create_node().name(format!("client {number}"));
    node.ip(client_ip(number)).init(init).build().id()
}

struct Worker {
    number: usize,
    rng: Rng,
    servers: u32,
    pipeline: usize,
}

/// A connection as its client has it.
struct Line {
    port: u16,
    out: UnboundedSender<Vec<u8>>,
    /// Both halves go with the connection.
    over: Rc<Notify>,
}

impl Worker {
    async fn live(&mut self) {
        loop {
            sleep(Duration::from_micros(self.rng.between(1_000, 300_000))).await;
            if world(|world| world.customers[self.number].duty == Duty::Leave) {
                continue;
            }
            let sid = Sid(self.rng.between(1, u64::from(self.servers)) as i64);
            let addr = SocketAddr::new(server_ip(sid), CLIENT_PORT);
            if let Ok(Ok(stream)) = timeout(Duration::from_secs(3), TcpStream::connect(addr)).await
            {
                self.serve(stream).await;
            }
        }
    }

    /// Everything that happens on one connection.
    async fn serve(&mut self, stream: TcpStream) {
        let port = stream.local_addr().expect("it is connected").port();
        let (mut reader, writer) = tokio::io::split(stream);
        let (out, queue) = unbounded_channel();
        let line = Line { port, out, over: Rc::default() };
        spawn_local(write(writer, queue, line.over.clone()));
        let hello = world(|world| {
            let now = world.now();
            let customer = &mut world.customers[self.number];
            customer.leave = false;
            customer.client.heard_at = now;
            let mut bytes = customer.client.greet(ConnId(u64::from(port)), &mut self.rng);
            if self.rng.one_in(6) {
                bytes.extend(customer.client.come_back(&mut self.rng));
            }
            bytes
        });
        self.send(&line, hello);
        while self.goes_on(&mut reader, &line).await {}
        line.over.notify_one();
        world(|world| world.customers[self.number].client.cut_off());
    }

    fn send(&self, line: &Line, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            world(|world| world.asks(line.port, &bytes));
            let _ = line.out.send(bytes);
        }
    }

    /// Reads for a while, then does what there is to do. False: the connection is over.
    async fn goes_on(&mut self, reader: &mut ReadHalf<TcpStream>, line: &Line) -> bool {
        let (now, deaf_until, idle) = world(|world| {
            let customer = &world.customers[self.number];
            (world.now(), customer.deaf_until, customer.duty != Duty::Work)
        });
        let pause = match idle {
            true => self.rng.between(500_000, 1_000_000),
            false => self.rng.between(1_000, 20_000),
        };
        let pause = Duration::from_micros(pause);
        let mut bytes = [0; 4096];
        if now < deaf_until {
            sleep(pause).await;
        } else {
            match timeout(pause, reader.read(&mut bytes)).await {
                Err(_) => {}
                Ok(Err(_) | Ok(0)) => return false,
                Ok(Ok(n)) => {
                    // Who is to leave does not read on: with a small window that can take long.
                    return world(|world| {
                        let useless = world.gets(self.number, line.port, &bytes[..n]);
                        !useless && world.customers[self.number].duty != Duty::Leave
                    });
                }
            }
        }
        self.act(line)
    }

    fn act(&mut self, line: &Line) -> bool {
        let (rng, pipeline, number) = (&mut self.rng, self.pipeline, self.number);
        let done = world(|world| {
            let now = world.now();
            let customer = &mut world.customers[number];
            if customer.leave || customer.duty == Duty::Leave {
                return None;
            }
            if now < customer.silent_until || customer.duty == Duty::Wait {
                return Some(Vec::new());
            }
            let client = &mut customer.client;
            let heard_at = client.heard_at.max(customer.deaf_until).max(customer.silent_until);
            if now.saturating_sub(heard_at) > client.patience_us() {
                let ms = client.patience_us() / 1000;
                if world.calm {
                    world.check(Err(format!(
                        "L1: client {number} has heard nothing of its server for {ms} ms, and nothing is wrong"
                    )));
                }
                return None;
            }
            if client.life != Life::Up {
                return Some(Vec::new());
            }
            if let Duty::Rest { probing } = customer.duty {
                let probes = probing && client.in_flight.is_empty();
                return Some(if probes { client.probe() } else { client.ping() });
            }
            if !client.proved && rng.one_in(20) && client.in_flight.len() < pipeline {
                return Some(client.probe());
            }
            let room = pipeline.saturating_sub(client.in_flight.len()) as u64;
            let mut bytes = Vec::new();
            for _ in 0..rng.below(room + 1) {
                bytes.extend(client.work(rng));
            }
            if bytes.is_empty() && rng.one_in(4) {
                bytes = client.ping();
            }
            Some(bytes)
        });
        let Some(bytes) = done else { return false };
        self.send(line, bytes);
        !self.rng.one_in(900)
    }
}

/// Sends what there is to send, until the connection is over.
async fn write(
    mut writer: WriteHalf<TcpStream>,
    mut queue: UnboundedReceiver<Vec<u8>>,
    over: Rc<Notify>,
) {
    let sends = async {
        while let Some(bytes) = queue.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        () = over.notified() => {}
        () = sends => {}
    }
}
