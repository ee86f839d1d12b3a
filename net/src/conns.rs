//! All connections of a loop, in slots with generations.
//!
//! A slot is reused, but a [`ConnId`] is not: an event, a timer or a completion that names a closed
//! connection finds nothing.

use std::collections::BTreeSet;

use mio::Token;
use roles::contract::time::Time;

use crate::conn::Conn;

/// A connection, for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId {
    index: u32,
    generation: u32,
}

// Index and generation share a token.
const _: () = assert!(size_of::<usize>() >= 8);

impl ConnId {
    pub(crate) fn token(self) -> Token {
        Token(((u64::from(self.generation) << 32) | u64::from(self.index)) as usize)
    }

    pub(crate) fn from_token(token: Token) -> Self {
        let bits = token.0 as u64;
        ConnId {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

/// Slots with connections, and the connections' timers.
#[derive(Default)]
pub(crate) struct Conns {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// At most one entry per connection, never later than the connection's deadline. When an entry
    /// is due, the connection checks whether its deadline has really come.
    timers: BTreeSet<(Time, ConnId)>,
    count: usize,
}

struct Slot {
    generation: u32,
    conn: Option<Box<Conn>>,
}

impl Conns {
    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The id under which the next connection will live.
    pub(crate) fn next_id(&mut self) -> ConnId {
        let index = match self.free.last() {
            Some(index) => *index,
            None => {
                self.slots.push(Slot {
                    // Tokens of generation 0 belong to listeners and the waker.
                    generation: 1,
                    conn: None,
                });
                let index = self.slots.len() as u32 - 1;
                self.free.push(index);
                index
            }
        };
        ConnId {
            index,
            generation: self.slots[index as usize].generation,
        }
    }

    /// Puts a connection into the slot that [`Conns::next_id`] named.
    pub(crate) fn insert(&mut self, conn: Conn) -> ConnId {
        let id = self.next_id();
        self.free.pop();
        self.slots[id.index as usize].conn = Some(Box::new(conn));
        self.count += 1;
        id
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        let slot = self.slots.get(id.index as usize)?;
        let conn = slot.conn.as_deref()?;
        (slot.generation == id.generation).then_some(conn)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.index as usize)?;
        let conn = slot.conn.as_deref_mut()?;
        (slot.generation == id.generation).then_some(conn)
    }

    /// Removes a connection. Its id is never given to another connection.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Box<Conn>> {
        self.get(id)?;
        let slot = &mut self.slots[id.index as usize];
        let conn = slot.conn.take()?;
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        self.free.push(id.index);
        self.count -= 1;
        if let Some(at) = conn.armed {
            self.timers.remove(&(at, id));
        }
        Some(conn)
    }

    /// Every connection, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = ConnId {
                index: index as u32,
                generation: slot.generation,
            };
            slot.conn.as_deref().map(|conn| (id, conn))
        })
    }

    /// Ensures a timer at or before the connection's deadline. An entry that is too early stays,
    /// because moving it at every frame costs more than one needless check.
    pub(crate) fn arm(&mut self, id: ConnId) {
        let Some(conn) = self.get_mut(id) else {
            return;
        };
        let (Some(due), armed) = (conn.deadline(), conn.armed) else {
            return;
        };
        if armed.is_some_and(|armed| armed <= due) {
            return;
        }
        conn.armed = Some(due);
        if let Some(armed) = armed {
            self.timers.remove(&(armed, id));
        }
        self.timers.insert((due, id));
    }

    /// The time of the earliest timer.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest timer whose time has come.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<ConnId> {
        let (at, id) = *self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        if let Some(conn) = self.get_mut(id) {
            conn.armed = None;
        }
        Some(id)
    }

    /// The guest that has been idle for longest.
    pub(crate) fn idlest_guest(&self) -> Option<ConnId> {
        let idle = self.iter().filter(|(_, conn)| conn.is_idle_guest());
        let idlest = idle.min_by_key(|(_, conn)| conn.active_at);
        idlest.map(|(id, _)| id)
    }
}
