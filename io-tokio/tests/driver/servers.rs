//! Servers: the driver of production on a simulated machine, and how a machine dies and comes back.

use crate::clients::CLIENT_PORT;
use crate::world::{server_ip, world};
use madsim::runtime::Handle;
use madsim::task::NodeId;
use std::path::PathBuf;
use tokio::sync::mpsc::UnboundedSender;
use zoetrope_core::{Command, Config, Input, Milestone, Server, Sid, Turn};
use zoetrope_io_sim::{Keep, Rng};
use zoetrope_io_tokio::simulated::{Machine, darken, lighten, machine};
use zoetrope_io_tokio::{Observer, PeerSettings, RunError, Settings, View, Words, run};

/// One server and its machine.
pub(crate) struct Host {
    pub(crate) sid: Sid,
    pub(crate) node: NodeId,
    pub(crate) up: bool,
}

/// What the machines tell whoever runs them.
#[derive(Clone)]
pub(crate) struct News {
    /// A server has ended, and why.
    pub(crate) ended: UnboundedSender<(Sid, String)>,
    /// The power of a machine went while it wrote, and this survived, or its process ended there.
    pub(crate) went_off: UnboundedSender<(NodeId, Option<Keep>)>,
}

/// Tells the world what happens at a server's door.
struct Tap(Sid);

impl Observer for Tap {
    fn listening(&mut self, _: std::net::SocketAddr) {}
    fn milestone(&mut self, _: Milestone, _: &Turn<'_>) {}
    fn input(&mut self, server: &Server, input: &Input<'_>) {
        world(|world| world.input(self.0, server, input));
    }
    fn turn(&mut self, turn: &Turn<'_>) {
        world(|world| world.turn(self.0, turn));
    }
}

/// `open` says how many connections the driver and the core have, `snap` takes a snapshot.
struct TwoWords;

impl Words for TwoWords {
    fn argument_len(&self, word: [u8; 4]) -> Option<usize> {
        matches!(&word, b"open" | b"snap").then_some(0)
    }

    fn answer(
        &mut self,
        word: [u8; 4],
        _: &[u8],
        view: &View<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Command> {
        let (sockets, connections) = (view.figures.open, view.server.status().connections);
        out.extend(format!("{sockets} {connections}").bytes());
        (&word == b"snap").then_some(Command::Snapshot)
    }
}

/// Most connections that one client may have.
const CONNECTIONS_MAX: u32 = 12;

fn settings(sid: Sid, seed: u64, core: &Config) -> Settings {
    let mut core = core.clone();
    core.sid = sid;
    let peers = core.ensemble.clone().map(|ensemble| PeerSettings {
        sid,
        ensemble,
        observer_master_port: None,
        listen_on_all: false,
        connect_timeout_ms: 5000,
        handshake_timeout_ms: 4000,
        bind_retries: 3,
        tcp_keepalive: false,
    });
    Settings {
        core,
        seed,
        data_dir: PathBuf::from("/data"),
        data_log_dir: PathBuf::from("/data"),
        datadir_autocreate: true,
        client_addr: Some((server_ip(sid), CLIENT_PORT).into()),
        backlog: None,
        max_client_cnxns: CONNECTIONS_MAX,
        max_cnxns: 0,
        tcp_keepalive: false,
        fsync_warning_ms: 1000,
        recording: None,
        peers,
    }
}

impl Host {
    /// A machine whose server runs whenever it is on.
    pub(crate) fn start(sid: Sid, seed: u64, core: &Config, news: &News) -> Self {
        let (core, ended) = (core.clone(), news.ended.clone());
        let init = move || {
            let (settings, ended) = (settings(sid, seed, &core), ended.clone());
            async move {
                let server = tokio::task::spawn_local(async move {
                    world(|world| world.booted(sid));
                    run(settings, TwoWords, Tap(sid), std::future::pending()).await
                });
                let why = match server.await {
                    Ok(Err(RunError::Halted(why))) => why,
                    other => format!("{other:?}"),
                };
                let _ = ended.send((sid, why));
                std::future::pending::<()>().await;
            }
        };
        let handle = Handle::current();
        let node = handle.create_node().name(format!("server {sid}"));
        let node = node.ip(server_ip(sid)).init(init).build().id();
        let went_off = news.went_off.clone();
        let new = || {
            let rng = Rng::new(seed, &format!("disk {sid}"));
            let watcher = move |op: &_| world(|world| world.performed(sid, op));
            Machine::new(rng, Box::new(watcher), went_off)
        };
        machine(node, new, |_| ());
        Self { sid, node, up: true }
    }

    /// Changes the machine.
    pub(crate) fn machine<T>(&self, work: impl FnOnce(&mut Machine) -> T) -> T {
        machine(self.node, || unreachable!("it has been there from the start"), work)
    }

    /// The process ends, and with `keep` the power goes. `silent`: nobody is told.
    pub(crate) fn die(&mut self, keep: Option<Keep>, silent: bool) {
        if !std::mem::replace(&mut self.up, false) {
            return;
        }
        if silent {
            darken(server_ip(self.sid));
        }
        match keep {
            Some(keep) => self.machine(|machine| machine.lose_power(keep)),
            None => self.machine(Machine::end_process),
        }
        Handle::current().kill(self.node);
        world(|world| world.crashed(self.sid));
        if keep.is_some() {
            let (files, epochs) = self.machine(|m| (m.files(), m.epochs_on_disk()));
            world(|world| world.left(self.sid, &files, epochs));
        }
    }

    pub(crate) fn come_back(&mut self) {
        if !std::mem::replace(&mut self.up, true) {
            self.machine(Machine::switch_on);
            lighten(server_ip(self.sid));
            Handle::current().restart(self.node);
        }
    }
}
