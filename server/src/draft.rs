//! Settings while they are being collected, and the rules that need more than one key.

use std::path::{Path, PathBuf};

use crate::settings::Settings;
use crate::value::{Fault, Given};

/// What the keys seen so far say.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(crate) settings: Settings,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) client_port: Option<u16>,
    pub(crate) client_host: Option<String>,
    pub(crate) standalone_enabled: bool,
    pub(crate) dynamic_config: Option<PathBuf>,
    pub(crate) members: Vec<Member>,
    pub(crate) snap_retain: u32,
    pub(crate) purge_hours: Option<i32>,
    pub(crate) pre_alloc_kib: Option<i64>,
    pub(crate) frame_extra: Option<u32>,
    pub(crate) enforce_auth: bool,
    pub(crate) enforced_schemes: Vec<String>,
    pub(crate) require_sasl: bool,
}

/// One `server.N`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    key: String,
    observer: bool,
    client: Option<(Option<String>, u16)>,
}

/// A broken rule and the key that broke it, if it is one.
pub(crate) type Broken = (Option<String>, Fault);

impl Draft {
    /// Nothing is given yet. With a file, what must be in it has no default.
    pub(crate) fn new(with_file: bool) -> Self {
        let settings = Settings::default();
        let (data_dir, client_port, client_host) = if with_file {
            (None, None, None)
        } else {
            let listen = &settings.listen;
            (Some(settings.data_dir.clone()), Some(listen.port), listen.host.clone())
        };
        Self {
            data_dir,
            client_port,
            client_host,
            standalone_enabled: true,
            dynamic_config: None,
            members: Vec::new(),
            snap_retain: 3,
            purge_hours: None,
            pre_alloc_kib: None,
            frame_extra: None,
            enforce_auth: false,
            enforced_schemes: Vec::new(),
            require_sasl: false,
            settings,
        }
    }

    /// Takes a `server.N` in.
    pub(crate) fn add_member(&mut self, given: &Given<'_>) -> Result<(), Fault> {
        let id = given.key.strip_prefix("server.").unwrap_or_default();
        if id.parse::<i64>().is_err() {
            return Err(Fault::Error(format!("{id:?} is no server id: an integer is needed")));
        }
        self.members.push(parse_member(given.key, given.value)?);
        Ok(())
    }

    /// Applies the rules between keys.
    pub(crate) fn finish(mut self) -> (Settings, Vec<Broken>) {
        let mut broken = Vec::new();
        self.check_members(&mut broken);
        self.settle_addresses(&mut broken);
        self.settle_timeouts(&mut broken);
        self.settle_storage();
        self.settle_auth(&mut broken);
        (self.settings, broken)
    }

    fn check_members(&mut self, broken: &mut Vec<Broken>) {
        let observers = self.members.iter().filter(|member| member.observer).count();
        let participants = self.members.len() - observers;
        let first = self.members.first().map(|member| member.key.clone());
        let fault = match participants {
            0 if observers > 0 => {
                Fault::Error("Observers w/o participants is an invalid configuration".into())
            }
            0 if !self.standalone_enabled => Fault::Error(
                "standaloneEnabled = false then number of participants should be >0".into(),
            ),
            0 => return,
            1 if self.standalone_enabled && observers > 0 => {
                Fault::Error("Observers w/o quorum is an invalid configuration".into())
            }
            1 if self.standalone_enabled => Fault::Warning(
                "Invalid configuration, only one server specified (ignoring): the server runs alone".into(),
            ),
            participants => Fault::Error(format!(
                "{participants} participants ask for ensemble mode, which is not part of this release: \
                 a standalone server in its place would diverge from the others"
            )),
        };
        let key = first.or_else(|| Some("standaloneEnabled".to_owned()));
        broken.push((key, fault));
    }

    fn settle_addresses(&mut self, broken: &mut Vec<Broken>) {
        // Java takes the client port out of the only server's line, too.
        if self.client_port.is_none()
            && let [Member { client: Some((host, port)), .. }] = &self.members[..]
        {
            self.client_port = Some(*port);
            self.client_host = self.client_host.take().or_else(|| host.clone());
        }
        match self.data_dir.take() {
            Some(dir) => {
                self.settings.data_dir = dir;
            }
            None => broken.push((None, Fault::Error("dataDir is not set".into()))),
        }
        self.settings.log_dir =
            self.settings.log_dir.take().filter(|dir| *dir != self.settings.data_dir);
        let host = self.client_host.take();
        match self.client_port {
            Some(port) => {
                self.settings.listen.port = port;
                self.settings.listen.host = host;
            }
            None if host.is_some() => broken.push((
                Some("clientPortAddress".to_owned()),
                Fault::Error("clientPortAddress is set but clientPort is not set".into()),
            )),
            None => broken.push((
                None,
                Fault::Error("clientPort is not set: no client could connect".into()),
            )),
        }
    }

    fn settle_timeouts(&mut self, broken: &mut Vec<Broken>) {
        let core = &self.settings.core;
        if core.timeout_min() > core.timeout_max() {
            let text = format!(
                "minSessionTimeout must not be larger than maxSessionTimeout ({} and {} ms)",
                core.timeout_min(),
                core.timeout_max()
            );
            broken.push((Some("minSessionTimeout".to_owned()), Fault::Error(text)));
        }
    }

    fn settle_storage(&mut self) {
        let limits = &mut self.settings.core.limits;
        limits.frame_extra = self.frame_extra.unwrap_or(limits.frame_max.max(1024));
        let storage = &mut self.settings.core.storage;
        (storage.snap_retain, storage.purge_interval_ms) = match self.purge_hours {
            None => (Some(self.snap_retain), 0),
            Some(hours @ 1..) => {
                (Some(self.snap_retain), u64::from(hours.unsigned_abs()) * 3_600_000)
            }
            Some(_) => (None, 0),
        };
        if let Some(kib) = self.pre_alloc_kib {
            let ahead = u64::try_from(kib).unwrap_or(0).saturating_mul(1024);
            // Java may go without padding; here room is reserved before anything is promised.
            storage.reserve_step = storage.reserve_step.min(ahead.max(64 << 10));
        }
    }

    fn settle_auth(&mut self, broken: &mut Vec<Broken>) {
        if self.enforce_auth && self.enforced_schemes.is_empty() {
            let text = "enforce.auth.enabled is true but enforce.auth.schemes must be configured";
            broken.push((Some("enforce.auth.enabled".to_owned()), Fault::Error(text.into())));
        }
        let mut schemes =
            if self.enforce_auth { std::mem::take(&mut self.enforced_schemes) } else { Vec::new() };
        if self.require_sasl && !schemes.iter().any(|scheme| scheme == "sasl") {
            schemes.push("sasl".to_owned());
        }
        self.settings.core.auth.enforced_schemes = schemes;
    }
}

/// Paths that depend on where the server was started.
pub(crate) fn is_relative(value: &str) -> bool {
    !value.is_empty() && Path::new(value).is_relative()
}

/// `host:quorumPort:electionPort[:role][;[clientHost:]clientPort]`, several addresses with `|` between.
fn parse_member(key: &str, value: &str) -> Result<Member, Fault> {
    let malformed = || {
        Fault::Error(format!(
            "{value} does not have the form server_config or server_config;client_config where server_config is \
             the pipe separated list of host:port:port or host:port:port:type and client_config is port or host:port"
        ))
    };
    let (servers, client) = match value.split_once(';') {
        Some((servers, client)) => (servers, Some(client)),
        None => (value, None),
    };
    let client = client.map(|client| parse_client(client).ok_or_else(malformed)).transpose()?;
    let mut observer = false;
    for server in servers.split('|') {
        let (_, rest) = split_host(server.trim()).ok_or_else(malformed)?;
        let parts: Vec<&str> = rest.split(':').collect();
        let (ports, role) = match parts[..] {
            [quorum, election] => ([quorum, election], None),
            [quorum, election, role] => ([quorum, election], Some(role)),
            _ => return Err(malformed()),
        };
        if ports.iter().any(|port| port.parse::<u16>().is_err()) {
            return Err(malformed());
        }
        observer |= match role.map(str::to_ascii_lowercase).as_deref() {
            None | Some("participant") => false,
            Some("observer") => true,
            Some(other) => return Err(Fault::Error(format!("Unrecognised peertype: {other}"))),
        };
    }
    Ok(Member { key: key.to_owned(), observer, client })
}

fn parse_client(client: &str) -> Option<(Option<String>, u16)> {
    match split_host(client) {
        Some((host, port)) => Some((Some(host.to_owned()), port.parse().ok()?)),
        None => Some((None, client.parse().ok()?)),
    }
}

/// The host in front of the first colon, or in brackets.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => text.split_once(':'),
    }
    .filter(|(host, _)| !host.is_empty())
}
