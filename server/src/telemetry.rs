//! What happens, as log lines for a person at three in the morning: what it was, which file, session or connection it
//! concerns, and what to do. Decides nothing.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, warn};
use zoetrope_core::wire::{PacketKind, PeerState};
use zoetrope_core::{ConnId, Device, Dir, DropReason, FileId, Milestone, Refusal, Turn, Zxid};
use zoetrope_io_tokio::Observer;

use crate::args::{LogFormat, LogLevel};
use crate::exit::Exit;
use crate::words::Startup;

/// Sends log lines to standard error from here on.
pub fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(false);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// A panic anywhere ends the process at once: what half of it would do with the data is unknown.
pub fn exit_on_panic() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        eprintln!(
            "zoetrope: internal error{place}: {}. Acknowledged writes are on disk; the server can be started again. \
             Please report this line{}",
            text.unwrap_or("no text"),
            match Backtrace::capture().status() {
                BacktraceStatus::Captured => " and what follows",
                _ => ", if possible with what RUST_BACKTRACE=1 adds to it",
            }
        );
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            eprintln!("{backtrace}");
        }
        // What made it panic is the most precious part of a recording.
        zoetrope_io_tokio::flush_recording();
        std::process::exit(Exit::Panic as i32);
    }));
}

/// Writes what the driver and the core report.
#[derive(Debug)]
pub struct Log {
    /// `dataDir/version-2`.
    snapshots: PathBuf,
    /// `dataLogDir/version-2`.
    logs: PathBuf,
    /// Started by somebody who has no configuration file yet.
    newcomer: bool,
    addr: Option<SocketAddr>,
    started: Instant,
    startup: Rc<Cell<Startup>>,
}

impl Log {
    /// For a server with these directories. `startup` is filled in while it starts.
    pub fn new(
        snapshots: PathBuf,
        logs: PathBuf,
        newcomer: bool,
        startup: Rc<Cell<Startup>>,
    ) -> Self {
        Self { snapshots, logs, newcomer, addr: None, started: Instant::now(), startup }
    }

    fn path(&self, file: FileId, turn: &Turn<'_>) -> String {
        let place = turn.place(file);
        let dir = match place.dir {
            Dir::Log => &self.logs,
            Dir::Snapshot => &self.snapshots,
        };
        dir.join(&place.name).display().to_string()
    }

    fn recovered(&self, snapshot: Option<String>, replayed: u64, zxid: Zxid) {
        self.startup.set(Startup { replayed, ..self.startup.get() });
        match snapshot {
            Some(file) => info!(%file, replayed, %zxid, "database read: snapshot and log"),
            None if replayed > 0 => info!(replayed, %zxid, "database read: log without a snapshot"),
            None => info!("empty database created"),
        }
    }

    fn serving(&self, zxid: Zxid) {
        let took = self.started.elapsed();
        self.startup.set(Startup { took_ms: millis(took), ..self.startup.get() });
        let clients = self.addr.map(|addr| addr.to_string()).unwrap_or_default();
        info!(%zxid, took_ms = millis(took), "serving clients on {clients}");
        if let (true, Some(addr)) = (self.newcomer, self.addr) {
            let addr = reachable(addr);
            info!("connect with `zkCli.sh -server {addr}`, or in Python with");
            info!("  from kazoo.client import KazooClient; zk = KazooClient('{addr}'); zk.start()");
        }
    }
}

impl Observer for Log {
    fn listening(&mut self, addr: SocketAddr) {
        self.addr = Some(addr);
        info!("listening on {addr}");
    }

    fn milestone(&mut self, milestone: Milestone, turn: &Turn<'_>) {
        match milestone {
            Milestone::SnapshotSkipped { file } => warn!(
                file = %self.path(file, turn),
                "this snapshot is damaged, incomplete or cannot be read; the next older one is tried, with more of the log"
            ),
            Milestone::Recovered { snapshot, replayed, zxid } => {
                let snapshot = snapshot.map(|file| self.path(file, turn));
                self.recovered(snapshot, replayed, zxid);
            }
            Milestone::TornTail { file, at } => warn!(
                file = %self.path(file, turn),
                offset = at,
                "the log ended in a record that was being written when the server stopped; it was never \
                 acknowledged and is cut off. Nothing to do"
            ),
            Milestone::EmptyLogRemoved { file } => warn!(
                file = %self.path(file, turn),
                "a log file without any record was removed: it was being created when the server stopped. \
                 Nothing to do"
            ),
            Milestone::DigestMismatch { zxid } => error!(
                %zxid,
                "the database differs from the one that wrote this txn. Keep the data directory and compare it \
                 with a backup or with another server before relying on it"
            ),
            Milestone::Serving { zxid } => self.serving(zxid),
            Milestone::ServingReadOnly { zxid } => warn!(
                %zxid,
                "there is no quorum: read-only clients are served from what is known to be committed, until there is one"
            ),
            Milestone::Purged { file } => {
                info!(file = %self.path(file, turn), "old file removed; recovery does not need it");
            }
            Milestone::SnapshotStarted { .. }
            | Milestone::SnapshotTaken { .. }
            | Milestone::SnapshotFailed { .. } => self.on_snapshot(milestone),
            Milestone::DeadSessionCleaned { .. }
            | Milestone::SessionOpened { .. }
            | Milestone::LocalSessionOpened { .. }
            | Milestone::SessionUpgraded { .. }
            | Milestone::SessionResumed { .. }
            | Milestone::SessionRefused { .. }
            | Milestone::SessionExpired { .. }
            | Milestone::SessionClosed { .. } => on_session(milestone),
            Milestone::ConnDropped { conn, why } => dropped(conn, why),
            Milestone::RoomLost => error!(
                dir = %self.logs.display(),
                "the disk is full: writes are refused, reads and deletes go on. Make room; the server then accepts \
                 writes again by itself"
            ),
            Milestone::RoomFound => {
                warn!(dir = %self.logs.display(), "there is room on the disk again: writes are accepted");
            }
            Milestone::Stalled { us } => warn!(
                ms = us / 1000,
                "this process stood still: it was stopped, swapped out or had no CPU. No session is expired for that \
                 time"
            ),
            Milestone::PeerFault { number } => match turn.fault(number) {
                (Some(sid), what) => warn!(peer = sid.0, "link given up: {what}"),
                (None, what) => warn!("{what}"),
            },
            Milestone::RoleChanged { state } => info!("{}", role(state)),
            Milestone::SyncStarted { sid, branch, zxid } => {
                info!(peer = sid.0, %zxid, "brings a learner level: {}", branch.words());
            }
            Milestone::SyncBegun { kind, zxid } => {
                info!(%zxid, "is brought level by its leader: {}", plan(kind));
            }
            Milestone::LearnerServes { sid } => {
                info!(peer = sid.0, "a learner is level and serves")
            }
            Milestone::DeviceFailed { device } => error!(
                device = device_name(device),
                "a write to disk failed; what it had not confirmed is not acknowledged, and the server stops"
            ),
        }
    }
}

impl Log {
    fn on_snapshot(&self, milestone: Milestone) {
        match milestone {
            Milestone::SnapshotStarted { zxid } => debug!(%zxid, "snapshot begun"),
            Milestone::SnapshotTaken { zxid, bytes } => info!(%zxid, bytes, "snapshot taken"),
            Milestone::SnapshotFailed { zxid } => error!(
                %zxid,
                dir = %self.snapshots.display(),
                "the snapshot could not be written; nothing is lost, the log has everything. Look whether the disk is \
                 full"
            ),
            _ => {}
        }
    }
}

fn role(state: PeerState) -> &'static str {
    match state {
        PeerState::Looking => "LOOKING for a leader",
        PeerState::Following => "FOLLOWING: elected another server as leader",
        PeerState::Observing => "OBSERVING: found the leader",
        PeerState::Leading => "LEADING: elected; a quorum has to come to be led",
    }
}

/// How a learner is brought level (quorum protocol §8).
fn plan(kind: i32) -> &'static str {
    match PacketKind::from_number(kind) {
        Some(PacketKind::Diff) => "DIFF, it gets the txns it lacks",
        Some(PacketKind::Trunc) => "TRUNC, what was never committed is cut off first",
        Some(PacketKind::Snap) => "SNAP, it gets the whole tree",
        _ => "?",
    }
}

fn on_session(milestone: Milestone) {
    match milestone {
        Milestone::DeadSessionCleaned { session } => {
            info!(%session, "ephemeral znodes of a session that no longer exists were removed");
        }
        Milestone::SessionOpened { session, timeout_ms } => {
            debug!(%session, timeout_ms, "session opened");
        }
        Milestone::LocalSessionOpened { session, timeout_ms } => {
            debug!(%session, timeout_ms, "local session opened");
        }
        Milestone::SessionUpgraded { session } => {
            debug!(%session, "local session becomes a global one: it asks for an ephemeral znode");
        }
        Milestone::SessionResumed { session, timeout_ms } => {
            debug!(%session, timeout_ms, "session resumed");
        }
        Milestone::SessionRefused { session, why } => {
            info!(%session, "session not resumed: {}", refusal(why));
        }
        Milestone::SessionExpired { session } => info!(%session, "session expired"),
        Milestone::SessionClosed { session } => debug!(%session, "session closed"),
        _ => {}
    }
}

fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::Unknown => "it does not exist; it has expired, or it is of another ensemble",
        Refusal::WrongPassword => "wrong password",
        Refusal::ClientAhead => {
            "the client has seen a later zxid than this server has. A server that is read-only may be behind; on any \
             other, look whether an old backup was restored: its data are older than the client's last server"
        }
        Refusal::ReadOnly => "without a quorum nobody knows whether it lives",
    }
}

fn dropped(conn: ConnId, why: DropReason) {
    match why {
        DropReason::BadHandshake => {
            warn!(%conn, "connection closed: its first bytes are no connect request of ZooKeeper");
        }
        DropReason::BadFrame => warn!(%conn, "connection closed: a request that cannot be decoded"),
        DropReason::UnknownOperation { kind } => {
            warn!(%conn, kind, "connection closed: there is no such operation");
        }
        DropReason::AuthFailed => warn!(%conn, "connection closed: authentication failed"),
        DropReason::AuthRequired => {
            warn!(
                %conn,
                "connection closed: it has not authenticated by one of enforce.auth.schemes"
            );
        }
        DropReason::SlowReader => warn!(
            %conn,
            "connection closed: it did not read its watch events; see zoetrope.eventBudget"
        ),
        DropReason::Idle => info!(%conn, "connection closed: no connect request in time"),
        DropReason::Throttled => {
            warn!(%conn, "connection refused: too many new ones; see connection_throttle_tokens");
        }
        DropReason::TooLarge => warn!(
            %conn,
            "connection closed: too many bytes of large requests at once; see largeRequestMaxBytes"
        ),
        DropReason::NotServing => info!(%conn, "connection closed: the server does not serve now"),
        DropReason::ReadOnly => {
            info!(%conn, "connection closed: it needs a quorum, and there is none; this server is read-only");
        }
        DropReason::Replaced => {
            debug!(%conn, "connection closed: its session went on through another")
        }
        DropReason::SessionEnded => debug!(%conn, "connection closed: its session has ended"),
    }
}

fn device_name(device: Device) -> &'static str {
    match device {
        Device::Log => "log",
        Device::Epochs => "epoch files",
        Device::Snapshot => "snapshots",
    }
}

/// Where a client on this machine finds a server that listens on all addresses.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip().is_unspecified() {
        true => SocketAddr::new(IpAddr::from(Ipv4Addr::LOCALHOST), addr.port()),
        false => addr,
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
