//! Genres by number, as ID3v1 lists them and ID3v2 and MP4 refer to them.

/// Gives the genres in one value of ID3v2: a number, names, or numbers in parentheses before a
/// name that makes them more exact.
pub(super) fn split(value: &str, mut give: impl FnMut(&str)) {
    let mut rest = value.trim();
    if let Some(name) = rest.parse().ok().and_then(name) {
        return give(name);
    }
    while let Some((reference, behind)) = reference(rest) {
        if let Some(name) = referred(reference) {
            give(name);
        }
        rest = behind.trim_start();
    }
    // A name that begins with a parenthesis has two.
    let name = rest.strip_prefix('(').filter(|_| rest.starts_with("(("));
    give(name.unwrap_or(rest));
}

/// The number or letters in parentheses that `text` begins with, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (reference, behind) = text.strip_prefix('(')?.split_once(')')?;
    let number = reference.bytes().all(|byte| byte.is_ascii_digit());
    (number || referred(reference).is_some()).then_some((reference, behind))
}

fn referred(reference: &str) -> Option<&'static str> {
    match reference {
        "RX" => Some("Remix"),
        "CR" => Some("Cover"),
        number => name(number.parse().ok()?),
    }
}

/// The genre of this number.
pub(super) fn name(number: u8) -> Option<&'static str> {
    GENRES.split('|').nth(usize::from(number))
}

/// As Winamp numbers them.
const GENRES: &str = "Blues|Classic rock|Country|Dance|Disco|Funk|Grunge|Hip-Hop|Jazz|Metal|New Age|\
    Oldies|Other|Pop|R&B|Rap|Reggae|Rock|Techno|Industrial|Alternative|Ska|\
    Death metal|Pranks|Soundtrack|Euro-Techno|Ambient|Trip-Hop|Vocal|Jazz & Funk|Fusion|\
    Trance|Classical|Instrumental|Acid|House|Game|Sound clip|Gospel|Noise|\
    Alternative Rock|Bass|Soul|Punk|Space|Meditative|Instrumental Pop|Instrumental Rock|\
    Ethnic|Gothic|Darkwave|Techno-Industrial|Electronic|Pop-Folk|Eurodance|Dream|\
    Southern Rock|Comedy|Cult|Gangsta|Top 40|Christian Rap|Pop/Funk|Jungle|Native US|\
    Cabaret|New Wave|Psychedelic|Rave|Show tunes|Trailer|Lo-Fi|Tribal|Acid Punk|\
    Acid Jazz|Polka|Retro|Musical|Rock 'n' Roll|Hard Rock|Folk|Folk-Rock|\
    National Folk|Swing|Fast Fusion|Bebop|Latin|Revival|Celtic|Bluegrass|Avantgarde|\
    Gothic Rock|Progressive Rock|Psychedelic Rock|Symphonic Rock|Slow rock|Big Band|\
    Chorus|Easy Listening|Acoustic|Humour|Speech|Chanson|Opera|Chamber music|Sonata|\
    Symphony|Booty bass|Primus|Porn groove|Satire|Slow jam|Club|Tango|Samba|Folklore|\
    Ballad|Power Ballad|Rhythmic Soul|Freestyle|Duet|Punk Rock|Drum Solo|A cappella|\
    Euro-House|Dance Hall|Goa music|Drum & Bass|Club-House|Hardcore Techno|Terror|Indie|\
    BritPop|Worldbeat|Polsk Punk|Beat|Christian Gangsta Rap|Heavy Metal|Black Metal|\
    Crossover|Contemporary Christian|Christian rock|Merengue|Salsa|Thrash Metal|Anime|\
    Jpop|Synthpop|Abstract|Art Rock|Baroque|Bhangra|Big beat|Breakbeat|Chillout|\
    Downtempo|Dub|EBM|Eclectic|Electro|Electroclash|Emo|Experimental|Garage|Global|\
    IDM|Illbient|Industro-Goth|Jam Band|Krautrock|Leftfield|Lounge|Math Rock|\
    New Romantic|Nu-Breakz|Post-Punk|Post-Rock|Psytrance|Shoegaze|Space Rock|Trop Rock|\
    World Music|Neoclassical|Audiobook|Audio theatre|Neue Deutsche Welle|Podcast|\
    Indie-Rock|G-Funk|Dubstep|Garage Rock|Psybient";
