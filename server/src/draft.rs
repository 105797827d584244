//! Settings while they are being collected, and the rules that need more than one key.

use std::path::{Path, PathBuf};

use crate::quorum::{QuorumDraft, ReadFile, host_to_listen_on};
use crate::settings::Settings;
use crate::value::Fault;

/// What the keys seen so far say.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(crate) settings: Settings,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) client_port: Option<u16>,
    pub(crate) client_host: Option<String>,
    pub(crate) secure_client_port: bool,
    pub(crate) standalone_enabled: bool,
    pub(crate) dynamic_config: Option<PathBuf>,
    pub(crate) quorum: QuorumDraft,
    pub(crate) snap_retain: u32,
    pub(crate) purge_hours: Option<i32>,
    pub(crate) pre_alloc_kib: Option<i64>,
    pub(crate) frame_extra: Option<u32>,
    pub(crate) enforce_auth: bool,
    pub(crate) enforced_schemes: Vec<String>,
    pub(crate) require_sasl: bool,
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
            secure_client_port: false,
            standalone_enabled: true,
            dynamic_config: None,
            quorum: QuorumDraft::default(),
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

    /// Applies the rules between keys.
    pub(crate) fn finish(mut self, read: ReadFile<'_>) -> (Settings, Vec<Broken>) {
        let mut broken = Vec::new();
        self.settle_mode(read, &mut broken);
        self.settle_addresses(&mut broken);
        self.settle_timeouts(&mut broken);
        self.settle_storage();
        self.settle_auth(&mut broken);
        (self.settings, broken)
    }

    fn settle_addresses(&mut self, broken: &mut Vec<Broken>) {
        // Java takes the client port out of the only server's line, too.
        if self.client_port.is_none()
            && let Some(client) = self.quorum.only_member().and_then(|own| own.client.clone())
        {
            self.client_port = Some(client.port);
            self.client_host = self.client_host.take().or_else(|| host_to_listen_on(&client));
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
            None if self.secure_client_port => broken.push((
                Some("secureClientPort".to_owned()),
                Fault::Error(
                    "clientPort is not set, and TLS for clients is not part of this release: no client could connect"
                        .into(),
                ),
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
