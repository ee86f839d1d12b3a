//! A shortage that no death explains. After a while the lowest member begins a census.

use alloc::vec::Vec;

use super::{FRUITLESS_MAX, NOBODY_LEFT, tally_of};
use crate::balance::{self, Shortage};
use crate::contract::member::{Cause, Tally};
use crate::cx::Cx;
use crate::mutants::RingMutant;
use crate::ring::Ring;

impl Ring {
    /// The roles may be out of balance without a death: after a merge, after a member has left, or
    /// after a change of role that failed. When the shortage persists, the lowest member of the
    /// ring begins a census. Only one member acts, so that two censuses do not fill one gap twice.
    pub(in crate::ring) fn check_shortage(&mut self, cx: &mut Cx<'_>) {
        let me = self.members.me();
        let lowest = self.members.living().next().map(|m| m.node) == Some(me.node);
        let living: Vec<Tally> = self.members.living().map(tally_of).collect();
        let (data, routers) = balance::count(&living);
        let shortage = balance::shortage(data, routers);
        let shortage = shortage.filter(|s| lowest && self.somebody_can(*s));
        let Some(shortage) = shortage.filter(|_| self.census.running.is_none()) else {
            self.census.shortage = None;
            return;
        };
        let (known, since) = *self.census.shortage.get_or_insert((shortage, cx.now));
        if known != shortage {
            // A different shortage starts the wait anew: the roles are still changing.
            self.census.shortage = Some((shortage, cx.now));
            return;
        }
        let wait = if shortage.total {
            NOBODY_LEFT
        } else {
            self.config.shortage_patience
        };
        // A member that could not leave its role in the last census will hardly be able to now, so
        // the wait doubles with each fruitless census.
        let wait = wait * (1 << self.census.fruitless.min(FRUITLESS_MAX));
        let counts = !self.config.mutants.has(RingMutant::NeverCounts);
        if cx.now.since(since) >= wait && self.may_switch(cx.now, shortage) && counts {
            self.census.shortage = Some((shortage, cx.now));
            // The attempt number is unique, because a member ignores an epoch that it has seen.
            let attempt = Cause::Shortage.attempt(self.census.own);
            self.census.own = self.census.own.wrapping_add(1);
            self.begin_census(cx, me, attempt);
        }
    }

    fn somebody_can(&self, shortage: Shortage) -> bool {
        let tallies: Vec<Tally> = self.members.living().map(tally_of).collect();
        !balance::candidates(shortage, &tallies).is_empty()
    }
}
