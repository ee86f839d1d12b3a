//! The data role: stores songs, and serves them fragment by fragment.
//!
//! Owns the jobs behind each question to this data node, and passes replies and answers to the
//! parts that wait for them. Telling the routers is [`announcer`]'s business, making copies
//! [`replication`]'s, and finding missing copies [`anti_entropy`]'s.

mod acknowledgements;
pub mod announcer;
mod answers;
pub mod anti_entropy;
pub(crate) mod digests;
mod disk;
mod documents;
mod exchange;
mod intake;
mod maintenance;
mod mending;
mod placement;
mod removal;
pub mod replication;
mod room;
mod scrub;
mod stream;
mod tagging;
mod trash;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::anomalies::Anomalies;
use crate::contract::id::{NodeId, SongId};
use crate::contract::job::{FragmentId, JobFault, JobReply, LibraryJob, Overview};
use crate::contract::limits::PAGE_SONGS_MAX;
use crate::contract::message::{Audio, Refusal};
use crate::contract::node::Asker;
use crate::contract::record::{Address, Record};
use crate::contract::repeats::Repeats;
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::Level;
use crate::cx::Cx;
use crate::mutants::DocumentMutants;
use crate::ownership::Owners;
use crate::purpose::data::Purpose;
use crate::purpose::{Asked, Ordered};
use crate::requests::Reply;

use acknowledgements::Acknowledgements;
use announcer::Announcer;
use answers::answer_to;
use anti_entropy::AntiEntropy;
use disk::Disk;
use documents::Writes;
pub use maintenance::Queue;
use maintenance::{Silence, on_sums};
use mending::Mending;
use removal::Removal;
use replication::Replication;
use room::Room;
use scrub::Scrub;
use tagging::Tagging;
use trash::Trash;

/// How a data node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it keeps its copies in order.
    pub anti_entropy: anti_entropy::Config,
    /// The time between two announcements to a router when nothing changes.
    pub announce_every: Duration,
    /// An unfinished upload that receives nothing for this time is deleted.
    pub upload_untouched: Duration,
    /// How long a removed song can be taken back; zero: it is removed for good at once.
    pub trash_keep: Duration,
    /// Planted mistakes about what listeners write, for tests.
    pub mutants: DocumentMutants,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            anti_entropy: anti_entropy::Config::default(),
            announce_every: Duration::from_secs(20),
            upload_untouched: Duration::from_secs(24 * 3600),
            trash_keep: Duration::from_secs(30 * 24 * 3600),
            mutants: DocumentMutants::default(),
        }
    }
}

/// Between two sweeps of uploads nobody has touched.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// The time until a library whose overview could not be read is asked again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What this node knows of the other nodes while it handles one event.
#[derive(Clone, Copy, Debug)]
pub struct Others<'a> {
    /// Every other live data node that takes songs.
    pub data: &'a [Record],
    /// Live data nodes that take no songs: they drain, or their disk does not answer.
    pub leaving: &'a [Record],
    /// Dead data nodes, each with the time of its death.
    pub dead: &'a [(Record, Time)],
    /// Every router the DNS names.
    pub routers: &'a [Record],
    /// Who owns which songs, by the data nodes that take songs, this one among them.
    pub owners: &'a Arc<Owners>,
    /// This node's own record.
    pub own: Record,
    /// This node hands its songs over, so it owns none.
    pub draining: bool,
    /// This node's clock: milliseconds since 1970, 0 while its host has given none.
    pub unix_ms: u64,
}

/// A data node.
#[derive(Debug)]
pub struct Data {
    config: Config,
    announcer: Announcer,
    copies: Replication,
    acknowledgements: Acknowledgements,
    anti_entropy: AntiEntropy,
    scrub: Scrub,
    removal: Removal,
    trash: Trash,
    writes: Writes,
    disk: Disk,
    mending: Mending,
    tagging: Tagging,
    overview: Option<Overview>,
    /// While it lasts nothing is announced, because songs may have been removed elsewhere.
    silence: Option<Silence>,
    /// When the overview is read again, after reading it failed.
    look_at: Option<Time>,
    /// The failures to read it.
    unread: Repeats,
    /// This node hands its songs over in order to end, not to change its role.
    ends: bool,
    sweep_at: Time,
    room: Room,
    anomalies: Anomalies,
}

impl Data {
    /// A data node that has not read its library yet.
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let mut part = || Rng::from_seed(rng.bits());
        Data {
            announcer: Announcer::new(config.announce_every, part(), config.mutants),
            copies: Replication::new(&config.anti_entropy, part()),
            acknowledgements: Acknowledgements::default(),
            anti_entropy: AntiEntropy::new(config.anti_entropy.clone(), part()),
            scrub: Scrub::new(&config.anti_entropy, part()),
            removal: Removal::new(config.anti_entropy.mutants),
            trash: Trash::new(
                config.trash_keep,
                config.anti_entropy.every,
                config.anti_entropy.mutants,
            ),
            writes: Writes::new(config.anti_entropy.every, config.mutants),
            disk: Disk::default(),
            mending: Mending::new(&config.anti_entropy, part()),
            tagging: Tagging::default(),
            overview: None,
            silence: None,
            look_at: None,
            unread: Repeats::default(),
            ends: false,
            sweep_at: Time::ZERO,
            room: Room::default(),
            anomalies: Anomalies::default(),
            config,
        }
    }

    /// Reads the library's overview, and takes up the copies that an earlier run left.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        cx.run(Ordered::Data(Purpose::Overview), LibraryJob::Overview);
        self.sweep(cx);
        self.look_at_room(cx);
        self.copies.start(cx);
        self.scrub.arm(cx.now);
        self.mending.arm(cx.now);
    }

    /// Answers a question about songs.
    pub fn on_question(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        audio: Audio,
        body: Vec<u8>,
        others: Others<'_>,
    ) {
        match audio {
            Audio::ListSongs { after, limit } => self.on_list_songs(cx, asker, after, limit),
            Audio::Describe { song } => {
                let purpose = Purpose::Describe(asker, song);
                cx.run(Ordered::Data(purpose), LibraryJob::Describe { song });
            }
            Audio::Fetch { song, from, count } => self.on_fetch(cx, asker, song, from, count),
            Audio::FetchPart { song, index, part } => {
                self.on_fetch_part(cx, asker, FragmentId { song, index }, part);
            }
            Audio::Offer { manifest, copy } => self.on_offer(cx, asker, manifest, copy),
            Audio::Give { song, index } => self.on_give(cx, asker, song, index, body),
            Audio::Commit { song, copy } => self.on_commit(cx, asker, (song, copy), others),
            Audio::SongPage { .. }
            | Audio::Described { .. }
            | Audio::Chunk { .. }
            | Audio::ChunkPart { .. }
            | Audio::Wanted { .. }
            | Audio::Taken
            | Audio::Stored { .. } => cx.out.refuse(asker, Refusal::WrongRole),
        }
    }

    fn on_list_songs(&mut self, cx: &mut Cx<'_>, asker: Asker, after: Option<SongId>, limit: u32) {
        let limit = limit.clamp(1, PAGE_SONGS_MAX as u32);
        let job = LibraryJob::Songs { after, limit };
        cx.run(Ordered::Data(Purpose::Answer(asker)), job);
    }

    /// Takes the reply of a job that a question was waiting for.
    fn on_own_done(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: Purpose,
        reply: JobReply,
        others: Others<'_>,
    ) {
        // Tags can wait: that there is no room for them says nothing about songs.
        let can_wait = matches!(purpose, Purpose::ReadTags);
        if reply == JobReply::Failed(JobFault::DiskFull) && !can_wait {
            self.on_disk_full(cx, &purpose);
        }
        match purpose {
            Purpose::Overview => self.on_overview(cx, reply),
            // What an earlier start has left to be freed is freed step by step.
            Purpose::Sweep => {
                cx.run(Ordered::Data(Purpose::Reclaim), LibraryJob::Reclaim);
            }
            Purpose::Probe => (),
            Purpose::ReadTags => self.on_tags_read(cx.now, &reply),
            Purpose::Room => self.on_room(cx.now, &reply),
            Purpose::Drop(song) => self.on_dropped(cx, song, &reply),
            Purpose::Reclaim => self.on_reclaimed(cx, &reply),
            Purpose::Sums(asker, chosen, each) => on_sums(cx, asker, &chosen, each, reply),
            Purpose::Bury(asker, songs, copy) => {
                self.on_buried(cx, (asker, songs, copy), reply, others);
            }
            Purpose::Answer(asker) | Purpose::Describe(asker, _) => {
                cx.out.answer(asker, answer_to(reply));
            }
            Purpose::Give(asker, _) => {
                self.doubt_bytes(cx, asker, &reply);
                cx.out.answer(asker, answer_to(reply));
            }
            Purpose::Fetch(stream) => self.on_fragment(cx, stream, reply),
            Purpose::Offer(asker, song, copy, _) => {
                self.on_begun(cx, (asker, song, copy), reply, others);
            }
            Purpose::Commit(asker, song, owners) => {
                self.on_committed(cx, (asker, song, owners), reply, others);
            }
        }
    }

    fn on_overview(&mut self, cx: &mut Cx<'_>, reply: JobReply) {
        if let JobReply::Overview(overview) = reply {
            self.scrub.start(cx, &overview);
            self.mending.start(cx, &overview);
            self.hold_back(cx.now, &overview);
            return self.change(cx.now, overview);
        }
        // Nothing is announced without an overview, so the read must be repeated.
        self.look_at = Some(cx.now + LOOK_AGAIN);
        if reply != JobReply::Failed(JobFault::Busy)
            && let Some(times) = self.unread.note(cx.now)
        {
            let line = alloc::format!("library cannot be read times={times}: {reply:?}");
            // Damaged tables are mended; anything else needs a person.
            let mended = matches!(reply, JobReply::Failed(JobFault::Corrupt(_)));
            let level = if mended { Level::Warn } else { Level::Error };
            cx.out.fact(level, line);
        }
    }

    /// Takes the overview of a changed library: every announcement is due at once. An overview that
    /// is not newer is ignored, and so is one of a library that has been set aside.
    fn change(&mut self, now: Time, overview: Overview) {
        let newer = |old: Overview| old.store == overview.store && old.revision < overview.revision;
        if self.overview.is_none_or(newer) {
            let known = self.overview.filter(|old| old.store == overview.store);
            let tags = known.map_or(0, |old| old.tags).max(overview.tags);
            self.overview = Some(Overview { tags, ..overview });
            self.tagging.on_song(now);
            self.announcer.on_change(now);
            self.mending.on_song(now);
        }
    }

    /// Takes the end of a question of this data node.
    pub(crate) fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        asked: Asked,
        reply: Reply,
        others: Others<'_>,
    ) {
        match asked {
            Asked::Announcer(router) => self.announcer.conclude(cx.now, router, reply),
            Asked::TagAnnouncer(router) => {
                let ours = self.overview.unwrap_or_default().store;
                self.announcer.on_tagged(cx.now, router, reply, ours);
            }
            Asked::Replication(ticket) => {
                let reports = self.copies.conclude(cx, ticket, reply, others.data);
                self.on_copies(cx, reports);
            }
            Asked::AntiEntropy(step) => self.anti_entropy.conclude(cx, step, reply, others),
            Asked::Scrub(fragment) => self.scrub.conclude(cx, fragment, reply),
            Asked::Witness(song) => self.mending.on_witness(cx, song, reply),
            Asked::Removal(number) => self.removal.conclude(cx, number, reply),
            Asked::Trash(step) => self.conclude_trash(cx, step, reply, others),
            Asked::Documents(step) => self.conclude_documents(cx, step, reply, others),
            Asked::Assignment
            | Asked::Registrar(_)
            | Asked::Resolver(_)
            | Asked::Dns(_)
            | Asked::Ring(_)
            | Asked::Locator(_)
            | Asked::Chord(_)
            | Asked::Client(_) => (),
        }
        self.announce(cx, others);
    }

    /// Takes the reply of a job.
    pub(crate) fn on_done(
        &mut self,
        cx: &mut Cx<'_>,
        ordered: Ordered,
        reply: JobReply,
        others: Others<'_>,
    ) {
        self.disk.on_reply(cx.now, &reply);
        if let JobReply::Failed(JobFault::Corrupt(_)) = reply
            && !matches!(ordered, Ordered::Mending(_))
        {
            self.mending.on_fault(cx, ordered.song());
        }
        match ordered {
            Ordered::Data(purpose) => self.on_own_done(cx, purpose, reply, others),
            Ordered::Announcer(router, since) => {
                let news = self.news(cx, others.own);
                self.announcer.on_done(cx, (router, since), reply, news);
            }
            Ordered::TagAnnouncer(router, since) => {
                let news = self.news(cx, others.own);
                self.announcer.tell_tags(cx, (router, since), reply, news);
            }
            Ordered::Replication(purpose) => {
                let reports = self.copies.on_done(cx, purpose, reply, others.data);
                self.on_copies(cx, reports);
            }
            Ordered::AntiEntropy(purpose) => self.anti_entropy.on_done(cx, purpose, reply, others),
            Ordered::Scrub(purpose) => {
                let altered = self.scrub.on_done(cx, purpose, reply, others);
                self.mending.on_odd(cx, altered);
            }
            Ordered::Mending(purpose) => self.mending.on_done(cx, purpose, reply),
            Ordered::Trash(purpose) => self.on_trash_done(cx, purpose, reply, others),
            Ordered::Documents(purpose) => self.on_documents_done(cx, purpose, reply, others),
            Ordered::Memory(_) | Ordered::Client(_) => (),
        }
        self.announce(cx, others);
    }

    /// Does what is due: announcements, copies, anti-entropy, scrub, removals, the sweep of
    /// uploads.
    pub fn on_tick(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        if self.sweep_at <= cx.now {
            self.sweep(cx);
        }
        if self.look_at.is_some_and(|at| at <= cx.now) {
            self.look_at = None;
            cx.run(Ordered::Data(Purpose::Overview), LibraryJob::Overview);
        }
        self.on_room_tick(cx);
        let reports = self.copies.on_tick(cx, others.data);
        self.on_copies(cx, reports);
        let overview = self.overview.unwrap_or_default();
        self.scrub.on_tick(cx, overview, others);
        let alone = others.data.is_empty() && others.leaving.is_empty() && others.dead.is_empty();
        self.mending.on_tick(cx, overview, alone);
        // Last, because copies and repairs come first.
        self.read_tags(cx);
        self.announce(cx, others);
    }

    /// Continues anti-entropy, tells every router that is due, and answers the uploads that may be
    /// answered.
    pub fn announce(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        self.keep_up(cx, others);
        if self.overview.is_some() && !self.is_held_back(cx.now, others) {
            let news = self.news(cx, others.own);
            self.announcer.announce(cx, others.routers, news);
        }
        self.answer_told(cx);
    }

    /// When [`Data::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        let silent = self.silence.map(|silence| silence.until());
        // Announcements that are due wait for the end of the silence; without this the node would
        // spin.
        let announcer = self.announcer.deadline().max(silent);
        let uploads = earlier(self.copies.deadline(), self.acknowledgements.deadline());
        let parts = earlier(announcer, uploads);
        // A round needs the library's overview, and waits for the repairs of the last round.
        let waits = self.overview.is_none() || self.copies.repairs() > 0;
        let anti_entropy = self.anti_entropy.deadline(waits);
        let checks = earlier(self.scrub.deadline(), self.mending.deadline());
        let upkeep = earlier(anti_entropy, checks);
        let own = earlier(
            earlier(self.look_at, self.room.drop_at()),
            earlier(Some(self.sweep_at), self.tagging.deadline()),
        );
        let trash = self
            .overview
            .and_then(|_| earlier(self.trash.deadline(), self.writes.deadline()));
        earlier(earlier(parts, upkeep), earlier(earlier(own, silent), trash))
    }

    fn sweep(&mut self, cx: &mut Cx<'_>) {
        self.sweep_at = cx.now + SWEEP_EVERY;
        let untouched_s = self.config.upload_untouched.as_secs();
        let job = LibraryJob::SweepUploads { untouched_s };
        cx.run(Ordered::Data(Purpose::Sweep), job);
    }

    /// The anomalies noticed in what other nodes say of songs and copies.
    pub fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    /// Jobs under way here: a client prefers holders with a small load.
    pub fn load(cx: &Cx<'_>) -> u16 {
        u16::try_from(cx.jobs().len()).unwrap_or(u16::MAX)
    }

    /// Whether the disk has not answered for a while. Expects a call about once a second: after a
    /// longer gap the node counts as stalled, and the disk as well.
    pub fn is_sick(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.disk.wants_probe(cx.now, !cx.jobs().is_empty()) {
            cx.run(Ordered::Data(Purpose::Probe), LibraryJob::Overview);
        }
        self.disk.is_sick(cx.now)
    }

    /// Whether a client or node waits for a song to be stored here: meanwhile the node must not
    /// leave its role.
    pub fn is_taking(&self, cx: &Cx<'_>) -> bool {
        let takes = |ordered: &Ordered| {
            matches!(
                ordered,
                Ordered::Data(Purpose::Offer(..) | Purpose::Commit(..))
            )
        };
        !self.acknowledgements.is_empty() || cx.jobs().purposes().any(takes)
    }
}

/// The address of a data node; `None` if it is not in `data`.
fn address_of(node: NodeId, data: &[Record]) -> Option<Address> {
    (data.iter().find(|r| r.node == node)).map(|r| r.address)
}

#[cfg(test)]
mod tests;
