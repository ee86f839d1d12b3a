//! What all operations of a client share: timers, and what it knows of servers.

use alloc::vec::Vec;
use core::time::Duration;

use super::manifests::Manifests;
use super::peers::Peers;
use super::{Config, Purpose, failed, unreachable};
use crate::anomalies::Anomalies;
use crate::contract::id::OperationId;
use crate::contract::job::ClientJob;
use crate::contract::limits::DNS_NODES_MAX;
use crate::contract::message::Holder;
use crate::contract::node::Lost;
use crate::contract::record::{Address, Record, Role};
use crate::contract::rng::Rng;
use crate::contract::song::Manifest;
use crate::contract::time::Time;
use crate::contract::timers::Timers;
use crate::contract::user::{Failure, Notice};
use crate::cx::Cx;
use crate::locator::Locator;
use crate::purpose::Ordered;
use crate::resolver::Resolver;

/// The state that all operations share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) resolver: Resolver,
    pub(super) locator: Locator<OperationId>,
    pub(super) timers: Timers<OperationId>,
    pub(super) peers: Peers,
    pub(super) manifests: Manifests,
    pub(super) anomalies: Anomalies,
    pub(super) rng: Rng,
    /// This client, in the versions of what it writes.
    pub(super) writer: u128,
    /// The latest clock under which it has written.
    pub(super) clock: u64,
    /// Whether a look-up of the routers has ended since the start, with or without success.
    pub(super) looked_up: bool,
    /// When those who wait for the look-up go on with the routers that are known.
    pub(super) hurry_at: Option<Time>,
    /// Why the last look-up of the routers failed, if it did.
    pub(super) dns_lost: Option<Lost>,
    /// The cause of the last failed dial that started a backoff. It stands in for `Lost::Backoff`
    /// in what the user sees.
    pub(super) undialled: Option<Lost>,
    /// Whether a server has answered: then this client's key is the cluster's.
    pub(super) key_accepted: bool,
    /// The routers and DNS nodes stored on disk for a later run.
    pub(super) remembered: Vec<Record>,
}

impl Shared {
    /// Names the cause of a backoff in place of the backoff. A server that was dialled in vain for
    /// one operation is not dialled for the next, which fails for the same reason.
    pub(super) fn with_cause(&self, notice: Notice) -> Notice {
        match (notice, self.undialled) {
            (
                Notice::Failed {
                    operation,
                    failure:
                        Failure::Unreachable {
                            role,
                            last: Some(Lost::Backoff),
                        },
                },
                Some(cause),
            ) => self.unless_accepted(failed(operation, unreachable(role, Some(cause)))),
            (notice, _) => self.unless_accepted(notice),
        }
    }

    /// A refused key is none, if a server has answered: the server that closed was stopped then.
    fn unless_accepted(&self, notice: Notice) -> Notice {
        let Notice::Failed {
            operation,
            failure: Failure::KeyRefused,
        } = &notice
        else {
            return notice;
        };
        if !self.key_accepted {
            return notice;
        }
        let role = match self.dns_lost {
            Some(_) => Role::Dns,
            None => Role::Router,
        };
        let last = Some(Lost::HandshakeRefused);
        failed(*operation, Failure::Unreachable { role, last })
    }

    /// Looks the routers up, and the DNS nodes, if that is due; false if no question could be sent.
    pub(super) fn look_up(&mut self, cx: &mut Cx<'_>) -> bool {
        let asking = self.resolver.resolve(cx, Role::Router);
        if !self.resolver.is_fresh(cx.now, Role::Dns) {
            self.resolver.resolve(cx, Role::Dns);
        }
        asking
    }

    /// Stores the routers and DNS nodes for a later run, if they differ from those on disk.
    pub(super) fn remember_peers(&mut self, cx: &mut Cx<'_>) {
        let place = |record: &Record| (record.node, record.address);
        let mut records = Vec::new();
        for (role, most) in [(Role::Router, 64), (Role::Dns, DNS_NODES_MAX)] {
            let mut some = self.resolver.records(role).to_vec();
            some.sort_unstable_by_key(place);
            some.truncate(most);
            if some.is_empty() {
                // What was known before is all there is.
                let before = self.remembered.iter().filter(|r| r.role == role);
                some.extend(before.copied());
            }
            records.extend(some);
        }
        let same = records
            .iter()
            .map(place)
            .eq(self.remembered.iter().map(place));
        if !records.is_empty() && !same {
            self.remembered.clone_from(&records);
            cx.run(
                Ordered::Client(Purpose::Note),
                ClientJob::RememberPeers { records },
            );
        }
    }

    /// Notes what a router says of the holders of a song, before they are asked.
    pub(super) fn meet(&mut self, cx: &mut Cx<'_>, holders: &[Holder]) {
        for holder in holders {
            self.peers.on_load(holder.address, holder.load);
            cx.out.meet(holder.address, holder.features);
        }
    }

    /// Whether a song is cached. A song larger than half the cache would displace all others.
    pub(super) fn caches(&self, manifest: &Manifest) -> bool {
        manifest.song.bytes <= self.config.cache_bytes / 2
    }

    /// Whether what this holder gives of a song is cached. What a node of this process holds would
    /// lie on the disk twice.
    pub(super) fn caches_from(&self, holder: Address, manifest: &Manifest) -> bool {
        self.caches(manifest) && !self.config.here.contains(&holder)
    }

    /// Lets an operation go on after a pause.
    pub(super) fn pause(&mut self, now: Time, operation: OperationId, pause: Duration) {
        let at = now + self.rng.upper_half(pause);
        self.timers.arm(operation, at);
    }
}
