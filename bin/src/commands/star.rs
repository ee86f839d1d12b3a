//! `dispotify star`, `unstar` and `rate`.

use roles::annotations::{self, Subject};
use roles::contract::id::SongId;
use roles::contract::user::Draft;
use serde::Serialize;

use super::listener::{OWNER, noted, songs, write};
use super::{json_line, line};
use crate::args::{Rate, Star};
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;

/// Stars songs, or takes their stars.
pub(crate) fn run(settings: &Settings, star: &Star, starred: bool) -> Result<(), Failure> {
    let attempt = if starred { "star" } else { "unstar" };
    let draft = |song: &SongId| Draft {
        key: annotations::star(OWNER, Subject::Song(*song)),
        body: starred.then(Vec::new),
    };
    let said = if starred {
        "starred"
    } else {
        "took the star of"
    };
    change(
        settings,
        (attempt, said),
        (&star.ids, star.json),
        draft,
        |song| Outcome {
            id: song.to_string(),
            starred: Some(starred),
            rating: None,
            copies: 0,
        },
    )
}

/// Rates songs.
pub(crate) fn rate(settings: &Settings, rate: &Rate) -> Result<(), Failure> {
    let stars = rate.stars;
    let draft = |song: &SongId| Draft {
        key: annotations::rating(OWNER, Subject::Song(*song)),
        body: (stars > 0).then(|| vec![stars]),
    };
    let said = match stars {
        0 => "took the rating of".to_owned(),
        stars => format!("rated {stars}:"),
    };
    let ids = std::slice::from_ref(&rate.id);
    change(settings, ("rate", &said), (ids, rate.json), draft, |song| {
        Outcome {
            id: song.to_string(),
            starred: None,
            rating: Some(stars),
            copies: 0,
        }
    })
}

fn change(
    settings: &Settings,
    (attempt, said): (&str, &str),
    (ids, json): (&[String], bool),
    draft: impl Fn(&SongId) -> Draft,
    outcome: impl Fn(&SongId) -> Outcome,
) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    let songs = songs(&session, attempt, ids)?;
    let drafts = songs.iter().map(draft).collect();
    let copies = write(&session, attempt, drafts)?;
    songs.iter().try_for_each(|song| {
        if json {
            return json_line(&Outcome {
                copies,
                ..outcome(song)
            });
        }
        line(&format!("{said} {song}{}", noted(copies)))
    })
}

/// What became of a song, in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Outcome {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    starred: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<u8>,
    copies: u8,
}
