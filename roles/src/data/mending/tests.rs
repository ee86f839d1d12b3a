use super::*;
use crate::contract::id::JobId;
use crate::contract::job::Job;
use crate::contract::node::Action;
use crate::test_support::{Host, at};
use alloc::vec;

/// The one library job that was ordered.
fn ordered(host: &mut Host) -> (JobId, LibraryJob) {
    let job = next(host).expect("a job");
    assert_eq!(next(host), None);
    job
}

fn next(host: &mut Host) -> Option<(JobId, LibraryJob)> {
    while let Some(action) = host.out.pop() {
        if let Action::Run {
            job,
            work: Job::Library(work),
            ..
        } = action
        {
            return Some((job, work));
        }
    }
    None
}

/// The ordered job ends with this reply.
fn end(mending: &mut Mending, host: &mut Host, now: Time, reply: JobReply) -> LibraryJob {
    let (job, work) = ordered(host);
    let cx = &mut host.at(now);
    let Some(Ordered::Mending(purpose)) = cx.on_done(job) else {
        panic!("{work:?} is no job of this part");
    };
    mending.on_done(cx, purpose, reply);
    work
}

fn corrupt() -> JobReply {
    JobReply::Failed(JobFault::Corrupt("a page".into()))
}

fn seen(odd: &[u128], after: Option<u128>) -> JobReply {
    JobReply::Inspected(Inspected {
        after: after.map(SongId),
        songs: 1,
        odd: odd.iter().copied().map(SongId).collect(),
        ..Inspected::default()
    })
}

fn mended(count: u32) -> JobReply {
    let overview = Overview::default();
    JobReply::Removed { count, overview }
}

fn rebuilt() -> JobReply {
    JobReply::Overview(Overview::default())
}

fn salvaged(more: bool) -> JobReply {
    let overview = Overview::default();
    JobReply::Salvaged { more, overview }
}

fn mending() -> (Mending, Host) {
    let config = anti_entropy::Config::default();
    let mut mending = Mending::new(&config, Rng::from_seed(1));
    let mut host = Host::default();
    mending.start(&mut host.at(at(0)), &Overview::default());
    (mending, host)
}

/// A job about a song has failed: that song is looked at and withdrawn, and nothing else happens.
#[test]
fn a_failure_about_a_song_costs_that_song() {
    let (mut mending, mut host) = mending();
    mending.on_fault(&mut host.at(at(1)), Some(SongId(7)));
    let job = end(&mut mending, &mut host, at(2), mended(1));
    let (songs, totals) = (vec![SongId(7)], false);
    assert_eq!(job, LibraryJob::Mend { songs, totals });
    assert_eq!(next(&mut host), None);
    assert!(!mending.is_sick());
}

/// A job about a song has failed and the song says what was stored: the whole library is suspect.
#[test]
fn a_song_that_is_right_makes_the_library_suspect() {
    let (mut mending, mut host) = mending();
    mending.on_fault(&mut host.at(at(1)), Some(SongId(7)));
    end(&mut mending, &mut host, at(2), mended(0));
    let (_, job) = ordered(&mut host);
    assert!(matches!(job, LibraryJob::Inspect { after: None, .. }));
}

/// A library that is suspect is looked at without pauses, and what is found is put right meanwhile.
#[test]
fn a_suspect_library_is_looked_at_without_pauses() {
    let (mut mending, mut host) = mending();
    mending.on_fault(&mut host.at(at(1)), None);
    mending.on_fault(&mut host.at(at(1)), None);
    end(&mut mending, &mut host, at(2), seen(&[3, 4], Some(4)));
    let (mend, LibraryJob::Mend { songs, .. }) = next(&mut host).expect("a job") else {
        panic!("nothing is put right");
    };
    assert_eq!(songs, [SongId(3), SongId(4)]);
    let job = end(&mut mending, &mut host, at(2), seen(&[], None));
    assert!(matches!(
        job,
        LibraryJob::Inspect {
            after: Some(SongId(4)),
            ..
        }
    ));
    let cx = &mut host.at(at(3));
    cx.on_done(mend).expect("it is under way");
    mending.on_done(cx, Purpose::Mend, mended(2));
    assert_eq!(next(&mut host), None);
    // The pass did find something, so the next failure begins another pass.
    mending.on_fault(&mut host.at(at(4)), None);
    assert!(matches!(ordered(&mut host).1, LibraryJob::Inspect { .. }));
}

/// A failure after a pass that found nothing has another reason: the library is rebuilt, and salvaged
/// until there is no more.
#[test]
fn what_a_clean_pass_does_not_explain_leads_to_a_rebuild() {
    let (mut mending, mut host) = mending();
    mending.on_fault(&mut host.at(at(1)), None);
    end(&mut mending, &mut host, at(2), seen(&[], None));
    mending.on_fault(&mut host.at(at(3)), None);
    let job = end(&mut mending, &mut host, at(4), rebuilt());
    assert!(matches!(job, LibraryJob::Rebuild { .. }));
    let orders = mending.take_orders();
    assert!(orders.renewed.is_some() && orders.turned && mending.is_sick());
    for more in [true, true, false] {
        let job = end(&mut mending, &mut host, at(5), salvaged(more));
        assert_eq!(job, LibraryJob::Salvage);
    }
    // Songs still come back from the other nodes.
    mending.on_song(at(100));
    mending.on_tick(&mut host.at(at(215)), Overview::default(), false);
    assert!(mending.is_sick());
    mending.on_tick(&mut host.at(at(220)), Overview::default(), false);
    assert!(!mending.is_sick() && mending.take_orders().turned);
}

/// One inspection that fails may be an accident; the second is the library. A `Mend` that fails is, too.
#[test]
fn what_can_be_neither_read_nor_put_right_is_rebuilt() {
    let (mut first, mut host) = mending();
    first.on_fault(&mut host.at(at(1)), None);
    end(&mut first, &mut host, at(1), corrupt());
    end(&mut first, &mut host, at(1), corrupt());
    assert!(matches!(ordered(&mut host).1, LibraryJob::Rebuild { .. }));

    let (mut second, mut host) = mending();
    second.on_fault(&mut host.at(at(1)), Some(SongId(7)));
    end(&mut second, &mut host, at(1), corrupt());
    assert!(matches!(ordered(&mut host).1, LibraryJob::Rebuild { .. }));
}

/// A disk that spoils each library that is made on it: the pause between two rebuilds doubles, and the
/// failures meanwhile order nothing.
#[test]
fn rebuilds_become_rare() {
    let (mut mending, mut host) = mending();
    let mut rebuilds = vec![];
    let mut spoil = |mending: &mut Mending, host: &mut Host, second: u64| {
        mending.on_tick(&mut host.at(at(second)), Overview::default(), false);
        mending.on_fault(&mut host.at(at(second)), None);
        while let Some((job, work)) = next(host) {
            let reply = match work {
                LibraryJob::Rebuild { .. } => {
                    rebuilds.push(second);
                    rebuilt()
                }
                LibraryJob::Salvage => salvaged(false),
                _ => corrupt(),
            };
            let cx = &mut host.at(at(second));
            if let Some(Ordered::Mending(purpose)) = cx.on_done(job) {
                mending.on_done(cx, purpose, reply);
            }
        }
    };
    (1..4000).for_each(|second| spoil(&mut mending, &mut host, second));
    let pauses: Vec<u64> = rebuilds.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses.is_sorted() && pauses.len() < 12, "{pauses:?}");
}

/// A salvage that an earlier run has begun goes on; a full disk delays it.
#[test]
fn a_salvage_goes_on_after_a_start_and_waits_for_room() {
    let config = anti_entropy::Config::default();
    let mut mending = Mending::new(&config, Rng::from_seed(1));
    let mut host = Host::default();
    let overview = Overview {
        salvaging: true,
        ..Overview::default()
    };
    mending.start(&mut host.at(at(0)), &overview);
    let full = JobReply::Failed(JobFault::DiskFull);
    assert_eq!(
        end(&mut mending, &mut host, at(1), full),
        LibraryJob::Salvage
    );
    assert!(mending.is_sick());
    mending.on_tick(&mut host.at(at(5)), overview, false);
    assert_eq!(next(&mut host), None);
    mending.on_tick(&mut host.at(at(12)), overview, false);
    assert_eq!(ordered(&mut host).1, LibraryJob::Salvage);
}
