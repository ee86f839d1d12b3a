//! Where a listener's sound comes from: the node protocol or a page. Both are driven alike.

use roles::contract::time::Time;

use super::super::sockets::{ConnId, Happened};
use super::super::survey::Known;
use super::heard::Heard;
use super::machine::World;
use super::node::NodeSource;
use super::page::PageSource;

/// A source of sound.
pub(crate) enum Source {
    Node(Box<NodeSource>),
    Page(PageSource),
}

impl Source {
    /// Asks for a song from its beginning.
    pub(crate) fn open(
        &mut self,
        now: Time,
        song: &Known,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) {
        match self {
            Source::Node(node) => node.open(now, song, world, heard),
            Source::Page(page) => page.open(now, song, 0.0, world),
        }
    }

    /// Asks for the same song from another place: a part from 0 to 1. False if the song has not
    /// even been opened.
    pub(crate) fn jump(
        &mut self,
        now: Time,
        song: &Known,
        part: f64,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) -> bool {
        match self {
            Source::Node(node) => node.jump(now, part, world, heard),
            Source::Page(page) => {
                page.open(now, song, part, world);
                true
            }
        }
    }

    /// Lets more sound come, or not.
    pub(crate) fn want(
        &mut self,
        now: Time,
        more: bool,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) {
        match self {
            Source::Node(node) if more => node.grant(now, world, heard),
            Source::Node(_) => (),
            Source::Page(page) => page.want(more, world),
        }
    }

    /// Whether [`Source::want`] must be called again when the buffer has sunk.
    pub(crate) fn wants_call(&self) -> bool {
        match self {
            Source::Node(node) => node.wants_call(),
            Source::Page(page) => page.is_paused(),
        }
    }

    /// Takes what has happened on one of the listener's connections.
    pub(crate) fn on_happened(
        &mut self,
        now: Time,
        (conn, happened): (ConnId, Happened),
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) {
        match self {
            Source::Node(node) => node.on_happened(now, conn, happened, world, heard),
            Source::Page(page) => page.on_happened(now, conn, happened, world, heard),
        }
    }

    /// Does what is due.
    pub(crate) fn on_tick(&mut self, now: Time, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        match self {
            Source::Node(node) => node.on_tick(now, world, heard),
            Source::Page(page) => page.on_tick(now, world, heard),
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Source::Node(node) => node.deadline(),
            Source::Page(page) => page.deadline(),
        }
    }
}
