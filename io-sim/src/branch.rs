//! Worlds that part: a clone loses the power of a server where the original does not, and has to come to a good end.
//!
//! What a server does to the world is counted, one effect at a time: an operation its device has carried out, a packet
//! or request to the network, an answer to a client. Between any two of them a loss of power may come.

use crate::disk::Keep;
use crate::judge::{Judge, Verdict};
use crate::world::{Event, HostEvent, Mend, OwnEvent, World};

/// A loss of power right behind an effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrashAt {
    effect: u64,
    keep: Keep,
    down: u64,
}

/// Who looks at the world before each event that may have effects. A clone has nobody.
pub(crate) struct Watch<J>(Option<Watcher<J>>);

type Watcher<J> = Box<dyn FnMut(&World<J>) -> Verdict>;

impl<J> Watch<J> {
    pub(crate) fn nobody() -> Self {
        Self(None)
    }
}

impl<J> Clone for Watch<J> {
    fn clone(&self) -> Self {
        Self::nobody()
    }
}

impl<J: Judge> World<J> {
    /// From here on `watcher` sees the world before each event in which a server may have effects.
    pub fn watch(&mut self, watcher: impl FnMut(&Self) -> Verdict + 'static) {
        self.watch = Watch(Some(Box::new(watcher)));
    }

    /// Effects that servers have had so far.
    pub fn effects(&self) -> u64 {
        self.effects
    }

    /// Lets one thing happen.
    pub fn happen(&mut self) -> Verdict {
        self.advance()
    }

    /// Power is lost right behind the n-th effect from here on, at the server that has it, for `down` ms.
    pub fn crash_behind(&mut self, n: u64, keep: Keep, down: u64) {
        self.crash_at = Some(CrashAt { effect: self.effects + n, keep, down });
    }

    /// A loss of power is still to come.
    pub fn has_crash_ahead(&self) -> bool {
        self.crash_at.is_some()
    }

    /// Effects that may still happen before the loss of power.
    pub(crate) fn effects_left(&self) -> Option<u64> {
        self.crash_at.map(|at| at.effect - self.effects)
    }

    /// The server of that host has had so many effects. True: its power is lost here.
    pub(crate) fn had_effects(&mut self, n: u64) -> bool {
        self.effects += n;
        self.crash_at.is_some_and(|at| self.effects >= at.effect)
    }

    /// Power is lost as it was planned.
    pub(crate) fn crash_as_planned(&mut self, host: usize) -> Verdict {
        match self.crash_at.take() {
            Some(CrashAt { keep, down, .. }) => self.crash(host, keep, down),
            None => Ok(()),
        }
    }

    /// The watcher sees the world, if the next event is one in which a server may have effects.
    pub(crate) fn show_watcher(&mut self) -> Verdict {
        let may = |event: &Event| match event {
            Event::Host(_, HostEvent::Own { event, .. }) => {
                matches!(event, OwnEvent::DeviceStep(_) | OwnEvent::Turn)
            }
            _ => false,
        };
        if !self.schedule.peek().is_some_and(may) {
            return Ok(());
        }
        let Some(mut watcher) = self.watch.0.take() else { return Ok(()) };
        let verdict = watcher(self);
        self.watch = Watch(Some(watcher));
        verdict
    }

    /// Is there somebody who looks at the world?
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.0.is_some()
    }

    /// Every fault is over, clients rest, and within that time every server must serve, all must hold the same tree, and
    /// a write must be answered.
    pub fn conclude(&mut self, ms: u64) -> Verdict {
        self.end_faults();
        self.mend(Mend::Network);
        self.rest(true);
        self.agree(self.now + ms * 1000)?;
        let Some(client) = self.clients.first_mut() else { return Ok(()) };
        (client.proved, client.probing) = (false, true);
        let deadline = self.now + ms * 1000;
        while !self.clients[0].proved {
            if self.now > deadline {
                return Err(format!("L1: {ms} ms after all servers agree no write was answered"));
            }
            self.advance()?;
        }
        Ok(())
    }
}
