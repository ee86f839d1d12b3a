//! Checks on the copies once no more faults happen.

use crate::disk::DiskId;
use crate::disk_faults::REPAIR_WITHIN;
use crate::resident::Place;
use crate::workload::Ended;
use crate::world::World;
use roles::contract::id::{NodeId, SongId};
use roles::contract::limits::COPIES;
use roles::contract::partition::Partition;
use roles::contract::record::Role;
use roles::hash_ring::HashRing;
use roles::server::Server;
use std::collections::BTreeSet;
use std::time::Duration;

impl World {
    /// L4: every song is on all its owners and on no other data node.
    pub(crate) fn check_placement(&mut self) {
        match self.await_none(REPAIR_WITHIN, World::placement_fault) {
            Some(text) => self.violated("L4 every song is where it belongs", text),
            None => self.seen.placements_checked += 1,
        }
    }

    /// Whether the data node hands its songs over; it takes none meanwhile.
    pub(crate) fn is_leaving(&self, place: Place) -> bool {
        self.server_at(place).is_some_and(Server::is_leaving)
    }

    /// Whether the data node cannot finish its hand-over, because one of its songs is whole
    /// nowhere.
    pub(crate) fn is_stuck(&self, place: Place) -> bool {
        let data = self.servers(Role::Data);
        let whole = |song| self.is_whole_among(data.iter().copied(), song);
        let mut kept = self.nodes[place].disk.iter().flat_map(|disk| disk.songs());
        self.is_leaving(place) && !kept.all(whole)
    }

    pub(super) fn placement_fault(&self) -> Option<String> {
        let data = self.servers(Role::Data);
        let leaving = |place: &&Place| self.is_leaving(**place) && !self.is_stuck(**place);
        if let Some(place) = data.iter().find(leaving) {
            return Some(format!("{} is leaving", self.nodes[*place].name));
        }
        if data.iter().any(|place| self.is_leaving(*place)) {
            return None;
        }
        let circle = HashRing::of(data.iter().map(|p| (self.nodes[*p].identity.node, 1)));
        let disks = || data.iter().filter_map(|p| self.nodes[*p].disk.as_ref());
        let songs: BTreeSet<SongId> = disks().flat_map(|disk| disk.songs()).collect();
        let buried: BTreeSet<SongId> = disks().flat_map(|disk| disk.buried()).collect();
        let faults = songs.into_iter().map(|song| {
            let owners = if buried.contains(&song) {
                Vec::new()
            } else {
                circle.owners(Partition::of(song), COPIES)
            };
            self.misplaced(song, &owners, &data)
        });
        faults.flatten().next()
    }

    pub(super) fn misplaced(
        &self,
        song: SongId,
        owners: &[NodeId],
        data: &[Place],
    ) -> Option<String> {
        let disk = |place: &Place| self.nodes[*place].disk.as_ref();
        let unsound: Vec<Vec<u32>> = (data.iter())
            .filter_map(|place| disk(place)?.unsound(song))
            .collect();
        let mut bad = unsound.first().into_iter().flatten();
        if bad.any(|index| unsound.iter().all(|bad| bad.contains(index))) {
            return None; // A fragment that is good nowhere cannot be copied.
        }
        let wrong = data.iter().find(|place| {
            let owns = owners.contains(&self.nodes[**place].identity.node);
            owns != disk(place).is_some_and(|disk| disk.has(song))
        });
        if let Some(place) = wrong {
            let name = &self.nodes[*place].name;
            return Some(format!(
                "{song:?} shall be with {owners:?}, not so at {name}"
            ));
        }
        let rotten = |place: &&Place| {
            let unsound = disk(place).and_then(|disk| disk.unsound(song));
            unsound.is_some_and(|bad| !bad.is_empty())
        };
        let place = data.iter().find(rotten)?;
        Some(format!(
            "{song:?} is bad in part at {}",
            self.nodes[*place].name
        ))
    }

    /// S5: a removed song is on no disk and in no list, and cannot be read, as long as the disk of
    /// one running data node remembers the removal.
    pub(crate) fn check_removed(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let data = self.servers(Role::Data);
        let disks = || data.iter().filter_map(|p| self.nodes[*p].disk.as_ref());
        let gone: BTreeSet<SongId> = (self.keeping.removed.iter().copied())
            .filter(|song| disks().any(|disk| Some(true) == self.remembers(disk.id, *song)))
            .collect();
        if let Some(song) = gone
            .iter()
            .find(|song| disks().any(|disk| disk.has(**song)))
        {
            let text = format!("{song:?} is on a disk");
            return self.violated("S5 what is removed does not return", text);
        }
        for place in self.servers(Role::Router) {
            let listed = self.list_of(place).unwrap_or_default();
            if let Some(risen) = listed.iter().find(|listed| gone.contains(&listed.song.id)) {
                let text = format!("{} lists {:?}", self.nodes[place].name, risen.song.id);
                return self.violated("S5 what is removed does not return", text);
            }
        }
        self.check_unreadable(&gone);
    }

    pub(super) fn remembers(&self, disk: DiskId, song: SongId) -> Option<bool> {
        Some(self.keeping.buried.get(&song)?.contains(&disk))
    }

    pub(super) fn check_unreadable(&mut self, gone: &BTreeSet<SongId>) {
        let Some(client) = self.clients().first().copied() else {
            return;
        };
        for song in gone.iter().take(2) {
            let operation = self.open(client, *song);
            let ended = self.end_of(client, operation, Duration::from_secs(30));
            if !matches!(ended, Some(Ended::Failed(_))) {
                let text = format!("{song:?} is read: {ended:?}");
                self.violated("S5 what is removed does not return", text);
            }
        }
    }

    /// A song that no user has uploaded is accepted, with two copies at once where two nodes take
    /// songs.
    pub(crate) fn check_upload(&mut self) {
        let known = |song: &SongId| self.checks.promise(*song).is_some();
        let count = self.music.len() as u64;
        let fresh = (0..count).find(|source| {
            let tune = self.music.tune(*source);
            tune.is_some_and(|tune| {
                !known(&tune.id()) && !self.keeping.unwanted.contains(&tune.id())
            })
        });
        let (Some(source), Some(client)) = (fresh, self.clients().first().copied()) else {
            return;
        };
        if self.violation.is_some() {
            return;
        }
        let operation = self.upload(client, source);
        let ended = self.end_of(client, operation, Duration::from_secs(60));
        let takes = |place: &&Place| !self.is_leaving(**place);
        let needed = self.servers(Role::Data).iter().filter(takes).count().min(2);
        let taken =
            matches!(ended, Some(Ended::Uploaded { copies, .. }) if usize::from(copies) >= needed);
        if !taken {
            let text = format!("source {source}: {ended:?}");
            self.violated("uploads are taken", text);
        }
    }
}
