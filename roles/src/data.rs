//! Keeps songs and gives them, fragment by fragment.
//!
//! Owns the jobs behind each question to this data node, and sorts replies and answers to the
//! parts that wait for them. Telling the routers is [`announcer`]'s business, making copies
//! [`replication`]', comparing with the others [`anti_entropy`]'s.

pub mod announcer;
mod answers;
pub mod anti_entropy;
mod awaiting_routers;
mod digests;
mod disk;
mod intake;
mod maintenance;
mod placement;
mod removal;
pub mod replication;
mod scrub;
mod stream;

use alloc::vec::Vec;
use core::time::Duration;

use crate::anomalies::Anomalies;
use crate::contract::id::{JobId, NodeId, SongId};
use crate::contract::job::{JobFault, JobReply, LibraryJob, Overview};
use crate::contract::limits::PAGE_SONGS_MAX;
use crate::contract::message::{Audio, Envelope, Refusal};
use crate::contract::node::{Asker, Lost, Outbox, Peer};
use crate::contract::record::{Address, Record};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::Level;
use crate::jobs::Jobs;
use crate::requests::Requester;

use announcer::Announcer;
use answers::answer_to;
use anti_entropy::AntiEntropy;
use awaiting_routers::AwaitingRouters;
use digests::Chosen;
use disk::Disk;
pub use maintenance::Queue;
use maintenance::{Silence, on_sums};
use removal::Removal;
use replication::Replication;
use scrub::Scrub;
use stream::Stream;

/// How a data node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it keeps its copies in order.
    pub anti_entropy: anti_entropy::Config,
    /// Between two announcements to a router when nothing changes.
    pub announce_every: Duration,
    /// An upload nobody has touched for so long is forgotten.
    pub upload_untouched: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            anti_entropy: anti_entropy::Config::default(),
            announce_every: Duration::from_secs(20),
            upload_untouched: Duration::from_secs(24 * 3600),
        }
    }
}

/// Between two warnings of a full disk.
const FULL_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Between two sweeps of uploads nobody has touched.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// How long a data node waits that found its library's readers busy.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What this node knows of the others while it handles one event.
#[derive(Clone, Copy, Debug)]
pub struct Others<'a> {
    /// Every other data node that lives and takes songs.
    pub data: &'a [Record],
    /// Data nodes that live and take no songs: they hand over, or their disk does not answer.
    pub leaving: &'a [Record],
    /// Data nodes that have died, and when.
    pub dead: &'a [(Record, Time)],
    /// Every router the DNS names.
    pub routers: &'a [Record],
    /// This node's own record.
    pub own: Record,
    /// This node is handing its songs over: it owns none.
    pub draining: bool,
}

/// A data node.
#[derive(Debug)]
pub struct Data {
    config: Config,
    jobs: Jobs<Purpose>,
    announcer: Announcer,
    copies: Replication,
    untold: AwaitingRouters,
    anti_entropy: AntiEntropy,
    scrub: Scrub,
    removal: Removal,
    disk: Disk,
    overview: Option<Overview>,
    /// Until then nothing is announced that might have been removed meanwhile.
    silence: Option<Silence>,
    /// When the library is looked into again, its readers having been busy.
    look_at: Option<Time>,
    sweep_at: Time,
    /// A full disk has been told of until then.
    full_told_until: Time,
    anomalies: Anomalies,
}

/// What a job was ordered for.
#[derive(Debug)]
enum Purpose {
    /// The numbers of the library, at the start.
    Overview,
    Sweep,
    /// An answer whose shape follows from the reply alone.
    Answer(Asker),
    /// Sums of these partitions, of each or of groups.
    Sums(Asker, Chosen, bool),
    /// A removal, or the copy of one.
    Bury(Asker, Vec<SongId>, bool),
    Reclaim,
    /// To see whether the disk answers.
    Probe,
    Fetch(Stream),
    Offer(Asker, SongId, bool),
    Give(Asker),
    /// With the nodes that shall get a copy, as they were written to disk with the song; `None` if
    /// it is a copy itself.
    Commit(Asker, SongId, Option<Vec<NodeId>>),
}

impl Data {
    /// A data node that has not looked into its library yet.
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let mut part = || Rng::from_seed(rng.bits());
        Data {
            jobs: Jobs::new(Requester::Data),
            announcer: Announcer::new(config.announce_every, part()),
            copies: Replication::new(&config.anti_entropy, part()),
            untold: AwaitingRouters::default(),
            anti_entropy: AntiEntropy::new(config.anti_entropy.clone(), part()),
            scrub: Scrub::new(&config.anti_entropy, part()),
            removal: Removal::new(config.anti_entropy.mutant, part()),
            disk: Disk::default(),
            overview: None,
            silence: None,
            look_at: None,
            sweep_at: Time::ZERO,
            full_told_until: Time::ZERO,
            anomalies: Anomalies::default(),
            config,
        }
    }

    /// Looks into the library, takes up the copies that were still to be made.
    pub fn start(&mut self, now: Time, out: &mut Outbox) {
        self.jobs.run(Purpose::Overview, LibraryJob::Overview, out);
        self.sweep(now, out);
        self.copies.start(out);
        self.scrub.arm(now);
    }

    /// Answers a question about songs.
    pub fn on_question(
        &mut self,
        asker: Asker,
        audio: Audio,
        body: Vec<u8>,
        others: Others<'_>,
        out: &mut Outbox,
    ) {
        match audio {
            Audio::ListSongs { after, limit } => self.on_list_songs(asker, after, limit, out),
            Audio::Describe { song } => {
                let purpose = Purpose::Answer(asker);
                self.jobs.run(purpose, LibraryJob::Describe { song }, out);
            }
            Audio::Fetch { song, from, count } => self.on_fetch(asker, song, from, count, out),
            Audio::Offer { manifest, copy } => self.on_offer(asker, manifest, copy, out),
            Audio::Give { song, index } => self.on_give(asker, song, index, body, out),
            Audio::Commit { song, copy } => self.on_commit(asker, (song, copy), others, out),
            Audio::SongPage { .. }
            | Audio::Described { .. }
            | Audio::Chunk { .. }
            | Audio::Wanted { .. }
            | Audio::Taken
            | Audio::Stored { .. } => out.refuse(asker, Refusal::WrongRole),
        }
    }

    fn on_list_songs(&mut self, asker: Asker, after: Option<SongId>, limit: u32, out: &mut Outbox) {
        let limit = limit.clamp(1, PAGE_SONGS_MAX as u32);
        let job = LibraryJob::Songs { after, limit };
        self.jobs.run(Purpose::Answer(asker), job, out);
    }

    /// Takes the reply of a job that a question was waiting for.
    fn on_own_done(
        &mut self,
        now: Time,
        job: JobId,
        reply: JobReply,
        others: Others<'_>,
        out: &mut Outbox,
    ) {
        let Some(purpose) = self.jobs.done(job) else {
            return;
        };
        if reply == JobReply::Failed(JobFault::DiskFull) {
            self.warn_of_full_disk(now, out);
        }
        match purpose {
            Purpose::Overview => self.on_overview(now, reply, out),
            Purpose::Sweep | Purpose::Probe => (),
            Purpose::Reclaim => self.on_reclaimed(&reply, out),
            Purpose::Sums(asker, chosen, each) => on_sums(asker, &chosen, each, reply, out),
            Purpose::Bury(asker, songs, copy) => {
                self.on_buried(now, (asker, songs, copy), reply, others, out);
            }
            Purpose::Answer(asker) => out.answer(asker, answer_to(reply)),
            Purpose::Give(asker) => {
                self.doubt_bytes(asker, &reply, out);
                out.answer(asker, answer_to(reply));
            }
            Purpose::Fetch(stream) => self.on_fragment(now, stream, reply, out),
            Purpose::Offer(asker, song, copy) => {
                self.on_begun(now, (asker, song, copy), reply, others, out);
            }
            Purpose::Commit(asker, song, owners) => {
                self.on_committed(now, (asker, song, owners), reply, others, out);
            }
        }
    }

    /// Uploads are refused: whoever looks after this machine is told now and then.
    fn warn_of_full_disk(&mut self, now: Time, out: &mut Outbox) {
        if self.full_told_until <= now {
            self.full_told_until = now + FULL_TOLD_EVERY;
            out.fact(Level::Warn, "disk full: songs are refused".into());
        }
    }

    fn on_overview(&mut self, now: Time, reply: JobReply, out: &mut Outbox) {
        if let JobReply::Overview(overview) = reply {
            self.scrub.start(&overview, out);
            self.hold_back(now, &overview);
            return self.change(now, overview);
        }
        // Without it no router would ever hear of this node's songs.
        self.look_at = Some(now + LOOK_AGAIN);
        if reply != JobReply::Failed(JobFault::Busy) {
            let line = alloc::format!("library cannot be read: {reply:?}");
            out.fact(Level::Error, line);
        }
    }

    /// The library has changed: the routers hear of it at once.
    fn change(&mut self, now: Time, overview: Overview) {
        let newer = |old: Overview| old.revision < overview.revision;
        if self.overview.is_none_or(newer) {
            self.overview = Some(overview);
            self.announcer.on_change(now);
        }
    }

    /// Takes an answer to a question of this data node.
    pub fn on_answer(
        &mut self,
        now: Time,
        from: Peer,
        envelope: Envelope,
        others: Others<'_>,
        out: &mut Outbox,
    ) {
        match Requester::of(envelope.id.0) {
            Some(Requester::Announcer) => {
                self.announcer.on_answer(now, from, envelope, out);
            }
            Some(Requester::Replication) => {
                let made = self.copies.on_answer(now, from, envelope, others.data, out);
                self.answer_uploads(now, made);
            }
            Some(Requester::Upkeep) => self
                .anti_entropy
                .on_answer(now, from, envelope, others, out),
            Some(Requester::Scrub) => self.scrub.on_answer(now, from, envelope, out),
            Some(Requester::Removal) => self.removal.on_answer(now, from, envelope, out),
            Some(
                Requester::Registrar
                | Requester::Resolver
                | Requester::Dns
                | Requester::Data
                | Requester::Assignment
                | Requester::Client
                | Requester::Ring
                | Requester::Chord
                | Requester::Locator,
            )
            | None => (),
        }
        self.announce(now, others, out);
    }

    /// Takes the reply of a job.
    pub fn on_done(
        &mut self,
        now: Time,
        job: JobId,
        reply: JobReply,
        others: Others<'_>,
        out: &mut Outbox,
    ) {
        self.disk.on_reply(now, &reply);
        match Requester::of(job.0) {
            Some(Requester::Data) => self.on_own_done(now, job, reply, others, out),
            Some(Requester::Announcer) => {
                let news = self.news(others.own);
                self.announcer.on_done(now, job, reply, news, out);
            }
            Some(Requester::Replication) => {
                let made = self.copies.on_done(now, job, reply, others.data, out);
                self.answer_uploads(now, made);
                for fragment in self.copies.take_rotten() {
                    self.scrub.on_rot(fragment, out);
                }
            }
            Some(Requester::Upkeep) => self.anti_entropy.on_done(now, job, reply, others, out),
            Some(Requester::Scrub) => self.scrub.on_done(now, job, reply, others, out),
            Some(
                Requester::Registrar
                | Requester::Resolver
                | Requester::Dns
                | Requester::Assignment
                | Requester::Client
                | Requester::Ring
                | Requester::Removal
                | Requester::Chord
                | Requester::Locator,
            )
            | None => (),
        }
        self.announce(now, others, out);
    }

    /// A peer is lost.
    pub fn on_lost(
        &mut self,
        now: Time,
        peer: Peer,
        why: Lost,
        others: Others<'_>,
        out: &mut Outbox,
    ) {
        self.announcer.on_lost(now, peer, why, out);
        let made = self.copies.on_lost(now, peer, why, others.data, out);
        self.answer_uploads(now, made);
        self.anti_entropy.on_lost(now, peer, why, others, out);
        self.scrub.on_lost(now, peer, why, out);
        self.removal.on_lost(now, peer, why, out);
        self.keep_up(now, others, out);
        self.answer_told(now, out);
    }

    /// Announces, copies, sweeps what is due.
    pub fn on_tick(&mut self, now: Time, others: Others<'_>, out: &mut Outbox) {
        if self.sweep_at <= now {
            self.sweep(now, out);
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            self.jobs.run(Purpose::Overview, LibraryJob::Overview, out);
        }
        self.announcer.on_tick(now, out);
        let made = self.copies.on_tick(now, others.data, out);
        self.answer_uploads(now, made);
        self.anti_entropy.on_tick(now, others, out);
        let overview = self.overview.unwrap_or_default();
        self.scrub.on_tick(now, overview, others, out);
        self.removal.on_tick(now, out);
        self.announce(now, others, out);
    }

    /// Tells every router that is due.
    pub fn announce(&mut self, now: Time, others: Others<'_>, out: &mut Outbox) {
        self.keep_up(now, others, out);
        if self.overview.is_some() && !self.is_held_back(now, others) {
            let news = self.news(others.own);
            self.announcer.announce(now, others.routers, news, out);
        }
        self.answer_told(now, out);
    }

    /// When [`Data::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        let silent = self.silence.map(|silence| silence.until());
        let announcer = self.announcer.deadline().max(silent);
        let uploads = earlier(self.copies.deadline(), self.untold.deadline());
        let parts = earlier(announcer, uploads);
        // Before the library is known nothing can be compared.
        let waits = self.overview.is_none() || self.copies.repairs() > 0;
        let anti_entropy = self.anti_entropy.deadline(waits);
        let upkeep = earlier(
            anti_entropy,
            earlier(self.scrub.deadline(), self.removal.deadline()),
        );
        let own = earlier(self.look_at, Some(self.sweep_at));
        earlier(earlier(parts, upkeep), earlier(own, silent))
    }

    fn sweep(&mut self, now: Time, out: &mut Outbox) {
        self.sweep_at = now + SWEEP_EVERY;
        let untouched_s = self.config.upload_untouched.as_secs();
        let job = LibraryJob::SweepUploads { untouched_s };
        self.jobs.run(Purpose::Sweep, job, out);
    }

    /// What others have said of copies that it could not believe.
    pub fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    /// Jobs that wait here: what a client weighs when it chooses among holders.
    pub fn load(&self) -> u16 {
        u16::try_from(self.jobs.len()).unwrap_or(u16::MAX)
    }

    /// Whether its disk has not answered for a while; looked at about once a second.
    pub fn is_sick(&mut self, now: Time, out: &mut Outbox) -> bool {
        if self.disk.wants_probe(now, !self.jobs.is_empty()) {
            self.jobs.run(Purpose::Probe, LibraryJob::Overview, out);
        }
        self.disk.is_sick(now)
    }

    /// Whether somebody waits for a song to be taken in: the node cannot leave its role meanwhile.
    pub fn is_taking(&self) -> bool {
        let takes = |purpose: &Purpose| matches!(purpose, Purpose::Offer(..) | Purpose::Commit(..));
        self.copies.is_awaited() || !self.untold.is_empty() || self.jobs.purposes().any(takes)
    }
}

/// Where a node listens, if the DNS names it.
fn address_of(node: NodeId, data: &[Record]) -> Option<Address> {
    (data.iter().find(|r| r.node == node)).map(|r| r.address)
}

#[cfg(test)]
mod tests;
