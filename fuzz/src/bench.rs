//! A server over a data directory in memory that never fails. Small limits keep a start cheap.

use std::collections::BTreeMap;
use zoetrope_core::{
    Config, ConnId, Dir, Effect, FileId, FilePlace, Input, Instant, Listing, Now, Server,
    SessionId, Zxid,
};

/// Files of a data directory by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A server and its files.
#[derive(Debug)]
pub struct Bench {
    server: Server,
    /// What is on its disk.
    pub files: Files,
    snapshot: Vec<u8>,
    /// Why it has stopped.
    pub halted: Option<String>,
}

/// What a turn asks for, to be answered when the turn is over.
enum Answer {
    Reserved(FileId, u64),
    Durable(u32, u64),
    SnapWritten(u64),
    SnapDurable(Zxid),
    Read(FileId, u64, Vec<u8>),
}

const NOW: Now = Now { mono: Instant(1), wall_ms: 1_795_400_000_000 };
const CONN: ConnId = ConnId(1);

fn config() -> Config {
    let mut config = Config::default();
    config.limits.frame_max = 4 << 10;
    config.limits.frame_extra = 4 << 10;
    config.storage.reserve_step = 32 << 10;
    config.storage.held_reserve = 1 << 10;
    config.storage.snap_retain = None;
    config.extended_types = true;
    config
}

impl Bench {
    /// A server that has recovered from these files, or has stopped.
    pub fn start(files: Files) -> Self {
        let dir = |name: &str| if name.starts_with("snap") { Dir::Snapshot } else { Dir::Log };
        let place = |name: &String| FilePlace { dir: dir(name), name: name.clone() };
        let listing = Listing {
            files: files.iter().map(|(name, bytes)| (place(name), bytes.len() as u64)).collect(),
            same_dir: true,
            ..Listing::default()
        };
        let server = Server::new(config(), 7, NOW, listing);
        let mut bench = Self { server, files, snapshot: Vec::new(), halted: None };
        bench.run();
        bench
    }

    /// Bytes of a client on a new connection.
    pub fn send(&mut self, frames: &[u8]) {
        let addr = std::net::IpAddr::from([127, 0, 0, 1]);
        let opened =
            Input::Opened { conn: CONN, addr, port: 1, secure: false, identities: Vec::new() };
        self.server.input(NOW, &opened);
        self.server.input(NOW, &Input::Requests { conn: CONN, bytes: frames });
        self.run();
    }

    /// What must survive a restart.
    pub fn facts(&self) -> (Zxid, u64, u64, Vec<(SessionId, i32)>) {
        let status = self.server.status();
        let sessions = self.server.sessions().map(|s| (s.session, s.timeout_ms)).collect();
        (status.zxid_applied, status.digest, status.znode_count, sessions)
    }

    fn run(&mut self) {
        loop {
            let answers = self.turn();
            if answers.is_empty() {
                return;
            }
            for answer in &answers {
                let input = match answer {
                    Answer::Reserved(file, upto) => Input::Reserved { file: *file, upto: *upto },
                    Answer::Durable(branch, upto) => {
                        Input::Durable { branch: *branch, upto: *upto }
                    }
                    Answer::SnapWritten(upto) => Input::SnapWritten { upto: *upto },
                    Answer::SnapDurable(zxid) => Input::SnapDurable { zxid: *zxid },
                    Answer::Read(file, at, bytes) => {
                        Input::ReadDone { file: *file, at: *at, bytes }
                    }
                };
                self.server.input(NOW, &input);
            }
        }
    }

    fn turn(&mut self) -> Vec<Answer> {
        let turn = self.server.effects(NOW);
        self.halted = turn.halted().map(str::to_owned);
        let name = |file| turn.place(file).name.clone();
        let mut answers = Vec::new();
        for effect in turn.effects() {
            match *effect {
                Effect::Reserve { file, upto } => {
                    let bytes = self.files.entry(name(file)).or_default();
                    bytes.resize(bytes.len().max(upto as usize), 0);
                    answers.push(Answer::Reserved(file, upto));
                }
                Effect::Append { file, at, bytes } => {
                    let (at, bytes) = (at as usize, turn.bytes(bytes));
                    let into = self.files.get_mut(&name(file)).expect("room was reserved");
                    into[at..at + bytes.len()].copy_from_slice(bytes);
                }
                Effect::Fsync { branch, upto, .. } => answers.push(Answer::Durable(branch, upto)),
                Effect::Rename { from, to } => {
                    let bytes = self.files.remove(&name(from)).expect("it is there");
                    self.files.insert(name(to), bytes);
                }
                Effect::Truncate { file, at } => {
                    let bytes = self.files.get_mut(&name(file)).expect("it is there");
                    bytes.truncate(at as usize);
                }
                Effect::SnapSlice { at, bytes } => {
                    self.snapshot.truncate(at as usize);
                    self.snapshot.extend_from_slice(turn.bytes(bytes));
                    answers.push(Answer::SnapWritten(self.snapshot.len() as u64));
                }
                Effect::SnapFinish { file, zxid } => {
                    self.files.insert(name(file), std::mem::take(&mut self.snapshot));
                    answers.push(Answer::SnapDurable(zxid));
                }
                Effect::Read { file, at, len } => {
                    let bytes = &self.files[&name(file)];
                    let from = bytes.len().min(at as usize);
                    let to = bytes.len().min(from + len as usize);
                    answers.push(Answer::Read(file, at, bytes[from..to].to_vec()));
                }
                Effect::Remove { file } | Effect::Discard { file } => {
                    self.files.remove(&name(file));
                }
                Effect::FsyncDir
                | Effect::Report(_)
                | Effect::PutEpochs { .. }
                | Effect::SendPeer { .. }
                | Effect::Connect { .. }
                | Effect::Disconnect { .. }
                | Effect::PausePeer { .. }
                | Effect::ResumePeer { .. }
                | Effect::Reply { .. }
                | Effect::Pause { .. }
                | Effect::Resume { .. }
                | Effect::Close { .. }
                | Effect::SetTimer { .. }
                | Effect::Halt => {}
            }
        }
        answers
    }
}

/// The snapshot a server writes before anything has happened.
pub(crate) fn empty_snapshot() -> Vec<u8> {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let write = || {
        let mut files = Bench::start(Files::new()).files;
        files.remove("snapshot.0").expect("an empty server takes a snapshot")
    };
    BYTES.get_or_init(write).clone()
}
