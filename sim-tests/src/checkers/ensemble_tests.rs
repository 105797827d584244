//! A small ensemble played by hand: the dialogue as it should be passes, and each promise broken in it is found by name.

use super::super::disk::adler32;
use super::super::packet::{DIFF, PROPOSAL};
use super::*;
use zoetrope_core::{Member, Zxid};

const LEADER: Sid = Sid(1);
const LEARNER: Sid = Sid(2);

fn zxid(epoch: i64, counter: i64) -> i64 {
    epoch << 32 | counter
}

/// A txn of no meaning.
fn txn(zxid: i64) -> Vec<u8> {
    let mut txn = vec![0; 36];
    txn[12..20].copy_from_slice(&zxid.to_be_bytes());
    txn
}

fn at(sid: Sid) -> At {
    At { now: 0, sid }
}

struct Play {
    protocol: Protocol,
    broken: Option<String>,
    /// Where the next record goes.
    ends: BTreeMap<Sid, u64>,
}

impl Play {
    /// A leader and a learner of three voters, with a link between them.
    fn new() -> Self {
        let member = || Member { addresses: Vec::new(), observer: false, client: None };
        let mut ensemble = Ensemble::default();
        ensemble.members.extend((1..=3).map(|sid| (Sid(sid), member())));
        let mut play =
            Self { protocol: Protocol::new(ensemble), broken: None, ends: BTreeMap::new() };
        let (near, far) = (ChanId(1), ChanId(2));
        let peer = |chan, far, other, began| Peer { chan, far, other, link: Link::Quorum, began };
        play.protocol.peer_up(at(LEARNER), peer(near, far, LEADER, true));
        play.protocol.peer_up(at(LEADER), peer(far, near, LEARNER, false));
        play
    }

    fn keep(&mut self, verdict: Verdict) {
        if let (Err(error), None) = (verdict, &self.broken) {
            self.broken = Some(error);
        }
    }

    /// A packet goes from one to the other.
    fn say(&mut self, from: Sid, kind: i32, zxid: i64, data: Option<&[u8]>) {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend(zxid.to_be_bytes());
        bytes.extend(data.map_or(-1, |data| data.len() as i32).to_be_bytes());
        bytes.extend(data.unwrap_or_default());
        bytes.extend([0xff; 4]);
        let (to, here, there) = match from == LEADER {
            true => (LEARNER, ChanId(2), ChanId(1)),
            false => (LEADER, ChanId(1), ChanId(2)),
        };
        let sent = self.protocol.peer_sent(at(from), here, &bytes).map(|_| ());
        self.keep(sent);
        let heard = self.protocol.peer_heard(at(to), there, &bytes);
        self.keep(heard);
    }

    fn done(&mut self, sid: Sid, op: &Op) {
        let submitted = self.protocol.submitted(at(sid), op);
        self.keep(submitted);
        let performed = self.protocol.performed(at(sid), op);
        self.keep(performed);
    }

    fn epochs(&mut self, sid: Sid, accepted: u32, current: u32) {
        self.done(sid, &Op::Epochs { generation: 0, accepted, current });
    }

    /// Appends a txn, durably or not.
    fn log(&mut self, sid: Sid, zxid: i64, durable: bool) {
        let mut bytes = u64::from(adler32(&txn(zxid))).to_be_bytes().to_vec();
        bytes.extend(36u32.to_be_bytes());
        bytes.extend(txn(zxid));
        bytes.push(0x42);
        let end = self.ends.entry(sid).or_insert(16);
        let (name, place) = ("log.1".to_owned(), *end);
        *end += bytes.len() as u64;
        let seen = self.protocol.appended(at(sid), &bytes).map(|_| ());
        self.keep(seen);
        self.done(sid, &Op::Append { name: name.clone(), at: place, bytes });
        if durable {
            self.done(sid, &Op::Fsync { name, branch: 0, upto: 0 });
            self.done(sid, &Op::FsyncDir);
        }
    }

    /// Up to the moment when the leader of epoch 1 is established.
    fn begin(&mut self) {
        self.epochs(LEADER, 1, 0);
        self.say(LEARNER, FOLLOWERINFO, 0, None);
        self.say(LEADER, LEADERINFO, zxid(1, 0), None);
        self.epochs(LEARNER, 1, 0);
        self.say(LEARNER, ACKEPOCH, 0, Some(&[0; 4]));
        self.epochs(LEADER, 1, 1);
        self.say(LEADER, DIFF, 0, None);
        self.say(LEADER, NEWLEADER, zxid(1, 0), None);
        self.epochs(LEARNER, 1, 1);
        self.say(LEARNER, ACK, zxid(1, 0), None);
        self.say(LEADER, UPTODATE, -1, None);
        self.say(LEARNER, ACK, zxid(1, 0), None);
    }

    fn propose(&mut self, zxid: i64) {
        self.log(LEADER, zxid, true);
        self.say(LEADER, PROPOSAL, zxid, Some(&txn(zxid)));
    }

    fn verdict(&self) -> &str {
        self.broken.as_deref().unwrap_or("")
    }
}

fn begun() -> Play {
    let mut play = Play::new();
    play.begin();
    play
}

#[track_caller]
fn breaks(play: &Play, name: &str) {
    assert!(play.verdict().starts_with(name), "{name} expected, not {:?}", play.verdict());
}

#[test]
fn an_epoch_as_it_should_be_breaks_nothing() {
    let mut play = begun();
    for n in 1..=3 {
        play.propose(zxid(1, n));
        play.log(LEARNER, zxid(1, n), true);
        play.say(LEARNER, ACK, zxid(1, n), None);
        play.say(LEADER, COMMIT, zxid(1, n), None);
    }
    for sid in [LEADER, LEARNER] {
        let shown = play.protocol.shows(sid, zxid(1, 3), 77);
        play.keep(shown);
    }
    assert_eq!(play.verdict(), "");
    assert_eq!(play.protocol.news, [zxid(1, 1), zxid(1, 2), zxid(1, 3)]);
}

#[test]
fn an_ack_before_the_record_is_durable_is_found() {
    let mut play = begun();
    play.propose(zxid(1, 1));
    play.log(LEARNER, zxid(1, 1), false);
    play.say(LEARNER, ACK, zxid(1, 1), None);
    breaks(&play, "E5");
}

#[test]
fn an_ack_behind_a_lost_predecessor_is_found() {
    let mut play = begun();
    play.propose(zxid(1, 1));
    play.propose(zxid(1, 2));
    play.log(LEARNER, zxid(1, 2), true);
    play.say(LEARNER, ACK, zxid(1, 2), None);
    breaks(&play, "E5");
}

#[test]
fn a_commit_without_a_quorum_is_found() {
    let mut play = begun();
    play.propose(zxid(1, 1));
    play.say(LEADER, COMMIT, zxid(1, 1), None);
    breaks(&play, "E7");
}

#[test]
fn epochs_that_are_promised_before_they_are_durable_are_found() {
    let mut play = Play::new();
    play.say(LEARNER, FOLLOWERINFO, 0, None);
    play.say(LEADER, LEADERINFO, zxid(1, 0), None);
    breaks(&play, "E3");

    let mut play = Play::new();
    play.epochs(LEADER, 1, 0);
    play.say(LEADER, LEADERINFO, zxid(1, 0), None);
    play.say(LEARNER, ACKEPOCH, 0, Some(&[0; 4]));
    breaks(&play, "E3");
}

#[test]
fn a_leader_acknowledged_before_its_epoch_or_its_history_is_durable_is_found() {
    let early = |with_epoch: bool| {
        let mut play = Play::new();
        play.epochs(LEADER, 1, 0);
        play.say(LEADER, LEADERINFO, zxid(1, 0), None);
        play.epochs(LEARNER, 1, 0);
        play.say(LEARNER, ACKEPOCH, 0, Some(&[0; 4]));
        play.say(LEADER, DIFF, 0, None);
        if with_epoch {
            play.propose(zxid(1, 1));
            play.say(LEADER, COMMIT, zxid(1, 1), None);
            // Who commits that early breaks another promise, which is not asked about here.
            play.broken = None;
            play.epochs(LEARNER, 1, 1);
        }
        play.epochs(LEADER, 1, 1);
        play.say(LEADER, NEWLEADER, zxid(1, 0), None);
        play.say(LEARNER, ACK, zxid(1, 0), None);
        play
    };
    breaks(&early(false), "E4");
    breaks(&early(true), "E4");
}

#[test]
fn a_leader_without_a_quorum_or_its_own_epoch_is_found() {
    let mut play = Play::new();
    play.epochs(LEADER, 1, 1);
    play.say(LEADER, LEADERINFO, zxid(1, 0), None);
    play.say(LEADER, DIFF, 0, None);
    let mut early = play;
    early.say(LEADER, NEWLEADER, zxid(1, 0), None);
    breaks(&early, "E7: 1 leads into epoch 1");

    let mut play = Play::new();
    play.epochs(LEADER, 1, 1);
    play.say(LEADER, LEADERINFO, zxid(1, 0), None);
    play.epochs(LEARNER, 1, 0);
    play.say(LEARNER, ACKEPOCH, 0, Some(&[0; 4]));
    play.say(LEADER, DIFF, 0, None);
    play.say(LEADER, NEWLEADER, zxid(1, 0), None);
    play.say(LEADER, UPTODATE, -1, None);
    breaks(&play, "E7: 1 leads epoch 1");
}

#[test]
fn a_leader_that_heard_of_a_newer_history_is_found() {
    let leads = |last: i64, told_in_time: bool| {
        let mut play = Play::new();
        let ends = zxid(0, last);
        (1..=last).for_each(|n| play.log(LEARNER, zxid(0, n), true));
        play.log(LEADER, zxid(0, 1), true);
        play.epochs(LEADER, 1, 0);
        play.say(LEADER, LEADERINFO, zxid(1, 0), None);
        play.epochs(LEARNER, 1, 0);
        if !told_in_time {
            play.epochs(LEADER, 1, 1);
        }
        play.say(LEARNER, ACKEPOCH, ends, Some(&[0; 4]));
        play.epochs(LEADER, 1, 1);
        play.say(LEADER, DIFF, ends, None);
        play.say(LEADER, NEWLEADER, zxid(1, 0), None);
        play
    };
    assert_eq!(leads(1, true).verdict(), "");
    assert_eq!(leads(2, false).verdict(), "");
    breaks(&leads(2, true), "E8: 1 leads into epoch 1, but 2 has told it");
}

#[test]
fn a_server_that_speaks_of_more_or_less_than_its_disk_holds_is_found() {
    let says = |zxid: i64| {
        let mut play = Play::new();
        play.log(LEARNER, self::zxid(0, 1), true);
        play.epochs(LEADER, 1, 0);
        play.say(LEADER, LEADERINFO, self::zxid(1, 0), None);
        play.epochs(LEARNER, 1, 0);
        play.say(LEARNER, ACKEPOCH, zxid, Some(&[0; 4]));
        play
    };
    assert_eq!(says(zxid(0, 1)).verdict(), "");
    breaks(&says(zxid(0, 2)), "E9");
    breaks(&says(0), "E9");

    let mut play = begun();
    play.log(LEADER, zxid(1, 1), false);
    let shown = play.protocol.shows(LEADER, zxid(1, 1), 1);
    play.keep(shown);
    breaks(&play, "E9");
}

#[test]
fn a_quorum_is_a_majority_of_voters_or_of_groups() {
    let member = |observer| Member { addresses: Vec::new(), observer, client: None };
    let mut ensemble = Ensemble::default();
    ensemble.members.extend((1..=9).map(|sid| (Sid(sid), member(false))));
    ensemble.members.insert(Sid(10), member(true));
    let quorum = |e: &Ensemble, has: &[i64]| is_quorum(e, |sid| has.contains(&sid.0));
    assert!(quorum(&ensemble, &[1, 2, 3, 4, 5]));
    assert!(!quorum(&ensemble, &[1, 2, 3, 4, 10]));
    for group in 0..3 {
        ensemble.groups.insert(group, (1..=3).map(|n| Sid(group * 3 + n)).collect());
    }
    assert!(quorum(&ensemble, &[1, 2, 4, 5, 7]));
    assert!(!quorum(&ensemble, &[1, 2, 3, 4, 7]));
    ensemble.weights.extend([(Sid(7), 0), (Sid(8), 0), (Sid(9), 0), (Sid(1), 3)]);
    assert!(
        quorum(&ensemble, &[1, 4, 5]),
        "the third group does not count, and 1 outweighs 2 and 3"
    );
    assert!(!quorum(&ensemble, &[1, 2, 3, 7, 8, 9]));
}

#[test]
fn epochs_never_go_back() {
    let mut play = begun();
    play.epochs(LEARNER, 3, 1);
    assert_eq!(play.verdict(), "");
    play.epochs(LEARNER, 2, 1);
    breaks(&play, "E2");

    let mut play = begun();
    play.epochs(LEARNER, 1, 2);
    breaks(&play, "E1");
}

#[test]
fn a_lost_write_is_found_when_the_next_leader_is_established() {
    let mut play = begun();
    play.propose(zxid(1, 1));
    play.log(LEARNER, zxid(1, 1), true);
    play.say(LEARNER, ACK, zxid(1, 1), None);
    play.say(LEADER, COMMIT, zxid(1, 1), None);
    assert_eq!(play.verdict(), "");
    // The third one, which has nothing, leads epoch 2.
    play.protocol.history.begins(2, 0);
    let verdict = play.protocol.history.established(2);
    play.keep(verdict);
    breaks(&play, "P8");
}

#[test]
fn two_leaders_of_an_epoch_and_two_txns_of_a_zxid_are_found() {
    let mut play = begun();
    let verdict = play.protocol.history.leads(Sid(3), 1);
    play.keep(verdict);
    breaks(&play, "P7");

    let mut play = begun();
    play.propose(zxid(1, 1));
    play.say(LEADER, PROPOSAL, zxid(1, 1), Some(&[7; 36]));
    breaks(&play, "P7");
}

#[test]
fn trees_that_differ_and_servers_that_go_back_are_found() {
    let grown = || {
        let mut play = begun();
        for n in 1..=2 {
            play.propose(zxid(1, n));
        }
        play
    };
    let mut play = grown();
    for (sid, digest) in [(LEADER, 1), (LEARNER, 2)] {
        let shown = play.protocol.shows(sid, zxid(1, 2), digest);
        play.keep(shown);
    }
    breaks(&play, "P2");

    let mut play = grown();
    for (n, digest) in [(2, 5), (1, 4)] {
        let shown = play.protocol.shows(LEADER, zxid(1, n), digest);
        play.keep(shown);
    }
    breaks(&play, "P5");

    let mut play = grown();
    let shown = play.protocol.shows(LEADER, zxid(1, 3), 1);
    play.keep(shown);
    breaks(&play, "P1");
}

#[test]
fn a_txn_no_leader_has_must_be_gone_when_the_leader_is_acknowledged() {
    let mut play = begun();
    play.propose(zxid(1, 1));
    play.log(LEARNER, zxid(1, 1), true);
    // A later leader begins without it, and the learner keeps it.
    play.protocol.history.begins(2, 0);
    play.epochs(LEARNER, 2, 2);
    play.say(LEARNER, ACK, zxid(2, 0), None);
    // It had acknowledged another leader on this link: as a first acknowledgement it must be found.
    assert_eq!(play.verdict(), "");
    let end = play.protocol.chans[&(LEARNER, ChanId(1))].clone();
    let verdict = play.protocol.acks_newleader(LEARNER, &end, zxid(2, 0));
    play.keep(verdict);
    breaks(&play, "P9");

    // The same with a snapshot it could load.
    let mut play = begun();
    play.propose(zxid(1, 1));
    play.done(LEARNER, &Op::Finish { name: "snapshot.100000001".into(), zxid: Zxid(zxid(1, 1)) });
    play.protocol.history.begins(2, 0);
    play.epochs(LEARNER, 2, 2);
    let end = play.protocol.chans[&(LEARNER, ChanId(1))].clone();
    let verdict = play.protocol.acks_newleader(LEARNER, &end, zxid(2, 0));
    play.keep(verdict);
    breaks(&play, "P9");
}

#[test]
fn a_hole_in_the_log_is_found_at_the_start() {
    let mut play = begun();
    for n in 1..=3 {
        play.propose(zxid(1, n));
    }
    play.log(LEARNER, zxid(1, 1), true);
    play.log(LEARNER, zxid(1, 3), true);
    let verdict = play.protocol.booted(at(LEARNER));
    play.keep(verdict);
    breaks(&play, "D-a");

    // A snapshot covers it.
    let mut play = begun();
    play.propose(zxid(1, 1));
    play.log(LEARNER, zxid(1, 1), true);
    play.done(LEARNER, &Op::Finish { name: "snapshot.100000003".into(), zxid: Zxid(zxid(1, 3)) });
    let verdict = play.protocol.booted(at(LEARNER));
    play.keep(verdict);
    assert_eq!(play.verdict(), "");
}

#[test]
fn a_copy_of_a_committed_txn_must_not_go() {
    let cut = |upto| {
        let mut play = begun();
        play.propose(zxid(1, 1));
        play.log(LEARNER, zxid(1, 1), true);
        play.say(LEARNER, ACK, zxid(1, 1), None);
        play.say(LEADER, COMMIT, zxid(1, 1), None);
        play.propose(zxid(1, 2));
        play.log(LEARNER, zxid(1, 2), true);
        play.done(LEARNER, &Op::Truncate { name: "log.1".to_owned(), at: upto });
        play
    };
    let record = 8 + 4 + 36 + 1;
    assert_eq!(cut(16 + record).verdict(), "", "what was proposed only may go");
    breaks(&cut(16), "P8");
}
