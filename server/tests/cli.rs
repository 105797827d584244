//! The binary, as a person or a script starts it.

mod common;

use std::path::Path;

use common::{Running, Scratch, run, zoetrope};

#[test]
fn version_and_help_are_there() {
    let (code, out, _) = run(zoetrope().arg("--version"));
    let version = concat!("zoetrope ", env!("CARGO_PKG_VERSION"), " (speaks ZooKeeper 3.9.5)\n");
    assert_eq!((code, out.as_str()), (Some(0), version));
    let (code, out, _) = run(zoetrope().arg("--help"));
    assert_eq!(code, Some(0));
    for part in ["server", "config", "--set", "ZOETROPE_LOG_FORMAT", "127.0.0.1:2181"] {
        assert!(out.contains(part), "{part} in {out}");
    }
}

#[test]
fn config_check_shows_every_line_and_counts_what_is_wrong() {
    let scratch = Scratch::new();
    let good = scratch.file("good.cfg", "dataDir=/d\nclientPort=2181\nadmin.serverPort=8080\n");
    let (code, out, err) = run(zoetrope().args(["config", "check"]).arg(&good));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(
        out,
        "line 1  dataDir = /d             honoured\n\
         line 2  clientPort = 2181        honoured\n\
         line 3  admin.serverPort = 8080  accepted, no effect yet: the HTTP admin server is not part of this release\n\
         OK\n"
    );

    let bad = scratch.file("bad.cfg", "dataDir=/d\nclientPort=2181\ntikTime=1\nserver.1=x\n");
    let (code, out, _) = run(zoetrope().args(["config", "check"]).arg(&bad));
    assert_eq!(code, Some(2));
    assert!(out.contains(
        "line 3  tikTime = 1        ERROR: unknown key, no effect: did you mean tickTime?\n"
    ));
    assert!(out.ends_with("2 lines to correct\n"), "{out}");
}

#[test]
fn an_ensemble_is_checked() {
    let scratch = Scratch::new();
    let dir = scratch.file("myid", "1\n").parent().unwrap().display().to_string();
    let text = format!(
        "dataDir={dir}\nclientPort=0\ninitLimit=10\nsyncLimit=5\n\
         server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\n"
    );
    let file = scratch.file("zoo.cfg", &text);
    let (code, out, _) = run(zoetrope().args(["config", "check"]).arg(&file));
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("this is server 1, participant, of an ensemble of 2 voters and 1 observer")
    );
}

#[test]
fn passwords_are_not_shown() {
    let scratch = Scratch::new();
    let file = scratch.file("zoo.cfg", "dataDir=/d\nclientPort=1\nssl.keyStore.password=hidden\n");
    let (_, out, _) = run(zoetrope().args(["config", "check"]).arg(&file));
    assert!(out.contains("ssl.keyStore.password = ***"));
    assert!(!out.contains("hidden"));
}

#[test]
fn what_cannot_be_started_says_why_and_exits_with_2() {
    let scratch = Scratch::new();
    let unknown = scratch.zoo_cfg("tikTime=1\n");
    for (args, part) in [
        (vec!["server", "/nowhere/zoo.cfg"], "/nowhere/zoo.cfg does not exist"),
        (vec!["server", "--strict", unknown.to_str().unwrap()], "did you mean tickTime?"),
        (vec!["server", "--set", "electionAlg=0"], "--set: electionAlg: Invalid electionAlg"),
        (vec!["server", "--set", "tickTime=x"], "--set: tickTime: For input string: \"x\""),
        (vec!["server", "--set", "clientPortAddress=no.such.host.invalid"], "cannot be resolved"),
        (vec!["server", "--set", "tickTime"], "write it as key=value"),
        (vec!["serve"], "unrecognized subcommand"),
    ] {
        let (code, out, err) = run(zoetrope().args(&args).current_dir(&scratch.0));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(err.contains(part), "{args:?}: {err}");
    }
}

#[test]
fn a_server_serves_until_sigterm_and_exits_with_0() {
    let scratch = Scratch::new();
    let file = scratch.zoo_cfg("tikTime=1\n");
    let mut server = Running::start(zoetrope().arg("server").arg("--config").arg(&file));
    assert!(
        server
            .seen
            .contains("zoo.cfg line 5: tikTime: unknown key, no effect: did you mean tickTime?")
    );
    assert_eq!(server.word("ruok"), "imok");
    let srvr = server.word("srvr");
    let version =
        concat!("Zookeeper version: 3.9.5-zoetrope-", env!("CARGO_PKG_VERSION"), ", built on 20");
    assert!(srvr.starts_with(version), "{srvr}");
    assert!(srvr.contains("\nMode: standalone\n"), "{srvr}");
    assert!(
        server.word("conf").contains(&format!("dataDir={}/data/version-2\n", scratch.0.display()))
    );
    assert_eq!(server.signal("TERM"), Some(0));
    assert!(server.wait_for("SIGTERM").contains("stopping"));
}

#[test]
fn flags_and_environment_reach_the_server() {
    let scratch = Scratch::new();
    let file = scratch.zoo_cfg("tickTime=1000\nmaxClientCnxns=1\n");
    let mut command = zoetrope();
    command.arg("server").arg(&file).args(["--set", "tickTime=1500", "--log-format", "json"]);
    command.arg("--strict").env("ZOETROPE_CONFIG", "/nowhere/zoo.cfg");
    // What Kubernetes sets beside a service called zoetrope.
    command.env("ZOETROPE_PORT", "tcp://10.0.0.1:2181").env("ZOETROPE_SERVICE_HOST", "10.0.0.1");
    command.env("SERVER_JVMFLAGS", "-Xmx1g -Dfile.encoding=UTF-8 '-Dzookeeper.snapCount=7'");
    command.env("ZOETROPE_MAX_CLIENT_CNXNS", "7").env("ZOETROPE_SRVR_DATEFORMAT", "us");
    let mut server = Running::start(&mut command);
    let conf = server.word("conf");
    assert!(conf.contains("\ntickTime=1500\n"), "{conf}");
    assert!(conf.contains("\nmaxClientCnxns=7\n"), "{conf}");
    let srvr = server.word("srvr");
    let (_, date) = srvr.lines().next().unwrap().split_once("built on ").unwrap();
    assert_eq!(date.matches('/').count(), 2, "{date}");
    assert!(server.seen.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
    assert_eq!(server.signal("INT"), Some(0));
}

#[test]
fn strangers_at_the_client_port_do_not_fill_the_log() {
    let scratch = Scratch::new();
    let mut server = Running::start(zoetrope().arg("server").arg(scratch.zoo_cfg("")));
    for _ in 0..20 {
        assert!(server.word("GET / HTTP/1.1\r\n").contains("It speaks the ZooKeeper protocol"));
        assert_eq!(server.word("\u{7f}\u{7f}\u{7f}\u{7f}"), "");
    }
    assert_eq!(server.signal("TERM"), Some(0));
    server.wait_for("stopping");
    let told = |part: &str| server.seen.lines().filter(|line| line.contains(part)).count();
    assert_eq!((told("speaks HTTP"), told("sent a frame of")), (1, 1), "{}", server.seen);
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.zoo_cfg("");
    let server = Running::start(zoetrope().arg("server").arg(&file));
    let (code, _, err) = run(zoetrope().arg("server").arg(&file));
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("is in use by another Zoetrope server"), "{err}");
    assert_eq!(server.word("ruok"), "imok");
}

#[test]
fn a_taken_port_is_named() {
    let scratch = Scratch::new();
    let server = Running::start(zoetrope().arg("server").arg(scratch.zoo_cfg("")));
    let other = Scratch::new();
    let port = server.addr.rsplit(':').next().unwrap();
    let mut command = zoetrope();
    command.arg("server").arg(other.zoo_cfg("")).args(["--set", &format!("clientPort={port}")]);
    let (code, _, err) = run(&mut command);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&format!("cannot listen on {}", server.addr)), "{err}");
}

#[test]
fn an_address_of_another_machine_is_told_from_a_taken_port() {
    let scratch = Scratch::new();
    let mut command = zoetrope();
    // The last of the documentation's addresses, which nobody has.
    let address = "clientPortAddress=203.0.113.254";
    command.arg("server").arg(scratch.zoo_cfg("")).args(["--set", address]);
    let (code, _, err) = run(&mut command);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("It is no address of this machine: see clientPortAddress"), "{err}");
}

#[test]
fn data_directories_that_cannot_be_used_exit_with_3() {
    let scratch = Scratch::new();
    let file = scratch.zoo_cfg("datadir.autocreate=false\n");
    let (code, _, err) = run(zoetrope().arg("server").arg(&file));
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("automatic data directory creation is disabled"), "{err}");
}

#[test]
fn without_arguments_a_newcomer_is_told_where_and_how() {
    let scratch = Scratch::new();
    let mut command = zoetrope();
    command.current_dir(&scratch.0).env("ZOETROPE_CLIENT_PORT", "0");
    let mut server = Running::start(&mut command);
    server.wait_for("zk.start()");
    let data = Path::new("zoetrope-data").join("version-2");
    assert!(server.seen.contains(&format!("data in {}/{}", scratch.0.display(), data.display())));
    assert!(server.seen.contains(&format!("zkCli.sh -server {}", server.addr)), "{}", server.seen);
    assert!(server.addr.starts_with("127.0.0.1:"));
    assert!(scratch.0.join(data).is_dir());
}

#[test]
fn a_word_that_is_not_listed_is_refused_with_javas_sentence() {
    let scratch = Scratch::new();
    let mut command = zoetrope();
    command.current_dir(&scratch.0).env("ZOETROPE_CLIENT_PORT", "0");
    let server = Running::start(&mut command);
    assert_eq!(server.word("ruok"), "ruok is not executed because it is not in the whitelist.\n");
    assert!(server.word("srvr").contains("Mode: standalone"));
}
