//! Looking for a leader: notifications in, a choice out (quorum protocol §4.4).

use super::Vote;
use crate::ensemble::Ensemble;
use crate::ids::{Sid, Zxid};
use crate::planted::{Plant, planted};
use crate::time::Instant;
use crate::wire::{Notification, PeerState};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// A vote somebody has told us of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Heard {
    vote: Vote,
    round: i64,
    state: PeerState,
    version: i32,
}

impl Heard {
    fn of(n: &Notification) -> Self {
        let vote = Vote { leader: n.leader, zxid: n.zxid, epoch: n.epoch };
        Self { vote, round: n.round, state: n.state, version: n.version }
    }

    /// Do both speak of the same leader? Members of one ensemble may remember other zxids and rounds of the same
    /// election (ZOOKEEPER-1805, 1818), and servers of old speak of no epoch.
    fn agrees_with(&self, other: &Self) -> bool {
        if self.state == PeerState::Looking || other.state == PeerState::Looking {
            return self.vote == other.vote && self.round == other.round;
        }
        if planted(Plant::MembersMustRememberAlike) {
            return self.vote == other.vote && self.round == other.round;
        }
        let same_age = (self.version == 0) == (other.version == 0);
        self.vote.leader == other.vote.leader && (!same_age || self.vote.epoch == other.vote.epoch)
    }
}

/// What the election came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Elected {
    pub(crate) vote: Vote,
    /// The round in which it was elected; of an established ensemble, which may be an earlier one than ours.
    pub(crate) round: i64,
}

/// What a step of the election asks for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Our proposal changed: tell everybody.
    pub(crate) tell_all: bool,
    /// It is decided.
    pub(crate) elected: Option<Elected>,
}

/// The looking role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Looking {
    me: Sid,
    round: i64,
    initial: Vote,
    proposal: Vote,
    /// Votes of this round; ours among them, if we have one.
    votes: BTreeMap<Sid, Heard>,
    /// What servers say that are led already.
    settled: BTreeMap<Sid, Heard>,
    /// A quorum agrees since then; whoever has a better vote may still say so.
    agreed_at: Option<Instant>,
    /// When everybody is told again, and how long after that again.
    resend_at: Instant,
    resend_ms: u64,
}

/// How long a quorum's choice waits for a better vote.
const FINALIZE_MS: u64 = 200;
/// First time until everybody is told again.
const RESEND_MS: u64 = 200;
/// The longest. Java's is a minute, which a notification that was lost turns into a minute without service.
const RESEND_MAX_MS: u64 = 2_000;

impl Looking {
    /// Begins round `round` with `initial` as our own vote.
    pub(crate) fn new(
        me: Sid,
        round: i64,
        initial: Vote,
        ensemble: &Ensemble,
        now: Instant,
    ) -> Self {
        let mut looking = Self {
            me,
            round,
            initial,
            proposal: initial,
            votes: BTreeMap::new(),
            settled: BTreeMap::new(),
            agreed_at: None,
            resend_at: now.plus_ms(RESEND_MS),
            resend_ms: RESEND_MS,
        };
        looking.vote_myself(ensemble);
        looking
    }

    pub(crate) fn round(&self) -> i64 {
        self.round
    }

    pub(crate) fn proposal(&self) -> Vote {
        self.proposal
    }

    /// Is our vote ahead of that one, by its round and then by what it names? Equal: neither is taken for the other.
    pub(crate) fn compare(&self, round: i64, vote: &Vote, ensemble: &Ensemble) -> Ordering {
        let ahead = self.proposal.beats(vote, ensemble);
        let behind = vote.beats(&self.proposal, ensemble);
        self.round.cmp(&round).then(ahead.cmp(&behind))
    }

    fn vote_myself(&mut self, ensemble: &Ensemble) {
        if ensemble.is_voter(self.me) {
            let (vote, round) = (self.proposal, self.round);
            let mine = Heard { vote, round, state: PeerState::Looking, version: 2 };
            self.votes.insert(self.me, mine);
        }
    }

    fn propose(&mut self, vote: Vote, ensemble: &Ensemble) {
        self.proposal = vote;
        self.vote_myself(ensemble);
    }

    /// A notification of a voter.
    pub(crate) fn on_notification(
        &mut self,
        from: Sid,
        n: &Notification,
        ensemble: &Ensemble,
        now: Instant,
    ) -> Outcome {
        if !ensemble.is_voter(from) || !ensemble.is_voter(n.leader) {
            return Outcome::default();
        }
        let mut outcome = Outcome::default();
        match n.state {
            PeerState::Looking => outcome.tell_all = self.on_vote(from, n, ensemble),
            PeerState::Following | PeerState::Leading => {
                outcome.elected = self.on_settled(from, n, ensemble);
            }
            // Observers have no vote.
            PeerState::Observing => {}
        }
        self.note_agreement(ensemble, now);
        outcome
    }

    /// A vote of somebody who is looking too. True when ours changed.
    fn on_vote(&mut self, from: Sid, n: &Notification, ensemble: &Ensemble) -> bool {
        // An empty, untrusted database must not decide (§12.9).
        if n.zxid == Zxid(-1)
            || self.initial.zxid == Zxid(-1)
            || n.round < self.round && !planted(Plant::OldRoundCounts)
            || n.round == i64::MAX && planted(Plant::LastRoundUnbelieved)
        {
            return false;
        }
        let mut heard = Heard::of(n);
        if planted(Plant::OldRoundCounts) {
            heard.round = heard.round.max(self.round);
        }
        let mut changed = false;
        if n.round > self.round {
            self.round = n.round;
            self.votes.clear();
            let better = heard.vote.beats(&self.initial, ensemble);
            self.propose(if better { heard.vote } else { self.initial }, ensemble);
            changed = true;
        } else if heard.vote.beats(&self.proposal, ensemble) {
            self.propose(heard.vote, ensemble);
            changed = true;
        }
        self.votes.insert(from, heard);
        changed
    }

    /// Somebody who follows or leads. A quorum of them, their leader's own word included, decides.
    fn on_settled(&mut self, from: Sid, n: &Notification, ensemble: &Ensemble) -> Option<Elected> {
        let heard = Heard::of(n);
        if n.round == self.round {
            self.votes.insert(from, heard);
            let among = if planted(Plant::OwnRoundIgnored) { &self.settled } else { &self.votes };
            if self.is_led(among, &heard, ensemble) {
                return Some(Elected { vote: heard.vote, round: self.round });
            }
            if planted(Plant::OwnRoundIgnored) {
                return None;
            }
        }
        self.settled.insert(from, heard);
        self.is_led(&self.settled, &heard, ensemble)
            .then_some(Elected { vote: heard.vote, round: n.round })
    }

    /// Do enough of `votes` name this leader, and does it say so itself (§4.4)? Nobody joins a dead leader on its
    /// followers' word, nor leads because others believe it still does.
    fn is_led(&self, votes: &BTreeMap<Sid, Heard>, heard: &Heard, ensemble: &Ensemble) -> bool {
        let leader = heard.vote.leader;
        // Rounds begin anew with every start, so a leader that comes back may find its old followers in the same round. It
        // leads if what they elected is what it offers now, and not what it was: every one of them.
        if leader == self.me && !planted(Plant::OldWordElectsMe) {
            let one_is_enough = planted(Plant::OldFollowersCount);
            return self.is_mine(heard)
                && ensemble.has_quorum(|sid| {
                    let vote = votes.get(&sid);
                    vote.is_some_and(|vote| {
                        self.is_mine(vote) || one_is_enough && vote.agrees_with(heard)
                    })
                });
        }
        let agrees = |sid: Sid| votes.get(&sid).is_some_and(|vote| vote.agrees_with(heard));
        let says_so = |vote: &Heard| vote.state == PeerState::Leading;
        let leads = leader == self.me || votes.get(&leader).is_some_and(says_so);
        if planted(Plant::OneWordToFollow) && leads && leader != self.me {
            return true;
        }
        let leads = leads || planted(Plant::DeadLeaderJoined) && leader != self.me;
        leads && ensemble.has_quorum(agrees)
    }

    /// Is it the vote we give ourselves, in our round?
    fn is_mine(&self, heard: &Heard) -> bool {
        heard.vote == self.proposal && heard.round == self.round
    }

    fn agrees(&self, sid: Sid) -> bool {
        self.votes.get(&sid).is_some_and(|heard| self.is_mine(heard))
    }

    fn note_agreement(&mut self, ensemble: &Ensemble, now: Instant) {
        match ensemble.has_quorum(|sid| self.agrees(sid)) {
            true => self.agreed_at = self.agreed_at.or(Some(now)),
            false => self.agreed_at = None,
        }
    }

    /// Is it decided by now? `connected` are the servers that can be heard: when all of those agree, nobody is left who
    /// could know better.
    pub(crate) fn decided(
        &mut self,
        ensemble: &Ensemble,
        connected: &BTreeSet<Sid>,
        now: Instant,
    ) -> Option<Elected> {
        self.note_agreement(ensemble, now);
        let since = self.agreed_at?;
        let unanimous = ensemble.voters().all(|sid| self.agrees(sid) || !connected.contains(&sid));
        let waited = now.since(since) >= FINALIZE_MS * 1000;
        (unanimous || waited).then_some(Elected { vote: self.proposal, round: self.round })
    }

    /// Has nobody said anything decisive for so long that everybody is to be told again?
    pub(crate) fn is_resend_due(&mut self, now: Instant) -> bool {
        if now < self.resend_at {
            return false;
        }
        self.resend_ms = (self.resend_ms * 2).min(RESEND_MAX_MS);
        self.resend_at = now.plus_ms(self.resend_ms);
        true
    }

    /// When something may be due.
    pub(crate) fn next_at(&self) -> Instant {
        let decided = self.agreed_at.map(|at| at.plus_ms(FINALIZE_MS));
        decided.map_or(self.resend_at, |at| at.min(self.resend_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::Member;

    const ME: Sid = Sid(3);

    fn three() -> Ensemble {
        of(3)
    }

    fn of(voters: i64) -> Ensemble {
        let mut ensemble = Ensemble::default();
        for sid in 1..=voters {
            let member = Member { addresses: Vec::new(), observer: false, client: None };
            ensemble.members.insert(Sid(sid), member);
        }
        ensemble
    }

    fn vote(leader: i64, zxid: i64) -> Vote {
        Vote { leader: Sid(leader), zxid: Zxid(zxid), epoch: 1 }
    }

    fn says(state: PeerState, vote: Vote, round: i64) -> Notification {
        let Vote { leader, zxid, epoch } = vote;
        Notification { state, leader, zxid, round, epoch, version: 2, config: None }
    }

    fn looking(zxid: i64) -> Looking {
        Looking::new(ME, 1, vote(3, zxid), &three(), Instant::default())
    }

    fn all() -> BTreeSet<Sid> {
        [Sid(1), Sid(2)].into()
    }

    #[test]
    fn a_quorum_of_equal_votes_decides_when_nobody_else_can_be_heard() {
        let (ensemble, now) = (three(), Instant::default());
        let mut me = looking(7);
        me.on_notification(Sid(1), &says(PeerState::Looking, vote(3, 7), 1), &ensemble, now);
        assert_eq!(me.decided(&ensemble, &all(), now), None);
        let elected = Some(Elected { vote: vote(3, 7), round: 1 });
        assert_eq!(me.decided(&ensemble, &[Sid(1)].into(), now), elected);
        // Or when whoever could know better has said nothing for a while.
        assert_eq!(me.decided(&ensemble, &all(), now.plus_ms(FINALIZE_MS)), elected);
    }

    #[test]
    fn the_only_voter_waits_for_nobody() {
        let (mut ensemble, now) = (three(), Instant::default());
        for other in [Sid(1), Sid(2)] {
            ensemble.members.get_mut(&other).unwrap().observer = true;
        }
        let elected = Some(Elected { vote: vote(3, 7), round: 1 });
        let mut me = Looking::new(ME, 1, vote(3, 7), &ensemble, now);
        assert_eq!(me.decided(&ensemble, &all(), now), elected);
    }

    #[test]
    fn a_better_vote_and_a_later_round_are_adopted_and_told() {
        let (ensemble, now) = (three(), Instant::default());
        let mut me = looking(7);
        let better = says(PeerState::Looking, vote(1, 9), 1);
        assert!(me.on_notification(Sid(1), &better, &ensemble, now).tell_all);
        assert_eq!(me.proposal(), vote(1, 9));
        // A later round begins with our own vote again.
        let later = says(PeerState::Looking, vote(2, 5), 4);
        assert!(me.on_notification(Sid(2), &later, &ensemble, now).tell_all);
        assert_eq!((me.round(), me.proposal()), (4, vote(3, 7)));
        // What is left of an earlier one says nothing.
        assert!(!me.on_notification(Sid(1), &better, &ensemble, now).tell_all);
        assert_eq!(me.proposal(), vote(3, 7));
    }

    #[test]
    fn a_leader_is_joined_on_its_own_word_and_a_quorums() {
        let (ensemble, now) = (three(), Instant::default());
        let mut me = looking(7);
        let follows = says(PeerState::Following, vote(2, 5), 9);
        assert_eq!(me.on_notification(Sid(1), &follows, &ensemble, now).elected, None);
        let leads = says(PeerState::Leading, vote(2, 5), 9);
        let elected = Some(Elected { vote: vote(2, 5), round: 9 });
        assert_eq!(me.on_notification(Sid(2), &leads, &ensemble, now).elected, elected);
        // ZOOKEEPER-975: its word alone is not enough.
        let mut alone = looking(7);
        assert_eq!(alone.on_notification(Sid(2), &leads, &ensemble, now).elected, None);
    }

    /// ZOOKEEPER-3537: three of five follow server 5, which says nothing. In their round or in another one.
    #[test]
    fn nobody_joins_a_dead_leader_on_its_followers_word() {
        let (ensemble, now) = (of(5), Instant::default());
        for round in [1, 9] {
            let mut me = Looking::new(ME, 1, vote(3, 7), &ensemble, now);
            let follows = says(PeerState::Following, vote(5, 9), round);
            for sid in [1, 2, 4] {
                let outcome = me.on_notification(Sid(sid), &follows, &ensemble, now);
                assert_eq!(outcome.elected, None, "round {round}");
            }
            let leads = says(PeerState::Leading, vote(5, 9), round);
            let elected = me.on_notification(Sid(5), &leads, &ensemble, now).elected;
            assert_eq!(elected.map(|elected| elected.vote), Some(vote(5, 9)));
        }
    }

    /// ZOOKEEPER-1805, 1818.
    #[test]
    fn members_may_remember_one_election_differently() {
        let (ensemble, now) = (three(), Instant::default());
        let mut me = looking(7);
        let follows = says(PeerState::Following, vote(2, 5), 8);
        me.on_notification(Sid(1), &follows, &ensemble, now);
        let leads = says(PeerState::Leading, vote(2, 6), 9);
        let outcome = me.on_notification(Sid(2), &leads, &ensemble, now);
        assert_eq!(outcome.elected.map(|elected| elected.vote.leader), Some(Sid(2)));
    }

    #[test]
    fn a_leader_that_comes_back_does_not_lead_those_who_have_not_noticed() {
        let (ensemble, now) = (three(), Instant::default());
        let mut me = looking(7);
        for sid in [1, 2] {
            let old = says(PeerState::Following, vote(3, 0), 1);
            assert_eq!(me.on_notification(Sid(sid), &old, &ensemble, now).elected, None);
        }
        // Nor does one of them that has elected it anew speak for those who have not.
        let mut me = Looking::new(ME, 1, vote(3, 7), &of(5), now);
        for (sid, zxid) in [(1, 0), (2, 7)] {
            let follows = says(PeerState::Following, vote(3, zxid), 1);
            assert_eq!(me.on_notification(Sid(sid), &follows, &of(5), now).elected, None);
        }
        // Those who have decided a moment before us are another matter.
        let mut me = looking(7);
        let decided = says(PeerState::Following, vote(3, 7), 1);
        me.on_notification(Sid(1), &decided, &ensemble, now);
        let outcome = me.on_notification(Sid(2), &decided, &ensemble, now);
        assert_eq!(outcome.elected, Some(Elected { vote: vote(3, 7), round: 1 }));
    }

    #[test]
    fn a_leader_of_another_epoch_is_another_leader() {
        let ensemble = three();
        // The epoch of who follows, the version of what it speaks, and whether it speaks of the same leader.
        for (epoch, version, same) in [(1, 2, true), (2, 2, false), (-1, 0, true)] {
            let mut me = looking(7);
            let follows = says(PeerState::Following, Vote { epoch, ..vote(2, 5) }, 9);
            let follows = Notification { version, ..follows };
            me.on_notification(Sid(1), &follows, &ensemble, Instant::default());
            let leads = says(PeerState::Leading, vote(2, 5), 9);
            let outcome = me.on_notification(Sid(2), &leads, &ensemble, Instant::default());
            assert_eq!(outcome.elected.is_some(), same, "epoch {epoch}, version {version}");
        }
    }

    #[test]
    fn who_votes_for_a_leader_in_its_round_counts_as_one_who_follows_it() {
        let (ensemble, now) = (of(5), Instant::default());
        let mut me = Looking::new(ME, 1, vote(3, 7), &ensemble, now);
        me.on_notification(Sid(1), &says(PeerState::Looking, vote(2, 9), 1), &ensemble, now);
        assert_eq!(me.proposal(), vote(2, 9));
        // With this server's own vote that makes three of five.
        let leads = says(PeerState::Leading, vote(2, 9), 1);
        let outcome = me.on_notification(Sid(2), &leads, &ensemble, now);
        assert_eq!(outcome.elected, Some(Elected { vote: vote(2, 9), round: 1 }));
    }

    #[test]
    fn what_was_said_in_an_earlier_round_elects_nobody_in_this_one() {
        let (ensemble, now) = (of(5), Instant::default());
        let mut me = Looking::new(ME, 1, vote(3, 7), &ensemble, now);
        let follows = |leader, round| says(PeerState::Following, vote(leader, 9), round);
        me.on_notification(Sid(1), &follows(5, 1), &ensemble, now);
        me.on_notification(Sid(4), &says(PeerState::Looking, vote(4, 5), 6), &ensemble, now);
        assert_eq!(me.round(), 6);
        // It follows somebody else by now.
        me.on_notification(Sid(1), &follows(4, 5), &ensemble, now);
        me.on_notification(Sid(2), &follows(5, 6), &ensemble, now);
        let leads = says(PeerState::Leading, vote(5, 9), 6);
        assert_eq!(me.on_notification(Sid(5), &leads, &ensemble, now).elected, None);
    }

    /// The old one may be given up, and the new one made, by votes that come in one turn.
    #[test]
    fn a_choice_that_was_given_up_waits_anew_for_a_better_vote() {
        let (ensemble, start) = (of(5), Instant::default());
        let everybody = [1, 2, 4, 5].map(Sid).into();
        let mut me = Looking::new(ME, 1, vote(3, 7), &ensemble, start);
        let mut hear = |sids: &[i64], vote, at| {
            for sid in sids {
                let vote = says(PeerState::Looking, vote, 1);
                me.on_notification(Sid(*sid), &vote, &ensemble, at);
            }
            me.decided(&ensemble, &everybody, at)
        };
        assert_eq!(hear(&[1, 2], vote(3, 7), start), None);
        let later = start.plus_ms(FINALIZE_MS - 1);
        assert_eq!(hear(&[4, 1, 2], vote(4, 8), later), None);
        assert_eq!(hear(&[], vote(4, 8), later.plus_ms(FINALIZE_MS - 1)), None);
        let elected = Some(Elected { vote: vote(4, 8), round: 1 });
        assert_eq!(hear(&[], vote(4, 8), later.plus_ms(FINALIZE_MS)), elected);
    }

    /// Who looks for a leader for long, alone perhaps, must not burden the others, nor be silent for long.
    #[test]
    fn everybody_is_told_again_less_and_less_often_and_at_least_every_other_second() {
        let mut me = looking(7);
        let due: Vec<u64> =
            (0..8_000).filter(|ms| me.is_resend_due(Instant::from_ms(*ms))).collect();
        assert_eq!(due, [200, 600, 1_400, 3_000, 5_000, 7_000]);
        assert_eq!(me.next_at(), Instant::from_ms(9_000));
    }
}
