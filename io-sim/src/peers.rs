//! The network between servers, as they see it.

use crate::judge::{Judge, Peer, Verdict};
use crate::net::{NetEvent, Outcomes, Plan, Told};
use crate::schedule::Class;
use crate::turns::ToPeer;
use crate::world::{Event, World};
use std::net::{IpAddr, Ipv4Addr};
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
                self.judge.peer_up(at, Peer { chan, far, other: there, link, began });
                // On a quorum link, who has opened it has to say so itself.
                let sid = (began || link == Link::Election).then_some(there);
                let addr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, other as u8 + 1));
                self.input(host, &Input::PeerUp { sid, chan, link, addr });
            }
            Told::Down { chan } => {
                self.judge.peer_down(at, chan);
                self.input(host, &Input::PeerDown { chan });
            }
            Told::Bytes { chan, bytes } => {
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
