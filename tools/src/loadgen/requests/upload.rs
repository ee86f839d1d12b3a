//! An upload as a sequence of questions: place, offer, give, commit.
//!
//! The song is one fragment of bytes that no other song has. Pure: the questions go out and the
//! answers come in by argument.

use std::net::SocketAddr;

use roles::contract::id::ContentHash;
use roles::contract::message::{Audio, Catalogue, Message};
use roles::contract::rng::Rng;
use roles::contract::song::{DecoderPrefix, Fragment, Manifest, Part, Song};

/// An upload under way.
#[derive(Debug)]
pub(crate) struct Upload {
    manifest: Manifest,
    bytes: Vec<u8>,
    owner: Option<SocketAddr>,
}

/// What an upload needs next.
#[derive(Debug)]
pub(crate) enum Next {
    /// A router's answer.
    AskRouter(Message),
    /// An answer of the song's owner; the bytes follow the message.
    AskOwner(SocketAddr, Message, Vec<u8>),
    /// The song is stored.
    Done,
    /// The answer does not lead to a stored song.
    Failed,
}

impl Upload {
    /// A song of so many random bytes.
    pub(crate) fn new(length: u32, rng: &mut Rng) -> Self {
        let words = (0..length.div_ceil(8)).flat_map(|_| rng.bits().to_le_bytes());
        let bytes: Vec<u8> = words.take(length as usize).collect();
        let hash = ContentHash(*blake3::hash(&bytes).as_bytes());
        Upload {
            manifest: one_fragment(hash, length),
            bytes,
            owner: None,
        }
    }

    /// The first question.
    pub(crate) fn begin(&self) -> Next {
        let song = self.manifest.song.id;
        Next::AskRouter(Message::Catalogue(Catalogue::Place { song }))
    }

    /// Takes an answer.
    pub(crate) fn on_answer(&mut self, answer: &Message) -> Next {
        let song = self.manifest.song.id;
        if let Message::Catalogue(Catalogue::Placed { owners }) = answer {
            let Some(owner) = owners.first() else {
                return Next::Failed;
            };
            self.owner = Some(owner.address.0);
            let manifest = self.manifest.clone();
            let offer = Audio::Offer {
                manifest,
                copy: false,
            };
            return self.ask(offer, Vec::new());
        }
        let Message::Audio(answer) = answer else {
            return Next::Failed;
        };
        let commit = Audio::Commit { song, copy: false };
        match answer {
            Audio::Wanted { missing } if missing.is_empty() => self.ask(commit, Vec::new()),
            Audio::Wanted { .. } if !self.bytes.is_empty() => {
                let bytes = std::mem::take(&mut self.bytes);
                self.ask(Audio::Give { song, index: 0 }, bytes)
            }
            Audio::Taken => self.ask(commit, Vec::new()),
            Audio::Stored { .. } => Next::Done,
            Audio::Wanted { .. }
            | Audio::ListSongs { .. }
            | Audio::SongPage { .. }
            | Audio::Describe { .. }
            | Audio::Described { .. }
            | Audio::Fetch { .. }
            | Audio::FetchPart { .. }
            | Audio::Chunk { .. }
            | Audio::ChunkPart { .. }
            | Audio::Offer { .. }
            | Audio::Give { .. }
            | Audio::Commit { .. } => Next::Failed,
        }
    }

    fn ask(&self, message: Audio, bytes: Vec<u8>) -> Next {
        match self.owner {
            Some(owner) => Next::AskOwner(owner, Message::Audio(message), bytes),
            None => Next::Failed,
        }
    }
}

/// A song of one fragment, of no known format.
pub(crate) fn one_fragment(hash: ContentHash, length: u32) -> Manifest {
    let fragment = Fragment {
        length,
        start_ms: 0,
        part: Part::Audio,
        hash,
    };
    let manifest = Manifest::of(hash, vec![fragment]);
    Manifest {
        song: Song {
            title: format!("loadgen {}", manifest.song.id),
            artist: "loadgen".into(),
            ..manifest.song
        },
        prefix: DecoderPrefix::Bytes(b"bin".to_vec()),
        ..manifest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::id::NodeId;
    use roles::contract::message::Holder;
    use roles::contract::record::{Address, Features};

    fn placed() -> Message {
        let owner = Holder {
            node: NodeId(1),
            address: Address(([127, 0, 0, 1], 9).into()),
            features: Features::default(),
            load: 0,
        };
        Message::Catalogue(Catalogue::Placed {
            owners: vec![owner],
        })
    }

    /// The nodes check a manifest before they believe it, so this one must hold.
    #[test]
    fn an_upload_is_offered_given_and_committed() {
        let mut upload = Upload::new(1000, &mut Rng::from_seed(1));
        assert_eq!(upload.manifest.check(), Ok(()));
        assert!(matches!(upload.begin(), Next::AskRouter(_)));
        let offered = upload.on_answer(&placed());
        assert!(matches!(
            offered,
            Next::AskOwner(_, Message::Audio(Audio::Offer { .. }), _)
        ));
        let wanted = Message::Audio(Audio::Wanted {
            missing: vec![(0, 1)],
        });
        let Next::AskOwner(_, Message::Audio(Audio::Give { index: 0, .. }), bytes) =
            upload.on_answer(&wanted)
        else {
            panic!("the fragment is not given");
        };
        assert_eq!(bytes.len(), 1000);
        let taken = upload.on_answer(&Message::Audio(Audio::Taken));
        assert!(matches!(
            taken,
            Next::AskOwner(_, Message::Audio(Audio::Commit { .. }), _)
        ));
        let stored = Message::Audio(Audio::Stored { copies: 1 });
        assert!(matches!(upload.on_answer(&stored), Next::Done));
    }

    /// An owner that asks for the fragment again and again must not keep the upload for ever.
    #[test]
    fn a_fragment_is_given_once() {
        let mut upload = Upload::new(16, &mut Rng::from_seed(1));
        upload.on_answer(&placed());
        let wanted = Message::Audio(Audio::Wanted {
            missing: vec![(0, 1)],
        });
        upload.on_answer(&wanted);
        assert!(matches!(upload.on_answer(&wanted), Next::Failed));
    }
}
