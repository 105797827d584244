//! Roles and the one gate between them. What survives a change of role lives in the server, what does not in the role.

use super::Server;
use super::lead::Leader;
use super::learn::Learner;
use super::peers::Peers;
use crate::effect::{DropReason, Effect, Milestone, Timer};
use crate::election::{Elected, Looking, Outcome, Vote};
use crate::ids::{ConnId, Epoch, Sid};
use crate::input::Link;
use crate::planted::{Plant, planted};
use crate::wire::{Notification, PeerState};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// What a server does in its ensemble.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Role {
    /// It has none: it stands alone.
    Alone,
    /// Between two roles: everything that was written must be durable before it speaks for this server's history.
    Resting,
    Looking(Box<Looking>),
    Following(Box<Learner>),
    Observing(Box<Learner>),
    Leading(Box<Leader>),
}

impl Role {
    pub(super) fn state(&self) -> PeerState {
        match self {
            Self::Alone | Self::Resting | Self::Looking(_) => PeerState::Looking,
            Self::Following(_) => PeerState::Following,
            Self::Observing(_) => PeerState::Observing,
            Self::Leading(_) => PeerState::Leading,
        }
    }

    /// May this role come after that one? Every role begins and ends with a rest.
    fn may_follow(&self, before: &Self) -> bool {
        match self {
            Self::Alone => false,
            Self::Resting => !matches!(before, Self::Alone),
            Self::Looking(_) => matches!(before, Self::Resting),
            Self::Following(_) | Self::Observing(_) | Self::Leading(_) => {
                matches!(before, Self::Looking(_))
            }
        }
    }
}

/// The two epochs a server must not forget (quorum protocol §1.3), as they are on disk or on their way there.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Epochs {
    /// The newest promised to a would-be leader.
    pub(super) accepted: Epoch,
    /// That whose history this server holds; never above `accepted`.
    pub(super) current: Epoch,
    generation: u32,
    durable: u32,
}

impl Epochs {
    pub(super) fn new(accepted: Epoch, current: Epoch) -> Self {
        Self { accepted: accepted.max(current), current, generation: 0, durable: 0 }
    }

    pub(super) fn are_durable(&self) -> bool {
        self.generation == self.durable
    }

    pub(super) fn on_durable(&mut self, generation: u32) {
        self.durable = self.durable.max(generation);
    }
}

/// Least time from one search for a leader to the next of a server without a vote, ms: the leader may have turned it
/// away, and would find it at its door again at once.
const OBSERVER_PAUSE_MS: u64 = 200;

/// How an election ended, which is what this server tells others while it is not looking.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Chosen {
    pub(super) vote: Vote,
    pub(super) round: i64,
}

impl Server {
    /// The only place where the role changes.
    pub(super) fn change_role(&mut self, next: Role) {
        assert!(next.may_follow(&self.role), "{:?} cannot become {next:?}", self.role.state());
        let before = std::mem::replace(&mut self.role, next);
        match before {
            Role::Leading(_) | Role::Following(_) | Role::Observing(_) => self.end_service(),
            // It was read-only.
            Role::Looking(_) if self.served => self.end_service(),
            Role::Alone | Role::Resting | Role::Looking(_) => {}
        }
        // Learners that came early stay: they have elected this server before it knew.
        let leads = matches!(self.role, Role::Leading(_));
        let undecided = matches!(self.role, Role::Looking(_));
        self.drop_quorum_links(leads || undecided);
        self.report(Milestone::RoleChanged { state: self.role.state() });
    }

    /// Nobody is served any more, until the next role can.
    fn end_service(&mut self) {
        let all: Vec<ConnId> = self.clients.conns.keys().copied().collect();
        for id in all {
            self.drop_conn(id, DropReason::NotServing);
        }
        self.tracker.clear();
        self.barriers.clear();
        self.served = false;
        self.end_learner_walks();
    }

    /// Leaves the role and begins to look for a leader, once everything is durable.
    pub(super) fn rest(&mut self, why: &str) {
        if matches!(self.role, Role::Resting | Role::Alone) {
            return;
        }
        self.note_fault(None, why.to_owned());
        self.change_role(Role::Resting);
    }

    /// Once in a turn: does the role want to become another?
    pub(super) fn drive_role(&mut self) {
        match &self.role {
            Role::Resting => self.look_when_durable(),
            Role::Looking(_) => {
                self.decide();
                self.serve_read_only_when_due();
            }
            Role::Leading(_) => self.drive_leader(),
            Role::Following(_) | Role::Observing(_) => self.drive_learner(),
            Role::Alone => {}
        }
    }

    /// A vote is a promise about what is on disk (§14, E9).
    fn look_when_durable(&mut self) {
        let quiet = self.journal.is_quiet() || planted(Plant::VoteBeforeFsync);
        if self.is_reading_disk() || !quiet || !self.epochs.are_durable() {
            return;
        }
        let Some(peers) = &self.peers else { return };
        let voter = peers.ensemble.is_voter(peers.me);
        let mut again_at = self.rest_until;
        if !voter && self.round > 0 {
            again_at = again_at.max(self.looking_since.plus_ms(OBSERVER_PAUSE_MS));
        }
        if self.now.mono < again_at {
            return self.effects.push(Effect::SetTimer { id: Timer::Election, at: again_at });
        }
        // Anybody with a link for votes can name the last round there is. It is then that of all elections that follow: a
        // round that a server believed but not its next one would end them, for all who have not been restarted since.
        self.round = self.round.saturating_add(1);
        self.looking_since = self.now.mono;
        let initial = match voter {
            true => Vote {
                leader: peers.me,
                zxid: match planted(Plant::VotesForApplied) {
                    true => self.zxid_applied,
                    false => self.zxid_proposed,
                },
                epoch: i64::from(self.epochs.current.0),
            },
            false => Vote::NOBODY,
        };
        let looking = Looking::new(peers.me, self.round, initial, &peers.ensemble, self.now.mono);
        self.change_role(Role::Looking(Box::new(looking)));
        self.tell_everybody();
        self.decide();
    }

    /// Our vote, for everybody who has one.
    fn tell_everybody(&mut self) {
        let (Some(peers), Role::Looking(looking)) = (&self.peers, &self.role) else { return };
        let notification = self.notification(looking.proposal(), looking.round());
        let me = peers.me;
        let voters: Vec<Sid> = peers.ensemble.voters().filter(|sid| *sid != me).collect();
        for sid in voters {
            let linked = self.peers.as_ref().is_some_and(|p| p.election_link(sid).is_some());
            match linked {
                true => self.notify(sid, &notification),
                false => {
                    let link = Link::Election;
                    self.effects.push(Effect::Connect { sid, link });
                    if planted(Plant::OneCallAtATime) {
                        break;
                    }
                }
            }
        }
        self.arm_election();
    }

    fn arm_election(&mut self) {
        if let Role::Looking(looking) = &self.role {
            let at = looking.next_at();
            let at = self.read_only_at().map_or(at, |due| at.min(due.max(self.now.mono)));
            self.effects.push(Effect::SetTimer { id: Timer::Election, at });
        }
    }

    fn notification(&self, vote: Vote, round: i64) -> Notification {
        Notification {
            state: self.role.state(),
            leader: vote.leader,
            zxid: vote.zxid,
            round,
            epoch: vote.epoch,
            version: 2,
            config: self.peers.as_ref().map(|peers| peers.config.clone()),
        }
    }

    /// What this server says when it is asked.
    fn present_vote(&self) -> Option<Notification> {
        match &self.role {
            Role::Looking(looking) => Some(self.notification(looking.proposal(), looking.round())),
            Role::Following(_) | Role::Observing(_) | Role::Leading(_) => {
                self.chosen.map(|chosen| self.notification(chosen.vote, chosen.round))
            }
            // Nothing can be said of a history that is being written.
            Role::Resting | Role::Alone => None,
        }
    }

    /// A link for votes is up: whatever was said on an earlier one may be lost.
    pub(super) fn on_election_link(&mut self, sid: Sid) {
        let late = self.now.mono.since(self.looking_since) > 100_000;
        if planted(Plant::VoteSaidOnce) && late {
            return;
        }
        if let (Role::Looking(_), Some(vote)) = (&self.role, self.present_vote()) {
            self.notify(sid, &vote);
        }
    }

    /// Takes a notification, and answers it where that helps whoever sent it. Of two servers that hear each other at most one
    /// answers, or they would do so without end.
    pub(super) fn on_notification(&mut self, from: Sid, n: &Notification) {
        let Some(peers) = &self.peers else { return };
        let endless = planted(Plant::VotesAnsweredWithoutEnd);
        let is_voter = peers.ensemble.is_voter(from);
        let mut outcome = Outcome::default();
        // Whoever is looking while we are not wants to know.
        let mut answers = n.state == PeerState::Looking || endless && !is_voter;
        if let Role::Looking(looking) = &mut self.role {
            if is_voter {
                outcome = looking.on_notification(from, n, &peers.ensemble, self.now.mono);
            }
            let vote = Vote { leader: n.leader, zxid: n.zxid, epoch: n.epoch };
            let ours = looking.compare(n.round, &vote, &peers.ensemble);
            answers &= match is_voter {
                // Whoever votes for less may have missed our vote: it came while that server still had a leader.
                true => {
                    let is_behind =
                        ours == Ordering::Greater || endless && vote != looking.proposal();
                    is_behind && !outcome.tell_all && !planted(Plant::VoteSaidOnce)
                }
                // Votes count for whoever has none as well, but only those of its round. A Java server answers a voter
                // that is behind it, whoever it is itself.
                false => ours != Ordering::Less || endless,
            };
        }
        // Nobody counts what an observer says, and a Java voter would answer it.
        let may_answer = peers.ensemble.is_voter(peers.me) || endless;
        if answers
            && may_answer
            && let Some(vote) = self.present_vote()
        {
            self.notify(from, &vote);
        }
        self.on_election_step(outcome);
    }

    fn on_election_step(&mut self, outcome: Outcome) {
        if outcome.tell_all {
            self.tell_everybody();
        }
        if let Some(elected) = outcome.elected {
            self.take_role(elected);
        }
    }

    /// Is the election over by now?
    fn decide(&mut self) {
        let (Some(peers), Role::Looking(looking)) = (&self.peers, &mut self.role) else { return };
        let heard = peers.heard();
        let elected = looking.decided(&peers.ensemble, &heard, self.now.mono);
        match elected {
            Some(elected) => self.take_role(elected),
            None => self.arm_election(),
        }
    }

    pub(super) fn on_election_timer(&mut self) {
        let Role::Looking(looking) = &mut self.role else { return };
        if looking.is_resend_due(self.now.mono) && !planted(Plant::VoteSaidOnce) {
            self.tell_everybody();
        }
        self.arm_election();
    }

    fn take_role(&mut self, elected: Elected) {
        let Some(peers) = &self.peers else { return };
        let me = peers.me;
        let observes = !peers.ensemble.is_voter(me);
        self.round = elected.round;
        self.counter_used_up = false;
        self.chosen = Some(Chosen { vote: elected.vote, round: elected.round });
        let leader = elected.vote.leader;
        if leader == me {
            let leader = Leader::new(self.epochs, self.zxid_proposed, self.now.mono);
            self.change_role(Role::Leading(Box::new(leader)));
            self.start_leading();
        } else {
            let via = match observes {
                true => self.choose_master(leader),
                false => (leader, Link::Quorum),
            };
            let learner = Box::new(Learner::new(leader, observes, via, self.now.mono));
            self.change_role(match observes {
                true => Role::Observing(learner),
                false => Role::Following(learner),
            });
            self.connect_to_leader();
        }
    }

    /// Sync is over: from now on this server says so (ZOOKEEPER-1732).
    pub(super) fn vote_for_epoch(&mut self, epoch: Epoch) {
        if let Some(chosen) = &mut self.chosen {
            chosen.vote.epoch = i64::from(epoch.0);
        }
    }

    /// Puts both epochs on disk. They never go back.
    pub(super) fn put_epochs(&mut self, accepted: Epoch, current: Epoch) {
        let epochs = &mut self.epochs;
        let may_go_back = planted(Plant::EpochOfLastZxid) || planted(Plant::OlderEpochAccepted);
        assert!(accepted >= epochs.accepted || may_go_back, "acceptedEpoch goes back");
        assert!(current >= epochs.current || may_go_back, "currentEpoch goes back");
        assert!(accepted >= current || may_go_back, "an epoch is current that was never accepted");
        (epochs.accepted, epochs.current) = (accepted, current);
        epochs.generation += 1;
        let generation = epochs.generation;
        let (accepted, current) = (accepted.0, current.0);
        self.effects.push(Effect::PutEpochs { generation, accepted, current });
    }

    /// The server belongs to an ensemble: it begins without a role.
    pub(super) fn new_peers(config: &crate::config::Config) -> (Option<Peers>, Role) {
        match &config.ensemble {
            Some(ensemble) => (Some(Peers::new(config.sid, ensemble.clone())), Role::Resting),
            None => (None, Role::Alone),
        }
    }
}
