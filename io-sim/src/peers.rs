//! The network between servers, as they see it.

use crate::judge::{Judge, Peer, Verdict};
use crate::net::{NetEvent, Outcomes, Plan, Told};
use crate::schedule::Class;
use crate::turns::ToPeer;
use crate::world::{Event, World};
use std::net::{IpAddr, Ipv4Addr};
use zoetrope_core::wire::Reader;
use zoetrope_core::{Input, Link};

impl<J: Judge> World<J> {
    pub(crate) fn plan_net(&mut self, plans: Vec<Plan>) {
        for Plan { at, host, event } in plans {
            self.schedule.plan(at, Class::Fact, Event::Net(host, event));
        }
    }

    /// What a server asks of the network.
    pub(crate) fn ask_net(&mut self, host: usize, ask: ToPeer) -> Verdict {
        let now = self.now;
        let plans = match ask {
            ToPeer::Send { chan, bytes } => {
                self.note(&chan.0.to_be_bytes());
                self.note(&bytes);
                self.judge.peer_sent(self.at(host), chan, &bytes)?;
                self.net.send(now, chan, &bytes)
            }
            ToPeer::Connect { sid, link } => {
                let Some(to) = self.hosts.iter().position(|h| h.sid == sid) else {
                    return Err(format!(
                        "{} connects to {sid}, which nobody is",
                        self.at(host).sid
                    ));
                };
                self.net.connect(now, host, to, link)
            }
            ToPeer::Disconnect { chan } => {
                self.judge.peer_down(self.at(host), chan);
                self.net.disconnect(now, chan)
            }
            ToPeer::Pause { chan, paused } => self.net.pause(now, chan, paused),
        };
        self.plan_net(plans);
        Ok(())
    }

    pub(crate) fn net_event(&mut self, event: &NetEvent) -> Verdict {
        let outcomes = self.net.happen(self.now, event);
        self.tell(outcomes)
    }

    pub(crate) fn tell(&mut self, outcomes: Outcomes) -> Verdict {
        self.plan_net(outcomes.plans);
        for (host, told) in outcomes.told {
            if self.hosts[host].server.is_some() {
                self.tell_one(host, told)?;
            }
        }
        Ok(())
    }

    fn tell_one(&mut self, host: usize, told: Told) -> Verdict {
        let at = self.at(host);
        match told {
            Told::Up { chan, far, other, link, began } => {
                let there = self.hosts[other].sid;
                if link == Link::Election && self.old_votes.contains(&there) {
                    self.old_links.insert((host, chan));
                }
                self.judge.peer_up(at, Peer { chan, far, other: there, link, began });
                // On a quorum link, who has opened it has to say so itself.
                let sid = (began || link == Link::Election).then_some(there);
                let addr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, other as u8 + 1));
                self.input(host, &Input::PeerUp { sid, chan, link, addr });
            }
            Told::Down { chan } => {
                self.old_links.remove(&(host, chan));
                self.judge.peer_down(at, chan);
                self.input(host, &Input::PeerDown { chan });
            }
            Told::Bytes { chan, mut bytes } => {
                if self.old_links.contains(&(host, chan)) {
                    bytes = old_votes(&bytes);
                }
                self.judge.peer_heard(at, chan, &bytes)?;
                self.input(host, &Input::PeerFrames { chan, bytes: &bytes });
            }
            Told::Sent { chan, upto } => self.input(host, &Input::PeerSent { chan, upto }),
            Told::Unreachable { other, link } => {
                let sid = self.hosts[other].sid;
                self.input(host, &Input::Unreachable { sid, link });
            }
        }
        Ok(())
    }
}

/// Votes as Java 3.4 says them: of version 1, which ends before the configuration (quorum protocol §4.1).
fn old_votes(bytes: &[u8]) -> Vec<u8> {
    const BEFORE_VERSION: usize = 36;
    let mut old = Vec::with_capacity(bytes.len());
    let mut r = Reader::new(bytes);
    let mut rest = bytes;
    while let Ok(Some(vote)) = r.buffer() {
        rest = r.rest();
        r = Reader::new(rest);
        match vote.get(..BEFORE_VERSION) {
            Some(head) => {
                let (len, version) = (BEFORE_VERSION as i32 + 4, 1i32);
                old.extend_from_slice(&len.to_be_bytes());
                old.extend_from_slice(head);
                old.extend_from_slice(&version.to_be_bytes());
            }
            None => {
                old.extend_from_slice(&(vote.len() as i32).to_be_bytes());
                old.extend_from_slice(vote);
            }
        }
    }
    old.extend_from_slice(rest);
    old
}
