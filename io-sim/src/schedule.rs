//! Future events ordered by time, then kind, then the order in which they were planned. No randomness.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What comes first when several things happen at the same moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    /// Bytes, completions, faults.
    Fact,
    /// Timers: all bytes received by then come first.
    Timer,
    /// Collecting effects: all facts of the moment come first.
    Turn,
}

/// When an event is due: its moment, its class, its turn among those, and where it is kept. No two are equal.
type Key = (u64, Class, u64, u32);

/// The queue of what is to come. Events stay where they are while their keys move about.
#[derive(Clone, Debug)]
pub(crate) struct Schedule<E> {
    heap: BinaryHeap<Reverse<Key>>,
    events: Vec<Option<E>>,
    /// Places in `events` that are empty.
    free: Vec<u32>,
    planned: u64,
}

impl<E> Schedule<E> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), planned: 0 }
    }

    /// Plans an event for `at`, in microseconds.
    pub(crate) fn plan(&mut self, at: u64, class: Class, event: E) {
        self.planned += 1;
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                (self.events.len() - 1) as u32
            }
        };
        self.heap.push(Reverse((at, class, self.planned, place)));
    }

    /// The next event.
    pub(crate) fn peek(&self) -> Option<&E> {
        let Reverse((.., place)) = self.heap.peek()?;
        self.events[*place as usize].as_ref()
    }

    /// The next event and its moment.
    pub(crate) fn next(&mut self) -> Option<(u64, Class, E)> {
        let Reverse((at, class, _, place)) = self.heap.pop()?;
        self.free.push(place);
        Some((at, class, self.events[place as usize].take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_before_timers_and_timers_before_turns() {
        let mut schedule = Schedule::new();
        schedule.plan(5, Class::Turn, "turn");
        schedule.plan(5, Class::Timer, "timer");
        schedule.plan(5, Class::Fact, "one");
        schedule.plan(5, Class::Fact, "two");
        schedule.plan(4, Class::Turn, "earlier");
        let order: Vec<&str> =
            std::iter::from_fn(|| schedule.next()).map(|(_, _, event)| event).collect();
        assert_eq!(order, ["earlier", "one", "two", "timer", "turn"]);
    }
}
