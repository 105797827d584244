//! Properties of the log, of snapshots and of the data, and those that only `-D` sets in Java.

use super::Key;
use super::Kind::{Jvm, Property};
use crate::value::Fault;
use zoetrope_core::Compression;

const BATCH: &str = "a batch ends when the disk is free for the next one";
const NODELAY: &str = "nothing is held back to be sent with more";
const LEARNERS: &str = "a choice of how learners catch up";

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        Property,
        "preAllocSize",
        "65536",
        "Most KiB of the log that are written ahead at a time; see zoetrope.reserveStep",
        |draft, given| {
            draft.pre_alloc_kib = Some(given.number()?);
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "snapCount",
        "100000",
        "Log records between two snapshots: at least half, at most all of it",
        |draft, given| {
            let count = given.natural()?;
            draft.settings.core.storage.snap_count = count.max(2);
            if count < 2 {
                return Err(Fault::Warning(format!("{count} is less than 2: 2 is used")));
            }
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "snapSizeLimitInKb",
        "4194304",
        "KiB of log between two snapshots, likewise; negative: no such limit",
        |draft, given| {
            let kib = given.number()?;
            draft.settings.core.storage.snap_size_limit = kib_to_bytes(kib);
            if kib == 0 {
                return Err(Fault::Warning(
                    "0 stops a Java server with an ArithmeticException; here it means no limit"
                        .into(),
                ));
            }
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "txnLogSizeLimitInKb",
        "-1",
        "KiB after which the log goes on in a new file; 0 or less: no such limit",
        |draft, given| {
            draft.settings.core.storage.log_size_limit = kib_to_bytes(given.number()?);
            Ok(())
        },
    ),
    Key::later(Property, "commitLogCount", "500", LEARNERS),
    Key::later(Property, "snapshotSizeFactor", "0.33", LEARNERS),
    Key::honoured(
        Property,
        "forceSync",
        "yes",
        "no: writes are acknowledged before they are on disk and lost with the power",
        |draft, given| {
            draft.settings.core.storage.force_sync = given.value != "no";
            if given.value == "no" {
                return Err(Fault::Warning(
                    "honoured: acknowledged writes are lost when the power fails".into(),
                ));
            }
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "fsync.warningthresholdms",
        "1000",
        "An fsync of the log that takes more ms gets a warning",
        |draft, given| {
            draft.settings.fsync_warning_ms = u64::from(given.natural()?);
            Ok(())
        },
    ),
    Key::nothing(Property, "flushDelay", "0", BATCH),
    Key::nothing(Property, "maxWriteQueuePollTime", "flushDelay/3", BATCH),
    Key::nothing(Property, "maxBatchSize", "1000", BATCH),
    Key::honoured(
        Property,
        "snapshot.compression.method",
        "none",
        "`gz` or `snappy`: how new snapshots are compressed. Reading goes by the file's name",
        |draft, given| {
            draft.settings.core.storage.compression = match given.value {
                "gz" => Compression::Gzip,
                "snappy" => Compression::Snappy,
                "" => Compression::None,
                other => {
                    return Err(Fault::Mistake(format!(
                        "{other:?} is neither gz nor snappy: snapshots are not compressed"
                    )));
                }
            };
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "snapshot.trust.empty",
        "false",
        "true: a log without any snapshot is replayed from nothing",
        |draft, given| {
            draft.settings.core.storage.trust_empty_snapshot = given.flag();
            Ok(())
        },
    ),
    Key::nothing(
        Property,
        "digest.enabled",
        "true",
        "digests are always computed and written; files without them are read",
    ),
    Key::nothing(
        Property,
        "serializeLastProcessedZxid.enabled",
        "true",
        "snapshots always say up to which zxid they go; those without are read",
    ),
    Key::nothing(
        Property,
        "closeSessionTxn.enabled",
        "true",
        "the end of a session is always logged with its ephemerals; records without them are read",
    ),
    Key::honoured(
        Property,
        "datadir.autocreate",
        "true",
        "false: a missing `version-2` directory ends the start with exit code 3",
        |draft, given| {
            draft.settings.autocreate = given.value.is_empty() || given.flag();
            Ok(())
        },
    ),
    Key::nothing(
        Property,
        "db.autocreate",
        "true",
        "an empty directory always gives an empty database; Java's zxid -1 is not imitated",
    ),
    Key::honoured(
        Property,
        "extendedTypesEnabled",
        "false",
        "TTL znodes may be created. Those on disk are kept in either case",
        |draft, given| {
            draft.settings.core.extended_types = given.flag();
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "emulate353TTLNodes",
        "false",
        "TTL znodes written by 3.5.3 are understood",
        |draft, given| {
            draft.settings.core.emulate_353_ttl = given.flag();
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "enforceQuota",
        "false",
        "Hard quotas refuse writes",
        |draft, given| {
            draft.settings.core.enforce_quota = given.flag();
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "forceSnapshotSync",
        "false",
        "true: a leader sends every learner the whole tree",
        |draft, given| {
            draft.settings.core.force_snapshot_sync = given.flag();
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "test.allowDiscontinuousProposals",
        "false",
        "Gaps between the zxids of the log are accepted, and a snapshot that is lost and holds more than the rest of the files",
        |draft, given| {
            draft.settings.core.storage.allow_gaps = given.flag();
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "leader.maxConcurrentSnapSyncs",
        "10",
        "Learners that are sent the tree at a time before observers are turned away; they come again. At least 1",
        |draft, given| {
            draft.settings.core.snap_syncs_max = given.natural()?.max(1);
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "leader.maxConcurrentDiffSyncs",
        "100",
        "The same for learners that are sent txns only",
        |draft, given| {
            draft.settings.core.diff_syncs_max = given.natural()?.max(1);
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "jute.maxbuffer.extrasize",
        "jute.maxbuffer",
        "Bytes a log record may be longer than a request, at least 1024",
        |draft, given| {
            draft.frame_extra = Some(given.natural()?.max(1024));
            Ok(())
        },
    ),
];

pub(super) const JVM: &[Key] = &[
    Key::honoured(
        Jvm,
        "jute.maxbuffer",
        "1048575",
        "Bytes of the longest request",
        |draft, given| {
            draft.settings.core.limits.frame_max = given.natural()?.min(i32::MAX as u32);
            Ok(())
        },
    ),
    Key::honoured(
        Jvm,
        "znode.container.checkIntervalMs",
        "60000",
        "ms between searches for empty containers and expired TTL znodes",
        |draft, given| {
            draft.settings.core.containers.check_interval_ms = u64::from(given.natural()?.max(1));
            Ok(())
        },
    ),
    Key::honoured(
        Jvm,
        "znode.container.maxPerMinute",
        "10000",
        "How many of them are deleted in a minute",
        |draft, given| {
            draft.settings.core.containers.max_per_minute = given.natural()?.max(1);
            Ok(())
        },
    ),
    Key::honoured(
        Jvm,
        "znode.container.maxNeverUsedIntervalMs",
        "0",
        "ms after which a container that never had a child is deleted; 0: never",
        |draft, given| {
            draft.settings.core.containers.never_used_ms = given.number()?;
            Ok(())
        },
    ),
    Key::honoured(
        Jvm,
        "readonlymode.enabled",
        "false",
        "A server without a quorum serves clients that can do without writing; the word isro is allowed",
        |draft, given| {
            draft.settings.words.read_only_mode = given.flag();
            draft.settings.core.read_only_mode = given.flag();
            Ok(())
        },
    ),
    Key::missing(Jvm, "java.security.auth.login.config", "unset", "SASL"),
    Key::nothing(Jvm, "leader.nodelay", "true", NODELAY),
    Key::nothing(Jvm, "follower.nodelay", "true", NODELAY),
    Key::nothing(
        Jvm,
        "jdk.tls.rejectClientInitiatedRenegotiation",
        "true",
        "there is no TLS port in this release",
    ),
    Key::nothing(Jvm, "jmx.log4j.disable", "false", "there is no JMX"),
    Key::nothing(Jvm, "jmx.log4j.mbean", "unset", "there is no JMX"),
];

fn kib_to_bytes(kib: i64) -> Option<u64> {
    u64::try_from(kib).ok().filter(|kib| *kib > 0).map(|kib| kib.saturating_mul(1024))
}
