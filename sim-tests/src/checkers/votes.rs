//! Elections, as what servers say shows them (quorum protocol §4.4): who takes a role was told so by enough others. What
//! was said is counted here once more; more of it than a server may count, so that only a role taken without reason is
//! found, and never one whose reason was forgotten meanwhile.

use super::ensemble::{is_quorum, named};
use std::collections::{BTreeMap, BTreeSet};
use zoetrope_core::wire::Reader;
use zoetrope_core::{ChanId, Ensemble, Sid};
use zoetrope_io_sim::Role;

/// Votes that a server may send to another one within a simulated second: a few for every other server's vote, and as many
/// again for each link that breaks. Two that answer each other's answers send thousands.
const VOTES_PER_S: u64 = 100;
const LOOKING: i32 = 0;
const LEADING: i32 = 2;

/// What a notification says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Said {
    state: i32,
    leader: i64,
    zxid: i64,
    round: i64,
    epoch: i64,
}

impl Said {
    fn read(frame: &[u8]) -> Option<Self> {
        let mut r = Reader::new(frame);
        let state = r.int().ok()?;
        let mut long = || r.long().ok();
        Some(Self { state, leader: long()?, zxid: long()?, round: long()?, epoch: long()? })
    }

    /// The vote, and the round it was given in.
    fn vote(&self) -> (i64, i64, i64, i64) {
        (self.leader, self.zxid, self.epoch, self.round)
    }
}

fn notifications(bytes: &[u8]) -> Vec<Said> {
    let mut r = Reader::new(bytes);
    let frames = std::iter::from_fn(|| r.buffer().ok().flatten());
    frames.filter_map(Said::read).collect()
}

/// What a server has said and heard since it looks for a leader.
#[derive(Clone, Default, Debug)]
struct Looker {
    /// It has found one.
    settled: bool,
    said: Option<Said>,
    heard: BTreeMap<Sid, BTreeSet<Said>>,
}

impl Looker {
    fn has_said(&self, sid: Sid, what: impl Fn(&Said) -> bool) -> bool {
        self.heard.get(&sid).is_some_and(|all| all.iter().any(what))
    }

    /// May it be in that round? It goes on to a later one when it hears of one from somebody who is looking too.
    fn may_be_in(&self, round: i64) -> bool {
        let there = |said: &Said| said.state == LOOKING && said.round == round;
        self.said.is_none_or(|said| said.round == round) || self.heard.values().flatten().any(there)
    }

    /// Rounds in which anybody was heard.
    fn rounds(&self) -> BTreeSet<i64> {
        self.heard.values().flatten().map(|said| said.round).collect()
    }

    /// May `sid`, which is this one, follow that leader?
    fn may_follow(&self, ensemble: &Ensemble, sid: Sid, leader: Sid) -> bool {
        let names = |said: &Said| said.leader == leader.0;
        // Who follows that leader already counts as well for those who vote for it in that round too. They may do so before
        // they could tell, when somebody else does.
        let is_vote =
            |said: &Said, round: i64| said.state == LOOKING && names(said) && said.round == round;
        let votes = |said: &Said, round: i64| {
            let heard = || self.heard.values().flatten().any(|other| is_vote(other, round));
            let same = || self.said.is_none_or(|mine| is_vote(&mine, round)) || heard();
            names(said) && said.round == round && (said.state == LOOKING || same())
        };
        let elects = |round: i64| {
            is_quorum(ensemble, |other| match other == sid {
                true => self.may_be_in(round),
                false => self.has_said(other, |said| votes(said, round)),
            })
        };
        let leads = |said: &Said| said.state == LEADING && names(said);
        let agree = || {
            is_quorum(ensemble, |other| match other == sid {
                true => self.said.is_none_or(|mine| {
                    self.has_said(leader, |said| leads(said) && said.vote() == mine.vote())
                }),
                false => self.has_said(other, names),
            })
        };
        self.rounds().into_iter().any(elects) || self.has_said(leader, leads) && agree()
    }
}

/// What servers say to each other about whom to follow.
#[derive(Clone, Default, Debug)]
pub(crate) struct Votes {
    links: BTreeMap<(Sid, ChanId), Sid>,
    /// By who says it to whom: the simulated second, and the votes in it.
    paces: BTreeMap<(Sid, Sid), (u64, u64)>,
    lookers: BTreeMap<Sid, Looker>,
}

impl Votes {
    pub(crate) fn link_up(&mut self, sid: Sid, chan: ChanId, other: Sid) {
        self.links.insert((sid, chan), other);
    }

    pub(crate) fn booted(&mut self, sid: Sid) {
        self.lookers.remove(&sid);
    }

    /// Votes are sent at `now`, µs.
    pub(crate) fn sent(&mut self, now: u64, sid: Sid, chan: ChanId, bytes: &[u8]) -> Verdict {
        let Some(other) = self.links.get(&(sid, chan)) else { return Ok(()) };
        let all = notifications(bytes);
        let looker = self.lookers.entry(sid).or_default();
        looker.said = all.iter().rfind(|said| said.state == LOOKING).copied().or(looker.said);
        let (second, votes) = self.paces.entry((sid, *other)).or_default();
        if *second != now / 1_000_000 {
            (*second, *votes) = (now / 1_000_000, 0);
        }
        *votes += all.len() as u64;
        named("V3", *votes <= VOTES_PER_S, || {
            format!(
                "{sid} has sent {other} {votes} votes within a second, the last one {:?}",
                all.last()
            )
        })
    }

    pub(crate) fn heard(&mut self, sid: Sid, chan: ChanId, bytes: &[u8]) {
        if let Some(other) = self.links.get(&(sid, chan)) {
            let looker = self.lookers.entry(sid).or_default();
            looker.heard.entry(*other).or_default().extend(notifications(bytes));
        }
    }

    /// A turn is over.
    pub(crate) fn turned(&mut self, ensemble: &Ensemble, sid: Sid, role: Role) -> Verdict {
        let looker = self.lookers.entry(sid).or_default();
        let settled = !matches!(role, Role::Looking | Role::ReadOnly);
        if !settled && looker.settled {
            *looker = Looker::default();
        }
        let began = settled && !std::mem::replace(&mut looker.settled, settled);
        match began && role == Role::Leader {
            true => self.may_lead(ensemble, sid),
            false => Ok(()),
        }
    }

    /// Who leads is what a quorum votes for in one round; who is settled already counts if it elected just this vote.
    fn may_lead(&self, ensemble: &Ensemble, sid: Sid) -> Verdict {
        let Some(looker) = self.lookers.get(&sid) else { return Ok(()) };
        let Some(mine) = looker.said else { return Ok(()) };
        let elects = |round: i64| {
            is_quorum(ensemble, |other| {
                let same = |said: &Said| said.vote() == mine.vote();
                let votes = |said: &Said| {
                    said.state == LOOKING && said.leader == sid.0 && said.round == round
                };
                other == sid || looker.has_said(other, |said| votes(said) || same(said))
            })
        };
        let elected = elects(mine.round) || looker.rounds().into_iter().any(elects);
        named("V1", elected, || {
            format!("{sid} leads by its vote {mine:?}, and has heard only {:?}", looker.heard)
        })
    }

    /// Who follows has heard a quorum vote for its leader in one round, or its leader say that it leads and a quorum agree.
    pub(crate) fn may_follow(&self, ensemble: &Ensemble, sid: Sid, leader: Sid) -> Verdict {
        let Some(looker) = self.lookers.get(&sid) else { return Ok(()) };
        named("V2", looker.may_follow(ensemble, sid, leader), || {
            format!(
                "{sid} follows {leader}; it has said {:?} and heard only {:?}",
                looker.said, looker.heard
            )
        })
    }
}

type Verdict = Result<(), String>;

#[cfg(test)]
mod tests {
    use super::*;
    use zoetrope_core::Member;

    const ME: Sid = Sid(3);
    const CHAN: ChanId = ChanId(1);

    fn three() -> Ensemble {
        let mut ensemble = Ensemble::default();
        for sid in 1..=3 {
            let member = Member { addresses: Vec::new(), observer: false, client: None };
            ensemble.members.insert(Sid(sid), member);
        }
        ensemble
    }

    fn frame(state: i32, leader: i64, zxid: i64, round: i64) -> Vec<u8> {
        let mut body = state.to_be_bytes().to_vec();
        for long in [leader, zxid, round, 1] {
            body.extend(i64::to_be_bytes(long));
        }
        let mut frame = (body.len() as u32).to_be_bytes().to_vec();
        frame.extend(body);
        frame
    }

    /// Server 3 has said its vote, and heard of 1 and 2.
    fn votes(mine: &[u8], heard: &[(i64, Vec<u8>)]) -> Votes {
        let mut votes = Votes::default();
        for sid in 1..=2 {
            votes.link_up(ME, ChanId(sid as u64), Sid(sid));
        }
        votes.sent(0, ME, CHAN, mine).expect("it is one vote");
        for (sid, frame) in heard {
            votes.heard(ME, ChanId(*sid as u64), frame);
        }
        votes
    }

    #[test]
    fn who_leads_was_elected_in_one_round() {
        let lead = |heard: &[(i64, Vec<u8>)]| {
            votes(&frame(0, 3, 9, 6), heard).turned(&three(), ME, Role::Leader)
        };
        assert_eq!(lead(&[(1, frame(0, 3, 9, 6))]), Ok(()));
        assert_eq!(lead(&[(1, frame(1, 3, 9, 6))]), Ok(()));
        // ZOOKEEPER-1514: they speak of an earlier election.
        assert!(lead(&[(1, frame(1, 3, 7, 5)), (2, frame(1, 3, 7, 5))]).is_err());
        assert!(lead(&[(1, frame(0, 2, 9, 6))]).is_err());
        assert!(lead(&[]).is_err());
    }

    #[test]
    fn nobody_votes_without_end() {
        let mut votes = votes(&[], &[]);
        let mut say = |now| votes.sent(now, ME, ChanId(1), &frame(0, 3, 9, 6));
        assert!((0..VOTES_PER_S).all(|n| say(n) == Ok(())));
        assert!(say(1_000_000).is_ok());
        assert!((1..VOTES_PER_S).all(|n| say(1_000_000 + n) == Ok(())));
        assert!(say(1_999_999).is_err());
    }

    #[test]
    fn who_follows_believes_a_quorum() {
        let follow = |mine: &[u8], heard: &[(i64, Vec<u8>)]| {
            votes(mine, heard).may_follow(&three(), ME, Sid(2))
        };
        let mine = frame(0, 3, 9, 6);
        assert_eq!(follow(&frame(0, 2, 9, 6), &[(2, frame(0, 2, 9, 6))]), Ok(()));
        assert_eq!(follow(&mine, &[(1, frame(1, 2, 9, 4)), (2, frame(2, 2, 9, 4))]), Ok(()));
        // ZOOKEEPER-975: one word is not enough, nor is that of the followers of a dead leader.
        assert!(follow(&mine, &[(2, frame(2, 2, 9, 4))]).is_err());
        assert!(follow(&mine, &[(1, frame(1, 2, 9, 4))]).is_err());
        // Nor in one's own round, unless one votes for that leader too.
        let same_round = [(1, frame(1, 2, 9, 6))];
        assert!(follow(&mine, &same_round).is_err());
        assert!(follow(&frame(0, 2, 9, 6), &same_round).is_ok());
    }
}
