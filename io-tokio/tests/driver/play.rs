//! A run: what is drawn from its seed, what happens, and what is expected at the end.

use crate::clients::{self, CLIENT_PORT};
use crate::servers::{Host, News};
use crate::world::{Customer, Duty, World, client_ip, server_ip, world};
use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use madsim::time::{Duration, sleep, timeout};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zoetrope_core::{Config, Sid};
use zoetrope_io_sim::{Client, Keep, Rng, Scenario, settings, swarm};
use zoetrope_io_tokio::simulated::{
    Files, TcpStream, Weather, begin_files, begin_sockets, break_lines, darken, is_half_open,
    lighten, lines,
};

/// What a run did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    pub(crate) violation: Option<String>,
    pub(crate) trace: u64,
    pub(crate) answered: u64,
    pub(crate) facts: u64,
    pub(crate) faults: u64,
    pub(crate) crashes: u64,
    pub(crate) simulated_ms: u64,
}

type Verdict = Result<(), String>;

/// Time within which healed servers have to serve. (initLimit + 2 × syncLimit) × tickTime, and what madsim makes a packet
/// wait behind the end of a clog.
const SERVICE_MS: u64 = 40_000;
/// So long after the last fault madsim may hold packets back, and sessions may live whose clients were cut off.
const CALM_AFTER_MS: u64 = 45_000;
/// When nothing is wrong, every request is answered within that time.
const ANSWER_MS: u64 = 2_000;
/// Within that time a connection whose client has closed it is forgotten, farewell included.
const FORGOTTEN_MS: u64 = 5_000;
/// The same where a dead machine could not close it: that is found out when its session is over.
const HALF_OPEN_MS: u64 = 60_000;
const KEEPS: [Keep; 5] = [Keep::Nothing, Keep::All, Keep::Some, Keep::Torn, Keep::Garbage];

struct Run {
    rng: Rng,
    hosts: Vec<Host>,
    clients: usize,
    ended: UnboundedReceiver<(Sid, String)>,
    went_off: UnboundedReceiver<(NodeId, Option<Keep>)>,
    /// What is to be undone, and when, ms.
    mends: Vec<(u64, Mend)>,
    /// Servers that stand still, and since when, µs.
    paused: Vec<(usize, u64)>,
    off: Vec<bool>,
    faults: u64,
    crashes: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mend {
    Boot(usize),
    Links,
    Disk(usize),
    Resume(usize),
    Client(usize),
}

/// The settings of a seed: those of the simulator's swarm, with one server or three, and little room for replies.
fn scenario(seed: u64, rng: &mut Rng) -> (Scenario, Config) {
    let mut scenario = swarm(seed);
    scenario.peers = (!seed.is_multiple_of(3)).then_some(3);
    let mut config = settings(&scenario);
    config.limits.output_budget = *rng.pick(&[300, 2 << 10, 64 << 10]);
    config.limits.event_budget = 1 << 20;
    (scenario, config)
}

/// Runs a seed, on a thread of its own, in madsim's world.
pub(crate) async fn play(seed: u64) -> Report {
    let mut rng = Rng::new(seed, "driver");
    let (scenario, config) = scenario(seed, &mut rng);
    let servers = scenario.peers.unwrap_or(1);
    begin_files();
    begin_sockets(Weather {
        window: *rng.pick(&[700, 4 << 10, 64 << 10]),
        short: *rng.pick(&[0, 3, 10]),
        accept_errors: *rng.pick(&[0, 10, 40]),
    });
    let customer = |number| Customer {
        client: Client::new(scenario.timeout_ms, scenario.without.clone(), number),
        duty: Duty::Work,
        deaf_until: 0,
        silent_until: 0,
        leave: false,
    };
    let clients = scenario.clients as usize;
    // Whoever asks servers how they are needs an address as well.
    NetSim::current().set_ip(madsim::plugin::node(), [10, 0, 2, 1].into());
    World::begin(&config, servers, (0..clients).map(customer).collect());
    let (ended_sender, ended) = unbounded_channel();
    let (off_sender, went_off) = unbounded_channel();
    let news = News { ended: ended_sender, went_off: off_sender };
    let host = |n| Host::start(Sid(i64::from(n)), seed, &config, &news);
    let hosts = (1..=servers).map(host).collect();
    let pipeline = scenario.pipeline.max(1) as usize;
    let places: Vec<NodeId> =
        (0..clients).map(|number| clients::start(number, seed, servers, pipeline)).collect();
    let off = (0..FAULTS).map(|_| rng.one_in(4)).collect();
    let mut run = Run {
        rng,
        hosts,
        clients,
        ended,
        went_off,
        mends: Vec::new(),
        paused: Vec::new(),
        off,
        faults: 0,
        crashes: 0,
    };
    let verdict = run.play().await;
    // Tasks that refer to each other would stay in memory.
    for node in run.hosts.iter().map(|host| host.node).chain(places) {
        Handle::current().kill(node);
    }
    sleep(Duration::from_millis(1)).await;
    world(|world| {
        world.check(verdict);
        Report {
            violation: world.violation.clone(),
            trace: world.trace,
            answered: world.answered,
            facts: world.facts,
            faults: run.faults,
            crashes: run.crashes,
            simulated_ms: world.now() / 1000,
        }
    })
}

const FAULTS: u64 = 14;

impl Run {
    async fn play(&mut self) -> Verdict {
        let rounds = self.rng.between(4, 8);
        for round in 0..rounds {
            let until = world(|world| world.answered) + self.rng.between(30, 120);
            let late = now_ms() + 15_000;
            while world(|world| world.answered) < until && now_ms() < late {
                self.advance(50).await?;
            }
            self.faults += 1;
            if round == 1 || round == 3 { self.crash() } else { self.fault() }
        }
        let more = self.rng.between(1, 6_000);
        self.advance(more).await?;
        if self.rng.one_in(3) {
            self.all(Duty::Rest { probing: false });
            let idle = self.rng.between(1_000, 60_000);
            self.advance(idle).await?;
            self.all(Duty::Work);
        }
        self.expect_service().await?;
        self.expect_agreement().await?;
        self.expect_calm().await?;
        self.expect_nothing_left().await
    }

    fn all(&mut self, duty: Duty) {
        world(|world| world.customers.iter_mut().for_each(|customer| customer.duty = duty));
    }

    /// Lets time pass.
    async fn advance(&mut self, ms: u64) -> Verdict {
        let until = now_ms() + ms;
        loop {
            self.look()?;
            let now = now_ms();
            if now >= until {
                return Ok(());
            }
            sleep(Duration::from_millis((until - now).min(10))).await;
        }
    }

    /// Sees what has happened, and does what is due.
    fn look(&mut self) -> Verdict {
        while let Ok((node, keep)) = self.went_off.try_recv() {
            let host = self.hosts.iter().position(|host| host.node == node);
            if let Some(host) = host.filter(|host| self.hosts[*host].up) {
                self.fell(host, keep);
            }
        }
        while let Ok((sid, why)) = self.ended.try_recv() {
            let host = self.hosts.iter().position(|host| host.sid == sid).unwrap_or(0);
            if !self.hosts[host].up {
                continue;
            }
            if !why.contains("injected") {
                return Err(format!("server {sid} halted: {why}"));
            }
            // The process ends; the system writes what it has sooner or later.
            self.fell(host, Some(Keep::Some));
        }
        let now = now_ms();
        while let Some(due) = self.mends.iter().position(|(at, _)| *at <= now) {
            let (_, mend) = self.mends.remove(due);
            self.mend(mend);
        }
        world(|world| {
            let verdict = world.waits_for_links();
            world.check(verdict);
            world.violation.clone()
        })
        .map_or(Ok(()), Err)
    }

    fn fell(&mut self, host: usize, keep: Option<Keep>) {
        self.crashes += 1;
        self.resume(host);
        let silent = self.hosts.len() > 1 && self.rng.one_in(3);
        self.hosts[host].die(keep, silent);
        let long = self.rng.one_in(6);
        let down = if long { self.rng.between(4_000, 40_000) } else { self.rng.between(10, 4_000) };
        self.later(down, Mend::Boot(host));
    }

    fn later(&mut self, ms: u64, mend: Mend) {
        self.mends.push((now_ms() + ms, mend));
    }

    fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Boot(host) => self.hosts[host].come_back(),
            Mend::Links => {
                let nodes: Vec<NodeId> = self.hosts.iter().map(|host| host.node).collect();
                for from in &nodes {
                    for to in nodes.iter().filter(|to| *to != from) {
                        NetSim::current().unclog_link(*from, *to);
                    }
                }
            }
            Mend::Disk(host) => {
                let sid = self.hosts[host].sid;
                self.hosts[host].machine(|machine| {
                    machine.slow_down(0);
                    machine.limit_room(None);
                });
                world(|world| world.room(sid, false));
            }
            Mend::Resume(host) => self.resume(host),
            Mend::Client(number) => lighten(client_ip(number)),
        }
    }

    fn resume(&mut self, host: usize) {
        let Some(at) = self.paused.iter().position(|(paused, _)| *paused == host) else { return };
        let (_, since) = self.paused.remove(at);
        let sid = self.hosts[host].sid;
        world(|world| world.stalled(sid, world.now() - since));
        Handle::current().resume(self.hosts[host].node);
    }

    /// Any server, preferably one that leads.
    fn victim(&mut self) -> usize {
        let leader = world(|world| world.leader());
        let leads = |host: &Host| Some(host.sid) == leader;
        match self.hosts.iter().position(leads) {
            Some(leader) if self.rng.one_in(2) => leader,
            _ => self.rng.below(self.hosts.len() as u64) as usize,
        }
    }

    /// The power goes, or the process: now, or in the middle of something with files of some kind.
    fn crash(&mut self) {
        let (host, keep) = (self.victim(), *self.rng.pick(&KEEPS));
        if self.rng.one_in(4) {
            return self.fell(host, Some(keep));
        }
        let files = *self.rng.pick(&Files::KINDS);
        let operations = self.rng.between(1, if files == Files::All { 60 } else { 10 });
        let keep = (!self.rng.one_in(3)).then_some(keep);
        self.hosts[host].machine(|machine| machine.light_fuse(operations, files, keep));
        if files == Files::Epochs {
            // Epochs are written when there is a new leader.
            let leader = world(|world| world.leader());
            let leader = self.hosts.iter().position(|host| Some(host.sid) == leader && host.up);
            if let Some(leader) = leader.filter(|leader| *leader != host) {
                self.fell(leader, None);
            }
        }
    }

    fn fault(&mut self) {
        let kind = self.rng.below(FAULTS);
        if self.off[kind as usize] {
            return self.crash();
        }
        let host = self.victim();
        let number = self.rng.below(self.clients as u64) as usize;
        let ms = self.rng.between(100, 8_000);
        match kind {
            0 => self.fell(host, None),
            1 => {
                let files = *self.rng.pick(&Files::KINDS);
                self.hosts[host].machine(|machine| machine.fail_sync(files));
            }
            2 => {
                let us = self.rng.between(2_000, 500_000);
                self.hosts[host].machine(|machine| machine.slow_down(us));
                self.later(ms, Mend::Disk(host));
            }
            3 => {
                let (sid, room) = (self.hosts[host].sid, self.rng.below(5_000));
                self.hosts[host].machine(|machine| machine.limit_room(Some(room)));
                world(|world| world.room(sid, true));
                self.later(ms, Mend::Disk(host));
            }
            4 | 5 => self.cut(host, kind == 5, ms),
            6 => self.break_links(host),
            7 | 8 => self.break_clients(),
            9 => {
                let until = world(|world| world.now()) + ms * 1000;
                world(|world| world.customers[number].deaf_until = until);
            }
            10 => {
                let until = world(|world| world.now()) + ms * 4_000;
                world(|world| world.customers[number].silent_until = until);
            }
            11 => {
                darken(client_ip(number));
                self.later(ms * 3, Mend::Client(number));
            }
            12 => {
                if self.hosts[host].up && self.paused.iter().all(|(paused, _)| *paused != host) {
                    self.paused.push((host, world(|world| world.now())));
                    Handle::current().pause(self.hosts[host].node);
                    self.later(ms, Mend::Resume(host));
                }
            }
            _ => self.snapshot(host),
        }
    }

    /// Nothing gets through between a server and the others, or from it to them.
    fn cut(&mut self, host: usize, one_way: bool, ms: u64) {
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            let (a, b) = (self.hosts[host].node, self.hosts[other].node);
            NetSim::current().clog_link(a, b);
            if !one_way {
                NetSim::current().clog_link(b, a);
            }
        }
        self.later(ms, Mend::Links);
    }

    fn break_links(&mut self, host: usize) {
        let odds = *self.rng.pick(&[30, 100]);
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            let (a, b) = (self.hosts[host].sid, self.hosts[other].sid);
            break_lines(server_ip(a), server_ip(b), odds);
        }
    }

    fn break_clients(&mut self) {
        for number in 0..self.clients {
            for host in &self.hosts {
                break_lines(client_ip(number), server_ip(host.sid), 50);
            }
        }
    }

    fn snapshot(&mut self, host: usize) {
        let sid = self.hosts[host].sid;
        madsim::task::spawn_local(async move {
            let _ = ask(sid, b"snap").await;
        });
    }

    // What is expected.

    fn heal(&mut self) {
        self.mend(Mend::Links);
        for number in 0..self.clients {
            self.mend(Mend::Client(number));
        }
        for host in 0..self.hosts.len() {
            self.resume(host);
            self.mend(Mend::Disk(host));
            self.hosts[host].machine(|machine| machine.forget_faults());
            self.hosts[host].come_back();
        }
        self.mends.clear();
        world(|world| {
            for customer in &mut world.customers {
                (customer.deaf_until, customer.silent_until) = (0, 0);
                customer.client.proved = false;
                customer.client.wrote = false;
            }
        });
    }

    /// After every fault is over, each client must get a write through.
    async fn expect_service(&mut self) -> Verdict {
        self.heal();
        let deadline = now_ms() + SERVICE_MS;
        loop {
            let waiting = world(|world| {
                let waits = |n: &usize| !world.customers[*n].client.proved;
                (0..world.customers.len()).filter(waits).collect::<Vec<_>>()
            });
            if waiting.is_empty() {
                return Ok(());
            }
            if now_ms() > deadline {
                return Err(format!(
                    "L1: {SERVICE_MS} ms after the last fault no write of the clients {waiting:?} was answered"
                ));
            }
            self.advance(100).await?;
        }
    }

    /// Clients rest, and every server must come to hold the same tree.
    async fn expect_agreement(&mut self) -> Verdict {
        self.all(Duty::Rest { probing: true });
        let deadline = now_ms() + SERVICE_MS;
        loop {
            let shown = |host: &Host| world(|world| world.shown(host.sid)).filter(|s| s.serves);
            let digests: Vec<Option<u64>> =
                self.hosts.iter().map(|host| shown(host).map(|shown| shown.digest)).collect();
            if digests.iter().all(|digest| digest.is_some() && *digest == digests[0]) {
                return Ok(());
            }
            if now_ms() > deadline {
                return Err(format!("L3: the servers do not come to agree: {digests:x?}"));
            }
            self.advance(100).await?;
        }
    }

    /// Clients work once more, with nothing wrong for long, and none waits in vain.
    async fn expect_calm(&mut self) -> Verdict {
        self.advance(CALM_AFTER_MS).await?;
        self.all(Duty::Work);
        world(|world| world.calm = true);
        let work = self.rng.between(500, 4_000);
        self.advance(work).await?;
        // A ping would rouse a server that has forgotten somebody.
        self.all(Duty::Wait);
        let deadline = now_ms() + ANSWER_MS;
        loop {
            let waiting = world(|world| {
                let waits = |n: &usize| !world.customers[*n].client.in_flight.is_empty();
                (0..world.customers.len()).filter(waits).collect::<Vec<_>>()
            });
            if waiting.is_empty() {
                world(|world| world.calm = false);
                return world(|world| world.links_are_real());
            }
            if now_ms() > deadline {
                return Err(format!(
                    "L1: requests of the clients {waiting:?} were not answered within {ANSWER_MS} ms, and nothing is \
                     wrong"
                ));
            }
            self.advance(50).await?;
        }
    }

    /// When all clients are gone, nothing of their connections may be left.
    async fn expect_nothing_left(&mut self) -> Verdict {
        self.all(Duty::Leave);
        let half_open = (0..self.clients).any(|number| is_half_open(client_ip(number)));
        let patience_ms = if half_open { HALF_OPEN_MS } else { FORGOTTEN_MS };
        let deadline = now_ms() + patience_ms;
        loop {
            let left: usize = (0..self.clients).map(|number| lines(client_ip(number))).sum();
            let mut open = Vec::new();
            for host in &self.hosts {
                open.push(ask(host.sid, b"open").await.unwrap_or_default());
            }
            // Whoever asks is one.
            if left == 0 && open.iter().all(|open| open == "1 1") {
                return Ok(());
            }
            if now_ms() > deadline {
                return Err(format!(
                    "L5: {patience_ms} ms after the last client left, {left} sockets are open; servers count {open:?}"
                ));
            }
            self.advance(500).await?;
        }
    }
}

fn now_ms() -> u64 {
    world(|world| world.now()) / 1000
}

/// A word, and its answer.
async fn ask(sid: Sid, word: &'static [u8; 4]) -> Option<String> {
    let talk = async {
        let addr = SocketAddr::new(server_ip(sid), CLIENT_PORT);
        let mut stream = TcpStream::connect(addr).await.ok()?;
        stream.write_all(word).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    timeout(Duration::from_secs(10), talk).await.ok()?
}
