//! The event queue: what is planned, in order of (time, sequence).
//!
//! Two things planned for the same moment happen in the order in which they were planned. A run is
//! therefore a function of its seed and of nothing else.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use roles::contract::time::Time;

/// Things planned, earliest first.
#[derive(Debug)]
pub struct EventQueue<T> {
    order: BinaryHeap<Reverse<(Time, u64, usize)>>,
    /// The heap moves only numbers; the planned things stay in place here.
    things: Vec<Option<T>>,
    free: Vec<usize>,
    count: u64,
}

impl<T> Default for EventQueue<T> {
    fn default() -> Self {
        EventQueue {
            order: BinaryHeap::new(),
            things: Vec::new(),
            free: Vec::new(),
            count: 0,
        }
    }
}

impl<T> EventQueue<T> {
    /// Plans `thing` for `at`.
    pub fn plan(&mut self, at: Time, thing: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            self.things.len() - 1
        });
        self.things[place] = Some(thing);
        self.order.push(Reverse((at, self.count, place)));
        self.count += 1;
    }

    /// The time of the next planned thing.
    pub fn next(&self) -> Option<Time> {
        self.order.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes the next planned thing out of the queue.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        let Reverse((at, _, place)) = self.order.pop()?;
        self.free.push(place);
        let thing = self.things[place].take()?;
        Some((at, thing))
    }

    /// How many things are planned.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing is planned.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_first_happens_first() {
        let mut agenda = EventQueue::default();
        let at = Time::from_secs;
        agenda.plan(at(2), 'c');
        agenda.plan(at(1), 'a');
        agenda.plan(at(1), 'b');
        let order: Vec<char> = std::iter::from_fn(|| agenda.pop().map(|(_, c)| c)).collect();
        assert_eq!(order, ['a', 'b', 'c']);
    }
}
