//! The keys of zoo.cfg that make a server part of an ensemble, and the rules between them.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use zoetrope_core::{Ensemble, HostPort, Member, Sid};
use zoetrope_io_tokio::PeerSettings;

use crate::draft::{Broken, Draft};
use crate::value::{Fault, Given};

/// What the keys seen so far say about the ensemble.
#[derive(Clone, Default, Debug)]
pub(crate) struct QuorumDraft {
    /// `server.N`, as far as they can be read.
    members: Vec<(String, Sid, Member)>,
    /// Those and `group.N` and `weight.N`, as they are written.
    lines: Vec<(String, String)>,
    /// A `server.N` could not be read: what the others say means nothing.
    incomplete: bool,
    /// Ticks; 0: not given.
    pub(crate) init_limit: u32,
    /// Ticks; 0: not given.
    pub(crate) sync_limit: u32,
    pub(crate) listen_on_all: bool,
    pub(crate) observer_master_port: Option<u16>,
    pub(crate) multi_address: bool,
    /// `peerType=observer`.
    pub(crate) observer: bool,
    pub(crate) connect_timeout_ms: Option<u64>,
    pub(crate) handshake_timeout_ms: Option<u64>,
    pub(crate) bind_retries: Option<u32>,
    pub(crate) tcp_keepalive: bool,
    /// Keys that ask for a protection between servers that is not there.
    pub(crate) protections: Vec<String>,
}

/// How files are read.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

impl QuorumDraft {
    /// Takes a `server.N`, `group.N` or `weight.N` in.
    pub(crate) fn add_line(&mut self, given: &Given<'_>) -> Result<(), Fault> {
        if let Some(id) = given.key.strip_prefix("server.") {
            let member = parse_member(id, given.value).inspect_err(|_| self.incomplete = true)?;
            self.members.push((given.key.to_owned(), member.0, member.1));
        }
        self.lines.push((given.key.to_owned(), given.value.to_owned()));
        Ok(())
    }

    /// A line with several addresses where that is not allowed. The key that allows it may come after it.
    fn forbidden_addresses(&self) -> Option<Broken> {
        let mut servers = self.lines.iter().filter(|(key, _)| key.starts_with("server."));
        servers.find_map(|(key, value)| {
            let wrong = Member::parse(value, self.multi_address).err()?;
            Some((Some(key.clone()), error(wrong.text)))
        })
    }

    /// The line of the only server.
    pub(crate) fn only_member(&self) -> Option<&Member> {
        match &self.members[..] {
            [(_, _, member)] => Some(member),
            _ => None,
        }
    }
}

fn parse_member(id: &str, value: &str) -> Result<(Sid, Member), Fault> {
    let sid = id.parse().ok().filter(|sid| *sid >= 0).map(Sid).ok_or_else(|| {
        Fault::Error(format!("{id:?} is no server id: an integer from 0 on is needed"))
    })?;
    let member = Member::parse(value, true).map_err(|error| Fault::Error(error.to_string()))?;
    Ok((sid, member))
}

fn error(text: impl Into<String>) -> Fault {
    Fault::Error(text.into())
}

impl Draft {
    /// Decides whether the server runs alone, as Java does. An ensemble goes into the settings.
    pub(crate) fn settle_mode(&mut self, read: ReadFile<'_>, broken: &mut Vec<Broken>) {
        if let Some(wrong) = self.quorum.forbidden_addresses() {
            return broken.push(wrong);
        }
        let members = &self.quorum.members;
        let observers = members.iter().filter(|(_, _, member)| member.observer).count();
        let voters = members.len() - observers;
        let first = members.first().map(|(key, _, _)| key.clone());
        let key = first.or_else(|| Some("standaloneEnabled".to_owned()));
        let fault = match voters {
            0 if observers > 0 => error("Observers w/o participants is an invalid configuration"),
            0 if !self.standalone_enabled => {
                error("standaloneEnabled = false then number of participants should be >0")
            }
            0 => return,
            1 if self.standalone_enabled && observers > 0 => {
                error("Observers w/o quorum is an invalid configuration")
            }
            1 if self.standalone_enabled => Fault::Warning(
                "Invalid configuration, only one server specified (ignoring): the server runs alone".into(),
            ),
            voters => {
                if voters <= 2 {
                    let text = "No server failure will be tolerated. You need at least 3 servers.";
                    broken.push((key, Fault::Warning(text.into())));
                } else if voters % 2 == 0 {
                    let text = "Non-optimal configuration, consider an odd number of servers.";
                    broken.push((key, Fault::Warning(text.into())));
                }
                return self.settle_ensemble(read, broken);
            }
        };
        broken.push((key, fault));
    }

    fn settle_ensemble(&mut self, read: ReadFile<'_>, broken: &mut Vec<Broken>) {
        for (key, limit) in
            [("initLimit", self.quorum.init_limit), ("syncLimit", self.quorum.sync_limit)]
        {
            if limit == 0 {
                broken.push((None, error(format!("{key} is not set"))));
            }
        }
        for key in &self.quorum.protections {
            let text = "servers cannot be protected from each other in this release";
            broken.push((Some(key.clone()), error(text)));
        }
        if self.quorum.incomplete {
            return;
        }
        let lines = self.quorum.lines.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let ensemble = Ensemble::from_entries(lines, self.quorum.multi_address);
        let mut ensemble = match ensemble {
            Ok(ensemble) => ensemble,
            Err(wrong) => return broken.push((wrong.key, error(wrong.text))),
        };
        ensemble.version = self.dynamic_config.as_deref().map_or(0, version_of_name);
        let Some(data_dir) = &self.data_dir else { return };
        let sid = match my_id(data_dir, &ensemble, read) {
            Ok(sid) => sid,
            Err(text) => return broken.push((Some("dataDir".to_owned()), error(text))),
        };
        if self.settings.core.extended_types && sid.0 > 254 {
            let text = "extendedTypesEnabled is true but Server ID is too large. Cannot be larger than 254";
            broken.push((Some("extendedTypesEnabled".to_owned()), error(text)));
        }
        self.enter(sid, ensemble, broken);
    }

    /// This server is `sid` of the ensemble.
    fn enter(&mut self, sid: Sid, ensemble: Ensemble, broken: &mut Vec<Broken>) {
        let Some(own) = ensemble.members.get(&sid).cloned() else { return };
        let key = self.quorum.members.iter().find(|(_, one, _)| *one == sid);
        let key = key.map(|(key, _, _)| key.clone());
        if own.observer != self.quorum.observer {
            let text = format!(
                "Peer type from servers list ({}) doesn't match peerType ({}). Defaulting to servers list.",
                role(own.observer),
                role(self.quorum.observer)
            );
            broken.push((key.clone(), Fault::Warning(text)));
        }
        if let Some(client) = &own.client {
            self.take_client_address(sid, client, broken);
        }
        let voters = ensemble.voters().count();
        let observers = ensemble.members.len() - voters;
        let text = format!(
            "this is server {sid}, {}, of an ensemble of {} and {}",
            role(own.observer).to_ascii_lowercase(),
            counted(voters, "voter"),
            counted(observers, "observer")
        );
        broken.push((key, Fault::Note(text)));

        let (draft, core) = (&self.quorum, &mut self.settings.core);
        core.sid = sid;
        core.ensemble = Some(ensemble.clone());
        let sync_ms = u64::from(core.tick_ms) * u64::from(draft.sync_limit);
        self.settings.peers = Some(PeerSettings {
            sid,
            ensemble,
            observer_master_port: draft.observer_master_port,
            listen_on_all: draft.listen_on_all,
            connect_timeout_ms: draft.connect_timeout_ms.unwrap_or(5000),
            handshake_timeout_ms: draft.handshake_timeout_ms.unwrap_or(sync_ms),
            bind_retries: draft.bind_retries.unwrap_or(3),
            tcp_keepalive: draft.tcp_keepalive,
        });
    }

    /// The server's own line wins over `clientPort`, with which it must agree.
    fn take_client_address(&mut self, sid: Sid, line: &HostPort, broken: &mut Vec<Broken>) {
        let file = self.client_port.map(|port| HostPort {
            host: self.client_host.clone().unwrap_or_else(|| "0.0.0.0".to_owned()),
            port,
        });
        if let Some(file) = file.filter(|file| !agree(file, line)) {
            let text = format!(
                "client address for this server (id = {sid}) in static config file is {file} \
                 is different from client address found in dynamic file: {line}"
            );
            broken.push((Some("clientPort".to_owned()), error(text)));
        }
        self.client_port = Some(line.port);
        self.client_host = host_to_listen_on(line);
    }
}

/// Nobody is told to listen on a wildcard: it means all addresses.
pub(crate) fn host_to_listen_on(address: &HostPort) -> Option<String> {
    (!address.is_wildcard()).then(|| address.host.clone())
}

/// Only ports and addresses can be compared here. Names would have to be resolved.
fn agree(file: &HostPort, line: &HostPort) -> bool {
    let addresses = [file, line].map(|one| one.host.parse::<IpAddr>());
    let same_host = match addresses {
        [Ok(file), Ok(line)] => file == line,
        _ => true,
    };
    file.port == line.port && (file.is_wildcard() || same_host)
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn role(observer: bool) -> &'static str {
    if observer { "OBSERVER" } else { "PARTICIPANT" }
}

/// The first line of `dataDir/myid`, untrimmed like in Java.
fn my_id(data_dir: &Path, ensemble: &Ensemble, read: ReadFile<'_>) -> Result<Sid, String> {
    let path = data_dir.join("myid");
    let bytes = read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "myid file is missing: {} has to hold the number N of this server's server.N",
            path.display()
        ),
        _ => format!("{} cannot be read: {error}", path.display()),
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    let sid = line.parse().map(Sid);
    let sid =
        sid.map_err(|_| format!("serverid {line:?} is not a number, in {}", path.display()))?;
    match ensemble.members.contains_key(&sid) {
        true => Ok(sid),
        false => Err(format!("My id {sid} not in the peer list; it stands in {}", path.display())),
    }
}

/// A dynamic configuration has its version behind the last dot of its name.
fn version_of_name(path: &Path) -> i64 {
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    i64::from_str_radix(suffix, 16).unwrap_or(0).max(0)
}
