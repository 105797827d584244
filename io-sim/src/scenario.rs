//! Scenario files: what happens, named by meaning. The grammar stands in scenarios/README.md. Runs nothing.

use crate::coverage::Moment;
use crate::device::OPS;
use crate::disk::Keep;
use crate::scenario_error::ScenarioError;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A run: how it is set up, and what happens in it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is about, in a sentence.
    pub story: String,
    /// The promise it guards.
    #[serde(default)]
    pub guards: String,
    /// The ZooKeeper issue it retells, if there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub retells: String,
    /// Delays, workload, and what survives a crash are drawn from it.
    pub seed: u64,
    /// Clients that work all the time.
    #[serde(default = "three")]
    pub clients: u32,
    /// Session timeout the clients ask for, ms.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: i32,
    /// Most requests a client has in flight.
    #[serde(default = "eight")]
    pub pipeline: u32,
    /// Records between snapshots.
    #[serde(default = "two_hundred")]
    pub snap_count: u32,
    /// Servers that vote, with the ids 1, 2, 3, …; left out: one server that stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<u32>,
    /// Servers without a vote, with the ids that follow.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub observers: u32,
    /// Hierarchical quorums: the ids of each group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<u32>>,
    /// Leaders bring every learner level with the whole tree (`forceSnapshotSync`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub force_snapshot_sync: bool,
    /// Learners that are brought level at a time before observers are turned away; left out: Java's numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syncs: Option<u32>,
    /// Bytes that wait on a link between servers before the sender stops, and of a tree that are sent in one turn; left out:
    /// 32 KiB, and what a real server sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_budget: Option<u32>,
    /// Bytes of replies that a client may leave unread before what it asks for waits; left out: 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_budget: Option<u32>,
    /// Bytes of a snapshot that are written at a time; left out: 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<u32>,
    /// Ids of servers whose votes are heard as Java 3.4 says them: without a configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_votes: Vec<u32>,
    /// Followers have observers of their own (`observerMasterPort`), and observers turn to them instead of the leader.
    #[serde(default, skip_serializing_if = "is_false")]
    pub observer_masters: bool,
    /// Servers without a quorum serve read-only, and every other client, the first among them, can do with that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Time between two looks at containers and TTL znodes, ms (`znode.container.checkIntervalMs`); left out: a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reap_every: Option<u32>,
    /// Servers enforce quotas (`enforceQuota`), and clients set some.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quotas: bool,
    /// Are new sessions known to every server of the ensemble?
    #[serde(default, skip_serializing_if = "LocalSessions::is_off")]
    pub local_sessions: LocalSessions,
    /// Kinds of operations the clients leave out.
    #[serde(default)]
    pub without: Vec<Operation>,
    /// How often all steps are done, one time after the other.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub rounds: u32,
    /// What happens in a round, in order.
    pub steps: Vec<Step>,
}

/// What becomes of new sessions in an ensemble.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalSessions {
    /// Every server knows them.
    #[default]
    Off,
    /// Only the server they were opened at knows them, so they may not own ephemerals.
    Kept,
    /// The same, until they ask for an ephemeral.
    Upgraded,
}

impl LocalSessions {
    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// Kinds of client operations that can be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Operation {
    Multi,
    Watches,
    Ephemerals,
    Acls,
    Malformed,
    SessionChurn,
    Containers,
    Reads,
}

/// One step. Times are milliseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Let that many requests be answered.
    Requests(u64),
    /// Let time pass, with clients at work.
    Run(u64),
    /// Let time pass with clients that only keep their sessions alive.
    Idle(u64),
    /// A fault, now.
    Fault(Fault),
    /// A crash right after the device carried out that operation, before anybody hears of it.
    CrashAfter {
        /// What it is called: `append`, `fsync`, …
        #[serde(deserialize_with = "op")]
        op: String,
        /// Not the next one, but the one after that many.
        #[serde(default)]
        skip: u64,
        /// What survives of what was not synced.
        keep: Keep,
        /// Time until the server starts again.
        #[serde(default = "two_hundred_u64")]
        down: u64,
        /// Which server; left out: the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Target>,
    },
    /// A fault of one server of an ensemble, now.
    FaultAt {
        /// Which server.
        at: Target,
        /// What.
        fault: Fault,
    },
    /// A fault of the first server that comes to that moment; of none, if none does in time.
    FaultWhen {
        /// What the server must be doing.
        moment: Moment,
        /// What.
        fault: Fault,
        /// How long to wait for it.
        #[serde(default = "five_thousand")]
        within: u64,
    },
    /// There must be a leader that serves within that time.
    AwaitLeader(u64),
    /// From here on clients only keep their sessions alive.
    Rest,
    /// Clients work again.
    Work,
    /// Let time pass until a leader serves, but no longer than that.
    UntilLeader(u64),
    /// The network heals, clients rest, and all servers must come to hold the same tree.
    ExpectAgreement,
    /// Every client must get a write through within that time.
    ExpectService(u64),
    /// Every client must get a write through within that time, and nothing that is wrong is put right for it.
    ExpectWrites(u64),
    /// Every client that can do without writing must be answered by a read-only server within that time.
    ExpectReads(u64),
    /// Every client must have a session within that time, be the disk full or not.
    ExpectSessions(u64),
}

/// A server, by its id or by what it is at that moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// The server of that id.
    Sid(u32),
    /// One of that role.
    Role(RoleName),
}

/// What a server is in its ensemble.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum RoleName {
    Leader,
    Follower,
    Observer,
}

/// Files that may have a file system of their own (`dataLogDir`, `dataDir`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Files {
    /// Txn logs.
    Logs,
    /// Snapshots.
    Snapshots,
}

/// What a disk at rest has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// A bit of a log or a snapshot is another.
    BitRot,
    /// A sector that was synced was never written.
    LostWrite,
    /// A sector that was synced was written over another one.
    MisdirectedWrite,
    /// The epoch files are gone.
    NoEpochs,
    /// The epoch files are those of the server's last start.
    OldEpochs,
    /// An operator has put back a copy made before the server's last start.
    OldCopy,
}

/// Something the world does to a server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Power is lost.
    Crash {
        /// What survives of what was not synced.
        keep: Keep,
        /// Time until the server starts again.
        #[serde(default = "two_hundred_u64")]
        down: u64,
    },
    /// The process is killed; what it had written stays in the system's memory.
    Kill {
        /// Time until the server starts again.
        #[serde(default = "two_hundred_u64")]
        down: u64,
    },
    /// The process stands still (SIGSTOP, a suspended host).
    Stall(u64),
    /// The wall clock jumps by that many milliseconds, forward or back.
    WallJump(i64),
    /// The server's clocks run fast or slow, in parts per thousand.
    Drift(i64),
    /// The disk is full for that time.
    DiskFull(u64),
    /// The file system that holds these files has no room for that time, and the other one has.
    FilesFull {
        /// Which.
        files: Files,
        /// How long.
        ms: u64,
    },
    /// The devices answer that much later, once.
    DiskStall(u64),
    /// The snapshot device alone answers that much later, once.
    SnapshotStall(u64),
    /// Everything the devices do takes longer for a while.
    SlowDisk {
        /// How much longer.
        delay: u64,
        /// For how long.
        ms: u64,
    },
    /// The next fsync of the log fails; the server halts and is started again.
    FsyncError,
    /// The next file that recovery reads cannot be read the first time (a snapshot: an older one is used).
    ReadError,
    /// Every client's connection breaks.
    Disconnect,
    /// That client stops reading for that time.
    SlowReader {
        /// Which.
        client: u32,
        /// How long.
        ms: u64,
    },
    /// That client goes silent: its connection stays open, its session must expire.
    Silence {
        /// Which.
        client: u32,
        /// How long.
        ms: u64,
    },
    /// That client goes to another server, and the one it leaves does not hear of it: what it asked there last arrives so
    /// much later.
    Linger {
        /// Which.
        client: u32,
        /// How much later.
        ms: u64,
    },
    /// An operator asks for a snapshot.
    Snapshot,
    /// All machines lose power at once.
    RestartAll {
        /// What survives of what was not synced.
        keep: Keep,
        /// Time until the servers start again.
        #[serde(default = "two_hundred_u64")]
        down: u64,
    },
    /// One server after the other is restarted, each when the one before serves again.
    RollingRestart {
        /// Time until a server starts again.
        #[serde(default = "two_hundred_u64")]
        down: u64,
    },
    /// Power is lost and the disk is replaced by an empty one; where the ensemble cannot afford that, power is lost.
    Wipe {
        /// Time until the server starts again.
        #[serde(default = "two_hundred_u64")]
        down: u64,
    },
    /// Power is lost, and the disk that comes back is not what it was; where the ensemble cannot afford that, power is lost.
    Damage {
        /// What is wrong with it.
        what: Harm,
        /// Time until the server starts again.
        #[serde(default = "two_hundred_u64")]
        down: u64,
    },
    /// For that time the disk calls durable what is not, and then power is lost; where the ensemble cannot afford that,
    /// everything reaches the disk after all.
    LyingFsync {
        /// How long.
        ms: u64,
        /// Time until the server starts again.
        #[serde(default = "two_hundred_u64")]
        down: u64,
    },
    /// Nothing passes between servers of different groups. Who is in no group reaches all.
    Partition {
        /// Ids.
        groups: Vec<Vec<u32>>,
        /// Until it heals; 0: until something else heals it.
        #[serde(default)]
        ms: u64,
    },
    /// Nothing passes between this server and the others for that time (0: until something else heals it).
    Isolate(u64),
    /// Everything passes again.
    Heal,
    /// Nothing passes one way.
    OneWay {
        /// From here.
        from: Target,
        /// To there.
        to: Target,
        /// For how long; 0: until something else heals it.
        #[serde(default)]
        ms: u64,
    },
    /// Nothing is delivered one way for a while, then all of it.
    Clog {
        /// From here.
        from: Target,
        /// To there.
        to: Target,
        /// For how long.
        ms: u64,
    },
    /// Everything takes longer one way.
    SlowLink {
        /// From here.
        from: Target,
        /// To there.
        to: Target,
        /// How much longer.
        delay: u64,
        /// And up to so much more.
        #[serde(default)]
        jitter: u64,
        /// For how long.
        ms: u64,
    },
    /// Every link between servers breaks, once.
    Churn,
    /// Links between the two are gone at one end, and the other end does not know.
    HalfOpen {
        /// Where they are gone.
        gone: Target,
        /// Where they seem to be up.
        stays: Target,
    },
    /// Old votes are heard again.
    StaleVotes {
        /// Whose.
        from: Target,
        /// By whom.
        to: Target,
        /// How many.
        frames: u32,
        /// The round they say then, instead of the one they were given in: anybody with a link can name any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<i64>,
    },
    /// A byte is garbled: the checksum ends the links, perhaps in the middle of a packet.
    Corrupt {
        /// From here.
        from: Target,
        /// To there.
        to: Target,
    },
}

/// The name of a device operation.
fn op<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match OPS.contains(&name.as_str()) {
        true => Ok(name),
        false => Err(D::Error::unknown_variant(&name, &OPS)),
    }
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn one() -> u32 {
    1
}
fn is_one(n: &u32) -> bool {
    *n == 1
}
fn three() -> u32 {
    3
}
fn eight() -> u32 {
    8
}
fn two_hundred() -> u32 {
    200
}
fn two_hundred_u64() -> u64 {
    200
}
fn five_thousand() -> u64 {
    5_000
}
fn ten_seconds() -> i32 {
    10_000
}

impl Scenario {
    /// Reads a scenario file.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        toml::from_str(text).map_err(|error| ScenarioError::of(&error))
    }

    /// What happens, in order: the steps of all rounds.
    pub fn all_steps(&self) -> Vec<Step> {
        std::iter::repeat_n(&self.steps, self.rounds as usize).flatten().cloned().collect()
    }

    /// The file that says this scenario.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("every scenario can be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_reads_back_as_it_was_written() {
        let scenario = Scenario::parse(
            r#"
            story = "A record that was torn."
            seed = 4
            without = ["multi"]
            steps = [
              { requests = 20 },
              { crash-after = { op = "append", keep = "torn" } },
              { fault = { crash = { keep = "some", down = 5 } } },
              { fault = "fsync-error" },
              { expect-service = 3000 },
            ]
            "#,
        )
        .unwrap();
        assert_eq!(scenario.steps.len(), 5);
        assert_eq!(scenario.all_steps(), scenario.steps);
        assert_eq!(Scenario::parse(&scenario.to_text()).as_ref(), Ok(&scenario));
        let twice = Scenario { rounds: 2, ..scenario.clone() };
        assert_eq!(Scenario::parse(&twice.to_text()).as_ref(), Ok(&twice));
        assert_eq!(twice.all_steps(), [&scenario.steps[..], &scenario.steps[..]].concat());
        let ensemble = Scenario::parse(
            r#"
            story = "A leader is cut off."
            seed = 4
            peers = 5
            observers = 1
            observer_masters = true
            groups = [[1, 2, 3], [4, 5]]
            read_only = true
            syncs = 1
            local_sessions = "upgraded"
            steps = [
              { await-leader = 20000 },
              { expect-reads = 9000 },
              { expect-writes = 9000 },
              { fault-at = { at = 2, fault = { slow-disk = { delay = 20, ms = 300 } } } },
              { fault-at = { at = "leader", fault = { isolate = 9000 } } },
              { fault-at = { at = 2, fault = { stall = 300 } } },
              { fault = { partition = { groups = [[1], [2, 3]], ms = 500 } } },
              { fault = { clog = { from = "leader", to = 3, ms = 500 } } },
              { crash-after = { op = "epochs", keep = "some", at = "follower" } },
              { fault = "churn" },
              "expect-agreement",
            ]
            "#,
        )
        .unwrap();
        assert_eq!(Scenario::parse(&ensemble.to_text()), Ok(ensemble));
        let error = Scenario::parse("story = 1").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
