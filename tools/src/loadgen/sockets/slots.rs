//! Places for connections. A place is used again, an id is not: what names a connection that is gone
//! finds nothing.

use mio::Token;

use super::conn::Conn;

/// Names one connection for ever: a slot, and which of the slot's users it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId {
    slot: u32,
    /// From 1, so that no connection has the token 0.
    generation: u32,
}

/// All slots.
#[derive(Default)]
pub(super) struct Slots {
    all: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    /// Reserved or used.
    taken: bool,
    conn: Option<Conn>,
}

impl Slots {
    /// An id for a connection that is about to be put there.
    pub(super) fn reserve(&mut self) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.all.push(Slot::default());
            self.all.len() as u32 - 1
        });
        let entry = &mut self.all[slot as usize];
        entry.generation += 1;
        entry.taken = true;
        let generation = entry.generation;
        ConnId { slot, generation }
    }

    /// Puts a connection into its slot.
    pub(super) fn put(&mut self, id: ConnId, conn: Conn) {
        self.all[id.slot as usize].conn = Some(conn);
    }

    pub(super) fn get(&mut self, id: ConnId) -> Option<&mut Conn> {
        let slot = self.all.get_mut(id.slot as usize)?;
        let present = slot.generation == id.generation;
        slot.conn.as_mut().filter(|_| present)
    }

    /// Frees a slot, whether it was only reserved or holds a connection.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let slot = self.all.get_mut(id.slot as usize)?;
        if slot.generation != id.generation || !slot.taken {
            return None;
        }
        slot.taken = false;
        self.free.push(id.slot);
        slot.conn.take()
    }
}

impl ConnId {
    pub(super) fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.slot as usize)
    }

    pub(super) fn of(token: Token) -> Self {
        ConnId {
            slot: token.0 as u32,
            generation: (token.0 >> 32) as u32,
        }
    }
}
