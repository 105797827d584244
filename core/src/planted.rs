//! Known mistakes, put in on purpose: simulated runs must find each of them. A place in the code that can make one asks
//! [`planted`], which is `false` and costs nothing unless the crate is built with the feature `planted-bugs`.
//!
//! Which mistake is made is a property of the thread, not of a server: it concerns votes, trees and tables that know of
//! no settings, and a simulated world lives on one thread from its beginning to its end. This is the core's only state
//! outside of a value, and it exists under the feature only.

macro_rules! plants {
    ($($(#[doc = $story:literal])+ $name:ident = $retells:literal,)+) => {
        /// A mistake the core can be made to have.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Plant {
            $($(#[doc = $story])+ $name,)+
        }

        #[cfg(feature = "planted-bugs")]
        impl Plant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What is wrong.
            pub fn story(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($story),+).trim_ascii(),)+
                }
            }

            /// The entry of the museum (docs/museum.md) or the issue of ZooKeeper's tracker that it retells.
            pub fn retells(self) -> &'static str {
                match self {
                    $(Self::$name => $retells,)+
                }
            }
        }
    };
}

plants! {
    // Elections and epochs.
    /// The tie-break by id does not ask for equal epochs.
    TieBreakAcrossEpochs = "E01, ZOOKEEPER-1419",
    /// A server leads because others say so, though they speak of an earlier election.
    OldWordElectsMe = "E02, ZOOKEEPER-1514",
    /// One follower that has elected a server anew is enough for it to lead those of its former reign.
    OldFollowersCount = "E02",
    /// The word of a leader is enough to follow it.
    OneWordToFollow = "E03, ZOOKEEPER-975",
    /// Votes of the own round are looked for among those of other rounds.
    OwnRoundIgnored = "E04, ZOOKEEPER-3537",
    /// A dead leader is joined on the word of its followers.
    DeadLeaderJoined = "E04, ZOOKEEPER-3537",
    /// A follower goes on speaking of the epoch before its leader's.
    VoteOfFormerEpoch = "E05, ZOOKEEPER-1732",
    /// Members that remember an election differently do not count together.
    MembersMustRememberAlike = "E05, ZOOKEEPER-1805, ZOOKEEPER-1818",
    /// The barrier of promises looks at who has announced itself.
    SecondBarrierAsksFirst = "E07, ZOOKEEPER-1191",
    /// Observers are counted.
    ObserversCount = "E10, ZOOKEEPER-764, ZOOKEEPER-769",
    /// A packet that was cut short ends the server's part in elections.
    CutPacketEndsElections = "E12, ZOOKEEPER-3769",
    /// A vote is not said again: not on a link that comes up late, nor to who has missed it.
    VoteSaidOnce = "E13, ZOOKEEPER-481",
    /// A vote of an earlier round counts.
    OldRoundCounts = "E14",
    /// A vote that differs is answered, be it by who has no vote, or by a vote that counts for less.
    VotesAnsweredWithoutEnd = "classic: message storm",
    /// The last round there is, which anybody with a link can name, is believed by nobody.
    LastRoundUnbelieved = "classic: counters come to their end",
    /// Connections for votes are opened one after the other, each when the one before is up.
    OneCallAtATime = "E16, ZOOKEEPER-3756",
    /// A leader to which nobody comes waits for ever.
    LeaderWaitsForEver = "E17, ZOOKEEPER-3109",
    /// The epoch is made of the last zxid, not of what was promised.
    EpochOfLastZxid = "E18, ZOOKEEPER-335, ZOOKEEPER-1081",
    /// Of groups, each that was touched needs a majority.
    EveryTouchedGroup = "E20, ZOOKEEPER-479",
    /// Of groups, one that was touched counts as won.
    TouchedGroupsCount = "E20",
    /// Who has promised more than the leader that settled without it is turned away for ever.
    PromiseAheadTurnedAway = "E23",
    /// Half of the voters, rounded down, are a quorum.
    QuorumOneShort = "classic: quorum one short",
    /// A leader commits what any one server has acknowledged, itself included.
    CommitOnOneAck = "classic: quorum one short",
    /// A server votes while what it logged is not durable.
    VoteBeforeFsync = "classic: vote before fsync",
    /// A promise counts before it is on the disk.
    PromiseNotSaved = "D03, ZOOKEEPER-2307, ZOOKEEPER-4269",
    /// A leader offers its epoch before it is on its own disk.
    OfferNotSaved = "E3",
    /// A leader brings learners level before its own epoch is on its disk.
    ReignNotSaved = "E6",
    /// A promise that was made before is counted again.
    PromiseCountsTwice = "E3",
    /// A server accepts an older epoch than it has promised.
    OlderEpochAccepted = "E2",
    /// A leader goes on though a learner has a newer history.
    NewerHistoryIgnored = "E8",

    // Discovery and synchronization.
    /// NEWLEADER is acknowledged at once, before anything is durable.
    AckNewLeaderAtOnce = "S01, ZOOKEEPER-3911",
    /// NEWLEADER is acknowledged before the history is durable.
    AckBeforeHistory = "S02, ZOOKEEPER-4646, ZOOKEEPER-4785",
    /// A follower serves behind what it has acknowledged.
    ServesBehindItsAck = "S06, ZOOKEEPER-3023",
    /// A leader sends what is not committed before NEWLEADER.
    UncommittedBeforeNewLeader = "S07, ZOOKEEPER-4394",
    /// What comes with a sync is not kept for learners of one's own.
    SyncNotKept = "S08, ZOOKEEPER-4925",
    /// What is committed is applied before it is durable here.
    AppliedBeforeDurable = "S09, ZOOKEEPER-4882",
    /// Half a tree stays in memory when its leader dies.
    HalfATreeStays = "S12, ZOOKEEPER-3642",
    /// A server votes for what it has applied, not for what it has logged.
    VotesForApplied = "S15, ZOOKEEPER-2845",
    /// The log ends before what is in memory begins, and the gap is sent to a learner.
    GapBetweenLogAndMemory = "S17, ZOOKEEPER-2418",
    /// A learner in the range of the history gets a DIFF though its last txn is none of it.
    DiffWithoutCommonTxn = "S18, ZOOKEEPER-1154",
    /// A learner is cut back into another epoch.
    CutAcrossEpochs = "S19",
    /// The live stream begins behind what is proposed, not where the sync ended.
    LiveStreamSkips = "S20, ZOOKEEPER-508",
    /// A leader calls the beginning of its epoch its history before anybody follows.
    EpochIsHistory = "S21, ZOOKEEPER-790",
    /// An observer is not told what was committed between its sync and its admission.
    ObserverMissesAdmission = "S22, ZOOKEEPER-1551",
    /// Sessions that come with a sync are in no table.
    SyncedSessionsForgotten = "S23, ZOOKEEPER-1367",
    /// Who has nothing gets the end of the history only.
    NothingGetsTheEnd = "S24, ZOOKEEPER-4352",
    /// A time of read-only service spoils the bounds of the history.
    ReadOnlySpoilsHistory = "S25, ZOOKEEPER-3526",
    /// What comes behind a TRUNC, before any log is open, stays in memory and counts.
    BehindCutInMemory = "S26, S10, ZOOKEEPER-5094",
    /// Proposals go only to learners that serve.
    ProposalsOnlyToServing = "S27",
    /// Commits between NEWLEADER and its acknowledgement are not told.
    CommitsUntold = "S28",
    /// A learner that writes a large tree is given up as if it were silent.
    LargeTreeGivenUp = "S30, ZOOKEEPER-1465, ZOOKEEPER-1697",
    /// A learner that has more than the tree waits for a younger tree, also where that takes the learner itself.
    ForcedTreeWaits = "classic: back-pressure stall, deadlock",
    /// A follower waits only syncLimit for a leader to be established, and hears nothing of it meanwhile.
    ImpatientFollower = "S31",
    /// A leader's tree counts before it is durable.
    TreeNotDurable = "classic: ack before fsync",
    /// A tree does not fence the log that was there before it.
    OldLogBehindTree = "D21",
    /// What stands above the label of a leader's tree goes before that tree is durable.
    CutBeforeTree = "S12: nothing left between two trees",
    /// A leader's tree is written down as if it held nothing above its label.
    LeadersTreeDated = "F07",
    /// An observer with the tree of one follower turns to another one, which may have applied less.
    PartsShown = "F07",
    /// Without a quorum, a tree is shown that was sent and has not become whole.
    ReadOnlyShowsParts = "F07",
    /// A server that starts from a leader's tree has forgotten that there are parts of later txns in it.
    PartsForgotten = "F07",

    /// A leader's tree that cannot be read any more is passed over, and an older history takes its place.
    LostTreePassedOver = "classic: damage taken for the end",

    // Broadcast.
    /// A server whose disk has failed goes on.
    BrokenDiskGoesOn = "B02, ZOOKEEPER-2247",
    /// A request that cannot be read is proposed under the zxid of the one before.
    BadRequestOldZxid = "B03",
    /// A multi that failed leaves its changes of the parent among those in flight.
    FailedMultiLeavesParent = "B04, ZOOKEEPER-1624",
    /// No txn is committed while a learner is brought level.
    TreeStopsWrites = "B08, ZOOKEEPER-2201, ZOOKEEPER-3531",
    /// A txn is acknowledged when it has arrived.
    AckOnArrival = "B10, classic: ack before fsync",
    /// A leader counts itself before the txn is on its own disk.
    LeaderCountsItselfEarly = "B10, classic: ack before fsync",
    /// Answers to sync change places.
    SyncAnswersSwapped = "B13, ZOOKEEPER-108",
    /// A sync is dropped while another learner waits for its own.
    SyncDropped = "B13, ZOOKEEPER-108",
    /// A follower answers sync without asking its leader.
    SyncAnsweredHere = "classic: stale read after sync",
    /// The digest a leader predicts is not that of the tree.
    PredictionDiffers = "B15",
    /// What a server acknowledged on another link counts on the next one.
    AcksOfFormerLink = "classic: ABA append ack",
    /// A follower takes a proposal for its commit.
    ProposalIsCommit = "P8",
    /// A leader that has lost its quorum does not step down.
    NoStepDown = "L2",
    /// A follower never gives its leader up.
    LeaderNeverGivenUp = "L3",

    // Disk.
    /// A leader takes a snapshot of what no quorum has, and a cut leaves it in place.
    SnapshotOfUncommitted = "D01, ZOOKEEPER-1549",
    /// A tree of an epoch later than the epoch file's is refused.
    YoungEpochRefused = "D02, ZOOKEEPER-1653",
    /// A cut takes one txn too many.
    CutTakesOneMore = "D06, ZOOKEEPER-508, ZOOKEEPER-1156",
    /// A cut keeps the first record that is not below it, whichever that is.
    CutKeepsFirst = "D07",
    /// A cut is made in memory, and not on the disk.
    CutNotWritten = "D07, D-b",
    /// The first log is begun before there is any snapshot.
    NoSnapshotFirst = "D09, ZOOKEEPER-2325",
    /// A log that had only just been made keeps the server from starting.
    UnbornLogRefused = "D10, ZOOKEEPER-1621, ZOOKEEPER-2332",
    /// A log gets its name before its header.
    LogWithoutHeader = "D11, ZOOKEEPER-1069",
    /// Purging removes a log that recovery needs.
    PurgeTakesTooMuch = "D12, ZOOKEEPER-1797, ZOOKEEPER-2574",
    /// The name of a new log is not made durable.
    LogNameNotSynced = "D14",
    /// Damage in the middle of a log is taken for its end.
    DamageIsTheEnd = "D15",
    /// A torn tail is taken for damage.
    TornTailIsDamage = "D19",
    /// A record counts whatever its checksum says.
    ChecksumNotCompared = "classic: torn tail accepted",
    /// A snapshot is labelled with what is proposed, not with what is in it.
    SnapshotLabelAhead = "D-e",
    /// The first record behind a snapshot is not replayed.
    ReplayBeginsLate = "D-a",

    // Snapshots of a changing tree.
    /// A snapshot lacks the session that was opened last.
    SnapshotLacksSession = "F02, ZOOKEEPER-3144",
    /// The replay of a deletion that the snapshot has leaves the parent behind.
    DeletionLeavesParent = "F04, ZOOKEEPER-3125",
    /// A snapshot holds znodes created meanwhile, and their replay leaves the parent behind.
    CreationLeavesParent = "F04, ZOOKEEPER-3249",
    /// A snapshot holds znodes created meanwhile, and the replay of a creation takes the parent's version back.
    ReplayLowersParent = "F04, ZOOKEEPER-1046",
    /// A snapshot holds znodes created meanwhile, whose ACL it may not know, and their replay leaves it at that.
    SnapshotAclStays = "F05, ZOOKEEPER-3306, ZOOKEEPER-4799, ZOOKEEPER-4846",
    /// A parent that is gone by the time of the snapshot ends the replay.
    MissingParentIsFatal = "F06, ZOOKEEPER-1573",
    /// Digests are compared while a snapshot is still being made right.
    DigestComparedEarly = "F07",

    // The tree and its order.
    /// An ephemeral that is being created when its session ends outlives it.
    EphemeralOutlivesSession = "classic, ZOOKEEPER-1208",
    /// The number of a sequential znode counts the children there are.
    SequenceOfChildren = "classic: sequence number reuse",
    /// The number of a sequential znode is not that of creations in flight.
    SequenceIgnoresFlight = "classic: sequence number reuse",
    /// A version is compared with that of the tree, not with that of changes in flight.
    VersionIgnoresFlight = "classic: lost update",
    /// A multi's check does not compare versions.
    CheckNotCompared = "classic: multi not atomic",
    /// A multi that failed is applied up to the failure.
    FailedMultiApplied = "classic: multi not atomic",
    /// A znode with children is deleted.
    DeletedWithChildren = "classic",
    /// An ephemeral gets children.
    EphemeralHasChildren = "classic",
    /// A container that was never used goes.
    ContainerReapedUnused = "classic: container deleted too early",
    /// A TTL znode goes after half of its time.
    TtlReapedEarly = "classic: TTL deleted too early",
    /// What a write in flight renews is reaped all the same.
    ReapIgnoresFlight = "classic: TTL deleted too early",
    /// A quota is exceeded by one.
    QuotaOneOff = "classic: quota off by one",
    /// The ACL is not looked at for deletions.
    DeleteWithoutAcl = "classic: ACL not checked",
    /// The ACL is not looked at in a multiRead.
    MultiReadWithoutAcl = "classic: ACL not checked",
    /// The ACL is not looked at for events.
    EventWithoutAcl = "CVE-2024-23944",
    /// Hashes of passwords are shown to who may only read.
    HashesShown = "ZOOKEEPER-1392, CVE-2019-0201",

    // Watches.
    /// A watch that has fired stays.
    WatchFiresTwice = "classic: watch fired twice",
    /// A watch on a znode that is not there is not kept.
    ExistsWatchLost = "classic: watch lost",
    /// A child watch does not hear of deletions.
    ChildDeletionUntold = "classic: watch lost",
    /// Who watches the data and the children of a znode hears of its deletion twice.
    DeletionToldTwice = "classic",
    /// A change that a client missed is not told when it comes back.
    MissedChangeUntold = "classic: data watch lost over reconnect",
    /// A change that a client has seen is told again when it comes back.
    SeenChangeToldAgain = "classic: watch fired twice",
    /// A recursive watch hears of children only.
    RecursiveIsShallow = "classic: watch lost",
    /// Removing one kind of watch removes the others as well.
    AllWatchesRemoved = "classic: watch lost",

    // Sessions and connections.
    /// A client that has seen more than this server is let in.
    ClientAheadServed = "classic: read going back in zxid after reconnect",
    /// A session is continued whatever the password.
    AnyPassword = "classic",
    /// Sessions expire by time in which the server stood still.
    StallExpiresSessions = "classic: session lost to our own stall",
    /// Sessions expire by the wall clock.
    WallClockExpiry = "ZOOKEEPER-1366",
    /// Sessions expire up to a tick early.
    SessionTickShort = "classic",
    /// Sessions never expire.
    ImmortalSessions = "classic: ephemeral outlives session",
    /// A session that is being closed expires again.
    SessionExpiredTwice = "classic: session expired twice",
    /// A follower does not tell its leader who lives.
    TouchesNotPassedOn = "classic: live session lost",
    /// Requests of a session are taken from the server it has left.
    MovedSessionServed = "ZOOKEEPER-417, ZOOKEEPER-710",
    /// Requests behind the closing of their session are done.
    ClosedSessionServed = "ZOOKEEPER-1496",
    /// A read does not wait for the writes before it.
    ReadOvertakesWrite = "classic: replies out of order",
    /// A reply does not wait for those before it.
    ReplyOvertakes = "classic: replies out of order",
    /// A local session owns an ephemeral and is not made global.
    LocalOwnsEphemeral = "classic: ephemeral outlives session",
    /// Without a quorum what nobody has committed is shown.
    ReadOnlyShowsUncommitted = "classic: dirty read",
    /// Without a quorum clients are let in that want to write.
    ReadOnlyTakesWriters = "classic",
    /// A follower hands on to its observers what is not committed.
    ObserversToldEarly = "O2",
    /// A connection that was paused is never read again.
    NeverResumed = "classic: back-pressure stall",
}

#[cfg(feature = "planted-bugs")]
mod choice {
    use super::Plant;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Plant>> = const { Cell::new(None) };
    }

    /// From here on the servers of this thread have this mistake, or none.
    pub fn plant(plant: Option<Plant>) {
        PLANTED.set(plant);
    }

    /// Do the servers of this thread have this mistake?
    pub fn planted(plant: Plant) -> bool {
        PLANTED.get() == Some(plant)
    }
}

#[cfg(feature = "planted-bugs")]
pub use choice::{plant, planted};

/// Do the servers of this thread have this mistake? Not in this build.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub const fn planted(_: Plant) -> bool {
    false
}
