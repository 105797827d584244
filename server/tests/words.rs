//! Four-letter words, letter by letter: other programs parse them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use zoetrope_core::wire::{ConnectRequest, OpCode, Writer, begin_frame, end_frame};
use zoetrope_core::{
    Command, Config, ConnId, Effect, Input, Instant, Listing, Now, Server, SessionId, Zxid,
};
use zoetrope_io_tokio::{DriverFigures, Settings, View, Words};
use zoetrope_server::settings::{DateFormat, WordSettings};
use zoetrope_server::version;
use zoetrope_server::words::{FourLetterWords, Startup};

/// Sun Nov 22 14:34:30 UTC 2026, ten seconds after the driver started.
const NOW: Now = Now { mono: Instant(10_000_000), wall_ms: 1_795_358_070_000 };
const PEER: &str = "127.0.0.1:40000";

/// A server in memory whose disk does at once what it is told.
struct Stage {
    server: Server,
    sent: BTreeMap<ConnId, u64>,
    next_xid: i32,
}

impl Stage {
    fn recovering() -> Self {
        let server = Server::new(Config::default(), 7, NOW, Listing::default());
        Self { server, sent: BTreeMap::new(), next_xid: 1 }
    }

    fn serving() -> Self {
        let mut stage = Self::recovering();
        stage.settle();
        stage
    }

    /// Until there is nothing left to do.
    fn settle(&mut self) {
        loop {
            let mut done: Vec<Input<'static>> = Vec::new();
            let turn = self.server.effects(NOW);
            for effect in turn.effects() {
                match *effect {
                    Effect::Reserve { file, upto } => done.push(Input::Reserved { file, upto }),
                    Effect::Fsync { branch, upto, .. } => {
                        done.push(Input::Durable { branch, upto });
                    }
                    Effect::PutEpochs { generation, .. } => {
                        done.push(Input::EpochsDurable { generation });
                    }
                    Effect::SnapSlice { at, bytes } => {
                        done.push(Input::SnapWritten { upto: at + bytes.len as u64 });
                    }
                    Effect::SnapFinish { zxid, .. } => done.push(Input::SnapDurable { zxid }),
                    Effect::Reply { conn } => {
                        let sent = self.sent.entry(conn).or_default();
                        *sent += turn.reply(conn).len() as u64;
                        done.push(Input::Sent { conn, upto: *sent });
                    }
                    _ => {}
                }
            }
            if done.is_empty() {
                return;
            }
            for input in &done {
                self.server.input(NOW, input);
            }
        }
    }

    fn open(&mut self, id: u64, addr: &str) -> ConnId {
        let conn = ConnId(id);
        let addr: SocketAddr = addr.parse().unwrap();
        let (addr, port) = (addr.ip(), addr.port());
        let identities = Vec::new();
        self.server.input(NOW, &Input::Opened { conn, addr, port, secure: false, identities });
        conn
    }

    fn connect(&mut self, id: u64, addr: &str) -> ConnId {
        let conn = self.open(id, addr);
        let mut bytes = Vec::new();
        let request = ConnectRequest {
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 9_000,
            session: SessionId::NONE,
            password: &[0; 16],
            read_only: Some(false),
        };
        request.encode(&mut bytes);
        self.server.input(NOW, &Input::Requests { conn, bytes: &bytes });
        self.settle();
        conn
    }

    fn request(&mut self, conn: ConnId, op: OpCode, body: impl FnOnce(&mut Writer<'_>)) {
        let mut bytes = Vec::new();
        let start = begin_frame(&mut bytes);
        let mut w = Writer::new(&mut bytes);
        w.int(self.next_xid);
        w.int(op.number());
        body(&mut w);
        end_frame(&mut bytes, start);
        self.next_xid += 1;
        self.server.input(NOW, &Input::Requests { conn, bytes: &bytes });
        self.settle();
    }

    fn create_ephemeral(&mut self, conn: ConnId, path: &str) {
        self.request(conn, OpCode::Create, |w| {
            w.string(path);
            w.buffer(Some(b"data"));
            w.count(1);
            w.int(31);
            w.string("world");
            w.string("anyone");
            w.int(1);
        });
    }

    fn watch(&mut self, conn: ConnId, path: &str) {
        self.request(conn, OpCode::Exists, |w| {
            w.string(path);
            w.bool(true);
        });
    }

    fn session(&self, conn: ConnId) -> SessionId {
        let all = self.server.connections();
        all.filter(|status| status.conn == conn).map(|status| status.session).next().unwrap()
    }

    fn ask(
        &self,
        words: &mut FourLetterWords,
        word: &[u8; 4],
        argument: &[u8],
    ) -> (String, Option<Command>) {
        let settings = Settings {
            core: Config::default(),
            seed: 7,
            data_dir: PathBuf::from("/nowhere/data"),
            data_log_dir: PathBuf::from("/nowhere/log"),
            datadir_autocreate: true,
            client_addr: None,
            backlog: None,
            max_client_cnxns: 60,
            max_cnxns: 0,
            tcp_keepalive: false,
            fsync_warning_ms: 1000,
            peers: None,
            recording: None,
        };
        let figures = DriverFigures {
            open: 3,
            rejected: 2,
            uptime: Duration::from_millis(4711),
            ..DriverFigures::default()
        };
        let view = View {
            server: &self.server,
            settings: &settings,
            figures: &figures,
            client_addr: Some(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 2181)),
            now: NOW,
            asking: ConnId(99),
            peer: PEER.parse().unwrap(),
        };
        let mut out = Vec::new();
        let command = words.answer(*word, argument, &view, &mut out);
        (String::from_utf8(out).unwrap(), command)
    }

    fn text(&self, word: &[u8; 4]) -> String {
        self.ask(&mut words("*"), word, &[]).0
    }
}

fn words(whitelist: &str) -> FourLetterWords {
    let settings = WordSettings {
        whitelist: whitelist.split(',').map(str::to_owned).collect(),
        read_only_mode: false,
        date_format: DateFormat::Iso,
    };
    FourLetterWords::new(settings, Rc::new(Cell::new(Startup { took_ms: 12, replayed: 34 })))
}

fn version_line() -> String {
    format!("Zookeeper version: {}", version::with_date(DateFormat::Iso))
}

#[test]
fn srvr_of_an_empty_server() {
    let text = Stage::serving().text(b"srvr");
    assert_eq!(
        text,
        format!(
            "{}\nLatency min/avg/max: 0/0.0/0\nReceived: 1\nSent: 0\nConnections: 3\nOutstanding: 0\n\
             Zxid: 0x0\nMode: standalone\nNode count: 5\n",
            version_line()
        )
    );
}

#[test]
fn stat_lists_clients_and_whoever_asks() {
    let mut stage = Stage::serving();
    stage.connect(1, "10.0.0.1:5000");
    stage.open(2, "[::1]:6000");
    let text = stage.text(b"stat");
    let clients = text.split("Clients:\n").nth(1).unwrap().split("Latency").next().unwrap();
    assert_eq!(
        clients,
        " /10.0.0.1:5000[1](queued=0,recved=1,sent=1)\n \
         /[0:0:0:0:0:0:0:1]:6000[1](queued=0,recved=0,sent=0)\n \
         /127.0.0.1:40000[0](queued=0,recved=1,sent=0)\n\n"
    );
    assert!(text.starts_with(&version_line()));
    assert!(text.ends_with("Zxid: 0x1\nMode: standalone\nNode count: 5\n"));
}

#[test]
fn cons_tells_more_of_connections_with_a_session() {
    let mut stage = Stage::serving();
    let conn = stage.connect(1, "10.0.0.1:5000");
    stage.create_ephemeral(conn, "/e");
    stage.open(2, "[::ffff:10.0.0.2]:6000");
    let session = stage.session(conn);
    assert_eq!(
        stage.text(b"cons"),
        format!(
            " /10.0.0.1:5000[1](queued=0,recved=2,sent=2,sid={session},lop=CREA,est=1795358070000,to=9000,\
             lcxid=0x1,lzxid=0x2,lresp=10000,llat=0,minlat=0,avglat=0,maxlat=0)\n \
             /10.0.0.2:6000[1](queued=0,recved=0,sent=0)\n \
             /127.0.0.1:40000[0](queued=0,recved=1,sent=0)\n\n"
        )
    );
}

#[test]
fn dump_groups_by_the_moment_of_expiry() {
    let mut stage = Stage::serving();
    let conn = stage.connect(1, "10.0.0.1:5000");
    stage.create_ephemeral(conn, "/e1");
    stage.create_ephemeral(conn, "/e0");
    let session = stage.session(conn);
    assert_eq!(
        stage.text(b"dump"),
        format!(
            "SessionTracker dump:\nSession Sets (1)/(1):\n1 expire at Sun Nov 22 14:34:41 UTC 2026:\n\t{session}\n\
             ephemeral nodes dump:\nSessions with Ephemerals (1):\n{session}:\n\t/e0\n\t/e1\n\
             Connections dump:\nConnections Sets (1)/(2):\n\
             2 expire at Sun Nov 22 14:34:50 UTC 2026:\n\tip: /10.0.0.1:5000 sessionId: {session}\n\
             \tip: /127.0.0.1:40000 sessionId: 0x0\n"
        )
    );
}

#[test]
fn watches_are_counted_and_listed_both_ways() {
    let mut stage = Stage::serving();
    assert_eq!(stage.text(b"wchs"), "0 connections watching 0 paths\nTotal watches:0\n");
    assert_eq!(stage.text(b"wchc"), "\n");
    assert_eq!(stage.text(b"wchp"), "\n");
    let (one, two) = (stage.connect(1, "10.0.0.1:1"), stage.connect(2, "10.0.0.1:2"));
    stage.watch(one, "/a");
    stage.watch(one, "/b");
    stage.watch(two, "/b");
    let (first, second) = (stage.session(one), stage.session(two));
    assert_eq!(stage.text(b"wchs"), "2 connections watching 2 paths\nTotal watches:3\n");
    assert_eq!(stage.text(b"wchc"), format!("{first}\n\t/a\n\t/b\n{second}\n\t/b\n\n"));
    assert_eq!(stage.text(b"wchp"), format!("/a\n\t{first}\n/b\n\t{first}\n\t{second}\n\n"));
}

#[test]
fn conf_and_dirs_name_the_directories_of_the_files() {
    let stage = Stage::serving();
    assert_eq!(
        stage.text(b"conf"),
        "clientPort=2181\nsecureClientPort=-1\ndataDir=/nowhere/data/version-2\ndataDirSize=0\n\
         dataLogDir=/nowhere/log/version-2\ndataLogSize=0\ntickTime=3000\nmaxClientCnxns=60\n\
         minSessionTimeout=6000\nmaxSessionTimeout=60000\nclientPortListenBacklog=-1\nserverId=0\n"
    );
    assert_eq!(stage.text(b"dirs"), "datadir_size: 0\nlogdir_size: 0\n");
}

#[test]
fn envi_has_javas_keys() {
    let text = Stage::serving().text(b"envi");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("Environment:"));
    let keys: Vec<&str> = lines.map(|line| line.split_once('=').unwrap().0).collect();
    assert_eq!(
        keys,
        [
            "zookeeper.version",
            "host.name",
            "java.version",
            "java.vendor",
            "java.home",
            "java.class.path",
            "java.library.path",
            "java.io.tmpdir",
            "java.compiler",
            "os.name",
            "os.arch",
            "os.version",
            "user.name",
            "user.home",
            "user.dir",
            "os.memory.free",
            "os.memory.max",
            "os.memory.total",
        ]
    );
    assert!(text.contains("\nzookeeper.version=3.9.5-zoetrope-"));
}

#[test]
fn short_words_have_short_answers() {
    let stage = Stage::serving();
    assert_eq!(stage.text(b"ruok"), "imok");
    assert_eq!(stage.text(b"isro"), "rw");
    assert_eq!(stage.text(b"gtmk"), "306");
    assert_eq!(stage.text(b"hash"), "");
    let mut words = words("*");
    assert_eq!(words.argument_len(*b"stmk"), Some(8));
    assert_eq!(stage.ask(&mut words, b"stmk", &511i64.to_be_bytes()).0, "511");
    assert_eq!(stage.ask(&mut words, b"gtmk", &[]).0, "511");
}

#[test]
fn hash_has_a_line_every_128_zxids() {
    let mut stage = Stage::serving();
    let conn = stage.connect(1, "10.0.0.1:1");
    for number in 0..130 {
        stage.create_ephemeral(conn, &format!("/{number}"));
    }
    let text = stage.text(b"hash");
    let (zxid, digest) = text.trim_end().split_once(": ").expect("one line");
    assert_eq!(zxid, "80");
    assert!(digest.parse::<i64>().is_ok(), "{text}");
}

#[test]
fn resets_ask_the_core_and_say_so() {
    let mut stage = Stage::serving();
    let mut words = words("*");
    let (text, command) = stage.ask(&mut words, b"crst", &[]);
    assert_eq!(
        (text.as_str(), command),
        ("Connection stats reset.\n", Some(Command::ResetConnStats))
    );
    assert!(stage.ask(&mut words, b"srvr", &[]).0.contains("\nReceived: 2\nSent: 1\n"));
    let (text, command) = stage.ask(&mut words, b"srst", &[]);
    assert_eq!((text.as_str(), command), ("Server stats reset.\n", Some(Command::ResetStats)));
    stage.server.input(NOW, &Input::Command(Command::ResetStats));
    assert!(stage.ask(&mut words, b"srvr", &[]).0.contains("\nReceived: 1\nSent: 1\n"));
}

#[test]
fn only_listed_words_are_carried_out() {
    let stage = Stage::serving();
    let mut few = words("srvr,ruok");
    assert_eq!(stage.ask(&mut few, b"ruok", &[]).0, "imok");
    for word in [b"stat", b"mntr", b"isro", b"stmk"] {
        let refusal = format!(
            "{} is not executed because it is not in the whitelist.\n",
            str::from_utf8(word).unwrap()
        );
        assert_eq!(stage.ask(&mut few, word, &[]), (refusal, None));
    }
    assert_eq!(few.argument_len(*b"stmk"), Some(0));
    let telnet = [0xff, 0xf4, 0xff, 0xfd];
    let refusal = "telnet close is not executed because it is not in the whitelist.\n";
    assert_eq!(stage.ask(&mut few, &telnet, &[]).0, refusal);
    assert_eq!(stage.ask(&mut words("*"), &telnet, &[]).0, "");
    assert_eq!(few.argument_len(telnet), Some(0));
    for other in [*b"abcd", [0, 0, 0, 44], [0xff; 4]] {
        assert_eq!(few.argument_len(other), None);
    }
}

#[test]
fn a_server_that_reads_its_files_says_that_it_does_not_serve() {
    let stage = Stage::recovering();
    let not_serving = "This ZooKeeper instance is not currently serving requests";
    for word in [b"conf", b"cons", b"crst", b"dirs", b"dump", b"mntr", b"srst", b"srvr", b"stat"] {
        assert_eq!(stage.text(word), format!("{not_serving}\n"));
    }
    assert_eq!(stage.text(b"hash"), not_serving);
    assert_eq!(stage.text(b"isro"), "null");
    assert_eq!(stage.text(b"ruok"), "imok");
    assert_eq!(stage.text(b"gtmk"), "306");
}

#[test]
fn mntr_has_every_name_once_and_real_figures_where_there_are_some() {
    let mut stage = Stage::serving();
    let conn = stage.connect(1, "10.0.0.1:5000");
    stage.create_ephemeral(conn, "/e");
    stage.watch(conn, "/e");
    let text = stage.text(b"mntr");
    let mut figures = BTreeMap::new();
    for line in text.lines() {
        let (name, value) = line.split_once('\t').expect("a tab");
        assert!(figures.insert(name, value).is_none(), "{name} twice");
    }
    assert!(text.starts_with("zk_version\t3.9.5-zoetrope-"));
    assert_eq!(text.lines().nth(1), Some("zk_server_state\tstandalone"));
    for (name, value) in [
        ("zk_num_alive_connections", "3"),
        ("zk_uptime", "4711"),
        ("zk_znode_count", "6"),
        ("zk_watch_count", "1"),
        ("zk_ephemerals_count", "1"),
        ("zk_global_sessions", "1"),
        ("zk_avg_latency", "0.0"),
        ("zk_connection_rejected", "2"),
        ("zk_commit_count", "2"),
        ("zk_cnt_updatelatency", "1"),
        ("zk_cnt_readlatency", "1"),
        ("zk_avg_dbinittime", "12.0"),
        ("zk_sum_startup_txns_loaded", "34"),
        ("zk_proposal_count", "0"),
        ("zk_p999_jvm_pause_time_ms", "0"),
        ("zk_cnt_snapshottime", "1"),
        ("zk_zoetrope_disk_full", "0"),
    ] {
        assert_eq!(figures.get(name), Some(&value), "{name}");
    }
}
