//! zoo.cfg and what becomes of it.

use std::io;
use std::path::{Path, PathBuf};

use zoetrope_core::{Compression, Config, Sid};
use zoetrope_io_tokio::PeerSettings;
use zoetrope_server::config_file::{Loaded, Origin, Severity, Sources, load};
use zoetrope_server::keys;
use zoetrope_server::settings::DateFormat;

const LEAST: &str = "dataDir=/d\nclientPort=2181\n";

fn sources(text: &str) -> Sources {
    Sources { file: Some((PathBuf::from("zoo.cfg"), text.into())), ..Sources::default() }
}

fn no_file(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

/// With the keys that every file needs in front: its own first line is 3.
fn loaded(text: &str) -> Loaded {
    load(&sources(&format!("{LEAST}{text}")), &no_file)
}

fn finding<'a>(loaded: &'a Loaded, key: &str) -> (Severity, &'a str) {
    let found = loaded.findings.iter().rfind(|finding| finding.key.as_deref() == Some(key));
    let found = found.unwrap_or_else(|| panic!("nothing is said about {key}"));
    (found.severity, &found.text)
}

fn core(text: &str) -> Config {
    let loaded = loaded(text);
    let errors: Vec<String> = loaded.refuses(false).map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{errors:?}");
    loaded.settings.core
}

/// The first thing that stands against a start, with its place.
fn refusal(text: &str) -> String {
    load(&sources(text), &no_file).refuses(false).next().expect("it refuses").to_string()
}

#[test]
fn a_file_without_settings_of_the_core_means_its_defaults() {
    assert_eq!(core(""), Config::default());
}

#[test]
fn without_a_file_only_this_machine_is_served() {
    let loaded = load(&Sources::default(), &no_file);
    assert_eq!(loaded.settings.listen.host.as_deref(), Some("127.0.0.1"));
    assert_eq!(loaded.settings.listen.port, 2181);
    assert_eq!(loaded.settings.data_dir, Path::new("zoetrope-data"));
    assert!(loaded.findings.is_empty());
}

#[test]
fn with_a_file_all_addresses_are_served() {
    assert_eq!(loaded("").settings.listen.host, None);
    let listen =
        loaded("clientPortAddress=10.0.0.1\nmaxClientCnxns=0\nmaxCnxns=0x10").settings.listen;
    assert_eq!(listen.host.as_deref(), Some("10.0.0.1"));
    assert_eq!((listen.per_address_max, listen.total_max), (0, 16));
}

#[test]
fn what_java_refuses_is_refused_with_its_words_and_the_line() {
    for (text, words) in [
        ("clientPort=1", "dataDir is not set"),
        ("dataDir=/d", "clientPort is not set: no client could connect"),
        (
            "dataDir=/d\nclientPortAddress=localhost",
            "zoo.cfg line 2: clientPortAddress: clientPortAddress is set but clientPort is not set",
        ),
        ("dataDir=/d\nclientPort=1\ntickTime=0", "zoo.cfg line 3: tickTime: tickTime is not set"),
        (
            "dataDir=/d\nclientPort=x",
            "zoo.cfg line 2: clientPort: For input string: \"x\" (an integer is needed)",
        ),
        (
            "dataDir=/d\nclientPort=1\nreconfigEnabled=yes",
            "zoo.cfg line 3: reconfigEnabled: Invalid option yes for reconfigEnabled. Choose 'true' or 'false.'",
        ),
        (
            "dataDir=/d\nclientPort=1\nminSessionTimeout=9\nmaxSessionTimeout=8",
            "zoo.cfg line 3: minSessionTimeout: minSessionTimeout must not be larger than maxSessionTimeout \
             (9 and 8 ms)",
        ),
        (
            "dataDir=/d\nclientPort=1\nelectionAlg=0",
            "zoo.cfg line 3: electionAlg: Invalid electionAlg value. Only 3 is supported.",
        ),
        (
            "dataDir=/d\nclientPort=1\nenforce.auth.enabled=true",
            "zoo.cfg line 3: enforce.auth.enabled: enforce.auth.enabled is true but enforce.auth.schemes \
             must be configured",
        ),
        (
            "dataDir=/d\nclientPort=1\nx=\\u00g0",
            "zoo.cfg line 3: Malformed \\uxxxx encoding: \\u needs four hexadecimal digits",
        ),
    ] {
        assert_eq!(refusal(text), words);
    }
    assert!(refusal("dataDir=\nclientPort=1").contains("the value is empty"));
    assert!(refusal("dataDir=/d\nclientPort=65536").contains("is no port"));
}

#[test]
fn a_port_for_tls_is_named_and_left_out_unless_it_is_the_only_one() {
    let loaded = loaded("secureClientPort=2281");
    assert_eq!(loaded.refuses(true).count(), 0);
    let (severity, text) = finding(&loaded, "secureClientPort");
    assert_eq!(severity, Severity::Warning);
    assert!(text.contains("nothing listens on this port"));
    assert_eq!(
        refusal("dataDir=/d\nsecureClientPort=2281"),
        "zoo.cfg line 2: secureClientPort: clientPort is not set, and TLS for clients is not part of this release: \
         no client could connect"
    );
}

#[test]
fn one_participant_runs_alone_with_javas_warning() {
    let loaded = loaded("server.1=[::1]:2888:3888");
    assert_eq!(loaded.refuses(true).count(), 0);
    let (severity, text) = finding(&loaded, "server.1");
    assert_eq!(severity, Severity::Warning);
    assert!(text.starts_with("Invalid configuration, only one server specified (ignoring)"));
}

#[test]
fn the_only_server_may_name_the_client_port() {
    for (line, host, port) in [
        ("server.1=a:1:2;2182", None, 2182),
        ("server.1=a:1:2:participant;b:2183", Some("b"), 2183),
        ("server.1=[::1]:1:2;[::1]:2184", Some("::1"), 2184),
        ("server.1=a:1:2;0.0.0.0:2185", None, 2185),
        ("server.1=a:1:2|a2:1:2;2186\nmultiAddress.enabled=true", None, 2186),
    ] {
        let loaded = load(&sources(&format!("dataDir=/d\n{line}")), &no_file);
        assert_eq!(loaded.refuses(true).count(), 0, "{line}");
        assert_eq!(loaded.settings.listen.host.as_deref(), host);
        assert_eq!(loaded.settings.listen.port, port);
    }
}

#[test]
fn a_malformed_server_is_refused() {
    for line in [
        "server.1=a",
        "server.1=a:1",
        "server.1=a:1:2:3:4",
        "server.1=a:x:2",
        "server.1=:1:2",
        "server.1=a:1:2;x",
        "server.1=a:1:2:leader",
        "server.x=a:1:2",
        "server.-1=a:1:2",
        "server.1=a:1:1",
        "server.1=a:1:2|b:1:2",
        "server.1=a:1:2:observer",
        "server.1=a:1:2\nserver.2=a:1:2:observer",
    ] {
        assert!(refusal(&format!("{LEAST}{line}")).starts_with("zoo.cfg line 3"), "{line}");
    }
}

#[test]
fn a_dynamic_file_counts_like_the_file_itself() {
    let with = |dynamic: &'static str, text: &str| {
        let text = format!("{LEAST}dynamicConfigFile=/x.dynamic\n{text}");
        load(&sources(&text), &move |path: &Path| {
            assert_eq!(path, Path::new("/x.dynamic"));
            Ok(dynamic.into())
        })
    };
    assert_eq!(with("server.1=a:1:2;2181", "").refuses(true).count(), 0);
    for (dynamic, text, words) in [
        ("server.1=a:1:2;x", "", "/x.dynamic line 1: server.1: a:1:2;x does not have the form"),
        ("version=1", "", "/x.dynamic line 1: version: dynamic file shouldn't have version inside"),
        ("tickTime=1", "", "/x.dynamic line 1: tickTime: Unrecognised parameter: tickTime"),
        ("", "server.1=a:1:2", "zoo.cfg line 4: parameter: server.1 must be in a separate dynamic"),
    ] {
        let loaded = with(dynamic, text);
        let first = loaded.refuses(false).next().expect("it refuses").to_string();
        assert!(first.starts_with(words), "{first}");
    }
    assert!(refusal(&format!("{LEAST}dynamicConfigFile=/x")).contains("Error processing /x"));
}

const ENSEMBLE: &str = "dataDir=/d\nclientPort=2181\ntickTime=2000\ninitLimit=7\nsyncLimit=4\n\
                        server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n";

/// `text` on a server whose `myid` holds `id`.
fn member(text: &str, id: &'static str) -> Loaded {
    load(&sources(text), &move |path: &Path| match path.to_str() {
        Some("/d/myid") => Ok(id.into()),
        Some("/d/c.dynamic.1f") => Ok("server.1=a:1:2;2181\nserver.2=b:1:2\n".into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    })
}

fn refusals(loaded: &Loaded) -> Vec<String> {
    loaded.refuses(true).map(ToString::to_string).collect()
}

#[test]
fn an_ensemble_reaches_the_core_and_the_links() {
    let loaded = member(ENSEMBLE, "2\nignored");
    assert_eq!(refusals(&loaded), Vec::<String>::new());
    let core = &loaded.settings.core;
    assert_eq!((core.sid, core.init_limit, core.sync_limit), (Sid(2), 7, 4));
    let ensemble = core.ensemble.clone().expect("it is not alone");
    assert_eq!(
        ensemble.to_text(),
        "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\n\
         server.3=c:2888:3888:participant\nversion=0"
    );
    let peers = PeerSettings {
        sid: Sid(2),
        ensemble,
        observer_master_port: None,
        listen_on_all: false,
        connect_timeout_ms: 5000,
        handshake_timeout_ms: 8000,
        bind_retries: 3,
        tcp_keepalive: false,
    };
    assert_eq!(loaded.settings.peers, Some(peers));
    let (severity, text) = finding(&loaded, "server.2");
    assert_eq!(severity, Severity::Note);
    assert_eq!(text, "this is server 2, participant, of an ensemble of 3 voters and 0 observers");
}

#[test]
fn links_are_as_the_file_says() {
    let text = format!(
        "{ENSEMBLE}quorumListenOnAllIPs=true\ncnxTimeout=70\nquorumCnxnTimeoutMs=0x50\n\
         electionPortBindRetry=0\ntcpKeepAlive=true\nmultiAddress.enabled=true\n\
         server.4=[::1]:1:2|d:1:2:observer\npeerType=observer"
    );
    let loaded = member(&text, "4");
    assert_eq!(refusals(&loaded), Vec::<String>::new());
    let peers = loaded.settings.peers.expect("it is not alone");
    assert!(peers.listen_on_all && peers.tcp_keepalive);
    assert_eq!(
        (peers.connect_timeout_ms, peers.handshake_timeout_ms, peers.bind_retries),
        (70, 80, 0)
    );
    assert!(peers.ensemble.members[&Sid(4)].observer);
    assert_eq!(peers.ensemble.members[&Sid(4)].addresses.len(), 2);
    let text = format!("{ENSEMBLE}cnxTimeout=0\nquorumCnxnTimeoutMs=-1\nelectionPortBindRetry=-1");
    let peers = member(&text, "1").settings.peers.expect("it is not alone");
    assert_eq!(
        (peers.connect_timeout_ms, peers.handshake_timeout_ms, peers.bind_retries),
        (5000, 8000, 3)
    );
}

#[test]
fn followers_have_observers_where_there_is_a_port_for_them() {
    let text = format!("{ENSEMBLE}observerMasterPort=2889\nobserverMaster.sizeLimit=0x1000\n");
    let settings = member(&text, "1").settings;
    assert_eq!(settings.peers.expect("it is not alone").observer_master_port, Some(2889));
    assert!(settings.core.observer_masters);
    assert_eq!(settings.core.observer_history, 4096);
    for none in ["", "observerMasterPort=0", "observerMasterPort=-1"] {
        let settings = member(&format!("{ENSEMBLE}{none}"), "1").settings;
        assert_eq!(settings.peers.expect("it is not alone").observer_master_port, None);
        assert!(!settings.core.observer_masters);
        assert_eq!(settings.core.observer_history, 32 << 20);
    }
    let refused = refusals(&member(&format!("{ENSEMBLE}observerMasterPort=65536"), "1"));
    assert!(refused[0].contains("65536 is no port"), "{refused:?}");
}

#[test]
fn groups_and_weights_reach_the_core() {
    let text = format!("{ENSEMBLE}group.1=1:2\ngroup.2=3\nweight.2=5");
    let ensemble = member(&text, "1").settings.core.ensemble.expect("it is not alone");
    assert_eq!(
        (ensemble.groups.len(), ensemble.weight(Sid(2)), ensemble.weight(Sid(3))),
        (2, 5, 1)
    );
    for (lines, words) in [
        ("group.1=1:2", "Server 3 is not in a group"),
        ("weight.1=2", "Server 1 is not in a group"),
        ("group.1=1:2:3\ngroup.2=3", "zoo.cfg line 10: group.2: Server 3 is in multiple groups"),
        (
            "group.1=x",
            "zoo.cfg line 9: group.1: For input string: \"x\" (a server's number is needed)",
        ),
    ] {
        assert_eq!(refusals(&member(&format!("{ENSEMBLE}{lines}"), "1")), [words]);
    }
}

#[test]
fn an_ensemble_that_cannot_be_is_refused_with_javas_words() {
    let refused = |text: &str, id| refusals(&member(text, id)).remove(0);
    for (id, words) in [
        ("x", "serverid \"x\" is not a number, in /d/myid"),
        (" 1", "serverid \" 1\" is not a number, in /d/myid"),
        ("", "serverid \"\" is not a number, in /d/myid"),
        ("4", "My id 4 not in the peer list; it stands in /d/myid"),
    ] {
        assert_eq!(refused(ENSEMBLE, id), format!("zoo.cfg line 1: dataDir: {words}"));
    }
    let missing = refusals(&load(&sources(ENSEMBLE), &no_file));
    assert_eq!(
        missing,
        [
            "zoo.cfg line 1: dataDir: myid file is missing: /d/myid has to hold the number N of this server's server.N"
        ]
    );
    assert_eq!(refused(&ENSEMBLE.replace("initLimit=7", ""), "1"), "initLimit is not set");
    assert_eq!(
        refused(&ENSEMBLE.replace("syncLimit=4", "syncLimit=0"), "1"),
        "syncLimit is not set"
    );
    for (line, words) in [
        ("initLimit=-1", "zoo.cfg line 9: initLimit: -1 is no number of ticks"),
        (
            "server.300=d:1:2\nextendedTypesEnabled=true",
            "zoo.cfg line 10: extendedTypesEnabled: extendedTypesEnabled is true but Server ID is too large. \
             Cannot be larger than 254",
        ),
        (
            "server.300=d:1:2|e:1:2",
            "zoo.cfg line 9: server.300: Multiple address feature is disabled, but multiple addresses are specified",
        ),
        (
            "server.300=d:1:2\nserver.0300=d:1:2",
            "zoo.cfg line 10: server.0300: server 300 stands twice",
        ),
        (
            "server.300=d:1:2;2182",
            "zoo.cfg line 2: clientPort: client address for this server (id = 300) in static config file is \
             0.0.0.0:2181 is different from client address found in dynamic file: 0.0.0.0:2182",
        ),
        (
            "sslQuorum=true\nserver.300=d:1:2",
            "zoo.cfg line 9: sslQuorum: servers cannot be protected from each other in this release",
        ),
    ] {
        assert_eq!(refused(&format!("{ENSEMBLE}{line}"), "300"), words);
    }
}

#[test]
fn the_own_line_may_name_the_client_address() {
    let own = |line: &str| ENSEMBLE.replace("server.1=a:2888:3888", &format!("server.1={line}"));
    for (text, host, port) in [
        (own("a:1:2;2181"), None, 2181),
        (own("a:1:2;10.0.0.1:2181"), Some("10.0.0.1"), 2181),
        (own("a:1:2;2182").replace("clientPort=2181", ""), None, 2182),
        (own("a:1:2;h:2181") + "clientPortAddress=127.0.0.1", Some("h"), 2181),
    ] {
        let loaded = member(&text, "1");
        assert_eq!(refusals(&loaded), Vec::<String>::new(), "{text}");
        let listen = loaded.settings.listen;
        assert_eq!((listen.host.as_deref(), listen.port), (host, port), "{text}");
    }
    let text = own("a:1:2;10.0.0.1:2181") + "clientPortAddress=127.0.0.1";
    assert!(refusals(&member(&text, "1"))[0].contains("is different from client address"));
    // The line of another server is none of our business.
    assert_eq!(refusals(&member(&own("a:1:2;2199"), "2")), Vec::<String>::new());
}

#[test]
fn an_ensemble_may_be_small_and_says_what_that_means() {
    let warning = |text: &str| {
        let loaded = member(text, "1");
        assert_eq!(refusals(&loaded), Vec::<String>::new());
        let found = loaded.findings.iter().find(|found| found.severity == Severity::Warning);
        found.map(|found| found.text.clone())
    };
    let two = ENSEMBLE.replace("server.3", "#");
    let few = "No server failure will be tolerated. You need at least 3 servers.";
    assert_eq!(warning(&two).as_deref(), Some(few));
    let one = two.replace("server.2", "#") + "standaloneEnabled=false";
    assert_eq!(warning(&one).as_deref(), Some(few));
    let even = format!("{ENSEMBLE}server.4=d:1:2");
    let odd = "Non-optimal configuration, consider an odd number of servers.";
    assert_eq!(warning(&even).as_deref(), Some(odd));
    assert_eq!(warning(ENSEMBLE), None);
    let role = "Peer type from servers list (PARTICIPANT) doesn't match peerType (OBSERVER). Defaulting to \
                servers list.";
    assert_eq!(warning(&format!("{ENSEMBLE}peerType=observer")).as_deref(), Some(role));
}

#[test]
fn a_dynamic_file_has_its_version_in_its_name() {
    let text = "dataDir=/d\ninitLimit=1\nsyncLimit=1\ndynamicConfigFile=/d/c.dynamic.1f\n";
    let loaded = member(text, "1");
    assert_eq!(refusals(&loaded), Vec::<String>::new());
    let ensemble = loaded.settings.core.ensemble.expect("it is not alone");
    assert_eq!((ensemble.version, ensemble.members.len()), (0x1f, 2));
    assert_eq!(loaded.settings.listen.port, 2181);
}

#[test]
fn a_server_that_is_alone_needs_no_myid_and_has_no_links() {
    let loaded = loaded("server.1=a:1:2\ninitLimit=5\nsyncLimit=3\nsslQuorum=true");
    assert_eq!(refusals(&loaded), Vec::<String>::new());
    assert_eq!((loaded.settings.core.sid, loaded.settings.core.ensemble), (Sid(1), None));
    assert_eq!(loaded.settings.peers, None);
}

#[test]
fn an_unknown_key_is_a_mistake_with_its_line_and_what_may_be_meant() {
    let loaded = loaded("\n# comment\ntikTime=1\nfrobnicate=2\nzookeeper.snapCount=5");
    assert_eq!(loaded.refuses(false).count(), 0);
    let mistakes: Vec<String> = loaded.refuses(true).map(ToString::to_string).collect();
    assert_eq!(
        mistakes,
        [
            "zoo.cfg line 5: tikTime: unknown key, no effect: did you mean tickTime?",
            "zoo.cfg line 6: frobnicate: unknown key, no effect",
            "zoo.cfg line 7: zookeeper.snapCount: no effect, as in Java: in a file it is written without the \
             prefix, snapCount",
        ]
    );
    assert_eq!(loaded.settings.core, Config::default());
}

#[test]
fn a_property_that_cannot_be_read_leaves_the_default_and_says_so() {
    let loaded = loaded("snapCount=many\nmaxCnxns=-1");
    assert_eq!(loaded.settings.core.storage.snap_count, 100_000);
    assert_eq!(loaded.refuses(false).count(), 0);
    assert_eq!(loaded.refuses(true).count(), 2);
}

#[test]
fn the_last_of_duplicate_keys_counts_and_the_first_says_so() {
    let loaded = loaded("tickTime=1000\ntickTime=2000");
    assert_eq!(loaded.settings.core.tick_ms, 2000);
    let first = &loaded.findings[2];
    assert_eq!((first.severity, first.value.as_deref()), (Severity::Warning, Some("1000")));
    assert_eq!(first.text, "given again, which counts: zoo.cfg line 4");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut all = sources(&format!("{LEAST}tickTime=1000\nsnapCount=10\nmaxCnxns=1"));
    all.environment = vec![pair("ZOETROPE_TICK_TIME", "2000"), pair("ZOETROPE_SNAPCOUNT", "20")];
    all.flags = vec![pair("zookeeper.tickTime", "3001")];
    let loaded = load(&all, &no_file);
    assert_eq!(loaded.settings.core.tick_ms, 3001);
    assert_eq!(loaded.settings.core.storage.snap_count, 20);
    assert_eq!(loaded.settings.listen.total_max, 1);
    assert_eq!(loaded.refuses(true).count(), 0);
    let of_file = loaded.findings.iter().find(|f| f.key.as_deref() == Some("tickTime")).unwrap();
    assert_eq!(of_file.text, "given again, which counts: --set");
}

#[test]
fn options_for_a_jvm_count_where_the_file_says_nothing() {
    let option = |key: &str, value: &str| ("JVMFLAGS".to_owned(), key.to_owned(), value.to_owned());
    let mut all = sources(&format!("{LEAST}snapCount=10"));
    all.java_options = vec![
        option("jute.maxbuffer", "4194304"),
        option("zookeeper.snapCount", "20"),
        option("zookeeper.skipACL", "yes"),
        option("file.encoding", "UTF-8"),
        option("snapCount", "30"),
    ];
    let loaded = load(&all, &no_file);
    assert_eq!(loaded.settings.core.limits.frame_max, 4_194_304);
    assert_eq!(loaded.settings.core.storage.snap_count, 10);
    assert!(loaded.settings.core.auth.skip_acl);
    assert_eq!(loaded.refuses(true).count(), 0);

    all.java_options = vec![
        option("zookeeper.jute.maxbuffer", "1"),
        option("zookeeper.tickTime", "1"),
        option("zookeeper.frobnicate", "1"),
    ];
    let loaded = load(&all, &no_file);
    let mistakes: Vec<String> = loaded.refuses(true).map(ToString::to_string).collect();
    assert_eq!(
        mistakes,
        [
            "-D in JVMFLAGS: zookeeper.jute.maxbuffer: no effect, as in Java: it is written without the prefix",
            "-D in JVMFLAGS: zookeeper.tickTime: no effect: it is read from the file only",
            "-D in JVMFLAGS: zookeeper.frobnicate: unknown key, no effect",
        ]
    );
}

#[test]
fn an_unknown_variable_is_a_mistake() {
    let mut all = sources(LEAST);
    all.environment = vec![("ZOETROPE_COLOR".to_owned(), "red".to_owned())];
    let loaded = load(&all, &no_file);
    let mistake = loaded.refuses(true).next().unwrap();
    assert_eq!(mistake.origin, Some(Origin::Environment("ZOETROPE_COLOR".to_owned())));
    assert_eq!(loaded.refuses(false).count(), 0);
}

#[test]
fn storage_keys_reach_the_core() {
    let storage = core(
        "snapCount=0x20\nsnapSizeLimitInKb=010\ntxnLogSizeLimitInKb=4\nforceSync=no\nsnapshot.trust.empty=TRUE\n\
         snapshot.compression.method=snappy\nautopurge.snapRetainCount=2\nautopurge.purgeInterval=2\npreAllocSize=128",
    )
    .storage;
    assert_eq!(storage.snap_count, 32);
    assert_eq!(storage.snap_size_limit, Some(8 << 10));
    assert_eq!(storage.log_size_limit, Some(4 << 10));
    assert!(!storage.force_sync);
    assert!(storage.trust_empty_snapshot);
    assert_eq!(storage.compression, Compression::Snappy);
    assert_eq!(storage.snap_retain, Some(3));
    assert_eq!(storage.purge_interval_ms, 7_200_000);
    assert_eq!(storage.reserve_step, 128 << 10);
}

#[test]
fn purging_is_on_unless_the_file_says_off() {
    assert_eq!(core("").storage.snap_retain, Some(3));
    assert_eq!(core("autopurge.snapRetainCount=7").storage.snap_retain, Some(7));
    assert_eq!(core("autopurge.purgeInterval=0").storage.snap_retain, None);
    assert_eq!(core("autopurge.purgeInterval=-1").storage.snap_retain, None);
}

#[test]
fn limits_reach_the_core() {
    let limits = core(
        "jute.maxbuffer=2097151\nglobalOutstandingLimit=10\nlargeRequestThreshold=5\nthrottled_op_wait_time=6\n\
         nio.sessionlessCnxnTimeout=7\nconnection_throttle_tokens=8\nzoetrope.outputBudget=1m",
    )
    .limits;
    assert_eq!((limits.frame_max, limits.frame_extra), (2_097_151, 2_097_151));
    assert_eq!(limits.outstanding_max, 10);
    assert_eq!(limits.large_request_threshold, Some(5));
    assert_eq!(limits.throttled_op_wait_ms, 6);
    assert_eq!(limits.handshake_ms, 7);
    assert_eq!(limits.connection_tokens, 8);
    assert_eq!(limits.output_budget, 1 << 20);
    assert_eq!(core("jute.maxbuffer.extrasize=1").limits.frame_extra, 1024);
}

#[test]
fn who_may_do_what_reaches_the_core() {
    let auth = core(
        "skipACL=yes\nDigestAuthenticationProvider.superDigest=super:abc=\nensembleAuthName=a, b\n\
         authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\nenforce.auth.enabled=true\n\
         enforce.auth.schemes=digest,sasl\nsessionRequireClientSASLAuth=true",
    )
    .auth;
    assert!(auth.skip_acl);
    assert!(auth.sasl);
    assert!(!auth.x509);
    assert_eq!(auth.super_digest.as_deref(), Some("super:abc="));
    assert_eq!(auth.ensemble_names, ["a", "b"]);
    assert_eq!(auth.enforced_schemes, ["digest", "sasl"]);
    assert!(!core("skipACL=true").auth.skip_acl);
    assert_eq!(core("enforce.auth.schemes=sasl").auth.enforced_schemes, Vec::<String>::new());
}

#[test]
fn the_whitelist_is_what_the_file_says() {
    let words = |text: &str| loaded(text).settings.words;
    assert!(words("").allows("srvr"));
    assert!(!words("").allows("ruok"));
    assert!(!words("").allows("isro"));
    assert!(words("readonlymode.enabled=true").allows("isro"));
    assert!(loaded("readonlymode.enabled=true").settings.core.read_only_mode);
    assert!(!loaded("").settings.core.read_only_mode);
    assert!(words("4lw.commands.whitelist=*").allows("dump"));
    let some = words("4lw.commands.whitelist = ruok, mntr");
    assert!(some.allows("ruok") && some.allows("mntr") && !some.allows("srvr"));
    assert_eq!(words("zoetrope.srvr.dateFormat=us").date_format, DateFormat::Us);
}

#[test]
fn what_has_no_effect_says_why_and_does_not_stand_in_the_way() {
    let loaded =
        loaded("admin.enableServer=true\nwatchManagerName=x\naudit.enable=false\nsuperUser=root");
    assert_eq!(loaded.refuses(true).count(), 0);
    let not_yet = "accepted, no effect yet: the HTTP admin server is not part of this release";
    assert_eq!(finding(&loaded, "admin.enableServer"), (Severity::Note, not_yet));
    assert_eq!(finding(&loaded, "watchManagerName").0, Severity::Note);
    assert_eq!(finding(&loaded, "audit.enable").0, Severity::Note);
    assert_eq!(finding(&loaded, "superUser").0, Severity::Warning);
}

#[test]
fn the_samples_that_java_ships_and_test_harnesses_write_are_clean() {
    for text in [
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/tmp/zookeeper\nclientPort=2181\n",
        "tickTime=4000\ndataDir=/d\nclientPort=20000\nmaxClientCnxns=0\nadmin.serverPort=20003\n\
         serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
         authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
         ssl.keyStore.location=/d/server.jks\nssl.keyStore.password=apassword\n4lw.commands.whitelist=*\n\
         reconfigEnabled=true\nlocalSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\n",
    ] {
        let loaded = load(&sources(text), &no_file);
        let wrong: Vec<String> = loaded.refuses(true).map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[test]
fn every_key_of_the_table_can_be_given_without_being_unknown() {
    for key in keys::all() {
        let name = key.name.replace('*', "1");
        let loaded = loaded(&format!("{name}=1"));
        assert!(!finding(&loaded, &name).1.contains("unknown"), "{name}");
    }
}

#[test]
fn any_bytes_give_findings_and_never_a_panic() {
    // A small congruential generator: the same bytes in every run.
    let mut state = 0x5eed_u64;
    let mut draw = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let pieces: [&[u8]; 14] = [
        b"tickTime",
        b"server.1",
        b"=",
        b":",
        b"\\",
        b"\n",
        b"\\u00e4",
        b"\\u",
        b"0x",
        b"-1",
        b" ",
        b"#",
        b"a:1:2;3",
        b"\xff",
    ];
    for _ in 0..4_000 {
        let mut bytes = LEAST.as_bytes().to_vec();
        for _ in 0..draw(24) {
            bytes.extend_from_slice(pieces[draw(pieces.len())]);
        }
        let all = Sources { file: Some((PathBuf::from("f"), bytes)), ..Sources::default() };
        let lines = load(&all, &no_file).findings.len();
        assert!(lines > 0);
    }
}
