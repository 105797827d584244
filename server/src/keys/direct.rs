//! Keys that Java's server parses itself.

use super::Key;
use super::Kind::Direct;
use crate::value::Fault;

const ALONE: &str = "a server that is alone has no quorum";
const ENSEMBLE_MODE: &str = "ensemble mode";
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
        "Port of the clients; 0: any free one, which the log names",
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
    Key::refused(
        Direct,
        "secureClientPort",
        "unset",
        "TLS for clients is not part of this release; without the key the server starts on clientPort only",
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
    Key::honoured(Direct, "tickTime", "3000", "Unit of session timeouts, ms", |draft, given| {
        match given.integer()? {
            tick @ 1..=100_000_000 => {
                draft.settings.core.tick_ms = tick.unsigned_abs();
                Ok(())
            }
            0 => Err(Fault::Error("tickTime is not set".into())),
            tick => Err(Fault::Error(format!("{tick} ms is no tick: 1 to 100000000 is needed"))),
        }
    }),
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
        "false: ask for ensemble mode even with one participant, which is refused",
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
    Key::nothing(
        Direct,
        "localSessionsEnabled",
        "false",
        "a server that is alone has global sessions only, as in Java",
    ),
    Key::nothing(
        Direct,
        "localSessionsUpgradingEnabled",
        "false",
        "a server that is alone has global sessions only, as in Java",
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
        "A server of an ensemble. One participant: the server runs alone, with a warning; more: refused, \
         because ensemble mode is not part of this release",
        |draft, given| draft.add_member(given),
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
    Key::nothing(Direct, "group*", "none", ALONE),
    Key::nothing(Direct, "weight*", "1", ALONE),
    Key::nothing(Direct, "initLimit", "0", ALONE),
    Key::nothing(Direct, "syncLimit", "0", ALONE),
    Key::nothing(Direct, "connectToLearnerMasterLimit", "0", ALONE),
    Key::honoured(
        Direct,
        "electionAlg",
        "3",
        "Only 3 is accepted; there is no election in this release",
        |_, given| match given.integer()? {
            3 => Ok(()),
            _ => Err(Fault::Error("Invalid electionAlg value. Only 3 is supported.".into())),
        },
    ),
    Key::nothing(Direct, "quorumListenOnAllIPs", "false", ALONE),
    Key::honoured(
        Direct,
        "peerType",
        "participant",
        "participant or observer; a server that is alone is neither",
        |_, given| match given.value.to_ascii_lowercase().as_str() {
            "participant" | "observer" => Ok(()),
            _ => Err(Fault::Error(format!("Unrecognised peertype: {}", given.value))),
        },
    ),
    Key::later(Direct, "observerMasterPort", "0", ENSEMBLE_MODE),
    Key::nothing(Direct, "syncEnabled", "true", ALONE),
    Key::nothing(Direct, "sslQuorum", "false", ALONE),
    Key::nothing(Direct, "portUnification", "false", ALONE),
    Key::nothing(Direct, "sslQuorumReloadCertFiles", "false", ALONE),
    Key::nothing(Direct, "quorum.auth.enableSasl", "false", ALONE),
    Key::nothing(Direct, "quorum.auth.serverRequireSasl", "false", ALONE),
    Key::nothing(Direct, "quorum.auth.learnerRequireSasl", "false", ALONE),
    Key::nothing(Direct, "quorum.auth.learner.saslLoginContext", "QuorumLearner", ALONE),
    Key::nothing(Direct, "quorum.auth.server.saslLoginContext", "QuorumServer", ALONE),
    Key::nothing(Direct, "quorum.auth.kerberos.servicePrincipal", "zkquorum/localhost", ALONE),
    Key::nothing(Direct, "quorum.cnxn.threads.size", "20", ALONE),
    Key::nothing(Direct, "multiAddress.enabled", "false", ALONE),
    Key::nothing(Direct, "multiAddress.reachabilityCheckEnabled", "true", ALONE),
    Key::nothing(Direct, "multiAddress.reachabilityCheckTimeoutMs", "1000", ALONE),
    Key::later(Direct, "oraclePath", "unset", ENSEMBLE_MODE),
];
