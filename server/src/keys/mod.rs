//! The one table of every key that zoo.cfg may hold: what it does here, or why it does nothing. The server, `config
//! check` and docs/configuration.md all read it.

mod direct;
mod own;
mod requests;
mod security;
mod storage;

use crate::draft::Draft;
use crate::value::{Fault, Given};

/// One key, or a family of keys whose name ends in `*`.
#[derive(Debug)]
pub struct Key {
    /// As it is written in zoo.cfg.
    pub name: &'static str,
    /// How Java reads it.
    pub kind: Kind,
    /// What holds when it is not given.
    pub default: &'static str,
    /// What giving it does.
    pub does: Does,
}

/// How Java reads a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Parsed by the server itself: a wrong value ends the start.
    Direct,
    /// A system property `zookeeper.KEY`: a wrong value means the default.
    Property,
    /// A system property without that prefix, which zoo.cfg cannot set in Java. Here it can.
    Jvm,
    /// Ours; Java takes it silently.
    Own,
}

/// What giving a key does.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// It is honoured: what it means, and the function that takes it in.
    Honoured(&'static str, Setter),
    /// It has nothing to act on here: why.
    Nothing(&'static str),
    /// It asks for something that is not there yet: what. Not worth a warning.
    Later(&'static str),
    /// It asks for something that is not there yet and would be missed: what.
    Missing(&'static str),
}

/// Takes a value in.
pub type Setter = fn(&mut Draft, &Given<'_>) -> Result<(), Fault>;

/// A titled part of the table.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What its keys have in common.
    pub note: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// The whole table.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "Server, ports and sessions",
        note: "Integers are decimal. A value that cannot be read ends the start with exit code 2.",
        keys: direct::KEYS,
    },
    Section {
        title: "Ensemble",
        note: "Quorum mode runs when there is more than one voter, or `standaloneEnabled` is false. Every server needs its number in `dataDir/myid`.",
        keys: direct::ENSEMBLE,
    },
    Section {
        title: "Log, snapshots and data",
        note: "Integers may be hexadecimal (`0x10`) or octal (`010`), as Java reads them.",
        keys: storage::KEYS,
    },
    Section {
        title: "Requests and connections",
        note: "Integers may be hexadecimal or octal.",
        keys: requests::KEYS,
    },
    Section {
        title: "Operators",
        note: "Four-letter words, the admin server, metrics.",
        keys: requests::OPERATORS,
    },
    Section {
        title: "Between servers",
        note: "They act in an ensemble only. Integers may be hexadecimal or octal.",
        keys: requests::BETWEEN_SERVERS,
    },
    Section {
        title: "Who may do what",
        note: "Authentication, ACLs and TLS.",
        keys: security::KEYS,
    },
    Section {
        title: "Java's -D options",
        note: "In the original these can only be given to the JVM; here zoo.cfg may hold them.",
        keys: storage::JVM,
    },
    Section {
        title: "Zoetrope's own",
        note: "Java ignores them, so the file stays usable for both. Sizes are bytes and may end in `k`, `m` or `g`.",
        keys: own::KEYS,
    },
];

/// All keys, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The entry of a key as it is written in zoo.cfg.
pub fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name).or_else(|| all().find(|key| key.covers(name)))
}

/// The key that the environment means: dots, hyphens and underscores do not count, nor does case, and the prefixes
/// `zookeeper.` and `zoetrope.` may be left out. With the name a file would have.
pub fn find_in_environment(variable: &str) -> Option<(&'static Key, String)> {
    let wanted = plain(variable);
    let wanted = wanted.strip_prefix("zookeeper").unwrap_or(&wanted);
    let short = |key: &'static Key| plain(key.name.strip_prefix("zoetrope.").unwrap_or(key.name));
    let exact = all().find(|key| plain(key.name) == wanted || short(key) == wanted);
    if let Some(key) = exact {
        return Some((key, key.name.to_owned()));
    }
    all().find_map(|key| {
        let stem = key.name.strip_suffix('*')?;
        let rest = wanted.strip_prefix(&plain(stem)).filter(|rest| is_member(stem, rest))?;
        // The table knows the stem of these without its dot, because Java does.
        let dot = if matches!(stem, "group" | "weight") { "." } else { "" };
        Some((key, format!("{stem}{dot}{rest}")))
    })
}

/// Servers, groups and weights are numbered; another word that begins so is not meant.
fn is_member(stem: &str, rest: &str) -> bool {
    let numbered = matches!(stem, "server." | "group" | "weight");
    !rest.is_empty() && (!numbered || rest.bytes().all(|b| b.is_ascii_digit()))
}

fn plain(name: &str) -> String {
    name.replace(['.', '-', '_'], "").to_ascii_lowercase()
}

impl Key {
    fn covers(&self, name: &str) -> bool {
        self.name
            .strip_suffix('*')
            .is_some_and(|stem| name.len() > stem.len() && name.starts_with(stem))
    }

    const fn honoured(
        kind: Kind,
        name: &'static str,
        default: &'static str,
        about: &'static str,
        set: Setter,
    ) -> Self {
        Self { name, kind, default, does: Does::Honoured(about, set) }
    }

    const fn nothing(
        kind: Kind,
        name: &'static str,
        default: &'static str,
        why: &'static str,
    ) -> Self {
        Self { name, kind, default, does: Does::Nothing(why) }
    }

    const fn later(
        kind: Kind,
        name: &'static str,
        default: &'static str,
        what: &'static str,
    ) -> Self {
        Self { name, kind, default, does: Does::Later(what) }
    }

    const fn missing(
        kind: Kind,
        name: &'static str,
        default: &'static str,
        what: &'static str,
    ) -> Self {
        Self { name, kind, default, does: Does::Missing(what) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_stands_once_also_as_the_environment_spells_it() {
        let mut names = BTreeSet::new();
        let mut plain_names = BTreeSet::new();
        for key in all() {
            assert!(names.insert(key.name), "{} stands twice", key.name);
            assert!(plain_names.insert(plain(key.name)), "{} is ambiguous", key.name);
        }
    }

    #[test]
    fn a_family_covers_its_members_and_not_its_bare_stem() {
        assert_eq!(find("server.1").unwrap().name, "server.*");
        assert_eq!(find("authProvider.sasl").unwrap().name, "authProvider.*");
        assert!(find("server.").is_none());
        assert!(find("zookeeper.snapCount").is_none());
    }

    #[test]
    fn the_environment_may_spell_a_key_in_capitals_and_underscores() {
        for (variable, name) in [
            ("TICKTIME", "tickTime"),
            ("TICK_TIME", "tickTime"),
            ("4LW_COMMANDS_WHITELIST", "4lw.commands.whitelist"),
            ("ZOOKEEPER_SNAPCOUNT", "snapCount"),
            ("snapCount", "snapCount"),
            ("REQUEST_THROTTLE_MAX_REQUESTS", "request_throttle_max_requests"),
            ("SRVR_DATEFORMAT", "zoetrope.srvr.dateFormat"),
            ("ZOETROPE_SRVR_DATEFORMAT", "zoetrope.srvr.dateFormat"),
            ("SERVER_1", "server.1"),
            ("GROUP_1", "group.1"),
        ] {
            assert_eq!(find_in_environment(variable).map(|found| found.1), Some(name.to_owned()));
        }
        for other in ["COLOR", "SERVER_NAME", "SERVER", "GROUP"] {
            assert!(find_in_environment(other).is_none(), "{other}");
        }
    }
}
