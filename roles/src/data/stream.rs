//! A `Fetch` or `FetchPart` under way: fragments are read one at a time, each when the asker has room.
//!
//! A fragment that has been read is held back until it is known whether another follows it. A
//! damaged fragment is refused, and the scrub is told.

use super::answers::answer_to;
use super::{Data, Purpose};
use crate::contract::id::SongId;
use crate::contract::job::{FragmentId, JobFault, JobReply, LibraryJob};
use crate::contract::limits::FETCH_FRAGMENTS_MAX;
use crate::contract::message::{Audio, Message, Position, Refusal};
use crate::contract::node::Asker;
use crate::cx::Cx;
use crate::purpose::Ordered;
use crate::purpose::data::Stream;

impl Data {
    pub(super) fn on_fetch(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        song: SongId,
        from: Position,
        count: u32,
    ) {
        if count == 0 || count > FETCH_FRAGMENTS_MAX {
            let why = alloc::format!("a fetch is 1 to {FETCH_FRAGMENTS_MAX} fragments");
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        let stream = Stream {
            asker,
            song,
            at: from,
            left: count - 1,
            held: None,
        };
        self.read(cx, stream, from);
    }

    pub(super) fn on_fetch_part(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        fragment: FragmentId,
        part: (u32, u32),
    ) {
        let stream = Stream {
            asker,
            song: fragment.song,
            at: Position::Index(fragment.index),
            left: 0,
            held: None,
        };
        let job = LibraryJob::ReadPart { fragment, part };
        let peer = asker.sender.peer;
        cx.run_toward(Ordered::Data(Purpose::Fetch(stream)), job, peer);
    }

    fn read(&mut self, cx: &mut Cx<'_>, mut stream: Stream, at: Position) {
        stream.at = at;
        let job = LibraryJob::ReadFragment {
            song: stream.song,
            at,
        };
        let peer = stream.asker.sender.peer;
        cx.run_toward(Ordered::Data(Purpose::Fetch(stream)), job, peer);
    }

    /// Takes a fragment that has been read, and sends the one before it.
    pub(super) fn on_fragment(&mut self, cx: &mut Cx<'_>, mut stream: Stream, reply: JobReply) {
        if cx.now > stream.asker.until {
            return; // The asker has given up.
        }
        if let JobReply::Part {
            index,
            values,
            bytes,
        } = reply
        {
            let load = Data::load(cx);
            self.copies.on_served(cx.now, bytes.len());
            let part = Message::Audio(Audio::ChunkPart {
                index,
                load,
                values,
            });
            return cx.out.answer_with(stream.asker, part, bytes, false);
        }
        if let JobReply::Fragment { index, bytes } = reply {
            self.send_held(cx, &mut stream, true);
            stream.held = Some((index, bytes));
            if stream.left == 0 {
                return self.send_held(cx, &mut stream, false);
            }
            stream.left -= 1;
            self.read(cx, stream, Position::Index(index + 1));
        } else if reply == JobReply::Failed(JobFault::NotFound) && stream.held.is_some() {
            self.send_held(cx, &mut stream, false); // The song ends before the stream does.
        } else {
            if reply == JobReply::Failed(JobFault::Damaged) {
                self.on_rot(cx, &stream);
            }
            cx.out.answer(stream.asker, answer_to(reply));
        }
    }

    fn send_held(&mut self, cx: &mut Cx<'_>, stream: &mut Stream, more: bool) {
        let Some((index, bytes)) = stream.held.take() else {
            return;
        };
        let load = Data::load(cx);
        self.copies.on_served(cx.now, bytes.len());
        let chunk = Message::Audio(Audio::Chunk { index, load });
        cx.out.answer_with(stream.asker, chunk, bytes, more);
    }
}
