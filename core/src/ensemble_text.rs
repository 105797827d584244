//! An ensemble's configuration as text (quorum protocol §2.1): the values of `server.N` in zoo.cfg, and the whole as it
//! travels between servers, where one configuration has exactly one text.

use crate::ensemble::{Ensemble, HostPort, Member, PeerAddress};
use crate::ids::Sid;
use crate::properties;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::str::FromStr;

/// What is wrong with a configuration, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnsembleError {
    /// The key in whose value it is, if it is in one.
    pub key: Option<String>,
    /// What is wrong, in Java's words where it has any.
    pub text: String,
}

impl EnsembleError {
    fn new(text: impl Into<String>) -> Self {
        Self { key: None, text: text.into() }
    }

    fn at(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }
}

impl fmt::Display for EnsembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{key}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for EnsembleError {}

/// An IPv6 address stands in brackets.
struct Host<'a>(&'a str);

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.contains(':') {
            true => write!(f, "[{}]", self.0),
            false => f.write_str(self.0),
        }
    }
}

impl HostPort {
    /// Reads `host:port`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_host(text)?;
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }

    /// It stands for all addresses of a machine, so nobody can connect to it.
    pub fn is_wildcard(&self) -> bool {
        self.host.parse().is_ok_and(|addr: IpAddr| addr.is_unspecified())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Host(&self.host), self.port)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", Host(&self.host), self.quorum_port, self.election_port)
    }
}

/// The host in front of the first colon, or in brackets, and what is behind the colon. A host holds nothing that means
/// something elsewhere in the text, or the text would not be read as it was written.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => text.split_once(':')?,
    };
    let means_something = |c: char| c.is_whitespace() || c.is_control() || r"|;,[]\".contains(c);
    (!host.is_empty() && !host.contains(means_something)).then_some((host, rest))
}

/// `key.N`, where N is a number.
fn number_behind(stem: &str, key: &str) -> Option<i64> {
    key.strip_prefix(stem)?.parse().ok()
}

const FORM: &str = "does not have the form server_config or server_config;client_config where \
                    server_config is the pipe separated list of host:port:port or \
                    host:port:port:type and client_config is port or host:port";

impl Member {
    /// Reads the value of a `server.N`. Several addresses are an error unless `multi_address`.
    pub fn parse(value: &str, multi_address: bool) -> Result<Self, EnsembleError> {
        let malformed = || EnsembleError::new(format!("{value} {FORM}"));
        let (servers, client) = match value.split_once(';') {
            Some((servers, client)) => (servers, Some(parse_client(client).ok_or_else(malformed)?)),
            None => (value, None),
        };
        let (mut addresses, mut role) = (Vec::new(), None);
        for server in servers.split('|') {
            let (address, word) = parse_server(server).ok_or_else(malformed)?;
            if address.quorum_port == address.election_port {
                return Err(EnsembleError::new(format!(
                    "Client and election port must be different: both are {}",
                    address.quorum_port
                )));
            }
            addresses.push(address);
            let Some(observer) = word.map(is_observer).transpose()? else { continue };
            if *role.get_or_insert(observer) != observer {
                return Err(EnsembleError::new("Multiple addresses should have similar roles"));
            }
        }
        if addresses.len() > 1 && !multi_address {
            return Err(EnsembleError::new(
                "Multiple address feature is disabled, but multiple addresses are specified",
            ));
        }
        addresses.sort();
        addresses.dedup();
        Ok(Self { addresses, observer: role.unwrap_or(false), client })
    }
}

/// `host:quorumPort:electionPort[:role]`.
fn parse_server(text: &str) -> Option<(PeerAddress, Option<&str>)> {
    let (host, rest) = split_host(text)?;
    let mut parts = rest.split(':');
    let address = PeerAddress {
        host: host.to_owned(),
        quorum_port: parts.next()?.parse().ok()?,
        election_port: parts.next()?.parse().ok()?,
    };
    let role = parts.next();
    parts.next().is_none().then_some((address, role))
}

fn is_observer(role: &str) -> Result<bool, EnsembleError> {
    match role.trim().to_ascii_lowercase().as_str() {
        "participant" => Ok(false),
        "observer" => Ok(true),
        other => Err(EnsembleError::new(format!("Unrecognised peertype: {other}"))),
    }
}

/// `[host:]port`.
fn parse_client(text: &str) -> Option<HostPort> {
    match text.parse() {
        Ok(port) => Some(HostPort { host: "0.0.0.0".to_owned(), port }),
        Err(_) => HostPort::parse(text),
    }
}

impl fmt::Display for Member {
    /// The canonical value: addresses by host, the role always, the client's address if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<&PeerAddress> = self.addresses.iter().collect();
        addresses.sort();
        for (n, address) in addresses.into_iter().enumerate() {
            f.write_str(if n > 0 { "|" } else { "" })?;
            write!(f, "{address}")?;
        }
        f.write_str(if self.observer { ":observer" } else { ":participant" })?;
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

impl Ensemble {
    /// Reads a configuration as it travels between servers. What it accepts is valid.
    pub fn parse(text: &str) -> Result<Self, EnsembleError> {
        let entries = properties::parse(text).map_err(|malformed| {
            EnsembleError::new(format!("line {}: {malformed}", malformed.line))
        })?;
        let mut last = BTreeMap::new();
        for entry in &entries {
            last.insert(entry.key.as_str(), entry.value.as_str());
        }
        Self::from_entries(last, true)
    }

    /// Puts a configuration together from keys that stand once each. What it accepts is valid.
    pub fn from_entries<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
        multi_address: bool,
    ) -> Result<Self, EnsembleError> {
        let mut ensemble = Self::default();
        for (key, value) in entries {
            ensemble.take(key, value, multi_address).map_err(|error| error.at(key))?;
        }
        ensemble.name_default_weights();
        ensemble.check()?;
        Ok(ensemble)
    }

    fn take(&mut self, key: &str, value: &str, multi_address: bool) -> Result<(), EnsembleError> {
        if key == "version" {
            let version = i64::from_str_radix(value, 16).ok().filter(|version| *version >= 0);
            self.version = version.ok_or_else(|| no_number(value, "hexadecimal version"))?;
        } else if key.starts_with("server.") {
            let sid = number_behind("server.", key).map(Sid).filter(|sid| sid.0 >= 0);
            let sid = sid.ok_or_else(|| EnsembleError::new("the server has no number"))?;
            let member = Member::parse(value, multi_address)?;
            if self.members.insert(sid, member).is_some() {
                return Err(EnsembleError::new(format!("server {sid} stands twice")));
            }
        } else if key.starts_with("group") {
            let group = number_behind("group.", key)
                .ok_or_else(|| EnsembleError::new("the group has no number"))?;
            self.groups.entry(group).or_default().extend(parse_group(value)?);
        } else if key.starts_with("weight") {
            let sid = number_behind("weight.", key).map(Sid);
            let sid = sid.ok_or_else(|| EnsembleError::new("the server has no number"))?;
            let weight = i64::from_str(value).map_err(|_| no_number(value, "weight"))?;
            self.weights.insert(sid, weight);
        } else {
            return Err(EnsembleError::new("Unrecognised parameter"));
        }
        Ok(())
    }

    fn is_hierarchical(&self) -> bool {
        !self.groups.is_empty() || !self.weights.is_empty()
    }

    /// Java writes them out, so they belong to the one text of a configuration.
    fn name_default_weights(&mut self) {
        if self.is_hierarchical() {
            for sid in self.voters().collect::<Vec<_>>() {
                self.weights.entry(sid).or_insert(1);
            }
        }
    }

    /// Can this be a configuration at all? Somebody votes, every server has an address with two ports; with groups,
    /// every voter is in exactly one and the weights can be added up.
    pub fn check(&self) -> Result<(), EnsembleError> {
        if self.voters().next().is_none() {
            return Err(EnsembleError::new(match self.members.is_empty() {
                true => "no server is in it",
                false => "Observers w/o participants is an invalid configuration",
            }));
        }
        for (sid, member) in &self.members {
            let wrong = match &member.addresses[..] {
                [] => "the server has no address",
                all if all.iter().any(|one| one.quorum_port == one.election_port) => {
                    "Client and election port must be different"
                }
                _ => continue,
            };
            return Err(EnsembleError::new(wrong).at(&format!("server.{sid}")));
        }
        match self.is_hierarchical() {
            true => self.check_groups(),
            false => Ok(()),
        }
    }

    fn check_groups(&self) -> Result<(), EnsembleError> {
        let mut grouped = BTreeSet::new();
        for (group, sids) in &self.groups {
            if let Some(sid) = sids.iter().find(|sid| !grouped.insert(**sid)) {
                let text = format!("Server {sid} is in multiple groups");
                return Err(EnsembleError::new(text).at(&format!("group.{group}")));
            }
        }
        if let Some(sid) = self.voters().find(|sid| !grouped.contains(sid)) {
            return Err(EnsembleError::new(format!("Server {sid} is not in a group")));
        }
        let mut total = i64::try_from(self.members.len()).unwrap_or(i64::MAX);
        for (sid, weight) in &self.weights {
            total = match total.checked_add(*weight) {
                Some(total) if *weight >= 0 => total,
                Some(_) | None => {
                    let text = format!("{weight} is no weight");
                    return Err(EnsembleError::new(text).at(&format!("weight.{sid}")));
                }
            };
        }
        Ok(())
    }

    /// The canonical text, as Java writes it: lines of servers, groups and weights, and the version without a line's
    /// end.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing into memory does not fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn write_text(&self, text: &mut String) -> fmt::Result {
        for (sid, member) in &self.members {
            writeln!(text, "server.{sid}={member}")?;
        }
        for (group, sids) in &self.groups {
            let sids: Vec<String> = sids.iter().map(Sid::to_string).collect();
            writeln!(text, "group.{group}={}", sids.join(":"))?;
        }
        for (sid, weight) in &self.weights {
            writeln!(text, "weight.{sid}={weight}")?;
        }
        write!(text, "version={:x}", self.version)
    }
}

fn no_number(value: &str, what: &str) -> EnsembleError {
    EnsembleError::new(format!("For input string: \"{value}\" (a {what} is needed)"))
}

fn parse_group(value: &str) -> Result<Vec<Sid>, EnsembleError> {
    let sid = |text: &str| text.parse().map(Sid).map_err(|_| no_number(text, "server's number"));
    value.split(':').map(sid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cfg() -> String {
        let line = |n| format!("server.{n}=127.0.0.1:228{n}:238{n}:participant\n");
        (1..=3).map(line).chain(["version=0".to_owned()]).collect()
    }

    fn wrong(text: &str) -> String {
        Ensemble::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn the_canonical_text_is_javas() {
        let ensemble = Ensemble::parse(&cfg()).unwrap();
        assert_eq!(ensemble.members.len(), 3);
        assert_eq!(ensemble.to_text(), cfg());
        assert_eq!(ensemble.to_text().len(), 132);
        let reconfigured =
            "server.3=127.0.0.1:2283:2383:participant;0.0.0.0:21803\nversion=100000003";
        let ensemble = Ensemble::parse(reconfigured).unwrap();
        assert_eq!(ensemble.version, 0x1_0000_0003);
        assert_eq!(ensemble.to_text(), reconfigured);
    }

    #[test]
    fn every_form_of_a_server_has_one_text() {
        for (value, text) in [
            ("a:1:2", "a:1:2:participant"),
            ("a:1:2: Observer ", "a:1:2:observer"),
            ("a:1:2;2181", "a:1:2:participant;0.0.0.0:2181"),
            ("a:1:2:PARTICIPANT;b:2181", "a:1:2:participant;b:2181"),
            ("[::1]:1:2;[fe80::1%eth0]:3", "[::1]:1:2:participant;[fe80::1%eth0]:3"),
            ("[name]:1:2", "name:1:2:participant"),
            ("b:1:2|a:3:4:observer", "a:3:4|b:1:2:observer"),
            ("a:1:2|a:1:2", "a:1:2:participant"),
        ] {
            let member = Member::parse(value, true).unwrap();
            assert_eq!(member.to_string(), text);
            assert_eq!(Member::parse(text, true), Ok(member));
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for value in [
            "",
            "a",
            "a:1",
            "a:1:2:participant:4",
            "a:x:2",
            "a:1:65536",
            ":1:2",
            "a:1:2;",
            "a:1:2;x",
            "a:1:2;b:1;c:2",
            "::1:1:2",
            "[::1:1:2",
            "a b:1:2",
            "a:1:2|",
            r"a\:1:2",
            "a,b:1:2",
            "a:-1:2",
        ] {
            let error = Member::parse(value, true).expect_err(value).to_string();
            assert!(error.contains("does not have the form"), "{value}: {error}");
        }
        let error = |value, multi| Member::parse(value, multi).unwrap_err().to_string();
        assert_eq!(error("a:1:2:leader", false), "Unrecognised peertype: leader");
        assert!(error("a:1:2|b:1:2", false).starts_with("Multiple address feature is disabled"));
        assert!(error("a:1:2:observer|b:1:2:participant", true).contains("similar roles"));
        assert!(error("a:2:2", false).starts_with("Client and election port must be different"));
    }

    #[test]
    fn a_text_is_a_properties_file() {
        let text = "# comment\n! another\nversion : 1F\nserver.2 = b:1:2\\\n  :observer\nserver.1=x:1:2\n\
                    server.1=\\u0061:1:2\n";
        let ensemble = Ensemble::parse(text).unwrap();
        assert_eq!(
            ensemble.to_text(),
            "server.1=a:1:2:participant\nserver.2=b:1:2:observer\nversion=1f"
        );
    }

    #[test]
    fn groups_and_weights_are_written_out() {
        let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\ngroup.5=2\ngroup.4=1\nweight.2=3";
        let ensemble = Ensemble::parse(text).unwrap();
        let canonical = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\nserver.3=c:1:2:observer\n\
                         group.4=1\ngroup.5=2\nweight.1=1\nweight.2=3\nversion=0";
        assert_eq!(ensemble.to_text(), canonical);
        assert_eq!(Ensemble::parse(canonical), Ok(ensemble));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let server = "server.1=a:1:2\n";
        for (text, words) in [
            ("", "no server is in it"),
            ("server.1=a:1:2:observer", "Observers w/o participants is an invalid configuration"),
            ("server.-1=a:1:2", "server.-1: the server has no number"),
            ("server.x=a:1:2", "server.x: the server has no number"),
            ("server.1=a:1:2\nserver.01=a:1:2", "server.1: server 1 stands twice"),
            ("tickTime=1", "tickTime: Unrecognised parameter"),
            (
                "version=\\u12",
                "line 1: Malformed \\uxxxx encoding: \\u needs four hexadecimal digits",
            ),
        ] {
            assert_eq!(wrong(text), words);
        }
        for (more, words) in [
            ("version=g", "version: For input string: \"g\" (a hexadecimal version is needed)"),
            ("version=-1", "version: For input string: \"-1\" (a hexadecimal version is needed)"),
            ("group.1=1:x", "group.1: For input string: \"x\" (a server's number is needed)"),
            ("group.1=", "group.1: For input string: \"\" (a server's number is needed)"),
            ("group=1", "group: the group has no number"),
            ("group.1=1\ngroup.2=1", "group.2: Server 1 is in multiple groups"),
            ("group.1=2", "Server 1 is not in a group"),
            ("weight.1=1", "Server 1 is not in a group"),
            ("group.1=1\nweight.1=x", "weight.1: For input string: \"x\" (a weight is needed)"),
            ("group.1=1\nweight.1=-1", "weight.1: -1 is no weight"),
            (
                "group.1=1:2\nweight.1=9223372036854775807\nweight.2=1",
                "weight.1: 9223372036854775807 is no weight",
            ),
        ] {
            assert_eq!(wrong(&format!("{server}{more}")), words);
        }
    }
}
