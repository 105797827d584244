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

#[derive(Clone, Debug)]
struct Planned<E> {
    key: (u64, Class, u64),
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// The queue of what is to come.
#[derive(Clone, Debug)]
pub(crate) struct Schedule<E> {
    heap: BinaryHeap<Reverse<Planned<E>>>,
    planned: u64,
}

impl<E> Schedule<E> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }

    /// Plans an event for `at`, in microseconds.
    pub(crate) fn plan(&mut self, at: u64, class: Class, event: E) {
        self.planned += 1;
        self.heap.push(Reverse(Planned { key: (at, class, self.planned), event }));
    }

    /// The next event.
    pub(crate) fn peek(&self) -> Option<&E> {
        self.heap.peek().map(|Reverse(planned)| &planned.event)
    }

    /// The next event and its moment.
    pub(crate) fn next(&mut self) -> Option<(u64, Class, E)> {
        let Reverse(planned) = self.heap.pop()?;
        Some((planned.key.0, planned.key.1, planned.event))
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
