//! What the driver needs to know beside the core's own settings, and how a run may end.

use std::net::SocketAddr;
use std::path::PathBuf;
use zoetrope_core::{Config, Ensemble, Sid};

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Settings of the core.
    pub core: Config,
    /// The core's only source of chance.
    pub seed: u64,
    /// `dataDir`: snapshots.
    pub data_dir: PathBuf,
    /// `dataLogDir`: logs; the same as `data_dir` unless set.
    pub data_log_dir: PathBuf,
    /// `datadir.autocreate`.
    pub datadir_autocreate: bool,
    /// `clientPort` and `clientPortAddress`; port 0 takes a free one.
    pub client_addr: Option<SocketAddr>,
    /// `clientPortListenBacklog`.
    pub backlog: Option<u32>,
    /// `maxClientCnxns`: connections per client address; 0 is no limit.
    pub max_client_cnxns: u32,
    /// `maxCnxns`: connections in all; 0 is no limit.
    pub max_cnxns: u32,
    /// `clientTcpKeepAlive`.
    pub tcp_keepalive: bool,
    /// `fsync.warningthresholdms`.
    pub fsync_warning_ms: u64,
    /// The other servers; `None`: this one runs alone.
    pub peers: Option<PeerSettings>,
    /// The flight recorder; `None`: nothing is recorded.
    pub recording: Option<Recording>,
}

/// Where and how much the flight recorder writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// A directory for it alone.
    pub dir: PathBuf,
    /// Bytes of inputs after which the next file begins.
    pub file_bytes: u64,
    /// Files that are kept, the present one among them.
    pub files: u32,
}

/// Links to the other servers of the ensemble.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerSettings {
    /// This server; a member of `ensemble`.
    pub sid: Sid,
    /// Who is where, by zoo.cfg.
    pub ensemble: Ensemble,
    /// `observerMasterPort`: where followers accept observers, and observers look for them; `None`: observers go to the
    /// leader.
    pub observer_master_port: Option<u16>,
    /// `quorumListenOnAllIPs`: listen on all addresses instead of those of this server's line.
    pub listen_on_all: bool,
    /// `cnxTimeout`: ms an attempt to connect may take.
    pub connect_timeout_ms: u64,
    /// `quorumCnxnTimeoutMs`, or else `syncLimit` ticks: ms a greeting may take.
    pub handshake_timeout_ms: u64,
    /// `electionPortBindRetry`: attempts to listen, a second apart; 0: for ever.
    pub bind_retries: u32,
    /// `tcpKeepAlive`.
    pub tcp_keepalive: bool,
}

/// Why a run ended, for a person.
#[derive(thiserror::Error, Debug)]
pub enum RunError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// A data directory cannot be used.
    #[error("{0}")]
    DataDir(String),
    /// The client port cannot be opened.
    #[error("cannot listen on {addr}: {error}. {}", hint(error))]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// A port for other servers cannot be opened.
    #[error(
        "cannot listen on {addr}, the {port} port: {error}. Is another server running there? Other \
         servers would never reach this one"
    )]
    PeerPort {
        /// Which of the two.
        port: &'static str,
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The core stopped for good.
    #[error("{0}")]
    Halted(String),
}

impl RunError {
    /// The process's exit code (storage §4.1).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => 2,
            Self::DataDir(_) => 3,
            Self::Listen { .. } | Self::Halted(_) => 1,
            Self::PeerPort { .. } => 14,
        }
    }
}

/// What to look at when a port cannot be had.
fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrNotAvailable => {
            "It is no address of this machine: see clientPortAddress"
        }
        std::io::ErrorKind::PermissionDenied => "Ports below 1024 are not for every user",
        _ => "Is another server running there?",
    }
}
