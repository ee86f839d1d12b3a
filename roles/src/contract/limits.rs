//! Every bound of the protocol, with its unit, its reason, and the relations between them.

use core::time::Duration;

/// Copies of each song where at least that many data nodes live.
pub const COPIES: usize = 3;

/// Heaviest weight a node may claim; more would let one record grow the circle without bound.
pub const WEIGHT_MAX: u16 = 64;

/// Copies that must be durable before an upload is acknowledged, where two data nodes live.
pub const COPIES_ACKNOWLEDGED: usize = 2;

/// Most body bytes in one frame. A heartbeat waits for at most one of these: 13 ms at 10 Mbit/s.
pub const FRAME_BODY_BYTES_MAX: usize = 16 * 1024;

/// Longest message either side accepts: a fragment and its head, or a manifest.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Longest head of a message: what is encoded, as against the raw bytes of a fragment.
pub const MESSAGE_HEAD_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 8;

/// Most bytes of a file in one fragment.
pub const FRAGMENT_BYTES_MAX: usize = 1_000_000;

/// Room for everything that accompanies a fragment.
pub const FRAGMENT_HEAD_BYTES_MAX: usize = 4096;

const _: () = assert!(FRAGMENT_BYTES_MAX + FRAGMENT_HEAD_BYTES_MAX <= MESSAGE_BYTES_MAX);

/// How long a fragment of a compressed format plays.
pub const FRAGMENT_DURATION: Duration = Duration::from_secs(10);

/// Most fragments in a song: 14 GB of raw audio, and a manifest that fits one message.
pub const FRAGMENTS_MAX: usize = 14_000;

/// Most bytes one entry of a manifest takes, in memory or encoded.
pub const MANIFEST_ENTRY_BYTES_MAX: usize = 56;

const _: () =
    assert!(FRAGMENTS_MAX * MANIFEST_ENTRY_BYTES_MAX + 64 * 1024 <= MESSAGE_HEAD_BYTES_MAX);

/// Longest tag kept in the catalogue, in bytes of UTF-8; the file itself keeps the whole of it.
pub const TAG_BYTES_MAX: usize = 1024;

/// Most bytes of a synthetic decoder prefix.
pub const PREFIX_BYTES_MAX: usize = 256;

/// Longest search a catalogue accepts, in bytes.
pub const SEARCH_BYTES_MAX: usize = 1024;

/// Most songs in one page of a list.
pub const PAGE_SONGS_MAX: usize = 500;

/// Most bytes of one page of a list: below the message, with room for one more song.
pub const PAGE_BYTES_MAX: usize = 512 * 1024;

/// Most bytes one song takes in a page: five tags, its numbers, and its cursor.
pub const SONG_BYTES_MAX: usize = 5 * TAG_BYTES_MAX + 256;

const _: () = assert!(PAGE_BYTES_MAX + 2 * SONG_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Most ids in one page of bare ids: 128 kB, ten times a partition of a million songs.
pub const PAGE_IDS_MAX: usize = 4096;

/// Most bytes one entry of such a page takes: two ids.
pub const PAGE_ID_BYTES_MAX: usize = 32;

const _: () = assert!(PAGE_IDS_MAX * PAGE_ID_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Most songs one job removes: one wait for the disk is shared by all of them.
pub const REMOVALS_MAX: usize = PAGE_SONGS_MAX;

/// Most bytes one step of a scrub reads: readers wait for it a few tenths of a second at most.
pub const SCRUB_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most fragments one step of a scrub reads, however short they are.
pub const SCRUB_FRAGMENTS_MAX: u32 = 4096;

/// Most holders in one answer of a router.
pub const HOLDERS_MAX: usize = 3;

/// Most fragments one `Fetch` may ask for: two minutes of music at ten seconds each.
pub const FETCH_FRAGMENTS_MAX: u32 = 12;

/// Most records a DNS node keeps: a cluster of thousands, and a full exchange in one message.
pub const RECORDS_MAX: usize = 4096;

/// Most bytes one record takes, in memory or encoded.
pub const RECORD_BYTES_MAX: usize = 128;

const _: () = assert!(RECORDS_MAX * RECORD_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Questions one peer may have unanswered at a node; further ones are refused as busy.
pub const QUESTIONS_PER_PEER_MAX: usize = 64;

/// Questions a node may have unanswered itself.
pub const QUESTIONS_ASKED_MAX: usize = 4096;

/// Answers remembered per peer, against a question that comes twice.
pub const WINDOW_ANSWERS_MAX: usize = 256;

/// Peers whose answers are remembered.
pub const WINDOW_PEERS_MAX: usize = 1024;

/// How long an answer is remembered after it was given.
pub const WINDOW_LIFETIME: Duration = Duration::from_secs(60);

/// Longest encoded answer that is remembered; a longer one is made again.
pub const WINDOW_ANSWER_BYTES_MAX: usize = 256;

/// Longest deadline a question may carry; an upload's commit may wait for a second disk.
pub const DEADLINE_MAX: Duration = Duration::from_secs(600);

/// Most members in one ring, the dead of the last day among them: hundreds of machines, and a
/// table that fits one message and a few frames.
pub const MEMBERS_MAX: usize = 2048;

/// Most bytes one member takes, in memory or encoded.
pub const MEMBER_BYTES_MAX: usize = 128;

const _: () = assert!(MEMBERS_MAX * MEMBER_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Most claims in one piece of news: it stays small enough to overtake music.
pub const CLAIMS_MAX: usize = 64;

/// Most observers named with a suspicion: two decide.
pub const OBSERVERS_MAX: usize = 8;

/// Most nodes named in one answer about the circle: a list of successors.
pub const NEIGHBOURS_MAX: usize = 4;
