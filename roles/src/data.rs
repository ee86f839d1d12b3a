//! Keeps songs and gives them, fragment by fragment.
//!
//! Owns the jobs behind each question to this data node. Nothing of an upload is visible before
//! its commit, and the commit is answered only when a second data node has the song too, if
//! there is one, and the routers have heard of it. Telling the routers is [`announcer`]'s
//! business, making copies [`copies`]'.

pub mod announcer;
pub mod copies;
mod disk;
pub mod keeper;
mod placement;
mod removal;
mod scrub;
mod sums;
mod untold;
mod upkeep;

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use crate::circle::{Circle, Partition};
use crate::contract::chance::Chance;
use crate::contract::id::{JobId, NodeId, SongId};
use crate::contract::job::{Job, JobFault, JobReply, Overview};
use crate::contract::limits::{COPIES, FETCH_FRAGMENTS_MAX, FRAGMENT_BYTES_MAX, PAGE_SONGS_MAX};
use crate::contract::message::{Audio, Letter, Message, Position, Refusal};
use crate::contract::node::{Asker, Lost, Outbox, Peer};
use crate::contract::record::{Address, Record};
use crate::contract::song::Manifest;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::upkeep::Upkeep;
use crate::contract::user::Level;
use crate::doubts::{Doubt, Doubts};
use crate::jobs::Jobs;
use crate::requests::Desk;

use announcer::Announcer;
use copies::{Copies, Made};
use disk::Disk;
use keeper::Keeper;
use removal::Removal;
use scrub::Scrub;
use sums::Chosen;
use untold::Untold;
pub use upkeep::Queue;
use upkeep::{Silence, on_sums};

/// How a data node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it keeps its copies in order.
    pub keeper: keeper::Config,
    /// Between two announcements to a router when nothing changes.
    pub announce_every: Duration,
    /// An upload nobody has touched for so long is forgotten.
    pub upload_untouched: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            keeper: keeper::Config::default(),
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
    copies: Copies,
    untold: Untold,
    keeper: Keeper,
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
    doubts: Doubts,
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

/// A `Fetch` under way: fragments are read one at a time, each when the asker has room.
#[derive(Debug)]
struct Stream {
    asker: Asker,
    song: SongId,
    /// The fragment in the pool.
    at: Position,
    /// Fragments still to be read after it.
    left: u32,
    /// Read and held back until it is known whether it is the last.
    held: Option<(u32, Vec<u8>)>,
}

impl Data {
    /// A data node that has not looked into its library yet.
    pub fn new(config: Config, mut chance: Chance) -> Self {
        let mut part = || Chance::from_seed(chance.bits());
        Data {
            jobs: Jobs::new(Desk::Data),
            announcer: Announcer::new(config.announce_every, part()),
            copies: Copies::new(&config.keeper, part()),
            untold: Untold::default(),
            keeper: Keeper::new(config.keeper.clone(), part()),
            scrub: Scrub::new(&config.keeper, part()),
            removal: Removal::new(config.keeper.lapse, part()),
            disk: Disk::default(),
            overview: None,
            silence: None,
            look_at: None,
            sweep_at: Time::ZERO,
            full_told_until: Time::ZERO,
            doubts: Doubts::default(),
            config,
        }
    }

    /// Looks into the library, takes up the copies that were still to be made.
    pub fn start(&mut self, now: Time, out: &mut Outbox) {
        self.jobs.run(Purpose::Overview, Job::Overview, out);
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
            Audio::Keep { after, limit } => self.on_keep(asker, after, limit, out),
            Audio::Describe { song } => {
                let purpose = Purpose::Answer(asker);
                self.jobs.run(purpose, Job::Describe { song }, out);
            }
            Audio::Fetch { song, from, count } => self.on_fetch(asker, song, from, count, out),
            Audio::Offer { manifest, copy } => self.on_offer(asker, manifest, copy, out),
            Audio::Give { song, index } => self.on_give(asker, song, index, body, out),
            Audio::Commit { song, copy } => {
                let owners = (!copy).then(|| owners(song, others));
                let copies_due = owners.clone().unwrap_or_default();
                let purpose = Purpose::Commit(asker, song, owners);
                let job = Job::CommitUpload { song, copies_due };
                self.jobs.run(purpose, job, out);
            }
            Audio::Kept { .. }
            | Audio::Described { .. }
            | Audio::Chunk { .. }
            | Audio::Wanted { .. }
            | Audio::Taken
            | Audio::Stored { .. } => out.refuse(asker, Refusal::WrongRole),
        }
    }

    fn on_keep(&mut self, asker: Asker, after: Option<SongId>, limit: u32, out: &mut Outbox) {
        let limit = limit.clamp(1, PAGE_SONGS_MAX as u32);
        let job = Job::Songs { after, limit };
        self.jobs.run(Purpose::Answer(asker), job, out);
    }

    fn on_fetch(
        &mut self,
        asker: Asker,
        song: SongId,
        from: Position,
        count: u32,
        out: &mut Outbox,
    ) {
        if count == 0 || count > FETCH_FRAGMENTS_MAX {
            let why = alloc::format!("a fetch is 1 to {FETCH_FRAGMENTS_MAX} fragments");
            return out.refuse(asker, Refusal::Invalid(why));
        }
        let stream = Stream {
            asker,
            song,
            at: from,
            left: count - 1,
            held: None,
        };
        self.read(stream, from, out);
    }

    fn read(&mut self, mut stream: Stream, at: Position, out: &mut Outbox) {
        stream.at = at;
        let job = Job::ReadFragment {
            song: stream.song,
            at,
        };
        let peer = stream.asker.sender.peer;
        self.jobs.run_toward(Purpose::Fetch(stream), job, peer, out);
    }

    fn on_offer(&mut self, asker: Asker, manifest: Manifest, copy: bool, out: &mut Outbox) {
        if let Err(fault) = manifest.check() {
            self.doubts.note(Doubt::Bytes, asker.sender.node, out);
            let why = alloc::format!("the manifest cannot be true: {fault}");
            return out.refuse(asker, Refusal::Invalid(why));
        }
        let purpose = Purpose::Offer(asker, manifest.song.id, copy);
        self.jobs.run(purpose, Job::BeginUpload { manifest }, out);
    }

    fn on_give(
        &mut self,
        asker: Asker,
        song: SongId,
        index: u32,
        bytes: Vec<u8>,
        out: &mut Outbox,
    ) {
        if bytes.is_empty() || bytes.len() > FRAGMENT_BYTES_MAX {
            self.doubts.note(Doubt::Bytes, asker.sender.node, out);
            let why = alloc::format!("a fragment is 1 to {FRAGMENT_BYTES_MAX} bytes");
            return out.refuse(asker, Refusal::Invalid(why));
        }
        let job = Job::KeepFragment { song, index, bytes };
        self.jobs.run(Purpose::Give(asker), job, out);
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

    /// What was given is not what it was said to be, or belongs nowhere.
    fn doubt_bytes(&mut self, asker: Asker, reply: &JobReply, out: &mut Outbox) {
        if let JobReply::Failed(JobFault::Damaged | JobFault::Invalid(_)) = reply {
            self.doubts.note(Doubt::Bytes, asker.sender.node, out);
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

    /// A fragment has been read: it goes out when it is known whether another follows it.
    fn on_fragment(&mut self, now: Time, mut stream: Stream, reply: JobReply, out: &mut Outbox) {
        if now > stream.asker.until {
            return; // Nobody waits for it any longer.
        }
        if let JobReply::Fragment { index, bytes } = reply {
            self.send_held(now, &mut stream, true, out);
            stream.held = Some((index, bytes));
            if stream.left == 0 {
                return self.send_held(now, &mut stream, false, out);
            }
            stream.left -= 1;
            self.read(stream, Position::Index(index + 1), out);
        } else if reply == JobReply::Failed(JobFault::NotFound) && stream.held.is_some() {
            self.send_held(now, &mut stream, false, out); // The song ends before the stream does.
        } else {
            if reply == JobReply::Failed(JobFault::Damaged) {
                self.on_rot(&stream, out);
            }
            out.answer(stream.asker, answer_to(reply));
        }
    }

    fn send_held(&mut self, now: Time, stream: &mut Stream, more: bool, out: &mut Outbox) {
        let Some((index, bytes)) = stream.held.take() else {
            return;
        };
        let load = self.load();
        self.copies.on_served(now, bytes.len());
        let chunk = Message::Audio(Audio::Chunk { index, load });
        out.answer_with(stream.asker, chunk, bytes, more);
    }

    fn on_begun(
        &mut self,
        now: Time,
        (asker, song, copy): (Asker, SongId, bool),
        reply: JobReply,
        others: Others<'_>,
        out: &mut Outbox,
    ) {
        if let JobReply::Stored { .. } = reply {
            // Known already: as good as committed once its copies are.
            let owners = (!copy).then(|| owners(song, others));
            return self.stored(now, (asker, song, owners), others, out);
        }
        out.answer(asker, answer_to(reply));
    }

    fn on_committed(
        &mut self,
        now: Time,
        (asker, song, owners): (Asker, SongId, Option<Vec<NodeId>>),
        reply: JobReply,
        others: Others<'_>,
        out: &mut Outbox,
    ) {
        if let JobReply::Stored { overview } = reply {
            self.change(now, overview);
            return self.stored(now, (asker, song, owners), others, out);
        }
        self.doubt_bytes(asker, &reply, out);
        out.answer(asker, answer_to(reply));
    }

    /// The song is durable here. A copy is answered at once, an upload when a second node has it.
    fn stored(
        &mut self,
        now: Time,
        (asker, song, owners): (Asker, SongId, Option<Vec<NodeId>>),
        others: Others<'_>,
        out: &mut Outbox,
    ) {
        let Some(owners) = owners else {
            return out.answer(asker, stored(1));
        };
        let made = if owners.is_empty() {
            [Made { asker, copies: 1 }].into()
        } else {
            self.copies
                .upload(now, song, &owners, asker, others.data, out)
        };
        self.answer_uploads(now, made);
    }

    /// Takes an answer to a question of this data node.
    pub fn on_answer(
        &mut self,
        now: Time,
        from: Peer,
        letter: Letter,
        others: Others<'_>,
        out: &mut Outbox,
    ) {
        match Desk::of(letter.id.0) {
            Some(Desk::Announcer) => {
                self.announcer.on_answer(now, from, letter, out);
            }
            Some(Desk::Copies) => {
                let made = self.copies.on_answer(now, from, letter, others.data, out);
                self.answer_uploads(now, made);
            }
            Some(Desk::Upkeep) => self.keeper.on_answer(now, from, letter, others, out),
            Some(Desk::Scrub) => self.scrub.on_answer(now, from, letter, out),
            Some(Desk::Removal) => self.removal.on_answer(now, from, letter, out),
            Some(
                Desk::Registrar
                | Desk::Resolver
                | Desk::Dns
                | Desk::Data
                | Desk::Assignment
                | Desk::Client
                | Desk::Ring
                | Desk::Chord,
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
        match Desk::of(job.0) {
            Some(Desk::Data) => self.on_own_done(now, job, reply, others, out),
            Some(Desk::Announcer) => {
                let news = self.news(others.own);
                self.announcer.on_done(now, job, reply, news, out);
            }
            Some(Desk::Copies) => {
                let made = self.copies.on_done(now, job, reply, others.data, out);
                self.answer_uploads(now, made);
                for fragment in self.copies.take_rotten() {
                    self.scrub.on_rot(fragment, out);
                }
            }
            Some(Desk::Upkeep) => self.keeper.on_done(now, job, reply, others, out),
            Some(Desk::Scrub) => self.scrub.on_done(now, job, reply, others, out),
            Some(
                Desk::Registrar
                | Desk::Resolver
                | Desk::Dns
                | Desk::Assignment
                | Desk::Client
                | Desk::Ring
                | Desk::Removal
                | Desk::Chord,
            )
            | None => (),
        }
        self.announce(now, others, out);
    }

    /// These songs are safe: they are answered when the routers know them, too.
    fn answer_uploads(&mut self, now: Time, made: Vec<Made>) {
        let revision = self.overview.map_or(0, |overview| overview.revision);
        for made in made {
            self.untold.hold(now, made, revision);
        }
    }

    /// Answers the uploads the routers have heard of, and those that have waited long enough.
    fn answer_told(&mut self, now: Time, out: &mut Outbox) {
        let mut made = self.untold.told(self.announcer.heard());
        if let Some((revision, overdue)) = self.untold.overdue(now) {
            self.announcer.leave_behind(revision);
            made.extend(overdue);
        }
        for Made { asker, copies } in made {
            out.answer(asker, stored(copies));
        }
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
        self.keeper.on_lost(now, peer, why, others, out);
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
            self.jobs.run(Purpose::Overview, Job::Overview, out);
        }
        self.announcer.on_tick(now, out);
        let made = self.copies.on_tick(now, others.data, out);
        self.answer_uploads(now, made);
        self.keeper.on_tick(now, others, out);
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
        let keeper = self.keeper.deadline(waits);
        let upkeep = earlier(
            keeper,
            earlier(self.scrub.deadline(), self.removal.deadline()),
        );
        let own = earlier(self.look_at, Some(self.sweep_at));
        earlier(earlier(parts, upkeep), earlier(own, silent))
    }

    fn sweep(&mut self, now: Time, out: &mut Outbox) {
        self.sweep_at = now + SWEEP_EVERY;
        let untouched_s = self.config.upload_untouched.as_secs();
        let job = Job::SweepUploads { untouched_s };
        self.jobs.run(Purpose::Sweep, job, out);
    }

    /// What others have said of copies that it could not believe.
    pub fn doubts(&self) -> &Doubts {
        &self.doubts
    }

    /// Jobs that wait here: what a client weighs when it chooses among holders.
    pub fn load(&self) -> u16 {
        u16::try_from(self.jobs.len()).unwrap_or(u16::MAX)
    }

    /// Whether its disk has not answered for a while; looked at about once a second.
    pub fn is_sick(&mut self, now: Time, out: &mut Outbox) -> bool {
        if self.disk.wants_probe(now, !self.jobs.is_empty()) {
            self.jobs.run(Purpose::Probe, Job::Overview, out);
        }
        self.disk.is_sick(now)
    }

    /// Whether somebody waits for a song to be taken in: the node cannot leave its role meanwhile.
    pub fn is_taking(&self) -> bool {
        let takes = |purpose: &Purpose| matches!(purpose, Purpose::Offer(..) | Purpose::Commit(..));
        self.copies.is_awaited() || !self.untold.is_empty() || self.jobs.purposes().any(takes)
    }
}

/// The other nodes that shall have the song: its owners on the circle of all data nodes known.
fn owners(song: SongId, others: Others<'_>) -> Vec<NodeId> {
    let own = others.own;
    let known = others.data.iter().map(|r| (r.node, r.weight));
    let circle = Circle::of(known.chain([(own.node, own.weight)]));
    let mut owners = circle.owners(Partition::of(song), COPIES + 1);
    owners.retain(|node| *node != own.node);
    // Where this node took the upload although it is not an owner, all owners get their copy.
    let elsewhere = if circle
        .owners(Partition::of(song), COPIES)
        .contains(&own.node)
    {
        COPIES - 1
    } else {
        COPIES
    };
    owners.truncate(elsewhere);
    owners
}

/// Where a node listens, if the DNS names it.
fn address_of(node: NodeId, data: &[Record]) -> Option<Address> {
    (data.iter().find(|r| r.node == node)).map(|r| r.address)
}

fn stored(copies: u8) -> Message {
    Message::Audio(Audio::Stored { copies })
}

/// The answer that a job's reply amounts to.
fn answer_to(reply: JobReply) -> Message {
    Message::Audio(match reply {
        JobReply::Songs { songs, more } => Audio::Kept { songs, more },
        JobReply::Described { manifest } => Audio::Described { manifest },
        JobReply::Missing { ranges } => Audio::Wanted { missing: ranges },
        JobReply::Kept => Audio::Taken,
        JobReply::Stored { .. } => Audio::Stored { copies: 1 },
        JobReply::PartitionSongs {
            songs,
            tombstones,
            next,
        } => {
            let gone = tombstones;
            return Message::Upkeep(Upkeep::Held { songs, gone, next });
        }
        JobReply::Failed(fault) => return Message::Refused(refusal(fault)),
        JobReply::Done
        | JobReply::Overview(_)
        | JobReply::Changes { .. }
        | JobReply::Fragment { .. }
        | JobReply::CopiesDue { .. }
        | JobReply::Members { .. }
        | JobReply::Removed { .. }
        | JobReply::Reclaimed { .. }
        | JobReply::Tombstones { .. }
        | JobReply::PartitionDigests { .. }
        | JobReply::Scrubbed(_)
        | JobReply::Quarantined { .. }
        | JobReply::Peers { .. } => {
            return Message::Refused(Refusal::Broken("the pool gave another reply".into()));
        }
    })
}

fn refusal(fault: JobFault) -> Refusal {
    match fault {
        JobFault::Busy | JobFault::Abandoned => Refusal::Busy {
            retry_after_ms: 100,
        },
        JobFault::NotFound => Refusal::NotFound,
        JobFault::Ambiguous(songs) => Refusal::Ambiguous(songs),
        JobFault::Damaged | JobFault::Quarantined => Refusal::Broken(fault.to_string()),
        JobFault::Removed => Refusal::Invalid(fault.to_string()),
        JobFault::Invalid(why) => Refusal::Invalid(why),
        JobFault::DiskFull => Refusal::DiskFull,
        JobFault::Broken(how) => Refusal::Broken(how),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::{Incarnation, RequestId};
    use crate::contract::node::{Action, Sender};
    use crate::contract::record::{Features, Role};

    fn record(n: u8) -> Record {
        Record {
            role: Role::Data,
            node: NodeId(u128::from(n)),
            incarnation: Incarnation(1),
            renewals: 1,
            address: Address(([127, 0, 0, n], 7700).into()),
            features: Features::default(),
            weight: 1,
            ttl_ms: 30_000,
        }
    }

    fn others(data: &[Record]) -> Others<'_> {
        Others {
            data,
            leaving: &[],
            dead: &[],
            routers: &[],
            own: record(1),
            draining: false,
        }
    }

    fn asker() -> Asker {
        let sender = Sender {
            peer: Peer::Guest(1),
            node: NodeId(99),
            incarnation: Incarnation(1),
        };
        Asker {
            sender,
            id: RequestId(1),
            until: Time::from_secs(600),
        }
    }

    fn ordered(out: &mut Outbox) -> Option<(JobId, Job)> {
        let actions = core::iter::from_fn(|| out.pop());
        let mut jobs = actions.filter_map(|action| {
            if let Action::Run { job, work, .. } = action {
                return Some((job, work));
            }
            None
        });
        jobs.next()
    }

    /// While a song is being committed, the node that shall get its copy drops out of the names.
    /// What was written to disk with the song is what is done, as soon as that node is back.
    #[test]
    fn the_copies_written_down_are_the_copies_made() {
        let mut data = Data::new(Config::default(), Chance::from_seed(1));
        let mut out = Outbox::new();
        data.sweep_at = Time::NEVER;
        let (song, other) = (SongId(7), [record(2)]);
        let commit = Audio::Commit { song, copy: false };
        data.on_question(asker(), commit, Vec::new(), others(&other), &mut out);
        let Some((job, Job::CommitUpload { copies_due, .. })) = ordered(&mut out) else {
            panic!("no commit");
        };
        assert_eq!(copies_due, [other[0].node]);

        let overview = Overview::default();
        let reply = JobReply::Stored { overview };
        data.on_done(Time::from_secs(1), job, reply, others(&[]), &mut out);
        while out.pop().is_some() {}
        data.on_tick(Time::from_secs(9), others(&other), &mut out);
        let describes = |(_, work)| work == Job::Describe { song };
        assert!(ordered(&mut out).is_some_and(describes), "the copy begins");
    }

    /// A second node accepts whatever it is offered and stores nothing. What is owed to it stays
    /// on the list on disk; in memory there is only so much of it, and uploads are answered.
    #[test]
    fn a_peer_that_never_stores_costs_no_memory() {
        let mut data = Data::new(Config::default(), Chance::from_seed(1));
        let mut out = Outbox::new();
        data.sweep_at = Time::NEVER;
        let other = [record(2)];
        let mut answered = 0;
        for n in 0..3000u128 {
            let commit = Audio::Commit {
                song: SongId(n),
                copy: false,
            };
            data.on_question(asker(), commit, Vec::new(), others(&other), &mut out);
            let job = ordered(&mut out).expect("a commit").0;
            let reply = JobReply::Stored {
                overview: Overview::default(),
            };
            data.on_done(Time::from_secs(1), job, reply, others(&other), &mut out);
            let alone = stored(1);
            let actions = core::iter::from_fn(|| out.pop());
            answered += actions
                .filter(|a| matches!(a, Action::Send { letter, .. } if letter.message == alone))
                .count();
        }
        assert!(answered > 1900, "{answered} are answered at once");
        for queue in data.queues() {
            assert!(queue.length <= queue.most, "{queue:?}");
        }
    }
}
