//! The promises of an ensemble (quorum protocol §14), checked as its servers speak: what they send each other, what they
//! put on disk, what they tell clients.

use super::disk::{View, payloads};
use super::history::{History, epoch, names_no_txn};
use super::links::Chan;
use super::packet::{
    ACK, ACKEPOCH, COMMIT, COMMIT_AND_ACTIVATE, DIFF, FOLLOWERINFO, INFORM, INFORM_AND_ACTIVATE,
    LEADERINFO, NEWLEADER, OBSERVERINFO, PING, Packet, SNAP, TRUNC, UPTODATE,
};
use super::votes::Votes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use zoetrope_core::{ChanId, Ensemble, Link, Sid};
use zoetrope_io_sim::{At, Left, Op, Peer, Role};

type Verdict = Result<(), String>;

/// What is known of one server.
#[derive(Clone, Default, Debug)]
struct Known {
    /// Its disk, as devices have carried out what they were asked.
    performed: View,
    /// And as they were asked.
    submitted: View,
    /// Epochs it acknowledged as a voter that counts.
    acked_epochs: BTreeSet<u32>,
    /// Its disk has forgotten something, and it may refuse to start on it.
    forgot: bool,
}

/// What the leader of an epoch has heard.
#[derive(Clone, Default, Debug)]
struct Reign {
    /// Who has promised the epoch, and was not bound to do so already.
    promised: BTreeSet<Sid>,
    newleader: BTreeSet<Sid>,
    /// Highest acknowledged proposal of each.
    acks: BTreeMap<Sid, i64>,
    established: bool,
    /// Leaders of it that heard of a newer history before their own was to be that of the epoch, and whose it is.
    outdated: BTreeMap<Sid, Sid>,
    /// The last txn of the epoch that a quorum had on its disks when it was committed.
    committed: i64,
}

impl Reign {
    /// The last reign of that leader.
    fn of<'a>(
        all: &'a mut BTreeMap<u32, Self>,
        history: &History,
        leader: Sid,
    ) -> Option<&'a mut Self> {
        let mut all = all.iter_mut().rev();
        all.find(|(epoch, _)| history.leader(**epoch) == Some(leader)).map(|(_, reign)| reign)
    }

    /// The leader has noticed that a link is gone, or that there is another one. What its learner had acknowledged there is
    /// worth no more than what is on its disk now.
    fn link_is_over(&mut self, learner: Sid, disk: Option<&View>) {
        let is_there = |acked: &i64| disk.is_some_and(|disk| disk.holds(*acked));
        if self.acks.get(&learner).is_some_and(|acked| !is_there(acked)) {
            self.acks.remove(&learner);
        }
    }

    /// A learner has promised the epoch to `leader`, and tells how far its history goes.
    fn hears_history(
        &mut self,
        ensemble: &Ensemble,
        leader: Sid,
        disk: Option<&View>,
        learner: Sid,
        packet: &Packet<'_>,
    ) {
        let current = packet.data.as_deref().and_then(|data| data.first_chunk());
        // -1: it was bound to do so already, and does not count.
        let current = current.map_or(-1, |epoch| i32::from_be_bytes(*epoch));
        let Ok(current) = u32::try_from(current) else { return };
        let own = disk.and_then(|disk| disk.epochs).unwrap_or_default().1;
        let (end, last) = (disk.map_or(0, View::end), packet.zxid);
        let newer = current > own || current == own && last > end && !names_no_txn(last);
        let voter = ensemble.members.get(&learner).is_some_and(|member| !member.observer);
        let promised = |who| who == leader || self.promised.contains(&who);
        if newer && voter && !is_quorum(ensemble, promised) {
            self.outdated.insert(leader, learner);
        }
        self.promised.insert(learner);
    }
}

/// The checks that need no model of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    ensemble: Ensemble,
    servers: BTreeMap<Sid, Known>,
    chans: BTreeMap<(Sid, ChanId), Chan>,
    reigns: BTreeMap<u32, Reign>,
    votes: Votes,
    pub(crate) history: History,
    /// What has become committed and was not taken yet.
    pub(crate) news: Vec<i64>,
    /// Digest of the tree at each zxid a server was seen at, and who was first.
    digests: BTreeMap<i64, (u64, Sid)>,
    /// What each server has shown to have applied.
    shown: BTreeMap<Sid, i64>,
    /// What serving servers showed last, zxid and digest, and was judged. As long as nothing is done to their disks, the
    /// same again is right again.
    judged: BTreeMap<Sid, (i64, u64)>,
    /// Learners that may be brought level at a time by the tree, and by txns, before observers are turned away.
    pub(crate) syncs_max: (usize, usize),
    /// Sessions that leaders have heard of by pings, and were not taken yet.
    pub(crate) touched: Vec<i64>,
    /// Learners that have answered a ping since this was last looked at, and the sessions each of them said are alive.
    pub(crate) alive: Vec<(Sid, Vec<i64>)>,
}

pub(super) fn named(name: &str, holds: bool, story: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(format!("{name}: {}", story())) }
}

/// A majority of the voters, or of the groups that have weight: more than half of the weight in each (quorum protocol
/// §2.2). Counted here once more: the servers' own idea of a quorum is among what is judged.
pub(super) fn is_quorum(ensemble: &Ensemble, has: impl Fn(Sid) -> bool) -> bool {
    let votes = |sid: &Sid| ensemble.members.get(sid).is_some_and(|member| !member.observer);
    let majority = |yes: i64, all: i64| 2 * yes > all;
    if ensemble.groups.is_empty() {
        let voters: Vec<Sid> = ensemble.members.keys().copied().filter(votes).collect();
        let yes = voters.iter().filter(|sid| has(**sid)).count();
        return majority(yes as i64, voters.len() as i64);
    }
    let weight = |sid: &Sid| ensemble.weights.get(sid).copied().unwrap_or(1);
    let (mut won, mut counted) = (0, 0);
    for group in ensemble.groups.values() {
        let all: i64 = group.iter().filter(|sid| votes(sid)).map(weight).sum();
        let yes: i64 = group.iter().filter(|sid| votes(sid) && has(**sid)).map(weight).sum();
        counted += i64::from(all > 0);
        won += i64::from(majority(yes, all));
    }
    majority(won, counted)
}

impl Protocol {
    pub(crate) fn new(ensemble: Ensemble) -> Self {
        Self {
            servers: ensemble.members.keys().map(|sid| (*sid, Known::default())).collect(),
            ensemble,
            chans: BTreeMap::new(),
            reigns: BTreeMap::new(),
            votes: Votes::default(),
            history: History::default(),
            news: Vec::new(),
            digests: BTreeMap::new(),
            shown: BTreeMap::new(),
            judged: BTreeMap::new(),
            syncs_max: (10, 100),
            touched: Vec::new(),
            alive: Vec::new(),
        }
    }

    fn known(&mut self, sid: Sid) -> &mut Known {
        self.servers.entry(sid).or_default()
    }

    /// Something shows that everything up to here is committed.
    pub(crate) fn commit(&mut self, zxid: i64, why: impl Display) -> Verdict {
        let news = self.history.commit(zxid, why)?;
        self.news.extend(news);
        Ok(())
    }

    // Disks.

    /// Records went to a server's log.
    pub(crate) fn appended(&mut self, at: At, records: &[u8]) -> Result<Vec<i64>, String> {
        let mut fresh = Vec::new();
        for (_, txn) in payloads(records) {
            let zxid = zxid_of(txn).ok_or("P1: a record without a zxid")?;
            let log = self.servers.get(&at.sid).map(|known| &known.submitted);
            let end = || log.map_or(0, View::end);
            if self.history.see(zxid, txn, at.sid, end)? {
                fresh.push(zxid);
            }
        }
        Ok(fresh)
    }

    pub(crate) fn submitted(&mut self, at: At, op: &Op) -> Verdict {
        let known = self.known(at.sid);
        if let Op::Epochs { accepted, current, .. } = *op {
            let before = known.submitted.epochs.unwrap_or_default();
            let sid = at.sid;
            named("E1", accepted >= current, || {
                format!("{sid} accepts epoch {accepted}, but its history is of {current}")
            })?;
            named("E2", (accepted, current) >= before && current >= before.1, || {
                format!("{sid} goes from epochs {before:?} to {:?}", (accepted, current))
            })?;
        }
        known.submitted.apply(op);
        Ok(())
    }

    pub(crate) fn performed(&mut self, at: At, op: &Op) -> Verdict {
        self.judged.remove(&at.sid);
        let view = &mut self.known(at.sid).performed;
        if !matches!(op, Op::Truncate { .. } | Op::Discard { .. } | Op::Remove { .. }) {
            view.apply(op);
            return Ok(());
        }
        // A copy of a committed txn must not go, be it one of many: the others may be lost as well.
        let (mut held, end) = (view.tail(), view.end());
        view.apply(op);
        let left = view.end();
        held.insert(self.history.txn(end));
        match held.range(left + 1..).rev().find(|zxid| self.history.is_committed(**zxid)) {
            Some(lost) => Err(format!(
                "P8: server {} cuts its disk off at {left:#x}, but {lost:#x} is committed",
                at.sid
            )),
            None => Ok(()),
        }
    }

    /// The process is gone: what it had asked for and was not done never will be.
    pub(crate) fn crashed(&mut self, at: At) {
        let known = self.known(at.sid);
        known.submitted = known.performed.clone();
        self.judged.remove(&at.sid);
        self.chans.retain(|(sid, _), _| *sid != at.sid);
    }

    pub(crate) fn left(&mut self, at: At, left: Left<'_>) {
        let known = self.known(at.sid);
        // Nobody has told it again what it had forgotten before it served.
        known.forgot |= left.forgot;
        let view = View::of_files(left.files, left.epochs, known.forgot);
        (known.performed, known.submitted) = (view.clone(), view);
        if left.forgot {
            known.acked_epochs.clear();
            self.shown.remove(&at.sid);
        }
        self.judged.remove(&at.sid);
    }

    pub(crate) fn booted(&mut self, at: At) -> Verdict {
        self.votes.booted(at.sid);
        let alone = self.ensemble.members.len() == 1;
        let view = &self.known(at.sid).performed;
        if alone && view.epochs.is_none() {
            let end = view.end();
            self.history.alone_restarts(end)?;
        }
        if self.known(at.sid).forgot { Ok(()) } else { self.has_a_whole_disk(at.sid) }
    }

    /// What a server starts with, or at the latest serves with.
    fn has_a_whole_disk(&mut self, sid: Sid) -> Verdict {
        let view = &self.known(sid).performed;
        let (end, tail, epochs) = (view.end(), view.tail(), view.epochs);
        if let Some((accepted, current)) = epochs {
            // A history that ends in an epoch holds what that epoch began with: recovery takes it for the current one.
            named("E1", accepted >= current && accepted >= epoch(end), || {
                format!("{sid} has epochs {accepted} and {current}, and {end:#x}")
            })?;
        }
        for (a, b) in tail.iter().zip(tail.iter().skip(1)) {
            named("D-a", epoch(*a) != epoch(*b) || a + 1 == *b, || {
                format!("{sid} has a log in which {b:#x} follows {a:#x}")
            })?;
        }
        Ok(())
    }

    // Links.

    pub(crate) fn peer_up(&mut self, at: At, peer: Peer) {
        match peer.link {
            Link::Election => self.votes.link_up(at.sid, peer.chan, peer.other),
            _ => {
                self.chans.insert((at.sid, peer.chan), Chan::new(peer));
            }
        }
    }

    pub(crate) fn peer_down(&mut self, at: At, chan: ChanId) {
        if let Some(end) = self.chans.remove(&(at.sid, chan)) {
            let disk = self.servers.get(&end.peer.other).map(|known| &known.performed);
            if let Some(reign) = Reign::of(&mut self.reigns, &self.history, at.sid) {
                reign.link_is_over(end.peer.other, disk);
            }
        }
    }

    /// Answers the txns that were never seen before.
    pub(crate) fn peer_sent(
        &mut self,
        at: At,
        chan: ChanId,
        bytes: &[u8],
    ) -> Result<Vec<i64>, String> {
        self.votes.sent(at.now, at.sid, chan, bytes)?;
        let Some(end) = self.chans.get_mut(&(at.sid, chan)) else { return Ok(Vec::new()) };
        let mut fresh = Vec::new();
        for packet in end.sent.feed(bytes) {
            let told = |e: String| format!("{e} ({} sends {})", at.sid, story(&packet));
            if let Some(txn) = packet.txn() {
                let log = self.servers.get(&at.sid).map(|known| &known.submitted);
                let end = || log.map_or(0, View::end);
                if self.history.see(packet.zxid, txn, at.sid, end).map_err(told)? {
                    fresh.push(packet.zxid);
                }
            }
            self.sends(at.sid, chan, &packet).map_err(told)?;
        }
        Ok(fresh)
    }

    fn sends(&mut self, sid: Sid, chan: ChanId, packet: &Packet<'_>) -> Verdict {
        let Some(end) = self.chans.get_mut(&(sid, chan)) else { return Ok(()) };
        // Who has opened the link is the learner.
        if end.peer.began {
            let first_ack = packet.kind == ACK && !end.acked_newleader;
            let acked = end.acked;
            end.on_learner(packet)?;
            return match packet.kind {
                FOLLOWERINFO | OBSERVERINFO if end.peer.link == Link::Quorum => {
                    let leader = end.peer.other;
                    self.votes.may_follow(&self.ensemble, sid, leader)
                }
                ACKEPOCH => {
                    let end = end.clone();
                    self.acks_epoch(sid, &end, packet)
                }
                ACK if names_no_txn(packet.zxid) && first_ack => {
                    let end = end.clone();
                    self.acks_newleader(sid, &end, packet.zxid)
                }
                ACK if !names_no_txn(packet.zxid) => {
                    let fresh = end.proposals[acked.min(end.acked)..end.acked].to_vec();
                    self.acks(sid, &fresh)
                }
                PING => {
                    self.alive.push((sid, sessions_of(packet)));
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        end.on_leader(packet, &self.history)?;
        if end.peer.link == Link::ObserverMaster {
            return self.hands_on(sid, chan, packet);
        }
        let (reign, uptodate, other) = (end.epoch, end.uptodate, end.peer.other);
        match packet.kind {
            DIFF | TRUNC | SNAP => self.brings_level(sid, chan),
            LEADERINFO => self.offers_epoch(sid, epoch(packet.zxid)),
            NEWLEADER => {
                self.may_begin(sid, epoch(packet.zxid))?;
                let log_end = self.known(sid).submitted.end();
                self.history.begins(epoch(packet.zxid), log_end);
                self.history.leads(sid, epoch(packet.zxid))
            }
            UPTODATE => {
                let reign = reign.unwrap_or(0);
                self.establishes(sid, reign)?;
                // The learner takes all it has for committed.
                let has = self.known(other).performed.end();
                match epoch(has) == reign && !names_no_txn(has) {
                    true => self.may_commit(sid, has),
                    false => Ok(()),
                }
            }
            COMMIT | COMMIT_AND_ACTIVATE | INFORM | INFORM_AND_ACTIVATE => {
                let own = reign == Some(epoch(packet.zxid));
                if own {
                    self.may_commit(sid, packet.zxid)?;
                }
                // Before it is established, a leader calls its whole history committed.
                match own || uptodate {
                    true => self.commit(packet.zxid, "a commit"),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn peer_heard(&mut self, at: At, chan: ChanId, bytes: &[u8]) -> Verdict {
        self.votes.heard(at.sid, chan, bytes);
        let Some(end) = self.chans.get_mut(&(at.sid, chan)) else { return Ok(()) };
        for packet in end.heard.feed(bytes) {
            if end.peer.began {
                end.on_leader(&packet, &self.history)?;
                continue;
            }
            end.on_learner(&packet)?;
            if matches!(packet.kind, FOLLOWERINFO) && end.peer.link == Link::Quorum {
                let learner = end.peer.other;
                let disk = self.servers.get(&learner).map(|known| &known.performed);
                if let Some(reign) = Reign::of(&mut self.reigns, &self.history, at.sid) {
                    reign.link_is_over(learner, disk);
                }
                continue;
            }
            let (Some(epoch), other) = (end.epoch, end.peer.other) else { continue };
            // An observer's master counts nobody.
            if end.peer.link != Link::Quorum {
                continue;
            }
            if packet.kind == ACKEPOCH {
                let disk = self.servers.get(&at.sid).map(|known| &known.submitted);
                let reign = self.reigns.entry(epoch).or_default();
                reign.hears_history(&self.ensemble, at.sid, disk, other, &packet);
            }
            if packet.kind == PING {
                self.touched.extend(sessions_of(&packet));
            }
            if packet.kind == ACK {
                let reign = self.reigns.entry(epoch).or_default();
                if names_no_txn(packet.zxid) {
                    reign.newleader.insert(other);
                    // Whoever comes back to its leader has what it had of this epoch.
                    let disk = self.servers.get(&other).map(|known| &known.performed);
                    let has = disk.filter(|disk| disk.holds(disk.end())).map_or(0, View::end);
                    if self::epoch(has) == epoch {
                        let acked = reign.acks.entry(other).or_insert(0);
                        *acked = has.max(*acked);
                    }
                } else {
                    let acked = reign.acks.entry(other).or_insert(0);
                    *acked = packet.zxid.max(*acked);
                }
            }
        }
        Ok(())
    }

    /// A follower tells its observers nothing but what is committed, and what it would still hold without power.
    fn hands_on(&mut self, sid: Sid, chan: ChanId, packet: &Packet<'_>) -> Verdict {
        let zxid = packet.zxid;
        if matches!(packet.kind, DIFF | TRUNC | SNAP) {
            self.brings_level(sid, chan)?;
        }
        if matches!(packet.kind, TRUNC | SNAP) {
            // What an observer has from a server that was faster may be committed, though this one does not know it yet.
            let last = self.chans.get(&(sid, chan)).map_or(0, |end| self.history.txn(end.learner));
            let lost = self.history.is_committed(last) && last > zxid;
            named("O4", !lost, || format!("{sid} takes {last:#x} from an observer: {zxid:#x}"))?;
        }
        match packet.kind {
            LEADERINFO | NEWLEADER => {
                let on_disk = self.known(sid).performed.epochs;
                named("O1", on_disk.is_some_and(|(_, current)| current == epoch(zxid)), || {
                    format!("{sid} speaks of epoch {zxid:#x}, on its disk are {on_disk:?}")
                })
            }
            TRUNC | SNAP | COMMIT | COMMIT_AND_ACTIVATE | INFORM | INFORM_AND_ACTIVATE => {
                let txn = self.history.txn(zxid);
                named("O2", txn == 0 || self.history.is_committed(txn), || {
                    format!("{sid} hands {zxid:#x} on, which nobody has committed")
                })?;
                let held = txn == 0 || self.known(sid).performed.holds(txn);
                named("O3", held, || format!("{sid} hands {zxid:#x} on, not on its own disk"))
            }
            _ => Ok(()),
        }
    }

    /// Observers are turned away while too many learners are being brought level.
    fn brings_level(&self, sid: Sid, chan: ChanId) -> Verdict {
        let Some(end) = self.chans.get(&(sid, chan)) else { return Ok(()) };
        let by_tree = end.tree.is_some();
        let most = if by_tree { self.syncs_max.0 } else { self.syncs_max.1 };
        let others = self.chans.iter().filter(|((at, c), other)| {
            *at == sid && *c != chan && other.is_being_synced() && other.tree.is_some() == by_tree
        });
        let others = others.count();
        named("T1", !end.observer || others < most, || {
            format!("{sid} brings an observer level beside {others} others, by its tree: {by_tree}")
        })
    }

    // What a packet claims.

    /// Two may offer the same epoch, if nobody has heard the first: who acknowledges it does so once, so only one of them
    /// comes to lead (P7, E3).
    fn offers_epoch(&mut self, sid: Sid, epoch: u32) -> Verdict {
        let on_disk = self.known(sid).performed.epochs;
        named("E3", on_disk.is_some_and(|(accepted, _)| accepted == epoch), || {
            format!("{sid} offers epoch {epoch}, on its disk are {on_disk:?}")
        })
    }

    fn acks_epoch(&mut self, sid: Sid, end: &Chan, packet: &Packet<'_>) -> Verdict {
        let epoch = end.epoch.ok_or("E3: ACKEPOCH before LEADERINFO")?;
        let known = self.known(sid);
        let on_disk = known.performed.epochs;
        named("E3", on_disk.is_some_and(|(accepted, _)| accepted == epoch), || {
            format!("{sid} acknowledges epoch {epoch}, on its disk are {on_disk:?}")
        })?;
        let end = known.performed.end();
        named("E9", packet.zxid == end, || {
            format!("{sid} says that its history ends at {:#x}, its disk at {end:#x}", packet.zxid)
        })?;
        let counts = packet.data.as_deref() != Some(&[0xff; 4]);
        named("E3", !counts || known.acked_epochs.insert(epoch), || {
            format!("{sid} acknowledges epoch {epoch} twice")
        })
    }

    fn acks_newleader(&mut self, sid: Sid, end: &Chan, zxid: i64) -> Verdict {
        let (epoch, initial) = (epoch(zxid), self.history.initial(epoch(zxid)));
        let known = self.known(sid);
        let (disk, on_disk) = (&known.performed, known.performed.epochs);
        named("E4", on_disk.is_some_and(|(_, current)| current == epoch), || {
            format!("{sid} acknowledges the leader of {epoch}, on its disk are {on_disk:?}")
        })?;
        let lost = end.committed.iter().find(|zxid| !end.observer && !disk.holds(**zxid));
        named("E4", lost.is_none(), || {
            format!("{sid} acknowledges the leader of {epoch}, but {lost:x?} is not on its disk")
        })?;
        let label = disk.snapshot();
        named("E4", end.tree.is_none_or(|tree| label >= tree), || {
            format!("{sid} acknowledges a tree of {:x?}, on its disk is {label:#x}", end.tree)
        })?;
        let Some(initial) = initial else { return Ok(()) };
        let tail = known.submitted.tail();
        let alien = tail.iter().find(|z| self::epoch(**z) != epoch && !initial.contains(z));
        named("P9", alien.is_none(), || {
            format!("{sid} acknowledges the leader of {epoch} and keeps {alien:x?}")
        })?;
        let foreign = |label: &i64| self::epoch(*label) != epoch && !initial.contains(label);
        let ghost =
            known.submitted.snapshots().find(|label| !names_no_txn(*label) && foreign(label));
        named("P9", ghost.is_none(), || {
            format!("{sid} acknowledges the leader of {epoch} and keeps snapshot {ghost:x?}")
        })
    }

    fn acks(&mut self, sid: Sid, zxids: &[i64]) -> Verdict {
        let disk = &self.known(sid).performed;
        let lost = zxids.iter().find(|zxid| !disk.holds(**zxid));
        named("E5", lost.is_none(), || {
            format!("{sid} acknowledges {zxids:x?}, but {lost:x?} is not on its disk")
        })
    }

    /// Before a leader brings anybody level, a quorum has promised its epoch.
    fn may_begin(&mut self, sid: Sid, epoch: u32) -> Verdict {
        let own = self.known(sid).performed.epochs.is_some_and(|(_, current)| current == epoch);
        let reign = self.reigns.entry(epoch).or_default();
        let promised = |who: Sid| if who == sid { own } else { reign.promised.contains(&who) };
        named("E7", own && is_quorum(&self.ensemble, promised), || {
            format!("{sid} leads into epoch {epoch}, promised by {:?}", reign.promised)
        })?;
        match reign.outdated.get(&sid) {
            Some(other) => Err(format!(
                "E8: {sid} leads into epoch {epoch}, but {other} has told it of a newer history"
            )),
            None => Ok(()),
        }
    }

    fn establishes(&mut self, sid: Sid, epoch: u32) -> Verdict {
        let own = self.known(sid).performed.epochs.is_some_and(|(_, current)| current == epoch);
        let reign = self.reigns.entry(epoch).or_default();
        let acked = |who: Sid| if who == sid { own } else { reign.newleader.contains(&who) };
        let enough = own && is_quorum(&self.ensemble, acked);
        if !reign.established {
            named("E7", enough, || {
                format!("{sid} leads epoch {epoch} by {:?}, itself: {own}", reign.newleader)
            })?;
            reign.established = true;
            self.history.established(epoch)?;
        }
        let base = self.history.base(epoch).unwrap_or(0);
        self.commit(base, "an established leader")
    }

    /// Is this txn of the leader's own epoch on the disks of a quorum?
    fn may_commit(&mut self, sid: Sid, zxid: i64) -> Verdict {
        let own = self.known(sid).performed.holds(zxid);
        let reign = self.reigns.entry(epoch(zxid)).or_default();
        // Those that come late are told once more, whatever has become of the disks.
        if zxid <= reign.committed {
            return Ok(());
        }
        let acked = |who: Sid| match who == sid {
            true => own,
            false => reign.acks.get(&who).is_some_and(|upto| *upto >= zxid),
        };
        named("E7", is_quorum(&self.ensemble, acked), || {
            format!("{sid} commits {zxid:#x} by {:x?}, itself: {own}", reign.acks)
        })?;
        reign.committed = zxid;
        Ok(())
    }

    // What a server shows.

    /// A turn of a server is over, and it has this role.
    pub(crate) fn turned(&mut self, sid: Sid, role: Role) -> Verdict {
        self.votes.turned(&self.ensemble, sid, role)
    }

    /// A serving server has applied everything up to here, and its tree has this digest.
    pub(crate) fn shows(&mut self, sid: Sid, zxid: i64, digest: u64) -> Verdict {
        if self.judged.get(&sid) == Some(&(zxid, digest)) {
            return Ok(());
        }
        // Nobody else may have told where the history of a leader without followers begins.
        if names_no_txn(zxid) && self.history.base(epoch(zxid)).is_none() {
            let end = self.known(sid).submitted.end();
            self.history.begins(epoch(zxid), end);
        }
        if std::mem::take(&mut self.known(sid).forgot) {
            self.has_a_whole_disk(sid)?;
        }
        let txn = self.history.txn(zxid);
        let before = self.shown.insert(sid, txn).unwrap_or(0);
        named("P5", txn >= before, || {
            format!("{sid} goes back from {before:#x} to {zxid:#x}, which is {txn:#x}")
        })?;
        let (first, who) = *self.digests.entry(txn).or_insert((digest, sid));
        named("P2", first == digest, || {
            format!("at {txn:#x} {sid} has the tree {digest:x}, and {who} had {first:x}")
        })?;
        self.commit(txn, format_args!("what {sid} has applied"))?;
        let durable = txn == 0 || self.known(sid).performed.holds(txn);
        named("E9", durable, || {
            format!("{sid} has applied {zxid:#x}, which is {txn:#x} and not on its disk")
        })?;
        self.judged.insert(sid, (zxid, digest));
        Ok(())
    }

    /// A server without a quorum shows only what others have shown to be committed.
    pub(crate) fn must_be_committed(&self, sid: Sid, zxid: i64) -> Verdict {
        let txn = self.history.txn(zxid);
        named("R1", txn == 0 || self.history.is_committed(txn), || {
            format!("{sid} is read-only and shows {zxid:#x}, which nobody has committed")
        })
    }

    /// Who leads, for those that have to know.
    pub(crate) fn is_leader(&self, sid: Sid, epoch: u32) -> bool {
        self.history.leader(epoch) == Some(sid)
    }
}

pub(crate) fn zxid_of(txn: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(txn.get(12..20)?.try_into().ok()?))
}

/// The sessions that the answer to a ping names.
fn sessions_of(packet: &Packet<'_>) -> Vec<i64> {
    let all = packet.data.iter().flat_map(|data| data.chunks_exact(12));
    all.filter_map(|one| one.first_chunk().map(|id| i64::from_be_bytes(*id))).collect()
}

fn story(packet: &Packet<'_>) -> String {
    let name = match packet.kind {
        LEADERINFO => "LEADERINFO",
        FOLLOWERINFO => "FOLLOWERINFO",
        OBSERVERINFO => "OBSERVERINFO",
        ACKEPOCH => "ACKEPOCH",
        NEWLEADER => "NEWLEADER",
        UPTODATE => "UPTODATE",
        ACK => "ACK",
        COMMIT => "COMMIT",
        INFORM => "INFORM",
        _ => "type",
    };
    format!("{name} {} {:#x}", packet.kind, packet.zxid)
}

#[cfg(test)]
#[path = "ensemble_tests.rs"]
mod tests;
