//! Keys that Java's server parses itself.

use super::Key;
use super::Kind::Direct;
use crate::value::{Fault, Given};

const QUORUM_TLS: &str = "TLS between servers";
const QUORUM_SASL: &str = "SASL between servers";
const REACHABILITY: &str = "probing of several addresses";
const JVM: &str = "there is no JVM that could pause";

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        Direct,
        "dataDir",
        "required in a file",
        "Snapshots and epoch files, in `version-2` below it",
        |draft, given| {
            if given.value.is_empty() {
                return Err(Fault::Error("the value is empty: a directory is needed".into()));
            }
            draft.data_dir = Some(given.value.into());
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "dataLogDir",
        "dataDir",
        "The txn log, in `version-2` below it",
        |draft, given| {
            if given.value.is_empty() {
                return Err(Fault::Error("the value is empty: a directory is needed".into()));
            }
            draft.settings.log_dir = Some(given.value.into());
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "clientPort",
        "required in a file",
        "Port of the clients, unless this server's line names it; 0: any free one, which the log names",
        |draft, given| {
            let port = given.integer()?;
            let port = u16::try_from(port)
                .map_err(|_| Fault::Error(format!("{port} is no port: 0 to 65535 is needed")))?;
            draft.client_port = Some(port);
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "clientPortAddress",
        "all addresses",
        "Name or address to listen on",
        |draft, given| {
            draft.client_host = Some(given.value.to_owned()).filter(|host| !host.is_empty());
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "secureClientPort",
        "unset",
        "No effect yet: TLS for clients is not part of this release. Without clientPort the server does not start",
        |draft, _| {
            draft.secure_client_port = true;
            Err(Fault::Warning(
                "accepted, no effect yet: TLS for clients is not part of this release; nothing listens on this \
                 port, clients are served on clientPort only"
                    .into(),
            ))
        },
    ),
    Key::nothing(
        Direct,
        "secureClientPortAddress",
        "unset",
        "there is no TLS port in this release",
    ),
    Key::honoured(
        Direct,
        "clientPortListenBacklog",
        "-1",
        "Connections that wait to be accepted; -1: the server chooses",
        |draft, given| {
            draft.settings.listen.backlog = u32::try_from(given.integer()?).ok();
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "maxClientCnxns",
        "60",
        "Connections per client address; 0 or less: no limit",
        |draft, given| {
            draft.settings.listen.per_address_max = given.integer()?.max(0).unsigned_abs();
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "tickTime",
        "3000",
        "Unit of session timeouts and of the ensemble's limits, ms",
        |draft, given| match given.integer()? {
            tick @ 1..=100_000_000 => {
                draft.settings.core.tick_ms = tick.unsigned_abs();
                Ok(())
            }
            0 => Err(Fault::Error("tickTime is not set".into())),
            tick => Err(Fault::Error(format!("{tick} ms is no tick: 1 to 100000000 is needed"))),
        },
    ),
    Key::honoured(
        Direct,
        "minSessionTimeout",
        "2 ticks",
        "Lowest session timeout, ms; -1: the default",
        |draft, given| {
            draft.settings.core.min_session_timeout_ms =
                Some(given.integer()?).filter(|ms| *ms != -1);
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "maxSessionTimeout",
        "20 ticks",
        "Highest session timeout, ms; -1: the default",
        |draft, given| {
            draft.settings.core.max_session_timeout_ms =
                Some(given.integer()?).filter(|ms| *ms != -1);
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "autopurge.snapRetainCount",
        "3",
        "Snapshots to keep, at least 3",
        |draft, given| {
            let count = given.integer()?;
            draft.snap_retain = count.max(3).unsigned_abs();
            if count < 3 {
                return Err(Fault::Warning(format!(
                    "{count} is less than 3: 3 snapshots are kept"
                )));
            }
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "autopurge.purgeInterval",
        "after each snapshot",
        "Hours between purges, beside those after each snapshot; 0 or less: never purge. \
         Java never purges unless this is given",
        |draft, given| {
            let hours = given.integer()?;
            draft.purge_hours = Some(hours);
            if hours <= 0 {
                return Err(Fault::Note(
                    "honoured: old snapshots and logs are never removed; without this line they are".into(),
                ));
            }
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "standaloneEnabled",
        "true",
        "false: run in ensemble mode even with one participant",
        |draft, given| {
            draft.standalone_enabled = given.boolean()?;
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "reconfigEnabled",
        "false",
        "reconfig requests are answered as by a standalone server instead of being refused",
        |draft, given| {
            draft.settings.core.reconfig_enabled = given.boolean()?;
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "localSessionsEnabled",
        "false",
        "In an ensemble, sessions are known to their server only and cost no txn; \
         it must be the same on all servers. A server that stands alone has no local sessions",
        |draft, given| {
            draft.settings.core.local_sessions = given.boolean()?;
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "localSessionsUpgradingEnabled",
        "false",
        "A local session that creates an ephemeral znode becomes global; false: it is refused with -120",
        |draft, given| {
            draft.settings.core.local_sessions_upgrading = given.boolean()?;
            Ok(())
        },
    ),
    Key::nothing(Direct, "jvm.pause.monitor", "false", JVM),
    Key::nothing(Direct, "jvm.pause.info-threshold.ms", "1000", JVM),
    Key::nothing(Direct, "jvm.pause.warn-threshold.ms", "10000", JVM),
    Key::nothing(Direct, "jvm.pause.sleep.time.ms", "500", JVM),
];

pub(super) const ENSEMBLE: &[Key] = &[
    Key::honoured(
        Direct,
        "server.*",
        "none",
        "A server of the ensemble, `host:quorumPort:electionPort[:participant|:observer][;[clientHost:]clientPort]`. \
         This server is the one whose number stands in the file `myid` in dataDir. With one participant the server \
         runs alone, with a warning, unless standaloneEnabled says otherwise",
        |draft, given| draft.quorum.add_line(given),
    ),
    Key::honoured(
        Direct,
        "dynamicConfigFile",
        "unset",
        "File with the list of servers, which must not stand in zoo.cfg then",
        |draft, given| {
            draft.dynamic_config = Some(given.value.into());
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "group*",
        "none",
        "`group.G=1:2:3`: a group of voters. A majority decides in a majority of groups; every voter is in one",
        |draft, given| draft.quorum.add_line(given),
    ),
    Key::honoured(
        Direct,
        "weight*",
        "1",
        "`weight.N=2`: votes of server N in its group; with 0 it is never elected",
        |draft, given| draft.quorum.add_line(given),
    ),
    Key::honoured(
        Direct,
        "initLimit",
        "required in an ensemble",
        "Ticks a learner may take to connect and catch up",
        |draft, given| {
            let ticks = ticks(given)?;
            draft.quorum.init_limit = ticks;
            draft.settings.core.init_limit = ticks.max(1);
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "syncLimit",
        "required in an ensemble",
        "Ticks a learner may be silent",
        |draft, given| {
            let ticks = ticks(given)?;
            draft.quorum.sync_limit = ticks;
            draft.settings.core.sync_limit = ticks.max(1);
            Ok(())
        },
    ),
    Key::later(Direct, "connectToLearnerMasterLimit", "initLimit", "a limit beside initLimit"),
    Key::honoured(Direct, "electionAlg", "3", "Only 3 is accepted", |_, given| {
        match given.integer()? {
            3 => Ok(()),
            _ => Err(Fault::Error("Invalid electionAlg value. Only 3 is supported.".into())),
        }
    }),
    Key::honoured(
        Direct,
        "quorumListenOnAllIPs",
        "false",
        "true: listen for other servers on all addresses, not only on those of this server's line",
        |draft, given| {
            draft.quorum.listen_on_all = given.boolean()?;
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "peerType",
        "participant",
        "participant or observer; the list of servers wins over it, with a warning",
        |draft, given| {
            draft.quorum.observer = match given.value.to_ascii_lowercase().as_str() {
                "participant" => false,
                "observer" => true,
                _ => return Err(Fault::Error(format!("Unrecognised peertype: {}", given.value))),
            };
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "observerMasterPort",
        "0",
        "Port at which followers accept observers, and on which observers look for a follower at the voters' addresses; \
         it should be the same on all servers. 0: observers go to the leader",
        |draft, given| {
            let port = given.integer()?;
            let valid = u16::try_from(port.max(0));
            let port = valid.map_err(|_| Fault::Error(format!("{port} is no port")))?;
            draft.quorum.observer_master_port = (port > 0).then_some(port);
            draft.settings.core.observer_masters = port > 0;
            Ok(())
        },
    ),
    Key::later(Direct, "syncEnabled", "true", "an observer without a log"),
    protection("sslQuorum"),
    Key::later(Direct, "portUnification", "false", QUORUM_TLS),
    Key::later(Direct, "sslQuorumReloadCertFiles", "false", QUORUM_TLS),
    protection("quorum.auth.enableSasl"),
    protection("quorum.auth.serverRequireSasl"),
    protection("quorum.auth.learnerRequireSasl"),
    Key::later(Direct, "quorum.auth.learner.saslLoginContext", "QuorumLearner", QUORUM_SASL),
    Key::later(Direct, "quorum.auth.server.saslLoginContext", "QuorumServer", QUORUM_SASL),
    Key::later(Direct, "quorum.auth.kerberos.servicePrincipal", "zkquorum/localhost", QUORUM_SASL),
    Key::nothing(Direct, "quorum.cnxn.threads.size", "20", "there are no threads to count"),
    Key::honoured(
        Direct,
        "multiAddress.enabled",
        "false",
        "A server may have several addresses, with `|` between",
        |draft, given| {
            draft.quorum.multi_address = given.boolean()?;
            Ok(())
        },
    ),
    Key::later(Direct, "multiAddress.reachabilityCheckEnabled", "true", REACHABILITY),
    Key::later(Direct, "multiAddress.reachabilityCheckTimeoutMs", "1000", REACHABILITY),
    Key::missing(Direct, "oraclePath", "unset", "an oracle for two servers"),
];

fn ticks(given: &Given<'_>) -> Result<u32, Fault> {
    let ticks = given.integer()?;
    u32::try_from(ticks).map_err(|_| Fault::Error(format!("{ticks} is no number of ticks")))
}

/// Whoever asks for it must not get an ensemble without it.
const fn protection(name: &'static str) -> Key {
    Key::honoured(
        Direct,
        name,
        "false",
        "true: refused in an ensemble, because servers cannot be protected from each other in this release",
        |draft, given| {
            if given.boolean()? {
                draft.quorum.protections.push(given.key.to_owned());
                return Err(Fault::Note(
                    "no effect on a server that is alone; refused in an ensemble".into(),
                ));
            }
            Ok(())
        },
    )
}
