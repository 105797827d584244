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
    /// The ensemble's part; `None`: this server stands alone.
    pub peers: Option<PeerSettings>,
}

/// Settings of the links to other servers.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// `myid`.
    pub sid: Sid,
    /// Who belongs to the ensemble, this server included.
    pub ensemble: Ensemble,
    /// `quorumListenOnAllIPs`.
    pub listen_on_all: bool,
    /// `zookeeper.cnxTimeout`.
    pub connect_timeout_ms: u64,
    /// `zookeeper.quorumCnxnTimeoutMs`, or tickTime × syncLimit: how long a server that connects
    /// may take to say who it is.
    pub handshake_timeout_ms: u64,
    /// `zookeeper.electionPortBindRetry`; 0 is no limit.
    pub bind_retries: u32,
    /// `zookeeper.tcpKeepAlive`.
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
    #[error("cannot listen on {addr}: {error}. Is another server running there?")]
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
