//! Properties of request handling, of the network, of operators' interfaces and of traffic between servers.

use super::Key;
use super::Kind::{Direct, Property};
use crate::value::{Fault, Given};

const ONE_TASK: &str = "one task serves all requests; there are no pools to size";
const NO_CACHE: &str = "replies are encoded from the tree; there is no cache to size";
const NOT_STALE: &str = "requests of closed connections are always dropped";
const BLUE: &str = "only the token bucket throttles connections";
const NETTY: &str = "there is no Netty";
const NEVER_WAITS: &str = "nothing waits for a socket";
const TRACKER: &str = "a record of packets between servers";
const INTERVALS: &str = "a choice of intervals between servers";
const WATCHES: &str = "there is one watch table, which needs no cleaning";
const ADMIN: &str = "the HTTP admin server";
const STATISTICS: &str = "request path statistics";

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        Property,
        "globalOutstandingLimit",
        "1000",
        "Requests in flight before the server stops reading from clients",
        |draft, given| {
            draft.settings.core.limits.outstanding_max = given.natural()?.max(1);
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "maxCnxns",
        "0",
        "Connections of all clients together; 0: no limit",
        |draft, given| {
            draft.settings.listen.total_max = given.natural()?;
            Ok(())
        },
    ),
    Key::nothing(
        Property,
        "serverCnxnFactory",
        "NIOServerCnxnFactory",
        "there is one kind of connection, which does all that both of Java's do",
    ),
    Key::nothing(Property, "maxResponseCacheSize", "400", NO_CACHE),
    Key::nothing(Property, "maxGetChildrenResponseCacheSize", "400", NO_CACHE),
    Key::nothing(Property, "intBufferStartingSizeBytes", "1024", "buffers grow as needed"),
    Key::honoured(
        Property,
        "largeRequestMaxBytes",
        "104857600",
        "Bytes of large requests in flight; above it the connection is closed",
        |draft, given| {
            draft.settings.core.limits.large_request_max_bytes = u64::from(given.natural()?);
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "largeRequestThreshold",
        "-1",
        "Bytes from which a request is large; -1: none is",
        |draft, given| {
            let bytes = u32::try_from(given.number()?).ok().filter(|bytes| *bytes > 0);
            draft.settings.core.limits.large_request_threshold = bytes;
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "request_throttle_max_requests",
        "0",
        "Requests in the pipeline before others wait; 0: no limit",
        |draft, given| {
            draft.settings.core.limits.throttle_max_requests = given.natural()?;
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "request_throttle_stall_time",
        "100",
        "ms between two looks whether they may go on",
        |draft, given| {
            draft.settings.core.limits.throttle_stall_ms = given.natural()?.max(1);
            Ok(())
        },
    ),
    Key::nothing(Property, "request_throttle_drop_stale", "true", NOT_STALE),
    Key::nothing(Property, "request_stale_latency_check", "false", NOT_STALE),
    Key::nothing(Property, "request_stale_connection_check", "true", NOT_STALE),
    Key::nothing(
        Property,
        "request_throttler.shutdownTimeout",
        "10000",
        "a shutdown answers what is on disk and waits for nothing else",
    ),
    Key::honoured(
        Property,
        "throttled_op_wait_time",
        "0",
        "ms of waiting after which a request is answered THROTTLEDOP; 0: never",
        |draft, given| {
            draft.settings.core.limits.throttled_op_wait_ms = given.natural()?;
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "connection_throttle_tokens",
        "0",
        "Size of the token bucket for new sessions; 0: no limit",
        |draft, given| {
            draft.settings.core.limits.connection_tokens = given.natural()?;
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "connection_throttle_fill_time",
        "1",
        "ms between two refills",
        |draft, given| {
            draft.settings.core.limits.connection_fill_ms = given.natural()?.max(1);
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "connection_throttle_fill_count",
        "1",
        "Tokens per refill",
        |draft, given| {
            draft.settings.core.limits.connection_fill_count = given.natural()?;
            Ok(())
        },
    ),
    Key::nothing(Property, "connection_throttle_freeze_time", "-1", BLUE),
    Key::nothing(Property, "connection_throttle_drop_increase", "0.02", BLUE),
    Key::nothing(Property, "connection_throttle_drop_decrease", "0.002", BLUE),
    Key::nothing(Property, "connection_throttle_decrease_ratio", "0", BLUE),
    Key::nothing(Property, "connection_throttle_weight_enabled", "false", BLUE),
    Key::nothing(Property, "connection_throttle_global_session_weight", "3", BLUE),
    Key::nothing(Property, "connection_throttle_local_session_weight", "1", BLUE),
    Key::nothing(Property, "connection_throttle_renew_session_weight", "2", BLUE),
    Key::nothing(
        Property,
        "enableEagerACLCheck",
        "false",
        "a server that is alone checks ACLs once, where the write is decided",
    ),
    Key::nothing(Property, "nio.numSelectorThreads", "by cores", ONE_TASK),
    Key::nothing(Property, "nio.numWorkerThreads", "by cores", ONE_TASK),
    Key::honoured(
        Property,
        "nio.sessionlessCnxnTimeout",
        "10000",
        "ms a connection may go without a connect request",
        |draft, given| {
            draft.settings.core.limits.handshake_ms = given.natural()?.max(1);
            Ok(())
        },
    ),
    Key::nothing(Property, "nio.directBufferBytes", "65536", "buffers grow as needed"),
    Key::nothing(Property, "nio.shutdownTimeout", "5000", ONE_TASK),
    Key::nothing(Property, "netty.advancedFlowControl.enabled", "false", NETTY),
    Key::nothing(Property, "netty.server.outstandingHandshake.limit", "-1", NETTY),
    Key::nothing(Property, "netty.server.earlyDropSecureConnectionHandshakes", "false", NETTY),
    Key::honoured(
        Property,
        "clientTcpKeepAlive",
        "false",
        "SO_KEEPALIVE on client connections",
        |draft, given| {
            draft.settings.listen.keep_alive = given.flag();
            Ok(())
        },
    ),
    Key::nothing(Property, "commitProcessor.numWorkerThreads", "by cores", ONE_TASK),
    Key::nothing(Property, "commitProcessor.shutdownTimeout", "5000", ONE_TASK),
    Key::nothing(Property, "commitProcessor.maxReadBatchSize", "-1", ONE_TASK),
    Key::nothing(Property, "commitProcessor.maxCommitBatchSize", "1", ONE_TASK),
    Key::nothing(Property, "watchManagerName", "WatchManager", WATCHES),
    Key::nothing(Property, "watcherCleanThreadsNum", "2", WATCHES),
    Key::nothing(Property, "watcherCleanThreshold", "1000", WATCHES),
    Key::nothing(Property, "watcherCleanIntervalInSeconds", "600", WATCHES),
    Key::nothing(Property, "maxInProcessingDeadWatchers", "-1", WATCHES),
    Key::nothing(Property, "bitHashCacheSize", "10", WATCHES),
];

pub(super) const OPERATORS: &[Key] = &[
    Key::honoured(
        Property,
        "4lw.commands.whitelist",
        "srvr",
        "Four-letter words that may be asked, with commas between; `*`: all",
        |draft, given| {
            draft.settings.words.whitelist = given.list();
            Ok(())
        },
    ),
    Key::honoured(
        Direct,
        "metricsProvider.className",
        "DefaultMetricsProvider",
        "The word mntr is what DefaultMetricsProvider offers. Others have no effect: an HTTP endpoint for \
         Prometheus is not part of this release",
        |_, given| match given.value.rsplit('.').next() {
            Some("DefaultMetricsProvider" | "NullMetricsProvider") => Ok(()),
            Some(_) | None => Err(Fault::Warning(
                "accepted, no effect yet: metrics are served by the word mntr only".into(),
            )),
        },
    ),
    Key::later(Direct, "metricsProvider.*", "by provider", "an HTTP endpoint for metrics"),
    Key::later(Property, "admin.enableServer", "true", ADMIN),
    Key::later(Property, "admin.serverAddress", "0.0.0.0", ADMIN),
    Key::later(Property, "admin.serverPort", "8080", ADMIN),
    Key::later(Property, "admin.commandURL", "/commands", ADMIN),
    Key::later(Property, "admin.idleTimeout", "30000", ADMIN),
    Key::later(Property, "admin.httpVersion", "11", ADMIN),
    Key::later(Property, "admin.portUnification", "false", ADMIN),
    Key::later(Property, "admin.forceHttps", "false", ADMIN),
    Key::later(Property, "admin.needClientAuth", "false", ADMIN),
    Key::later(Property, "admin.snapshot.enabled", "true", ADMIN),
    Key::later(Property, "admin.restore.enabled", "true", ADMIN),
    Key::later(Property, "admin.rateLimiterIntervalInMS", "300000", ADMIN),
    Key::missing(Property, "audit.enable", "false", "the audit log"),
    Key::later(Property, "audit.impl.class", "Slf4jAuditLogger", "the audit log"),
    Key::later(Property, "messageTracker.Enabled", "false", TRACKER),
    Key::later(Property, "messageTracker.BufferSize", "10", TRACKER),
    Key::later(Property, "pathStats.enabled", "false", STATISTICS),
    Key::later(Property, "pathStats.slotCapacity", "60", STATISTICS),
    Key::later(Property, "pathStats.slotDuration", "15", STATISTICS),
    Key::later(Property, "pathStats.maxDepth", "6", STATISTICS),
    Key::later(Property, "pathStats.sampleRate", "0.1", STATISTICS),
    Key::later(Property, "pathStats.initialDelay", "5", STATISTICS),
    Key::later(Property, "pathStats.delay", "5", STATISTICS),
    Key::later(Property, "pathStats.topPathMax", "20", STATISTICS),
];

pub(super) const BETWEEN_SERVERS: &[Key] = &[
    Key::honoured(
        Property,
        "leaderServes",
        "yes",
        "no: has no effect yet, because a leader without clients is not part of this release",
        |_, given| match given.value {
            "no" => {
                Err(Fault::Warning("accepted, no effect yet: a leader serves clients, too".into()))
            }
            _ => Ok(()),
        },
    ),
    Key::honoured(
        Property,
        "tcpKeepAlive",
        "false",
        "SO_KEEPALIVE on election links",
        |draft, given| {
            draft.quorum.tcp_keepalive = given.flag();
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "cnxTimeout",
        "5000",
        "ms an attempt to connect to another server may take; 0 or less: the default",
        |draft, given| {
            draft.quorum.connect_timeout_ms = positive(given)?;
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "quorumCnxnTimeoutMs",
        "syncLimit ticks",
        "ms a greeting on an election link may take; 0 or less: the default",
        |draft, given| {
            draft.quorum.handshake_timeout_ms = positive(given)?;
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "electionPortBindRetry",
        "3",
        "Attempts to listen for other servers, a second apart; 0: for ever; negative: the default",
        |draft, given| {
            draft.quorum.bind_retries = u32::try_from(given.number()?).ok();
            Ok(())
        },
    ),
    Key::later(Property, "fastleader.minNotificationInterval", "200", INTERVALS),
    Key::later(Property, "fastleader.maxNotificationInterval", "60000", INTERVALS),
    Key::later(Property, "leader.maxTimeToWaitForEpoch", "-1", INTERVALS),
    Key::nothing(Property, "leader.ackLoggingFrequency", "1000", "acknowledgements are not logged"),
    Key::later(Property, "leaderConnectDelayDuringRetryMs", "100", INTERVALS),
    Key::later(Property, "observer.reconnectDelayMs", "0", INTERVALS),
    Key::later(Property, "observer.election.DelayMs", "200", INTERVALS),
    Key::later(Property, "observer.syncEnabled", "true", "an observer without a log"),
    Key::honoured(
        Property,
        "observerMaster.sizeLimit",
        "33554432",
        "With observerMasterPort, bytes of recent txns kept in memory for those that come back; the last 500 are kept in \
         any case. Whoever lacks more gets it from the log, or the tree",
        |draft, given| {
            draft.settings.core.observer_history = u64::from(given.natural()?);
            Ok(())
        },
    ),
    Key::nothing(Property, "learner.asyncSending", "false", NEVER_WAITS),
    Key::nothing(Property, "learner.closeSocketAsync", "false", NEVER_WAITS),
    Key::nothing(Property, "leader.closeSocketAsync", "false", NEVER_WAITS),
    Key::nothing(
        Property,
        "forward_learner_requests_to_commit_processor_disabled",
        "false",
        ONE_TASK,
    ),
    Key::nothing(Property, "follower.skipLearnerRequestToNextProcessor", "false", ONE_TASK),
];

fn positive(given: &Given<'_>) -> Result<Option<u64>, Fault> {
    Ok(u64::try_from(given.number()?).ok().filter(|number| *number > 0))
}
