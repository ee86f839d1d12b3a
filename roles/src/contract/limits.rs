//! Every bound of the protocol, with its unit and its reason. Assertions check the relations
//! between bounds.

use core::time::Duration;

/// Copies of each song, if that many data nodes live.
pub const COPIES: usize = 3;

/// Largest weight of a node. Without a bound, one record could grow the hash ring without limit.
pub const WEIGHT_MAX: u16 = 64;

/// Copies that must be durable before an upload is acknowledged, if two data nodes live.
pub const COPIES_ACKNOWLEDGED: usize = 2;

/// Most body bytes in one frame. A keepalive waits for at most one frame: 13 ms at 10 Mbit/s.
pub const FRAME_BODY_BYTES_MAX: usize = 16 * 1024;

/// Longest accepted message: a fragment and its head, or a manifest.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Longest head of a message: the encoded part, without the raw bytes of a fragment.
pub const MESSAGE_HEAD_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 8;

/// Most bytes of a file in one fragment.
pub const FRAGMENT_BYTES_MAX: usize = 1_000_000;

/// Most bytes of the encoded part beside a fragment.
pub const FRAGMENT_HEAD_BYTES_MAX: usize = 4096;

const _: () = assert!(FRAGMENT_BYTES_MAX + FRAGMENT_HEAD_BYTES_MAX <= MESSAGE_BYTES_MAX);

/// Bytes of a group of a fragment; the last one has less. A group is a subtree in the tree of the
/// fragment's hash, so it can be checked alone. Small enough that a part of a fragment takes little
/// beside it, large enough to be hashed at full speed.
pub const GROUP_BYTES: usize = 64 * 1024;

/// Bytes of the chaining value of a group.
pub const GROUP_VALUE_BYTES: usize = 32;

/// Most bytes of the chaining values of a fragment.
pub const GROUP_VALUES_BYTES_MAX: usize =
    FRAGMENT_BYTES_MAX.div_ceil(GROUP_BYTES) * GROUP_VALUE_BYTES;

/// Playing time of a fragment of a compressed format.
pub const FRAGMENT_DURATION: Duration = Duration::from_secs(10);

/// Most fragments in a song: 14 GB of raw audio, with a manifest that fits into one message.
pub const FRAGMENTS_MAX: usize = 14_000;

/// Most bytes of one entry of a manifest, in memory or encoded.
pub const MANIFEST_ENTRY_BYTES_MAX: usize = 56;

const _: () =
    assert!(FRAGMENTS_MAX * MANIFEST_ENTRY_BYTES_MAX + 64 * 1024 <= MESSAGE_HEAD_BYTES_MAX);

/// Longest tag in the catalogue, in bytes of UTF-8. The file itself keeps the whole tag.
pub const TAG_BYTES_MAX: usize = 1024;

/// Most bytes of a decoder prefix that is made at import.
pub const PREFIX_BYTES_MAX: usize = 256;

/// Longest search that a catalogue accepts, in bytes.
pub const SEARCH_BYTES_MAX: usize = 1024;

/// Most songs in one page of a list.
pub const PAGE_SONGS_MAX: usize = 500;

/// Most bytes of one page of a list. The assertion below keeps room for one song more and its
/// cursor.
pub const PAGE_BYTES_MAX: usize = 512 * 1024;

/// Most bytes of one song in a page, and of a cursor's key: four tags and some numbers, with room
/// to spare.
pub const SONG_BYTES_MAX: usize = 5 * TAG_BYTES_MAX + 256;

const _: () = assert!(PAGE_BYTES_MAX + 2 * SONG_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Longest further tag, in bytes: names, of which a song may have several.
pub const NAME_BYTES_MAX: usize = 256;

/// Most names in one list of a song: its artists, genres or composers.
pub const NAMES_MAX: usize = 16;

/// Most bytes that the further tags of one song take, encoded: four lists, three sort names, some
/// numbers. What exceeds it is cut, the last names first.
pub const MORE_TAGS_BYTES_MAX: usize = 4096;

/// Most bytes of one album, artist or value on a page of a list.
pub const ENTRY_BYTES_MAX: usize = 4 * TAG_BYTES_MAX + 256;

const _: () = assert!(PAGE_BYTES_MAX + 2 * ENTRY_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Most ids in one page of ids: at most 128 kB, and ten times the songs of one partition when the
/// library holds a million.
pub const PAGE_IDS_MAX: usize = 4096;

/// Most bytes of one entry of such a page: two ids.
pub const PAGE_ID_BYTES_MAX: usize = 32;

const _: () = assert!(PAGE_IDS_MAX * PAGE_ID_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Most songs that one job removes. All of them share one wait for the disk.
pub const REMOVALS_MAX: usize = PAGE_SONGS_MAX;

/// Most marks of songs in one message or job, see [`super::trash::Mark`].
pub const MARKS_MAX: usize = 1024;

/// Most bytes of one mark, in memory or encoded.
pub const MARK_BYTES_MAX: usize = 64;

const _: () = assert!(MARKS_MAX * MARK_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Highest version of a mark: more changes than anybody makes. A forged version above it is
/// refused, because no change could follow it.
pub const MARK_VERSION_MAX: u64 = 1 << 40;

/// Longest time in the trash, in seconds: a hundred years.
pub const TRASH_S_MAX: u64 = 100 * 365 * 24 * 3600;

/// Most bytes of one document of a listener, see [`super::document`]: a run of four thousand songs.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of a document's subject: three ids, and some to spare.
pub const SUBJECT_BYTES_MAX: usize = 64;

/// Most documents in a library, deleted ones among them. A write beyond it is refused; what other data
/// nodes have acknowledged before they met is taken up to twice as many.
pub const DOCUMENTS_MAX: u64 = 1_000_000;

/// Most bytes of all documents, counted as a router keeps them in memory. The same holds.
pub const DOCUMENTS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most documents and plays in one message or job.
pub const DOCUMENTS_AT_ONCE_MAX: usize = 512;

/// Most documents on a page of a list. [`PAGE_BYTES_MAX`] bounds its bytes, too.
pub const DOCUMENTS_PAGE_MAX: usize = 1024;

const _: () = assert!(
    PAGE_BYTES_MAX + DOCUMENT_BYTES_MAX + SUBJECT_BYTES_MAX + 256 <= MESSAGE_HEAD_BYTES_MAX
);

/// Buckets in which two data nodes compare their documents: where one document differs, some four
/// thousand of a million are sent.
pub const DOCUMENTS_BUCKETS: usize = 256;

/// Latest clock of a document: two thousand years from now. It fits into a signed number of 64 bits.
pub const CLOCK_MAX: u64 = 1 << 62;

/// How far a document's clock may be ahead of a data node's own, in milliseconds. What is further ahead
/// would outrank all that is written until then.
pub const CLOCK_AHEAD_MS_MAX: u64 = 5 * 60 * 1000;

/// Most bytes that one step of a scrub reads. Other reads wait for it a few tenths of a second at
/// most.
pub const SCRUB_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most fragments that one step of a scrub reads, however short they are.
pub const SCRUB_FRAGMENTS_MAX: u32 = 4096;

/// Most songs whose further tags one step reads: other changes wait for it.
pub const TAGGED_SONGS_MAX: usize = 32;

/// Most songs that such a step passes over because their tags are known.
pub const TAGGED_LOOKED_AT_MAX: usize = 1024;

/// Bytes of fragments after which such a step ends.
pub const TAGGED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Most songs whose tables one step of an inspection reads: a few tens of milliseconds.
pub const INSPECT_SONGS_MAX: usize = 256;

/// Most songs that are sealed by one job, each with up to three manifests: about as many rows as share
/// a page.
pub const SEALED_MAX: usize = 32;

/// Most holders in one answer of a router.
pub const HOLDERS_MAX: usize = 3;

/// Most fragments that one `Fetch` asks for: two minutes of music at ten seconds each.
pub const FETCH_FRAGMENTS_MAX: u32 = 12;

/// Most DNS nodes that a node knows beside those given by the user. More would not make names more available.
pub const DNS_NODES_MAX: usize = 16;

/// Most records of a DNS node: enough for thousands of servers, and all of them fit into one
/// message.
pub const RECORDS_MAX: usize = 4096;

/// Most bytes of one record, in memory or encoded.
pub const RECORD_BYTES_MAX: usize = 128;

const _: () = assert!(RECORDS_MAX * RECORD_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Unanswered questions of one peer at a node; further questions are refused as busy.
pub const QUESTIONS_PER_PEER_MAX: usize = 64;

/// Questions of a node that wait for an answer.
pub const QUESTIONS_ASKED_MAX: usize = 4096;

/// Answers in the dedup window of one peer; a repeated question gets the stored answer.
pub const WINDOW_ANSWERS_MAX: usize = 256;

/// Peers that have a dedup window.
pub const WINDOW_PEERS_MAX: usize = 1024;

/// How long an answer stays in the dedup window.
pub const WINDOW_LIFETIME: Duration = Duration::from_secs(60);

/// Longest encoded answer that is stored in the dedup window. For a longer one, a repeated question
/// is handled again.
pub const WINDOW_ANSWER_BYTES_MAX: usize = 256;

/// Longest deadline of a question; the commit of an upload may wait for a second disk.
pub const DEADLINE_MAX: Duration = Duration::from_secs(600);

/// Most members in one ring, including those that died within the last day: enough for hundreds of
/// machines, and the table fits into one message.
pub const MEMBERS_MAX: usize = 2048;

/// Most bytes of one member, in memory or encoded.
pub const MEMBER_BYTES_MAX: usize = 128;

const _: () = assert!(MEMBERS_MAX * MEMBER_BYTES_MAX <= MESSAGE_HEAD_BYTES_MAX);

/// Most claims in one `News` message: the message stays small and is not delayed behind music.
pub const CLAIMS_MAX: usize = 64;

/// Most observers named with a suspicion; two are enough for a verdict.
pub const OBSERVERS_MAX: usize = 8;

/// Most nodes in one answer of the Chord messages, such as a list of successors.
pub const NEIGHBOURS_MAX: usize = 4;

/// Most suspects, and most members under check, that a diagnosis names: a person reads them.
pub const SUSPECTS_TOLD_MAX: usize = 32;
