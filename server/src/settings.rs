//! What a server is told before it starts. Reads nothing; the defaults that are not the core's stand here.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use zoetrope_core::Config;
use zoetrope_io_tokio::PeerSettings;

/// Everything that can be set.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Limits and timings of the core.
    pub core: Config,
    /// `dataDir`; the files are in its `version-2`.
    pub data_dir: PathBuf,
    /// `dataLogDir`, if it is not the same.
    pub log_dir: Option<PathBuf>,
    /// `datadir.autocreate`.
    pub autocreate: bool,
    /// `fsync.warningthresholdms`.
    pub fsync_warning_ms: u64,
    /// Where clients connect.
    pub listen: Listen,
    /// The other servers; `None`: this one runs alone.
    pub peers: Option<PeerSettings>,
    /// What the four-letter words answer.
    pub words: WordSettings,
}

/// The client port.
#[derive(Clone, PartialEq, Debug)]
pub struct Listen {
    /// `clientPortAddress`: a name or an address; `None`: all addresses.
    pub host: Option<String>,
    /// `clientPort`; 0: any free one.
    pub port: u16,
    /// `clientPortListenBacklog`; `None`: 50 in Java, more here.
    pub backlog: Option<u32>,
    /// `maxClientCnxns`; 0: no limit.
    pub per_address_max: u32,
    /// `maxCnxns`; 0: no limit.
    pub total_max: u32,
    /// `clientTcpKeepAlive`.
    pub keep_alive: bool,
}

/// Who may ask which four-letter word, and how dates are printed.
#[derive(Clone, PartialEq, Debug)]
pub struct WordSettings {
    /// `4lw.commands.whitelist`.
    pub whitelist: Vec<String>,
    /// `readonlymode.enabled`: `isro` may be asked, too.
    pub read_only_mode: bool,
    /// `zoetrope.srvr.dateFormat`.
    pub date_format: DateFormat,
}

/// How the build date is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DateFormat {
    /// 2026-11-24, like Java.
    Iso,
    /// 11/24/2026, as go-zookeeper wants it.
    Us,
}

impl WordSettings {
    /// Whether this word may be asked.
    pub fn allows(&self, word: &str) -> bool {
        self.allows_all()
            || (word == "isro" && self.read_only_mode)
            || self.whitelist.iter().any(|listed| listed == word)
    }

    /// The whitelist is `*`.
    pub fn allows_all(&self) -> bool {
        self.whitelist.iter().any(|listed| listed == "*")
    }
}

impl Default for Settings {
    /// A server without a configuration file: it talks to this machine only.
    fn default() -> Self {
        Self {
            core: Config::default(),
            data_dir: PathBuf::from("zoetrope-data"),
            log_dir: None,
            autocreate: true,
            fsync_warning_ms: 1000,
            listen: Listen {
                host: Some(IpAddr::from(Ipv4Addr::LOCALHOST).to_string()),
                port: 2181,
                backlog: None,
                per_address_max: 60,
                total_max: 0,
                keep_alive: false,
            },
            peers: None,
            words: WordSettings {
                whitelist: vec!["srvr".to_owned()],
                read_only_mode: false,
                date_format: DateFormat::Iso,
            },
        }
    }
}

/// Where the files of a data directory are, for a person: from the root.
pub(crate) fn files_of(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).join("version-2")
}
